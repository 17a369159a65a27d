import Detection
import Wire

/// Frames of a capture in, a summary of each source's probes out: the decoder and the detector of the live sentry, with
/// the packets' own time. Pure: files are read by whoever calls.
///
/// Here and not in `Detection`, because it joins what only `Daemon` may join: link layer, decoder, detector, ignore file.
package struct Replay: Sendable {
  /// What one source did.
  package struct Source: Sendable, Equatable {
    package var probes: UInt64 = 0
    package var first: Timestamp
    package var last: Timestamp
    /// Whether it reached SCAN_TRIGGER.
    package var isTriggered = false
    private var techniqueBits: UInt16 = 0
    /// Up to `fewPorts` ports, 65,536 added to those of UDP; then bitmaps.
    private var few: [UInt32] = []
    private var tcp: PortSet?
    private var udp: PortSet?
    /// More ports were touched than are known here.
    package var hasMorePorts = false

    init(first: Timestamp) {
      self.first = first
      last = first
    }

    package var techniques: [Technique] { Technique.allCases.filter { techniqueBits >> $0.rawValue & 1 == 1 } }

    /// The ports it touched, of one protocol.
    package func ports(_ transport: TransportProtocol) -> PortSet {
      if let set = transport == .tcp ? tcp : udp { return set }
      let base: UInt32 = transport == .tcp ? 0 : 65_536
      return PortSet(few.lazy.filter { $0 & 65_536 == base }.map { UInt16(truncatingIfNeeded: $0) })
    }

    /// - Parameter mayGrow: whether bitmaps may be made.
    /// - Returns: true when they were.
    fileprivate mutating func add(_ probe: Probe, mayGrow: Bool) -> Bool {
      probes &+= 1
      first = min(first, probe.time)
      last = max(last, probe.time)
      if probe.isTriggered { isTriggered = true }
      techniqueBits |= 1 << UInt16(probe.technique.rawValue)
      if tcp != nil {
        if probe.transport == .tcp { tcp!.insert(probe.targetPort) } else { udp!.insert(probe.targetPort) }
        return false
      }
      let port = UInt32(probe.targetPort) | (probe.transport == .tcp ? 0 : 65_536)
      if few.contains(port) { return false }
      if few.count < Replay.fewPorts {
        few.append(port)
        return false
      }
      guard mayGrow else {
        hasMorePorts = true
        return false
      }
      var sets = (tcp: ports(.tcp), udp: ports(.udp))
      if probe.transport == .tcp { sets.tcp.insert(probe.targetPort) } else { sets.udp.insert(probe.targetPort) }
      (tcp, udp) = (sets.tcp, sets.udp)
      few = []
      return true
    }
  }

  /// Ports kept for a source in a list.
  fileprivate static let fewPorts = 32
  /// Sources with two bitmaps of 8 KiB: 64 MiB. The ports of further ones are cut short, which is said.
  private static let maximumBitmaps = 4096
  /// Sources kept; the probes of further ones are counted.
  package static let maximumSources = 1_000_000

  private var detector: Detector
  private var decoder = FrameDecoder()
  private var packet = Packet()
  private let ignored: IPNetworkSet
  private var bitmaps = 0
  package private(set) var sources: [IPAddress: Source] = [:]
  package private(set) var frames: UInt64 = 0
  package private(set) var probes: UInt64 = 0
  /// Probes of sources in the ignore file; they are not among `probes`.
  package private(set) var ignoredProbes: UInt64 = 0
  /// Probes of sources that found no room.
  package private(set) var lostProbes: UInt64 = 0
  /// Frames that held no TCP segment or UDP datagram to judge, by reason.
  package var undecoded: [(reason: String, count: UInt64)] { decoder.undecoded }

  package init(_ settings: Detector.Settings, exposure: Exposure, ignored: IPNetworkSet, key: (UInt64, UInt64)) {
    detector = Detector(settings, exposure: exposure, key: key)
    self.ignored = ignored
  }

  /// Why packets accused nobody. A packet between two local addresses is both sent and received.
  package var dismissed: [(reason: String, count: UInt64)] {
    Detector.Dismissal.allCases.map { ($0.reason, detector.dismissals($0)) }.filter { $0.1 > 0 }
  }

  /// Takes the next frame of a capture.
  package mutating func observe(
    _ frame: RawSpan, linkType: UInt32, direction: LinkLayer.Direction, time: Timestamp
  ) {
    frames &+= 1
    let exposure = detector.exposure
    guard
      let found = decoder.decode(
        frame, linkType: linkType, direction: direction, time: time, isLocal: { exposure.isLocal($0) }, into: &packet)
    else { return }
    let isOurs = exposure.isLocal(packet.source)
    if found == .outgoing || (found == .unknown && isOurs) {
      packet.isOutgoing = true
      _ = detector.consider(packet)
      // Between two of our addresses it also arrives, as on the loopback interface of a live host.
      guard found == .unknown, exposure.isLocal(packet.target) else { return }
    }
    packet.isOutgoing = false
    guard case .candidate = detector.consider(packet) else { return }
    let probe = detector.accuse(packet)
    if ignored.contains(probe.source) {
      ignoredProbes &+= 1
      return
    }
    probes &+= 1
    record(probe)
  }

  private mutating func record(_ probe: Probe) {
    if sources[probe.source] == nil {
      guard sources.count < Self.maximumSources else {
        lostProbes &+= 1
        return
      }
    }
    let mayGrow = bitmaps < Self.maximumBitmaps
    if sources[probe.source, default: Source(first: probe.time)].add(probe, mayGrow: mayGrow) { bitmaps += 1 }
  }

  /// All sources: those with the most probes first, of equals the earlier.
  package func sorted() -> [(address: IPAddress, source: Source)] {
    sources.map { ($0.key, $0.value) }.sorted {
      ($1.1.probes, $0.1.first, $0.0) < ($0.1.probes, $1.1.first, $1.0)
    }
  }
}

