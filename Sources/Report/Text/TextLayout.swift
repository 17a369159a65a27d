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

  /// Lines of a text, broken at blanks; a word that is longer than a line is broken where the line ends.
  ///
  /// - Parameter taken: columns that are not to be had: those of an indent.
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
        result[result.count - 1] += word.prefix(room)
        result.append([])
        word = word.dropFirst(room)
      }
      result[result.count - 1] += word
    }
    return result.map { String(String.UnicodeScalarView($0)) }
  }
}
