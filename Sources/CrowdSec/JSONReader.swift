/// Reads JSON (RFC 8259) from the front, a value at a time, without building a tree of it: a list of decisions has megabytes. Whatever is in
/// it, it ends: at most `mostDepth` levels, and each call moves on or throws.
package struct JSONReader: Sendable {
  /// Why a text is no JSON, or not what was asked for.
  package enum Fault: Error, Equatable, Sendable {
    case malformed(at: Int)
    case tooDeep
  }

  static let mostDepth = 32
  /// Longer strings are cut.
  static let mostText = 1_024

  private let bytes: [UInt8]
  package private(set) var position = 0

  package init(_ bytes: [UInt8]) { self.bytes = bytes }

  private var fault: Fault { .malformed(at: position) }

  private mutating func skipBlanks() {
    while position < bytes.count, [0x20, 0x09, 0x0a, 0x0d].contains(bytes[position]) { position += 1 }
  }

  /// The next byte that is no blank.
  package mutating func peek() throws(Fault) -> UInt8 {
    skipBlanks()
    guard position < bytes.count else { throw fault }
    return bytes[position]
  }

  package mutating func expect(_ byte: UInt8) throws(Fault) {
    guard try peek() == byte else { throw fault }
    position += 1
  }

  /// Whether `null` stands there, which is passed then.
  package mutating func isNull() throws(Fault) -> Bool {
    guard try peek() == 0x6e else { return false }
    try word("null")
    return true
  }

  private mutating func word(_ text: StaticString) throws(Fault) {
    for byte in text.description.utf8 {
      guard position < bytes.count, bytes[position] == byte else { throw fault }
      position += 1
    }
  }

  /// Goes to the next member or element; false at the end, which is passed.
  ///
  /// - Parameter isFirst: true after the opening bracket; false afterwards.
  package mutating func next(before close: UInt8, isFirst: inout Bool) throws(Fault) -> Bool {
    if try peek() == close {
      position += 1
      return false
    }
    if isFirst { isFirst = false } else { try expect(0x2c) }
    return true
  }

  /// A member's name, and the colon.
  package mutating func name() throws(Fault) -> String {
    let name = try string()
    try expect(0x3a)
    return name
  }

  /// Each member of an object; `body` has to pass its value.
  package mutating func object(_ body: (inout JSONReader, String) throws(Fault) -> Void) throws(Fault) {
    try expect(0x7b)
    var isFirst = true
    while try next(before: 0x7d, isFirst: &isFirst) { try body(&self, try name()) }
  }

  /// Each element of an array, or nothing for null; `body` has to pass it.
  package mutating func array(_ body: (inout JSONReader) throws(Fault) -> Void) throws(Fault) {
    if try isNull() { return }
    try expect(0x5b)
    var isFirst = true
    while try next(before: 0x5d, isFirst: &isFirst) { try body(&self) }
  }

  /// A string, its first `mostText` bytes; of what is no UTF-8 each byte is U+FFFD.
  package mutating func string() throws(Fault) -> String {
    try expect(0x22)
    var text: [UInt8] = []
    func add(_ byte: UInt8) { if text.count < Self.mostText { text.append(byte) } }
    while true {
      guard position < bytes.count else { throw fault }
      let byte = bytes[position]
      position += 1
      switch byte {
      case 0x22: return String(decoding: text, as: UTF8.self)
      case 0..<0x20: throw fault
      case 0x5c: for byte in try escape() { add(byte) }
      default: add(byte)
      }
    }
  }

  private mutating func escape() throws(Fault) -> [UInt8] {
    guard position < bytes.count else { throw fault }
    let byte = bytes[position]
    position += 1
    switch byte {
    case 0x22, 0x5c, 0x2f: return [byte]
    case 0x62: return [0x08]
    case 0x66: return [0x0c]
    case 0x6e: return [0x0a]
    case 0x72: return [0x0d]
    case 0x74: return [0x09]
    case 0x75: return Array(UTF8.encode(try unicode()) ?? UTF8.encodedReplacementCharacter)
    default: throw fault
    }
  }

  private mutating func unicode() throws(Fault) -> Unicode.Scalar {
    let first = try hex()
    if let scalar = Unicode.Scalar(first) { return scalar }
    // The first of a pair, or a half that has none.
    guard (0xd800...0xdbff).contains(first), position + 1 < bytes.count, bytes[position] == 0x5c,
      bytes[position + 1] == 0x75
    else { return "\u{fffd}" }
    position += 2
    let second = try hex()
    guard (0xdc00...0xdfff).contains(second) else { return Unicode.Scalar(second) ?? "\u{fffd}" }
    return Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00)) ?? "\u{fffd}"
  }

  private mutating func hex() throws(Fault) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard position < bytes.count else { throw fault }
      switch bytes[position] {
      case let digit where (0x30...0x39).contains(digit): value = value << 4 | UInt32(digit - 0x30)
      case let digit where (0x41...0x46).contains(digit & 0xdf): value = value << 4 | UInt32(digit & 0xdf - 0x37)
      default: throw fault
      }
      position += 1
    }
    return value
  }

  /// A whole number; nil for one with a fraction or too large, which is passed as well.
  package mutating func number() throws(Fault) -> Int64? {
    _ = try peek()
    let start = position
    while position < bytes.count, [0x2b, 0x2d, 0x2e, 0x45, 0x65].contains(bytes[position]) || isDigit(bytes[position]) {
      position += 1
    }
    guard position > start, bytes[start..<position].contains(where: isDigit) else { throw fault }
    return Int64(String(decoding: bytes[start..<position], as: UTF8.self))
  }

  private func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

  /// A number of our own, or its digits as a string: ids are either.
  package mutating func id() throws(Fault) -> Int64? {
    try peek() == 0x22 ? Int64(try string()) : try number()
  }

  /// Passes a value of whatever kind.
  package mutating func skip(depth: Int = 0) throws(Fault) {
    guard depth < Self.mostDepth else { throw .tooDeep }
    switch try peek() {
    case 0x7b:
      try object { (reader, _) throws(Fault) in try reader.skip(depth: depth + 1) }
    case 0x5b: try array { (reader) throws(Fault) in try reader.skip(depth: depth + 1) }
    case 0x22: _ = try string()
    case 0x74: try word("true")
    case 0x66: try word("false")
    case 0x6e: try word("null")
    default: _ = try number()
    }
  }

  /// A string, or nil for whatever else, which is passed.
  package mutating func text() throws(Fault) -> String? {
    if try peek() == 0x22 { return try string() }
    try skip()
    return nil
  }
}
