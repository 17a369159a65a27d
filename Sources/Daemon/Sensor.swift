import CLinux
import Capture
import Detection
import Host
import Platform
import Synchronization
import Wire

/// The thread that sees: tap, decoder, detector and listeners, in one plain loop that owns them all. It takes no part
/// in responses; what it finds leaves through one bounded queue.
// One thread at a time owns a sensor: the main thread while it opens, then its own.
struct Sensor: ~Copyable, @unchecked Sendable {
  private var tap: TrafficTap
  private var interfaces: Interfaces
  private var sockets: SocketTable
  private var monitor: SocketMonitor?
  private var listeners: ConnectListeners
  private var state: State
  private let link: SensorLink

  /// What the packet path changes; apart from the tap so that both can be in use at once.
  private struct State: ~Copyable {
    var settings: SensorSettings
    var detector: Detector
    var decoder = PacketDecoder()
    var packet = Packet()
    var undecoded = InlineArray<16, UInt64>(repeating: 0)
    var probes: UInt64 = 0
    var connects: UInt64 = 0
    /// Packets of connections to services that look like any other, and others that are no touch of a dead port.
    var connections: UInt64 = 0
    var others: UInt64 = 0
    /// A socket was found where the snapshot has none.
    var isSnapshotStale = false
    /// Probes and verdicts that were found, for whoever has to be woken.
    var found: UInt64 = 0
    let queue: BoundedQueue<Probe>.Producer
    let verdicts: BoundedQueue<Verdict>.Producer

    /// Hands on what the detector has found.
    ///
    /// A full queue of verdicts loses the newest: its source gets another when it goes on.
    mutating func passOn() {
      detector.takeProbes { probe in
        found &+= 1
        if probe.mode != .connect { probes &+= 1 }
        queue.push(probe)
      }
      detector.takeVerdicts { verdict in
        found &+= 1
        verdicts.push(verdict)
      }
    }
  }

  private var watched: [Interface] = []
  private var missing: Set<String> = []
  private var sawNothing = false
  private var drops = Growth()
  private var nextRefresh: Int64 = 0
  private var lastRefresh: Int64 = 0
  private var ignored = IPNetworkSet()

  /// Opens everything, so that what fails is known before anybody is told that all is well. Nothing is received yet.
  ///
  /// - Throws: where packets cannot be captured at all: no right (`EPERM`), no such socket family.
  static func open(
    _ settings: SensorSettings, queue: consuming BoundedQueue<Probe>.Producer,
    verdicts: consuming BoundedQueue<Verdict>.Producer, link: SensorLink
  ) throws(Errno) -> Sensor {
    let tap = try TrafficTap()
    let interfaces = try Interfaces()
    let sockets = try SocketTable()
    let listeners = try ConnectListeners()
    let state = State(
      settings: settings, detector: Detector(settings.detector, key: Clock.randomKey()), queue: queue,
      verdicts: verdicts)
    var sensor = Sensor(
      tap: tap, interfaces: interfaces, sockets: sockets, monitor: openMonitor(link), listeners: listeners,
      state: state, link: link)
    try sensor.lookAround()
    return sensor
  }

  private init(
    tap: consuming TrafficTap, interfaces: consuming Interfaces, sockets: consuming SocketTable,
    monitor: consuming SocketMonitor?, listeners: consuming ConnectListeners, state: consuming State, link: SensorLink
  ) {
    self.tap = tap
    self.interfaces = interfaces
    self.sockets = sockets
    self.monitor = monitor
    self.listeners = listeners
    self.state = state
    self.link = link
  }

  /// Learns what there is before the first packet: addresses, services, connections.
  private mutating func lookAround() throws(Errno) {
    try refresh()
    openListeners()
    let now = Clock.now
    for connection in try sockets.connections() {
      state.detector.learnFlow(.tcp, localPort: connection.localPort, peer: connection.peer, at: now)
    }
    state.detector.noteServices(state.detector.exposure.servedAnywhere(.tcp), at: now)
  }

