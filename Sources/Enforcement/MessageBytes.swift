import Wire

/// Writes a datagram of a fixed length: its kind, then values in network byte order, then zeros.
struct MessageWriter {
  private(set) var bytes: [UInt8]
  private var next = 1

  init(_ kind: UInt8, size: Int) {
    bytes = [UInt8](repeating: 0, count: size)
    bytes[0] = kind
  }

  mutating func put<Number: FixedWidthInteger>(_ number: Number) {
    var shift = Number.bitWidth
    while shift > 0 {
      shift -= 8
      bytes[next] = UInt8(truncatingIfNeeded: number >> shift)
      next += 1
    }
  }

  mutating func put(_ flag: Bool) { put(UInt8(flag ? 1 : 0)) }

  mutating func put(_ address: IPAddress) {
    put(address.high)
    put(address.low)
  }

  mutating func put(_ network: IPNetwork) {
    put(network.address)
    put(UInt8(network.length))
  }

  mutating func put(_ ports: PortSet) {
    for word in ports.bitmap { put(word) }
  }

  /// Text in `room` bytes, the last of them zero. What does not fit is left out.
  mutating func put(_ text: String, _ room: Int) {
    var end = next
    for character in text.unicodeScalars where character.value != 0 {
      let encoded = Array(String(character).utf8)
      if end + encoded.count >= next + room { break }
      for byte in encoded {
        bytes[end] = byte
        end += 1
      }
    }
    next += room
  }
}

/// Reads what `MessageWriter` writes, and nothing else.
struct MessageReader {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  var isRestZero: Bool { rest.allSatisfy { $0 == 0 } }

  mutating func number<Number: FixedWidthInteger & UnsignedInteger>(_ type: Number.Type) -> Number? {
    let size = Number.bitWidth / 8
    guard rest.count >= size else { return nil }
    defer { rest = rest.dropFirst(size) }
    return rest.prefix(size).reduce(0) { size == 1 ? Number($1) : $0 << 8 | Number($1) }
  }

  /// 0 or 1.
  mutating func flag() -> Bool? {
    guard let value = number(UInt8.self), value < 2 else { return nil }
    return value == 1
  }

  mutating func address() -> IPAddress? {
    guard let high = number(UInt64.self), let low = number(UInt64.self) else { return nil }
    return IPAddress(high: high, low: low)
  }

  /// One whose host bits are clear.
  mutating func network() -> IPNetwork? {
    guard let address = address(), let length = number(UInt8.self),
      let network = IPNetwork(address, length: Int(length)), network.address == address
    else { return nil }
    return network
  }

  mutating func ports() -> PortSet? {
    var words: [UInt64] = []
    for _ in 0..<1_024 {
      guard let word = number(UInt64.self) else { return nil }
      words.append(word)
    }
    return PortSet(words: words)
  }

  /// A name or a sentence: UTF-8, then zeros.
  mutating func name(_ room: Int) -> String? {
    guard rest.count >= room else { return nil }
    let field = rest.prefix(room)
    rest = rest.dropFirst(room)
    let bytes = field.prefix { $0 != 0 }
    guard bytes.count < room, field.dropFirst(bytes.count).allSatisfy({ $0 == 0 }) else { return nil }
    let text = String(decoding: bytes, as: UTF8.self)
    return text.utf8.elementsEqual(bytes) ? text : nil
  }

  /// How many there are, then these. At most `most`.
  mutating func list<Value>(_ most: Int, _ one: (inout MessageReader) -> Value?) -> [Value]? {
    guard let count = number(UInt8.self), Int(count) <= most else { return nil }
    var result: [Value] = []
    for _ in 0..<count {
      guard let value = one(&self) else { return nil }
      result.append(value)
    }
    return result
  }
}
