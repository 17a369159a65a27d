import TestSupport
import Testing

@testable import Wire

@Suite struct InternetChecksumTests {
  private func folded(_ bytes: [UInt8]) -> UInt16 {
    var checksum = InternetChecksum()
    unsafe checksum.add(bytes.span.bytes)
    return checksum.folded
  }

  @Test func theExampleOfRFC1071() {
    // Section 3: the sum of 00 01 f2 03 f4 f5 f6 f7 is ddf2.
    #expect(folded([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]) == 0xddf2)
  }

  @Test func anOddLastByteIsTheHighHalf() {
    #expect(folded([0xab]) == 0xab00)
    #expect(folded([0x01, 0x02, 0x03]) == 0x0402)
    #expect(folded([]) == 0)
  }

  @Test func likeTheSlowWay() {
    var random = SeededGenerator(seed: 6)
    for length in 0...200 {
      let bytes = random.bytes(length)
      #expect(folded(bytes) % 0xffff == ~PacketBuilder.checksum(bytes) % 0xffff, "\(length) bytes")
    }
    let ones = [UInt8](repeating: 0xff, count: 65_534)
    #expect(folded(ones) == 0xffff)
  }

  @Test("Every flipped bit of a segment is noticed", arguments: ["192.0.2.10", "2001:db8::10"])
  func flippedBits(target: String) {
    let source = target.contains(":") ? "2001:db8::7" : "203.0.113.7"
    for transport in TransportProtocol.allCases {
      var builder = PacketBuilder(transport, from: source, to: target)
      builder.payload = [1, 2, 3]
      let right = builder.datagram
      let start = target.contains(":") ? 40 : 20
      for bit in start * 8..<right.count * 8 {
        var bytes = right
        bytes[bit / 8] ^= 0x80 >> UInt8(bit % 8)
        var decoder = PacketDecoder()
        let (outcome, packet) = decoder.decode(bytes)
        // A length that contradicts itself is found out before the checksum is looked at.
        #expect(outcome != .packet || packet.checksum == .wrong, "bit \(bit)")
      }
      var decoder = PacketDecoder()
      let (outcome, packet) = decoder.decode(right)
      #expect(outcome == .packet && packet.checksum == .valid)
    }
  }

  @Test func everyFlippedBitOfAnIPv4HeaderIsNoticed() {
    let right = PacketBuilder().datagram
    for bit in 0..<160 {
      var bytes = right
      bytes[bit / 8] ^= 0x80 >> UInt8(bit % 8)
      var decoder = PacketDecoder()
      #expect(decoder.decode(bytes).outcome != .packet, "bit \(bit)")
    }
  }
}
