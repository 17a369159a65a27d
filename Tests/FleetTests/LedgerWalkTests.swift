import Fleet
import TestSupport
import Testing
import Wire

/// Anything in any order, against a model that keeps all and says who is banned in the plainest way.
@Suite struct LedgerWalkTests {
  /// All that was taken, and what follows from it, anew each time.
  private struct Model {
    let settings: FleetSettings
    let stage: FleetStage
    var testimonies: [Testimony] = []
    var orders: [Order] = []

    func counts(_ testimony: Testimony) -> Bool {
      let body = testimony.body
      for order in orders {
        let ordered = order.body
        switch ordered.verb {
        case .revoke where ordered.node == body.node: return false
        case .unban
        where ordered.network.contains(body.address) && ordered.time.seconds >= body.time.seconds: return false
        case .allow where ordered.network.contains(body.address):
          // The last order for the network counts.
          let last = orders.filter { $0.body.verb == .allow && $0.body.network == ordered.network }
            .max { $0.body.time < $1.body.time }!
          let until = last.body.until
          if until == .distantPast || until.seconds >= body.time.seconds { return false }
        default: break
        }
      }
      return !testimonies.contains {
        $0.body.kind == .retraction && $0.body.node == body.node && $0.body.address == body.address
          && $0.body.time.seconds >= body.time.seconds
      }
    }

    /// The second in which the last quorum of an address was complete.
    func complete(_ address: IPAddress) -> Int64? {
      let seen = testimonies.filter { $0.body.address == address && $0.body.kind.accuses && counts($0) }
      let seconds = Set(seen.map(\.body.time.seconds)).sorted(by: >)
      return seconds.first { last in
        let within = seen.filter { $0.body.time.seconds <= last && last - $0.body.time.seconds <= 86_400 }
        return Set(within.map(\.body.node)).count >= settings.quorum
          && Set(within.map { stage.zone($0.body.node) }).count >= settings.zones
      }
    }

    /// Those that can no more be part of anything.
    mutating func forget(at now: Timestamp) {
      testimonies.removeAll { now - $0.body.time > .seconds(4 * 86_400) }
    }
  }

  @Test(arguments: 0..<(SimulationTests.isBenchmark ? 200 : 12)) func aWalk(_ seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    let nodes = Int.random(in: 4...9, using: &random)
    let zones = Int.random(in: 1...3, using: &random)
    let stage = FleetStage(nodes: nodes, zones: zones)
    var now = FleetStage.begin
    var ledger = stage.ledger {
      $0.quorum = Int.random(in: 2...4, using: &random)
      $0.zones = Int.random(in: 1...min(zones, $0.quorum), using: &random)
    }
    var model = Model(settings: ledger.settings, stage: stage)
    var inForce: [IPAddress: Timestamp] = [:]
    for step in 0..<250 {
      let address = stranger(Int.random(in: 0..<6, using: &random))
      let node = NodeNumber.random(in: 1...NodeNumber(nodes), using: &random)
      switch Int.random(in: 0..<100, using: &random) {
      case 0..<62:
        // Late by up to some hours, or of a clock that is ahead.
        let late = Duration.seconds(Int64.random(in: -100...7_200, using: &random))
        let testimony = stage.testimony(by: node, of: address, at: now + (.zero - late))
        ledger.take(testimony, at: now)
        model.testimonies.append(testimony)
      case 62..<67:
        let testimony = stage.testimony(.retraction, by: node, of: address, at: now)
        ledger.take(testimony, at: now)
        model.testimonies.append(testimony)
      case 67..<70:
        give(stage.order(.unban, IPNetwork(address), at: now), &ledger, &model, now)
      case 70..<72:
        give(
          stage.order(
            .allow, IPNetwork(address), at: now, until: now + .seconds(Int64.random(in: 1...9_000, using: &random))),
          &ledger, &model, now)
      case 72 where Int.random(in: 0..<8, using: &random) == 0:
        give(stage.order(.revoke, at: now, node: node), &ledger, &model, now)
      case 73..<80:
        // A replay of anything.
        if let old = model.testimonies.randomElement(using: &random) { ledger.take(old, at: now) }
        if let old = model.orders.randomElement(using: &random) { ledger.take(old, at: now) }
      default:
        now = now + .seconds([1, 60, 600, 3_600, 20_000].randomElement(using: &random)!)
        model.forget(at: now)
        for _ in 0..<3 { ledger.tick(at: now) }
      }
      follow(ledger.drain(), &inForce)
      inForce = inForce.filter { $0.value > now }
      check(&ledger, model, inForce, now, "seed \(seed), step \(step)")
    }
  }

