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

  /// As the sentry does it: whatever has enough members takes their place.
  private struct Sentry {
    var aggregation = Aggregation()
    var inForce: Set<IPNetwork> = []

    mutating func block(_ text: String) {
      var newest = network(text)
      inForce.insert(newest)
      aggregation.insert(newest)
      while let prefix = aggregation.prefix(for: newest) {
        for member in aggregation.members(of: prefix) {
          aggregation.remove(member)
          inForce.remove(member)
        }
        aggregation.insert(prefix)
        inForce.insert(prefix)
        newest = prefix
      }
    }
  }

  @Test(arguments: [("64", 4, link: 0, host: 1), ("56", 16, link: 1, host: 0), ("48", 64, link: 256, host: 0)])
  func `Whoever takes each address from another part of a prefix loses it whole`(
    _ length: String, _ members: Int, link: Int, host: Int
  ) {
    var sentry = Sentry()
    let whole = network("2001:db8:1::/\(length)")
    for number in 0..<members {
      #expect(!sentry.inForce.contains(whole))
      sentry.block("2001:db8:1:\(String(number * link, radix: 16))::\(1 + number * host)")
    }
    #expect(sentry.inForce == [whole])
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
      #expect(aggregation.prefix(for: host) == expected)
    }
  }

  @Test func `A prefix takes the longest of its members' times, and spares what is safe`() throws {
    var settings = ResponsePolicy.Settings()
    settings.duration = .seconds(60)
    var policy = ResponsePolicy(settings)
    let grounds = Grounds(.touch(.syn, .tcp, port: 1, trigger: 1), Grounds.Origin(.decoy, port: 1, at: time(0)))
    func member(_ text: String, _ repeats: Int) throws -> Block {
      try policy.decide(
        Probe(
          time: time(0), source: IPAddress(text)!, sourcePort: 1, target: IPAddress("2001:db8:f::1")!, targetPort: 1,
          transport: .tcp, mode: .advanced, technique: .syn), grounds, modeName: "atcp", repeats: repeats, inForce: 0,
        now: time(0))
    }
    let members = [try member("2001:db8::1", 3), try member("2001:db8::2", 0)]
    let block = try #require(policy.widen(to: network("2001:db8::/64"), members: members, repeats: 0, now: time(0)))
    #expect(block.until == time(480))
    #expect(block.record.grounds == grounds)
    policy.safe = SafeNetworks([(network("2001:db8::53"), "a resolver")])
    #expect(policy.widen(to: network("2001:db8::/64"), members: members, repeats: 0, now: time(0)) == nil)
    policy.settings.methods = [.hostsDeny]
  }
}
