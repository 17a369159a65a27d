import Wire

/// Makes foreign text harmless for a log line, a file or a terminal.
package enum SafeText {
  /// `text` as printable ASCII on one line: every other byte of its UTF-8 form (control characters, ESC, DEL, C1,
  /// line ends, bidirectional marks, zero-width and all other non-ASCII characters) becomes `\xNN`.
  ///
  /// A backslash stays as it is, so that applying this twice changes nothing.
  ///
  /// - Parameter limit: the largest result in bytes; what is longer is cut and ends in `...`.
  package static func line(_ text: String, limit: Int = 4096) -> String {
    if text.utf8.count <= limit, text.utf8.allSatisfy(isPrintable) { return text }
    return line(bytes: text.preservedBytes, limit: limit)
  }

  /// The same for bytes that need not be UTF-8.
  package static func line(bytes: some Sequence<UInt8>, limit: Int = 4096) -> String {
    var result: [UInt8] = []
    for byte in bytes {
      let plain = isPrintable(byte)
      if result.count + (plain ? 1 : 4) > limit {
        // An escape sequence is cut whole, never in its middle: the marks only have to fit.
        result.removeLast(min(3, result.count))
        result += "...".utf8.prefix(limit)
        break
      }
      if plain {
        result.append(byte)
      } else {
        result += [UInt8(ascii: "\\"), UInt8(ascii: "x"), hexDigit(byte >> 4), hexDigit(byte & 15)]
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// A host name that may stand in a record, or nil when it must not.
  ///
  /// Only letters, digits, `-`, `.` and `_`, and at most 253 bytes (RFC 1035 section 2.3.4 less the root label). Who
  /// owns the reverse zone chooses the name: a blank, a bracket or a slash in it would forge the fields that other
  /// programs read from the line.
  package static func hostName(_ name: String) -> String? {
    let bytes = name.utf8
    guard (1...253).contains(bytes.count), bytes.contains(where: { $0 != UInt8(ascii: ".") }) else { return nil }
    for byte in bytes {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
        continue
      default:
        return nil
      }
    }
    return name
  }

  private static func isPrintable(_ byte: UInt8) -> Bool { (0x20...0x7e).contains(byte) }

  private static func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }
}
