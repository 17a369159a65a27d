import Notify
import Response
import Wire

extension Configuration {
  /// Reads a configuration file. Takes any bytes and always gives a configuration; a setting that cannot be used
  /// keeps its default, and a diagnostic says so. With an error among the diagnostics the result is not to be used.
  ///
  /// - Parameters:
  ///   - path: the file's name in the diagnostics.
  ///   - dialect: the dialect to read it in, whatever it looks like.
  ///   - preferring: the dialect where the file does not show its own; without it, the modern one.
  package static func parse(
    _ bytes: [UInt8], path: String, dialect: Dialect? = nil, preferring: Dialect? = nil
  ) -> (Configuration, [Diagnostic]) {
    let file = ConfigurationFile(bytes)
    var reader = ConfigurationReader(dialect: dialect ?? file.dialect ?? preferring ?? .modern, path: path)
    reader.read(file)
    return (reader.configuration, reader.diagnostics.sorted)
  }

  /// What stands in a file: the line that is in force for each key, and its value.
  static func inForce(_ file: ConfigurationFile, dialect: Dialect) -> [ConfigurationKey: (line: Int, value: String)] {
    var reader = ConfigurationReader(dialect: dialect, path: "")
    reader.read(file)
    return reader.settings.mapValues { ($0.line, $0.value) }
  }
}

/// Turns what was written into what it means, in one dialect.
struct ConfigurationReader {
  /// A value in force and where it stands.
  struct Setting {
    var line: Int
    var value: String

    /// Whether it holds nothing but blanks.
    var isEmpty: Bool { value.utf8.allSatisfy(\.isBlank) }
  }

  let dialect: Dialect
  var configuration = Configuration()
  var diagnostics: DiagnosticList
  private(set) var settings: [ConfigurationKey: Setting] = [:]

  init(dialect: Dialect, path: String) {
    self.dialect = dialect
    diagnostics = DiagnosticList(file: path)
    configuration.dialect = dialect
  }

  var isClassic: Bool { dialect == .classic }
  /// How bad something is that 1.2 let pass and 2.x did not.
  var strictness: Diagnostic.Severity { isClassic ? .warning : .error }

