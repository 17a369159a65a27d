import CLinux

/// A place in a program that jumps may name before it is known.
package struct BPFLabel: Sendable {
  fileprivate let index: Int
}

/// Assembles eBPF (the kernel's `instruction-set.rst`): no compiler, no library. Jumps go forward.
package struct BPFProgram: Sendable {
  /// r0 results, r1-r5 arguments of calls (lost in them), r6-r9 kept, r10 the end of the 512 bytes of stack.
  package enum Register: UInt8, Sendable {
    case r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, stack
  }

  package enum Size: UInt8, Sendable {
    case word = 0x00
    case half = 0x08
    case byte = 0x10
    case double = 0x18
  }

  /// Arithmetic on the lower 32 bits; the upper ones become zero.
  package enum Operation: UInt8, Sendable {
    case add = 0x00
    case subtract = 0x10
    case multiply = 0x20
    case and = 0x50
    case or = 0x40
    case shiftLeft = 0x60
    case shiftRight = 0x70
    case move = 0xb0
  }

  /// Helper functions by their number (`enum bpf_func_id`).
  package enum Helper: Int32, Sendable {
    case mapLookup = 1
    case mapUpdate = 2
    case time = 5
    case cloneRedirect = 13
    case loadPacketBytes = 26
    case setSocketOption = 49
    case socketStorage = 107
    case namespaceCookie = 122
    case ringReserve = 131
    case ringSubmit = 132
    case ringDiscard = 133
    case checksumLevel = 135
  }

  package enum Test: UInt8, Sendable {
    case equal = 0x10
    case unequal = 0x50
    case above = 0x20
    case aboveOrEqual = 0x30
    case below = 0xa0
    case belowOrEqual = 0xb0
    /// A bit of both is set.
    case set = 0x40
  }

  private struct Instruction {
    var code: UInt8
    var target = Register.r0
    var source: UInt8 = 0
    var offset: Int16 = 0
    var value: Int32 = 0
  }

  private var code: [Instruction] = []
  private var labels: [Int] = []
  private var fixups: [(instruction: Int, label: Int)] = []

  package init() {}

  package mutating func label() -> BPFLabel {
    labels.append(-1)
    return BPFLabel(index: labels.count - 1)
  }

  package mutating func place(_ label: BPFLabel) { labels[label.index] = code.count }

  package mutating func move(_ target: Register, _ source: Register) {
    code.append(Instruction(code: 0xbf, target: target, source: source.rawValue))
  }
  package mutating func move(_ target: Register, _ value: Int32) {
    code.append(Instruction(code: 0xb7, target: target, value: value))
  }
  package mutating func add(_ target: Register, _ value: Int32) {
    code.append(Instruction(code: 0x07, target: target, value: value))
  }
  package mutating func subtract(_ target: Register, _ source: Register) {
    code.append(Instruction(code: 0x1f, target: target, source: source.rawValue))
  }
  /// target = memory at source + offset
  package mutating func load(_ size: Size, _ target: Register, _ source: Register, _ offset: Int16) {
    code.append(Instruction(code: 0x61 | size.rawValue, target: target, source: source.rawValue, offset: offset))
  }
  /// memory at target + offset = source
  package mutating func store(_ size: Size, _ target: Register, _ offset: Int16, _ source: Register) {
    code.append(Instruction(code: 0x63 | size.rawValue, target: target, source: source.rawValue, offset: offset))
  }
  /// memory at target + offset = value
  package mutating func store(_ size: Size, _ target: Register, _ offset: Int16, value: Int32) {
    code.append(Instruction(code: 0x62 | size.rawValue, target: target, offset: offset, value: value))
  }
  /// The address of a map, by its descriptor: two instructions long.
  package mutating func loadMap(_ target: Register, _ map: Int32) {
    code.append(Instruction(code: 0x18, target: target, source: UInt8(BPF_PSEUDO_MAP_FD), value: map))
    code.append(Instruction(code: 0x00))
  }
  /// A constant of 64 bits: two instructions long.
  package mutating func move(_ target: Register, long value: UInt64) {
    code.append(Instruction(code: 0x18, target: target, value: Int32(truncatingIfNeeded: value)))
    code.append(Instruction(code: 0x00, value: Int32(truncatingIfNeeded: value >> 32)))
  }
  /// The address of the value of a map of one number, by its descriptor: two instructions long.
  package mutating func loadValue(_ target: Register, _ map: Int32) {
    code.append(Instruction(code: 0x18, target: target, source: UInt8(BPF_PSEUDO_MAP_VALUE), value: map))
    code.append(Instruction(code: 0x00))
  }
  package mutating func word(_ operation: Operation, _ target: Register, _ value: UInt32) {
    code.append(Instruction(code: 0x04 | operation.rawValue, target: target, value: Int32(bitPattern: value)))
  }
  package mutating func word(_ operation: Operation, _ target: Register, _ source: Register) {
    code.append(Instruction(code: 0x0c | operation.rawValue, target: target, source: source.rawValue))
  }
  /// Makes a number that was loaded in the network's order of bytes one of this machine's.
  package mutating func fromNetwork(_ target: Register, _ size: Size) {
    guard size == .word || size == .half else { return }
    code.append(Instruction(code: 0xdc, target: target, value: size == .word ? 32 : 16))
  }
  /// memory at target += source, 64 bits, whoever else does so at the same time
  package mutating func addAtomically(_ target: Register, _ source: Register) {
    code.append(Instruction(code: 0xdb, target: target, source: source.rawValue))
  }
  package mutating func call(_ helper: Helper) { code.append(Instruction(code: 0x85, value: helper.rawValue)) }
  package mutating func exit() { code.append(Instruction(code: 0x95)) }

  private mutating func append(_ jump: Instruction, to label: BPFLabel) {
    fixups.append((code.count, label.index))
    code.append(jump)
  }
  package mutating func jump(to label: BPFLabel) { append(Instruction(code: 0x05), to: label) }
  package mutating func jump(_ test: Test, _ register: Register, _ other: Register, to label: BPFLabel) {
    append(Instruction(code: 0x0d | test.rawValue, target: register, source: other.rawValue), to: label)
  }
  package mutating func jump(_ test: Test, _ register: Register, _ value: Int32, to label: BPFLabel) {
    append(Instruction(code: 0x05 | test.rawValue, target: register, value: value), to: label)
  }

  /// Compares the lower 32 bits.
  package mutating func jumpWord(_ test: Test, _ register: Register, _ value: UInt32, to label: BPFLabel) {
    append(Instruction(code: 0x06 | test.rawValue, target: register, value: Int32(bitPattern: value)), to: label)
  }
  package mutating func jumpWord(_ test: Test, _ register: Register, _ other: Register, to label: BPFLabel) {
    append(Instruction(code: 0x0e | test.rawValue, target: register, source: other.rawValue), to: label)
  }

  /// How many instructions there are; jumps reach 32,767.
  package var count: Int { code.count }

  /// Eight bytes for each instruction, as this machine's kernel reads them.
  package func assemble() -> [UInt8] {
    var code = code
    for (instruction, label) in fixups { code[instruction].offset = Int16(labels[label] - instruction - 1) }
    // Two bit fields of four bits, whose order is that of the bytes.
    let isLittle = UInt16(1).littleEndian == 1
    var bytes: [UInt8] = []
    bytes.reserveCapacity(8 * code.count)
    for instruction in code {
      let target = instruction.target.rawValue
      bytes.append(instruction.code)
      bytes.append(isLittle ? target | instruction.source << 4 : target << 4 | instruction.source)
      unsafe withUnsafeBytes(of: instruction.offset) { unsafe bytes.append(contentsOf: $0) }
      unsafe withUnsafeBytes(of: instruction.value) { unsafe bytes.append(contentsOf: $0) }
    }
    return bytes
  }
}

