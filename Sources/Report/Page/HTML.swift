import Platform

/// A piece of HTML. Literals stand as they are; whatever is put between them is escaped, unless it is HTML itself.
///
/// Text from outside cannot become markup, and loses whatever would change how its neighbours look: all but printable
/// ASCII becomes `\xNN`, as in the log.
package struct HTML: ExpressibleByStringInterpolation, Sendable, Equatable {
  package private(set) var text: String

  package init() { text = "" }
  @inline(never)
  package init(stringLiteral value: StaticString) { text = value.description }
  package init(stringInterpolation: Parts) { text = stringInterpolation.text }

  package struct Parts: StringInterpolationProtocol {
    fileprivate var text = ""

    package init(literalCapacity: Int, interpolationCount: Int) { text.reserveCapacity(literalCapacity * 2) }
    // Not inlined: there are a thousand places, and none of them is in a hurry.
    @inline(never)
    package mutating func appendLiteral(_ literal: StaticString) { text += literal.description }
    @inline(never)
    package mutating func appendInterpolation(_ html: HTML) { text += html.text }
    @inline(never)
    package mutating func appendInterpolation(_ number: some BinaryInteger) { text += String(number) }
    @inline(never)
    package mutating func appendInterpolation(_ string: String) { text += HTML.escaped(string) }
    /// A coordinate: two digits behind the point at most.
    @inline(never)
    package mutating func appendInterpolation(_ number: Double) { text += HTML.coordinate(number) }
    @inline(never)
    package mutating func appendInterpolation(_ parts: [HTML]) { for part in parts { text += part.text } }
  }

  /// Text as it may stand between tags and in quoted attributes.
  static func escaped(_ string: String) -> String {
    var result = ""
    for byte in SafeText.line(string, limit: 10_000).utf8 {
      switch byte {
      case UInt8(ascii: "<"): result += "&lt;"
      case UInt8(ascii: ">"): result += "&gt;"
      case UInt8(ascii: "&"): result += "&amp;"
      case UInt8(ascii: "\""): result += "&quot;"
      case UInt8(ascii: "'"): result += "&#39;"
      default: result.unicodeScalars.append(Unicode.Scalar(byte))
      }
    }
    return result
  }

  static func coordinate(_ number: Double) -> String {
    guard number.isFinite, abs(number) < 1e9 else { return "0" }
    let hundredths = Int((number * 100).rounded())
    var text = "\(hundredths < 0 ? "-" : "")\(hundredths.magnitude / 100)"
    let rest = hundredths.magnitude % 100
    if rest != 0 {
      text += rest % 10 == 0 ? ".\(rest / 10)" : rest < 10 ? ".0\(rest)" : ".\(rest)"
    }
    return text
  }

  package static func + (a: HTML, b: HTML) -> HTML {
    var result = a
    result.text += b.text
    return result
  }

  package static func += (a: inout HTML, b: HTML) { a.text += b.text }

  package var isEmpty: Bool { text.isEmpty }
}
