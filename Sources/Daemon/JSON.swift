import Wire

/// A JSON value (RFC 8259), for `--json`. Objects keep the order they were written in.
enum JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral {
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

  init(stringLiteral value: String) { self = .string(value) }
  init(integerLiteral value: Int64) { self = .number(value) }
  init(booleanLiteral value: Bool) { self = .bool(value) }
  init(_ value: UInt64) { self = .number(Int64(clamping: value)) }
  init(_ value: Int) { self = .number(Int64(value)) }
  init(_ value: String?) { self = value.map(JSON.string) ?? .null }

  static func object(_ members: KeyValuePairs<String, JSON>) -> JSON { .members(members.map { ($0.key, $0.value) }) }

  /// The value on one line.
  var text: String {
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
      // Controls, DEL and C1: a terminal that shows the file must not obey them.
      case _ where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value):
        let hex = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
