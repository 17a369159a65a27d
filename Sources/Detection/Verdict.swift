import Wire

/// What became clear about a source, with the evidence on which it rests.
///
/// A fixed-size value: it goes through the queue from the thread that sees to the one that acts.
package struct Verdict: Sendable, BitwiseCopyable {
  package enum Class: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// It looks for what is there.
    case scan
    /// Answers to packets that somebody else sent in our name: the source is a victim.
    case backscatter
    /// A mass of packets at one point, whatever their source addresses say.
    case flood
    /// Odd, and no scan.
    case anomaly

    package var name: String {
      switch self {
      case .scan: "scan"
      case .backscatter: "backscatter"
      case .flood: "flood"
      case .anomaly: "anomaly"
      }
    }
  }

  static let slowGap: Int64 = 60_000_000_000

  /// How many reasons a verdict carries. Of more, those after the threshold was passed are counted, not kept.
  package static let evidenceCapacity = 16

  package var verdictClass: Class
  /// The source: one address as a rule; for sources that change their address within a prefix, the prefix.
  package var source: IPNetwork
  package var origin = Origin.unproven
  package var techniques: TechniqueSet = []
  package var kind = ScanKind.vertical
  /// A minute or more from one new target to the next, in the mean: too slow for detectors that count in a window.
  package var isSlow = false
  package var tool = Tool.unknown
  package var first: Timestamp
  package var last: Timestamp
  /// Packets that counted.
  package var probes: UInt32 = 0
  /// Distinct ports touched; estimated where the source has no place in `PortLog`.
  package var ports: UInt32 = 0
  /// Distinct addresses of ours that were touched, estimated.
  package var targets: UInt32 = 0
  /// How many sources it speaks of: more than one for a campaign, or an estimate for a flood.
  package var sources: UInt32 = 1
  /// The source numbers its packets so that it may be an idle scan's zombie: then another scans in its name.
  package var mayBeZombie = false
  /// Other sources sent the very same packets at the same time (nmap -D): at most one of them is real.
  package var mayBeDecoy = false
  /// The sum of all weights, and the bound it passed, in thousandths of a nat.
  package var score: Int32 = 0
  package var threshold: Int32 = 0
  /// The port of the packet that made the verdict.
  package var port: UInt16 = 0
  package var transport = TransportProtocol.tcp
  private var storedEvidence = InlineArray<16, Evidence>(
    repeating: Evidence(.unusedPort, .syn, port: 0, weight: 0))
  private var evidenceCount: UInt8 = 0

  package init(_ verdictClass: Class, source: IPNetwork, first: Timestamp, last: Timestamp) {
    self.verdictClass = verdictClass
    self.source = source
    self.first = first
    self.last = last
  }

  /// Adds a reason; beyond `evidenceCapacity` it is left out.
  package mutating func add(_ reason: Evidence) {
    guard evidenceCount < UInt8(Self.evidenceCapacity) else { return }
    storedEvidence[Int(evidenceCount)] = reason
    evidenceCount += 1
  }

  /// The reasons in the order in which they came.
  package var evidence: [Evidence] {
    get { (0..<Int(evidenceCount)).map { storedEvidence[$0] } }
    set {
      evidenceCount = UInt8(min(newValue.count, Self.evidenceCapacity))
      for index in 0..<Int(evidenceCount) { storedEvidence[index] = newValue[index] }
    }
  }
}