/// A map of the kernel's that programs and we share.
package struct BPFMap: ~Copyable, Sendable {
  private let file: FileDescriptor
  private let keySize: Int
  private let valueSize: Int

  package var descriptor: Int32 { file.raw }

  /// - Parameters:
  ///   - flags: `BPF_F_…`.
  ///   - types: descriptor of a `BTFBlob`, for maps that want type information.
  package init(
    _ type: bpf_map_type, key keySize: Int, value valueSize: Int, entries: Int, flags: UInt32 = 0,
    types: Int32? = nil, name: String
  ) throws(Errno) {
    var attributes = bpf_attr()
    attributes.map_type = type.rawValue
    attributes.key_size = UInt32(keySize)
    attributes.value_size = UInt32(valueSize)
    attributes.max_entries = UInt32(entries)
    attributes.map_flags = flags
    if let types {
      attributes.btf_fd = UInt32(types)
      attributes.btf_key_type_id = 1
      attributes.btf_value_type_id = 1
    }
    file = FileDescriptor(owning: try BPF.call(BPF_MAP_CREATE, &attributes, name))
    self.keySize = keySize
    self.valueSize = valueSize
  }

  package func set(_ key: [UInt8], _ value: [UInt8]) throws(Errno) {
    precondition(key.count == keySize && value.count == valueSize)
    var value = value
    try element(BPF_MAP_UPDATE_ELEM, key, &value)
  }

  /// The value of a key; nil where there is none.
  package func value(_ key: [UInt8]) -> [UInt8]? {
    precondition(key.count == keySize)
    var value = [UInt8](repeating: 0, count: valueSize)
    return (try? element(BPF_MAP_LOOKUP_ELEM, key, &value)) == nil ? nil : value
  }

  /// Removes a key; one that is not there is fine.
  package func remove(_ key: [UInt8]) throws(Errno) {
    precondition(key.count == keySize)
    var none: [UInt8] = [0]
    do throws(Errno) { try element(BPF_MAP_DELETE_ELEM, key, &none) } catch {
      if error.code != ENOENT { throw error }
    }
  }

  private func element(_ command: bpf_cmd, _ key: [UInt8], _ value: inout [UInt8]) throws(Errno) {
    var attributes = bpf_attr()
    attributes.map_fd = UInt32(file.raw)
    var result: Int32 = 0
    var code: Int32 = 0
    unsafe key.withUnsafeBytes { key in
      unsafe value.withUnsafeMutableBytes { value in
        attributes.key = UInt64(UInt(bitPattern: key.baseAddress))
        // The kernel wants members that a command does not read to be zero.
        if command != BPF_MAP_DELETE_ELEM { attributes.value = UInt64(UInt(bitPattern: value.baseAddress)) }
        result = unsafe CLinux_bpf(Int32(command.rawValue), &attributes)
        code = CLinux_errno()
      }
    }
    if result < 0 { throw Errno(code, "bpf", "map") }
  }
}

