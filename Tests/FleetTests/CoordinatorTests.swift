import Fleet
import TestSupport
import Testing
import Wire

@Suite struct CoordinatorTests {
  let stage = FleetStage(nodes: 9, zones: 3)
  let now = FleetStage.begin

  @Test func threeTestimoniesBecomeAProof() throws {
    var coordinator = stage.coordinator()
    for node in NodeNumber(1)...3 {
      coordinator.take(stage.testimony(by: node, of: stranger(1), at: now), from: node, at: now)
    }
    let proofs = coordinator.drain(99, at: now)
    // One each to be watched, then all of them.
    #expect(proofs.map(\.testimonies.count) == [1, 1, 3])
    var ledger = stage.ledger()
    ledger.take(proofs[2], at: now)
    #expect(ledger.drain().bans == [stranger(1)])
    #expect(coordinator.drain(99, at: now).isEmpty)
  }

  @Test func aReplayIsPassedOnOnce() {
    var coordinator = stage.coordinator()
    let testimony = stage.testimony(by: 1, of: stranger(1), at: now)
    for _ in 0..<50 { coordinator.take(testimony, from: 1, at: now) }
    #expect(coordinator.drain(99, at: now).count == 1 && coordinator.testimonies == 1)
  }

  @Test func furtherWitnessesAndRenewals() {
    var coordinator = stage.coordinator()
    func say(_ node: NodeNumber, _ minutes: Int64) -> [Int] {
      let time = now + .seconds(60 * minutes)
      coordinator.take(stage.testimony(by: node, of: stranger(1), at: time), from: node, at: time)
      return coordinator.drain(99, at: time).map(\.testimonies.count)
    }
    #expect(say(1, 0) == [1] && say(2, 0) == [1] && say(3, 0) == [3])
    // For nodes that ask for more witnesses; then hourly.
    #expect((4...9).map { say($0, 1) } == [[1], [1], [1], [1], [1], []])
    #expect(say(1, 30) == [] && say(2, 59) == [])
    #expect(say(3, 61) == [3])
  }

  @Test func aRetractionIsPassedOnWithThoseWhoAreLeft() {
    var coordinator = stage.coordinator()
    for node in NodeNumber(1)...4 {
      coordinator.take(stage.testimony(by: node, of: stranger(1), at: now), from: node, at: now)
    }
    _ = coordinator.drain(99, at: now)
    let later = now + .seconds(9)
    coordinator.take(stage.testimony(.retraction, by: 1, of: stranger(1), at: later), from: 1, at: later)
    let proofs = coordinator.drain(99, at: later)
    #expect(proofs.map(\.testimonies.count) == [1, 3])
    #expect(Set(proofs[1].testimonies.map(\.body.node)) == [2, 3, 4])
  }

  /// A witness that sees the source again takes the ban from nobody who joins late.
  @Test func seeingItAgainUndoesNothing() {
    var coordinator = stage.coordinator { $0.time = .seconds(7 * 86_400) }
    func say(_ node: NodeNumber, _ hours: Int64, _ kind: Testimony.Kind = .contact) -> UInt32 {
      let time = now + .seconds(3600 * hours)
      coordinator.take(stage.testimony(kind, by: node, of: stranger(1), at: time), from: node, at: time)
      for _ in 0..<3 { coordinator.tick(at: time) }
      return coordinator.snapshot(epoch: 1, generation: 1, position: .start, at: time) { _, bytes in
        let proofs = (try? Snapshot.Chunk(bytes))?.proofs ?? []
        #expect(proofs.allSatisfy { $0.testimonies.count == 3 })
      }.proofs
    }
    #expect(say(1, 0) == 0 && say(2, 12) == 0 && say(3, 20) == 1)
    #expect(say(1, 37) == 1 && say(1, 60) == 1 && say(4, 61) == 1)
    // What it takes back it has not said at any time.
    #expect(say(1, 62, .retraction) == 0)
  }

  /// Another coordinator was first: nothing goes out twice.
  @Test func twoCoordinatorsSayItOnce() throws {
    var first = stage.coordinator()
    var second = stage.coordinator { $0.delay = .milliseconds(100) }
    for node in NodeNumber(1)...3 {
      let testimony = stage.testimony(by: node, of: stranger(1), at: now)
      first.take(testimony, from: node, at: now)
      second.take(testimony, from: node, at: now)
    }
    for proof in first.drain(99, at: now) { second.saw(proof) }
    #expect(second.drain(99, at: now + .seconds(1)).isEmpty)
    // And alone it is late by as much.
    second.take(stage.testimony(by: 4, of: stranger(2), at: now), from: 4, at: now)
    #expect(second.drain(99, at: now + .milliseconds(99)).isEmpty)
    #expect(second.drain(99, at: now + .milliseconds(100)).count == 1)
  }

  /// A node that floods is not read, and its stream is cut; the others are served.
  @Test func aFloodIsTrimmed() {
    var coordinator = stage.coordinator { $0.rate = .init(perSecond: 20, burst: 200) }
    for number in 0..<2_000 {
      let time = now + .milliseconds(Int64(number))
      coordinator.take(stage.testimony(by: 1, of: stranger(number), at: time), from: 1, at: time)
    }
    #expect(coordinator.refusals[.tooFast] > 1_700 && coordinator.drainFloods() == [1])
    #expect(coordinator.drainFloods() == [])
    _ = coordinator.drain(9_999, at: now + .seconds(2))
    for node in NodeNumber(2)...4 {
      coordinator.take(stage.testimony(by: node, of: stranger(99_999), at: now), from: node, at: now + .seconds(2))
    }
    #expect(coordinator.drain(99, at: now + .seconds(2)).last?.testimonies.count == 3)
  }

