import Capture
import Detection
import Platform
import Response
import Synchronization
import Wire

/// Which interfaces are watched (`-i`).
package enum InterfaceSelection: Sendable, Equatable {
  case all
  /// All but loopback: the default of 2.x.
  case allButLoopback
  case named([String])
}

/// What the sensor thread needs to know; replaced whole by a reload.
struct SensorSettings: Sendable, Equatable {
  var detector = Detector.Settings()
  var interfaces = InterfaceSelection.allButLoopback
  /// Ports with real listeners (connect mode).
  var connectTCP: PortSet?
  var connectUDP: PortSet?
  /// PORT_BANNER.
  var banner: String?
}

/// Something the sensor has to say; rare, and said once for each change.
enum SensorNotice: Sendable, Equatable {
  case interfaceMissing(String)
  case interfaceWatched(String)
  case nothingToWatch
  case watchingAgain
  /// Packets lost since the last notice, because the ring was full.
  case ringOverflow(UInt64)
  /// So many packets concern services that one in 2^shift of their sources is looked at; 0: all are again.
  case sampling(shift: UInt8)
  case listenerFailed(TransportProtocol, UInt16, Errno)
  /// A call of ours failed; what is lost by it.
  case trouble(Errno, consequence: String)
}

/// Counts the sensor keeps; every packet that passed the kernel filter is in exactly one of them.
struct SensorStatistics: Sendable, Equatable {
  var received: UInt64 = 0
  /// Lost in the kernel: the ring was full.
  var ringDropped: UInt64 = 0
  /// By `DecodeOutcome`, but for decoded packets.
  var undecoded: [UInt64] = Array(repeating: 0, count: DecodeOutcome.allCases.count)
  /// By `Detector.Dismissal`.
  var dismissed: [UInt64] = Array(repeating: 0, count: Detector.Dismissal.allCases.count)
  var probes: UInt64 = 0
  /// Connections and datagrams at our own listeners.
  var connects: UInt64 = 0
  var lookupFailures: UInt64 = 0
  /// Sources that something speaks against, and those that were forgotten to make room.
  var sources = 0
  var evictions: UInt64 = 0
  /// One in 2^n of the sources is looked at, as there is too much (`KernelFilter.Sampling`).
  var connectionShift: UInt8 = 0
  var otherShift: UInt8 = 0
  var interfaces: [String] = []
  /// By what means they are seen.
  var sight = TrafficTap.Sight()
  var servedTCP = PortSet()
  /// TCP ports served on all addresses of a family.
  var everywhere4 = PortSet()
  var everywhere6 = PortSet()
  var servedUDP = PortSet()
}

/// What the sensor thread and the main thread share: nothing but this.
final class SensorLink: Sendable {
  struct Shared: Sendable {
    var settings: SensorSettings?
    /// Sources that get no banner.
    var ignored = IPNetworkSet()
    var isStopping = false
    /// Connections that decoys took, for the detector; at most 1,024 unread, as each of theirs was seen as a packet too.
    var contacts: [Contact] = []
    var statistics = SensorStatistics()
    /// IPv6 addresses that used a service properly; at most 1,024 unread, further ones are left out until they do so again.
    var customers: [IPAddress] = []
    /// Who asked for a port beside a service, and was answered by it; at most 1,024 unread, further ones are judged without.
    var setups: [(source: IPAddress, families: ServiceFamilies)] = []
    /// What is to be kept over a restart, when it is time to write it (`Detector.memory`).
    var memory: [UInt8]?
    /// Raised by one each time the statistics were published.
    var edition: UInt64 = 0
    var notices: [SensorNotice] = []
  }

  let shared = Mutex(Shared())
  /// Wakes the sensor: new settings, a wish for statistics, or the end.
  let toSensor: EventFlag
  /// Wakes the main thread: probes or notices are there.
  let toSentry: EventFlag

  init() throws(Errno) {
    toSensor = try EventFlag()
    toSentry = try EventFlag()
  }

  /// The main thread's wish, carried out by the sensor soon.
  func update(_ change: (inout Shared) -> Void) {
    shared.withLock { change(&$0) }
    toSensor.signal()
  }

  /// A decoy took a connection.
  func tell(_ contact: Contact) { update { if $0.contacts.count < 1024 { $0.contacts.append(contact) } } }

  func notify(_ notice: SensorNotice) {
    // A hundred unread notices say enough; the main thread reads them within milliseconds.
    shared.withLock { if $0.notices.count < 100 { $0.notices.append(notice) } }
    toSentry.signal()
  }

  /// Hands over whoever used a service properly.
  func tell(customersOf detector: inout Detector) {
    shared.withLock { shared in
      detector.takeCustomers { if shared.customers.count < 1024 { shared.customers.append($0) } }
    }
    toSentry.signal()
  }

  func takeCustomers() -> [IPAddress] {
    shared.withLock {
      let customers = $0.customers
      $0.customers.removeAll(keepingCapacity: true)
      return customers
    }
  }

  /// Hands over whoever asked for something beside a service that has answered it.
  func tell(setupsOf detector: inout Detector) {
    shared.withLock { shared in
      detector.takeSetups { if shared.setups.count < 1024 { shared.setups.append(($0, $1)) } }
    }
    toSentry.signal()
  }

  func takeSetups() -> [(source: IPAddress, families: ServiceFamilies)] {
    shared.withLock {
      let setups = $0.setups
      $0.setups.removeAll(keepingCapacity: true)
      return setups
    }
  }

  func takeNotices() -> [SensorNotice] {
    shared.withLock {
      let notices = $0.notices
      $0.notices = []
      return notices
    }
  }

  /// Statistics of this moment, or of the last when the sensor does not answer within `milliseconds`.
  func currentStatistics(wait milliseconds: Int = 200) -> SensorStatistics {
    let before = shared.withLock { $0.edition }
    toSensor.signal()
    for _ in 0..<milliseconds {
      let (statistics, edition) = shared.withLock { ($0.statistics, $0.edition) }
      if edition != before { return statistics }
      Clock.sleep(.milliseconds(1))
    }
    return shared.withLock { $0.statistics }
  }
}