  private static func openMonitor(_ link: SensorLink) -> SocketMonitor? {
    do throws(Errno) {
      return try SocketMonitor()
    } catch {
      link.notify(.trouble(error, consequence: "a port whose service stops is watched again only after a second"))
      return nil
    }
  }

  /// Takes over what an earlier process knew (`Detector.memory`); before `start`.
  ///
  /// - Returns: how many sources it told of.
  mutating func restore(_ memory: [UInt8]) throws(DetectorMemoryError) -> Int { try state.detector.restore(memory) }

  /// Receives, from now on. In the background what is seen waits in the ring until `run`.
  mutating func start() throws(Errno) {
    try tap.start()
    publish()
  }

  /// Has the kernel show packets in its cheapest way.
  private mutating func attachPrograms() {
    do throws(Errno) { try tap.attachPrograms() } catch { sayOutOfDate(error) }
  }

  private func sayOutOfDate(_ error: Errno) {
    link.notify(.trouble(error, consequence: "what this host serves may be out of date"))
  }

  private mutating func settleTap(_ ready: [Int32]) {
    do throws(Errno) { try tap.settle(ready) } catch { sayOutOfDate(error) }
  }

  /// Runs until the link says stop.
  consuming func run() {
    // A busy host's own connections cost a hundred wakes a second, while a probe on a quiet one is seen at once.
    var idleWakes = WakeCredit(at: Clock.monotonic)
    // So do probes, which wake the main thread as well: what comes by the thousand is taken in heaps.
    var usefulWakes = WakeCredit(at: Clock.monotonic)
    attachPrograms()
    while true {
      var descriptors = [link.toSensor.fd, interfaces.descriptor] + tap.descriptors
      if !listeners.isEmpty { descriptors.append(listeners.descriptor) }
      if let fd = monitor?.descriptor { descriptors.append(fd) }
      var wait = (nextRefresh - Clock.monotonic + 999_999) / 1_000_000
      let due = min(state.detector.answersDue, state.detector.delaysDue)
      if due < .max { wait = min(wait, (due - Clock.now.nanoseconds + 999_999) / 1_000_000) }
      // Where nothing comes nothing has to be published, and no sampling ends.
      let longest: Int64 = isPublished && sampling.connections == 0 && sampling.others == 0 ? 60_000 : 1000
      let ready = Poll.readable(descriptors, milliseconds: Int32(min(max(wait, 0), longest)))
      if !ready.isEmpty { isPublished = false }
      let now = Clock.monotonic
      if ready.contains(link.toSensor.fd) {
        link.toSensor.clear()
        if obey() { return hand(state.detector.memory(sources: Self.keptSources)) }
      }
      if let fd = monitor?.descriptor, ready.contains(fd) {
        let services = state.detector.exposure
        if monitor!.drain({ services.servesAnywhere($0) }) { state.isSnapshotStale = true }
      }
      if ready.contains(interfaces.descriptor), interfaces.drain() { state.isSnapshotStale = true }
      // Whatever changes, and however often: fifty looks a second are enough, and cost little.
      if state.isSnapshotStale { nextRefresh = min(nextRefresh, lastRefresh + max(20_000_000, tap.pause)) }
      if now >= nextRefresh { refreshOrSay() }
      settleTap(ready)
      let before = state.found
      if !listeners.isEmpty, ready.contains(listeners.descriptor) { acceptAll() }
      let seen = drain()
      if ready.contains(link.toSensor.fd) { takeContacts() }
      judgeUnanswered(seen)
      // A new service has to be known before it ends, or a decoy stands in for it at once. Of translated ones no look tells: one a second.
      if state.detector.takeIncompleteness() { nextRefresh = min(nextRefresh, max(now, lastRefresh + 1_000_000_000)) }
      judgeWaiting()
      if state.detector.hasCustomers { link.tell(customersOf: &state.detector) }
      if state.detector.hasSetups { link.tell(setupsOf: &state.detector) }
      if state.found != before {
        link.toSentry.signal()
        if !usefulWakes.spend(at: now) { Clock.sleep(.milliseconds(10)) }
      } else if tap.hasPacket(ready), !idleWakes.spend(at: now) {
        Clock.sleep(.milliseconds(10))
      }
      sampleIfFlooded(now)
      publishIfDue(now)
    }
  }

