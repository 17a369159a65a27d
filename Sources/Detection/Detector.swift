import Memory
import Wire

/// Turns packets into probes and verdicts. Holds all detection state, bounded; reads no clock and does no I/O.
///
/// Two rules side by side. The classic one makes a `Probe` of every touch of a watched port and counts it for
/// SCAN_TRIGGER. The native one (`NativeRule`) weighs the evidence against each source and comes to a `Verdict`.
package struct Detector: ~Copyable {
  /// What `consider` found out.
  package enum Judgement: Sendable, BitwiseCopyable {
    case dismissed(Dismissal)
    /// A probe, if nothing serves the port at this moment. The caller asks the kernel and calls `accuse` or
    /// `learnService`; or, where nobody can be asked, `wait`.
    case candidate
  }

  package private(set) var settings: Settings
  /// What this host is and serves; replaced whenever the kernel says so.
  package var exposure: Exposure {
    get { landscape.value }
    set { landscape.take(newValue) }
  }
  private var landscape: Landscape
  private var interests: Interests
  /// How many packets were dismissed, by `Dismissal.rawValue`.
  private var dismissals = InlineArray<16, UInt64>(repeating: 0)
  private var flows: FlowMemory
  private var triggers: TriggerTable
  private var connections: ConnectionTable
  private var pending: PendingFlows
  /// Live: questions that this host has not answered yet.
  private var asking: PendingFlows
  private var ends = HandshakeEnds()
  private let flowHash: KeyedHash
  var native: NativeRule
  private var oddities: OddityTable
  private var floods: FloodWatch
  /// When each TCP port was last seen served, in seconds; 0: never. For stragglers only.
  private var lastServed: Slab<UInt32>
  /// Since when it is, by and large: a gap of less than two days does not count.
  private var servedSince: Slab<UInt32>
  /// SYNs to services that no ordinary system sends, which nothing has followed that was seen: at most 256 wait to be asked
  /// about. Of more nothing is held against anybody.
  private var questions: [PendingFlows.Flow] = []
  private static let questionCapacity = 256
  /// One in 2^n of the sources that touch services in unusual ways is seen here (`KernelFilter.Sampling.others`).
  package var samplingShift: UInt8 = 0
  /// What was found and not yet taken.
  private var probes: [Probe] = []
  private var others: [Verdict] = []

  /// - Parameter key: random, secret, and new for each process: it seeds the hashes of every table.
  package init(_ settings: Settings, exposure: Exposure = Exposure(), key: (UInt64, UInt64)) {
    self.settings = settings
    landscape = Landscape(exposure)
    interests = Interests(settings)
    flows = FlowMemory(key: key)
    triggers = TriggerTable(key: (key.1, key.0))
    connections = ConnectionTable(capacity: settings.flowCapacity)
    pending = PendingFlows(capacity: settings.flowCapacity)
    asking = PendingFlows(
      capacity: settings.asksForConnections ? Settings.answerCapacity : 8, patience: Settings.answerPatience)
    flowHash = KeyedHash(key: (key.0 ^ 0x7065_6e64, key.1))
    native = NativeRule(settings, key: (key.0, key.1 ^ 0x736f_7572))
    oddities = OddityTable(key: (key.1 ^ 0x6f64_6469, key.0))
    floods = FloodWatch(key: (key.1, key.0 ^ 0x666c_6f6f))
    lastServed = Slab(count: 65536)
    servedSince = Slab(count: 65536)
    probes.reserveCapacity(256)
    others.reserveCapacity(64)
    questions.reserveCapacity(Self.questionCapacity)
  }

  /// Takes new settings; what is known of sources and flows stays.
  package mutating func reconfigure(_ settings: Settings) {
    self.settings = settings
    interests = Interests(settings)
    native.threshold = settings.threshold
  }

  package func dismissals(_ reason: Dismissal) -> UInt64 { dismissals[Int(reason.rawValue)] }
  /// Sources forgotten because a table was full.
  package var evictions: UInt64 { triggers.evictions &+ native.evictions }
  /// Sources that something speaks against.
  package var sourceCount: Int { native.sourceCount }

  // MARK: What was found

  /// Whether there is anything to take.
  package var hasFound: Bool { !probes.isEmpty || !native.verdicts.isEmpty || !others.isEmpty }

  /// Lends the probes that were found since the last call, in their order.
  package mutating func takeProbes(_ body: (Probe) -> Void) {
    guard !probes.isEmpty else { return }
    for probe in probes { body(probe) }
    probes.removeAll(keepingCapacity: true)
  }

  /// Lends the verdicts that were reached since the last call. A source that goes on gets another each time its probes have
  /// doubled, and when it comes back after a minute.
  package mutating func takeVerdicts(_ body: (Verdict) -> Void) {
    if !native.verdicts.isEmpty {
      for verdict in native.verdicts { body(verdict) }
      native.verdicts.removeAll(keepingCapacity: true)
    }
    if !others.isEmpty {
      for verdict in others { body(verdict) }
      others.removeAll(keepingCapacity: true)
    }
  }

  /// Whether a packet to `address` is for this host.
  package func isLocal(_ address: IPAddress) -> Bool { landscape.isLocal(address) }

  // MARK: Packets

  /// Judges a TCP or UDP packet by all that is known here.
  ///
  /// - Parameter bytes: what it was decoded from, for its checksum.
  package mutating func consider(_ packet: inout Packet, in bytes: RawSpan) -> Judgement {
    if packet.time.nanoseconds >= pending.due { settleDue(packet.time) }
    if let dismissal = dismissal(of: &packet, bytes) {
      dismissals[Int(dismissal.rawValue)] &+= 1
      return .dismissed(dismissal)
    }
    return .candidate
  }

  /// Goes on in a run to the first frame that may tell something: nearly all packets of nearly all captures are from the middle
  /// of a connection. The same comes of those by the long way (`observe`), which asks more questions.
  ///
  /// - Returns: false at the end of the run.
  package mutating func skim(_ run: inout FrameRun) -> Bool {
    guard run.isPlainEthernet, settings.checksServices, let us = landscape.onlyV4?.bigEndian
    else { return run.next() }
    // A copy, whose parts stay in registers.
    var here = run
    var isFound = false
    // In the file's own form, which is compared sooner than turned.
    var due = here.stamp(at: pending.due)
    while here.nextRecord() {
      if here.stamp >= due {
        settleDue(here.time)
        due = here.stamp(at: pending.due)
      }
      if let head = here.head, passes(head, us) { continue }
      if follows(here, us) {
        due = here.stamp(at: pending.due)
        continue
      }
      isFound = true
      break
    }
    run = here
    return isFound
  }

  /// The middle of a connection.
  @inline(__always)
  private mutating func passes(_ head: FrameHead, _ us: UInt32) -> Bool {
    guard head.isWithinConnection else { return false }
    if head.rawSource == us {
      guard head.rawTarget != us else { return false }
      if !landscape.servesTCPv4(head.sourcePort) {
        // Remembered now and then: see `noteOutgoing`.
        guard settings.ephemeralPorts.contains(head.sourcePort), head.mixedNumbers & 7 != 0 else { return false }
      }
      dismissals[Int(Dismissal.outgoing.rawValue)] &+= 1
      return true
    }
    // The end of a connection tells whether a word was said.
    guard head.rawTarget == us, !head.isFinal else { return false }
    let isServed = landscape.servesTCPv4(head.targetPort)
    guard isServed || settings.ephemeralPorts.contains(head.targetPort) else { return false }
    // A bare ACK may complete a handshake.
    let end = 0xffff_0000_0000 | UInt64(head.source)
    if !isServed {
      guard !ends.mayAsk(end, head.sourcePort) else { return false }
    } else if head.payloadLength <= 0 {
      guard !ends.mayComplete(end, head.sourcePort) else { return false }
    }
    dismissals[Int((isServed ? Dismissal.served : .straggler).rawValue)] &+= 1
    return true
  }

  /// The beginning or the end of a connection to a service, with nothing unusual about it.
  @inline(never)
  private mutating func follows(_ run: FrameRun, _ us: UInt32) -> Bool {
    guard let head = run.head, head.isTCP, head.payloadLength >= 0, head.hasRightChecksum else { return false }
    let time = run.time
    let flags = head.flags
    if head.rawSource == us {
      guard flags == .synAck, head.rawTarget != us, landscape.servesTCPv4(head.sourcePort) else { return false }
      noteOurAnswer(Segment(head, time))
      dismissals[Int(Dismissal.outgoing.rawValue)] &+= 1
      return true
    }
    guard head.rawTarget == us, landscape.servesTCPv4(head.targetPort) else { return false }
    if flags == .syn {
      guard head.optionsLength > ToolMark.fewOptions, head.doesNotFragment, !settings.traps.contains(head.targetPort)
      else { return false }
      let segment = Segment(head, time)
      noteService(segment.targetPort, time)
      noteFlood(.syn, segment.point)
      connections.begin(segment.key(flowHash), segment, &ends)
    } else {
      guard flags.isSuperset(of: .ack), flags.isDisjoint(with: [.syn, .rst]) else { return false }
      progress(Segment(head, time))
    }
    dismissals[Int(Dismissal.served.rawValue)] &+= 1
    return true
  }

  /// Takes a packet of a capture, sent or received, and judges it by what follows in the capture.
  ///
  /// One call for all of it: a borrowed `Detector` is copied for each call from another module (Swift 6.3.1).
  ///
  /// - Parameters:
  ///   - outcome: what the packet is; one of those that are decoded.
  ///   - direction: as far as the capture tells.
  /// - Returns: whether there is anything to take.
  package mutating func observe(
    _ packet: inout Packet, _ outcome: DecodeOutcome, _ direction: LinkLayer.Direction, in bytes: RawSpan
  ) -> Bool {
    if direction == .outgoing || (direction == .unknown && landscape.isLocal(packet.source)) {
      packet.isOutgoing = true
      judge(&packet, outcome, bytes)
      // Between two of our addresses it also arrives, as on the loopback interface of a live host.
      guard direction == .unknown, landscape.isLocal(packet.target) else { return hasFound }
      packet.checksum = .valid
    }
    packet.isOutgoing = false
    judge(&packet, outcome, bytes)
    return hasFound
  }

  @inline(__always)
  private mutating func judge(_ packet: inout Packet, _ outcome: DecodeOutcome, _ bytes: RawSpan) {
    if outcome == .packet {
      if case .candidate = consider(&packet, in: bytes) { wait(&packet) }
    } else {
      considerOther(&packet, outcome)
    }
  }

  @inline(__always)
  private mutating func dismissal(of packet: inout Packet, _ bytes: RawSpan) -> Dismissal? {
    if packet.isOutgoing {
      if landscape.isLocal(packet.source) { noteOutgoing(&packet) }
      return .outgoing
    }
    // Whatever is called local: what goes to many was not meant for us.
    if !landscape.isLocal(packet.target) || packet.target.isMulticast || packet.target.isLimitedBroadcast {
      return .notOurs
    }
    return packet.transport == .tcp ? tcpDismissal(&packet, bytes) : udpDismissal(&packet, bytes)
  }

  @inline(__always)
  private mutating func tcpDismissal(_ packet: inout Packet, _ bytes: RawSpan) -> Dismissal? {
    let flags = packet.flags
    let isServed = settings.checksServices && landscape.serves(.tcp, packet.target, packet.targetPort)
    if flags.contains(.ack), !flags.contains(.rst), !flags.contains(.syn) {
      // Nearly all packets of nearly all captures end here.
      if isServed {
        if flags.contains(.fin)
          || (packet.payloadLength == 0 && ends.mayComplete(packet.source.low, packet.sourcePort))
        {
          progress(Segment(packet))
        }
        return .served
      }
      return acknowledgmentDismissal(&packet, bytes)
    }
    // Every answer to a packet of ours carries one of these (RFC 9293 section 3.10.7.1); so does backscatter.
    if flags.contains(.rst) || flags.isSuperset(of: .synAck) {
      noteAnswer(&packet, isServed: isServed)
      return .answer
    }
    if isServed { noteService(packet.targetPort, packet.time) }
    if isServed, flags.subtracting(.congestion) == .syn {
      let mayBeRaw = ToolMark.mayBeRaw(packet)
      if mayBeRaw { packet.readOptions(in: bytes) }
      noteFlood(.syn, &packet, isSampled: true)
      // Whoever connects to a trap is told of by its listener.
      if mayBeRaw {
        begin(&packet, .answered)
      } else if !settings.traps.contains(packet.targetPort) {
        let segment = Segment(packet)
        connections.begin(segment.key(flowHash), segment, &ends)
      }
      return .served
    }
    let interest = interests[.tcp, packet.targetPort]
    if interest.isEmpty { return .notWatched }
    if isImpossible(&packet) { return .impossibleSource }
    verify(&packet, bytes)
    if packet.checksum == .wrong { return dismissWrong(&packet) }
    packet.readOptions(in: bytes)
    // Pieces that could not be put together whole may have been made to mean one thing here and another elsewhere.
    if packet.wasFragmented, packet.checksum == .unknown, !flags.contains(.syn) { return .straggler }
    if isServed {
      // FIN, NULL, Xmas and the like are no probe in the classic sense where there is a service, but no accident either.
      charge(&packet)
      return .served
    }
    if flags.contains(.syn) { noteFlood(.syn, &packet) } else { noteFlood(.stray, &packet) }
    return nil
  }

  /// An ACK or FIN/ACK to a port that nothing serves.
  private mutating func acknowledgmentDismissal(_ packet: inout Packet, _ bytes: RawSpan) -> Dismissal? {
    // The end of a connection, or what completes its handshake; to a service that is translated, or that has stopped.
    if packet.flags.contains(.fin) || ends.mayAsk(packet.source.low, packet.sourcePort)
      || ends.mayComplete(packet.source.low, packet.sourcePort),
      progress(Segment(packet))
    {
      return .served
    }
    // A scanner's bare ACK comes from no connection: no data, no options. A real stack's last words mostly carry
    // timestamps (RFC 7323), and go to a port that was served or was ours a moment ago.
    let isEphemeral = settings.ephemeralPorts.contains(packet.targetPort)
    if packet.payloadLength > 0 {
      // Data comes within a connection: perhaps only this direction of it is captured.
      if !isEphemeral { flows.insert(.tcp, localPort: packet.targetPort, peer: packet.source, at: packet.time) }
      return .straggler
    }
    packet.readOptions(in: bytes)
    let isOSProbe = ToolMarks.isOSDetection(packet)
    if packet.tcpOptionsLength > 0, !isOSProbe { return .straggler }
    let interest = interests[.tcp, packet.targetPort]
    if interest.isEmpty { return .notWatched }
    if isEphemeral { return .straggler }
    let seen = lastServed[Int(packet.targetPort)]
    if seen > 0, UInt32(truncatingIfNeeded: packet.time.seconds) &- seen <= FlowMemory.lifetime { return .straggler }
    if isImpossible(&packet) { return .impossibleSource }
    if flows.contains(.tcp, localPort: packet.targetPort, peer: packet.source, at: packet.time) { return .ownFlow }
    verify(&packet, bytes)
    if packet.checksum == .wrong { return dismissWrong(&packet) }
    noteFlood(.stray, &packet)
    return nil
  }

  @inline(__always)
  private mutating func udpDismissal(_ packet: inout Packet, _ bytes: RawSpan) -> Dismissal? {
    if settings.checksServices, landscape.serves(.udp, packet.target, packet.targetPort) {
      noteFlood(.udp, &packet)
      return .served
    }
    let interest = interests[.udp, packet.targetPort]
    if interest.isEmpty { return .notWatched }
    if flows.contains(.udp, localPort: packet.targetPort, peer: packet.source, at: packet.time) { return .ownFlow }
    if flows.hasCalled(localPort: packet.targetPort, at: packet.time) { return .ownFlow }
    if isImpossible(&packet) { return .impossibleSource }
    if Reflection.isAnswer(packet) {
      tell(oddities.count(.udpAnswer, Segment(packet)))
      noteFlood(.udp, &packet)
      // The classic rule knows no answers: a datagram to a watched port is an alert.
      return interest.contains(.watched) ? nil : .answer
    }
    if isTraceroute(&packet) { return .traceroute }
    verify(&packet, bytes)
    if packet.checksum == .wrong { return dismissWrong(&packet) }
    noteFlood(.udp, &packet)
    return nil
  }

  // Mutating, as all that a mutating method of these types calls: for another, Swift 6.3.1 copies all of `self`.
  private mutating func isImpossible(_ packet: inout Packet) -> Bool {
    packet.source.isUnspecified || packet.source.isMulticast || packet.source.isLimitedBroadcast
      || (packet.source.isLoopback && !packet.target.isLoopback)
      || (packet.target.isLoopback && !packet.source.isLoopback && !landscape.isLocal(packet.source))
  }

  private mutating func verify(_ packet: inout Packet, _ bytes: RawSpan) {
    packet.verify(in: bytes)
    guard packet.checksum == .unfinished else { return }
    let isAnswered = packet.transport == .udp || packet.flags.subtracting(.congestion) == .syn
    if !settings.believesAnswered || !isAnswered { packet.checksum = .wrong }
  }

  private mutating func dismissWrong(_ packet: inout Packet) -> Dismissal {
    tell(oddities.count(.wrongChecksum, Segment(packet)))
    return .wrongChecksum
  }

  /// traceroute counts its ports up from 33,434, and what reaches us has hardly any hops left.
  private mutating func isTraceroute(_ packet: inout Packet) -> Bool {
    (33_434...33_689).contains(packet.targetPort) && packet.hopLimit < 32
  }

  // MARK: The other direction

  private mutating func noteOutgoing(_ packet: inout Packet) {
    if packet.transport == .udp {
      let key = flowHash(packet.target, packet.targetPort, packet.source, packet.sourcePort, 17)
      if !asking.isEmpty, let position = asking.find(key) { return settleAsServed(position) }
      if !pending.isEmpty, let position = pending.find(key) {
        // That a datagram is answered speaks for nobody: scanners ask what services answer.
        serve(.udp, packet.source, packet.sourcePort)
        pending.settle(position, &ends)
      }
      guard !landscape.serves(.udp, packet.source, packet.sourcePort) else { return }
      if packet.target.isMulticast || Self.mayBeBroadcast(packet.target) {
        flows.insertCall(localPort: packet.sourcePort, at: packet.time)
      }
      flows.insert(.udp, localPort: packet.sourcePort, peer: packet.target, at: packet.time)
      flows.insertFriend(packet.target, at: packet.time)
      return
    }
    let flags = packet.flags
    if flags.contains(.rst) {
      let key = flowHash(packet.target, packet.targetPort, packet.source, packet.sourcePort, 6)
      if !asking.isEmpty, let position = asking.find(key) { return settleAsUnused(position, .reset) }
      guard !pending.isEmpty, let position = pending.find(key) else { return }
      if pending[position].state == .asked { settle(position) }
      return
    }
    if flags.isSuperset(of: .synAck) { return noteOurAnswer(Segment(packet), isOfDecoy: packet.isOfDecoy) }
    if flags.contains(.syn) { flows.insertFriend(packet.target, at: packet.time) }
    // What a service says need not be remembered: its port is known.
    guard !landscape.serves(.tcp, packet.source, packet.sourcePort) else { return }
    // Of a connection that goes on, now and then is often enough.
    if !flags.contains(.syn), settings.ephemeralPorts.contains(packet.sourcePort),
      (packet.sequence ^ packet.acknowledgment) & 7 != 0
    {
      return
    }
    flows.insert(.tcp, localPort: packet.sourcePort, peer: packet.target, at: packet.time)
  }

  /// Whether a datagram to there may go to everybody in a network: all ones in as many bits as even a small one has. Which
  /// networks there are is not known here.
  private static func mayBeBroadcast(_ target: IPAddress) -> Bool { target.isV4 && target.v4Bits & 15 == 15 }

  /// A service of ours takes a connection, or a decoy.
  private mutating func noteOurAnswer(_ segment: Segment, isOfDecoy: Bool = false) {
    let key = segment.reverseKey(flowHash)
    if !asking.isEmpty, let position = asking.find(key) {
      if isOfDecoy { return settleAsUnused(position, .decoy) }
      let flow = asking[position]
      settleAsServed(position)
      connections.begin(
        key, HandshakeEnds.index(flow.source.low, flow.sourcePort), flow.handshake.sequence, flow.time, &ends)
    }
    if isOfDecoy { return }
    if let place = connections.find(key) {
      connections[place].handshake.answer = segment.sequence
      connections[place].handshake.knowsAnswer = true
      flows.insertUser(segment.target, port: segment.sourcePort, at: segment.time)
    } else if let position = pending.find(key) {
      pending.answer(position, &ends)
      pending[position].handshake.answer = segment.sequence
      pending[position].handshake.knowsAnswer = true
      if !pending[position].mark.isRaw {
        flows.insertUser(segment.target, port: segment.sourcePort, at: segment.time)
      }
    }
    // On a live host the kernel says what is served, and a decoy answers likewise.
    if !settings.asksForConnections { serve(.tcp, segment.source, segment.sourcePort) }
  }

  /// A packet of ours shows that something serves this port.
  private mutating func serve(_ transport: TransportProtocol, _ address: IPAddress, _ port: UInt16) {
    if transport == .tcp { noteService(port, Timestamp(seconds: Int64(lastServed[Int(port)]))) }
    landscape.learn(transport, address, port)
  }

  // MARK: Connections

  /// Remembers the first packet of a flow until it is known what came of it.
  private mutating func begin(_ packet: inout Packet, _ state: PendingFlows.State) {
    guard let position = begin(Segment(packet), packet.transport, state) else { return }
    pending[position].interface = packet.interface
    pending[position].mark = ToolMark(packet)
    guard state == .asked else { return }
    pending[position].flags = packet.flags
    pending[position].hasIPOptions = packet.hasIPOptions
    pending[position].isWeightless = packet.transport == .udp && Reflection.isAnswer(packet)
    pending[position].isDoubtful = packet.checksum == .unfinished
    pending[position].isWatched = interests[packet.transport, packet.targetPort].contains(.watched)
  }

  /// - Returns: where the flow is; nil for one that is there already, and where there is no room.
  private mutating func begin(
    _ segment: Segment, _ transport: TransportProtocol, _ state: PendingFlows.State
  ) -> Int? {
    let key = flowHash(
      segment.source, segment.sourcePort, segment.target, segment.targetPort, transport.rawValue)
    if let position = pending.find(key) {
      pending[position].repeats &+= pending[position].repeats == .max ? 0 : 1
      return nil
    }
    while pending.isFull { settleOldest() }
    return pending.insert(key, segment, transport, state, &ends)
  }

  // MARK: The answer judges

  /// Live: a candidate waits for what this host answers. A RST or a decoy's SYN/ACK make it a probe at once, a service's
  /// SYN/ACK or datagram makes it none; of those that nothing answers `takeUnanswered` asks.
  ///
  /// - Returns: false where no answer says anything, and where there is no room: the caller looks who serves it.
  package mutating func awaitAnswer(_ packet: inout Packet) -> Bool {
    guard settings.asksForConnections, packet.transport == .udp || packet.flags.subtracting(.congestion) == .syn else {
      return false
    }
    return ask(&packet, packet.transport.rawValue)
  }

  private mutating func ask(_ packet: inout Packet, _ number: UInt8) -> Bool {
    let segment = Segment(packet)
    let key = flowHash(segment.source, segment.sourcePort, segment.target, segment.targetPort, number)
    if let position = asking.find(key) {
      asking[position].repeats &+= asking[position].repeats == .max ? 0 : 1
      return true
    }
    guard !asking.isFull, let position = asking.insert(key, segment, packet.transport, .asked, &ends) else {
      return false
    }
    asking[position].mark = ToolMark(packet)
    asking[position].flags = packet.flags
    asking[position].hasIPOptions = packet.hasIPOptions
    asking[position].interface = packet.interface
    asking[position].isSCTP = number == 132
    guard number != 132 else { return true }
    asking[position].isWeightless = packet.transport == .udp && Reflection.isAnswer(packet)
    asking[position].isWatched = interests[packet.transport, packet.targetPort].contains(.watched)
    return true
  }

  private mutating func settleAsUnused(_ position: Int, _ answer: Probe.Answer) {
    let flow = asking[position]
    asking.settle(position, &ends)
    accuse(flow, answer)
  }

  /// Something served it: a listener that is newer than what is known or gone again, or another host to which it was translated.
  private mutating func settleAsServed(_ position: Int) {
    let flow = asking[position]
    asking.settle(position, &ends)
    if flow.transport == .tcp, !flow.isSCTP { landscape.isIncomplete = true }
    learnService(flow)
  }

  /// Whether a TCP port has answered as a service, since this was asked last, that `exposure` does not show: the socket tables may.
  package mutating func takeIncompleteness() -> Bool {
    defer { landscape.isIncomplete = false }
    return landscape.isIncomplete
  }

  private mutating func learnService(_ flow: PendingFlows.Flow) {
    dismissals[Int(Dismissal.served.rawValue)] &+= 1
    if flow.isSCTP { return }
    if flow.transport == .tcp { noteService(flow.targetPort, flow.time) }
    flows.insert(flow.transport, localPort: flow.targetPort, peer: flow.source, at: flow.time)
  }

  /// When the oldest question without an answer is due, in nanoseconds since 1970; `max` when there is none.
  package var answersDue: Int64 { asking.due }

  /// Judges the questions that nothing has answered in time.
  ///
  /// - Parameters:
  ///   - time: up to when all packets have been seen.
  ///   - isServed: whether the kernel would hand it to a socket; nil where it is not to be held against anybody.
  /// - Returns: whether one was served.
  package mutating func takeUnanswered(at time: Timestamp, _ isServed: (Question) -> Bool?) -> Bool {
    var found = false
    while time.nanoseconds >= asking.due, let flow = asking.takeOldest(&ends) {
      guard flow.state == .asked else { continue }
      let answer = flow.isSCTP ? false : isServed(Question(flow))
      if answer == false {
        if !waitsOn(flow) { accuse(flow, .silence) }
      } else {
        learnService(flow)
        if answer == true { found = true }
      }
    }
    return found
  }

  /// A port that answered lately with no socket of ours on it is translated to somebody who may be far away.
  private mutating func waitsOn(_ flow: PendingFlows.Flow) -> Bool {
    guard flow.transport == .tcp, !flow.isSCTP, lastServed[Int(flow.targetPort)] > 0,
      isServedLately(flow.targetPort, flow.time, within: FlowMemory.lifetime)
    else { return false }
    let segment = Segment(
      flow.source, flow.sourcePort, flow.target, flow.targetPort, flow.time, sequence: flow.handshake.sequence,
      flags: flow.flags)
    let key = segment.key(flowHash)
    while pending.isFull { settleOldest() }
    guard let position = pending.insert(key, segment, .tcp, .asked, &ends) else { return false }
    pending[position].mark = flow.mark
    pending[position].flags = flow.flags
    pending[position].hasIPOptions = flow.hasIPOptions
    pending[position].isWatched = flow.isWatched
    pending[position].repeats = flow.repeats
    return true
  }

  private func isServedLately(_ port: UInt16, _ time: Timestamp, within seconds: UInt32) -> Bool {
    let seen = lastServed[Int(port)]
    return seen > 0 && UInt32(truncatingIfNeeded: time.seconds) &- seen <= seconds
  }

  /// How long after its service has stopped a port is not held against those who used it: ten minutes, and twelve hours for what was
  /// served for two days.
  private static let (grace, longGrace): (UInt32, UInt32) = (600, 43_200)

  /// Whether a source asks again for a service that it used, and that has stopped a while ago.
  private func isForgiven(_ source: IPAddress, _ port: UInt16, _ time: Timestamp) -> Bool {
    let seen = lastServed[Int(port)]
    guard seen > 0 else { return false }
    let grace = seen &- servedSince[Int(port)] >= 172_800 ? Self.longGrace : Self.grace
    return isServedLately(port, time, within: grace)
      && (flows.isCustomer(source, port: port, at: time, within: Self.longGrace)
        || flows.isUser(source, port: port, at: time, within: Self.longGrace))
  }

  /// A connection to a service has ended: whoever was answered by it is its user, unless he left without a word.
  private mutating func noteUse(_ segment: Segment, _ step: Handshake.Step, began: Timestamp, isAnswered: Bool = true) {
    switch step {
    case .silent:
      flows.removeUser(segment.source, port: segment.targetPort, since: began)
      flows.insertCustomer(segment.source, port: segment.targetPort, at: segment.time)
    // It was answered long ago, or only its side is seen.
    case .spoke, .listened:
      if !isAnswered || segment.time.nanoseconds &- began.nanoseconds > 3_600_000_000_000 {
        flows.insertUser(segment.source, port: segment.targetPort, at: segment.time)
      }
    case .open: break
    }
  }

  /// Whether somebody who used a service lately asks for another of its family.
  private mutating func isNeighbour(_ port: UInt16, _ source: IPAddress, _ time: Timestamp) -> Bool {
    for family in ServiceFamily.allCases where family.isNear(port) {
      for service in family.services where service != port {
        if flows.isUser(source, port: service, at: time, within: Self.longGrace) { return true }
      }
    }
    return false
  }

  /// A connection that a decoy took, told by its listener. It is evidence whatever was seen of it, and proves its source unless
  /// it may have been guessed.
  package mutating func noteContact(_ contact: Segment, isGuessable: Bool = false) {
    if let position = asking.find(contact.key(flowHash)) { settleAsUnused(position, .decoy) }
    if !native.hasCounted(contact), !isForgiven(contact.source, contact.targetPort, contact.time) {
      record(
        Probe(
          time: contact.time, source: contact.source, sourcePort: contact.sourcePort, target: contact.target,
          targetPort: contact.targetPort, transport: .tcp, mode: settings.watch(.tcp)?.mode ?? .stealth,
          technique: .syn, flags: .syn),
        isWatched: interests[.tcp, contact.targetPort].contains(.watched))
      var touch = NativeRule.Touch(
        source: contact.source, target: contact.target, time: contact.time, technique: .syn, kind: .syn,
        port: contact.targetPort)
      touch.sourcePort = contact.sourcePort
      charge(touch)
    }
    if !isGuessable { native.prove(contact.source) }
  }

  /// An ACK, data, FIN or RST of a connection that is not settled.
  ///
  /// - Returns: whether there is such a connection.
  @discardableResult
  private mutating func progress(_ segment: Segment) -> Bool {
    let key = segment.key(flowHash)
    if let place = connections.find(key) {
      connections.uncount(place, &ends)
      let wasProven = connections[place].handshake.isProven
      let step = connections[place].handshake.take(segment)
      let (began, isProven) = (connections[place].began, connections[place].handshake.isProven)
      if isProven, !wasProven { noteProof(segment) }
      if step == .open, !segment.flags.contains(.rst) { return true }
      connections.remove(place, &ends)
      noteUse(segment, step, began: began)
      if step == .spoke {
        native.credit(segment.source, port: segment.targetPort, at: segment.time)
      } else if step == .silent, segment.time.nanoseconds &- began.nanoseconds <= PendingFlows.patience {
        native.noteSilence(segment, began: began, isProven: isProven)
      }
      return true
    }
    guard let position = pending.find(key) else { return false }
    if pending[position].state == .asked {
      // Only this direction was captured: a client goes on only where it was answered.
      if segment.flags.contains(.rst) { return true }
      guard segment.sequence == pending[position].handshake.sequence &+ 1 else { return true }
      pending.answer(position, &ends)
      serve(.tcp, segment.target, segment.targetPort)
    }
    let wasProven = pending[position].handshake.isProven
    let step = pending.take(segment, position, &ends)
    if pending[position].handshake.isProven, !wasProven { noteProof(segment) }
    if step == .open, !segment.flags.contains(.rst) { return true }
    let flow = pending[position]
    pending.settle(position, &ends)
    if !flow.mark.isRaw { noteUse(segment, step, began: flow.time, isAnswered: flow.handshake.knowsAnswer) }
    switch step {
    case .spoke: native.credit(segment.source, port: segment.targetPort, at: segment.time)
    case .silent where flow.mark.isRaw: chargeHalfOpen(flow)
    case .silent: native.noteSilence(segment, began: flow.time, isProven: flow.handshake.isProven)
    case .open, .listened: break
    }
    return true
  }

  /// A source has shown that it receives what we send.
  private mutating func noteProof(_ segment: Segment) {
    native.prove(segment.source)
    floods.uncount(.syn, segment.target, segment.targetPort)
  }

  /// RST or SYN/ACK from outside.
  private mutating func noteAnswer(_ packet: inout Packet, isServed: Bool) {
    if packet.flags.contains(.rst) {
      let hasAsked = native.noteReset(packet.source, identification: packet.identification)
      if progress(Segment(packet)) || hasAsked { return }
      if isServed { return noteFlood(.stray, &packet, isSampled: true) }
    }
    if flows.contains(.tcp, localPort: packet.targetPort, peer: packet.source, at: packet.time) { return }
    let seen = lastServed[Int(packet.targetPort)]
    if seen > 0, UInt32(truncatingIfNeeded: packet.time.seconds) &- seen <= FlowMemory.lifetime { return }
    noteFlood(.stray, &packet, isSampled: true)
    tell(oddities.count(packet.flags.contains(.rst) ? .reset : .synAck, Segment(packet)))
  }

  private mutating func chargeHalfOpen(_ flow: PendingFlows.Flow) {
    var touch = NativeRule.Touch(
      source: flow.source, target: flow.target, time: flow.time, technique: .syn, kind: .halfOpen,
      port: flow.targetPort)
    touch.sourcePort = flow.sourcePort
    touch.mark = flow.mark
    touch.isProven = flow.handshake.isProven
    charge(touch)
  }

  // MARK: Settling

  /// A candidate of which nobody can say yet whether something serves it: a capture tells by what came back.
  package mutating func wait(_ packet: inout Packet) {
    // Only a SYN and a datagram are answered by a service otherwise than by a closed port.
    if packet.transport == .udp || packet.flags.subtracting(.congestion) == .syn {
      begin(&packet, .asked)
    } else {
      accuse(&packet)
    }
  }

  /// Settles what has waited long enough at this moment. `consider` does so by itself; call it when no packets come.
  package mutating func advance(to time: Timestamp) {
    if time.nanoseconds >= pending.due { settleDue(time) }
  }

  /// Settles everything that waits: the capture is at its end.
  package mutating func finish() {
    while !pending.isEmpty { settleOldest() }
  }

  private mutating func settleDue(_ time: Timestamp) {
    while time.nanoseconds >= pending.due { settleOldest() }
  }

  private mutating func settleOldest() {
    // By the time it is its turn, what is known of its source is there.
    if let source = pending.upcoming(8) { native.prefetch(source) }
    guard let flow = pending.takeOldest(&ends) else { return }
    switch flow.state {
    case .asked where flow.isDoubtful: dismissals[Int(Dismissal.wrongChecksum.rawValue)] &+= 1
    case .asked: accuse(flow)
    // An ordinary client may be slow to speak; a raw SYN that nothing followed was all there was to come.
    case .answered: if flow.mark.isRaw { settleHalfOpen(flow) }
    case .empty: break
    }
  }

  private mutating func settleHalfOpen(_ flow: PendingFlows.Flow) {
    // What a connection says is seen in a capture; of a live host's only the ends are.
    guard settings.asksForConnections else { return chargeHalfOpen(flow) }
    if questions.count < Self.questionCapacity { questions.append(flow) }
  }

  /// What the kernel is asked about: the client's end of a flow, and ours.
  package struct Question: Sendable {
    package let transport: TransportProtocol
    package let source: IPAddress
    package let sourcePort: UInt16
    package let target: IPAddress
    package let targetPort: UInt16
    /// By which it came in; 0 when unknown.
    package let interface: Int32

    init(_ flow: PendingFlows.Flow) {
      (transport, interface) = (flow.transport, flow.interface)
      (source, sourcePort) = (flow.source, flow.sourcePort)
      (target, targetPort) = (flow.target, flow.targetPort)
    }
  }

  /// Asks about the half-open connections that are due.
  ///
  /// - Parameter isEstablished: whether the kernel has the connection.
  package mutating func takeQuestions(_ isEstablished: (Question) -> Bool) {
    guard !questions.isEmpty else { return }
    for flow in questions {
      if !isEstablished(Question(flow)) { chargeHalfOpen(flow) }
    }
    questions.removeAll(keepingCapacity: true)
  }

  private mutating func settle(_ position: Int) {
    let flow = pending[position]
    pending.settle(position, &ends)
    accuse(flow)
  }

  private mutating func accuse(_ flow: PendingFlows.Flow, _ answer: Probe.Answer = .unknown) {
    // Another flow may have shown in the meantime that the port is served.
    if settings.checksServices,
      flow.isSCTP
        ? landscape.servesSCTP(flow.targetPort) : landscape.serves(flow.transport, flow.target, flow.targetPort)
    {
      dismissals[Int(Dismissal.served.rawValue)] &+= 1
      return
    }
    if flow.isSCTP { return accuseSCTP(flow) }
    if flow.transport == .tcp, isForgiven(flow.source, flow.targetPort, flow.time) {
      dismissals[Int(Dismissal.straggler.rawValue)] &+= 1
      return
    }
    let technique: Technique = flow.transport == .udp ? .udp : Technique(flags: flow.flags)
    var event = Probe(
      time: flow.time, source: flow.source, sourcePort: flow.sourcePort, target: flow.target,
      targetPort: flow.targetPort, transport: flow.transport,
      mode: settings.watch(flow.transport)?.mode ?? .stealth, technique: technique, flags: flow.flags,
      hasIPOptions: flow.hasIPOptions)
    event.answer = answer
    for _ in 0...Int(flow.repeats) { record(event, isWatched: flow.isWatched) }
    var touch = NativeRule.Touch(
      source: flow.source, target: flow.target, time: flow.time, technique: technique,
      kind: PackedEvidence.Kind(technique), port: flow.targetPort)
    touch.transport = flow.transport
    touch.sourcePort = flow.sourcePort
    touch.mark = flow.mark
    touch.count = UInt32(flow.repeats) &+ 1
    touch.isWeightless = flow.isWeightless
    charge(touch)
  }

  /// The kernel says that a socket is there after all: remembered, so that the tail of its connections accuses nobody.
  package mutating func learnService(_ packet: Packet) {
    dismissals[Int(Dismissal.served.rawValue)] &+= 1
    if packet.transport == .tcp { noteService(packet.targetPort, packet.time) }
    flows.insert(packet.transport, localPort: packet.targetPort, peer: packet.source, at: packet.time)
  }

  /// A flow that was there before we were.
  package mutating func learnFlow(
    _ transport: TransportProtocol, localPort: UInt16, peer: IPAddress, at time: Timestamp
  ) {
    flows.insert(transport, localPort: localPort, peer: peer, at: time)
  }

  /// Ports that are or were served until `time`.
  package mutating func noteServices(_ ports: PortSet, at time: Timestamp) {
    for range in ports.ranges {
      for port in range { noteService(port, time) }
    }
  }

  @inline(__always)
  private mutating func noteService(_ port: UInt16, _ time: Timestamp) {
    let now = UInt32(truncatingIfNeeded: time.seconds)
    if now &- lastServed[Int(port)] > 172_800 { servedSince[Int(port)] = now }
    lastServed[Int(port)] = now
  }

  /// Makes a candidate that nothing serves into a probe, and counts it against its source.
  package mutating func accuse(_ packet: inout Packet) {
    if packet.transport == .tcp, packet.flags.subtracting(.congestion) == .syn,
      isForgiven(packet.source, packet.targetPort, packet.time)
    {
      dismissals[Int(Dismissal.straggler.rawValue)] &+= 1
      return
    }
    let technique: Technique = packet.transport == .udp ? .udp : Technique(flags: packet.flags)
    record(
      Probe(
        time: packet.time, source: packet.source, sourcePort: packet.sourcePort, target: packet.target,
        targetPort: packet.targetPort, transport: packet.transport,
        mode: settings.watch(packet.transport)?.mode ?? .stealth, technique: technique, flags: packet.flags,
        hasIPOptions: packet.hasIPOptions),
      isWatched: interests[packet.transport, packet.targetPort].contains(.watched))
    charge(&packet)
  }

  /// Evidence for the native rule alone.
  private mutating func charge(_ packet: inout Packet) {
    let technique: Technique = packet.transport == .udp ? .udp : Technique(flags: packet.flags)
    var touch = NativeRule.Touch(
      source: packet.source, target: packet.target, time: packet.time,
      technique: ToolMarks.isOSDetection(packet) ? .osDetection : technique,
      kind: PackedEvidence.Kind(technique), port: packet.targetPort)
    touch.transport = packet.transport
    touch.sourcePort = packet.sourcePort
    touch.mark = ToolMark(packet)
    touch.isWeightless = packet.transport == .udp && Reflection.isAnswer(packet)
    charge(touch)
  }

  private mutating func charge(_ touch: NativeRule.Touch) {
    // `-S`: the classic rule counts touches of services too.
    if !settings.checksServices, touch.kind == .syn || touch.kind == .udp,
      landscape.serves(touch.transport, touch.target, touch.port)
    {
      return
    }
    var touch = touch
    touch.isFriend = flows.isFriend(touch.source, at: touch.time)
    if touch.kind == .syn || touch.kind == .connect {
      touch.isNeighbour =
        touch.isFriend && ServiceFamily.isAskedBack(touch.port) || isNeighbour(touch.port, touch.source, touch.time)
    }
    let kind: FloodWatch.Kind =
      touch.transport == .udp ? .udp : touch.kind == .syn || touch.kind == .halfOpen ? .syn : .stray
    if floods.isFlooded(kind, touch.target, touch.port, at: touch.time) { touch.isWeightless = true }
    native.charge(touch)
    if let crowd = native.crowd {
      native.crowd = nil
      if let flood = floods.noteCrowd(crowd.target, crowd.source, at: crowd.time) {
        others.append(Self.verdict(floods[flood]))
      }
    }
  }

  /// Counts an event against its source: whether it is our own, and has reached SCAN_TRIGGER. Also for what connect mode
  /// accepts.
  package mutating func accuse(connection event: Probe) {
    record(event, isWatched: true)
    var touch = NativeRule.Touch(
      source: event.source, target: event.target, time: event.time, technique: event.technique,
      kind: event.transport == .udp ? .udp : .connect, port: event.targetPort)
    touch.transport = event.transport
    touch.sourcePort = event.sourcePort
    charge(touch)
    if event.transport == .tcp, !event.isGuessable { native.prove(event.source) }
  }

  private mutating func record(_ event: Probe, isWatched: Bool) {
    // Nobody reads a hundred thousand lines of invented sources; what a mode watches must not be lost among them.
    if !isWatched, isPartOfFlood(event) {
      dismissals[Int(Dismissal.flood.rawValue)] &+= 1
      return
    }
    var probe = event
    probe.isWatched = isWatched
    probe.isOwnAddress = event.source == event.target || landscape.isLocal(event.source)
    // 2.x: one count for all; 1.2: one process, and so one count, for each protocol.
    let scope: UInt8 = settings.countsModesApart ? event.transport.rawValue : 0
    probe.isTriggered =
      isWatched && triggers.count(event.source, scope: scope, at: event.time) >= max(settings.scanTrigger, 1)
    probes.append(probe)
  }

  private mutating func isPartOfFlood(_ event: Probe) -> Bool {
    let kind: FloodWatch.Kind =
      switch event.technique {
      case .udp: .udp
      case .syn, .connect: .syn
      case .icmp: .icmp
      default: .stray
      }
    return native.isCrowded(at: event.time)
      || floods.isFlooded(kind, event.target, kind == .icmp ? 0 : event.targetPort, at: event.time)
  }

  // MARK: Other protocols

  /// Judges an ICMP message, an SCTP packet or one of another protocol.
  package mutating func considerOther(_ packet: inout Packet, _ outcome: DecodeOutcome) {
    guard settings.judgesOtherProtocols else { return dismissOther() }
    if packet.isOutgoing {
      noteOtherOutgoing(&packet, outcome)
      dismissals[Int(Dismissal.outgoing.rawValue)] &+= 1
      return
    }
    guard landscape.isLocal(packet.target), !isImpossible(&packet) else {
      dismissals[Int(Dismissal.notOurs.rawValue)] &+= 1
      return
    }
    switch outcome {
    case .icmp: considerICMP(&packet)
    case .sctp: considerSCTP(&packet)
    default:
      charge(&packet, .ipProtocol, port: UInt16(packet.protocolNumber))
    }
  }

  private mutating func dismissOther() { dismissals[Int(Dismissal.otherProtocol.rawValue)] &+= 1 }

  private mutating func noteOtherOutgoing(_ packet: inout Packet, _ outcome: DecodeOutcome) {
    if outcome == .sctp {
      let key = flowHash(packet.target, packet.targetPort, packet.source, packet.sourcePort, 132)
      if packet.messageType == 2 {  // INIT ACK
        landscape.learnSCTP(packet.sourcePort)
        if !asking.isEmpty, let position = asking.find(key) { return settleAsServed(position) }
        if !pending.isEmpty, let position = pending.find(key) { pending.settle(position, &ends) }
      } else if packet.messageType == 6 {  // ABORT
        if !asking.isEmpty, let position = asking.find(key) { return settleAsUnused(position, .reset) }
        if !pending.isEmpty, let position = pending.find(key) { settle(position) }
      }
      return
    }
    // "Port unreachable" from us: what is asked for is not served. Its quoted source is whoever asked.
    guard outcome == .icmp, packet.quotedProtocol == 17, !pending.isEmpty else { return }
    let key = flowHash(packet.target, packet.sourcePort, packet.quotedTarget, packet.targetPort, 17)
    if let position = pending.find(key), pending[position].state == .asked { settle(position) }
  }

  private mutating func considerICMP(_ packet: inout Packet) {
    let isV4 = packet.source.isV4
    switch packet.messageType {
    case 8 where isV4, 128 where !isV4:
      noteFlood(.icmp, &packet, isSampled: true)
      charge(&packet, .icmp, port: UInt16(packet.messageType))
    case 13 where isV4, 15 where isV4, 17 where isV4:
      charge(&packet, .icmp, port: UInt16(packet.messageType))
    case 3 where isV4, 11 where isV4, 1 where !isV4, 3 where !isV4:
      // An error about something that we never sent: somebody else sent it in our name.
      let transport: TransportProtocol? =
        packet.quotedProtocol == 6 ? .tcp : packet.quotedProtocol == 17 ? .udp : nil
      guard let transport, packet.sourcePort != 0,
        !flows.contains(transport, localPort: packet.sourcePort, peer: packet.quotedTarget, at: packet.time),
        !landscape.serves(transport, packet.target, packet.sourcePort)
      else { return dismissOther() }
      tell(oddities.count(.icmpError, Segment(packet)))
      dismissals[Int(Dismissal.answer.rawValue)] &+= 1
    default: dismissOther()
    }
  }

  private mutating func considerSCTP(_ packet: inout Packet) {
    guard !landscape.servesSCTP(packet.targetPort) else {
      dismissals[Int(Dismissal.served.rawValue)] &+= 1
      return
    }
    switch packet.messageType {
    case 1:  // INIT: what this host answers says whether something serves it.
      if settings.asksForConnections {
        if !ask(&packet, 132) { charge(&packet, .sctpInit, port: packet.targetPort) }
        return
      }
      let segment = Segment(packet)
      let key = flowHash(segment.source, segment.sourcePort, segment.target, segment.targetPort, 132)
      if let position = pending.find(key) {
        pending[position].repeats &+= pending[position].repeats == .max ? 0 : 1
        return
      }
      while pending.isFull { settleOldest() }
      guard let position = pending.insert(key, segment, .tcp, .asked, &ends) else { return }
      pending[position].isSCTP = true
      pending[position].hasIPOptions = packet.hasIPOptions
      pending[position].mark = ToolMark(packet)
    case 10: charge(&packet, .sctpCookieEcho, port: packet.targetPort)
    default: dismissOther()
    }
  }

  private mutating func accuseSCTP(_ flow: PendingFlows.Flow) {
    let probe = Probe(
      time: flow.time, source: flow.source, sourcePort: flow.sourcePort, target: flow.target,
      targetPort: flow.targetPort, transport: .tcp, mode: .stealth, technique: .sctpInit,
      hasIPOptions: flow.hasIPOptions)
    for _ in 0...Int(flow.repeats) { record(probe, isWatched: false) }
    var touch = NativeRule.Touch(
      source: flow.source, target: flow.target, time: flow.time, technique: .sctpInit,
      kind: PackedEvidence.Kind(.sctpInit), port: flow.targetPort)
    touch.mark = flow.mark
    touch.count = UInt32(flow.repeats) &+ 1
    native.charge(touch)
  }

  private mutating func charge(_ packet: inout Packet, _ technique: Technique, port: UInt16) {
    record(
      Probe(
        time: packet.time, source: packet.source, sourcePort: packet.sourcePort, target: packet.target,
        targetPort: port, transport: .tcp, mode: .stealth, technique: technique, hasIPOptions: packet.hasIPOptions),
      isWatched: false)
    var touch = NativeRule.Touch(
      source: packet.source, target: packet.target, time: packet.time, technique: technique,
      kind: PackedEvidence.Kind(technique), port: port)
    touch.mark = ToolMark(packet)
    touch.isWeightless =
      technique == .icmp && floods.isFlooded(.icmp, packet.target, 0, at: packet.time)
    native.charge(touch)
  }

  // MARK: Floods and backscatter

  private mutating func noteFlood(_ kind: FloodWatch.Kind, _ packet: inout Packet, isSampled: Bool = false) {
    var point = Segment(packet).point
    if kind == .icmp { point.port = 0 }
    noteFlood(kind, point, isSampled: isSampled)
  }

  private mutating func noteFlood(_ kind: FloodWatch.Kind, _ point: FloodWatch.Point, isSampled: Bool = false) {
    guard let flood = floods.count(kind, point, shift: isSampled ? samplingShift : 0) else { return }
    others.append(Self.verdict(floods[flood]))
  }

  private mutating func tell(_ record: OddityTable.Record?) {
    if let record { others.append(Self.verdict(record)) }
  }

  private static func verdict(_ flood: FloodWatch.Flood) -> Verdict {
    let source =
      flood.hasMany ? IPNetwork(flood.source, length: 0)! : IPNetwork(flood.source)
    var verdict = Verdict(.flood, source: source, first: flood.first, last: flood.last)
    verdict.sources = flood.sources
    verdict.probes = UInt32(clamping: flood.packets)
    verdict.ports = 1
    verdict.targets = 1
    verdict.port = flood.port
    verdict.transport = flood.kind == .udp ? .udp : .tcp
    verdict.techniques =
      switch flood.kind {
      case .syn, .scattered: TechniqueSet(.syn)
      case .stray: TechniqueSet(.ack)
      case .udp: TechniqueSet(.udp)
      case .icmp: TechniqueSet(.icmp)
      }
    return verdict
  }

  private static func verdict(_ record: OddityTable.Record) -> Verdict {
    let isBackscatter = !record.kinds.isDisjoint(with: .backscatter)
    let kind: Verdict.Class = isBackscatter ? .backscatter : record.kinds.contains(.udpAnswer) ? .flood : .anomaly
    var verdict = Verdict(kind, source: IPNetwork(record.source), first: record.first, last: record.last)
    verdict.probes = record.count
    verdict.ports = UInt32(record.portSketch.nonzeroBitCount)
    verdict.targets = 1
    verdict.port = record.service
    verdict.transport = record.kinds.contains(.udpAnswer) ? .udp : .tcp
    if record.kinds.contains(.udpAnswer) { verdict.techniques = TechniqueSet(.udp) }
    return verdict
  }

  // MARK: Everything so far

  /// Lends the scans that were found, as they stand now, each with the ports that are known of it. For the end of a replay.
  ///
  /// - Parameter suspects: also sources that have not come to a verdict: their score is below the threshold.
  package mutating func forEachScan(
    suspects: Bool = false, _ body: (Verdict, _ tcp: PortRanges, _ udp: PortRanges) -> Void
  ) {
    native.forEachConviction(suspects: suspects, body)
  }

  /// Scans from many addresses that act as one, with their members.
  package mutating func campaigns() -> [(verdict: Verdict, members: [IPAddress], ports: PortSet)] {
    native.allCampaigns()
  }

  /// Floods, backscatter and anomalies.
  package func otherVerdicts() -> [Verdict] {
    var result: [Verdict] = []
    floods.forEach { result.append(Self.verdict($0)) }
    // What a scanner's own stack answers us is no backscatter.
    oddities.forEach { if $0.count >= 3, !native.isConvicted($0.source) { result.append(Self.verdict($0)) } }
    return result
  }

  /// What is known of a source, whether or not it has come to a verdict; its `score` and `evidence` say how near it is.
  package mutating func standing(of source: IPAddress) -> Verdict? { native.standing(of: source) }

  /// What a source's probes say of the program that made them, by themselves.
  package static func tool(of packets: [Packet]) -> Tool {
    var marks = ToolMarks()
    for packet in packets { marks.note(ToolMark(packet)) }
    return marks.tool
  }

  package func checkInvariants() { native.checkInvariants() }
}

