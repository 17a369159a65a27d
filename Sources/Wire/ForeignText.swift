/// Text that a stranger can write, compared and parted by its bytes.
///
/// A `Character` is a whole grapheme cluster: a combining mark joins the slash before it, and "\r\n" is one. Two texts are
/// `==` when they are canonically equivalent: U+037E is a semicolon. So who takes such text apart by characters looks past the
/// separator that the next program sees. The operations of `String` that do so are kept out of the sources by a test.
/// Separators are ASCII, so that every part is whole UTF-8.
extension StringProtocol {
  /// Whether both are the same bytes.
  package func isSameBytes(as other: some StringProtocol) -> Bool { utf8.elementsEqual(other.utf8) }

  package func startsWithBytes(_ prefix: String) -> Bool { utf8.starts(with: prefix.utf8) }

  package func endsWithBytes(_ suffix: String) -> Bool { utf8.reversed().starts(with: suffix.utf8.reversed()) }

  /// Whether `part` stands anywhere in it; it must not be empty.
  package func containsBytes(_ part: String) -> Bool { range(ofBytes: part) != nil }

  /// Where `part` stands first; nil for an empty one.
  package func range(ofBytes part: String, from start: Index? = nil) -> Range<Index>? {
    guard let first = part.utf8.first else { return nil }
    var rest = utf8[(start ?? startIndex)...]
    while let at = rest.firstIndex(of: first) {
      if rest[at...].starts(with: part.utf8) { return at..<utf8.index(at, offsetBy: part.utf8.count) }
      rest = rest[rest.index(after: at)...]
    }
    return nil
  }

  /// The text with every `part` replaced, from the left.
  package func replacingBytes(_ part: String, with other: String) -> String {
    var result: [UInt8] = []
    var start = startIndex
    while let range = range(ofBytes: part, from: start) {
      result += utf8[start..<range.lowerBound]
      result += other.utf8
      start = range.upperBound
    }
    result += utf8[start...]
    return String(decoding: result, as: UTF8.self)
  }

  /// Where an ASCII byte stands first, and last.
  package func firstByte(_ byte: Unicode.Scalar) -> Index? { utf8.firstIndex(of: UInt8(ascii: byte)) }
  package func lastByte(_ byte: Unicode.Scalar) -> Index? {
    var found: Index?
    for index in utf8.indices where utf8[index] == UInt8(ascii: byte) { found = index }
    return found
  }

  /// Parted at ASCII bytes.
  ///
  /// - Parameter maxSplits: at most so many times; the rest stays whole.
  package func splitBytes(
    _ separators: String, maxSplits: Int = .max, omittingEmptySubsequences: Bool = true
  ) -> [SubSequence] {
    var parts: [SubSequence] = []
    var start = startIndex
    var splits = 0
    for index in utf8.indices where splits < maxSplits && separators.utf8.contains(utf8[index]) {
      if index > start || !omittingEmptySubsequences {
        parts.append(self[start..<index])
        splits += 1
      }
      start = utf8.index(after: index)
    }
    if start < endIndex || !omittingEmptySubsequences { parts.append(self[start...]) }
    return parts
  }

  /// Its lines without their ends (LF, CRLF or CR) and without empty ones.
  package var byteLines: [SubSequence] { splitBytes("\n\r") }

  /// With A to Z made small, and nothing else: U+212A (the Kelvin sign) is no k.
  package var asciiLowercased: String {
    String(decoding: utf8.map { (0x41...0x5a).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
  }
}

extension String {
  /// Whether `part` stands anywhere in it; it must not be empty. What is asked of a hundred thousand texts at once.
  package func containsBytes(_ part: String) -> Bool {
    let (text, wanted) = (utf8Span.span, part.utf8Span.span)
    guard !wanted.isEmpty, text.count >= wanted.count else { return false }
    for start in 0...(text.count - wanted.count) where text[start] == wanted[0] {
      var length = 1
      while length < wanted.count, text[start + length] == wanted[length] { length += 1 }
      if length == wanted.count { return true }
    }
    return false
  }
}
