import Detection
import Response
import Wire

/// A source as the journal has it.
package struct Source: Sendable, Equatable {
  package var id: Int64
  package var network: IPNetwork
  package var first: Timestamp
  package var last: Timestamp
  /// Of all the time that is kept.
  package var probes: UInt64
  package var techniques: TechniqueSet
  /// How many ports it touched, estimated beyond a few.
  package var ports: Int
  /// Which of our addresses it touched last.
  package var target: IPAddress?
  package var isIgnored: Bool
  package var origin: Origin
  /// How the origin was proven, and when.
  package var proof: Event.Proof?
  package var proven: Timestamp?
  /// Of the newest verdict.
  package var verdict: Verdict.Class?
  package var tool: Tool
  /// What the DNS calls it. Its owner chose it: escape it.
  package var name: String?
  /// The port it sent from last.
  package var sourcePort: UInt16?

  package init(
    id: Int64, network: IPNetwork, first: Timestamp, last: Timestamp, probes: UInt64 = 0,
    techniques: TechniqueSet = [], ports: Int = 0, target: IPAddress? = nil, isIgnored: Bool = false,
    origin: Origin = .unproven, proof: Event.Proof? = nil, proven: Timestamp? = nil, verdict: Verdict.Class? = nil,
    tool: Tool = .unknown, name: String? = nil, sourcePort: UInt16? = nil
  ) {
    self.id = id
    self.network = network
    self.first = first
    self.last = last
    self.probes = probes
    self.techniques = techniques
    self.ports = ports
    self.target = target
    self.isIgnored = isIgnored
    self.origin = origin
    self.proof = proof
    self.proven = proven
    self.verdict = verdict
    self.tool = tool
    self.name = name
    self.sourcePort = sourcePort
  }
}

/// What became clear about a source, and how it went on.
package struct Scan: Sendable, Equatable {
  package var id: Int64
  package var source: IPNetwork
  package var verdictClass: Verdict.Class
  package var origin: Origin
  package var techniques: TechniqueSet
  package var kind: ScanKind
  package var isSlow: Bool
  package var tool: Tool
  package var first: Timestamp
  package var last: Timestamp
  package var probes: UInt64
  package var ports: UInt64
  package var targets: UInt64
  /// Thousandths of a nat, likewise `threshold`.
  package var score: Int64
  package var threshold: Int64
  package var port: UInt16
  package var transport: TransportProtocol
  package var evidence: [Evidence]
  /// How many sources it speaks of: more than one for a campaign.
  package var sources: UInt64
  /// Another may have scanned in its name (an idle scan), or it is one of several of which at most one is real (nmap -D).
  package var mayBeZombie: Bool
  package var mayBeDecoy: Bool

  package init(
    id: Int64, source: IPNetwork, verdictClass: Verdict.Class = .scan, origin: Origin = .unproven,
    techniques: TechniqueSet = [], kind: ScanKind = .vertical, isSlow: Bool = false, tool: Tool = .unknown,
    first: Timestamp, last: Timestamp, probes: UInt64 = 0, ports: UInt64 = 0, targets: UInt64 = 0, score: Int64 = 0,
    threshold: Int64 = 0, port: UInt16 = 0, transport: TransportProtocol = .tcp, evidence: [Evidence] = [],
    sources: UInt64 = 1, mayBeZombie: Bool = false, mayBeDecoy: Bool = false
  ) {
    self.id = id
    self.source = source
    self.verdictClass = verdictClass
    self.origin = origin
    self.techniques = techniques
    self.kind = kind
    self.isSlow = isSlow
    self.tool = tool
    self.first = first
    self.last = last
    self.probes = probes
    self.ports = ports
    self.targets = targets
    self.score = score
    self.threshold = threshold
    self.port = port
    self.transport = transport
    self.evidence = evidence
    self.sources = sources
    self.mayBeZombie = mayBeZombie
    self.mayBeDecoy = mayBeDecoy
  }

  package var duration: Duration { max(last - first, .zero) }

  /// Seconds without a probe that end a scan: an hour, and a week for one that is slow by nature.
  static func pause(isSlow: Bool) -> Int64 { isSlow ? 7 * 86_400 : 3600 }

  package func isOver(at now: Timestamp) -> Bool { now - last > .seconds(Self.pause(isSlow: isSlow)) }
}