/// Datagrams that are answers by their looks: reflected floods and late replies.
enum Reflection {
  /// Services whose answers are larger than what asks for them, or are asked all the time: their replies come unasked
  /// when somebody else asks in our name.
  private static func isReflector(_ port: UInt16) -> Bool {
    switch port {
    case 17, 19, 53, 69, 111, 123, 137, 161, 177, 389, 427, 500, 520, 623, 1194, 1434, 1604, 1645, 1701, 1812, 1900,
      2123, 3283, 3478, 3659, 3702, 4500, 5060, 5093, 5351, 5353, 5683, 6881, 6889, 7001, 10001, 10074, 11211, 17185,
      20800, 26000, 27005, 27015, 27960, 28015, 30120, 30718, 32414, 33848, 37020, 37810, 47808:
      true
    default: false
    }
  }

  /// Ports that hosts ask, rather than ask from: an answer to one of these is none, whatever it comes from.
  static func isAnswer(_ packet: borrowing Packet) -> Bool {
    guard isReflector(packet.sourcePort), packet.payloadLength > 0 else { return false }
    // Nobody asks with so many bytes, and not a port that nothing is known to serve.
    if packet.targetPort >= 1024, packet.payloadLength >= 100 { return true }
    let start = packet.payloadStart
    switch packet.sourcePort {
    case 53, 5353: return start >> 8 & 0x80 != 0  // QR (RFC 1035 section 4.1.1)
    case 123:
      // Server, broadcast, and control or private messages with the response bit (RFC 5905 section 7.3).
      let first = UInt8(truncatingIfNeeded: start >> 24)
      return [4, 5].contains(first & 7) || (first & 7 == 6 && start >> 16 & 0x80 != 0)
        || (first & 7 == 7 && first & 0x80 != 0)
    case 1900: return start == 0x4854_5450  // HTTP
    default:
      // Without knowledge of the protocol: an answer goes back to a port that somebody asked from.
      return packet.targetPort >= 1024
    }
  }
}