  mutating func read(_ file: ConfigurationFile) {
    for junk in file.junk {
      diagnostics.add(
        strictness, junk.line,
        "\(quoted(junk.text)) is neither a comment nor KEY=\"value\"; \(isClassic ? "ignored" : "put a # before it")")
    }
    for entry in file.entries { settle(entry) }
    applyDefaults()
    for key in ConfigurationKey.allCases {
      if let setting = settings[key] { ConfigurationRow.of(key).apply(&self, key, setting) }
    }
    applyImplications()
  }

  // MARK: From lines to values

  /// Decides whether an entry is in force, and says what is odd about it.
  mutating func settle(_ entry: ConfigurationFile.Entry) {
    let name = entry.name
    guard let key = entry.key else {
      diagnostics.add(strictness, entry.line, unknownKey(name))
      return
    }
    guard !entry.isIndented else {
      diagnostics.add(
        strictness, entry.line,
        "\(name) is indented and therefore not used; remove the blanks before it to put it in force")
      return
    }
    guard entry.quoting != .missing else {
      let shown = Substring(quoted(entry.valueWithoutForeignQuotes).utf8.dropFirst().dropLast())
      diagnostics.add(
        strictness, entry.line, "Quotes missing from \(name): write \(name)=\"\(shown)\". Option skipped")
      return
    }
    guard let value = value(of: entry) else { return }
    let setting = Setting(line: entry.line, value: value)
    guard let earlier = settings[key] else {
      settings[key] = setting
      return
    }
    if isClassic {
      diagnostics.add(
        .warning, entry.line,
        "\(name) is already set on line \(earlier.line), which is in force as in 1.2; this one is not")
    } else {
      diagnostics.add(
        .warning, entry.line, "\(name) is already set on line \(earlier.line); this one is in force as in 2.x")
      settings[key] = setting
    }
  }

  func unknownKey(_ name: String) -> String {
    if name == "TCP_MODE" || name == "UDP_MODE" {
      return "\(name) belongs in /etc/default/portsentry and does nothing here"
    }
    let hint = ConfigurationKey.nearest(to: name).map { "; did you mean \($0.rawValue)?" } ?? ""
    return "unknown key \(quoted(name))\(isClassic ? " ignored" : "")\(hint)"
  }

  /// The text of an entry's value, or nil where it cannot be used.
  mutating func value(of entry: ConfigurationFile.Entry) -> String? {
    let name = entry.name
    if !isClassic {
      guard entry.hasEqualsSign else {
        diagnostics.add(.error, entry.line, "= missing after \(name): write \(name)=\"value\"")
        return nil
      }
      guard !entry.hasTextBeforeQuote else {
        diagnostics.add(.error, entry.line, "only blanks may stand between = and the first quote of \(name)")
        return nil
      }
    } else if entry.hasTextBeforeQuote {
      diagnostics.add(
        .warning, entry.line, "what stands before the first quote of \(name) is ignored, as in 1.2")
    }
    if isClassic, entry.hasTabBeforeEquals {
      diagnostics.add(.warning, entry.line, "1.2 did not see \(name) because of the tab after it; it is used here")
    }
    var bytes = entry.value[...]
    // 2.x keeps a tab within a value, 1.2 stops at it.
    if let control = bytes.firstIndex(where: { $0.isControl && (isClassic || $0 != .tab) }) {
      let what = "the value of \(name) holds a control character"
      diagnostics.add(strictness, entry.line, isClassic ? "\(what); it ends there, as in 1.2" : what)
      guard isClassic else { return nil }
      bytes = bytes[..<control]
    }
    if entry.quoting == .unclosed {
      diagnostics.add(
        strictness, entry.line,
        "closing quote of \(name) missing" + (isClassic ? "; the value goes to the end of the line, as in 1.2" : ""))
      guard isClassic else { return nil }
    }
    if bytes.isEmpty, entry.rest.first.map({ $0 != .hash }) ?? false {
      diagnostics.add(
        strictness, entry.line,
        "\(name) has its first quote doubled, so its value is empty and \(quoted(entry.rest)) is ignored;"
          + " write one quote before the value and one after it")
      guard isClassic else { return nil }
    } else if entry.rest.first.map({ $0 != .hash }) ?? false {
      diagnostics.add(
        .warning, entry.line,
        "\(quoted(entry.rest)) after the closing quote of \(name) is ignored; a value cannot contain a quote")
    }
    let text = String(preservingBytes: bytes)
    if isClassic, bytes.contains(where: { $0 >= 0x80 }) {
      diagnostics.add(
        .warning, entry.line, "1.2 ended the value of \(name) at its first letter outside ASCII; it is used whole here")
    }
    return text
  }

  // MARK: From values to settings

  mutating func applyDefaults() {
    if isClassic {
      configuration.ignoreFile = Configuration.defaultIgnoreFile
      configuration.historyFile = Configuration.defaultHistoryFile
      configuration.blockedFile = Configuration.defaultBlockedFile
      for (key, standIn) in [
        (ConfigurationKey.blockedFile, Configuration.defaultBlockedFile),
        (.historyFile, Configuration.defaultHistoryFile), (.ignoreFile, Configuration.defaultIgnoreFile),
      ] where settings[key] == nil {
        diagnostics.add(
          .warning, 0, "\(key.rawValue) is not set; 1.2 would have refused to start, \(standIn) is used here")
      }
    } else {
      // 2.x has neither key; whoever runs an advanced mode on its file gets what we would have shipped.
      configuration.advancedExcludeTCP = Configuration.defaultExcludeTCP
      configuration.advancedExcludeUDP = Configuration.defaultExcludeUDP
    }
    configuration.historyFormat = [dialect]
  }

  /// What follows from several keys together.
  mutating func applyImplications() {
    let response = configuration.response
    for (key, action) in [(ConfigurationKey.blockTCP, response.tcp), (.blockUDP, response.udp)]
    where action == .runCommand && response.killRunCommand == nil {
      diagnostics.add(
        strictness, settings[key]?.line ?? 0,
        "\(key.rawValue)=\"2\" runs KILL_RUN_CMD, which is not set: nothing will be done")
    }
    impliedMethods()
    // Who writes RULE="native" means it whatever the proof.
    if settings[.rule] == nil, configuration.response.proof == .none { configuration.response.rule = .classic }
    if configuration.response.proof == .none, configuration.response.methods.contains(.nftables),
      response.tcp == .block || response.udp == .block
    {
      diagnostics.add(
        .warning, settings[.proof]?.line ?? 0,
        "PROOF=\"none\": one forged packet is enough to have an innocent address blocked")
    }
    if let most = configuration.response.duration, most > configuration.response.longest {
      if let setting = settings[.blockTimeMax] {
        diagnostics.add(
          .warning, setting.line, "BLOCK_TIME_MAX is less than BLOCK_TIME: repeat offenders are blocked no longer")
      }
      configuration.response.longest = most
    }
    if !configuration.recording.keepsJournal, configuration.recording.consoleListen != nil {
      diagnostics.add(
        .error, settings[.consoleListen]?.line ?? 0,
        "CONSOLE_LISTEN serves a page about the journal, and JOURNAL=\"0\" keeps none: set JOURNAL=\"1\"")
    }
    if configuration.fleet.zones > configuration.fleet.quorum {
      diagnostics.add(
        .error, settings[.fleetZones]?.line ?? settings[.fleetQuorum]?.line ?? 0,
        "FLEET_ZONES asks for more zones than FLEET_QUORUM for hosts: each host is of one zone")
    }
  }

  /// The methods that the keys of the predecessors ask for where BLOCK_METHOD names none.
  mutating func impliedMethods() {
    let response = configuration.response
    if settings[.blockMethod] != nil {
      checkMethods()
      return
    }
    guard response.tcp == .block || response.udp == .block else { return }
    var implied: [BlockMethod] = []
    if response.killHostsDeny != nil { implied.append(.hostsDeny) }
    if response.killRoute != nil { implied.append(.command) }
    guard !implied.isEmpty else {
      // Whoever asked for a command of his own ought to know that something else happens.
      for key in [ConfigurationKey.killRoute, .killHostsDeny] {
        guard let setting = settings[key], !setting.isEmpty else { continue }
        diagnostics.add(.warning, setting.line, "with \(key.rawValue) skipped, nftables blocks instead")
      }
      return
    }
    configuration.response.methods = implied
    // The predecessors never took a block back.
    if settings[.blockTime] == nil { configuration.response.duration = nil }
    // And they asked nobody to prove anything.
    if settings[.proof] == nil { configuration.response.proof = .none }
  }

  /// Compares a written BLOCK_METHOD with the keys that go with each method.
  mutating func checkMethods() {
    let methods = configuration.response.methods
    if methods.contains(.command), configuration.response.killRoute == nil {
      diagnostics.add(
        .error, settings[.blockMethod]?.line ?? 0,
        "BLOCK_METHOD names command, which runs KILL_ROUTE, but that is not set")
    }
    if methods.contains(.hostsDeny), configuration.response.killHostsDeny == nil {
      configuration.response.killHostsDeny = "ALL: $TARGET$"
    }
    for (key, method) in [(ConfigurationKey.killRoute, BlockMethod.command), (.killHostsDeny, .hostsDeny)]
    where !methods.contains(method) {
      guard let setting = settings[key], !setting.isEmpty else { continue }
      diagnostics.add(
        .warning, setting.line, "\(key.rawValue) is not used, because BLOCK_METHOD does not name \(method.rawValue)")
    }
  }
}
