import Fleet
import Testing
import Wire

/// What is said of one address, in whatever order it comes, and what follows. Times are hours since the beginning.
///
/// `3@1.5` node 3 saw it; `3v@1` its verdict; `-3@2` node 3 takes it back; `u@2` an operator unbans; `a@2-9` allows until 9, `a@2` for ever;
/// `r3@2` revokes node 3; `k4` quorum; `z2` zones (node n is in zone (n - 1) % 3); `now@5`.
struct LedgerRow: CustomTestStringConvertible, Sendable {
  let words: String
  /// `ban@2`: banned, the quorum complete at 2. `watch2`: two speak against it. `-`: nothing.
  let expected: String

  init(_ words: String, _ expected: String) {
    self.words = words
    self.expected = expected
  }

  var testDescription: String { "\(words) → \(expected)" }

  static let all: [LedgerRow] = [
    // The quorum.
    LedgerRow("now@0", "-"),
    LedgerRow("1@1 now@1", "watch1"),
    LedgerRow("1@1 2@1 now@1", "watch2"),
    LedgerRow("1@1 2@1 3@1 now@1", "ban@1"),
    LedgerRow("1@1 2@2 3@3 now@3", "ban@3"),
    LedgerRow("1@1 2@2 3@3 4@4 now@4", "ban@4"),
    LedgerRow("1@1 2@2 3@3 4@4 5@5 6@6 7@7 now@7", "ban@7"),
    LedgerRow("1v@1 2v@2 3v@3 now@3", "ban@3"),
    LedgerRow("1@1 2v@2 3@3 now@3", "ban@3"),
    LedgerRow("1@1 1@2 1@3 now@3", "watch1"),
    LedgerRow("1@1 1@2 2@3 2@4 now@4", "watch2"),
    LedgerRow("1@1 1@2 2@3 3@3 now@4", "ban@3"),
    LedgerRow("k2 1@1 2@2 now@2", "ban@2"),
    LedgerRow("k2 1@1 1@2 now@2", "watch1"),
    LedgerRow("k4 1@1 2@2 3@3 now@3", "watch3"),
    LedgerRow("k4 1@1 2@2 3@3 4@4 now@4", "ban@4"),
    LedgerRow("k5 1@1 2@2 3@3 4@4 now@4", "watch4"),
    LedgerRow("k5 1@1 2@2 3@3 4@4 5@4 now@4", "ban@4"),
    LedgerRow("k8 1@1 2@1 3@1 4@1 5@1 6@1 7@1 now@2", "watch7"),
    LedgerRow("k8 1@1 2@1 3@1 4@1 5@1 6@1 7@1 8@1 now@2", "ban@1"),
    // Within 24 hours.
    LedgerRow("1@0 2@1 3@23.9 now@23.9", "ban@23.9"),
    LedgerRow("1@0 2@20 3@23.999 now@24.1", "ban@23.999"),
    LedgerRow("1@0 2@20 3@24.5 now@24.5", "watch2"),
    LedgerRow("1@1 2@2 3@3 now@20", "ban@3"),
    LedgerRow("1@1 2@2 3@3 now@27.1", "-"),
    LedgerRow("1@1 2@2 now@26.5", "-"),
    LedgerRow("1@1 2@20 now@26", "watch1"),
    LedgerRow("1@1 now@24.9", "watch1"),
    LedgerRow("1@1 now@25.1", "-"),
    // Renewed.
    LedgerRow("1@1 2@2 3@3 1@10 now@10", "ban@10"),
    LedgerRow("1@1 2@2 3@3 1@10 2@11 3@12 now@12", "ban@12"),
    LedgerRow("1@1 2@2 3@3 4@20 now@26.5", "ban@20"),
    LedgerRow("1@1 2@2 3@22 1@23 now@26", "ban@23"),
    // Zones.
    LedgerRow("z2 1@1 4@2 7@3 now@3", "watch3"),
    LedgerRow("z2 1@1 4@2 2@3 now@3", "ban@3"),
    LedgerRow("z2 1@1 4@2 7@3 10@4 13@5 now@5", "watch5"),
    LedgerRow("z2 1@1 4@2 7@3 10@4 13@5 16@6 2@1 now@6", "ban@6"),
    LedgerRow("z3 1@1 2@2 4@3 now@3", "watch3"),
    LedgerRow("z3 1@1 2@2 3@3 now@3", "ban@3"),
    LedgerRow("z3 1@1 2@2 3@3 4@4 5@5 7@6 now@6", "ban@6"),
    LedgerRow("z3 k4 1@1 2@2 4@3 5@4 now@4", "watch4"),
    LedgerRow("z3 k4 1@1 2@2 4@3 3@4 now@4", "ban@4"),
    // Taken back.
    LedgerRow("1@1 -1@2 now@2", "-"),
    LedgerRow("1@1 2@1 3@1 -1@2 now@2", "watch2"),
    LedgerRow("1@1 2@1 3@1 -1@2 1@3 now@3", "ban@3"),
    LedgerRow("1@1 2@1 3@1 -4@2 now@2", "ban@1"),
    LedgerRow("1@1 2@1 3@1 4@1 -1@2 now@2", "ban@1"),
    LedgerRow("1@1 2@1 3@1 4@2 -1@3 -2@3 now@3", "watch2"),
    LedgerRow("1@3 2@3 3@3 -1@2 now@3", "ban@3"),
    LedgerRow("-1@1 now@2", "-"),
    // An operator.
    LedgerRow("1@1 2@1 3@1 u@2 now@2", "-"),
    LedgerRow("1@1 2@1 3@1 u@0.5 now@2", "ban@1"),
    LedgerRow("1@1 2@1 3@3 u@2 now@3", "watch1"),
    LedgerRow("1@1 2@1 3@1 u@2 1@3 2@3 now@3", "watch2"),
    LedgerRow("1@1 2@1 3@1 u@2 1@3 2@3 3@3 now@3", "ban@3"),
    LedgerRow("1@1 2@1 3@1 u@1 now@2", "-"),
    LedgerRow("u@1 u@3 1@2 2@2 3@2 now@3", "-"),
    LedgerRow("1@1 2@1 3@1 a@2 now@3", "-"),
    LedgerRow("1@1 2@1 3@1 a@2-9 now@3", "-"),
    LedgerRow("a@2-4 1@3 2@3 3@3 now@5", "-"),
    LedgerRow("a@2-4 1@5 2@5 3@5 now@5", "ban@5"),
    LedgerRow("a@2 1@5 2@5 3@5 now@5", "-"),
    // Nodes that were taken over.
    LedgerRow("1@1 2@1 3@1 r3@2 now@2", "watch2"),
    LedgerRow("1@1 2@1 3@1 r3@0.5 now@2", "watch2"),
    LedgerRow("1@1 2@1 3@1 r1@2 r2@2 r3@2 now@2", "-"),
    LedgerRow("1@1 2@1 3@1 4@1 r3@2 now@2", "ban@1"),
    LedgerRow("1@1 2@1 3@1 r4@2 now@2", "ban@1"),
    LedgerRow("1@1 2@1 r2@1 3@1 now@2", "watch2"),
    LedgerRow("1@1 r1@2 now@2", "-"),
    LedgerRow("1@1 2@1 3@1 r3@2 -2@2 now@2", "watch1"),
    LedgerRow("1@1 2@1 3@1 r3@2 u@3 now@3", "-"),
  ]
}

