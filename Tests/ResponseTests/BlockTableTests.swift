import Detection
import Response
import TestSupport
import Testing
import Wire

@Suite struct BlockTableTests {
  private static let epoch = Timestamp(seconds: 1_700_000_000)
  private static let policy = ResponsePolicy(ResponsePolicy.Settings())

  private static func block(_ network: IPNetwork, since: Timestamp, until: Timestamp?) -> Block {
    policy.restore(
      Block.Record(
        network: network, since: since, until: until, methods: [.nftables], port: 1, transport: .tcp, modeName: "atcp",
        reason: ""), now: epoch)!
  }

  private static func network(_ random: inout SeededGenerator) -> IPNetwork {
    let number = UInt32.random(in: 0..<200, using: &random)
    if random.chance(50) { return IPNetwork(IPAddress(v4: 0x0a00_0000 | number), length: random.chance(70) ? 32 : 28)! }
    let address = IPAddress(high: 0x2001_0db8 << 32, low: UInt64(number) << 32)
    return IPNetwork(address, length: random.chance(70) ? 128 : [92, 96, 64].randomElement(using: &random)!)!
  }

  @Test func againstADictionary() throws {
    var random = SeededGenerator(seed: 13)
    for _ in 0..<5 {
      var table = BlockTable()
      var model: [IPNetwork: Block] = [:]
      var now = Self.epoch
      for step in 0..<1_500 {
        now = now + .milliseconds(Int.random(in: 0...400, using: &random))
        let network = Self.network(&random)
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<5:
          let until = random.chance(80) ? now + .seconds(Int.random(in: 1...60, using: &random)) : nil
          let block = Self.block(network, since: now, until: until)
          table.insert(block)
          model[network] = block
        case 5..<7:
          #expect(table.remove(network) == model.removeValue(forKey: network))
        default:
          let gone = table.removeExpired(at: now)
          let expected = model.values.filter { $0.until.map { $0 <= now } ?? false }
          #expect(Set(gone.map(\.network)) == Set(expected.map(\.network)) && gone.count == expected.count)
          #expect(gone.map { $0.until! } == gone.map { $0.until! }.sorted(), "soonest first")
          for block in expected { model[block.network] = nil }
        }
        #expect(table.count == model.count)
        // It may wake us for nothing, but never too late.
        if let soonest = model.values.compactMap(\.until).min() { #expect(try #require(table.nextEnd) <= soonest) }
        let address = Self.network(&random).address
        let covering = table.block(covering: address)
        #expect((covering != nil) == model.values.contains { $0.network.contains(address) })
        if let covering { #expect(covering.network.contains(address) && model[covering.network] == covering) }
        #expect(table[network] == model[network])
        if step % 100 == 0 {
          #expect(Set(table.unordered.map(\.network)) == Set(model.keys))
          let all = table.all
          #expect(all.count == model.count)
          for (a, b) in zip(all, all.dropFirst()) { #expect(a.record.since >= b.record.since) }
        }
      }
      _ = table.removeExpired(at: now + .seconds(100))
      #expect(table.unordered.allSatisfy { $0.until == nil })
    }
  }

  @Test func aBlockMadeLongerOrShorterEndsOnce() {
    var table = BlockTable()
    let network = IPNetwork("203.0.113.7")!
    for end in [10, 30, 20] { table.insert(Self.block(network, since: Self.epoch, until: Self.epoch + .seconds(end))) }
    #expect(table.removeExpired(at: Self.epoch + .seconds(19)).isEmpty)
    #expect(table.removeExpired(at: Self.epoch + .seconds(20)).count == 1)
    #expect(table.removeExpired(at: Self.epoch + .seconds(60)).isEmpty)
    #expect(table.nextEnd == nil && table.count == 0)
    // Released, and blocked again for the same time.
    table.insert(Self.block(network, since: Self.epoch, until: Self.epoch + .seconds(10)))
    table.remove(network)
    table.insert(Self.block(network, since: Self.epoch, until: Self.epoch + .seconds(10)))
    #expect(table.removeExpired(at: Self.epoch + .seconds(10)).count == 1)
    #expect(table.removeExpired(at: Self.epoch + .seconds(10)).isEmpty)
  }

  @Test func coveringByFamilyAndLength() {
    var table = BlockTable()
    table.insert(Self.block(IPNetwork("203.0.113.0/24")!, since: Self.epoch, until: nil))
    #expect(table.block(covering: IPAddress("203.0.113.200")!) != nil)
    #expect(table.block(covering: IPAddress("203.0.114.0")!) == nil)
    #expect(table.block(covering: IPAddress("2001:db8::1")!) == nil)
    table.insert(Self.block(IPNetwork("2001:db8::/32")!, since: Self.epoch, until: nil))
    #expect(table.block(covering: IPAddress("2001:db8:ffff::1")!) != nil)
    table.remove(IPNetwork("203.0.113.0/24")!)
    #expect(table.block(covering: IPAddress("203.0.113.200")!) == nil)
    #expect(table.remove(IPNetwork("203.0.113.0/24")!) == nil)
  }
}
