import Platform
import Response
import TestSupport
import Testing
import Wire

@testable import Enforcement

/// Rules that only remember.
final class RecordingRules: Ruleset {
  var sets: [IPNetwork: Duration?] = [:]
  var routed: Set<IPNetwork> = []
  var trap: NFTablesTrap?
  /// Each network that was ever shut out, and when.
  var made: [(network: IPNetwork, at: Int64)] = []
  var now: Int64 = 0
  var isMissing = false
  var failure: ResponderError?

  func prepare() throws(ResponderError) -> Bool {
    defer { isMissing = false }
    return isMissing
  }
  func watch() {}
  func add(_ blocks: [(IPNetwork, Duration?)]) throws(ResponderError) {
    if let failure { throw failure }
    for (network, time) in blocks {
      if sets[network] == nil { made.append((network, now)) }
      sets[network] = .some(time)
    }
  }
  func remove(_ networks: [IPNetwork]) throws(ResponderError) { for network in networks { sets[network] = nil } }
  func contents() throws(ResponderError) -> [IPNetwork: Duration?] { sets }
  func removeTable() throws(ResponderError) { (sets, isMissing) = ([:], true) }
  func addRoute(_ network: IPNetwork, _ kind: RouteTable.Kind) throws(ResponderError) {
    if routed.insert(network).inserted { made.append((network, now)) }
  }
  func removeRoute(_ network: IPNetwork) throws(ResponderError) { routed.remove(network) }
  func routes() throws(ResponderError) -> Set<IPNetwork> { routed }
  func setTrap(_ trap: NFTablesTrap?) throws(ResponderError) { self.trap = trap }
  func doubtsLost() throws(ResponderError) -> UInt64 { 3 }
  func doubt(of address: IPAddress) throws(ResponderError) -> Duration? { .seconds(2) }
  func endDoubts(of addresses: [IPAddress]) throws(ResponderError) {}
  func inputChains() throws(ResponderError) -> [String] { ["ip filter INPUT"] }
  var monitorDescriptor: Int32? { nil }
  func wasTouched() -> Bool { false }
}

private let second: Int64 = 1_000_000_000
private let gateway = IPNetwork("192.0.2.1")!
private let partner = IPNetwork("198.51.100.0/24")!

private func limits(_ change: (inout ResponsePolicy.Settings) -> Void = { _ in }, fleet: Bool = false) -> Permit.Limits
{
  var settings = ResponsePolicy.Settings()
  change(&settings)
  return Permit.Limits(settings, isOfFleet: fleet)
}

private func makeDesk(_ limits: Permit.Limits, isSealed: Bool = true) -> (EnforcerDesk, RecordingRules) {
  var permit = Permit(limits)
  permit.safe = SafeNetworks([(gateway, "the default gateway"), (IPNetwork("2001:db8::1")!, "an address of this host")])
  permit.ignored = IPNetworkSet([partner])
  let rules = RecordingRules()
  return (EnforcerDesk(permit, rules, isSealed: isSealed), rules)
}

private func ban(
  _ network: String, _ claim: Permit.Claim = .scan, _ ways: Permit.Ways = .sets, _ time: Duration? = .seconds(600)
) -> EnforcerOrder {
  .ban(EnforcerOrder.Ban(IPNetwork(network)!, claim, ways, remaining: time))
}

@Suite struct EnforcerDeskTests {
  private func why(_ outcome: EnforcerDesk.Outcome) -> String? {
    if case .reply(.refused(let why)) = outcome { why } else { nil }
  }

  @Test(
    "Whoever orders it, what must stay reachable is not shut out",
    arguments: [
      ("192.0.2.1", "it is the default gateway"),
      ("192.0.2.0/24", "it is a network that contains 192.0.2.1 (the default gateway)"),
      ("127.0.0.1", "it is loopback"), ("0.0.0.0", "it is the unspecified address"),
      ("224.0.0.1", "it is a multicast address"), ("255.255.255.255", "it is the broadcast address"),
      ("2001:db8::1", "it is an address of this host"), ("::", "it is the unspecified address"),
      ("198.51.100.77", "the ignore file or `portsentry allow` names it"),
      ("198.51.0.0/16", "the ignore file or `portsentry allow` names it"),
    ])
  func safe(_ network: String, _ expected: String) {
    for claim in Permit.Claim.allCases {
      for ways in [Permit.Ways.sets, .blackhole, .unreachable] {
        let (desk, rules) = makeDesk(limits(fleet: true))
        #expect(why(desk.answer(ban(network, claim, ways), at: 0)) == expected)
        // Nor before the blocks of before are in.
        let (early, earlyRules) = makeDesk(limits(fleet: true), isSealed: false)
        _ = early.answer(
          .whole([EnforcerOrder.Ban(IPNetwork(network)!, claim, ways, remaining: nil)], after: 0, isLast: true), at: 0)
        _ = early.answer(.mend(nil, needsTable: true), at: 0)
        #expect(rules.made.isEmpty && earlyRules.made.isEmpty)
      }
    }
  }

