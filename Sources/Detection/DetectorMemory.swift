import Wire

/// Why a kept memory was not taken.
package enum DetectorMemoryError: Error, Sendable, Equatable, CustomStringConvertible {
  /// It does not begin as one does, or is of another version.
  case notOurs
  /// Its checksum is wrong: it was cut or changed.
  case damaged

  package var description: String {
    switch self {
    case .notOurs: "it is no memory of this version"
    case .damaged: "it is damaged"
    }
  }
}

extension Detector {
  /// What is kept over a restart: the sources that most speaks against, and how rarely each port is asked for.
  ///
  /// - Parameter sources: how many at most, 116 bytes each.
  /// - Returns: bytes for `restore`.
  package func memory(sources: Int) -> [UInt8] { native.memory(sources: sources) }

  /// Takes over what an earlier process knew; to be called before the first packet.
  ///
  /// Whatever the bytes are, nothing worse comes of them than wrong knowledge: everything in them is checked.
  ///
  /// - Returns: how many sources it told of.
  package mutating func restore(_ memory: [UInt8]) throws(DetectorMemoryError) -> Int { try native.restore(memory) }

  /// A memory whose checksum is right, whatever it says; for fuzzing.
  package static func sealed(_ memory: [UInt8]) -> [UInt8] { NativeRule.sealed(memory) }
}

/// "portsentry", the version, how many sources, how many ports; the sources; transport and port, and a count, for each port;
/// a checksum over all before it. Numbers are big-endian.
extension NativeRule {
  private static let mark: UInt64 = 0x706f_7274_7365_6e74  // "portsent"
  private static let version: UInt32 = 1
  private static let head = 20

  func memory(sources most: Int) -> [UInt8] {
    let records = kept(most: most)
    let ports = rarity.counts
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.head + records.count * SourceRecord.encodedSize + ports.count * 8 + 16)
    bytes.append(Self.mark)
    for word in [Self.version, UInt32(records.count), UInt32(ports.count)] { bytes.append(word) }
    for record in records { record.encode(into: &bytes) }
    for (index, count) in ports {
      bytes.append(UInt32(index))
      bytes.append(UInt32(count))
    }
    bytes.append(UInt64(bitPattern: rarity.day))
    bytes.append(unsafe Self.checksum(bytes.span.bytes))
    return bytes
  }

  mutating func restore(_ memory: [UInt8]) throws(DetectorMemoryError) -> Int {
    let bytes = unsafe memory.span.bytes
    guard bytes.byteCount >= Self.head + 16, bytes.u64(at: 0) == Self.mark, bytes.u32(at: 8) == Self.version else {
      throw .notOurs
    }
    let (sourceCount, portCount) = (Int(bytes.u32(at: 12)), Int(bytes.u32(at: 16)))
    let ports = Self.head + sourceCount * SourceRecord.encodedSize
    let end = ports + portCount * 8
    guard bytes.byteCount == end + 16, portCount <= 131_072,
      Self.checksum(bytes.extracting(0..<end + 8)) == bytes.u64(at: end + 8)
    else { throw .damaged }
    var restored = 0
    for index in 0..<sourceCount {
      let place = Self.head + index * SourceRecord.encodedSize
      guard let record = SourceRecord(bytes, at: place) else { continue }
      restore(record)
      restored += 1
    }
    for place in stride(from: ports, to: end, by: 8) {
      rarity.set(Int(bytes.u32(at: place)), UInt16(truncatingIfNeeded: bytes.u32(at: place + 4)))
    }
    rarity.day = Int64(bitPattern: bytes.u64(at: end))
    return restored
  }

  static func sealed(_ memory: [UInt8]) -> [UInt8] {
    var sealed = Array(memory.dropLast(8))
    sealed.append(unsafe checksum(sealed.span.bytes))
    return sealed
  }

  /// FNV-1a (Fowler, Noll, Vo), 64 bits: for accidents. Whoever can write the file is root.
  private static func checksum(_ bytes: RawSpan) -> UInt64 {
    var value: UInt64 = 0xcbf2_9ce4_8422_2325
    for offset in 0..<bytes.byteCount {
      value = (value ^ UInt64(bytes.u8(at: offset))) &* 0x100_0000_01b3
    }
    return value
  }
}

extension [UInt8] {
  fileprivate mutating func appendBytes(_ value: some FixedWidthInteger) {
    for shift in stride(from: value.bitWidth - 8, through: 0, by: -8) {
      append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }

  /// Eight bytes, big-endian.
  mutating func append(_ value: UInt64) { appendBytes(value) }
  /// Four bytes, big-endian.
  mutating func append(_ value: UInt32) { appendBytes(value) }
}
