import Detection
import Testing
import Wire

@Suite struct TechniqueTests {
  /// The rules of both predecessors in their order, and after them what they miss: the bits that must be set, the bits that must
  /// not, and the name. ECE and CWR (0xc0) are never looked at.
  private static let rules: [(set: UInt8, clear: UInt8, technique: Technique)] = [
    (0x00, 0x3f, .null),
    (0x29, 0x14, .xmas),
    (0x01, 0x3e, .fin),
    (0x02, 0x3d, .syn),
    (0x10, 0x2f, .ack),
    (0x11, 0x2e, .maimon),
  ]

  @Test func everyFlagByte() {
    var counts: [Technique: Int] = [:]
    for byte in 0...255 as ClosedRange<UInt8> {
      let expected = Self.rules.first { byte & $0.set == $0.set && byte & $0.clear == 0 }?.technique ?? .oddFlags
      let technique = Technique(flags: TCPFlags(rawValue: byte))
      #expect(technique == expected, "flags \(String(byte, radix: 16))")
      counts[technique, default: 0] += 1
    }
    // Each with four settings of ECE and CWR; Xmas also with SYN.
    #expect(counts == [.null: 4, .xmas: 8, .fin: 4, .syn: 4, .ack: 4, .maimon: 4, .oddFlags: 228])
  }
}
