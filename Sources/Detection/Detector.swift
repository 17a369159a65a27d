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
    /// A probe, if nothing serves the port at this moment. The caller asks the kernel and calls `makeProbe` or
    /// `learnService`; or, where nobody can be asked, `wait`.
    case candidate
  }

  package internal(set) var settings: Settings
  /// What this host is and serves; replaced whenever the kernel says so.
  package var exposure: Exposure {
    get { landscape.value }
    set { landscape.replace(with: newValue) }
  }
  var landscape: Landscape
  var interests: Interests
  /// How many packets were dismissed, by `Dismissal.rawValue`.
  var dismissals = InlineArray<16, UInt64>(repeating: 0)
  var flows: FlowMemory
  var triggers: TriggerTable
  var connections: ConnectionTable
  var pending: PendingFlows
  /// Live: questions that this host has not answered yet.
  var asking: PendingFlows
  var ends = HandshakeEnds()
  let flowHash: KeyedHash
  var native: NativeRule
  var oddities: OddityTable
  var floods: FloodWatch
  var setups: SetupNews
  var delayed = TouchDelay()
  /// Not later than the next is due of what waits, for an answer or for a service to be used: each packet asks, so it is kept. What leaves
  /// before its time does not raise it.
  var due = Int64.max
  /// When each TCP port was last seen served, in seconds; 0: never. For stragglers only.
  var lastServed: Slab<UInt32>
  /// Since when it is, by and large: a gap of less than two days does not count.
  var servedSince: Slab<UInt32>
  /// SYNs to services that no ordinary system sends, which nothing has followed that was seen: at most 256 wait to be asked
  /// about. Of more nothing is held against anybody.
  var questions: [PendingFlows.Flow] = []
  static let questionCapacity = 256
  /// One in 2^n of the sources that touch services in unusual ways is seen here (`KernelFilter.Sampling.others`).
  package var samplingShift: UInt8 = 0
  /// What was found and not yet taken.
  var probes: [Probe] = []
  var others: [Verdict] = []

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
    setups = SetupNews(key: (key.0 ^ 0x7365_7475, key.1))
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
    if packet.time.nanoseconds >= due { settleDue(packet.time) }
    if let dismissal = dismissal(of: &packet, bytes) {
      dismissals[Int(dismissal.rawValue)] &+= 1
      return .dismissed(dismissal)
    }
    return .candidate
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
  mutating func judge(_ packet: inout Packet, _ outcome: DecodeOutcome, _ bytes: RawSpan) {
    if outcome == .packet {
      if case .candidate = consider(&packet, in: bytes) { wait(&packet) }
    } else {
      considerOther(&packet, outcome)
    }
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
