import Response
import Testing
import Wire

@testable import Daemon

@Suite struct DecoyVisibilityTests {
  @Test func `A few ports of many are tested, always the same`() {
    #expect(Sentry.spread(PortSet()) == [])
    #expect(Sentry.spread(PortSet([9, 7] as [UInt16])) == [7, 9])
    #expect(Sentry.spread(PortSet(ranges: [1...1024])) == [129, 385, 641, 897])
    #expect(Sentry.spread(PortSet(ranges: [0...65535])) == [8192, 24_576, 40_960, 57_344])
  }

  @Test(arguments: ["192.0.2.0/24", "192.0.2.4/30", "2001:db8::/64", "2001:db8::/126"])
  func `A neighbour is of the network, and neither its first nor its last address`(_ text: String) throws {
    let network = try #require(IPNetwork(text))
    for _ in 0..<200 {
      let address = try #require(Sentry.address(near: network, isV4: network.isV4))
      #expect(network.contains(address) && address != network.address)
      let last = network.address.v4Bits | (1 << UInt32(network.isV4 ? 32 - network.length : 0)) - 1
      #expect(!network.isV4 || address.v4Bits != last)
    }
  }

  @Test(arguments: [true, false]) func `A stranger is of the Internet`(isV4: Bool) {
    var found = 0
    for _ in 0..<200 {
      guard let address = Sentry.address(near: nil, isV4: isV4) else { continue }
      found += 1
      #expect(address.isPublic && address.isV4 == isV4)
    }
    #expect(found > 100)
  }

  @Test(arguments: ["192.0.2.1/32", "192.0.2.0/31", "2001:db8::1/128"])
  func `A link of two has no neighbours to spare`(_ text: String) {
    #expect(Sentry.address(near: IPNetwork(text), isV4: IPNetwork(text)!.isV4) == nil)
  }

  @Test func `Places in words`() {
    func places(_ ways: (String, Bool)...) -> String {
      var sight = DecoySight()
      for _ in 0..<2 {
        sight.learn(
          Dictionary(
            uniqueKeysWithValues: ways.map {
              (DecoySight.Way($0.0, isV4: $0.1), DecoySight.Round(sent: 4, reached: 0, loss: .late))
            }))
      }
      return Sentry.places(sight.obstacles)
    }
    #expect(places() == "")
    #expect(places(("lan0", true)) == " on lan0 (IPv4)")
    #expect(places(("lan1", false), ("lan0", true), ("lan0", false)) == " on lan0 (IPv4, IPv6) and lan1 (IPv6)")
    #expect(places(("", true), ("", false)) == " for IPv4 and IPv6")
  }
}