/// Frames of any link type → packets, and why not. Time is kept from running back, as the packet ring does.
package struct FrameDecoder: Sendable {
  private var decoder = PacketDecoder()
  private var lastTime = Timestamp.distantPast
  private var outcomes = InlineArray<8, UInt64>(repeating: 0)
  private var notIP: UInt64 = 0
  private var truncated: UInt64 = 0
  private var unsupported: UInt64 = 0

  package init() {}

  /// Fills in `packet` and says who sent it, as far as the link layer tells; nil where there is no packet.
  ///
  /// - Parameter isLocal: whether an address is one of the host that captured. What such a one sends may be captured
  ///   before the network card has filled in the checksums.
  package mutating func decode(
    _ frame: RawSpan, linkType: UInt32, direction: LinkLayer.Direction, time: Timestamp,
    isLocal: (IPAddress) -> Bool, into packet: inout Packet
  ) -> LinkLayer.Direction? {
    switch LinkLayer.locate(frame, linkType: linkType) {
    case .ip(let offset, let linkDirection):
      let bytes = frame.extracting(offset..<frame.byteCount)
      let found = linkDirection == .unknown ? direction : linkDirection
      // Two queues of a network card may be stamped a little out of order; more than a second back is believed.
      let back = lastTime.nanoseconds &- time.nanoseconds
      packet.time = back > 0 && back < 1_000_000_000 ? lastTime : time
      lastTime = packet.time
      let isVouched = found == .outgoing || Self.source(of: bytes).map(isLocal) == true
      let outcome = decoder.decode(bytes, checksumVouched: isVouched, into: &packet)
      if outcome == .packet { return found }
      outcomes[Int(outcome.rawValue)] &+= 1
    case .notIP: notIP &+= 1
    case .truncated: truncated &+= 1
    case .unsupportedLink: unsupported &+= 1
    }
    return nil
  }

  /// The source address of an IP header that is all there.
  private static func source(of bytes: RawSpan) -> IPAddress? {
    guard bytes.byteCount >= 20 else { return nil }
    switch bytes.u8(at: 0) >> 4 {
    case 4: return IPAddress(v4: bytes.u32(at: 12))
    case 6 where bytes.byteCount >= 24: return IPAddress(high: bytes.u64(at: 8), low: bytes.u64(at: 16))
    default: return nil
    }
  }

  package var undecoded: [(reason: String, count: UInt64)] {
    var result: [(String, UInt64)] = [("unsupported link type", unsupported)]
    for outcome in DecodeOutcome.allCases where outcome != .packet {
      let more = outcome == .notIP ? notIP : outcome == .truncated ? truncated : 0
      result.append((outcome.reason, outcomes[Int(outcome.rawValue)] &+ more))
    }
    return result.filter { $0.1 > 0 }
  }
}
