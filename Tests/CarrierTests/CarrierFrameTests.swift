import Carrier
import Fleet
import Glibc
import Platform
import Testing
import Wire

@Suite struct CarrierFrameTests {
  private static let id = StreamPosition(1_700_000_000_123, 7)
  private static let frames: [CarrierFrame] = [
    .hello(
      CarrierFrame.Hello(
        address: "10.0.0.1:6379", user: "n7", password: "x", fleet: PublicKey(SIMD32(repeating: 7)), node: 7,
        proofs: id,
        orders: .start)),
    .append(connection: 3, id, [1, 2, 3]), .wantCertificate(9), .reread, .connected(9), .disconnected("gone"),
    .newest(nil), .newest(id),
    .appended(id), .entry(.proofs, id, [4]), .entry(.orders, id, []), .certificate([5, 6]),
    .snapshot(index: -1, isLast: true, [7]), .snapshot(index: 3, isLast: false, []), .caughtUp,
  ]

  @Test func `Frames are read as they were written`() {
    for frame in Self.frames { #expect(CarrierFrame(bytes: frame.bytes) == frame) }
  }

  @Test func `What is no frame is refused, whatever it is`() {
    var random = Generator(state: 3)
    for frame in Self.frames {
      for cut in 0..<frame.bytes.count { _ = CarrierFrame(bytes: Array(frame.bytes[..<cut])) }
      for _ in 0..<500 {
        var bytes = frame.bytes
        bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
        // What is read is written the same.
        if let read = CarrierFrame(bytes: bytes) { #expect(CarrierFrame(bytes: read.bytes) == read) }
      }
    }
    #expect(CarrierFrame(bytes: []) == nil)
    #expect(CarrierFrame(bytes: [99]) == nil)
    #expect(CarrierFrame(bytes: [UInt8](repeating: 9, count: CarrierFrame.most + 1)) == nil)
  }

  @Test func `A pair carries whole frames and tells of its end`() throws {
    var other: CarrierPair?
    let ours = try CarrierPair.make { (end) throws(Errno) in
      other = try CarrierPair(FileDescriptor(owning: try check("dup") { dup(end.raw) }))
    }
    #expect(ours.receive() == .nothing)
    for frame in Self.frames { #expect(try other?.send(frame) == true) }
    for frame in Self.frames { #expect(ours.receive() == .frame(frame)) }
    // Full, and nobody waits.
    var sent = 0
    while try other!.send(.append(connection: 1, Self.id, [UInt8](repeating: 1, count: 40_000))) { sent += 1 }
    #expect((1...100).contains(sent))
    other = nil
    for _ in 0..<sent { _ = ours.receive() }
    #expect(ours.receive() == .closed)
  }

  @Test func `Where an engine is`() {
    #expect(EngineAddress("10.0.0.5:6379") == .tcp(IPAddress("10.0.0.5")!, port: 6379))
    #expect(EngineAddress("[fd00::5]:6379").map { "\($0)" } == "[fd00::5]:6379")
    #expect(EngineAddress("/run/redis/redis.sock") == .unix("/run/redis/redis.sock"))
    for text in ["", "redis", "redis:6379", "10.0.0.5", "10.0.0.5:0", "10.0.0.5:70000", "fd00::5:6379", "[10.0.0.5]:1"]
    {
      #expect(EngineAddress(text) == nil, "\(text)")
    }
    let safe = IPNetworkSet([IPNetwork("10.0.0.0/8")!])
    #expect(EngineAddress("10.0.0.5:6379")!.isReachedSafely(permitting: safe))
    #expect(EngineAddress("127.0.0.1:6379")!.isReachedSafely(permitting: IPNetworkSet()))
    #expect(!EngineAddress("192.0.2.1:6379")!.isReachedSafely(permitting: safe))
  }

  @Test func `Entries are read, and what is none is left out`() {
    func bulk(_ text: String) -> RESPValue { .bulk(Array(text.utf8)) }
    let entries: [RESPValue] = [
      .array([bulk("12-3"), .array([bulk("r"), bulk("x")])]), .array([bulk("x-3"), .array([bulk("r"), bulk("x")])]),
      .array([bulk("13-0"), .array([bulk("other"), bulk("x"), bulk("r"), bulk("y")])]), .integer(1), .null,
    ]
    let read = StreamReply.streams(.array([.array([bulk("key"), .array(entries)]), bulk("none")]))
    #expect(read.map(\.key) == [Array("key".utf8)])
    #expect(read[0].entries.map(\.position) == [StreamPosition(12, 3), StreamPosition(13, 0)])
    #expect(read[0].entries.map(\.record) == [Array("x".utf8), []])
  }
}
