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

  /// How many reasons a verdict carries. Of more, those after the threshold was passed are counted, not kept.
  package static let evidenceCapacity = 16

  package var verdictClass: Class
  /// The source: one address as a rule; for sources that change their address within a prefix, the prefix.
  package var source: IPNetwork
  package var origin = Origin.unproven
  package var techniques: TechniqueSet = []
  package var kind = ScanKind.vertical
  /// Slower than any clock would have caught: more than five minutes from one new target to the next, in the mean.
  package var isSlow = false
  package var tool = Tool.unknown
  package var first: Timestamp
  package var last: Timestamp
  /// Packets that counted.
  package var probes: UInt32 = 0
  /// Distinct ports touched, estimated beyond 16.
  package var ports: UInt32 = 0
  /// Distinct addresses of ours that were touched, estimated beyond 16.
  package var targets: UInt32 = 0
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

  /// The reasons in the order in which they came.
  package var evidence: [Evidence] {
    get { (0..<Int(evidenceCount)).map { storedEvidence[$0] } }
    set {
      evidenceCount = UInt8(min(newValue.count, Self.evidenceCapacity))
      for index in 0..<Int(evidenceCount) { storedEvidence[index] = newValue[index] }
    }
  }
}
