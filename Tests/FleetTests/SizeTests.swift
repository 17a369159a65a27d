import Fleet
import TestSupport
import Testing
import Wire

/// Ends of many bans, campaigns, coordinators that begin anew, clocks that are wrong.
@Suite struct SizeTests {
  let stage = FleetStage(nodes: 9, zones: 3)
  let now = FleetStage.begin

  /// 100,000 bans whose quorum was complete in the same second.
  @Test(arguments: [3_600, 7_200, 14_400, 86_400, 604_800])
  func noMoreThanAThousandthEndsInASecond(_ time: Int64) {
    let ledger = stage.ledger { $0.time = .seconds(time) }
    var ends: [Int64: Int] = [:]
    for number in 0..<100_000 {
      let end = ledger.end(of: stranger(number), completeAt: UInt32(now.seconds))
      #expect(end - now <= .seconds(time) && end - now >= .seconds(time / 2))
      ends[end.seconds, default: 0] += 1
    }
    #expect(ends.values.max()! <= 100)
  }

  /// Seen again a second before the end, a ban goes on: the later one ends later, whoever's it is.
  @Test func renewedBansNeverLapse() {
    for time in [60, 600, 3_600, 86_400] as [Int64] {
      let ledger = stage.ledger { $0.time = .seconds(time) }
      for number in 0..<2_000 {
        let first = UInt32(now.seconds)
        let end = ledger.end(of: stranger(number), completeAt: first)
        #expect(end - now > .zero)
        for later in [first + 1, UInt32(end.seconds) - 1] {
          #expect(ledger.end(of: stranger(number), completeAt: later) >= end)
        }
      }
    }
  }

  @Test func halfOpenProbesAreACampaignAndNoBan() throws {
    var coordinator = stage.coordinator()
    for node in NodeNumber(1)...2 {
      coordinator.take(stage.testimony(.probe, by: node, of: stranger(1), at: now), from: node, at: now)
    }
    #expect(coordinator.drain(99, at: now).isEmpty && coordinator.testimonies == 0)
    coordinator.take(stage.testimony(.probe, by: 3, of: stranger(1), at: now), from: 3, at: now)
    let proofs = coordinator.drain(99, at: now)
    #expect(proofs.count == 1 && proofs[0].testimonies.count == 3 && !proofs[0].accuses)
    // Once an hour.
    for node in NodeNumber(4)...9 {
      coordinator.take(stage.testimony(.probe, by: node, of: stranger(1), at: now), from: node, at: now)
    }
    #expect(coordinator.drain(99, at: now).isEmpty)

    var ledger = stage.ledger()
    ledger.take(proofs[0], at: now)
    let changes = ledger.drain()
    guard case .campaign(let address, let witnesses)? = changes.first else {
      Issue.record("\(changes)")
      return
    }
    #expect(changes.count == 1 && address == stranger(1) && Set(witnesses.map(\.node)) == [1, 2, 3])
    #expect(ledger.bans == 0 && ledger.watches == 0)
    ledger.take(proofs[0], at: now)
    #expect(ledger.drain().isEmpty)
    // They neither add to what witnesses say, nor take from it.
    ledger.take(stage.testimony(by: 1, of: stranger(1), at: now), at: now)
    ledger.take(stage.testimony(by: 2, of: stranger(1), at: now), at: now)
    #expect(ledger.drain().bans.isEmpty)
  }

  @Test func forgedProbesAreNoCampaign() {
    var coordinator = stage.coordinator()
    for node in NodeNumber(1)...3 {
      let forged = Testimony(
        Testimony.Body(.probe, by: node, of: stranger(1), at: now), in: stage.fleet, signedBy: stage.key(9))
      coordinator.take(forged, from: node, at: now)
    }
    #expect(coordinator.drain(99, at: now).isEmpty && coordinator.refusals[.badSignature] == 1)
    var ledger = stage.ledger()
    let one = stage.testimony(.probe, by: 1, of: stranger(2), at: now)
    ledger.take(Proof([one, stage.testimony(.probe, by: 2, of: stranger(2), at: now)])!, at: now)
    #expect(ledger.drain().isEmpty)
    // A day later nobody is told.
    let old = Proof((1...3).map { stage.testimony(.probe, by: $0, of: stranger(3), at: now) })!
    ledger.take(old, at: now + .seconds(7_200))
    #expect(ledger.drain().isEmpty)
  }

  /// Whatever is forged in a minute, the fleet is told of so many campaigns and no more.
  @Test func campaignsArePaced() {
    var coordinator = stage.coordinator { $0.campaignRate = .init(perSecond: 0.1, burst: 5) }
    for number in 0..<100 {
      for node in NodeNumber(1)...3 {
        coordinator.take(stage.testimony(.probe, by: node, of: stranger(number), at: now), from: node, at: now)
      }
    }
    #expect(coordinator.drain(999, at: now).count == 5)
  }

  @Test func aNewCoordinatorRepeatsNothing() {
    var first = stage.coordinator()
    var said: [Testimony] = []
    for (number, nodes) in [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4, 5]].enumerated() {
      for node in nodes {
        let testimony = stage.testimony(by: NodeNumber(node), of: stranger(number), at: now)
        said.append(testimony)
        first.take(testimony, from: NodeNumber(node), at: now)
      }
    }
    let proofs = first.drain(99, at: now)
    #expect(proofs.count == 11)
    var second = stage.coordinator()
    for proof in proofs { second.saw(proof) }
    for testimony in said { second.take(testimony, from: testimony.body.node, at: now) }
    #expect(second.drain(99, at: now).isEmpty)
    // What is new it says.
    second.take(stage.testimony(by: 2, of: stranger(0), at: now), from: 2, at: now)
    second.take(stage.testimony(by: 3, of: stranger(1), at: now), from: 3, at: now)
    #expect(second.drain(99, at: now).map(\.testimonies.count) == [1, 3])
    // One that was told of nothing says all.
    var third = stage.coordinator()
    for testimony in said { third.take(testimony, from: testimony.body.node, at: now) }
    #expect(third.drain(99, at: now).count == 11)
  }

  @Test func clocksThatAreWrongAreTold() {
    var coordinator = stage.coordinator()
    func live(_ node: NodeNumber, _ skew: Int64) {
      coordinator.take(
        stage.testimony(.alive, by: node, of: .unspecified, at: now + .seconds(skew)), from: node, at: now)
    }
    live(1, 60)
    live(2, -60)
    #expect(coordinator.drainClocks().isEmpty)
    live(3, 86_400)
    live(4, -86_400)
    live(5, 500 * 86_400)
    live(3, 86_400)
    let told = coordinator.drainClocks()
    #expect(told.map(\.node) == [3, 4, 5] && told[0].ahead == .seconds(86_400) && told[1].ahead == .seconds(-86_400))
    #expect(coordinator.drainClocks().isEmpty)
  }
}