/// A block that was made, and how it ended.
package struct PastBlock: Sendable, Equatable {
  package var id: Int64
  package var record: BlockRecord
  /// How often the network had been blocked before.
  package var repeats: Int
  package var ended: Timestamp?
  package var because: String?
  /// The newest probe of the network: after the end, it has come back.
  package var lastProbe: Timestamp?

  /// `Block.Record` with the methods as they were written.
  package struct BlockRecord: Sendable, Equatable {
    package var network: IPNetwork
    package var since: Timestamp
    package var until: Timestamp?
    package var methods: String
    package var port: UInt16
    package var transport: TransportProtocol
    package var mode: String
    package var reason: String
    /// The hosts of the fleet that it rests on; none for a block of this host's own.
    package var witnesses: [FleetCause.Witness]
    /// By hand, or by the fleet: no probe led to it.
    package var isWithoutProbe: Bool {
      [Block.Record.operatorMode, Block.Record.fleetMode, Block.Record.crowdSecMode].contains {
        mode.isSameBytes(as: $0)
      }
    }

    package init(
      network: IPNetwork, since: Timestamp, until: Timestamp?, methods: String, port: UInt16,
      transport: TransportProtocol, mode: String, reason: String, witnesses: [FleetCause.Witness] = []
    ) {
      self.network = network
      self.since = since
      self.until = until
      self.methods = methods
      self.port = port
      self.transport = transport
      self.mode = mode
      self.reason = reason
      self.witnesses = witnesses
    }
  }

  package init(
    id: Int64, record: BlockRecord, repeats: Int = 0, ended: Timestamp? = nil, because: String? = nil,
    lastProbe: Timestamp? = nil
  ) {
    self.id = id
    self.record = record
    self.repeats = repeats
    self.ended = ended
    self.because = because
    self.lastProbe = lastProbe
  }

  /// Whether it came again after the block had ended.
  package var cameBack: Bool { ended.map { end in lastProbe.map { $0 > end } ?? false } ?? false }
  /// Whether it went on while it was shut out: its packets are still seen.
  package var wentOn: Bool { lastProbe.map { $0 - record.since > .seconds(60) } ?? false }
}

/// What a note is about. The numbers are part of the file format.
package enum NoteKind: UInt8, Sendable, CaseIterable {
  case verdict = 1
  case proven
  case blocked
  case refused
  case released
  case lost
  case started
  case stopped
  case blind
  case seeing

  package var name: String { "\(self)" }
}

/// A line of the book: an event, with what it refers to.
package struct Note: Sendable, Equatable {
  package var id: Int64
  package var time: Timestamp
  package var kind: NoteKind
  package var subject: IPNetwork?
  /// A port, or how many were lost.
  package var number: Int64?
  package var text: String?
  package var scan: Scan?
  package var block: PastBlock?

  package init(
    id: Int64, time: Timestamp, kind: NoteKind, subject: IPNetwork? = nil, number: Int64? = nil, text: String? = nil,
    scan: Scan? = nil, block: PastBlock? = nil
  ) {
    self.id = id
    self.time = time
    self.kind = kind
    self.subject = subject
    self.number = number
    self.text = text
    self.scan = scan
    self.block = block
  }
}

/// An hour of everybody.
package struct Hour: Sendable, Equatable {
  /// Since 1970, UTC.
  package var hour: Int64
  package var probes: UInt64
  package var ignored: UInt64
  /// Distinct ones.
  package var sources: UInt64
  /// Sources that had not been seen before, as far back as sources are kept.
  package var newcomers: UInt64

  package init(hour: Int64, probes: UInt64 = 0, ignored: UInt64 = 0, sources: UInt64 = 0, newcomers: UInt64 = 0) {
    self.hour = hour
    self.probes = probes
    self.ignored = ignored
    self.sources = sources
    self.newcomers = newcomers
  }

  package var start: Timestamp { Timestamp(seconds: hour * 3600) }
}
