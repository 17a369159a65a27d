import Fleet
import Signing
import Testing

@testable import Carrier

@Suite struct NodeStreamsTests {
  private func words(_ bytes: [UInt8]) throws -> [String] {
    var reader = RESPReader()
    reader.feed(bytes)
    return try #require(try reader.next()).elements.map { String(decoding: $0.bytes ?? [], as: UTF8.self) }
  }

  @Test func `The question names each stream and its place`() throws {
    var streams = NodeStreams()
    for number in 1...4 as ClosedRange<NodeNumber> { streams.add(number, key: "n:\(number)") }
    streams.add(2, key: "n:2")
    let index = try #require(streams.index(of: Array("n:3".utf8)))
    streams.advance(index, to: StreamPosition(7, 1))
    streams.advance(index, to: StreamPosition(6, 9))
    let question = streams.question(count: 9, block: 50, others: [("d", StreamPosition(1, 2))])
    #expect(
      try words(question) == [
        "XREAD", "COUNT", "9", "BLOCK", "50", "STREAMS", "n:1", "n:2", "n:3", "n:4", "d", "0-0", "0-0", "7-1", "0-0",
        "1-2",
      ])
    #expect(try words(streams.question(of: index, count: 4)) == ["XREAD", "COUNT", "4", "STREAMS", "n:3", "7-1"])
    streams.forgetPlaces()
    #expect(try words(streams.question(count: 1, block: nil, others: [])).suffix(4) == ["0-0", "0-0", "0-0", "0-0"])
  }

  /// Against a plain dictionary.
  @Test func `Streams come and go`() throws {
    var streams = NodeStreams()
    var plain: [NodeNumber: UInt64] = [:]
    var random = Generator(state: 5)
    for step in 0..<2_000 {
      let number = NodeNumber(random.next() % 30)
      switch random.next() % 3 {
      case 0:
        streams.add(number, key: "n:\(number)")
        plain[number] = plain[number] ?? 0
      case 1:
        streams.remove(number, key: "n:\(number)")
        plain[number] = nil
      default:
        guard let index = streams.index(of: Array("n:\(number)".utf8)) else {
          #expect(plain[number] == nil)
          continue
        }
        #expect(streams.numbers[index] == number)
        streams.advance(index, to: StreamPosition(UInt64(step) + 1, 0))
        plain[number] = UInt64(step) + 1
      }
    }
    let found = try words(streams.question(count: 1, block: nil, others: [])).dropFirst(4)
    let half = found.count / 2
    let pairs = zip(found.prefix(half), found.suffix(half)).map { "\($0) \($1)" }
    #expect(Set(pairs) == Set(plain.map { "n:\($0.key) \($0.value)-0" }) && pairs.count == plain.count)
  }
}

@Suite struct TLSIdentityTests {
  private static let pem = """
    some words
    -----BEGIN CERTIFICATE-----
    QUJD
    REVG
    -----END CERTIFICATE-----
    -----BEGIN EC PRIVATE KEY-----
    QUJD
    -----END EC PRIVATE KEY-----
    -----BEGIN CERTIFICATE-----
    R0hJ
    -----END CERTIFICATE-----
    -----BEGIN CERTIFICATE-----
    not base64!
    -----END CERTIFICATE-----
    -----BEGIN CERTIFICATE-----
    R0hJ
    """

  @Test func `Blocks of a PEM file`() {
    #expect(PEMText.blocks(.certificate, in: Self.pem) == ["QUJDREVG", "R0hJ"])
    #expect(PEMText.blocks(.key, in: Self.pem).isEmpty)
    #expect(PEMText.blocks(.certificate, in: "").isEmpty)
  }

  @Test func `Names on certificates`() {
    for name in ["redis.example", "10.0.0.5", "fd00::5", "a-b"] { #expect(PEMText.isName(name)) }
    for name in ["", "a b", "a\nb", "ä", String(repeating: "a", count: 254)] { #expect(!PEMText.isName(name)) }
  }

  @Test func `It goes to the carrier as it is, and nothing else does`() {
    func hello(_ tls: TLSIdentity?) -> CarrierFrame {
      .hello(
        CarrierFrame.Hello(
          address: "10.0.0.1:6379", user: "n7", password: "x", fleet: PublicKey(SIMD32(repeating: 7)), node: 7,
          proofs: .start, orders: .start, tls: tls))
    }
    for tls in [
      nil, TLSIdentity(authorities: ["QUJD", "R0hJ"], name: "redis.example"),
      TLSIdentity(authorities: ["QUJD"], name: "10.0.0.1", certificate: "QUJD", key: "QUJD"),
    ] { #expect(CarrierFrame(bytes: hello(tls).bytes) == hello(tls)) }
    for tls in [
      TLSIdentity(authorities: [], name: "a"), TLSIdentity(authorities: ["QUJD"], name: ""),
      TLSIdentity(authorities: ["QUJD"], name: "a", certificate: "QUJD"),
      TLSIdentity(authorities: ["QU\u{1}D"], name: "a"),
    ] { #expect(CarrierFrame(bytes: hello(tls).bytes) == nil) }
  }

  @Test func `What is no certificate is said to be none`() {
    #expect(throws: TLSFault.unreadable("the authority")) {
      _ = try TLSContext(TLSIdentity(authorities: ["QUJD"], name: "a"))
    }
    #expect(throws: TLSFault.unreadable("the authority")) {
      _ = try TLSContext(TLSIdentity(authorities: [], name: "a"))
    }
  }
}