  /// Comes to an end with what has waited long enough.
  private mutating func judgeWaiting() {
    state.detector.advance(to: Clock.now)
    state.detector.takeQuestions {
      sockets.hasConnection(from: $0.source, $0.sourcePort, to: $0.target, $0.targetPort)
    }
    if state.detector.hasFound { state.passOn() }
  }

  // MARK: Floods

  /// So many packets a second are as many as we want to look at: of connections to services that look like any other, and of
  /// the rest that no touch of a dead port is.
  private static let (mostConnections, mostOthers): (UInt64, UInt64) = (1000, 20_000)
  private var looked: (connections: UInt64, others: UInt64, since: Int64) = (0, 0, 0)
  private var sampling = KernelFilter.Sampling()

  /// Looks at fewer sources while there is so much that it would cost too much, or that nothing else would be seen: of honest
  /// crowds and floods alike. Touches of what nothing serves are always looked at.
  private mutating func sampleIfFlooded(_ now: Int64) {
    let elapsed = max(now - looked.since, 1_000_000)
    let connections = state.connections &- looked.connections
    let others = state.others &- looked.others
    let isMuch = connections > Self.mostConnections || others > Self.mostOthers
    guard isMuch || elapsed >= 1_000_000_000 else { return }
    var wanted = sampling
    wanted.connections = Self.shift(sampling.connections, connections, elapsed, most: Self.mostConnections)
    wanted.others = Self.shift(sampling.others, others, elapsed, most: Self.mostOthers)
    looked = (state.connections, state.others, now)
    guard wanted != sampling else { return }
    if (wanted.others == 0) != (sampling.others == 0) { link.notify(.sampling(shift: wanted.others)) }
    wanted.multiplier = UInt32(truncatingIfNeeded: Clock.randomKey().0) | 1
    sampling = wanted
    state.detector.samplingShift = wanted.others
    refreshOrSay()
  }

  /// What to sample by from now on, where `count` packets came in `elapsed` nanoseconds under `shift`.
  private static func shift(_ shift: UInt8, _ count: UInt64, _ elapsed: Int64, most: UInt64) -> UInt8 {
    let rate = count * 1_000_000_000 / UInt64(elapsed)
    // Far enough below that it does not change all the time.
    if count <= most { return rate < most / 8 && shift > 0 ? shift - 1 : shift }
    var result = shift
    while rate >> UInt64(result - shift) > most / 2, result < 16 { result += 1 }
    return result
  }

  // MARK: What is kept

  /// 1.9 MB on disk.
  private static let keptSources = 16_384
  private static let keepingInterval: Int64 = 600_000_000_000
  private var nextKeeping = Clock.monotonic + Sensor.keepingInterval

  /// Hands over what is to be kept over a restart.
  private func hand(_ memory: [UInt8]) {
    link.shared.withLock { $0.memory = memory }
    link.toSentry.signal()
  }

  // MARK: Packets

