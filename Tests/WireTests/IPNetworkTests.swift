import TestSupport
import Testing
import Wire

@Suite struct IPNetworkTests {
  @Test(
    "Written with host bits cleared",
    arguments: [
      ("10.77.0.9/24", "10.77.0.0/24"), ("10.77.0.9", "10.77.0.9"), ("10.77.0.9/32", "10.77.0.9"),
      ("255.255.255.255/0", "0.0.0.0/0"), ("255.255.255.255/1", "128.0.0.0/1"), ("2001:db8::1/32", "2001:db8::/32"),
      ("2001:db8::1/128", "2001:db8::1"), ("ffff::/0", "::/0"), ("2001:db8:0:0:8000::1/65", "2001:db8:0:0:8000::/65"),
      ("2001:db8::1/64", "2001:db8::/64"), ("::ffff:10.0.0.1/8", "10.0.0.0/8"), ("10.0.0.0/008", "10.0.0.0/8"),
    ])
  func writes(text: String, canonical: String) {
    #expect(IPNetwork(text)?.description == canonical)
  }

  @Test(
    "Refused",
    arguments: [
      "", "/", "10.0.0.0/", "/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/ 8", "10.0.0.0/8/8", "::/129",
      "10.0.0.0/255.0.0.0", "10.0.0/8", "::/0128", "10.0.0.0/8a", "::ffff:0:0/96",
    ])
  func refuses(text: String) {
    #expect(IPNetwork(text) == nil)
  }

  @Test(
    "Holds, or does not",
    arguments: [
      ("10.0.0.0/8", "10.255.255.255", true), ("10.0.0.0/8", "11.0.0.0", false), ("10.0.0.0/8", "9.255.255.255", false),
      ("0.0.0.0/0", "255.255.255.255", true), ("0.0.0.0/0", "::", false), ("0.0.0.0/0", "2001:db8::1", false),
      ("::/0", "2001:db8::1", true), ("::/0", "10.0.0.1", false), ("::/0", "::ffff:10.0.0.1", false),
      ("::/64", "10.0.0.1", false), ("::/80", "10.0.0.1", false), ("::/80", "::fffe:0:1", true),
      ("2001:db8::/64", "2001:db8::ffff:ffff:ffff:ffff", true), ("2001:db8::/64", "2001:db8:0:1::", false),
      ("2001:db8::/65", "2001:db8::7fff:0:0:0", true), ("2001:db8::/65", "2001:db8:0:0:8000::", false),
      ("192.0.2.1", "192.0.2.1", true), ("192.0.2.1", "192.0.2.0", false),
    ])
  func holds(network: String, address: String, expected: Bool) {
    #expect(IPNetwork(network)!.contains(IPAddress(address)!) == expected)
  }

  @Test(
    "Overlap",
    arguments: [
      ("10.0.0.0/8", "10.1.0.0/16", true), ("10.0.0.0/16", "10.1.0.0/16", false), ("0.0.0.0/0", "::/0", false),
      ("::/0", "10.0.0.0/8", false), ("::/0", "10.0.0.1", false), ("::/0", "fe80::1", true),
    ])
  func overlap(a: String, b: String, expected: Bool) {
    #expect(IPNetwork(a)!.overlaps(IPNetwork(b)!) == expected)
    #expect(IPNetwork(b)!.overlaps(IPNetwork(a)!) == expected)
  }

  /// Addresses close to each other, so that random networks meet.
  private static func address(_ random: inout SeededGenerator) -> IPAddress {
    let bits = UInt64.random(in: 0..<4096, using: &random)
    return random.chance(50)
      ? IPAddress(v4: 0x0a00_0000 | UInt32(bits & 63) << 18 | UInt32(bits >> 6))
      : IPAddress(high: 0x2001_0db8_0000_0000 | (bits & 63) << 8, low: (bits >> 6) << 56 | bits >> 6)
  }

  private static func network(_ random: inout SeededGenerator) -> IPNetwork {
    let address = address(&random)
    return IPNetwork(address, length: Int.random(in: 0...address.bitWidth, using: &random))!
  }

  /// By single bits of the address in network byte order.
  private static func naiveContains(_ network: IPNetwork, _ address: IPAddress) -> Bool {
    guard network.isV4 == address.isV4 else { return false }
    func bits(_ a: IPAddress) -> [Bool] { a.bytes.flatMap { byte in (0..<8).map { byte >> (7 - $0) & 1 == 1 } } }
    return bits(network.address).prefix(network.length) == bits(address).prefix(network.length)
  }

  @Test func containmentAgainstSingleBits() {
    var random = SeededGenerator(seed: 3)
    for _ in 0..<3_000 {
      let network = Self.network(&random)
      let address = Self.address(&random)
      #expect(network.contains(address) == Self.naiveContains(network, address), "\(network) \(address)")
      #expect(network.contains(network.address))
      #expect(IPNetwork(network.description) == network)
    }
  }

  @Test func aSetAgainstALoop() {
    var random = SeededGenerator(seed: 4)
    for _ in 0..<100 {
      let networks = (0..<Int.random(in: 0...12, using: &random)).map { _ in
        // Mostly long ones: a /0 answers everything.
        let network = Self.network(&random)
        return network.length < 8 && random.chance(90) ? IPNetwork(network.address) : network
      }
      let set = IPNetworkSet(networks)
      #expect(set.count == Set(networks).count)
      #expect(set.isEmpty == networks.isEmpty)
      #expect(set.sorted == Set(networks).sorted())
      for _ in 0..<30 {
        let address = Self.address(&random)
        let holders = networks.filter { Self.naiveContains($0, address) }
        #expect(set.network(containing: address) == holders.max { $0.length < $1.length })
        #expect(set.contains(address) == !holders.isEmpty)
        let other = Self.network(&random)
        let overlapping = networks.filter { $0.overlaps(other) }
        let found = set.network(overlapping: other)
        #expect((found != nil) == !overlapping.isEmpty)
        if let found { #expect(overlapping.contains(found)) }
      }
    }
  }
}
