import Fleet
import Glibc
import TestSupport
import Testing
import Wire

/// A fleet in simulated time: real coordinator and ledger, scanners that go through IPv4 in random order, and the delays that were measured
/// between them (docs/decisions/0003-fleet.md). All nodes hear the same, so that one ledger stands for them.
struct FleetSimulation {
  struct Outcome {
    /// From the first handshake to the ban in force on every node, in seconds, sorted.
    var toBan: [Double] = []
    /// How many nodes a scanner reached.
    var reached: [Int] = []
    /// By scanner: its first handshake, the ban in force on every node, and how many nodes it reached until then.
    var course: [(first: Double, end: Double, reached: Int)?] = []
    /// What a node was sent, for each scanner.
    var bytes = 0
    var signatures = 0
    var testimonies = 0

    func toBan(_ share: Double) -> Double {
      toBan.isEmpty ? .nan : toBan[min(Int(Double(toBan.count) * share), toBan.count - 1)]
    }
    func reached(_ share: Double) -> Int {
      reached.isEmpty ? 0 : reached[min(Int(Double(reached.count) * share), reached.count - 1)]
    }
  }

  private struct Event {
    var time: Double
    var what: What
    enum What { case hit(scanner: Int, node: NodeNumber), heard(Testimony), told(Proof) }
  }

  let nodes: Int
  let scanners: Int
  /// Addresses a second of each scanner.
  let rate: Double

  func run(_ seed: UInt64) -> Outcome {
    var random = SeededGenerator(seed: seed)
    let stage = FleetStage(nodes: nodes, zones: 4)
    var coordinator = stage.coordinator { ($0.capacity, $0.sources) = (400_000, 100_000) }
    var ledger = stage.ledger(1)
    var outcome = Outcome()
    // Soonest last.
    var events: [Event] = []
    func plan(_ event: Event) {
      var (low, high) = (0, events.count)
      while low < high {
        let middle = (low + high) / 2
        if events[middle].time > event.time { low = middle + 1 } else { high = middle }
      }
      events.insert(event, at: low)
    }
    let gap = 4_294_967_296 / (rate * Double(nodes))
    func next(_ scanner: Int, after time: Double) {
      let wait = -gap * log(Double.random(in: 1e-12...1, using: &random))
      plan(
        Event(time: time + wait, what: .hit(scanner: scanner, node: .random(in: 1...NodeNumber(nodes), using: &random)))
      )
    }
    var first = [Double?](repeating: nil, count: scanners)
    var reached = [Int](repeating: 0, count: scanners)
    var ended = [Bool](repeating: false, count: scanners)
    outcome.course = .init(repeating: nil, count: scanners)
    for scanner in 0..<scanners { next(scanner, after: Double(scanner) / 50) }
    while let event = events.popLast() {
      let now = FleetStage.begin + .microseconds(Int64(event.time * 1e6))
      switch event.what {
      case .hit(let scanner, let node):
        if ended[scanner] { continue }
        if first[scanner] == nil { first[scanner] = event.time }
        reached[scanner] += 1
        outcome.testimonies += 1
        let testimony = stage.testimony(by: node, of: stranger(scanner), at: now)
        // Sign, append, and the next read of the coordinator.
        plan(Event(time: event.time + .random(in: 0.005...0.25, using: &random), what: .heard(testimony)))
        next(scanner, after: event.time)
      case .heard(let testimony):
        coordinator.take(testimony, from: testimony.body.node, at: now)
        for proof in coordinator.drain(64, at: now) {
          // The last node has it.
          plan(Event(time: event.time + .random(in: 0.05...0.5, using: &random), what: .told(proof)))
        }
      case .told(let proof):
        outcome.bytes += Announcement(proof, at: .start, after: .start).encoded.count
        outcome.signatures += proof.testimonies.count
        ledger.take(proof, at: now)
        for address in ledger.drain().bans {
          let scanner = Int(address.v4Bits - 0x5000_0000)
          if ended[scanner] { continue }
          ended[scanner] = true
          outcome.course[scanner] = (first[scanner] ?? 0, event.time, reached[scanner])
          outcome.toBan.append(event.time - (first[scanner] ?? 0))
          outcome.reached.append(reached[scanner])
        }
      }
    }
    outcome.toBan.sort()
    outcome.reached.sort()
    return outcome
  }
}

@Suite struct SimulationTests {
  static let isBenchmark = unsafe getenv("PORTSENTRY_BENCH") != nil

