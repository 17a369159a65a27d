import Platform
import Wire

/// Where text goes: how many columns there are, and whether colours are shown.
package struct TextLayout: Sendable {
  /// nil: lines are as long as they are, as programs want them.
  package let width: Int?
  package let isColoured: Bool

  package init(width: Int? = nil, isColoured: Bool = false) {
    self.width = width.map { max($0, 40) }
    self.isColoured = isColoured
  }

  /// Standard output.
  package static var console: TextLayout { TextLayout(width: Console.width, isColoured: Console.isColoured) }

  /// What a piece of text says of the state of things.
  package enum Tone: Sendable {
    case plain, good, warning, bad

    fileprivate var code: String? {
      switch self {
      case .plain: nil
      case .good: "32"
      case .warning: "33"
      case .bad: "1;31"
      }
    }
  }

  package func tinted(_ text: String, _ tone: Tone) -> String {
    guard isColoured, let code = tone.code else { return text }
    return "\u{1b}[\(code)m\(text)\u{1b}[0m"
  }

  /// A text of rows in which no line is longer than the terminal. A longer one goes on below its last column where that begins in the left half,
  /// else two columns further in than it began.
  package func folded(_ text: String) -> String {
    guard let width else { return text }
    return text.splitBytes("\n", omittingEmptySubsequences: false).map { row in
      let row = Array(row.unicodeScalars)
      guard row.count > width, let start = row.firstIndex(where: { !Self.isBlank($0) }) else {
        return Self.string(row[...])
      }
      // Columns are two blanks apart.
      let column = row.indices.prefix(width / 2 + 1).last {
        $0 > max(start, 1) && !Self.isBlank(row[$0]) && Self.isBlank(row[$0 - 1]) && Self.isBlank(row[$0 - 2])
      }
      let indent = column ?? start + 2
      let rest = lines(Self.string(row[(column ?? start)...]), taken: indent)
      let blanks = String(repeating: " ", count: indent)
      return Self.string(row[..<(column ?? start)]) + rest.joined(separator: "\n" + blanks)
    }.joined(separator: "\n")
  }

  private static func isComma(_ scalar: Unicode.Scalar) -> Bool { scalar == "," }
  private static func isBlank(_ scalar: Unicode.Scalar) -> Bool { scalar == " " }

  private static func string(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
    String(String.UnicodeScalarView(scalars))
  }

  /// Lines of a text, broken at blanks; a word that is longer than a line is broken behind a comma, or where the line ends.
  ///
  /// - Parameter taken: columns that an indent takes.
  package func lines(_ text: String, taken: Int) -> [String] {
    guard let width else { return [text] }
    let room = max(width - taken, 20)
    var result: [[Unicode.Scalar]] = [[]]
    for part in text.splitBytes(" ", omittingEmptySubsequences: false) {
      var word = Array(part.unicodeScalars)[...]
      if !result[result.count - 1].isEmpty {
        if result[result.count - 1].count + 1 + word.count <= room {
          result[result.count - 1].append(" ")
        } else {
          result.append([])
        }
      }
      while word.count > room {
        let part = word.prefix(
          word.prefix(room).lastIndex(where: Self.isComma).map { $0 + 1 - word.startIndex } ?? room)
        result[result.count - 1] += part
        result.append([])
        word = word.dropFirst(part.count)
      }
      result[result.count - 1] += word
    }
    return result.map { Self.string($0[...]) }
  }
}
