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
private struct ConfigurationReader {
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

  private var isClassic: Bool { dialect == .classic }
  /// How bad something is that 1.2 let pass and 2.x did not.
  private var strictness: Diagnostic.Severity { isClassic ? .warning : .error }

  mutating func read(_ file: ConfigurationFile) {
    for junk in file.junk {
      diagnostics.add(
        strictness, junk.line,
        "\(quoted(junk.text)) is neither a comment nor KEY=\"value\"; \(isClassic ? "ignored" : "put a # before it")")
    }
    for entry in file.entries { settle(entry) }
    applyDefaults()
    for key in ConfigurationKey.allCases {
      if let setting = settings[key] { apply(key, setting) }
    }
    applyImplications()
  }

  // MARK: From lines to values

  /// Decides whether an entry is in force, and says what is odd about it.
  private mutating func settle(_ entry: ConfigurationFile.Entry) {
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

  private func unknownKey(_ name: String) -> String {
    if name == "TCP_MODE" || name == "UDP_MODE" {
      return "\(name) belongs in /etc/default/portsentry and does nothing here"
    }
    let hint = ConfigurationKey.nearest(to: name).map { "; did you mean \($0.rawValue)?" } ?? ""
    return "unknown key \(quoted(name))\(isClassic ? " ignored" : "")\(hint)"
  }

  /// The text of an entry's value, or nil where it cannot be used.
  private mutating func value(of entry: ConfigurationFile.Entry) -> String? {
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

  private mutating func applyDefaults() {
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

  private mutating func apply(_ key: ConfigurationKey, _ setting: Setting) {
    switch key {
    case .tcpPorts: configuration.tcpPorts = ports(key, setting)
    case .udpPorts: configuration.udpPorts = ports(key, setting)
    case .advancedPortsTCP: configuration.advancedPortsTCP = portCount(key, setting)
    case .advancedPortsUDP: configuration.advancedPortsUDP = portCount(key, setting)
    case .advancedExcludeTCP: configuration.advancedExcludeTCP = ports(key, setting)
    case .advancedExcludeUDP: configuration.advancedExcludeUDP = ports(key, setting)
    case .advancedDecoy: configuration.advancedDecoy = flag(key, setting)
    case .decoyTarpit: configuration.decoyTarpit = flag(key, setting)
    case .scanTrigger: configuration.scanTrigger = trigger(setting)
    case .ruleThreshold: configuration.ruleThreshold = nats(key, setting) ?? configuration.ruleThreshold
    case .ruleSources:
      configuration.ruleSources = number(key, setting, in: 1024...16_777_216) ?? configuration.ruleSources
    case .ignoreFile: configuration.ignoreFile = path(key, setting)
    case .historyFile: configuration.historyFile = path(key, setting)
    case .historyFormat: configuration.historyFormat = historyFormat(setting)
    case .fileSize: configuration.fileSize = fileLimit(key, setting) ?? configuration.fileSize
    case .fileRate: configuration.fileRate = fileLimit(key, setting) ?? configuration.fileRate
    case .blockedFile: configuration.blockedFile = path(key, setting)
    case .resolveHost: configuration.resolveHost = flag(key, setting)
    case .logFormat: configuration.logFormat = logFormat(setting)
    case .logProbes: configuration.logsProbes = strictFlag(key, setting)
    case .logLimit: configuration.logLimit = number(key, setting, in: 0...1_000_000) ?? configuration.logLimit
    case .portBanner: configuration.portBanner = setting.value.isEmpty ? nil : setting.value
    case .blockTCP: configuration.response.tcp = action(key, setting)
    case .blockUDP: configuration.response.udp = action(key, setting)
    case .proof: configuration.response.proof = choice(key, setting) ?? configuration.response.proof
    case .rule: configuration.response.rule = choice(key, setting) ?? configuration.response.rule
    case .doubtTime: configuration.response.doubtTime = doubtTime(setting)
    case .blockMethod: configuration.response.methods = words(key, setting) ?? configuration.response.methods
    case .blockTime: configuration.response.duration = blockTime(setting)
    case .blockTimeMax: configuration.response.longest = longest(setting)
    case .blockMax:
      configuration.response.maximum = number(key, setting, in: 1...1_000_000) ?? configuration.response.maximum
    case .blockRate:
      configuration.response.perMinute = number(key, setting, in: 0...1_000_000) ?? configuration.response.perMinute
    case .blockPrefixIPv6:
      configuration.response.widestPrefix = prefix(setting) ?? configuration.response.widestPrefix
    case .killRoute: configuration.response.killRoute = template(key, setting, needsTarget: true)
    case .unkillRoute: configuration.response.unkillRoute = template(key, setting, needsTarget: true)
    case .killHostsDeny: configuration.response.killHostsDeny = template(key, setting, needsTarget: true)
    case .hostsDenyFile:
      configuration.response.hostsDenyFile = absolutePath(key, setting) ?? configuration.response.hostsDenyFile
    case .killRunCommand: configuration.response.killRunCommand = template(key, setting, needsTarget: false)
    case .killRunCommandFirst: configuration.response.runCommandFirst = flag(key, setting)
    case .commandTimeout:
      configuration.response.commandTimeout =
        time(key, setting, in: 1...3600, "from 1s to 1h, as 30s or 5m") ?? configuration.response.commandTimeout
    case .stateDirectory:
      configuration.stateDirectory = absolutePath(key, setting) ?? configuration.stateDirectory
    case .controlSocket:
      configuration.controlSocket = socketPath(key, setting) ?? configuration.controlSocket
    case .journal: configuration.recording.keepsJournal = strictFlag(key, setting)
    case .journalKeep:
      configuration.recording.keep =
        time(key, setting, in: 86_400...315_360_000, "from 1d to 3650d, as 30d or 12w") ?? configuration.recording.keep
    case .journalSize: configuration.recording.size = journalSize(setting)
    case .eventsFile: configuration.recording.eventsFile = absolutePath(key, setting)
    case .eveFile: configuration.recording.eveFile = absolutePath(key, setting)
    case .metricsFile: configuration.recording.metricsFile = absolutePath(key, setting)
    case .geoIPFile: configuration.recording.geoIPFiles = geoIPFiles(setting)
    case .consoleListen: configuration.recording.consoleListen = consoleListen(setting)
    case .notify: configuration.recording.notify.target = notifyTarget(setting)
    case .notifyEvents:
      configuration.recording.notify.kinds = words(key, setting) ?? configuration.recording.notify.kinds
    case .notifyPerHour:
      configuration.recording.notify.perHour =
        number(key, setting, in: 1...1000) ?? configuration.recording.notify.perHour
    }
  }

  /// What follows from several keys together.
  private mutating func applyImplications() {
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
  }

  /// The methods that the keys of the predecessors ask for where BLOCK_METHOD names none.
  private mutating func impliedMethods() {
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
  private mutating func checkMethods() {
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

  // MARK: Kinds of value

  private mutating func ports(_ key: ConfigurationKey, _ setting: Setting) -> PortSet {
    let list = PortList(setting.value.utf8)
    let ports = list.ports
    var result = ports
    for item in list.badItems {
      guard isClassic else {
        diagnostics.add(
          .error, setting.line,
          "\(key.rawValue): \(item.text) is neither a port from 1 to 65535 nor a range a-b of them")
        continue
      }
      // 1.2 kept the low 16 bits of whatever atoi read.
      let taken = item.asNumber & 0xffff
      let asRead = taken == 0 ? "port 0, which opened a port at random" : "port \(taken)"
      if item.startsWithPort { result.insert(UInt16(taken)) }
      diagnostics.add(
        .warning, setting.line,
        "\(key.rawValue): \(item.text) is neither a port from 1 to 65535 nor a range a-b of them; "
          + (item.startsWithPort ? "as in 1.2, port \(taken) is used" : "skipped (1.2 read it as \(asRead))"))
    }
    if isClassic, list.hasRange {
      diagnostics.add(
        .warning, setting.line, "\(key.rawValue): 1.2 read only the first port of a range; here it means all of them")
    }
    let isExclusion = key == .advancedExcludeTCP || key == .advancedExcludeUDP
    let limit = isExclusion ? 65 : 64
    if isClassic, list.itemCount > limit {
      diagnostics.add(
        .warning, setting.line,
        "\(key.rawValue): 1.2 used the first \(limit) of these \(list.itemCount) items; here all of them count")
    }
    if list.itemCount == 0, !setting.isEmpty {
      diagnostics.add(strictness, setting.line, "\(key.rawValue) names no port")
    }
    return result
  }

  /// ADVANCED_PORTS_TCP, ADVANCED_PORTS_UDP.
  private mutating func portCount(_ key: ConfigurationKey, _ setting: Setting) -> Int {
    let (number, isWhole) = leadingNumber(setting.value.utf8)
    guard isWhole, (0...65536).contains(number) else {
      diagnostics.add(
        strictness, setting.line,
        "\(key.rawValue) must be a number from 0 to 65535, not \(quoted(setting.value))"
          + (isClassic ? "; 1024 is used" : ""))
      return 1024
    }
    // Strictly this leaves out port 65535 alone, which is never what whoever writes it means.
    return number == 65535 ? 65536 : number
  }

  private mutating func trigger(_ setting: Setting) -> Int {
    let (number, isWhole) = leadingNumber(setting.value.utf8)
    guard isWhole, (0...65535).contains(number) else {
      let value = isClassic ? max(0, min(number, 65535)) : 0
      diagnostics.add(
        strictness, setting.line,
        "SCAN_TRIGGER must be a number from 0 to 65535, not \(quoted(setting.value))"
          + (isClassic ? "; \(value) is used" : ""))
      return value
    }
    if isClassic, number > 50 {
      diagnostics.add(
        .warning, setting.line,
        "SCAN_TRIGGER: 1.2 could not count beyond 50 and reacted to the first packet; here \(number) are counted")
    }
    return number
  }

  /// A key that is `"0"` or `"1"`; for 1.2, any number but 0 is on.
  private mutating func flag(_ key: ConfigurationKey, _ setting: Setting) -> Bool {
    let (number, isWhole) = leadingNumber(setting.value.utf8)
    if isWhole, number == 0 || number == 1 { return number == 1 }
    let isOn = isClassic && number != 0
    if !(isClassic && isWhole) {
      diagnostics.add(
        strictness, setting.line,
        "\(key.rawValue) must be 0 or 1, not \(quoted(setting.value))"
          + (isClassic ? "; as in 1.2 that is \(isOn ? "on" : "off")" : ""))
    }
    return isOn
  }

  private mutating func action(_ key: ConfigurationKey, _ setting: Setting) -> BlockAction {
    let (number, isWhole) = leadingNumber(setting.value.utf8)
    let action = BlockAction(rawValue: number)
    if isWhole, let action { return action }
    let used = isClassic ? action ?? .logOnly : .logOnly
    diagnostics.add(
      strictness, setting.line,
      "\(key.rawValue) must be 0 (log only), 1 (block) or 2 (run KILL_RUN_CMD), not \(quoted(setting.value))"
        + (isClassic ? "; as in 1.2 that is \(used.rawValue)" : ""))
    return used
  }

  /// A path that a predecessor took as it stood.
  private mutating func path(_ key: ConfigurationKey, _ setting: Setting) -> String? {
    // 2.x's manual asks for this, although its parser refuses it.
    guard !setting.isEmpty, isText(key, setting) else { return nil }
    if !setting.value.startsWithBytes("/") {
      diagnostics.add(
        .warning, setting.line,
        "\(key.rawValue): \(quoted(setting.value)) depends on the directory we are started in; write it with a leading /"
      )
    }
    return setting.value
  }

  /// Whether a path is UTF-8: names of files are shown and compared as text here.
  private mutating func isText(_ key: ConfigurationKey, _ setting: Setting) -> Bool {
    guard setting.value.holdsPreservedBytes else { return true }
    diagnostics.add(
      strictness, setting.line,
      "\(key.rawValue): \(quoted(setting.value)) is not UTF-8; give the file a name in ASCII or UTF-8. Option skipped")
    return false
  }

  private mutating func absolutePath(_ key: ConfigurationKey, _ setting: Setting) -> String? {
    guard isText(key, setting) else { return nil }
    guard setting.value.startsWithBytes("/") else {
      diagnostics.add(.error, setting.line, "\(key.rawValue) must begin with /, unlike \(quoted(setting.value))")
      return nil
    }
    return setting.value
  }

  private mutating func socketPath(_ key: ConfigurationKey, _ setting: Setting) -> String? {
    guard let path = absolutePath(key, setting) else { return nil }
    // sun_path has 108 bytes with its final NUL, unix(7).
    guard path.utf8.count <= 107 else {
      diagnostics.add(
        .error, setting.line, "\(key.rawValue) has \(path.utf8.count) bytes; a socket's path has at most 107")
      return nil
    }
    return path
  }

  /// A command or a line with tokens.
  private mutating func template(_ key: ConfigurationKey, _ setting: Setting, needsTarget: Bool) -> String? {
    guard !setting.isEmpty else { return nil }
    guard !needsTarget || setting.value.containsBytes("$TARGET$") else {
      diagnostics.add(
        .warning, setting.line,
        "\(key.rawValue) does not contain $TARGET$, so it cannot name the source, and is skipped")
      return nil
    }
    return setting.value
  }

  private mutating func number(_ key: ConfigurationKey, _ setting: Setting, in range: ClosedRange<Int>) -> Int? {
    let (number, isWhole) = leadingNumber(setting.value.utf8)
    guard isWhole, range.contains(number) else {
      diagnostics.add(
        .error, setting.line,
        "\(key.rawValue) must be a number from \(range.lowerBound) to \(range.upperBound), not \(quoted(setting.value))"
      )
      return nil
    }
    return number
  }

  /// A decimal number from 0.5 to 50, in thousandths.
  private mutating func nats(_ key: ConfigurationKey, _ setting: Setting) -> Int32? {
    if let value = Double(setting.value), (0.5...50).contains(value), !setting.value.utf8.contains(where: \.isLetter) {
      return Int32((value * 1000).rounded())
    }
    diagnostics.add(
      .error, setting.line, "\(key.rawValue) must be a number from 0.5 to 50, not \(quoted(setting.value))")
    return nil
  }

  /// BLOCK_TIME; nil is for ever.
  private mutating func blockTime(_ setting: Setting) -> Duration? {
    let value = setting.value.asciiLowercased
    if value == "0" || value == "forever" { return nil }
    // Ten years: further than any clock we count on, and "forever" is there for more.
    guard let seconds = seconds(value.utf8), (1...315_360_000).contains(seconds) else {
      diagnostics.add(
        .error, setting.line,
        "BLOCK_TIME must be a number with s, m, h, d or w (30m, 24h, 7d; at most 3650d), or forever,"
          + " not \(quoted(setting.value))")
      return configuration.response.duration
    }
    return .seconds(seconds)
  }

  /// DOUBT_TIME; nil is never.
  private mutating func doubtTime(_ setting: Setting) -> Duration? {
    guard let seconds = seconds(setting.value.asciiLowercased.utf8), (0...3600).contains(seconds) else {
      diagnostics.add(
        .error, setting.line, "DOUBT_TIME must be from 1s to 1h, or 0 for never, not \(quoted(setting.value))")
      return configuration.response.doubtTime
    }
    return seconds == 0 ? nil : .seconds(seconds)
  }

  /// BLOCK_PREFIX_IPV6.
  private mutating func prefix(_ setting: Setting) -> Int? {
    if let length = Int(setting.value), length == 128 || Aggregation.steps.contains(where: { $0.length == length }) {
      return length
    }
    diagnostics.add(
      .error, setting.line, "BLOCK_PREFIX_IPV6 must be 64, 56, 48, or 128 for none, not \(quoted(setting.value))")
    return nil
  }

  private mutating func longest(_ setting: Setting) -> Duration {
    guard let seconds = seconds(setting.value.asciiLowercased.utf8), (1...315_360_000).contains(seconds) else {
      diagnostics.add(
        .error, setting.line,
        "BLOCK_TIME_MAX must be a number with s, m, h, d or w (30d; at most 3650d), not \(quoted(setting.value))")
      return configuration.response.longest
    }
    return .seconds(seconds)
  }

  /// One of a few words.
  private mutating func choice<Choice: RawRepresentable<String> & CaseIterable>(
    _ key: ConfigurationKey, _ setting: Setting
  ) -> Choice? {
    if let choice = Choice(rawValue: setting.value.asciiLowercased) { return choice }
    let words = Choice.allCases.map(\.rawValue)
    diagnostics.add(
      .error, setting.line, "\(key.rawValue) must be \(words.joined(separator: " or ")), not \(quoted(setting.value))")
    return nil
  }

  private mutating func time(
    _ key: ConfigurationKey, _ setting: Setting, in range: ClosedRange<Int>, _ words: String
  ) -> Duration? {
    if let seconds = seconds(setting.value.asciiLowercased.utf8), range.contains(seconds) { return .seconds(seconds) }
    diagnostics.add(.error, setting.line, "\(key.rawValue) must be \(words), not \(quoted(setting.value))")
    return nil
  }

  /// A key of ours that is `"0"` or `"1"`, whatever the dialect.
  private mutating func strictFlag(_ key: ConfigurationKey, _ setting: Setting) -> Bool {
    switch setting.value {
    case "0": return false
    case "1": return true
    default:
      diagnostics.add(.error, setting.line, "\(key.rawValue) must be 0 or 1, not \(quoted(setting.value))")
      return false
    }
  }

  /// FILE_SIZE, FILE_RATE: a number with K, M or G, or 0.
  private mutating func fileLimit(_ key: ConfigurationKey, _ setting: Setting) -> Int? {
    if setting.value.isSameBytes(as: "0") { return 0 }
    var digits = Array(setting.value.utf8)[...].trimmingBlanks
    let units: [UInt8: Int] = [UInt8(ascii: "K"): 1 << 10, UInt8(ascii: "M"): 1 << 20, UInt8(ascii: "G"): 1 << 30]
    let unit = digits.last.flatMap { units[$0 & ~0x20] }
    if unit != nil { digits.removeLast() }
    let (number, isWhole) = leadingNumber(digits)
    guard isWhole, digits.first?.isDigit == true, let unit, (1...1_048_576).contains(number), number * unit >= 65_536
    else {
      diagnostics.add(
        .error, setting.line,
        "\(key.rawValue) must be 64K or more, as 512K or 64M, or 0 for no limit, not \(quoted(setting.value))")
      return nil
    }
    return number * unit
  }

  private mutating func journalSize(_ setting: Setting) -> Int {
    var digits = Array(setting.value.utf8)[...].trimmingBlanks
    let units: [UInt8: Int] = [UInt8(ascii: "M"): 1 << 20, UInt8(ascii: "G"): 1 << 30]
    let unit = digits.last.flatMap { units[$0 & ~0x20] }
    if unit != nil { digits.removeLast() }
    let (number, isWhole) = leadingNumber(digits)
    guard isWhole, digits.first?.isDigit == true, let unit, (1...1_048_576).contains(number),
      (16 << 20...1 << 40).contains(number * unit)
    else {
      diagnostics.add(
        .error, setting.line,
        "JOURNAL_SIZE must be from 16M to 1024G, as 512M or 2G, not \(quoted(setting.value))")
      return configuration.recording.size
    }
    return number * unit
  }

  private mutating func geoIPFiles(_ setting: Setting) -> [String] {
    let paths = setting.value.splitBytes(",").map {
      String(decoding: Array($0.utf8)[...].trimmingBlanks, as: UTF8.self)
    }
    for path in paths where !path.startsWithBytes("/") {
      diagnostics.add(.error, setting.line, "GEOIP_FILE must name files that begin with /, unlike \(quoted(path))")
    }
    return paths.filter { $0.startsWithBytes("/") }
  }

  private mutating func consoleListen(_ setting: Setting) -> ListenAddress? {
    guard !setting.isEmpty else { return nil }
    do throws(ListenAddress.Fault) { return try ListenAddress(setting.value) } catch {
      switch error {
      case .form:
        diagnostics.add(
          .error, setting.line,
          "CONSOLE_LISTEN must be a loopback address with a port, as 127.0.0.1:8087 or [::1]:8087, or the path of a socket,"
            + " not \(quoted(setting.value))")
      case .notLoopback(let address):
        diagnostics.add(
          .error, setting.line,
          "CONSOLE_LISTEN: \(address) can be reached from outside, and the page is for this host only; use 127.0.0.1 or [::1],"
            + " and come in by `ssh -L` or through a web server with TLS")
      case .pathTooLong(let count):
        diagnostics.add(
          .error, setting.line, "CONSOLE_LISTEN has \(count) bytes; a socket's path has at most 107")
      }
      return nil
    }
  }

  /// What is wrong with it is said without its words: one of them may be a secret.
  private mutating func notifyTarget(_ setting: Setting) -> NotifyTarget? {
    guard !setting.isEmpty else { return nil }
    do throws(NotifyTarget.Fault) {
      let target = try NotifyTarget(setting.value)
      if target.isUnencrypted {
        diagnostics.add(.warning, setting.line, "NOTIFY: messages and secrets are sent unencrypted; use https://")
      }
      return target
    } catch {
      diagnostics.add(.error, setting.line, "NOTIFY: \(error.text)")
      return nil
    }
  }

  private mutating func historyFormat(_ setting: Setting) -> [Dialect] {
    if setting.value == "both" { return [.classic, .modern] }
    if let dialect = Dialect(rawValue: setting.value) { return [dialect] }
    diagnostics.add(.error, setting.line, "HISTORY_FORMAT must be 1.2, 2 or both, not \(quoted(setting.value))")
    return [dialect]
  }

  private mutating func logFormat(_ setting: Setting) -> LogDialect? {
    if let format = LogDialect(rawValue: setting.value) { return format }
    diagnostics.add(.error, setting.line, "LOG_FORMAT must be native, 1.2 or 2, not \(quoted(setting.value))")
    return nil
  }

  /// Some of a few words; nil where one of them is none, or there is none.
  private mutating func words<Choice: RawRepresentable<String> & CaseIterable & Equatable>(
    _ key: ConfigurationKey, _ setting: Setting
  ) -> [Choice]? {
    var result: [Choice] = []
    let names = Choice.allCases.map(\.rawValue)
    for word in setting.value.splitBytes(", \t") {
      if let choice = Choice(rawValue: word.asciiLowercased) {
        if !result.contains(choice) { result.append(choice) }
      } else {
        let hint = nearestName(to: String(word), among: names).map { "; did you mean \($0)?" } ?? ""
        diagnostics.add(
          .error, setting.line,
          "\(key.rawValue): \(quoted(word)) is none of \(names.joined(separator: ", "))\(hint)")
      }
    }
    if setting.isEmpty || setting.value.splitBytes(", \t").isEmpty {
      diagnostics.add(.error, setting.line, "\(key.rawValue) must name some of \(names.joined(separator: ", "))")
    }
    return result.isEmpty ? nil : result
  }
}

/// Reads `90`, `90s`, `30m`, `24h`, `7d`, `2w` as seconds.
private func seconds(_ text: some Collection<UInt8>) -> Int? {
  var digits = Array(text)[...].trimmingBlanks
  let units: [UInt8: Int] = [
    UInt8(ascii: "s"): 1, UInt8(ascii: "m"): 60, UInt8(ascii: "h"): 3600, UInt8(ascii: "d"): 86_400,
    UInt8(ascii: "w"): 604_800,
  ]
  var unit = 1
  if let last = digits.last, let factor = units[last] {
    unit = factor
    digits.removeLast()
  }
  let (number, isWhole) = leadingNumber(digits)
  guard isWhole, digits.first?.isDigit == true else { return nil }
  return number * unit
}