  @Test(
    "What is too wide is not shut out",
    arguments: [
      ("203.0.113.0/31", Permit.Claim.scan, false), ("2001:db8:1::/64", .scan, true), ("2001:db8:1::/63", .scan, false),
      ("2001:db8:1::/64", .order, true), ("64.0.0.0/8", .order, true), ("64.0.0.0/7", .order, false),
      ("2600::/16", .order, true), ("2600::/15", .order, false), ("64.0.0.0/7", .fleet, false),
      ("203.0.113.0/24", .order, true),
    ])
  func width(_ network: String, _ claim: Permit.Claim, _ isTaken: Bool) {
    let (desk, rules) = makeDesk(limits(fleet: true))
    #expect((why(desk.answer(ban(network, claim), at: 0)) == nil) == isTaken)
    #expect(rules.made.count == (isTaken ? 1 : 0))
  }

  @Test func `BLOCK_PREFIX_IPV6 decides what a scan may shut out, and few wide networks may be ordered`() {
    let (narrow, _) = makeDesk(limits { $0.widestPrefix = 128 })
    #expect(why(narrow.answer(ban("2001:db8:1::/64"), at: 0)) != nil)
    let (desk, rules) = makeDesk(limits())
    for index in 1...Permit.mostWide { #expect(why(desk.answer(ban("\(index).0.0.0/9", .order), at: 0)) == nil) }
    #expect(why(desk.answer(ban("100.0.0.0/9", .order), at: 0))?.contains("64 networks wider than") == true)
    #expect(why(desk.answer(ban("100.1.0.0/16", .order), at: 0)) == nil)
    #expect(desk.answer(.lift([IPNetwork("1.0.0.0/9")!], after: 0, isLast: true), at: 0) == .reply(.done(true)))
    #expect(why(desk.answer(ban("100.0.0.0/9", .order), at: 0)) == nil && rules.sets.count == 65)
  }

  @Test func `BLOCK_RATE holds whatever the sentry says, and orders have a rate of their own`() {
    let (desk, rules) = makeDesk(limits { $0.perMinute = 32 })
    var taken = 0
    for index in 0..<100 where why(desk.answer(ban("203.0.\(index).1"), at: Int64(index))) == nil { taken += 1 }
    // Shares: no IPv4 /16 has more than a quarter.
    #expect(taken == 8)
    for index in 0..<100 where why(desk.answer(ban("\(index + 1).7.7.7"), at: 100)) == nil { taken += 1 }
    #expect(taken == 30)
    // Again is not new.
    #expect(why(desk.answer(ban("203.0.0.1", .scan, .sets, .seconds(900)), at: 200)) == nil)
    for index in 0..<Permit.ordersPerMinute {
      #expect(why(desk.answer(ban("10.\(index / 250).\(index % 250).1", .order), at: 300)) == nil)
    }
    #expect(why(desk.answer(ban("10.200.0.1", .order), at: 300))?.contains("BLOCK_RATE") == true)
    #expect(why(desk.answer(ban("77.7.7.7"), at: 58 * second)) != nil)
    #expect(why(desk.answer(ban("77.7.7.7"), at: 61 * second)) == nil)
    #expect(rules.sets.count == 31 + Permit.ordersPerMinute)
  }

  @Test func `BLOCK_MAX and FLEET_MAX hold, and who is of no fleet takes no ban of one`() {
    let (desk, _) = makeDesk(
      limits({ ($0.maximum, $0.perMinute, $0.fleetMaximum) = (4, 0, 2) }, fleet: true))
    for index in 1...4 { #expect(why(desk.answer(ban("\(index).1.1.1"), at: 0)) == nil) }
    #expect(why(desk.answer(ban("5.1.1.1", .order), at: 0)) == "4 blocks are in force (BLOCK_MAX)")
    for index in 1...2 { #expect(why(desk.answer(ban("20.1.1.\(index)", .fleet), at: 0)) == nil) }
    #expect(why(desk.answer(ban("20.1.1.3", .fleet), at: 0)) == "2 bans of the fleet are in force (FLEET_MAX)")
    // Those whose time is over are no reason, though nobody has lifted them.
    #expect(why(desk.answer(ban("5.1.1.1"), at: 700 * second)) == nil)
    let (alone, _) = makeDesk(limits())
    #expect(why(alone.answer(ban("20.1.1.3", .fleet), at: 0)) == "this host is of no fleet")
  }

  @Test func `Blocks of before come at once until the sentry has told all; from then on as new ones`() {
    let (desk, rules) = makeDesk(limits { $0.perMinute = 16 }, isSealed: false)
    rules.isMissing = true
    let many = (0..<200).map {
      EnforcerOrder.Ban(IPNetwork("\($0 % 200 + 20).1.1.1")!, .scan, .sets, remaining: .seconds(60))
    }
    tell(desk, many)
    #expect(rules.sets.count == 199, "20 to 219, without 127")
    #expect(desk.answer(.seal, at: 0) == .reply(.done(false)) && desk.isSealed)
    // A flush is mended without a question, since what was in force was asked for.
    rules.sets = [:]
    #expect(
      desk.answer(.mend(desk.permit.digest, needsTable: true), at: 1) == .reply(.mended(199, refused: 0, because: "")))
  }

  private func tell(_ desk: EnforcerDesk, _ bans: [EnforcerOrder.Ban]) {
    var before = 0
    while before < bans.count {
      let part = Array(bans[before..<min(before + EnforcerOrder.Part.bans, bans.count)])
      _ = desk.answer(.whole(part, after: UInt32(before), isLast: before + part.count == bans.count), at: 0)
      before += part.count
    }
    _ = desk.answer(.mend(nil, needsTable: true), at: 0)
  }

  @Test func `The whole lifts what is not in it, and what somebody else has added is taken out`() {
    let (desk, rules) = makeDesk(limits())
    for network in ["203.0.113.1", "203.0.113.2"] { _ = desk.answer(ban(network, .scan, [.sets, .blackhole]), at: 0) }
    rules.sets[IPNetwork("8.8.8.8")!] = .some(nil)
    rules.routed.remove(IPNetwork("203.0.113.1")!)
    // The sums agree: two differences, made by others.
    #expect(
      desk.answer(.mend(desk.permit.digest, needsTable: true), at: 1) == .reply(.mended(2, refused: 0, because: "")))
    #expect(rules.sets.count == 2 && rules.routed.count == 2)
    #expect(desk.answer(.mend(Permit.Digest(), needsTable: true), at: 1) == .reply(.differs))
    tell(
      desk,
      [
        EnforcerOrder.Ban(IPNetwork("203.0.113.2")!, .scan, .sets, remaining: nil),
        EnforcerOrder.Ban(gateway, .order, .sets, remaining: nil),
      ])
    #expect(Array(rules.sets.keys) == [IPNetwork("203.0.113.2")!])
    #expect(
      desk.answer(.whole([EnforcerOrder.Ban(gateway, .order, .sets, remaining: nil)], after: 0, isLast: true), at: 1)
        == .reply(.mended(0, refused: 1, because: "192.0.2.1: it is the default gateway")))
  }