/// The least type information there is: one type, a 32-bit number, with the number 1.
package struct BTFBlob: ~Copyable, Sendable {
  private let file: FileDescriptor
  package var descriptor: Int32 { file.raw }

  package init() throws(Errno) {
    let strings = Array("\0int\0".utf8)
    var blob: [UInt8] = []
    func put(_ value: some FixedWidthInteger) {
      unsafe withUnsafeBytes(of: value) { unsafe blob.append(contentsOf: $0) }
    }
    // struct btf_header (linux/btf.h): magic, version, flags, length of this; then where types and strings lie.
    put(UInt16(0xeb9f))
    put(UInt8(1))
    put(UInt8(0))
    for value: UInt32 in [24, 0, 16, 16, UInt32(strings.count)] { put(value) }
    // struct btf_type: name, BTF_KIND_INT, 4 bytes; then signed, 32 bits.
    for value: UInt32 in [1, 1 << 24, 4, 1 << 24 | 32] { put(value) }
    blob += strings
    var attributes = bpf_attr()
    var result: Result<Int32, Errno> = .failure(Errno(0, "bpf"))
    unsafe blob.withUnsafeBytes { bytes in
      attributes.btf = UInt64(UInt(bitPattern: bytes.baseAddress))
      attributes.btf_size = UInt32(bytes.count)
      result = Result { () throws(Errno) in try BPF.call(BPF_BTF_LOAD, &attributes, "type information") }
    }
    file = FileDescriptor(owning: try result.get())
  }
}

