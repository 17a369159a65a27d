import Fleet
import TestSupport
import Testing
import Wire

/// Clocks, ends, partitions: what must hold of a fleet as a whole, in simulated time.
@Suite struct FleetPropertyTests {
  let stage = FleetStage(nodes: 9, zones: 3)
  let now = FleetStage.begin

  // MARK: Clocks

  @Test(arguments: [-86_399, -3_600, -60, 0, 60, 119, 120]) func aClockMayBeOff(_ seconds: Int) {
    var ledger = stage.ledger()
    ledger.take(stage.testimony(by: 3, of: stranger(1), at: now + .seconds(Int64(seconds))), at: now)
    #expect(ledger.drain().watches == [stranger(1)])
    #expect((ledger.skews[3] != nil) == (seconds >= 60))
  }

  @Test(arguments: [
    (-86_400, Refusal.old), (-86_400 * 30, .old), (121, .ahead), (86_400, .ahead), (86_400 * 80, .ahead),
  ])
  func aClockMayNotBeOffByADay(_ seconds: Int, _ refusal: Refusal) {
    var ledger = stage.ledger()
    var coordinator = stage.coordinator()
    let testimony = stage.testimony(by: 3, of: stranger(1), at: now + .seconds(Int64(seconds)))
    ledger.take(testimony, at: now)
    coordinator.take(testimony, from: 3, at: now)
    #expect(ledger.drain() == [] && ledger.refusals[refusal] == 1 && ledger.refusalsByNode[3] == 1)
    #expect(coordinator.refusals[refusal] == 1 && coordinator.health(of: 3)?.refused == 1)
  }

  @Test func aHeartbeatShowsTheClock() {
    var coordinator = stage.coordinator()
    coordinator.take(stage.testimony(.alive, by: 3, of: .unspecified, at: now + .seconds(90)), from: 3, at: now)
    #expect(coordinator.health(of: 3)?.skew == .seconds(90) && coordinator.health(of: 3)?.lastSeen == now)
    #expect(coordinator.drain(9, at: now).isEmpty)
  }

  // MARK: Ends

  /// 100,000 bans that began in one second: never more than a thousandth of them end in one.
  @Test(arguments: [86_400, 6 * 3_600]) func endsAreSpread(_ time: Int) {
    let count = 100_000
    let ledger = stage.ledger { $0.time = .seconds(Int64(time)) }
    var bySecond: [Int64: Int] = [:]
    for number in 0..<count {
      bySecond[ledger.end(of: stranger(number), completeAt: UInt32(now.seconds)).seconds, default: 0] += 1
    }
    #expect((bySecond.values.max() ?? 0) <= count / 1000)
    let end = now.seconds + Int64(time)
    #expect(bySecond.keys.max()! <= end && bySecond.keys.min()! >= end - Int64(time) / 10 - 1)
  }

  /// A renewed ban never ends before the former would have, and other nodes end it at other times.
  @Test func aRenewedBanDoesNotLapse() {
    let ledger = stage.ledger()
    let other = stage.ledger(secret: 6)
    var differ = 0
    for number in 0..<2_000 {
      let address = stranger(number)
      let first = ledger.end(of: address, completeAt: 1_800_000_000)
      for later: UInt32 in [1, 60, 86_000] {
        #expect(ledger.end(of: address, completeAt: 1_800_000_000 + later) > first)
      }
      if other.end(of: address, completeAt: 1_800_000_000).seconds != first.seconds { differ += 1 }
    }
    #expect(differ > 1_900)
  }

  /// A source that goes on is banned without a gap, by one new witness.
  @Test func oneWitnessRenews() throws {
    var ledger = stage.ledger()
    for node in NodeNumber(1)...3 { ledger.take(stage.testimony(by: node, of: stranger(1), at: now), at: now) }
    let first = try #require(ledger.view(of: stranger(1), at: now)?.until)
    let later = now + .seconds(20 * 3600)
    ledger.take(stage.testimony(by: 4, of: stranger(1), at: later), at: later)
    #expect(try #require(ledger.view(of: stranger(1), at: later)?.until) > first)
    #expect(ledger.bans == 1)
  }