  @Test func `Parts that went to one that has ended are missed by the next`() {
    let (desk, rules) = makeDesk(limits())
    _ = desk.answer(ban("203.0.113.1"), at: 0)
    let rest = [EnforcerOrder.Ban(IPNetwork("203.0.113.9")!, .scan, .sets, remaining: nil)]
    let torn = EnforcerDesk.Outcome.reply(.failed(.missing("a part of the order")))
    #expect(desk.answer(.whole(rest, after: 64, isLast: true), at: 0) == torn)
    #expect(desk.answer(.lift([IPNetwork("203.0.113.1")!], after: 64, isLast: true), at: 0) == torn)
    #expect(desk.answer(.trapPorts(.udp, PortSet()), at: 0) == .silence)
    #expect(desk.answer(.trap(EnforcerOrder.TrapHead()), at: 0) == torn)
    #expect(rules.sets.count == 1 && desk.permit.table.count == 1 && rules.trap == nil)
  }

  @Test func `The trap is put up as it was told, and taken away`() {
    let (desk, rules) = makeDesk(limits())
    var trap = NFTablesTrap()
    (trap.decoy, trap.tcp, trap.udp) = (PortSet([1]), PortSet([2]), PortSet([3]))
    (trap.closed4, trap.closed6, trap.doubt) = (PortSet([4]), PortSet([5]), .seconds(30))
    (trap.interfaces, trap.bridges) = (["lan0"], ["br0"])
    (trap.spared, trap.v4, trap.mayMeetCookies) = (IPNetworkSet([gateway]), NFTablesTrap.Door(tcp: 7, udp: 8), false)
    let parts: [(EnforcerOrder.TrapPorts, PortSet)] = [
      (.decoy, trap.decoy), (.tcp, trap.tcp), (.udp, trap.udp), (.closed4, trap.closed4), (.closed6, trap.closed6),
    ]
    for (which, ports) in parts { #expect(desk.answer(.trapPorts(which, ports), at: 0) == .silence) }
    _ = desk.answer(.trapSpared([gateway]), at: 0)
    _ = desk.answer(.trapNames(isBridges: false, ["lan0"]), at: 0)
    _ = desk.answer(.trapNames(isBridges: true, ["br0"]), at: 0)
    var head = EnforcerOrder.TrapHead()
    (head.v4, head.doubt, head.mayMeetCookies) = (trap.v4, 30 * second, false)
    #expect(desk.answer(.trap(head), at: 0) == .reply(.done(true)) && rules.trap == trap)
    #expect(desk.answer(.noTrap, at: 0) == .reply(.done(true)) && rules.trap == nil)
  }

  @Test func `What the kernel refuses is in force nowhere; who takes another's place knows what the kernel has`() throws
  {
    let (desk, rules) = makeDesk(limits())
    rules.failure = .notPermitted("table inet portsentry")
    #expect(desk.answer(ban("203.0.113.1"), at: 0) == .reply(.failed(.notPermitted("table inet portsentry"))))
    #expect(desk.permit.table.isEmpty && desk.permit.digest == Permit.Digest())
    rules.failure = nil
    rules.sets = [IPNetwork("203.0.113.5")!: .seconds(5), IPNetwork("203.0.113.6")!: nil as Duration?]
    try desk.recall(at: 10)
    #expect(desk.permit.table[IPNetwork("203.0.113.6")!]?.end == .max)
    #expect(desk.permit.table[IPNetwork("203.0.113.5")!]?.end == 10 + 5 * second)
    // Told by whom, they need no room and no rate.
    let told = (5...6).map { EnforcerOrder.Ban(IPNetwork("203.0.113.\($0)")!, .fleet, .sets, remaining: nil) }
    #expect(desk.answer(.whole(told, after: 0, isLast: true), at: 10) == .reply(.mended(0, refused: 0, because: "")))
    #expect(desk.permit.table[told[0].network]?.claim == .fleet)
    #expect(desk.answer(.removeTable, at: 0) == .reply(.refused("blocks are in force")))
    _ = desk.answer(.lift([IPNetwork("203.0.113.5")!, IPNetwork("203.0.113.6")!], after: 0, isLast: true), at: 0)
    #expect(desk.answer(.removeTable, at: 0) == .reply(.done(false)))
  }

  @Test func `Of the kernel's the rest is asked`() {
    let (desk, _) = makeDesk(limits())
    #expect(desk.answer(.doubtsLost, at: 0) == .reply(.number(3)))
    #expect(desk.answer(.doubt(IPAddress("8.8.8.8")!), at: 0) == .reply(.remaining(2 * second)))
    #expect(desk.answer(.endDoubts([]), at: 0) == .reply(.done(false)))
    #expect(desk.answer(.inputChains, at: 0) == .reply(.chains(["ip filter INPUT"])))
    #expect(desk.answer(.watch, at: 0) == .reply(.done(false)) && desk.watched.isEmpty)
    var isRead = false
    _ = desk.answer(.reread, at: 0) { isRead = true }
    #expect(isRead)
    #expect(desk.answer(.health, at: 0) == .end)
  }

  // MARK: A sentry that was taken over

  /// Gives orders, and writes down when whom they shut out anew, by claim.
  private struct Hostile {
    let limits: Permit.Limits
    var desk: EnforcerDesk
    var rules: RecordingRules
    var times: [Permit.Claim: [Int64]] = [:]
    var ended = 0

    init(_ limits: Permit.Limits) {
      self.limits = limits
      (desk, rules) = makeDesk(limits)
    }

    mutating func give(_ order: EnforcerOrder) {
      let bans: [EnforcerOrder.Ban] =
        switch order {
        case .ban(let ban): [ban]
        case .whole(let bans, _, true): Array(Dictionary(grouping: bans, by: \.network).compactMap(\.value.last))
        default: []
        }
      let fresh = bans.filter { desk.permit.table[$0.network]?.claim != $0.claim }
      let outcome = desk.answer(order, at: rules.now)
      for ban in fresh where desk.permit.table[ban.network]?.claim == ban.claim {
        times[ban.claim, default: []].append(rules.now)
      }
      guard outcome == .end else { return }
      ended += 1
      // Another connection; what came about counts on.
      let before = rules
      (desk, rules) = makeDesk(limits)
      (rules.now, rules.made) = (before.now, before.made)
      times = [:]
    }

    func check() {
      for network in rules.made.map(\.network) {
        if [gateway, partner, IPNetwork("127.0.0.0/8")!, IPNetwork("2001:db8::1")!, IPNetwork("::1")!]
          .contains(where: network.overlaps) || network.length < (network.isV4 ? 8 : 16)
        {
          Issue.record("\(network) was shut out")
        }
      }
      for (claim, times) in times {
        let most = claim == .order ? max(limits.perMinute, Permit.ordersPerMinute) : limits.perMinute
        var first = 0
        for (index, time) in times.enumerated() {
          while times[first] <= time - 59 * second { first += 1 }
          if index - first >= most { Issue.record("\(index - first + 1) of \(claim) within a minute, up to \(time)") }
        }
      }
      #expect(rules.sets.count <= limits.maximum)
    }
  }

  @Test
  func
    `Ten thousand well-formed orders of a hostile sentry shut out nobody who must stay, none too wide, none too fast`()
  {
    var hostile = Hostile(limits { ($0.maximum, $0.perMinute) = (3_000, 64) })
    var random = SeededGenerator(seed: 1)
    for round in 0..<10_000 {
      hostile.rules.now += Int64.random(in: 0...20_000_000, using: &random)
      hostile.give(Self.hostile(&random, round))
    }
    #expect(hostile.rules.made.count > 500 && hostile.times[.scan, default: []].count > 64, "it is let do something")
    #expect(hostile.ended == 0, "all of them are orders")
    hostile.check()
  }

  private static func hostile(_ random: inout SeededGenerator, _ round: Int) -> EnforcerOrder {
    func bans(_ count: Int) -> [EnforcerOrder.Ban] { (0..<count).map { _ in hostileBan(&random) } }
    switch Int.random(in: 0..<20, using: &random) {
    case 0..<14: return .ban(hostileBan(&random))
    case 14: return .whole(bans(Int.random(in: 0...64, using: &random)), after: 0, isLast: true)
    case 15: return .mend(nil, needsTable: true)
    case 16: return .lift([hostileBan(&random).network], after: 0, isLast: true)
    case 17: return .removeTable
    case 18: return [.reread, .seal, .noTrap, .watch, .doubtsLost][round % 5]
    // That of the processes' state is none of the desk's.
    default:
      let order = sampleOrders[round % sampleOrders.count]
      return order == .health ? .watch : order
    }
  }

  private static func hostileBan(_ random: inout SeededGenerator) -> EnforcerOrder.Ban {
    let places = [
      "192.0.2.1", "198.51.100.9", "127.0.0.1", "2001:db8::1", "::1", "2001:db8:7::1", "8.8.8.8", "0.0.0.0",
    ]
    var address = IPAddress(places.randomElement(using: &random)!)!
    if random.chance(70) { address = IPAddress(v4: UInt32.random(in: 0...UInt32.max, using: &random)) }
    let width = random.chance(60) ? address.bitWidth : Int.random(in: 0...address.bitWidth, using: &random)
    return EnforcerOrder.Ban(
      IPNetwork(address, length: width)!, Permit.Claim.allCases.randomElement(using: &random)!,
      Permit.Ways(rawValue: UInt8.random(in: 1...7, using: &random)),
      remaining: random.chance(10) ? nil : .nanoseconds(Int64.random(in: 1...Int64.max, using: &random)))
  }

  @Test func `A million damaged datagrams end nothing but the connection`() {
    var hostile = Hostile(limits { ($0.maximum, $0.perMinute) = (3_000, 64) })
    var random = SeededGenerator(seed: 2)
    let small = sampleOrders.map(\.bytes).filter { $0.count < 100 }
    let large = sampleOrders.map(\.bytes).filter { $0.count >= 100 }
    var orders = 0
    for round in 0..<1_000_000 {
      var bytes = round % 2_000 == 0 ? large[round / 2_000 % large.count] : small[round % small.count]
      let at = Int(random.next() % UInt64(bytes.count))
      bytes[at] = UInt8(truncatingIfNeeded: random.next())
      if round % 7 == 0 { bytes[Int(random.next() % UInt64(bytes.count))] ^= 0xff }
      hostile.rules.now += 1_000_000
      guard let order = EnforcerOrder(bytes[...]) else { continue }
      orders += 1
      hostile.give(order)
    }
    #expect(orders > 100_000 && hostile.ended > 0)
    hostile.check()
  }
}
