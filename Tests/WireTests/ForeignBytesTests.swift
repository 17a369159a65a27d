import TestSupport
import Testing
import Wire

@Suite struct ForeignBytesTests {
  @Test(
    arguments: [
      [], [0x61], [0xe9], [0xc3, 0xa9], [0xc3], [0xe2, 0x82], [0xf0, 0x9f, 0x98, 0x80], [0xed, 0xa0, 0x80],
      [0xc0, 0xaf],
      [0xee, 0xbe, 0x80], [0xee, 0xbf, 0xbf], [0xef, 0xbf, 0xbd], [0x00, 0xff, 0x41],
    ] as [[UInt8]])
  func `bytes come back as they were`(_ bytes: [UInt8]) {
    #expect(String(preservingBytes: bytes).preservedBytes == bytes)
  }

  @Test func `any bytes come back, and UTF-8 stays itself`() {
    var generator = SeededGenerator(seed: 7)
    for _ in 0..<20_000 {
      let bytes = (0..<Int.random(in: 0..<9, using: &generator)).map { _ in
        [0x61, 0x80, 0xbe, 0xbf, 0xc3, 0xee, 0xef, UInt8.random(in: 0...255, using: &generator)].randomElement(
          using: &generator)!
      }
      #expect(String(preservingBytes: bytes).preservedBytes == bytes)
    }
    #expect(String(preservingBytes: "é€😀".utf8).isSameBytes(as: "é€😀"))
  }

  @Test(arguments: [
    ("010.1.2.3", "leading zero"), ("10.0.0.08", "write 10.0.0.8"), ("256.1.1.1", "above 255"),
    ("10.0.0.0/33", "/0 to /32"),
    ("fd00::/129", "/0 to /128"), ("1.2.3", "not a valid IP address"), ("host", "not a valid IP address"),
    ("", "not a valid"),
  ])
  func `why a text is no address`(_ text: String, _ says: String) {
    #expect(IPNetwork(text) == nil)
    #expect(AddressText.fault(text, shown: text).containsBytes(says))
  }
}
