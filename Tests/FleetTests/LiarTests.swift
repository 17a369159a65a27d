import Fleet
import TestSupport
import Testing
import Wire

/// What those can and cannot do who were taken over: the table of SECURITY.md, row by row.
@Suite struct LiarTests {
  let stage = FleetStage(nodes: 9, zones: 3)
  let now = FleetStage.begin

  // MARK: Fewer than a quorum

  /// Two of three needed lie about 10,000 innocents, in every way they can.
  @Test func fewerThanAQuorumBanNobody() {
    var ledger = stage.ledger(9)
    var coordinator = stage.coordinator()
    let elsewhere = FleetStage(nodes: 9, zones: 3, fleetNumber: 0xffff_0001)
    var changes: [FleetChange] = []
    for number in 0..<10_000 {
      let innocent = stranger(number)
      for liar in [NodeNumber(1), 2] {
        let testimony = stage.testimony(by: liar, of: innocent, at: now)
        // In their own streams, in each other's, twice, and past the coordinators.
        coordinator.take(testimony, from: liar, at: now)
        coordinator.take(testimony, from: 3 - liar, at: now)
        ledger.take(testimony, at: now)
        ledger.take(testimony, at: now)
        // In the name of others, by their own key.
        let forged = Testimony(
          Testimony.Body(.contact, by: 3, of: innocent, at: now), in: stage.fleet, signedBy: stage.key(liar))
        ledger.take(forged, at: now)
        coordinator.take(forged, from: 3, at: now)
        // Of another fleet, of the future, of long ago.
        ledger.take(elsewhere.testimony(by: 3, of: innocent, at: now), at: now)
        ledger.take(stage.testimony(by: liar, of: innocent, at: now + .seconds(121)), at: now)
        ledger.take(stage.testimony(by: liar, of: innocent, at: now + .seconds(-86_400)), at: now)
        // A number that nobody has.
        ledger.take(stage.testimony(by: 77, of: innocent, at: now), at: now)
      }
      for proof in coordinator.drain(10, at: now) { ledger.take(proof, at: now) }
      changes += ledger.drain()
      if number % 500 == 0 { ledger.tick(at: now) }
    }
    #expect(changes.bans.isEmpty && ledger.bans == 0)
    // They are watched, and no more than there is room for.
    #expect(ledger.watches > 0 && ledger.watches <= FleetSettings.mostWatches)
    for change in changes {
      if case .watch(_, let weight, _, _) = change { #expect(weight <= Hearsay.most) }
    }
    #expect(ledger.refusals[.badSignature] > 0 && ledger.refusals[.ahead] > 0 && ledger.refusals[.old] > 0)
    #expect(ledger.refusals[.unknownNode] > 0 && coordinator.refusals[.foreignStream] > 0)
  }

  /// One liar alone cannot take all the room in which others' sources are watched.
  @Test func aLiarUsesUpItsOwnShare() {
    var ledger = stage.ledger(9)
    for number in 0..<FleetSettings.mostWatchesOfOne + 100 {
      ledger.take(stage.testimony(by: 1, of: stranger(number), at: now), at: now)
      _ = ledger.drain()
    }
    #expect(ledger.watches == FleetSettings.mostWatchesOfOne)
    #expect(ledger.refusals[.watchesFull] == 100)
    ledger.take(stage.testimony(by: 2, of: stranger(999_999), at: now), at: now)
    #expect(ledger.drain().watches == [stranger(999_999)])
  }

  /// Hearsay weighs less than the threshold, however many say so and however often.
  @Test(arguments: 0...12) func hearsayAloneIsNoVerdict(_ witnesses: Int) {
    #expect(Hearsay.weight(witnesses: witnesses) <= 2395)
    #expect(Hearsay.weight(witnesses: witnesses) + 2200 < 4595 || witnesses > 1)
  }

  /// What this node saw itself it has weighed already: of its own word nothing comes back as that of another.
  @Test func ownWordIsNoHearsay() {
    var ledger = stage.ledger(3)
    func weights() -> [Int32] {
      ledger.drain().compactMap {
        if case .watch(_, let weight, _, let seen) = $0 { seen.contains { $0.node == 3 } ? -1 : weight } else { nil }
      }
    }
    ledger.take(stage.testimony(by: 3, of: stranger(1), at: now), at: now)
    #expect(weights() == [0])
    ledger.take(stage.testimony(by: 1, of: stranger(1), at: now), at: now)
    #expect(weights() == [Hearsay.ofOne])
    ledger.take(stage.testimony(by: 1, of: stranger(2), at: now), at: now)
    ledger.take(stage.testimony(by: 3, of: stranger(2), at: now), at: now)
    #expect(weights() == [Hearsay.ofOne, Hearsay.ofOne])
    // For a quorum it counts as any other.
    ledger.take(stage.testimony(by: 2, of: stranger(1), at: now), at: now)
    #expect(ledger.drain().bans == [stranger(1)])
  }

  // MARK: A quorum of liars

  /// Their own members they cannot ban: one alarm.
  @Test func membersAreNotBanned() {
    let members = [IPNetwork("198.51.100.7")!, IPNetwork("2001:db8:7::/64")!]
    var stage = stage
    stage.certificates.append(stage.certificate(8, from: now + .seconds(-60), addresses: members))
    var ledger = stage.ledger(9)
    for address in [IPAddress("198.51.100.7")!, IPAddress("2001:db8:7::99")!] {
      for round in 0..<50 {
        for liar in NodeNumber(1)...7 {
          ledger.take(stage.testimony(by: liar, of: address, at: now + .seconds(Int64(round))), at: now)
        }
      }
      let changes = ledger.drain()
      #expect(changes.bans.isEmpty && changes.watches.isEmpty)
      #expect(changes.alarms == [address])
    }
    #expect(ledger.bans == 0)
    // An operator's order about a member is none either.
    ledger.take(stage.order(.ban, IPNetwork("198.51.100.0/24")!, at: now, until: now + .seconds(3600)), at: now)
    #expect(ledger.drain().ordered.isEmpty && ledger.refusals[.member] > 0)
  }

  /// Whoever joins is let in.
  @Test func whoJoinsIsLetIn() {
    var ledger = stage.ledger(9)
    let address = IPAddress("198.51.100.7")!
    for node in NodeNumber(1)...3 { ledger.take(stage.testimony(by: node, of: address, at: now), at: now) }
    #expect(ledger.drain().bans == [address])
    ledger.take(stage.certificate(10, addresses: [IPNetwork(address)]), at: now)
    #expect(ledger.drain().contains(.lift(address, .member(10))))
    #expect(ledger.bans == 0)
  }

  @Test func theyBanNoMoreThanFleetMax() {
    var ledger = stage.ledger(9) { $0.maximum = 100 }
    for number in 0..<300 {
      for liar in NodeNumber(1)...3 { ledger.take(stage.testimony(by: liar, of: stranger(number), at: now), at: now) }
    }
    #expect(ledger.drain().bans.count == 100 && ledger.bans == 100)
    #expect(ledger.refusals[.full] > 0)
    // Room again.
    ledger.take(stage.order(.unban, IPNetwork(stranger(0)), at: now), at: now)
    _ = ledger.drain()
    for _ in 0..<10 { ledger.tick(at: now) }
    #expect(ledger.bans == 100)
  }

  @Test func theyBanNoLongerThanFleetTime() {
    for hours in [6, 24, 24 * 30] {
      var ledger = stage.ledger(9) { $0.time = .seconds(Int64(hours) * 3600) }
      for liar in NodeNumber(1)...3 {
        // As far ahead as is believed.
        ledger.take(stage.testimony(by: liar, of: stranger(1), at: now + .seconds(120)), at: now)
      }
      let until = ledger.view(of: stranger(1), at: now)?.until
      #expect(until != nil && until! <= now + .seconds(Int64(hours) * 3600 + 120))
    }
  }

  /// All of it ends with their revocation.
  @Test func whatRestsOnThemEnds() {
    var ledger = stage.ledger(9)
    for number in 0..<200 {
      for liar in NodeNumber(1)...3 { ledger.take(stage.testimony(by: liar, of: stranger(number), at: now), at: now) }
    }
    #expect(ledger.drain().bans.count == 200)
    ledger.take(stage.order(.revoke, at: now, node: 2), at: now)
    #expect(Set(ledger.drain().lifts).count == 200 && ledger.bans == 0)
    // What it says later, and what it has said, is nothing.
    for number in 0..<200 {
      ledger.take(stage.testimony(by: 2, of: stranger(number), at: now + .seconds(1)), at: now)
    }
    #expect(ledger.drain().bans.isEmpty && ledger.refusals[.revoked] == 200)
    // With a new certificate it is a node again, for what it says from then on.
    ledger.take(stage.certificate(2, from: now + .seconds(60)), at: now)
    ledger.take(stage.testimony(by: 2, of: stranger(5), at: now), at: now + .seconds(61))
    #expect(ledger.drain().bans.isEmpty)
    ledger.take(stage.testimony(by: 2, of: stranger(5), at: now + .seconds(60)), at: now + .seconds(61))
    #expect(ledger.drain().bans == [stranger(5)])
  }

  // MARK: Private addresses

  @Test(arguments: ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.9", "169.254.9.9", "fd00::1", "fe80::1"])
  func aPrivateAddressIsOfOneZone(_ text: String) throws {
    let address = try #require(IPAddress(text))
    var ledger = stage.ledger(1)
    // Node 1, 4 and 7 are in zone 0, as this one; the others not.
    for node: NodeNumber in [2, 3, 5, 6, 8, 9] { ledger.take(stage.testimony(by: node, of: address, at: now), at: now) }
    #expect(ledger.drain() == [] && ledger.refusals[.otherZone] == 6)
    for node: NodeNumber in [1, 4, 7] { ledger.take(stage.testimony(by: node, of: address, at: now), at: now) }
    #expect(ledger.drain().bans == [address])
    // A coordinator does not mix them.
    var coordinator = stage.coordinator()
    for node: NodeNumber in [1, 2, 3, 4, 5] {
      coordinator.take(stage.testimony(by: node, of: address, at: now), from: node, at: now)
    }
    #expect(coordinator.drain(99, at: now).allSatisfy { $0.testimonies.count < 3 })
    // Nor is a network of one ordered for all.
    ledger.take(stage.order(.ban, IPNetwork(address), at: now, until: now + .seconds(99)), at: now)
    #expect(ledger.drain().ordered.isEmpty)
  }

  @Test(arguments: ["127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "ff02::1", "::1"])
  func nobodyHasSuchAnAddress(_ text: String) throws {
    let address = try #require(IPAddress(text))
    var ledger = stage.ledger()
    for node in NodeNumber(1)...5 { ledger.take(stage.testimony(by: node, of: address, at: now), at: now) }
    #expect(ledger.drain() == [] && ledger.refusals[.noSource] == 5)
  }

  // MARK: Coordinator and engine

  /// A lying engine gives back what it was given: cut, mixed, changed, again.
  @Test func foreignBytesBanNobody() {
    var random = SeededGenerator(seed: 9)
    var ledger = stage.ledger(9)
    let seeds: [[UInt8]] = (0..<40).flatMap { number -> [[UInt8]] in
      let two = (1...2).map { stage.testimony(by: NodeNumber($0), of: stranger(number), at: now) }
      return [
        Proof(two)!.encoded, two[0].encoded, stage.certificates[number % 5].encoded,
        stage.order(.unban, IPNetwork(stranger(number)), at: now).encoded,
        Announcement(Proof(two)!, at: StreamPosition(9, 9), after: .start).encoded,
      ]
    }
    var taken = 0
    for _ in 0..<30_000 {
      var bytes = seeds.randomElement(using: &random)!
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        switch Int.random(in: 0..<4, using: &random) {
        case 0: bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        case 1 where bytes.count > 2: bytes.removeLast(Int.random(in: 1..<bytes.count - 1, using: &random))
        case 2: bytes += seeds.randomElement(using: &random)!.prefix(Int.random(in: 0...200, using: &random))
        default: bytes.swapAt(0, Int.random(in: 0..<bytes.count, using: &random))
        }
      }
      if let proof = try? Proof(bytes) {
        ledger.take(proof, at: now)
        taken += 1
      } else if let testimony = try? Testimony(bytes) {
        ledger.take(testimony, at: now)
        taken += 1
      } else if let order = try? Order(bytes) {
        ledger.take(order, at: now)
      } else if let certificate = try? Certificate(bytes) {
        ledger.take(certificate, at: now)
      } else if let announcement = try? Announcement(bytes) {
        ledger.take(announcement.proof, at: now)
      } else {
        ledger.noteMalformed()
      }
    }
    #expect(taken > 100 && ledger.refusals[.badSignature] > 100 && ledger.refusals[.malformed] > 1000)
    #expect(ledger.drain().bans.isEmpty && ledger.bans == 0)
  }

  /// A coordinator cannot make a quorum of one node's words, nor of a number it made up.
  @Test func aProofIsOfDifferentNodes() {
    let one = stage.testimony(by: 1, of: stranger(1), at: now)
    let again = stage.testimony(by: 1, of: stranger(1), at: now + .seconds(1))
    #expect(Proof([one, again, stage.testimony(by: 2, of: stranger(1), at: now)]) == nil)
    #expect(Proof([one, stage.testimony(by: 2, of: stranger(2), at: now)]) == nil)
    #expect(Proof([]) == nil)
    #expect(Proof((1...9).map { stage.testimony(by: $0, of: stranger(1), at: now) }) == nil)
  }

  /// What is over stays over, whoever sends it again, and however late.
  @Test func replaysReviveNothing() {
    var ledger = stage.ledger(9)
    let proof = Proof((1...3).map { stage.testimony(by: $0, of: stranger(1), at: now) })!
    ledger.take(proof, at: now)
    #expect(ledger.drain().bans == [stranger(1)])
    ledger.take(stage.order(.unban, IPNetwork(stranger(1)), at: now + .seconds(5)), at: now + .seconds(5))
    #expect(ledger.drain().lifts == [stranger(1)])
    var time = now + .seconds(5)
    for _ in 0..<200 {
      ledger.take(proof, at: time)
      for testimony in proof.testimonies { ledger.take(testimony, at: time) }
      ledger.tick(at: time)
      time = time + .seconds(1800)
    }
    #expect(ledger.drain().bans.isEmpty && ledger.bans == 0)
    // And a proof whose time is over, on a node that never saw it.
    var fresh = stage.ledger(8)
    fresh.take(proof, at: now + .seconds(86_401))
    #expect(fresh.drain().bans.isEmpty)
  }

  /// An older order does not undo a later one.
  @Test func oldOrdersDoNotReturn() {
    var ledger = stage.ledger(9)
    let network = IPNetwork("203.0.113.0/24")!
    let ban = stage.order(.ban, network, at: now, until: now + .seconds(86_400))
    ledger.take(ban, at: now)
    #expect(ledger.drain().ordered == [network] && ledger.bans == 1)
    ledger.take(stage.order(.unban, network, at: now + .seconds(10)), at: now + .seconds(10))
    #expect(ledger.drain().contains(.liftOrder(network, .overruled(operator: FleetStage.operatorNumber))))
    ledger.take(ban, at: now + .seconds(20))
    #expect(ledger.drain() == [] && ledger.bans == 0)
    ledger.take(stage.order(.ban, network, at: now + .seconds(30), until: now + .seconds(99)), at: now + .seconds(30))
    #expect(ledger.drain().ordered == [network])
  }

  @Test func onlyOperatorsGiveOrders() {
    var ledger = stage.ledger(9)
    let network = IPNetwork(stranger(1))
    ledger.take(stage.order(.ban, network, at: now, until: now + .seconds(99), by: 3), at: now)
    ledger.take(stage.order(.unban, network, at: now, by: 77), at: now)
    #expect(ledger.drain() == [] && ledger.refusals[.notOperator] == 1 && ledger.refusals[.unknownNode] == 1)
    // Nor does an operator testify.
    ledger.take(stage.testimony(by: FleetStage.operatorNumber, of: stranger(1), at: now), at: now)
    #expect(ledger.drain() == [])
  }

  /// A stolen operator's key: what it ordered ends when the other operator revokes it.
  @Test func theOrdersOfARevokedOperatorEnd() {
    var stage = stage
    stage.certificates.append(stage.certificate(50_000, role: .operator_))
    var ledger = stage.ledger(9)
    let network = IPNetwork("203.0.113.0/24")!
    ledger.take(stage.order(.ban, network, at: now, until: now + .seconds(999), by: 50_000), at: now)
    ledger.take(stage.order(.revoke, at: now, node: 4, by: 50_000), at: now)
    #expect(ledger.drain().ordered == [network] && ledger.roster.isRevoked(4))
    ledger.take(stage.order(.revoke, at: now, node: 50_000), at: now)
    #expect(ledger.drain().contains(.liftOrder(network, .revoked(50_000))))
    #expect(!ledger.roster.isRevoked(4) && ledger.bans == 0)
  }
}
