import Detection
import Response
import Wire

/// Something that happened and is kept: the one stream that the journal, the pages and the other outputs are fed from.
///
/// Values only. Whoever makes one has escaped nothing: writers do that for their own format.
package enum Event: Sendable {
  package typealias Proof = Detection.Proof

  /// What was lost, so that no number is taken for more than it is.
  package enum Loss: UInt8, Sendable, CaseIterable {
    /// Packets: the ring was full.
    case ring
    /// Probes: the queue between the threads was full.
    case queue
    /// Sources forgotten by the detector to make room.
    case sources
    /// Records that the journal could not write.
    case journal
    /// Doubts that found no room in the kernel's set.
    case doubts

    package var name: String {
      switch self {
      case .ring: "ring"
      case .queue: "queue"
      case .sources: "sources"
      case .journal: "journal"
      case .doubts: "doubts"
      }
    }
  }

  case probe(Probe)
  case verdict(Verdict)
  case proven(IPAddress, Proof, port: UInt16, at: Timestamp)
  /// - Parameter repeats: how often the network had been blocked before.
  case blocked(Block.Record, repeats: Int)
  /// A block that was asked for and not made.
  case refused(IPAddress, because: String, at: Timestamp)
  case released(IPNetwork, because: String, at: Timestamp)
  case lost(Loss, count: UInt64, at: Timestamp)
  case started(at: Timestamp)
  case stopped(at: Timestamp)
  /// Nothing can be seen (no interface is up, capture failed), and seen again.
  case blind(at: Timestamp)
  case seeing(at: Timestamp)
  /// What a source is called in the DNS. Whoever owns the address chose the name.
  case named(IPAddress, String)
}
