import Wire

/// A shell command of the administrator's (`KILL_ROUTE`, `KILL_RUN_CMD`) with its tokens `$TARGET$ $PORT$ $MODE$`.
///
/// Only typed values are put in, so that nothing a stranger chooses reaches the shell but digits, hexadecimal letters,
/// dots, colons and a slash.
package struct CommandTemplate: Sendable, Equatable {
  package let text: String

  package init(_ text: String) { self.text = text }

  /// The command for one target. Every occurrence of a token is replaced; unknown tokens stay.
  ///
  /// - Parameter mode: `Mode.classicName` or `.modernName`; anything but letters is left out.
  package func command(target: IPNetwork, port: UInt16, mode: String) -> String {
    Self.substitute(text, target: target.description, port: port, mode: mode)
  }

  /// - Parameter target: made from an address by the caller, never from text that came from elsewhere.
  static func substitute(_ text: String, target: String, port: UInt16, mode: String) -> String {
    let mode = String(mode.unicodeScalars.filter { ("a"..."z").contains($0) || ("A"..."Z").contains($0) })
    // The values hold no `$`, so no value can complete a token.
    return text.replacingBytes("$TARGET$", with: target).replacingBytes("$PORT$", with: String(port))
      .replacingBytes("$MODE$", with: mode)
  }

  /// Whether this is 1.2's default, `[/path/]route add -host $TARGET$ reject`, which can be done without net-tools.
  package static func isClassicReject(_ template: String) -> Bool {
    guard let words = Words(template)?.words, words.count == 5 else { return false }
    return words[0].isCommand("route") && words[1...] == ["add", "-host", "$TARGET$", "reject"]
  }

  /// Why a command cannot work for an IPv6 target; nil when nothing speaks against it.
  package static func ipv6Problem(_ template: String) -> String? {
    let commands = simpleCommands(template)
    // Whoever names both has thought of it.
    if commands.contains(where: { $0.first?.basename.startsWithBytes("ip6tables") == true }) { return nil }
    for words in commands {
      guard let name = words.first?.basename else { continue }
      if name == "iptables" || name.startsWithBytes("iptables-") {
        return "\(name) cannot block an IPv6 address; use ip6tables or BLOCK_METHOD=\"nftables\""
      }
      if name == "route", !words.contains("inet6"), !words.contains("-6"), !words.contains("--inet6") {
        return "route without -A inet6 cannot block an IPv6 address; use ip route or BLOCK_METHOD=\"route\""
      }
      if name == "ip", words.contains("-4") {
        return "ip -4 cannot block an IPv6 address; leave -4 out, or use BLOCK_METHOD=\"route\""
      }
      let line = words.joined(separator: " ")
      if name == "nft", line.containsBytes("ip saddr $TARGET$") || line.containsBytes("ip daddr $TARGET$") {
        return "nft's ip saddr matches IPv4 only; use a set of each family or BLOCK_METHOD=\"nftables\""
      }
      if name == "firewall-cmd",
        line.replacingBytes("\"", with: "").replacingBytes("'", with: "").containsBytes("family=ipv4")
      {
        return "family=ipv4 cannot block an IPv6 address; use BLOCK_METHOD=\"nftables\""
      }
    }
    return nil
  }

  /// The command that takes back what this one does, for lines we know: route, ip route, iptables, ip6tables, ipset, nft
  /// elements, ufw, firewall-cmd, fail2ban-client, also several joined by `&&`. Nil for anything else.
  package var undo: CommandTemplate? {
    guard let split = Words(text) else { return nil }
    var inverse: [String] = []
    for command in split.words.split(separator: "&&", omittingEmptySubsequences: false) {
      guard let words = Self.inverse(Array(command)) else { return nil }
      inverse.append(words.joined(separator: " "))
    }
    // The last first. All of them are tried: one that is gone already must not keep the others in force.
    return CommandTemplate(inverse.reversed().joined(separator: "; "))
  }

  // MARK: Inverses

  static let redirections: Set<String> = [">/dev/null", "1>/dev/null", "2>/dev/null", "2>&1", "&>/dev/null"]

  private static func inverse(_ command: [String]) -> [String]? {
    var words = command
    var tail: [String] = []
    while let last = words.last, redirections.contains(last) {
      tail.insert(last, at: 0)
      words.removeLast()
    }
    guard let name = words.first?.basename, words.contains(where: { $0.containsBytes("$TARGET$") }) else { return nil }
    let base = name.splitBytes("-").first.map(String.init) ?? name
    let inverse: [String]? =
      switch base {
      case "route": swap(words, "add", "del")
      case "iptables", "ip6tables": inverseOfIPTables(words)
      case "ip": words.contains(where: ["route", "ro", "r", "rule"].contains) ? inverseOfIPRoute(words) : nil
      case "ipset": inverseOfIPSet(words)
      case "nft": inverseOfNFT(words)
      case "ufw": inverseOfUFW(words)
      case "firewall": inverseOfFirewallCommand(words)
      case "fail2ban": swap(words, "banip", "unbanip")
      default: nil
      }
    return inverse.map { $0 + tail }
  }

  private static func swap(_ words: [String], _ word: String, _ other: String) -> [String]? {
    guard let index = words.firstIndex(of: word) else { return nil }
    var result = words
    result[index] = other
    return result
  }

  private static func inverseOfIPTables(_ words: [String]) -> [String]? {
    guard let index = words.firstIndex(where: { ["-I", "-A", "--insert", "--append"].contains($0) }),
      index + 1 < words.count
    else { return nil }
    var result = words
    // -I may have a position after the chain, -D takes the rule itself.
    if ["-I", "--insert"].contains(words[index]), index + 2 < words.count, Int(words[index + 2]) != nil {
      result.remove(at: index + 2)
    }
    result[index] = "-D"
    return result
  }

  private static func inverseOfIPRoute(_ words: [String]) -> [String]? {
    guard let index = words.firstIndex(where: { ["add", "append", "prepend", "replace"].contains($0) }) else {
      return nil
    }
    var result = words
    result[index] = "del"
    return result
  }

  private static func inverseOfIPSet(_ words: [String]) -> [String]? {
    guard let index = words.firstIndex(where: { ["add", "-A", "--add"].contains($0) }), index + 2 < words.count
    else { return nil }
    // What follows the entry (timeout, comment, -exist) belongs to adding.
    return Array(words[..<index]).filter { !["-exist", "-!"].contains($0) } + [
      "del", words[index + 1], words[index + 2],
    ]
  }

  private static func inverseOfNFT(_ words: [String]) -> [String]? {
    var arguments = words[1...].joined(separator: " ")
    var quote = ""
    for mark in ["'", "\""]
    where words.count == 2 && arguments.utf8.count >= 2 && arguments.startsWithBytes(mark)
      && arguments.endsWithBytes(mark)
    {
      quote = mark
      arguments = String(Substring(arguments.utf8.dropFirst().dropLast()))
      break
    }
    guard arguments.startsWithBytes("add element "), let open = arguments.firstByte("{"),
      let close = arguments.lastByte("}"), open < close
    else { return nil }
    // `{` may be written `\{` for the shell.
    let head = Substring(arguments[..<open].utf8.dropFirst("add element ".utf8.count))
    let escaped = arguments[..<close].endsWithBytes("\\")
    let inside = Substring(arguments[arguments.utf8.index(after: open)..<close].utf8.dropLast(escaped ? 1 : 0))
    let elements = inside.splitBytes(",").compactMap { element in
      element.splitBytes(" \t\r\n").first.map(String.init)
    }
    let text = "delete element \(head){ \(elements.joined(separator: ", ")) \(escaped ? "\\" : "")}"
    return [words[0], quote + text + quote]
  }

  private static func inverseOfUFW(_ words: [String]) -> [String]? {
    var rest = words[1...]
    if rest.first == "--force" { rest.removeFirst() }
    if rest.first == "insert", rest.count > 2, Int(rest[rest.startIndex + 1]) != nil {
      rest = rest.dropFirst(2)
    } else if rest.first == "prepend" {
      rest.removeFirst()
    }
    if rest.first == "rule" { rest.removeFirst() }
    guard let action = rest.first, ["deny", "reject", "drop"].contains(action) else { return nil }
    return [words[0], "delete"] + rest
  }

  private static func inverseOfFirewallCommand(_ words: [String]) -> [String]? {
    guard words.contains(where: { $0.startsWithBytes("--add-") }) else { return nil }
    return words.filter { !$0.startsWithBytes("--timeout=") }.map {
      $0.startsWithBytes("--add-") ? "--remove-" + Substring($0.utf8.dropFirst("--add-".utf8.count)) : $0
    }
  }

  /// The simple commands of a line, as words; roughly, for looking at command names only.
  private static func simpleCommands(_ template: String) -> [[String]] {
    var result: [[String]] = [[]]
    for word in Words.split(template.replacingBytes(";", with: " ; ").replacingBytes("|", with: " | ")) {
      if ["&&", "||", ";", "|", "&", "then", "do", "else", "{", "(", "!", "if"].contains(word) {
        result.append([])
      } else {
        result[result.count - 1].append(word)
      }
    }
    return result.filter { !$0.isEmpty }
  }
}

