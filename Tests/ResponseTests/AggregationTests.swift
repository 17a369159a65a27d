import Detection
import Response
import TestSupport
import Testing
import Wire

@Suite struct AggregationTests {
  @Test func `Four members of a /64 make it one`() {
    var aggregation = Aggregation()
    for (index, text) in ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "2001:db8::3"].enumerated() {
      aggregation.insert(network(text))
      #expect(aggregation.prefix(for: network(text)) == nil, "\(index)")
    }
    aggregation.insert(network("2001:db8::4"))
    #expect(aggregation.prefix(for: network("2001:db8::4")) == network("2001:db8::/64"))
    #expect(aggregation.members(of: network("2001:db8::/64")).count == 4)
    #expect(aggregation.prefix(for: network("2001:db8:0:1::1")) == nil)
  }

  @Test func `The same member twice is one, and one that has ended is none`() {
    var aggregation = Aggregation()
    for text in ["2001:db8::1", "2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::3"] {
      aggregation.insert(network(text))
    }
    #expect(aggregation.prefix(for: network("2001:db8::1")) == nil)
    aggregation.insert(network("2001:db8::4"))
    #expect(aggregation.prefix(for: network("2001:db8::1")) != nil)
    aggregation.remove(network("2001:db8::2"))
    aggregation.remove(network("2001:db8::2"))
    aggregation.remove(network("2001:db8::99"))
    #expect(aggregation.prefix(for: network("2001:db8::1")) == nil)
  }

  @Test func `IPv4 is never widened`() {
    var aggregation = Aggregation()
    for number in 0..<256 { aggregation.insert(IPNetwork(IPAddress(v4: 0xc000_0200 + UInt32(number)))) }
    #expect(aggregation.prefix(for: network("192.0.2.1")) == nil)
  }

  /// As the sentry does it: whatever has enough members is blocked beside them.
  private struct Sentry {
    var aggregation = Aggregation()
    var widest: Int
    var inForce: Set<IPNetwork> = []

    mutating func block(_ text: String) {
      var newest = network(text)
      inForce.insert(newest)
      aggregation.insert(newest)
      while let prefix = aggregation.prefix(for: newest, widest: widest) {
        aggregation.insert(prefix)
        inForce.insert(prefix)
        newest = prefix
      }
    }
  }

  @Test(arguments: [
    ("64", 4, link: 0, host: 1, widest: 64), ("64", 4, link: 0, host: 1, widest: 48),
    ("56", 16, link: 1, host: 0, widest: 56), ("48", 64, link: 256, host: 0, widest: 48),
  ])
  func `Whoever takes each address from another part of a prefix loses it whole`(
    _ length: String, _ members: Int, link: Int, host: Int, widest: Int
  ) {
    var sentry = Sentry(widest: widest)
    let whole = network("2001:db8:1::/\(length)")
    for number in 0..<members {
      #expect(!sentry.inForce.contains(whole))
      sentry.block("2001:db8:1:\(String(number * link, radix: 16))::\(1 + number * host)")
    }
    #expect(sentry.inForce.count == members + 1 && sentry.inForce.contains(whole))
    #expect(sentry.aggregation.members(of: whole).count == members)
    #expect(sentry.aggregation.blocked(above: IPAddress("2001:db8:1::77")!) == [whole])
    sentry.aggregation.remove(whole)
    #expect(sentry.aggregation.blocked(above: IPAddress("2001:db8:1::77")!) == [])
    #expect(sentry.aggregation.prefix(for: network("2001:db8:1::1"), widest: widest) == whole, "its members stay")
  }

  @Test(arguments: [128, 64, 56, 48])
  func `No prefix is wider than the setting`(_ widest: Int) {
    var sentry = Sentry(widest: widest)
    // A /48 with four addresses in every /64 of two hundred.
    for number in 0..<800 {
      sentry.block("2001:db8:1:\(String((number / 4) << 7 & 0xffff, radix: 16))::\(1 + number % 4)")
    }
    #expect(sentry.inForce.allSatisfy { $0.length >= widest })
    #expect(sentry.inForce.contains { !$0.isHost } == (widest < 128))
    #expect(sentry.inForce.contains(network("2001:db8:1::/48")) == (widest == 48))
  }

  @Test func `Counts are right after any number of blocks and releases`() {
    var random = SeededGenerator(seed: 7)
    var aggregation = Aggregation()
    var inForce: Set<IPNetwork> = []
    for _ in 0..<20_000 {
      let site = Int.random(in: 0..<3, using: &random) << 8 + Int.random(in: 0..<20, using: &random)
      let host = network("2001:db8:1:\(String(site, radix: 16))::\(Int.random(in: 1...6, using: &random))")
      if Bool.random(using: &random) {
        aggregation.insert(host)
        inForce.insert(host)
      } else {
        aggregation.remove(host)
        inForce.remove(host)
      }
      let links = Set(inForce.map { IPNetwork($0.address, length: 64)! })
      let members = inForce.count { IPNetwork(host.address, length: 64)!.contains($0) }
      let homes = links.count { IPNetwork(host.address, length: 56)!.contains($0) }
      let expected =
        members >= 4
        ? IPNetwork(host.address, length: 64) : homes >= 16 ? IPNetwork(host.address, length: 56) : nil
      #expect(aggregation.prefix(for: host, widest: 48) == expected)
      #expect(aggregation.prefix(for: host, widest: 128) == nil)
    }
  }

  @Test func `A prefix takes the longest of its members' times, and spares what is safe`() throws {
    var settings = ResponsePolicy.Settings()
    settings.duration = .seconds(60)
    var policy = ResponsePolicy(settings)
    let grounds = Grounds(.touch(.syn, .tcp, port: 1, trigger: 1), Grounds.ProofOfOrigin(.decoy, port: 1, at: time(0)))
    func member(_ text: String, _ repeats: Int) throws -> Block {
      try policy.decide(
        Probe(
          time: time(0), source: IPAddress(text)!, sourcePort: 1, target: IPAddress("2001:db8:f::1")!, targetPort: 1,
          transport: .tcp, mode: .advanced, technique: .syn), grounds, modeName: "atcp", repeats: repeats,
        inForce: BlockBudget(),
        now: time(0))
    }
    let members = [try member("2001:db8::1", 3), try member("2001:db8::2", 0)]
    func widened(_ text: String, user: String? = nil) -> Result<Block?, ResponsePolicy.Refusal> {
      do throws(ResponsePolicy.Refusal) {
        return .success(
          try policy.widen(
            to: network(text), members: members, user: user.flatMap(IPAddress.init), repeats: 0, now: time(0)))
      } catch {
        return .failure(error)
      }
    }
    let block = try #require(try widened("2001:db8::/64").get())
    #expect(block.until == time(480))
    #expect(block.record.grounds == grounds)
    #expect(widened("2001:db8::/64", user: "2001:db8::7") == .failure(.hasUser(IPAddress("2001:db8::7")!)))
    #expect(widened("2001:db8::/56") == .success(nil), "wider than BLOCK_PREFIX_IPV6")
    policy.settings.widestPrefix = 56
    let wide = try #require(try widened("2001:db8::/56").get())
    #expect(policy.restore(wide.record, now: time(1)) == wide)
    policy.settings.widestPrefix = 64
    #expect(policy.restore(wide.record, now: time(1)) == nil, "narrowed while no sentry ran")
    #expect(policy.isTooWide(wide.record) && !policy.isTooWide(block.record))
    policy.settings.widestPrefix = 128
    #expect(policy.isTooWide(block.record) && !policy.isTooWide(members[0].record))
    let order = try policy.order(
      network("2001:db8::/32"), duration: nil, reason: "", inForce: BlockBudget(), now: time(0))
    #expect(!policy.isTooWide(order.record), "an operator may")
    policy.settings.widestPrefix = 64
    policy.safe = SafeNetworks([(network("2001:db8::53"), "a resolver")])
    #expect(
      widened("2001:db8::/64") == .failure(.safe("a network that contains 2001:db8::53 (a resolver)")))
    policy.safe = SafeNetworks()
    policy.ignored = IPNetworkSet([network("2001:db8::9")])
    #expect(widened("2001:db8::/64") == .failure(.ignored))
    policy.ignored = IPNetworkSet()
    policy.settings.methods = [.hostsDeny]
    let deny = [try member("2001:db8::3", 0)]
    #expect(try policy.widen(to: network("2001:db8::/64"), members: deny, user: nil, repeats: 0, now: time(0)) == nil)
  }
}