/// A row, read.
struct LedgerScene {
  enum Said { case testimony(Testimony), order(Order) }

  var said: [(at: Timestamp, what: Said)] = []
  var now = FleetStage.begin
  var quorum = 3
  var zones = 1
  static let address = stranger(1)

  init(_ words: String, _ stage: FleetStage) {
    func time(_ hours: Substring) -> Timestamp {
      FleetStage.begin + .milliseconds(Int64((Double(hours)! * 3_600_000).rounded()))
    }
    let network = IPNetwork(Self.address)
    for word in words.split(separator: " ") {
      let parts = word.split(separator: "@")
      let head = parts[0]
      guard parts.count == 2 else {
        if head.hasPrefix("k") { quorum = Int(head.dropFirst())! } else { zones = Int(head.dropFirst())! }
        continue
      }
      let ends = parts[1].split(separator: "-")
      let at = time(ends[0])
      switch head.first! {
      case "n": now = at
      case "u": said.append((at, .order(stage.order(.unban, network, at: at))))
      case "a":
        let until = ends.count > 1 ? time(ends[1]) : .distantPast
        said.append((at, .order(stage.order(.allow, network, at: at, until: until))))
      case "r": said.append((at, .order(stage.order(.revoke, at: at, node: NodeNumber(head.dropFirst())!))))
      case "-":
        let node = NodeNumber(head.dropFirst())!
        said.append((at, .testimony(stage.testimony(.retraction, by: node, of: Self.address, at: at))))
      default:
        let isVerdict = head.hasSuffix("v")
        let node = NodeNumber(isVerdict ? head.dropLast() : head)!
        said.append(
          (at, .testimony(stage.testimony(isVerdict ? .verdict : .contact, by: node, of: Self.address, at: at))))
      }
    }
  }
}
