import Wire

extension CommandTemplate {
  /// The method of our own that does what this command does; nil for a command we do not know.
  ///
  /// Several commands joined by `&&` are known when each is; one that only logs packets changes nothing. Commands that drop by a packet
  /// filter become nftables, commands that change a route become route.
  package var native: BlockMethod? {
    guard let split = Words(text) else { return nil }
    var methods: [BlockMethod] = []
    for command in split.words.split(separator: "&&", omittingEmptySubsequences: false) {
      var words = command.map { Self.unquoted($0) }
      while let last = words.last, Self.redirections.contains(last) { words.removeLast() }
      switch Self.effect(words) {
      case .shutsOut(let method): methods.append(method)
      case .onlyLogs: break
      case nil: return nil
      }
    }
    return methods.contains(.nftables) ? .nftables : methods.first
  }

  private enum Effect {
    case shutsOut(BlockMethod)
    case onlyLogs
  }

  private static func unquoted(_ word: String) -> String {
    for mark in ["'", "\""] where word.utf8.count >= 2 && word.startsWithBytes(mark) && word.endsWithBytes(mark) {
      return String(Substring(word.utf8.dropFirst().dropLast()))
    }
    return word
  }

  private static func effect(_ words: [String]) -> Effect? {
    guard let name = words.first?.basename, words.contains(where: { $0.containsBytes("$TARGET$") }) else { return nil }
    switch name {
    case "route":
      return words.contains("add") && (words.contains("reject") || words.contains("gw")) ? .shutsOut(.route) : nil
    case "ip":
      let isRoute = words.contains { ["route", "ro", "r"].contains($0) }
      let isRefused = words.contains { ["blackhole", "unreachable", "prohibit", "throw"].contains($0) }
      return isRoute && isRefused ? .shutsOut(.route) : nil
    case _ where name.startsWithBytes("iptables") || name.startsWithBytes("ip6tables"): return iptables(words)
    case "ipset": return words.contains { ["add", "-A", "--add"].contains($0) } ? .shutsOut(.nftables) : nil
    case "nft":
      let line = words.dropFirst().joined(separator: " ")
      let isRule = line.containsBytes("saddr $TARGET$") && (line.containsBytes("drop") || line.containsBytes("reject"))
      return line.startsWithBytes("add element ") || isRule ? .shutsOut(.nftables) : nil
    case "ufw":
      return words.contains { ["deny", "reject", "drop"].contains($0) } && words.contains("from")
        ? .shutsOut(.nftables) : nil
    case "firewall-cmd":
      let line = words.joined(separator: " ")
      let isRule =
        line.containsBytes("--add-rich-rule") && (line.containsBytes("drop") || line.containsBytes("reject"))
      let isZone = line.containsBytes("--add-source") && line.containsBytes("--zone=drop")
      return isRule || isZone ? .shutsOut(.nftables) : nil
    default: return nil
    }
  }

  /// `-I INPUT -s $TARGET$ -j DROP`: a rule for all packets of the source; one for some of them is another thing.
  private static func iptables(_ words: [String]) -> Effect? {
    func value(_ names: String...) -> String? {
      words.firstIndex { names.contains($0) }.flatMap { $0 + 1 < words.count ? words[$0 + 1] : nil }
    }
    guard value("-I", "-A", "--insert", "--append") == "INPUT", value("-s", "--source", "--src") == "$TARGET$" else {
      return nil
    }
    switch value("-j", "--jump") {
    case "LOG": return .onlyLogs
    case "DROP", "REJECT":
      return words.contains { ["-p", "--protocol", "--dport", "-i", "-m", "!"].contains($0) }
        ? nil : .shutsOut(.nftables)
    default: return nil
    }
  }
}
