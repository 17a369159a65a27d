import Detection
import Wire

/// The file that says in which mode each protocol is watched: Debian's /etc/default/portsentry, Gentoo's
/// /etc/conf.d/portsentry.
package enum DefaultsFile {
  /// Reads `TCP_MODE` and `UDP_MODE`, or `PORTSENTRY_MODES="atcp audp"`.
  ///
  /// The file is written for a shell, so quotes are optional, `export` may stand in front, `;` separates, a `#` at the
  /// start of a word begins a comment, and the last assignment wins. It is never run: `$` and `` ` `` mean nothing.
  ///
  /// - Returns: each protocol's mode, nil where its line is missing or empty, which switches it off.
  package static func parse(_ bytes: [UInt8], path: String) -> (tcp: Mode?, udp: Mode?, [Diagnostic]) {
    var tcp: Mode?
    var udp: Mode?
    var diagnostics = DiagnosticList(file: path)
    for (index, bytes) in lines(of: bytes).enumerated() {
      let line = index + 1
      for assignment in assignments(in: bytes) {
        let words = assignment.value.split(whereSeparator: { $0.isBlank || $0 == UInt8(ascii: ",") })
        if assignment.hasBlanks {
          diagnostics.add(
            .warning, line, "a shell does not accept the blanks around = after \(assignment.name); it is used here")
        }
        switch assignment.name {
        case "TCP_MODE": tcp = mode(words, .tcp, assignment, line, &diagnostics)
        case "UDP_MODE": udp = mode(words, .udp, assignment, line, &diagnostics)
        case "PORTSENTRY_MODES":
          tcp = nil
          udp = nil
          for word in words {
            let text = String(decoding: word, as: UTF8.self)
            guard let (transport, mode) = names[text] else {
              diagnostics.add(.error, line, unknown(word, for: assignment.name, among: names.keys.sorted()))
              continue
            }
            if (transport == .tcp ? tcp : udp) != nil {
              diagnostics.add(
                .error, line,
                "PORTSENTRY_MODES names two modes for \(transport == .tcp ? "TCP" : "UDP"); only one can run")
              continue
            }
            if transport == .tcp { tcp = mode } else { udp = mode }
          }
        default:
          // Other variables are none of our business, but a misspelt one would leave a protocol off.
          if let meant = nearestName(to: assignment.name, among: ["TCP_MODE", "UDP_MODE", "PORTSENTRY_MODES"]) {
            diagnostics.add(.warning, line, "\(quoted(assignment.name)) ignored; did you mean \(meant)?")
          }
        }
      }
    }
    return (tcp, udp, diagnostics.sorted)
  }

  /// The six modes by their names in PortSentry 1.2.
  private static let names: [String: (TransportProtocol, Mode)] = {
    var result: [String: (TransportProtocol, Mode)] = [:]
    for mode in Mode.allCases {
      for transport in [TransportProtocol.tcp, .udp] { result[mode.classicName(transport)] = (transport, mode) }
    }
    return result
  }()

  private static func mode(
    _ words: [ArraySlice<UInt8>], _ transport: TransportProtocol, _ assignment: Assignment, _ line: Int,
    _ diagnostics: inout DiagnosticList
  ) -> Mode? {
    guard let word = words.first else { return nil }
    let accepted = Mode.allCases.map { $0.classicName(transport) }
    if words.count == 1, let (found, mode) = names[String(decoding: word, as: UTF8.self)], found == transport {
      return mode
    }
    let value = words.count == 1 ? word : assignment.value[...]
    diagnostics.add(.error, line, unknown(value, for: assignment.name, among: accepted))
    return nil
  }

  private static func unknown(_ value: ArraySlice<UInt8>, for name: String, among accepted: [String]) -> String {
    let hint = nearestName(to: String(decoding: value, as: UTF8.self), among: accepted).map { "; did you mean \($0)?" }
    return
      "\(name): \(quoted(value)) is no mode; use \(accepted.joined(separator: ", ")) or nothing for off\(hint ?? "")"
  }

  private struct Assignment {
    var name: String
    var value: [UInt8]
    /// Whether blanks stand around the `=`.
    var hasBlanks: Bool
  }

  /// The assignments on one line. Words that are none (`export`, commands) are passed over.
  private static func assignments(in line: ArraySlice<UInt8>) -> [Assignment] {
    var result: [Assignment] = []
    var rest = line.trimmingBlanks
    while let first = rest.first, first != .hash {
      let name = rest.prefix(while: \.isNamePart)
      var tail = rest[name.endIndex...]
      let hasBlanks = tail.first?.isBlank == true
      tail = tail.drop(while: \.isBlank)
      guard !name.isEmpty, tail.first == .equals else {
        // Not an assignment: on to the next word, and by one byte at least.
        let skipped = max(name.count, 1)
        rest = rest.dropFirst(skipped).drop { $0.isBlank || $0 == UInt8(ascii: ";") }
        continue
      }
      tail.removeFirst()
      let value = tail.drop(while: \.isBlank)
      let hasBlankBehind = value.startIndex != tail.startIndex && value.first != nil && value.first != .hash
      let (word, end) = shellWord(value)
      result.append(
        Assignment(
          name: String(decoding: name, as: UTF8.self), value: word, hasBlanks: hasBlanks || hasBlankBehind))
      rest = end.drop { $0.isBlank || $0 == UInt8(ascii: ";") }
    }
    return result
  }

  /// One word as a shell would read it, and what follows it. A quote that is not closed goes to the end of the line.
  private static func shellWord(_ text: ArraySlice<UInt8>) -> ([UInt8], ArraySlice<UInt8>) {
    var word: [UInt8] = []
    var open: UInt8?
    var index = text.startIndex
    if text.first == .hash { return ([], text) }
    while index < text.endIndex {
      let byte = text[index]
      if let quote = open {
        if byte == quote { open = nil } else { word.append(byte) }
      } else if byte == .quote || byte == UInt8(ascii: "'") {
        open = byte
      } else if byte.isBlank || byte == UInt8(ascii: ";") {
        break
      } else {
        word.append(byte)
      }
      index += 1
    }
    return (word, text[index...])
  }
}