  /// Of one node alone so many are passed on; the others wait for a second witness.
  @Test func whatIsOnlyToBeWatchedIsPaced() {
    var coordinator = stage.coordinator { $0.watchRate = .init(perSecond: 1, burst: 10) }
    for number in 0..<100 { coordinator.take(stage.testimony(by: 1, of: stranger(number), at: now), from: 1, at: now) }
    #expect(coordinator.drain(999, at: now).count == 10)
    for node in NodeNumber(2)...3 {
      coordinator.take(stage.testimony(by: node, of: stranger(99), at: now), from: node, at: now)
    }
    #expect(coordinator.drain(999, at: now).last?.testimonies.count == 3)
  }

  /// When it is full whoever has more than a share makes room; whoever has less gets it.
  @Test func noNodeTakesAllTheRoom() {
    var coordinator = stage.coordinator {
      $0.capacity = 900
      $0.sources = 900
      $0.rate = .init(perSecond: 1e6, burst: 1e6)
    }
    for number in 0..<3_000 {
      coordinator.take(stage.testimony(by: 1, of: stranger(number), at: now), from: 1, at: now)
    }
    #expect(coordinator.testimonies == 900 && coordinator.refusals[.noRoom] == 2_100)
    for number in 5_000..<5_080 {
      for node in NodeNumber(2)...4 {
        coordinator.take(stage.testimony(by: node, of: stranger(number), at: now), from: node, at: now)
      }
    }
    #expect(coordinator.testimonies <= 900 && coordinator.sources <= 900)
    let full = coordinator.drain(99_999, at: now).filter { $0.testimonies.count == 3 }
    #expect(full.count == 80)
  }

  @Test func whatIsOldIsForgotten() {
    var coordinator = stage.coordinator()
    for number in 0..<500 { coordinator.take(stage.testimony(by: 1, of: stranger(number), at: now), from: 1, at: now) }
    for node in NodeNumber(1)...3 {
      coordinator.take(stage.testimony(by: node, of: stranger(999), at: now), from: node, at: now)
    }
    for second in 0..<20 { coordinator.tick(at: now + .seconds(86_400 + Int64(second))) }
    #expect(coordinator.sources == 1 && coordinator.testimonies == 3)
    for second in 0..<20 { coordinator.tick(at: now + .seconds(2 * 86_400 + Int64(second))) }
    #expect(coordinator.sources == 0 && coordinator.testimonies == 0)
  }

  @Test func whatIsRevokedIsForgotten() {
    var coordinator = stage.coordinator()
    for node in NodeNumber(1)...3 {
      coordinator.take(stage.testimony(by: node, of: stranger(1), at: now), from: node, at: now)
    }
    _ = coordinator.drain(99, at: now)
    coordinator.take(stage.order(.revoke, at: now, node: 2), at: now)
    let manifest = coordinator.snapshot(epoch: 1, generation: 1, position: .start, at: now) { _, _ in }
    #expect(manifest.proofs == 0)
    coordinator.take(stage.testimony(by: 2, of: stranger(1), at: now + .seconds(1)), from: 2, at: now + .seconds(1))
    #expect(coordinator.refusals[.revoked] == 1)
  }

  /// Against a plain dictionary: the table's chains and gaps.
  @Test(arguments: 0..<3) func theStoreHoldsWhatItWasGiven(_ seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    var coordinator = stage.coordinator {
      $0.capacity = 400
      $0.sources = 200
      $0.rate = .init(perSecond: 1e6, burst: 1e6)
    }
    var latest: [IPAddress: [NodeNumber: Timestamp]] = [:]
    var time = now
    for step in 0..<1_200 {
      time = time + .seconds(Int64.random(in: 0...300, using: &random))
      let node = NodeNumber.random(in: 1...9, using: &random)
      let address = stranger(Int.random(in: 0..<40, using: &random))
      coordinator.take(stage.testimony(by: node, of: address, at: time), from: node, at: time)
      latest[address, default: [:]][node] = time
      guard step % 8 == 0 else { continue }
      coordinator.tick(at: time)
      latest = latest.mapValues { $0.filter { time - $0.value < .seconds(2 * 86_400) } }.filter { !$0.value.isEmpty }
    }
    #expect(coordinator.refusals.total == 0)
    let manifest = coordinator.snapshot(epoch: 1, generation: 1, position: .start, at: time) { _, bytes in
      guard let chunk = try? Snapshot.Chunk(bytes) else { return }
      for proof in chunk.proofs {
        for testimony in proof.testimonies {
          #expect(latest[proof.address]?[testimony.body.node] == testimony.body.time)
          #expect(testimony.isSigned(by: stage.key(testimony.body.node).publicKey, in: stage.fleet, PlainVerifier()))
        }
      }
    }
    #expect(manifest.proofs > 20)
  }
}