/// A command line as words, quotes kept.
struct Words {
  let words: [String]

  /// Nil when the shell would do more with the line than split it and join commands by `&&`.
  init?(_ text: String) {
    // Our own tokens are the only `$` allowed.
    var bare = text
    for token in ["$TARGET$", "$PORT$", "$MODE$"] { bare = bare.replacingBytes(token, with: "") }
    for redirection in ["2>&1", "&>/dev/null", "2>/dev/null", "1>/dev/null", ">/dev/null", "&&", "\\{", "\\}"] {
      bare = bare.replacingBytes(redirection, with: "")
    }
    if bare.utf8.contains(where: "$`|;&<>()\\\n#".utf8.contains) { return nil }
    words = Self.split(text)
    if words.isEmpty { return nil }
  }

  static func split(_ text: String) -> [String] {
    var words: [String] = []
    var word: [UInt8] = []
    var quote: UInt8?
    func finish() {
      if !word.isEmpty { words.append(String(decoding: word, as: UTF8.self)) }
      word = []
    }
    // By bytes, as the shell does it.
    for byte in text.utf8 {
      if let open = quote {
        word.append(byte)
        if byte == open { quote = nil }
      } else if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") {
        finish()
      } else {
        if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") { quote = byte }
        word.append(byte)
      }
    }
    finish()
    return words
  }
}

extension String {
  var basename: String { splitBytes("/").last.map(String.init) ?? self }

  /// Whether this is the command, by name or by an absolute path.
  fileprivate func isCommand(_ name: String) -> Bool {
    isSameBytes(as: name) || (startsWithBytes("/") && basename.isSameBytes(as: name))
  }
}
