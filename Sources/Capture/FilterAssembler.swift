import CLinux

/// A place in a program that jumps may name before it is known.
struct Label {
  let index: Int
}

/// Assembles classic BPF (`filter.rst` of the kernel's documentation). All jumps go forward.
struct Assembler {
  enum Size: UInt16 {
    case word = 0x00
    case half = 0x08
    case byte = 0x10
  }

  enum Test {
    case equal, unequal, greater, greaterOrEqual, less, lessOrEqual, set
  }

  private var code: [sock_filter] = []
  private var labels: [Int] = []
  private var fixups: [(instruction: Int, label: Int)] = []

  mutating func label() -> Label {
    labels.append(-1)
    return Label(index: labels.count - 1)
  }

  mutating func place(_ label: Label) { labels[label.index] = code.count }

  private mutating func emit(_ operation: UInt16, _ k: UInt32, jt: UInt8 = 0, jf: UInt8 = 0) {
    code.append(sock_filter(code: operation, jt: jt, jf: jf, k: k))
  }

  mutating func load(_ size: Size, _ offset: UInt32) { emit(0x20 | size.rawValue, offset) }  // LD ABS
  mutating func loadIndexed(_ size: Size, _ offset: UInt32) { emit(0x40 | size.rawValue, offset) }  // LD IND
  mutating func loadHeaderLength(at offset: UInt32) { emit(0xb1, offset) }  // LDX MSH
  mutating func and(_ mask: UInt32) { emit(0x54, mask) }
  mutating func subtractIndex() { emit(0x1c, 0) }
  mutating func multiply(_ factor: UInt32) { emit(0x24, factor) }
  mutating func shiftRight(_ bits: UInt32) { emit(0x74, bits) }
  mutating func returns(_ value: UInt32) { emit(0x06, value) }
  mutating func returnsIndex(plus value: UInt32) {
    emit(0x87, 0)  // TXA
    emit(0x04, value)  // ADD
    emit(0x16, 0)  // RET A
  }

  mutating func jump(to label: Label) {
    fixups.append((code.count, label.index))
    emit(0x05, 0)
  }

  /// Conditional jumps reach 255 instructions only, so each guards an unconditional one, which reaches everywhere.
  mutating func jump(_ test: Test, _ value: UInt32, to label: Label) {
    switch test {
    case .equal: emit(0x15, value, jt: 0, jf: 1)
    case .unequal: emit(0x15, value, jt: 1, jf: 0)
    case .greater: emit(0x25, value, jt: 0, jf: 1)
    case .lessOrEqual: emit(0x25, value, jt: 1, jf: 0)
    case .greaterOrEqual: emit(0x35, value, jt: 0, jf: 1)
    case .less: emit(0x35, value, jt: 1, jf: 0)
    case .set: emit(0x45, value, jt: 0, jf: 1)
    }
    jump(to: label)
  }

  consuming func assemble() -> [sock_filter] {
    for (instruction, label) in fixups { code[instruction].k = UInt32(labels[label] - instruction - 1) }
    return code
  }
}
