import CLinux
import Platform

/// Translates filters of classic BPF, as `KernelFilter` makes them, into eBPF for programs at an interface.
///
/// Registers: r6 is the context (`struct __sk_buff`), r7 the accumulator, r8 the index. Of a wanted packet the accumulator is how much of it is.
///
/// A classic filter reads at the length of the IP header plus a number. Without CAP_PERFMON the verifier takes no sum of a pointer and a number
/// that it does not know. So there are two ways to read: `direct`, where that length is the usual one; and `copy`.
struct FilterTranslation {
  enum Reading {
    /// From the packet itself, of which `TapProgram.linear(isV4:)` bytes are known to be there, with an IPv4 header of 20 bytes. r9 is where the frame begins.
    case direct
    /// From the stack, where the IP header and the first 16 bytes after it are. r9 is how many of the latter there are.
    case copy
  }

  /// Where on the stack the copy of the IP header is (40 bytes), and that of what follows it (16).
  static let network: Int16 = -64
  static let transport: Int16 = -24
  /// The Ethernet header.
  static let link: Int16 = 14

  let classic: [sock_filter]
  let isV4: Bool
  let reading: Reading
  /// Where to go on with packets that are wanted, and those that are not.
  let accept: BPFLabel
  let drop: BPFLabel

  /// Whether any packet can be wanted.
  static func acceptsSomething(_ classic: [sock_filter]) -> Bool {
    zip(classic, reached(classic)).contains { $1 && ($0.code == 0x16 || $0.code == 0x06 && $0.k > 0) }
  }

  /// Appends the translation.
  ///
  /// - Returns: false where something stands in the filter that no filter of ours has.
  func append(to code: inout BPFProgram) -> Bool {
    let reached = Self.reached(classic)
    var labels: [Int: BPFLabel] = [:]
    for (index, instruction) in classic.enumerated() where reached[index] {
      for target in Self.targets(instruction, index) where labels[target] == nil { labels[target] = code.label() }
    }
    var isSkipped = false
    for (index, instruction) in classic.enumerated() where reached[index] {
      if let label = labels[index] { code.place(label) }
      if isSkipped {
        isSkipped = false
        continue
      }
      if let test = Self.tests[instruction.code] {
        isSkipped = jump(&code, test, instruction, index, labels)
      } else if instruction.code == 0x05 {
        guard let label = labels[index + 1 + Int(instruction.k)] else { return false }
        code.jump(to: label)
      } else if !translate(instruction, &code) {
        return false
      }
    }
    return true
  }

  /// Where an instruction jumps to. The next one is none of it, so that what nobody jumps to can be told.
  private static func targets(_ instruction: sock_filter, _ index: Int) -> [Int] {
    if instruction.code == 0x05 { return [index + 1 + Int(instruction.k)] }
    guard tests[instruction.code] != nil else { return [] }
    return [instruction.jt, instruction.jf].filter { $0 > 0 }.map { index + 1 + Int($0) }
  }

  /// Which instructions there is a way to: the verifier refuses a program with others. All jumps go forward.
  private static func reached(_ classic: [sock_filter]) -> [Bool] {
    var result = [Bool](repeating: false, count: classic.count)
    if !result.isEmpty { result[0] = true }
    for (index, instruction) in classic.enumerated() where result[index] {
      var next = targets(instruction, index)
      switch instruction.code {
      case 0x05, 0x06, 0x16: break
      case _ where tests[instruction.code] != nil && instruction.jt > 0 && instruction.jf > 0: break
      default: next.append(index + 1)
      }
      for target in next where target < result.count { result[target] = true }
    }
    return result
  }

  private static let tests: [UInt16: (holds: BPFProgram.Test, fails: BPFProgram.Test?)] = [
    0x15: (.equal, .unequal), 0x25: (.above, .belowOrEqual), 0x35: (.aboveOrEqual, .below), 0x45: (.set, nil),
  ]