@Suite struct ServiceUsersTests {
  private let all: (IPAddress) -> Bool = { _ in true }

  @Test(arguments: [
    ("2001:db8::/64", 0, "2001:db8::7"), ("2001:db8::/64", 86_400, "2001:db8::7"), ("2001:db8::/64", 86_401, nil),
    ("2001:db8::/56", 100, "2001:db8::7"), ("2001:db8:0:1::/64", 0, "2001:db8:0:1::1"), ("2001:db8:0:2::/64", 0, nil),
    ("192.0.2.0/24", 0, "192.0.2.9"), ("192.0.3.0/24", 0, nil),
  ])
  func `A use counts for a day, in every prefix above it and in both families`(
    _ prefix: String, _ seconds: Int64, _ expected: String?
  ) {
    var users = ServiceUsers()
    for text in ["2001:db8::7", "2001:db8::8", "2001:db8:0:1::1", "192.0.2.9"] {
      users.note(IPAddress(text)!, at: time(0))
    }
    #expect(users.user(in: network(prefix), at: time(seconds), where: all) == expected.flatMap { IPAddress($0) })
  }

  @Test func `Who is a scanner speaks for nobody`() {
    var users = ServiceUsers()
    users.note(IPAddress("2001:db8::7")!, at: time(0))
    #expect(users.user(in: network("2001:db8::/64"), at: time(0), where: { _ in false }) == nil)
  }

  @Test func `When full, whoever used a service the longest ago is forgotten`() {
    var users = ServiceUsers(capacity: 100)
    func address(_ number: Int) -> IPAddress { IPAddress(high: 0x2001_0db8_0000_0000, low: UInt64(number)) }
    for number in 0..<100 { users.note(address(number), at: time(Int64(number))) }
    // The first comes again and again: it is the newest, and takes one place.
    for second in 100..<10_000 { users.note(address(0), at: time(Int64(second))) }
    for number in 100..<110 { users.note(address(number), at: time(10_000)) }
    #expect(users.count == 100)
    func knows(_ number: Int) -> Bool {
      users.user(in: IPNetwork(address(number)), at: time(10_000), where: all) != nil
    }
    #expect(knows(0) && !knows(1) && !knows(10) && knows(11) && knows(109))
    // An older use than the one known changes nothing.
    users.note(address(0), at: time(5))
    #expect(users.user(in: IPNetwork(address(0)), at: time(90_000), where: all) != nil)
  }
}
