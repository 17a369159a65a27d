import Wire

/// A firewall of this host that a packet has to pass on its way to a decoy, and the rule by which it lets decoys through.
///
/// The rule names what only decoys have: a socket that is transparent. What the host serves, and every closed port, stays
/// as it was.
package enum Firewall: Equatable, Sendable {
  /// A chain at the input hook, made with `nft`.
  case nftables(InputChain)
  /// firewalld with its chains in nf_tables.
  case firewalld(InputChain)
  /// The chain INPUT of `iptables-nft`, `ip6tables-legacy` or the like.
  case iptables(program: String)
  case ufw

  /// Written beside each of our rules where that is possible: by it they are found again.
  package static let comment = "portsentry decoys"

  /// As a heading.
  package var name: String {
    switch self {
    case .nftables(let chain): "nftables, chain \(chain)"
    case .firewalld: "firewalld"
    case .iptables(let program): "\(program), chain INPUT"
    case .ufw: "ufw"
    }
  }

  /// The commands that insert the rule; none where a file is edited.
  package var insertion: [[String]] {
    switch self {
    case .nftables(let chain), .firewalld(let chain):
      [
        ["nft", "insert", "rule"] + chain.words
          + ["socket", "transparent", "1", "accept", "comment", "\"\(Self.comment)\""]
      ]
    case .iptables(let program): [[program, "-w", "-I", "INPUT", "1"] + Self.match]
    case .ufw: [["ufw", "reload"]]
    }
  }

  /// The commands that take the rule back.
  ///
  /// - Parameter handles: the numbers of our rules in the chain.
  package func removal(handles: [UInt64]) -> [[String]] {
    switch self {
    case .nftables(let chain), .firewalld(let chain):
      handles.map { ["nft", "delete", "rule"] + chain.words + ["handle", String($0)] }
    case .iptables(let program): [[program, "-w", "-D", "INPUT"] + Self.match]
    case .ufw: [["ufw", "reload"]]
    }
  }

  /// The command that ends with 0 where the rule is there; nil where it is found in another way.
  package var question: [String]? {
    if case .iptables(let program) = self { [program, "-w", "-C", "INPUT"] + Self.match } else { nil }
  }

  private static let match = ["-m", "socket", "--transparent", "-m", "comment", "--comment", comment, "-j", "ACCEPT"]

  /// What to do by hand, line by line.
  package var instructions: [String] {
    switch self {
    case .ufw:
      [
        "In \(UFWRules.paths.joined(separator: " and ")), after \"\(UFWRules.anchor)\":", "  \(UFWRules.rule)",
        "ufw reload",
      ]
    default: insertion.map(Self.shown)
    }
  }

  /// How long the rule lasts, and how to keep it.
  package var endurance: String {
    switch self {
    case .nftables:
      "Lasts until these rules are loaded again. To keep it, write \"socket transparent 1 accept\" as the first rule of this chain into the file they are loaded from, mostly /etc/nftables.conf."
    case .firewalld:
      "Lasts until firewalld is reloaded or restarted; firewalld has no setting that could keep it. The sentry logs when decoys are hidden again: then repeat this command."
    case .iptables:
      "Lasts until the next start of this host. To keep it: netfilter-persistent save, where iptables-persistent is installed. With firewalld: firewall-cmd --permanent --direct --add-rule ipv4 filter INPUT 0 -m socket --transparent -j ACCEPT, likewise ipv6."
    case .ufw: "Lasts: ufw loads it at each start."
    }
  }

  /// A command as it would be typed.
  package static func shown(_ words: [String]) -> String {
    words.map { word in
      let isPlain = word.utf8.allSatisfy { byte in
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
          || (UInt8(ascii: "-")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "_")
      }
      return isPlain ? word : "'\(word)'"
    }.joined(separator: " ")
  }
}

/// A base chain of nf_tables at the input hook.
package struct InputChain: Equatable, Sendable, CustomStringConvertible {
  /// ip, ip6 or inet.
  package let family: String
  package let table: String
  package let name: String
  /// Whether a packet that no rule decides is accepted.
  package let accepts: Bool
  package let rules: Int
  /// The handles of our own rules in it.
  package let ours: [UInt64]

  package init(_ family: String, _ table: String, _ name: String, accepts: Bool, rules: Int, ours: [UInt64] = []) {
    self.family = family
    self.table = table
    self.name = name
    self.accepts = accepts
    self.rules = rules
    self.ours = ours
  }

  package var words: [String] { [family, table, name] }
  package var description: String { "\(family) \(table) \(name)" }

  /// Whether it can drop anything that is none of our rules' business.
  var canDrop: Bool { !accepts || rules > ours.count }

  /// Whether `nft` can be given these names: it takes letters, digits, `/`, `\`, `_` and `.`, and a letter first.
  var isNameable: Bool {
    [table, name].allSatisfy { word in
      guard let first = word.utf8.first, first.isLetter else { return false }
      return word.utf8.allSatisfy { $0.isLetter || (0x30...0x39).contains($0) || "/\\_.".utf8.contains($0) }
    }
  }
}

extension UInt8 {
  fileprivate var isLetter: Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self | 0x20) }
}