  private func give(
    _ order: Order, _ ledger: inout FleetLedger<PlainVerifier>, _ model: inout Model, _ now: Timestamp
  ) {
    ledger.take(order, at: now)
    model.orders.append(order)
  }

  private func follow(_ changes: [FleetChange], _ inForce: inout [IPAddress: Timestamp]) {
    for change in changes {
      switch change {
      case .ban(let address, let until, _): inForce[address] = until
      case .lift(let address, _): inForce[address] = nil
      case .unban(let network, _): inForce = inForce.filter { !network.contains($0.key) }
      default: break
      }
    }
  }

  private func check(
    _ ledger: inout FleetLedger<PlainVerifier>, _ model: Model, _ inForce: [IPAddress: Timestamp], _ now: Timestamp,
    _ context: String
  ) {
    for number in 0..<6 {
      let address = stranger(number)
      let until = ledger.view(of: address, at: now)?.until
      // What is in force by what was said is what the ledger answers when asked.
      #expect(inForce[address] == until, "\(address), \(context)")
      guard let complete = model.complete(address) else {
        #expect(until == nil, "\(address) is banned and no quorum saw it, \(context)")
        continue
      }
      // The spread is up to a tenth.
      let latest = Timestamp(seconds: complete) + .seconds(86_400)
      if let until { #expect(until <= latest, "\(address) is banned longer than its quorum is worth, \(context)") }
    }
    // A table with gaps would count wrong.
    #expect(ledger.bans >= inForce.count && ledger.bans <= 6)
    #expect(ledger.watches + ledger.bans <= 6)
  }

  /// The other half: whoever the model bans is banned, where nobody takes anything back (a row keeps few witnesses) and nothing is late (what
  /// is a day old is forgotten). In both cases coordinators bring the whole proof.
  @Test(arguments: 0..<(SimulationTests.isBenchmark ? 100 : 8)) func nobodyIsForgotten(_ seed: Int) {
    var random = SeededGenerator(seed: 1000 + UInt64(seed))
    let stage = FleetStage(nodes: 9, zones: 3)
    let zones = Int.random(in: 1...3, using: &random)
    var now = FleetStage.begin
    var ledger = stage.ledger { $0.zones = zones }
    var model = Model(settings: ledger.settings, stage: stage)
    for step in 0..<200 {
      let address = stranger(Int.random(in: 0..<8, using: &random))
      if random.chance(70) {
        let testimony = stage.testimony(by: NodeNumber.random(in: 1...9, using: &random), of: address, at: now)
        ledger.take(testimony, at: now)
        model.testimonies.append(testimony)
      } else {
        now = now + .seconds([1, 600, 3_600, 9_000].randomElement(using: &random)!)
        for _ in 0..<3 { ledger.tick(at: now) }
      }
      for number in 0..<8 {
        guard let complete = model.complete(stranger(number)) else { continue }
        let view = ledger.view(of: stranger(number), at: now)
        if Timestamp(seconds: complete) + .seconds(77_760) > now {
          #expect(view?.until != nil, "\(stranger(number)), seed \(seed), step \(step)")
        }
      }
    }
  }
}
