/// A configuration file as it was written, before anything is known of its meaning or its dialect.
///
/// Reads what either predecessor reads and keeps what they disagree on, so that each can be served. Takes any bytes:
/// invalid UTF-8, NULs, CR LF, no final newline, lines of any length.
package struct ConfigurationFile: Sendable, Equatable {
  package enum Quoting: Sendable {
    /// `"value"`
    case closed
    /// `"value` up to the end of the line, which only 1.2 accepts.
    case unclosed
    /// No quote at all: no value for either predecessor.
    case missing
  }

  /// A line that names a key.
  package struct Entry: Sendable, Equatable {
    /// From 1.
    package var line: Int
    /// As written; it need not be one of ours.
    package var name: String
    /// Whether blanks stand before the key. 1.2 looks for keys in column 1 only; 2.x gives up.
    package var isIndented: Bool
    /// Whether an `=` follows; 1.2 is content with a blank.
    package var hasEqualsSign: Bool
    /// Whether a tab stands before the `=` or right after the key: 1.2 then does not see the key.
    package var hasTabBeforeEquals: Bool
    /// Whether anything but blanks stands before the first quote; 1.2 reads on to the quote.
    package var hasTextBeforeQuote: Bool
    package var quoting: Quoting
    /// The bytes between the quotes; without quotes, what stands in their place, without its outer blanks.
    package var value: [UInt8]
    /// What follows the closing quote, without its outer blanks.
    package var rest: [UInt8]

    /// What to write between quotes where there are none: `value` without typographic or single quotes around it, and
    /// without a comment after it.
    package var valueWithoutForeignQuotes: [UInt8] {
      for (open, close) in Self.foreignQuotes where value.starts(with: open) {
        let inside = value.dropFirst(open.count)
        let end = inside.indices.first { inside[$0...].starts(with: close) } ?? inside.endIndex
        return Array(inside[..<end].trimmingBlanks)
      }
      let comment = value.indices.first { value[$0] == .hash && $0 > 0 && value[$0 - 1].isBlank }
      return Array(value[..<(comment ?? value.endIndex)].trimmingBlanks)
    }

    /// What people and their editors write for `"`: in UTF-8, and in the code page of Windows.
    private static let foreignQuotes: [(open: [UInt8], close: [UInt8])] =
      [
        ("'", "'"), ("\u{201c}", "\u{201d}"), ("\u{201d}", "\u{201d}"), ("\u{201e}", "\u{201c}"),
        ("\u{201f}", "\u{201d}"),
        ("\u{2018}", "\u{2019}"), ("\u{2019}", "\u{2019}"), ("\u{201a}", "\u{2018}"), ("\u{ab}", "\u{bb}"),
        ("\u{bb}", "\u{ab}"),
        ("\u{2039}", "\u{203a}"), ("`", "`"), ("\u{b4}", "\u{b4}"), ("\u{ff02}", "\u{ff02}"), ("\u{2033}", "\u{2033}"),
      ].map { (Array($0.utf8), Array($1.utf8)) } + [
        ([0x93], [0x94]), ([0x84], [0x93]), ([0x91], [0x92]), ([0xab], [0xbb]),
      ]

    package var key: ConfigurationKey? { ConfigurationKey(rawValue: name) }
  }

  /// A line that is no comment and names no key.
  package struct Junk: Sendable, Equatable {
    package var line: Int
    package var text: [UInt8]
  }

  package private(set) var entries: [Entry] = []
  package private(set) var junk: [Junk] = []

  package init(_ bytes: [UInt8]) {
    var number = 0
    for var text in lines(of: bytes) {
      number += 1
      if text.last == .carriageReturn { text.removeLast() }
      let line = text.drop(while: \.isBlank)
      guard let first = line.first, first != .hash else { continue }
      if let entry = Self.entry(line, number: number, isIndented: line.startIndex != text.startIndex) {
        entries.append(entry)
      } else {
        junk.append(Junk(line: number, text: Array(line)))
      }
    }
  }

  /// Takes `KEY="value"` and its looser forms apart; nil when the line is neither `WORD =` nor `KNOWN_KEY "`.
  private static func entry(_ line: ArraySlice<UInt8>, number: Int, isIndented: Bool) -> Entry? {
    let nameBytes = line.prefix(while: \.isNamePart)
    guard !nameBytes.isEmpty else { return nil }
    let name = String(decoding: nameBytes, as: UTF8.self)
    var tail = line[nameBytes.endIndex...]
    let gap = tail.prefix(while: \.isBlank)
    tail = tail[gap.endIndex...]
    let hasEqualsSign = tail.first == .equals
    if hasEqualsSign {
      tail.removeFirst()
    } else if gap.isEmpty || ConfigurationKey(rawValue: name) == nil || !tail.contains(.quote) {
      return nil
    }
    var entry = Entry(
      line: number, name: name, isIndented: isIndented, hasEqualsSign: hasEqualsSign,
      hasTabBeforeEquals: gap.contains(.tab), hasTextBeforeQuote: false, quoting: .missing, value: [], rest: [])
    tail = tail.drop(while: \.isBlank)
    guard let opening = tail.firstIndex(of: .quote) else {
      entry.value = Array(tail.trimmingBlanks)
      return entry
    }
    entry.hasTextBeforeQuote = opening != tail.startIndex
    let inside = tail[(opening + 1)...]
    if let closing = inside.firstIndex(of: .quote) {
      entry.quoting = .closed
      entry.value = Array(inside[..<closing])
      entry.rest = Array(inside[(closing + 1)...].trimmingBlanks)
    } else {
      entry.quoting = .unclosed
      entry.value = Array(inside)
    }
    return entry
  }
}

/// The lines of a file without their newlines. A byte-order mark at the start, as some editors write, is left out.
func lines(of bytes: [UInt8]) -> [ArraySlice<UInt8>] {
  let start = bytes.starts(with: [0xef, 0xbb, 0xbf]) ? 3 : 0
  return bytes[start...].split(separator: .newline, omittingEmptySubsequences: false)
}

extension UInt8 {
  static let tab = UInt8(ascii: "\t")
  static let newline = UInt8(ascii: "\n")
  static let carriageReturn = UInt8(ascii: "\r")
  static let hash = UInt8(ascii: "#")
  static let quote = UInt8(ascii: "\"")
  static let equals = UInt8(ascii: "=")

  var isBlank: Bool { self == UInt8(ascii: " ") || self == .tab }
  var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
  var isLetter: Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self | 0x20) }
  /// Letters, digits and what people put between them, so that a misspelt key is still seen as one.
  var isNamePart: Bool { isLetter || isDigit || self == UInt8(ascii: "_") || self == UInt8(ascii: "-") }
  var isControl: Bool { self < 0x20 || self == 0x7f }
}

extension ArraySlice<UInt8> {
  var trimmingBlanks: ArraySlice<UInt8> {
    var slice = drop(while: \.isBlank)
    while let last = slice.last, last.isBlank || last == .carriageReturn { slice.removeLast() }
    return slice
  }
}