  /// A witness of a ban that sees the source again must not undo the ban before there is another quorum.
  @Test func seeingItAgainUndoesNothing() throws {
    var ledger = stage.ledger { $0.time = .seconds(7 * 86_400) }
    for node in NodeNumber(1)...3 { ledger.take(stage.testimony(by: node, of: stranger(1), at: now), at: now) }
    let first = try #require(ledger.view(of: stranger(1), at: now)?.until)
    for day in 2..<5 {
      let later = now + .seconds(Int64(day) * 86_400)
      ledger.take(stage.testimony(by: 1, of: stranger(1), at: later), at: later)
      for _ in 0..<3 { ledger.tick(at: later) }
      #expect(ledger.view(of: stranger(1), at: later)?.until == first)
    }
  }

  // MARK: Partition

  /// Two halves of a fleet do not hear each other for an hour; then each tells the other all. All come to the same.
  @Test(arguments: 0..<4) func afterAPartitionAllSayTheSame(_ seed: Int) {
    var random = SeededGenerator(seed: 50 + UInt64(seed))
    let stage = FleetStage(nodes: 12, zones: 2)
    let halves = [Held(stage.coordinator()), Held(stage.coordinator())]
    var time = now
    var said: [(Testimony, NodeNumber)] = []
    for _ in 0..<1_500 {
      time = time + .milliseconds(Int64.random(in: 0...4_800, using: &random))
      let node = NodeNumber.random(in: 1...12, using: &random)
      let testimony = stage.testimony(by: node, of: stranger(Int.random(in: 0..<300, using: &random)), at: time)
      said.append((testimony, node))
    }
    let ledgers = [1, 2, 7, 8].map { Held(stage.ledger($0, secret: UInt64($0))) }
    // Nodes 1...6 have one engine, 7...12 the other.
    for (testimony, node) in said {
      let half = node <= 6 ? 0 : 1
      halves[half].value.take(testimony, from: node, at: testimony.body.time)
      for proof in halves[half].value.drain(9, at: testimony.body.time) {
        for ledger in ledgers[half * 2..<half * 2 + 2] { ledger.value.take(proof, at: testimony.body.time) }
      }
    }
    let differed = ledgers.map { Set($0.value.banned(at: time)) }
    // Joined: coordinators read all streams, which MAXLEN has not cut, and pass on what is new to them.
    let joined = time + .seconds(30)
    for (testimony, node) in said.shuffled(using: &random) {
      for half in 0..<2 { halves[half].value.take(testimony, from: node, at: joined) }
    }
    for half in 0..<2 {
      for proof in halves[half].value.drain(100_000, at: joined) {
        for ledger in ledgers { ledger.value.take(proof, at: joined) }
      }
    }
    let same = ledgers.map { Set($0.value.banned(at: joined)) }
    #expect(Set(same).count == 1 && !same[0].isEmpty)
    #expect(Set(differed).count > 1, "the halves had nothing to tell each other")
  }

  // MARK: Joining late

  @Test func aSnapshotHasAllThatIsInForce() throws {
    var coordinator = stage.coordinator()
    for number in 0..<5_000 {
      for node in NodeNumber(1)...(number % 5 == 0 ? 2 : 3) {
        coordinator.take(
          stage.testimony(by: node, of: stranger(number), at: now), from: node, at: now + .seconds(Int64(number)))
      }
    }
    var chunks: [Int: [UInt8]] = [:]
    let manifest = coordinator.snapshot(epoch: 1, generation: 2, position: .start, at: now) { chunks[$0] = $1 }
    #expect(manifest.proofs == 4_000 && manifest.parts.count == 2 && chunks.count == 2)
    var ledger = stage.ledger(8)
    for (index, part) in manifest.parts.enumerated() {
      let bytes = try #require(chunks[index])
      #expect(bytes.count == Int(part.length) && PlainVerifier().digest(bytes) == part.digest)
      let chunk = try Snapshot.Chunk(bytes)
      #expect(chunk.generation == 2 && Int(chunk.index) == index)
      for proof in chunk.proofs { ledger.take(proof, at: now + .seconds(3600)) }
    }
    #expect(ledger.drain().bans.count == 4_000 && ledger.bans == 4_000)
  }
}
