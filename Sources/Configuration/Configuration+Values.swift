import CrowdSec
import Detection
import Notify
import Platform
import Response
import Wire

/// The kinds of value, and what is said of one that is none.
extension ConfigurationReader {
  mutating func ports(_ key: ConfigurationKey, _ setting: Setting) -> PortSet {
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
  mutating func portCount(_ key: ConfigurationKey, _ setting: Setting) -> Int {
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

  mutating func trigger(_ setting: Setting) -> Int {
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
  mutating func flag(_ key: ConfigurationKey, _ setting: Setting) -> Bool {
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

  mutating func action(_ key: ConfigurationKey, _ setting: Setting) -> BlockAction {
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
  mutating func path(_ key: ConfigurationKey, _ setting: Setting) -> String? {
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
  mutating func isText(_ key: ConfigurationKey, _ setting: Setting) -> Bool {
    guard setting.value.holdsPreservedBytes else { return true }
    diagnostics.add(
      strictness, setting.line,
      "\(key.rawValue): \(quoted(setting.value)) is not UTF-8; give the file a name in ASCII or UTF-8. Option skipped")
    return false
  }

  mutating func absolutePath(_ key: ConfigurationKey, _ setting: Setting) -> String? {
    guard isText(key, setting) else { return nil }
    guard setting.value.startsWithBytes("/") else {
      diagnostics.add(.error, setting.line, "\(key.rawValue) must begin with /, unlike \(quoted(setting.value))")
      return nil
    }
    return setting.value
  }

  mutating func socketPath(_ key: ConfigurationKey, _ setting: Setting) -> String? {
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
  mutating func template(_ key: ConfigurationKey, _ setting: Setting, needsTarget: Bool) -> String? {
    guard !setting.isEmpty else { return nil }
    guard !needsTarget || setting.value.containsBytes("$TARGET$") else {
      diagnostics.add(
        .warning, setting.line,
        "\(key.rawValue) does not contain $TARGET$, so it cannot name the source, and is skipped")
      return nil
    }
    return setting.value
  }

  mutating func number(_ key: ConfigurationKey, _ setting: Setting, in range: ClosedRange<Int>) -> Int? {
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
  mutating func nats(_ key: ConfigurationKey, _ setting: Setting) -> Int32? {
    if let value = Double(setting.value), (0.5...50).contains(value), !setting.value.utf8.contains(where: \.isLetter) {
      return Int32((value * 1000).rounded())
    }
    diagnostics.add(
      .error, setting.line, "\(key.rawValue) must be a number from 0.5 to 50, not \(quoted(setting.value))")
    return nil
  }

  /// BLOCK_TIME; nil is for ever.
  mutating func blockTime(_ setting: Setting) -> Duration? {
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
  mutating func doubtTime(_ setting: Setting) -> Duration? {
    guard let seconds = seconds(setting.value.asciiLowercased.utf8), (0...3600).contains(seconds) else {
      diagnostics.add(
        .error, setting.line, "DOUBT_TIME must be from 1s to 1h, or 0 for never, not \(quoted(setting.value))")
      return configuration.response.doubtTime
    }
    return seconds == 0 ? nil : .seconds(seconds)
  }

  /// BLOCK_PREFIX_IPV6.
  mutating func prefix(_ setting: Setting) -> Int? {
    if let length = Int(setting.value), length == 128 || Aggregation.steps.contains(where: { $0.length == length }) {
      return length
    }
    diagnostics.add(
      .error, setting.line, "BLOCK_PREFIX_IPV6 must be 64, 56, 48, or 128 for none, not \(quoted(setting.value))")
    return nil
  }

  mutating func longest(_ setting: Setting) -> Duration {
    guard let seconds = seconds(setting.value.asciiLowercased.utf8), (1...315_360_000).contains(seconds) else {
      diagnostics.add(
        .error, setting.line,
        "BLOCK_TIME_MAX must be a number with s, m, h, d or w (30d; at most 3650d), not \(quoted(setting.value))")
      return configuration.response.longest
    }
    return .seconds(seconds)
  }

  /// One of a few words.
  mutating func choice<Choice: RawRepresentable<String> & CaseIterable>(
    _ key: ConfigurationKey, _ setting: Setting
  ) -> Choice? {
    if let choice = Choice(rawValue: setting.value.asciiLowercased) { return choice }
    let words = Choice.allCases.map(\.rawValue)
    diagnostics.add(
      .error, setting.line, "\(key.rawValue) must be \(words.joined(separator: " or ")), not \(quoted(setting.value))")
    return nil
  }

  mutating func time(
    _ key: ConfigurationKey, _ setting: Setting, in range: ClosedRange<Int>, _ words: String
  ) -> Duration? {
    if let seconds = seconds(setting.value.asciiLowercased.utf8), range.contains(seconds) { return .seconds(seconds) }
    diagnostics.add(.error, setting.line, "\(key.rawValue) must be \(words), not \(quoted(setting.value))")
    return nil
  }

  /// A key of ours that is `"0"` or `"1"`, whatever the dialect.
  mutating func strictFlag(_ key: ConfigurationKey, _ setting: Setting) -> Bool {
    switch setting.value {
    case "0": return false
    case "1": return true
    default:
      diagnostics.add(.error, setting.line, "\(key.rawValue) must be 0 or 1, not \(quoted(setting.value))")
      return false
    }
  }

  /// FILE_SIZE, FILE_RATE: a number with K, M or G, or 0.
  mutating func fileLimit(_ key: ConfigurationKey, _ setting: Setting) -> Int? {
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

  mutating func journalSize(_ setting: Setting) -> Int {
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

  mutating func geoIPFiles(_ setting: Setting) -> [String] {
    let paths = setting.value.splitBytes(",").map {
      String(decoding: Array($0.utf8)[...].trimmingBlanks, as: UTF8.self)
    }
    for path in paths where !path.startsWithBytes("/") {
      diagnostics.add(.error, setting.line, "GEOIP_FILE must name files that begin with /, unlike \(quoted(path))")
    }
    return paths.filter { $0.startsWithBytes("/") }
  }

  mutating func consoleListen(_ setting: Setting) -> ListenAddress? {
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
  mutating func notifyTarget(_ setting: Setting) -> NotifyTarget? {
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

  mutating func crowdSecURL(_ setting: Setting) -> String? {
    guard !setting.isEmpty else { return nil }
    guard CrowdSecSettings.isURL(setting.value) else {
      diagnostics.add(
        .error, setting.line,
        "CROWDSEC_URL must be http:// or https://, a host and a port, as \(CrowdSecSettings.defaultURL), not \(quoted(setting.value))"
      )
      return nil
    }
    if CrowdSecSettings.isUnencrypted(setting.value) {
      diagnostics.add(.warning, setting.line, "CROWDSEC_URL: secrets are sent unencrypted over a network; use https://")
    }
    return setting.value.trimmingSlashes
  }

  mutating func historyFormat(_ setting: Setting) -> [Dialect] {
    if setting.value == "both" { return [.classic, .modern] }
    if let dialect = Dialect(rawValue: setting.value) { return [dialect] }
    diagnostics.add(.error, setting.line, "HISTORY_FORMAT must be 1.2, 2 or both, not \(quoted(setting.value))")
    return [dialect]
  }

  mutating func logFormat(_ setting: Setting) -> LogDialect? {
    if let format = LogDialect(rawValue: setting.value) { return format }
    diagnostics.add(.error, setting.line, "LOG_FORMAT must be native, 1.2 or 2, not \(quoted(setting.value))")
    return nil
  }

  /// Some of a few words; nil where one of them is none, or there is none.
  mutating func words<Choice: RawRepresentable<String> & CaseIterable & Equatable>(
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

/// A length of time, in seconds; blanks around it and before its unit are passed over.
private func seconds(_ text: some Collection<UInt8>) -> Int? {
  var bytes = Array(text)[...].trimmingBlanks
  if let unit = bytes.last, !unit.isDigit { bytes = bytes.dropLast().trimmingBlanks + [unit] }
  return Term.seconds(String(decoding: bytes, as: UTF8.self), least: 0).map(Int.init)
}
