import Wire

/// The rule for decoys in the files of ufw that hold an administrator's own rules: text in, text out.
package enum UFWRules {
  /// The files, for IPv4 and IPv6.
  package static let paths = ["/etc/ufw/before.rules", "/etc/ufw/before6.rules"]
  /// The line after which rules may stand in both of them.
  package static let anchor = "# End required lines"
  private static let mark = "# \(Firewall.comment): written by `portsentry firewall`"
  private static let chains = ["ufw-before-input", "ufw6-before-input"]

  /// The rule of IPv4's file.
  package static var rule: String { rule(of: chains[0]) }

  private static func rule(of chain: String) -> String { "-A \(chain) -m socket --transparent -j ACCEPT" }

  /// Whether the rule is there, written by us or by hand.
  package static func contain(_ bytes: [UInt8]) -> Bool {
    bytes.split(separator: UInt8(ascii: "\n")).contains { line in
      chains.contains { Array(line) == Array(rule(of: $0).utf8) }
    }
  }

  /// The file with the rule; nil where the line after which it belongs is not there.
  package static func adding(to bytes: [UInt8]) -> [UInt8]? {
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    guard let anchor = lines.firstIndex(where: { Array($0) == Array(Self.anchor.utf8) }),
      // The chain's name tells for which family the file is.
      let chain = chains.first(where: { chain in lines.contains { $0.starts(with: ":\(chain) ".utf8) } })
    else { return nil }
    let added = [mark, rule(of: chain)].map { ArraySlice($0.utf8) }
    return Array((lines[...anchor] + added + lines[(anchor + 1)...]).joined(separator: [UInt8(ascii: "\n")]))
  }

  /// The file without what we added; what somebody else wrote stays.
  package static func removing(from bytes: [UInt8]) -> [UInt8] {
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    var kept: [ArraySlice<UInt8>] = []
    var index = lines.startIndex
    while index < lines.endIndex {
      if Array(lines[index]) == Array(mark.utf8) {
        index += 1
        if index < lines.endIndex, contain(Array(lines[index])) { index += 1 }
      } else {
        kept.append(lines[index])
        index += 1
      }
    }
    return Array(kept.joined(separator: [UInt8(ascii: "\n")]))
  }
}