  /// 100 hosts and a scanner who reaches ten of them a second.
  @Test func aSweepOfAHundredHosts() {
    let outcome = FleetSimulation(nodes: 100, scanners: 150, rate: 10 * 4_294_967_296 / 100).run(1)
    #expect(outcome.toBan.count == 150)
    #expect(outcome.reached(0.99) <= 20 && outcome.reached(0.5) <= 13)
    #expect(outcome.toBan(0.5) < 1.2)
  }

  @Test func aScanOfTheInternet() {
    let outcome = FleetSimulation(nodes: 1_000, scanners: 60, rate: 1.4e6).run(2)
    #expect(outcome.toBan.count == 60 && outcome.reached(0.99) <= 8)
    // Announcements of one, one and three testimonies, and what came after the third.
    #expect(outcome.bytes / 60 < 1_400)
  }

  /// The table of docs/decisions/0003-fleet.md; a fleet of 100,000 is ten regions.
  @Test(.enabled(if: isBenchmark)) func theTable() {
    print(
      "| nodes | addresses a second | time to ban p50 / p99 | hosts reached p50 / p99 | a node is sent | verifies |")
    for (nodes, fleets) in [(100, 1), (1_000, 1), (10_000, 1), (60_000, 1), (10_000, 10)] {
      for rate in [10_000, 1.4e6] {
        let scanners = 200
        let outcome = Self.together(nodes, fleets, scanners, rate)
        func round(_ value: Double) -> String { value >= 100 ? "\(Int(value))" : "\((value * 10).rounded() / 10)" }
        print(
          "| \(nodes * fleets) | \(Int(rate)) | \(round(outcome.toBan(0.5))) / \(round(outcome.toBan(0.99))) s | \(outcome.reached(0.5)) / \(outcome.reached(0.99)) | \(outcome.bytes / scanners) B | \(Double(outcome.signatures) / Double(scanners)) |"
        )
      }
    }
  }

  /// Several fleets, which know nothing of one another, and the same scanners: a ban is in force everywhere when it is in all of them.
  private static func together(_ nodes: Int, _ fleets: Int, _ scanners: Int, _ rate: Double) -> FleetSimulation.Outcome
  {
    let simulation = FleetSimulation(nodes: nodes, scanners: scanners, rate: rate)
    var outcome = simulation.run(3)
    guard fleets > 1 else { return outcome }
    var course = outcome.course
    for seed in 1..<UInt64(fleets) {
      let other = simulation.run(3 + seed)
      for scanner in 0..<scanners {
        guard let a = course[scanner], let b = other.course[scanner] else { continue }
        course[scanner] = (min(a.first, b.first), max(a.end, b.end), a.reached + b.reached)
      }
    }
    outcome.toBan = course.compactMap { $0.map { $0.end - $0.first } }.sorted()
    outcome.reached = course.compactMap { $0?.reached }.sorted()
    return outcome
  }

  // MARK: Memory, alone in its process (`--filter`)

  /// Resident kilobytes.
  private func resident() -> Int {
    guard let file = unsafe fopen("/proc/self/statm", "r") else { return 0 }
    defer { unsafe fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    guard unsafe fgets(&line, 256, file) != nil else { return 0 }
    let words = String(decoding: line.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: " ")
    return (Int(words[1]) ?? 0) * 4
  }

  @Test(.enabled(if: isBenchmark)) func aLedgerOf100000Bans() {
    let stage = FleetStage(nodes: 100, zones: 4)
    let before = resident()
    var ledger = stage.ledger()
    for number in 0..<100_000 {
      let proof = Proof(
        (0..<3).map {
          stage.testimony(by: NodeNumber((number + $0) % 100 + 1), of: stranger(number), at: FleetStage.begin)
        })!
      ledger.take(proof, at: FleetStage.begin)
      _ = ledger.drain()
    }
    let used = resident() - before
    print("a ledger of \(ledger.bans) bans: \(used) kB")
    #expect(ledger.bans == 100_000 && used <= 6_500)
  }

  @Test(.enabled(if: isBenchmark)) func aCoordinatorOfAMillionSources() {
    let stage = FleetStage(nodes: 100, zones: 4)
    let before = resident()
    var coordinator = stage.coordinator {
      ($0.capacity, $0.sources) = (1_250_000, 1_000_000)
      $0.rate = .init(perSecond: 1e9, burst: 1e9)
    }
    for number in 0..<1_000_000 {
      let node = NodeNumber(number % 100 + 1)
      coordinator.take(
        stage.testimony(by: node, of: stranger(number), at: FleetStage.begin), from: node, at: FleetStage.begin)
      if number % 64 == 0 { _ = coordinator.drain(100, at: FleetStage.begin) }
    }
    let used = resident() - before
    print("a coordinator of \(coordinator.sources) sources: \(used / 1000) MB")
    #expect(coordinator.sources == 1_000_000 && used <= 200_000)
  }
}
