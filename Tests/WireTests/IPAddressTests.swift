import CLinux
import TestSupport
import Testing
import Wire

@Suite struct IPAddressTests {
  @Test(
    "Written by the rules of RFC 5952",
    arguments: [
      ("0.0.0.0", "0.0.0.0"),
      ("255.255.255.255", "255.255.255.255"),
      ("::", "::"),
      ("0:0:0:0:0:0:0:0", "::"),
      ("::1", "::1"),
      ("1::", "1::"),
      // Section 4.1: leading zeros go.
      ("2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"),
      // Section 4.2.1: as much as possible is shortened.
      ("2001:db8:0:0:0:0:2:1", "2001:db8::2:1"),
      // Section 4.2.2: one group of zeros stays.
      ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
      ("0:1:1:1:1:1:1:1", "0:1:1:1:1:1:1:1"),
      ("1:1:1:1:1:1:1:0", "1:1:1:1:1:1:1:0"),
      // Section 4.2.3: the longest run; on a tie the first.
      ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
      ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
      ("0:0:1:0:0:1:0:0", "::1:0:0:1:0:0"),
      // Section 4.3: lower case.
      ("2001:DB8::ABCD", "2001:db8::abcd"),
      // An IPv4-mapped address is the IPv4 address.
      ("::ffff:192.0.2.1", "192.0.2.1"),
      ("::ffff:c000:201", "192.0.2.1"),
      ("0:0:0:0:0:FFFF:192.0.2.1", "192.0.2.1"),
      // Other embedded forms are IPv6.
      ("::192.0.2.1", "::c000:201"),
      ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
      ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
      ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
      ("fe80::1", "fe80::1"),
    ])
  func writes(text: String, canonical: String) {
    #expect(IPAddress(text)?.description == canonical)
  }

  @Test(
    "Refused",
    arguments: [
      "010.001.002.003", "10.0.0.01", "00.0.0.0",
      "", ".", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "256.1.1.1", "1.2.3.0004", "1.2.3.4 ",
      " 1.2.3.4", "1.2.3.-4", "1.2.3.+4", "0x7f.0.0.1", "1.2.3.4/32", "a.b.c.d", "1,2,3,4", "١.٢.٣.٤", ":", ":::",
      "::1::",
      "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8",
      ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "12345::", "g::", "::1%eth0", "[::1]", "::1/128", "+1::", "-1::", "::1.2.3",
      "::1.2.3.4.5", "::1.2.3.4:5", "1.2.3.4::", "::256.1.1.1", "1:2:3:4:5:6:7:1.2.3.4", "::１", "1: :2:3:4:5:6:7",
      "\u{0}::1", "::1\n",
    ])
  func refuses(text: String) {
    #expect(IPAddress(text) == nil)
  }

  @Test func readsAndWritesWhatTheLibraryDoes() throws {
    var random = SeededGenerator(seed: 1)
    for _ in 0..<1_500 {
      var bytes = random.bytes(random.chance(30) ? 4 : 16)
      // Runs of zeros are where the texts differ.
      if bytes.count == 16 {
        for group in 0..<8 where random.chance(60) {
          bytes[group * 2] = 0
          bytes[group * 2 + 1] = 0
        }
      }
      let address = try #require(IPAddress(bytes: bytes))
      let text = Self.library(bytes)
      #expect(IPAddress(text) == address, "\(text)")
      // glibc writes an IPv4-compatible address with dots at its end, which RFC 5952 leaves open.
      if bytes.count == 4 || !text.contains(".") { #expect(address.description == text) }
      #expect(IPAddress(address.description) == address)
      #expect(address.isV4 || address.bytes == bytes)
      #expect(address.bytes.count * 8 == address.bitWidth)
    }
  }

  private static func library(_ bytes: [UInt8]) -> String {
    var text = [CChar](repeating: 0, count: 64)
    _ = unsafe inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, 64)
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  @Test func refusesWhatTheLibraryRefuses() {
    let alphabet = Array("0123456789abcf:::...")
    var random = SeededGenerator(seed: 2)
    var accepted = 0
    for _ in 0..<10_000 {
      let length = Int.random(in: 1...18, using: &random)
      let text = String((0..<length).map { _ in alphabet.randomElement(using: &random)! })
      // inet_pton takes no leading zeros in IPv4; we do, as old files have them, and read them as decimal.
      let parts = text.split(whereSeparator: { $0 == "." || $0 == ":" })
      if text.contains("."), parts.contains(where: { $0.count > 1 && $0.hasPrefix("0") }) { continue }
      var bytes = [UInt8](repeating: 0, count: 16)
      let isV6 = text.contains(":")
      let isRight = unsafe inet_pton(isV6 ? AF_INET6 : AF_INET, text, &bytes) == 1
      #expect((IPAddress(text) != nil) == isRight, "\(text)")
      if isRight {
        accepted += 1
        #expect(IPAddress(text) == IPAddress(bytes: bytes.prefix(isV6 ? 16 : 4)), "\(text)")
      }
    }
    #expect(accepted > 20)
  }

  @Test(
    "What an address is",
    arguments: [
      ("127.0.0.1", "loopback"), ("127.255.255.255", "loopback"), ("::1", "loopback"), ("::ffff:127.0.0.1", "loopback"),
      ("128.0.0.1", "peer"), ("126.255.255.255", "peer"), ("::2", "peer"),
      ("224.0.0.0", "multicast"), ("239.255.255.255", "multicast"), ("ff02::1", "multicast"), ("240.0.0.1", "peer"),
      ("223.255.255.255", "peer"), ("fe80::1", "peer"),
      ("0.0.0.0", "unspecified"), ("0.1.2.3", "unspecified"), ("::", "unspecified"), ("1.0.0.0", "peer"),
      ("255.255.255.255", "broadcast"), ("255.255.255.254", "peer"),
    ])
  func kinds(text: String, kind: String) throws {
    let address = try #require(IPAddress(text))
    #expect(address.isLoopback == (kind == "loopback"))
    #expect(address.isMulticast == (kind == "multicast"))
    #expect(address.isUnspecified == (kind == "unspecified"))
    #expect(address.isLimitedBroadcast == (kind == "broadcast"))
    #expect(address.isPossiblePeer == (kind == "peer"))
  }

  @Test func onlyFourOrSixteenBytes() {
    for count in 0...20 {
      #expect((IPAddress(bytes: [UInt8](repeating: 1, count: count)) != nil) == (count == 4 || count == 16))
    }
  }
}