  /// Takes everything out of the ring, but comes up for air every 4,096 packets so that the other end starts early.
  ///
  /// - Returns: up to when all packets have been seen.
  private mutating func drain() -> Timestamp {
    let now = Clock.now
    var count = 0
    while true {
      count += 1
      let isThere = tap.next { bytes, frame in
        state.packet.time = frame.time
        state.packet.interface = frame.interface
        state.packet.isOutgoing = frame.isOutgoing
        state.packet.isOfDecoy = frame.isCut && frame.isOutgoing
        let outcome = state.decoder.decode(bytes, checksumVouched: frame.checksumVouched, into: &state.packet)
        guard outcome.isDecoded else {
          state.undecoded[Int(outcome.rawValue)] &+= 1
          return
        }
        if frame.mayBeUnfinished { state.packet.believeUnfinished(in: bytes) }
        guard outcome == .packet else {
          state.others &+= 1
          return state.detector.considerOther(&state.packet, outcome)
        }
        switch state.detector.consider(&state.packet, in: bytes) {
        case .dismissed(.served) where state.packet.tcpOptionsLength > 4: return state.connections &+= 1
        case .dismissed(.served), .dismissed(.answer): return state.others &+= 1
        case .dismissed: return
        case .candidate: break
        }
        if state.settings.detector.checksServices {
          if state.detector.awaitAnswer(&state.packet) { return }
          if sockets.serves(state.packet) {
            state.detector.learnService(state.packet)
            state.isSnapshotStale = true
            return
          }
        }
        state.detector.makeProbe(of: &state.packet)
      }
      if state.detector.hasFound { state.passOn() }
      if !isThere { return now }
      if count % 64 == 0 { link.toSentry.signal() }
      if count % 4096 == 0 { return state.packet.time }
    }
  }

  /// Looks into what nothing has answered in time. Where packets were lost, the answer may be one of them: then nobody is accused.
  private mutating func judgeUnanswered(_ seen: Timestamp) {
    guard seen.nanoseconds >= state.detector.answersDue else { return }
    let before = tap.statistics.dropped
    tap.updateStatistics()
    let isComplete = tap.statistics.dropped == before
    let hasService = state.detector.takeUnanswered(at: seen) { isComplete ? sockets.serves($0) : nil }
    if hasService { state.isSnapshotStale = true }
  }

  /// Connections that decoys took: after the packets that opened them.
  private mutating func takeContacts() {
    let contacts = link.shared.withLock {
      let contacts = $0.contacts
      $0.contacts.removeAll(keepingCapacity: true)
      return contacts
    }
    for contact in contacts {
      state.detector.noteContact(
        Segment(contact.source, contact.sourcePort, contact.target, contact.port, contact.time),
        isGuessable: contact.isGuessable)
    }
  }

  private mutating func acceptAll() {
    let ignored = ignored
    listeners.accept(banner: state.settings.banner, deserves: { !ignored.contains($0) }) { probe in
      state.connects &+= 1
      state.detector.add(connection: probe)
    }
    state.passOn()
  }

  // MARK: What this host is

  private mutating func refreshOrSay() {
    do throws(Errno) {
      try refresh()
    } catch {
      nextRefresh = Clock.monotonic + 1_000_000_000
      sayOutOfDate(error)
    }
  }

  /// Reads interfaces, addresses and services anew, and fits the kernel filter to them.
  private mutating func refresh() throws(Errno) {
    state.isSnapshotStale = false
    lastRefresh = Clock.monotonic
    nextRefresh = lastRefresh + (monitor == nil ? 1 : 10) * 1_000_000_000
    var exposure = state.detector.exposure
    let wasServed = exposure.servedAnywhere(.tcp)
    try sockets.readServices(into: &exposure)
    exposure.setLocal(try interfaces.localNetworks())
    if exposure != state.detector.exposure {
      state.detector.noteServices(wasServed, at: Clock.now)
      state.detector.exposure = exposure
    }
    try chooseInterfaces()
    try tap.fit(filter(), watched: watched)
  }

