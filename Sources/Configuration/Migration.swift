import Response
import Wire

/// A configuration of 1.2 or 2.x and its native form, line by line.
///
/// The native form watches, ignores and writes what the old file does, in the same dialect. What it changes is how a source is shut
/// out: by a method of our own where the old command is one we know, of verified scanners only, and for a time.
package struct Migration: Sendable, Equatable {
  /// A line of the old file, and what becomes of it.
  package struct Row: Sendable, Equatable {
    /// nil for what is new.
    package let line: Int?
    package let old: String
    /// Comments and settings as they are written.
    package let new: [String]
  }

  package let dialect: Dialect
  package private(set) var rows: [Row] = []
  /// What is wrong with the old file.
  package let diagnostics: [Diagnostic]

  private let configuration: Configuration
  /// Whether the file names its methods itself: then its commands are what they are.
  private let namesMethods: Bool

  /// - Parameters:
  ///   - path: the old file's name, for diagnostics and the head of the new one.
  ///   - dialect: the dialect to read it in, whatever it looks like.
  package init(_ bytes: [UInt8], path: String, dialect: Dialect? = nil) {
    let file = ConfigurationFile(bytes)
    (configuration, diagnostics) = Configuration.parse(bytes, path: path, dialect: dialect)
    self.dialect = configuration.dialect
    let inForce = Configuration.inForce(file, dialect: configuration.dialect)
    namesMethods = inForce[.blockMethod] != nil
    var lines: [(line: Int, row: Row)] = file.junk.map {
      (
        $0.line,
        Row(line: $0.line, old: String(preservingBytes: $0.text), new: ["# left out: neither a comment nor a setting"])
      )
    }
    for entry in file.entries {
      let old = "\(entry.name)=\"\(String(preservingBytes: entry.value))\""
      let new: [String]
      if let key = entry.key, let setting = inForce[key], setting.line == entry.line {
        new = native(key, setting.value)
      } else {
        new = leftOut(entry, inForce)
      }
      lines.append((entry.line, Row(line: entry.line, old: old, new: new)))
    }
    rows = lines.sorted { $0.line < $1.line }.map(\.row)
    rows += additions(Set(inForce.keys)).map { Row(line: nil, old: "", new: $0) }
  }

  /// The native file.
  package func file(from path: String) -> String {
    let head = [
      "# Native form of \(path), written by `portsentry migrate`.",
      "# See portsentry.conf(5), and run `portsentry check -c FILE`.", "",
    ]
    return (head + rows.flatMap(\.new)).map { $0 + "\n" }.joined()
  }

  private func leftOut(
    _ entry: ConfigurationFile.Entry, _ inForce: [ConfigurationKey: (line: Int, value: String)]
  ) -> [String] {
    guard let key = entry.key else { return ["# left out: there is no such key"] }
    if let other = inForce[key] { return ["# left out: line \(other.line) was in force"] }
    // What was meant to be in force can be put there.
    return [
      "# was not in force\(entry.isIndented ? ", because it was indented" : "")",
      "#" + line(key, String(preservingBytes: entry.value)),
    ]
  }

  // MARK: A key

  private func native(_ key: ConfigurationKey, _ value: String) -> [String] {
    switch key {
    case .tcpPorts: return ports(key, value, configuration.tcpPorts)
    case .udpPorts: return ports(key, value, configuration.udpPorts)
    case .advancedExcludeTCP: return ports(key, value, configuration.advancedExcludeTCP)
    case .advancedExcludeUDP: return ports(key, value, configuration.advancedExcludeUDP)
    case .advancedPortsTCP: return [line(key, count(configuration.advancedPortsTCP))]
    case .advancedPortsUDP: return [line(key, count(configuration.advancedPortsUDP))]
    case .scanTrigger: return [line(key, "\(configuration.scanTrigger)")]
    case .resolveHost: return [line(key, configuration.resolveHost ? "1" : "0")]
    case .blockTCP: return [line(key, "\(configuration.response.tcp.rawValue)")]
    case .blockUDP: return [line(key, "\(configuration.response.udp.rawValue)")]
    case .killRunCommandFirst: return [line(key, configuration.response.runCommandFirst ? "1" : "0")]
    case .killRoute where !namesMethods: return route(value)
    case .killHostsDeny where !namesMethods: return hostsDeny(value)
    case .killRunCommand: return command(value)
    default: return value.utf8.allSatisfy(\.isBlank) ? ["# left out: it was empty"] : [line(key, value)]
    }
  }

  private func line(_ key: ConfigurationKey, _ value: String) -> String { "\(key.rawValue)=\"\(value)\"" }

  /// 65535 is all of them.
  private func count(_ number: Int) -> String { "\(min(number, 65535))" }

  /// A list that is in order is kept as it was written.
  private func ports(_ key: ConfigurationKey, _ value: String, _ ports: PortSet) -> [String] {
    let list = PortList(value.utf8)
    if ports.isEmpty { return ["# left out: it names no port"] }
    if list.badItems.isEmpty { return [line(key, value)] }
    return ["# without what was no port", line(key, ports.ports.map(String.init).joined(separator: ","))]
  }

  // MARK: Ways of shutting out

  private var hasOwnMethod: Bool { configuration.response.killRoute.flatMap { CommandTemplate($0).native } != nil }

  private func route(_ value: String) -> [String] {
    guard let text = configuration.response.killRoute else { return ["# left out: it had no effect"] }
    if let method = CommandTemplate(text).native {
      let what =
        switch method {
        case .nftables: "nftables does this, in a table of its own (inet portsentry), for IPv6 too; no command is run"
        default:
          "a blackhole route by netlink does this, for IPv6 too; no command is run. \"nftables\" also refuses what comes in"
        }
      return ["# \(what)", line(.blockMethod, method.rawValue)]
    }
    var lines = [
      "# an unknown command stays as it is, and needs a sentry that runs as root (portsentry-classic.conf)",
      line(.blockMethod, "command"), line(.killRoute, text),
    ]
    if configuration.response.unkillRoute == nil {
      if let undo = CommandTemplate(text).undo {
        lines.append(line(.unkillRoute, undo.text))
      } else {
        lines.append("# without a command that takes it back (UNKILL_ROUTE) such a block never ends")
      }
    }
    return lines
  }

  private func hostsDeny(_ value: String) -> [String] {
    guard let text = configuration.response.killHostsDeny else { return ["# left out: it had no effect"] }
    if hasOwnMethod { return ["# left out: BLOCK_METHOD refuses the source at every service"] }
    if configuration.response.killRoute != nil {
      // The line of KILL_ROUTE names the method of both.
      return ["# add hosts.deny to BLOCK_METHOD to write this line, too", "#" + line(.killHostsDeny, text)]
    }
    return [
      "# only for services that ask TCP wrappers, and needs a sentry that runs as root (portsentry-classic.conf);",
      "# BLOCK_METHOD=\"nftables\" refuses the source at every service", line(.blockMethod, "hosts.deny"),
      line(.killHostsDeny, text),
    ]
  }

  private func command(_ value: String) -> [String] {
    guard let text = configuration.response.killRunCommand else { return ["# left out: it had no effect"] }
    let blocks = CommandTemplate(text).native != nil
    return [
      blocks
        ? "# this command blocks the source: BLOCK_TCP=\"1\" and BLOCK_METHOD=\"nftables\" do that without a command"
        : "# needs a sentry that runs as root (portsentry-classic.conf); NOTIFY sends messages without that",
      line(.killRunCommand, text),
    ]
  }

  // MARK: What is new

  private func additions(_ present: Set<ConfigurationKey>) -> [[String]] {
    var result: [[String]] = []
    func add(_ key: ConfigurationKey, _ value: String, _ comment: String) {
      if !present.contains(key) { result.append(["# \(comment)", line(key, value)]) }
    }
    if dialect == .classic,
      !present.contains(where: { $0.rawValue.startsWithBytes("ADVANCED_") && $0 != .advancedDecoy })
    {
      add(.advancedPortsTCP, count(configuration.advancedPortsTCP), "how many ports mode atcp watches, as before")
    }
    add(.logFormat, "native", "a log for people; \"\(dialect.rawValue)\" keeps the old lines")
    add(.historyFormat, dialect.rawValue, "the history as before")
    add(
      .proof, "handshake",
      "only verified addresses are blocked; \"none\" blocks whatever address is on a packet, as before")
    add(.rule, "native", "several unused ports are a scan, one is not; \"classic\" goes by SCAN_TRIGGER, as before")
    add(.blockTime, "24h", "blocks end; \"forever\" keeps them until unblocked, as before")
    return result
  }

  // MARK: Side by side

  /// Both forms in two columns.
  ///
  /// - Parameter width: of the terminal; at least 60 is used.
  package func sideBySide(width: Int) -> String {
    let column = (max(width, 60) - 3) / 2
    var text = Self.row("PORTSENTRY \(dialect.rawValue)", "NATIVE", column)
    for row in rows {
      let old = row.line.map { "\($0): \(Self.visible(row.old))" } ?? ""
      let left = Self.wrapped(old, column)
      let right = row.new.flatMap { Self.wrapped(Self.visible($0), column) }
      for index in 0..<max(left.count, right.count) {
        text += Self.row(index < left.count ? left[index] : "", index < right.count ? right[index] : "", column)
      }
      text += "\n"
    }
    return text
  }

  private static func visible(_ text: String) -> String {
    let quotes = quoted(text, limit: 20_000)
    return String(quotes.unicodeScalars.dropFirst().dropLast())
  }

  private static func row(_ left: String, _ right: String, _ column: Int) -> String {
    let space = right.isEmpty ? "" : String(repeating: " ", count: max(0, column - left.unicodeScalars.count)) + "   "
    return left + space + right + "\n"
  }

  private static let breaks: Set<UInt32> = [0x20, 0x2c]

  /// Lines of at most `width`, broken after a comma or a blank where there is one in their second half.
  static func wrapped(_ text: String, _ width: Int) -> [String] {
    var rest = Array(text.unicodeScalars)[...]
    var lines: [String] = []
    while rest.count > width {
      let piece = rest.prefix(width)
      let end = piece.lastIndex { Self.breaks.contains($0.value) }.map { $0 + 1 } ?? piece.endIndex
      let cut = end - rest.startIndex > width / 2 ? end : piece.endIndex
      lines.append(trimmed(rest[..<cut]))
      rest = rest[cut...]
    }
    lines.append(trimmed(rest))
    return lines
  }

  private static func trimmed(_ line: ArraySlice<Unicode.Scalar>) -> String {
    var line = line
    while line.last?.value == 0x20 { line.removeLast() }
    return String(String.UnicodeScalarView(line))
  }
}
