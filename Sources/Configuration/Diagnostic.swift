/// Something worth telling the administrator about one of our files.
package struct Diagnostic: Sendable, Equatable {
  package enum Severity: String, Sendable {
    /// The setting is used, or skipped as a predecessor would have done; the sentry may run.
    case warning
    /// The setting is not used; `check` fails and a reload keeps the old settings.
    case error
  }

  package var severity: Severity
  package var file: String
  /// The line, from 1; 0 where the whole file is meant.
  package var line: Int
  /// What was found, what was expected, and the way out. One line, safe to print.
  package var message: String

  package init(severity: Severity, file: String, line: Int, message: String) {
    self.severity = severity
    self.file = file
    self.line = line
    self.message = message
  }
}

extension Diagnostic: CustomStringConvertible {
  /// `file:line: error: what`, or `file: error: what` for the whole file.
  package var description: String {
    "\(file)\(line > 0 ? ":\(line)" : ""): \(severity.rawValue): \(message)"
  }
}

/// Collects the diagnostics of one file.
struct DiagnosticList {
  /// The largest number kept. A binary file given by mistake would yield one for each line; the rest are counted.
  static let capacity = 200

  let file: String
  private var kept: [Diagnostic] = []
  private var dropped = 0
  private var droppedAnError = false

  init(file: String) { self.file = file }

  mutating func add(_ severity: Diagnostic.Severity, _ line: Int, _ message: String) {
    guard kept.count < Self.capacity else {
      dropped += 1
      droppedAnError = droppedAnError || severity == .error
      return
    }
    kept.append(Diagnostic(severity: severity, file: file, line: line, message: message))
  }

  /// All of them in the order of their lines; those on one line in the order they were added.
  var sorted: [Diagnostic] {
    var result = kept.enumerated().sorted { ($0.element.line, $0.offset) < ($1.element.line, $1.offset) }.map(\.element)
    if dropped > 0 {
      result.append(
        Diagnostic(
          severity: droppedAnError ? .error : .warning, file: file, line: 0,
          message: "and \(dropped) more of these: is this the right file?"))
    }
    return result
  }
}

/// Text of a file between quotes for a message: short, on one line, and with nothing in it that a terminal obeys.
func quoted(_ text: some StringProtocol, limit: Int = 60) -> String {
  var result = ""
  var count = 0
  for scalar in text.unicodeScalars {
    if count == limit { return "'\(result)...'" }
    count += 1
    if scalar.isPreservedByte {
      result += "\\x" + String(scalar.value & 0xff, radix: 16)
      continue
    }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .unassigned, .privateUse, .surrogate:
      result += "\\u{\(String(scalar.value, radix: 16))}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return "'\(result)'"
}

func quoted(_ bytes: some Collection<UInt8>) -> String {
  // Four bytes are the longest scalar, and one more shows that something was left out.
  quoted(String(preservingBytes: bytes.prefix(244)))
}
