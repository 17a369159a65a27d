import Fleet
import TestSupport
import Testing
import Wire

@Suite struct LedgerRowTests {
  let stage = FleetStage(nodes: 16, zones: 3)

  /// Each row as it happened, and in orders that chance deals out: whatever comes late, within a day, makes no difference.
  @Test(arguments: LedgerRow.all) func whatFollows(_ row: LedgerRow) {
    let scene = LedgerScene(row.words, stage)
    var random = SeededGenerator(seed: 1)
    for round in 0..<12 {
      var ledger = stage.ledger {
        $0.quorum = scene.quorum
        $0.zones = scene.zones
      }
      if round == 0 {
        for (time, what) in scene.said.sorted(by: { $0.at < $1.at }) { tell(what, to: &ledger, at: time) }
      } else {
        // All of it on the last day, in any order.
        let last = scene.said.map(\.at).max() ?? scene.now
        guard scene.said.allSatisfy({ last - $0.at < .seconds(86_000) }) else { continue }
        for (_, what) in scene.said.shuffled(using: &random) { tell(what, to: &ledger, at: last) }
      }
      for _ in 0..<2 { ledger.tick(at: scene.now) }
      #expect(standing(ledger, at: scene.now) == row.expected, "\(row.testDescription), order \(round)")
      #expect(ledger.bans == (row.expected.hasPrefix("ban") ? 1 : 0))
      #expect(ledger.watches == (row.expected.hasPrefix("watch") ? 1 : 0))
    }
  }

  private func tell(_ what: LedgerScene.Said, to ledger: inout FleetLedger<PlainVerifier>, at time: Timestamp) {
    switch what {
    case .testimony(let testimony): ledger.take(testimony, at: time)
    case .order(let order): ledger.take(order, at: time)
    }
  }

  private func standing(_ ledger: borrowing FleetLedger<PlainVerifier>, at now: Timestamp) -> String {
    guard let view = ledger.view(of: LedgerScene.address, at: now) else { return "-" }
    if let until = view.until { return "ban@\(trimmed(Double((until - firstEnd).wholeNanoseconds) / 3.6e12))" }
    let recent = view.witnesses.filter { now - $0.time < .seconds(86_400) }
    return recent.isEmpty ? "-" : "watch\(recent.count)"
  }

  /// When a ban of the address ends whose quorum was complete at the beginning.
  private var firstEnd: Timestamp {
    var ledger = stage.ledger()
    for node in 1...NodeNumber(3) {
      ledger.take(stage.testimony(by: node, of: LedgerScene.address, at: FleetStage.begin), at: FleetStage.begin)
    }
    return ledger.view(of: LedgerScene.address, at: FleetStage.begin)?.until ?? .distantPast
  }

  private func trimmed(_ hours: Double) -> String {
    let rounded = (hours * 1000).rounded() / 1000
    return rounded == rounded.rounded() ? "\(Int(rounded))" : "\(rounded)"
  }
}