/// `bpf(2)`.
package enum BPF {
  static func call(_ command: bpf_cmd, _ attributes: inout bpf_attr, _ what: String) throws(Errno) -> Int32 {
    let result = unsafe CLinux_bpf(Int32(command.rawValue), &attributes)
    if result < 0 { throw Errno.last("bpf", what) }
    return result
  }

  /// Loads a program; the kernel's verifier reads it.
  package static func load(
    _ type: bpf_prog_type, _ attach: bpf_attach_type, _ program: BPFProgram, name: String
  ) throws(Errno) -> FileDescriptor {
    let code = program.assemble()
    let license: [UInt8] = Array("GPL\0".utf8)
    var attributes = bpf_attr()
    attributes.prog_type = type.rawValue
    attributes.expected_attach_type = attach.rawValue
    attributes.insn_cnt = UInt32(code.count / 8)
    var result: Result<Int32, Errno> = .failure(Errno(0, "bpf"))
    unsafe code.withUnsafeBytes { code in
      unsafe license.withUnsafeBytes { license in
        attributes.insns = UInt64(UInt(bitPattern: code.baseAddress))
        attributes.license = UInt64(UInt(bitPattern: license.baseAddress))
        result = Result { () throws(Errno) in try call(BPF_PROG_LOAD, &attributes, name) }
      }
    }
    return FileDescriptor(owning: try result.get())
  }

  /// Runs a program once, over a packet that it is given (`BPF_PROG_TEST_RUN`).
  ///
  /// - Parameter context: what the kernel is to know of the packet, the beginning of `struct __sk_buff`.
  /// - Returns: what the program returns.
  package static func run(
    _ program: borrowing FileDescriptor, on packet: [UInt8], _ context: [UInt8]
  ) throws(Errno) -> Int32 {
    var attributes = bpf_attr()
    unsafe attributes.test.prog_fd = UInt32(program.raw)
    unsafe attributes.test.data_size_in = UInt32(packet.count)
    unsafe attributes.test.ctx_size_in = UInt32(context.count)
    var result: Result<Int32, Errno> = .failure(Errno(0, "bpf"))
    unsafe packet.withUnsafeBytes { packet in
      unsafe context.withUnsafeBytes { context in
        unsafe attributes.test.data_in = UInt64(UInt(bitPattern: packet.baseAddress))
        unsafe attributes.test.ctx_in = UInt64(UInt(bitPattern: context.baseAddress))
        result = Result { () throws(Errno) in try call(BPF_PROG_TEST_RUN, &attributes, "run") }
      }
    }
    _ = try result.get()
    return unsafe Int32(bitPattern: attributes.test.retval)
  }

  // What headers before Linux 6.6 lack.
  private static let tcxIngress: UInt32 = 46
  private static let tcxEgress: UInt32 = 47
  private static let before: UInt32 = 1 << 3

  /// Attaches a program to one side of an interface, before all others that are there (tcx, kernel 6.6), until the descriptor given
  /// back is closed. The kernel waits for all its processors meanwhile, some 10 ms.
  package static func attach(
    _ program: borrowing FileDescriptor, interface: Int32, outgoing: Bool
  ) throws(Errno) -> FileDescriptor {
    try link(program, to: interface, outgoing ? tcxEgress : tcxIngress, flags: before, "interface")
  }

  /// Puts another program in the place of one that is attached; each packet meets either the one or the other.
  package static func replace(
    _ link: borrowing FileDescriptor, by program: borrowing FileDescriptor
  ) throws(Errno) {
    var attributes = bpf_attr()
    unsafe attributes.link_update.link_fd = UInt32(link.raw)
    unsafe attributes.link_update.new_prog_fd = UInt32(program.raw)
    _ = try call(BPF_LINK_UPDATE, &attributes, "replace")
  }

  /// The interface that a program is attached to; 0 when the interface is gone, or somebody has taken the program away.
  package static func interface(of link: borrowing FileDescriptor) throws(Errno) -> Int32 {
    // struct bpf_link_info: type, id, program; then, aligned to 8, for this kind the interface.
    var info = [UInt8](repeating: 0, count: 64)
    var attributes = bpf_attr()
    unsafe attributes.info.bpf_fd = UInt32(link.raw)
    unsafe attributes.info.info_len = UInt32(info.count)
    var result: Result<Int32, Errno> = .failure(Errno(0, "bpf"))
    unsafe info.withUnsafeMutableBytes { bytes in
      unsafe attributes.info.info = UInt64(UInt(bitPattern: bytes.baseAddress))
      result = Result { () throws(Errno) in try call(BPF_OBJ_GET_INFO_BY_FD, &attributes, "link") }
    }
    _ = try result.get()
    return info[16...].value(at: 0, as: Int32.self) ?? 0
  }

  /// Attaches a program to a control group, until the descriptor given back is closed: it ends with us.
  package static func attach(
    _ program: borrowing FileDescriptor, to group: borrowing FileDescriptor, _ type: bpf_attach_type
  ) throws(Errno) -> FileDescriptor {
    try link(program, to: group.raw, type.rawValue, "attach")
  }

  private static func link(
    _ program: borrowing FileDescriptor, to target: Int32, _ type: UInt32, flags: UInt32 = 0, _ what: String
  ) throws(Errno) -> FileDescriptor {
    var attributes = bpf_attr()
    unsafe attributes.link_create.prog_fd = UInt32(program.raw)
    unsafe attributes.link_create.target_fd = UInt32(target)
    unsafe attributes.link_create.attach_type = type
    unsafe attributes.link_create.flags = flags
    return FileDescriptor(owning: try call(BPF_LINK_CREATE, &attributes, what))
  }
}

extension FixedWidthInteger {
  /// As it lies in memory: keys and values of maps, parts of netlink messages.
  package var hostBytes: [UInt8] { unsafe withUnsafeBytes(of: self) { unsafe Array($0) } }
}