  private mutating func chooseInterfaces() throws(Errno) {
    let all = try interfaces.list()
    switch state.settings.interfaces {
    case .all: watched = all.filter { $0.master == 0 }
    case .allButLoopback: watched = all.filter { !$0.isLoopback && $0.master == 0 }
    case .named(let names):
      watched = all.filter { names.contains($0.name) }
      for name in names {
        if watched.contains(where: { $0.name == name }) {
          if missing.remove(name) != nil { link.notify(.interfaceWatched(name)) }
        } else if missing.insert(name).inserted {
          link.notify(.interfaceMissing(name))
        }
      }
    }
    let seesNothing = !watched.contains(where: \.isUp)
    if seesNothing != sawNothing {
      sawNothing = seesNothing
      link.notify(seesNothing ? .nothingToWatch : .watchingAgain)
    }
    unwatched = all.filter { interface in !watched.contains { $0.index == interface.index } }.map(\.index)
  }

  private var unwatched: [Int32] = []

  private func filter() -> KernelFilter {
    let settings = state.settings.detector
    let exposure = state.detector.exposure
    var filter = KernelFilter(settings, exposure)
    switch state.settings.interfaces {
    case .named: filter.interfaces = .only(watched.map(\.index))
    // At most 64 in the program: beyond that the detector would see ports of a bridge twice, which counts double at worst.
    default: filter.interfaces = .except(Array(unwatched.prefix(64)))
    }
    filter.sampling = sampling
    return filter
  }

  private mutating func openListeners() {
    let tcp = listeners.listen(.tcp, state.settings.connectTCP ?? PortSet()).map {
      (TransportProtocol.tcp, $0.port, $0.error)
    }
    let udp = listeners.listen(.udp, state.settings.connectUDP ?? PortSet()).map {
      (TransportProtocol.udp, $0.port, $0.error)
    }
    for (transport, port, error) in tcp + udp { link.notify(.listenerFailed(transport, port, error)) }
  }

  // MARK: The other thread

  /// Takes over what the main thread wants; true when it wants us to end.
  private mutating func obey() -> Bool {
    let (settings, ignored, isStopping) = link.shared.withLock {
      let wish = ($0.settings, $0.ignored, $0.isStopping)
      $0.settings = nil
      return wish
    }
    self.ignored = ignored
    if let settings, settings != state.settings {
      state.settings = settings
      state.detector.reconfigure(settings.detector)
      openListeners()
      refreshOrSay()
    }
    publish()
    return isStopping
  }

  private var lastPublished: Int64 = 0
  /// Whether nothing came since.
  private var isPublished = false

  private mutating func publishIfDue(_ now: Int64) {
    if now - lastPublished >= 1_000_000_000 { publish() }
    if now >= nextKeeping {
      nextKeeping = now + Self.keepingInterval
      hand(state.detector.memory(sources: Self.keptSources))
    }
  }

  private mutating func publish() {
    lastPublished = Clock.monotonic
    isPublished = true
    tap.updateStatistics()
    let dropped = drops.advance(to: tap.statistics.dropped)
    if dropped > 0 { link.notify(.ringOverflow(dropped)) }
    var statistics = SensorStatistics()
    statistics.received = tap.statistics.received
    statistics.ringDropped = tap.statistics.dropped
    for index in statistics.undecoded.indices { statistics.undecoded[index] = state.undecoded[index] }
    for reason in Detector.Dismissal.allCases {
      statistics.dismissed[Int(reason.rawValue)] = state.detector.dismissals(reason)
    }
    statistics.probes = state.probes
    statistics.connects = state.connects
    statistics.lookupFailures = sockets.failures
    statistics.sources = state.detector.sourceCount
    statistics.evictions = state.detector.evictions
    (statistics.connectionShift, statistics.otherShift) = (sampling.connections, sampling.others)
    statistics.interfaces = watched.filter(\.isUp).map(\.name)
    statistics.sight = tap.sight
    let exposure = state.detector.exposure
    statistics.servedTCP = exposure.servedAnywhere(.tcp)
    statistics.servedUDP = exposure.servedAnywhere(.udp)
    (statistics.everywhere4, statistics.everywhere6) = (exposure.wildcardTCPv4, exposure.wildcardTCPv6)
    link.shared.withLock {
      $0.statistics = statistics
      $0.edition += 1
    }
  }
}
