import Wire

/// A JSON value (RFC 8259), for `--json` and all else that programs read. Objects keep the order they were written in.
package enum JSON: Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral {
  case null
  case bool(Bool)
  case number(Int64)
  /// A number with three decimal places.
  case decimal(thousandths: Int)
  /// Seconds since 1970, with microseconds.
  case time(Timestamp)
  case string(String)
  case array([JSON])
  case members([(String, JSON)])

  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int64) { self = .number(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(_ value: some BinaryInteger) { self = .number(Int64(clamping: value)) }
  package init(_ value: String?) { self = value.map(JSON.string) ?? .null }

  /// Shares and rates; what is no number is null.
  package static func decimal(_ value: Double) -> JSON {
    value.isFinite && abs(value) < 1e15 ? .decimal(thousandths: Int((value * 1000).rounded())) : .null
  }

  /// A score or a weight, in points: thousandths inside, decimals for programs.
  package static func points(_ thousandths: some BinaryInteger) -> JSON { .decimal(thousandths: Int(thousandths)) }

  package static func object(_ members: KeyValuePairs<String, JSON>) -> JSON {
    .members(members.map { ($0.key, $0.value) })
  }

  /// The value on one line.
  package var text: String {
    switch self {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .number(let value): String(value)
    case .decimal(let value):
      "\(value < 0 ? "-" : "")\(value.magnitude / 1000).\(String(value.magnitude % 1000 + 1000).dropFirst())"
    case .time(let value): Self.seconds(value)
    case .string(let value): Self.quoted(value)
    case .array(let values): "[" + values.map(\.text).joined(separator: ",") + "]"
    case .members(let members):
      "{" + members.map { "\(Self.quoted($0.0)):\($0.1.text)" }.joined(separator: ",") + "}"
    }
  }

  private static func seconds(_ time: Timestamp) -> String {
    let micros = time.nanoseconds.magnitude / 1000
    let digits = String(micros % 1_000_000)
    let sign = time.nanoseconds < 0 && micros > 0 ? "-" : ""
    return "\(sign)\(micros / 1_000_000).\(String(repeating: "0", count: 6 - digits.count))\(digits)"
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      // Controls, DEL and C1, marks that turn the direction of text, line separators: a terminal or an editor that
      // shows the file must not obey them.
      case _ where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) || scalar.isInvisible:
        let hex = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: max(0, 4 - hex.count)) + hex
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

extension Unicode.Scalar {
  /// Has no form of its own but changes how its neighbours look. All of them lie below U+FFFF, but for tags, which no
  /// terminal obeys.
  fileprivate var isInvisible: Bool {
    guard value > 0xff, value < 0x10000 else { return false }
    switch properties.generalCategory {
    case .format, .lineSeparator, .paragraphSeparator: return true
    default: return false
    }
  }
}