  /// - Returns: whether the next instruction was taken in: an unconditional jump that is guarded by this one.
  private func jump(
    _ code: inout BPFProgram, _ test: (holds: BPFProgram.Test, fails: BPFProgram.Test?), _ instruction: sock_filter,
    _ index: Int, _ labels: [Int: BPFLabel]
  ) -> Bool {
    let next = index + 1
    if next < classic.count, classic[next].code == 0x05, labels[next] == nil,
      let far = labels[next + 1 + Int(classic[next].k)]
    {
      if (instruction.jt, instruction.jf) == (0, 1) {
        code.jumpWord(test.holds, .r7, instruction.k, to: far)
        return true
      }
      if (instruction.jt, instruction.jf) == (1, 0), let fails = test.fails {
        code.jumpWord(fails, .r7, instruction.k, to: far)
        return true
      }
    }
    if instruction.jt > 0, let label = labels[next + Int(instruction.jt)] {
      code.jumpWord(test.holds, .r7, instruction.k, to: label)
    }
    if instruction.jf > 0, let label = labels[next + Int(instruction.jf)] {
      if instruction.jt > 0 {
        code.jump(to: label)
      } else if let fails = test.fails {
        code.jumpWord(fails, .r7, instruction.k, to: label)
      } else {
        let holds = code.label()
        code.jumpWord(test.holds, .r7, instruction.k, to: holds)
        code.jump(to: label)
        code.place(holds)
      }
    }
    return false
  }

  private func translate(_ instruction: sock_filter, _ code: inout BPFProgram) -> Bool {
    let k = instruction.k
    switch instruction.code {
    case 0x20, 0x28, 0x30, 0x40, 0x48, 0x50: return load(instruction, &code)
    // Always the length of the IP header: in the index from the beginning.
    case 0xb1: return isV4 && k == 0
    case 0x54: code.word(.and, .r7, k)
    case 0x1c: code.word(.subtract, .r7, .r8)
    case 0x24: code.word(.multiply, .r7, k)
    case 0x74:
      guard k < 32 else { return false }
      code.word(.shiftRight, .r7, k)
    case 0x04: code.word(.add, .r7, k)
    case 0x87: code.word(.move, .r7, .r8)
    case 0x06:
      if k == 0 {
        code.jump(to: drop)
      } else {
        code.word(.move, .r7, k)
        code.jump(to: accept)
      }
    case 0x16: code.jump(to: accept)
    default: return false
    }
    return true
  }

  /// Offsets in `struct __sk_buff`, by what the classic filter asks for.
  private static let fields: [Int32: Int16] = [
    SKF_AD_PKTTYPE: 4, SKF_AD_MARK: 8, SKF_AD_VLAN_TAG_PRESENT: 20, SKF_AD_VLAN_TAG: 24,
  ]

  private func load(_ instruction: sock_filter, _ code: inout BPFProgram) -> Bool {
    let isIndexed = instruction.code & 0xe0 == 0x40
    if !isIndexed, instruction.k >= UInt32(bitPattern: SKF_AD_OFF) {
      guard let field = Self.fields[Int32(bitPattern: instruction.k) - SKF_AD_OFF] else { return false }
      code.load(.word, .r7, .r6, field)
      return true
    }
    let size: BPFProgram.Size
    let length: Int16
    switch instruction.code & 0x18 {
    case 0x00: (size, length) = (.word, 4)
    case 0x08: (size, length) = (.half, 2)
    default: (size, length) = (.byte, 1)
    }
    guard instruction.k < 64, !isIndexed || isV4 else { return false }
    let header: Int16 = isV4 ? 20 : 40
    // From the beginning of the transport header.
    let offset = Int16(instruction.k) - (isIndexed ? 0 : header)
    guard offset + length <= 16, offset >= 0 || offset + length <= 0, offset >= 0 || !isIndexed else { return false }
    switch reading {
    case .direct: code.load(size, .r7, .r9, Self.link + header + offset)
    case .copy where offset < 0: code.load(size, .r7, .stack, Self.network + header + offset)
    case .copy:
      code.jumpWord(.below, .r9, UInt32(offset + length), to: drop)
      code.load(size, .r7, .stack, Self.transport + offset)
    }
    code.fromNetwork(.r7, size)
    return true
  }
}
