import CLinux
import Platform
import TestSupport
import Testing

/// As it lies in memory on this machine.
private func native(_ value: some FixedWidthInteger) -> [UInt8] {
  unsafe withUnsafeBytes(of: value) { unsafe Array($0) }
}

@Suite struct NetlinkTests {
  @Test func theBytesOfAMessage() {
    var message = NetlinkMessage()
    #expect(message.isEmpty)
    // `ip link set lo up`, with attributes of every kind.
    message.begin(0x10, flags: NLM_F_REQUEST | NLM_F_ACK, sequence: 7, fixed: UInt32(0xaabb_ccdd))
    message.put(1, UInt8(9))
    message.put(3, string: "lo")
    message.putBigEndian(4, UInt32(0x0102_0304))
    message.nest(5) {
      $0.put(1, bytes: [1, 2, 3, 4, 5])
      $0.putBigEndian(2, UInt64(1))
    }
    message.end()
    let attributes: [[UInt8]] = [
      native(UInt16(5)) + native(UInt16(1)) + [9, 0, 0, 0],
      native(UInt16(7)) + native(UInt16(3)) + [0x6c, 0x6f, 0, 0],
      native(UInt16(8)) + native(UInt16(4)) + [1, 2, 3, 4],
      native(UInt16(28)) + native(UInt16(0x8005)),
      native(UInt16(9)) + native(UInt16(1)) + [1, 2, 3, 4, 5, 0, 0, 0],
      native(UInt16(12)) + native(UInt16(2)) + [0, 0, 0, 0, 0, 0, 0, 1],
    ]
    let body = native(UInt32(0xaabb_ccdd)) + attributes.flatMap { $0 }
    #expect(
      message.bytes == native(UInt32(16 + body.count)) + native(UInt16(0x10)) + native(UInt16(5)) + native(UInt32(7))
        + native(UInt32(0)) + body)
  }

  @Test func severalMessagesInOneBuffer() {
    var message = NetlinkMessage()
    for type in [1, 2, 3] as [UInt16] {
      message.begin(type, flags: 0, fixed: UInt8(type))
      message.put(1, UInt16(type))
      message.end()
    }
    // 16 of header, the fixed part and the attribute each padded to 4.
    #expect(message.bytes.count == 3 * 28)
    for index in 0..<3 { #expect(Array(message.bytes[index * 28..<index * 28 + 4]) == native(UInt32(28))) }
  }

  @Test func readingBackAndReadingRubbish() {
    var message = NetlinkMessage()
    message.begin(1, flags: 0, fixed: UInt32(0))
    message.put(1, UInt32(5))
    message.nest(2) { $0.put(7, string: "x") }
    message.put(1, bytes: [8])
    message.end()
    let bytes = message.bytes[20...]
    let list = NetlinkReply.attributeList(in: bytes)
    #expect(list.map(\.type) == [1, 2, 1])
    #expect(
      list.map { Array($0.payload) } == [
        native(UInt32(5)), native(UInt16(6)) + native(UInt16(7)) + [0x78, 0, 0, 0], [8],
      ])
    #expect(list[0].payload.value(at: 0, as: UInt32.self) == 5)
    #expect(list[0].payload.value(at: 1, as: UInt32.self) == nil)
    #expect(NetlinkReply.attributes(in: list[1].payload)[7].map(Array.init) == [0x78, 0])
    for length in 0..<bytes.count {
      let cut = NetlinkReply.attributeList(in: bytes.prefix(length))
      #expect(cut.count <= 3)
      for (found, whole) in zip(cut, list) { #expect(found.type == whole.type && found.payload == whole.payload) }
    }
    // A length below the header's own would go round for ever.
    for length in 0..<4 as Range<UInt16> {
      #expect(NetlinkReply.attributeList(in: (native(length) + native(UInt16(1)) + [0, 0, 0, 0])[...]).isEmpty)
    }
    #expect(NetlinkReply.attributeList(in: (native(UInt16.max) + native(UInt16(1)))[...]).isEmpty)
  }
}
