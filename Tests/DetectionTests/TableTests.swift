import TestSupport
import Testing
import Wire

@testable import Detection

@Suite struct TriggerTableTests {
  private static let epoch = Timestamp(seconds: 1_700_000_000)

  @Test func againstADictionary() {
    struct Key: Hashable {
      let address: IPAddress
      let scope: UInt8
    }
    var random = SeededGenerator(seed: 8)
    var table = TriggerTable(key: (random.next(), random.next()))
    var model: [Key: UInt32] = [:]
    var wrong = 0
    for step in 0..<20_000 {
      // 2,000 sources in 65,536 places: no bucket of eight overflows.
      let number = UInt32.random(in: 0..<1_000, using: &random)
      let address = random.chance(50) ? IPAddress(v4: number) : IPAddress(high: 0x2001_0db8 << 32, low: UInt64(number))
      let key = Key(address: address, scope: random.chance(50) ? 6 : 17)
      model[key, default: 0] += 1
      let count = table.count(address, scope: key.scope, at: Self.epoch + .seconds(step))
      if count != model[key] { wrong += 1 }
    }
    #expect(wrong == 0)
    #expect(table.evictions == 0)
  }

  @Test func aMillionInventedSourcesDoNotHideAPersistentOne() {
    var table = TriggerTable(key: (3, 4))
    let persistent = (0..<100).map { IPAddress(high: 0x2001_0db8 << 32, low: $0) }
    for address in persistent { for _ in 0..<3 { _ = table.count(address, scope: 0, at: Self.epoch) } }
    for number in 0..<1_000_000 as Range<UInt32> {
      _ = table.count(IPAddress(v4: 0x0a00_0000 &+ number), scope: 0, at: Self.epoch + .nanoseconds(Int64(number)))
    }
    // All but what fits were forgotten, and counted.
    #expect(table.evictions >= 1_000_000 - 65_536)
    #expect(table.evictions < 1_000_000)
    #expect(persistent.allSatisfy { table.count($0, scope: 0, at: Self.epoch) == 4 })
  }

  @Test func ofEqualSourcesTheOldestGoes() {
    // A table with one probe of each source: the newest 8 of a bucket stay. Some old ones must be gone after a flood,
    // the newest ones not.
    var table = TriggerTable(key: (5, 6))
    for number in 0..<300_000 as Range<UInt32> {
      _ = table.count(IPAddress(v4: number), scope: 0, at: Self.epoch + .nanoseconds(Int64(number)))
    }
    let now = Self.epoch + .seconds(1)
    let new = (290_000..<300_000 as Range<UInt32>).count { table.count(IPAddress(v4: $0), scope: 0, at: now) == 2 }
    #expect(new > 9_900)
    let old = (0..<1_000 as Range<UInt32>).count { table.count(IPAddress(v4: $0), scope: 0, at: now) == 2 }
    #expect(old < 10)
  }
}

@Suite struct FlowMemoryTests {
  private static let epoch = Timestamp(seconds: 1_700_000_000)

  @Test func againstADictionary() {
    struct Flow: Hashable {
      let transport: TransportProtocol
      let port: UInt16
      let peer: IPAddress
    }
    var random = SeededGenerator(seed: 9)
    var memory = FlowMemory(key: (random.next(), random.next()))
    var model: [Flow: Timestamp] = [:]
    var wrong = 0
    var now = Self.epoch
    for _ in 0..<20_000 {
      now = now + .seconds(Int.random(in: 0...3, using: &random))
      let flow = Flow(
        transport: random.chance(50) ? .tcp : .udp, port: UInt16.random(in: 0..<20, using: &random),
        peer: IPAddress(v4: UInt32.random(in: 0..<50, using: &random)))
      if random.chance(30) {
        memory.insert(flow.transport, localPort: flow.port, peer: flow.peer, at: now)
        model[flow] = now
      } else {
        let expected = model[flow].map { now.seconds - $0.seconds <= 600 } ?? false
        if memory.contains(flow.transport, localPort: flow.port, peer: flow.peer, at: now) != expected { wrong += 1 }
      }
    }
    #expect(wrong == 0)
  }

  @Test func theOldestFlowsMakeRoom() {
    var memory = FlowMemory(key: (7, 8))
    for number in 0..<300_000 as Range<UInt32> {
      memory.insert(.udp, localPort: 1, peer: IPAddress(v4: number), at: Self.epoch + .microseconds(number * 1000))
    }
    let now = Self.epoch + .seconds(300)
    func known(_ range: Range<UInt32>) -> Int {
      range.count { memory.contains(.udp, localPort: 1, peer: IPAddress(v4: $0), at: now) }
    }
    // 65,536 places: a tenth of them filled last is there, what came before the last 200,000 is not.
    #expect(known(293_500..<300_000) > 6_400)
    #expect(known(0..<10_000) < 100)
    // Nobody is remembered who was not there: tags are 31 bits.
    #expect(known(1_000_000..<1_050_000) <= 1)
  }
}

@Suite struct ExposureTests {
  @Test func isLocalAgainstALoop() {
    var random = SeededGenerator(seed: 10)
    for _ in 0..<100 {
      let networks = (0..<Int.random(in: 0...20, using: &random)).map { _ in
        let address = IPAddress(v4: UInt32.random(in: 0..<64, using: &random))
        return IPNetwork(address, length: random.chance(80) ? 32 : 30)!
      }
      var exposure = Exposure()
      exposure.setLocal(networks)
      for number in 0..<64 as Range<UInt32> {
        let address = IPAddress(v4: number)
        #expect(exposure.isLocal(address) == networks.contains { $0.contains(address) })
      }
    }
  }

  @Test func servicesByFamilyAndAddress() {
    var exposure = Exposure()
    exposure.serveEverywhere(.tcp, 80, v4: true, v6: false)
    exposure.serveEverywhere(.udp, 80, v4: false, v6: true)
    exposure.serve(Endpoint(.tcp, IPAddress("192.0.2.1")!, 81))
    exposure.serve(Endpoint(.tcp, IPAddress("127.0.0.1")!, 82))
    let v4 = IPAddress("192.0.2.1")!
    let v6 = IPAddress("2001:db8::1")!
    #expect(exposure.serves(.tcp, v4, 80) && !exposure.serves(.tcp, v6, 80))
    #expect(exposure.serves(.udp, v6, 80) && !exposure.serves(.udp, v4, 80))
    #expect(
      exposure.serves(.tcp, v4, 81) && !exposure.serves(.tcp, IPAddress("192.0.2.2")!, 81)
        && !exposure.serves(.udp, v4, 81))
    // What only this host can reach is not shown to the network.
    #expect(exposure.servedAnywhere(.tcp).ports == [80, 81])
    exposure.removeServices()
    #expect(exposure == Exposure())
  }
}
