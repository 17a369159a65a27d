import Fleet
import Wire

extension StreamPosition {
  /// 16 bytes, big-endian.
  var bytes: [UInt8] { BigEndian.bytes(milliseconds) + BigEndian.bytes(sequence) }

  /// Reads what `bytes` wrote.
  init?(bytes: ArraySlice<UInt8>) {
    guard bytes.count == 16 else { return nil }
    self.init(BigEndian.number(bytes.prefix(8)), BigEndian.number(bytes.suffix(8)))
  }
}

/// Numbers with their highest byte first.
enum BigEndian {
  static func bytes(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) } }
  static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
}

/// Entries of a stream as XRANGE, XREVRANGE and XREAD tell them. Each has one field, `r`.
package enum StreamReply {
  package typealias Entry = (position: StreamPosition, record: [UInt8])

  package static let field = "r"

  /// Of XRANGE and XREVRANGE. What is no entry is left out; one that is not of ours has an empty record.
  package static func entries(_ value: RESPValue) -> [Entry] {
    value.elements.compactMap { entry in
      let parts = entry.elements
      guard parts.count == 2, let bytes = parts[0].bytes, bytes.count <= 41,
        let position = StreamPosition(String(decoding: bytes, as: UTF8.self))
      else { return nil }
      let fields = parts[1].elements
      guard fields.count == 2, fields[0].bytes == Array(field.utf8), let record = fields[1].bytes else {
        return (position, [])
      }
      return (position, record)
    }
  }

  /// Of XREAD, by key.
  package static func streams(_ value: RESPValue) -> [(key: [UInt8], entries: [Entry])] {
    value.elements.compactMap { stream in
      let parts = stream.elements
      guard parts.count == 2, let key = parts[0].bytes else { return nil }
      return (key, entries(parts[1]))
    }
  }

  /// Field and value of a hash as HGETALL tells them in turn.
  package static func values(_ value: RESPValue) -> [[UInt8]] {
    value.elements.enumerated().compactMap { $0.offset % 2 == 1 ? $0.element.bytes : nil }
  }
}
