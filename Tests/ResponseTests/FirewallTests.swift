import Foundation
import Platform
import Response
import TestSupport
import Testing
import Wire

/// A host that is not there: what its programs answer, its files and its chains.
private final class FakeHost {
  var files: [String: String] = [:]
  var chains: [InputChain] = []
  /// What programs answer; others are not installed.
  var answers: [String: (status: Int32, output: String)] = [:]
  private(set) var commands: [String] = []

  var survey: FirewallSurvey {
    FirewallSurvey(
      FirewallHost(
        run: { words in
          let text = words.joined(separator: " ")
          self.commands.append(text)
          return self.answers.first { text.hasPrefix($0.key) }?.value
        },
        read: { self.files[$0].map { Array($0.utf8) } },
        write: { (path, bytes) throws(Errno) in self.files[path] = String(decoding: bytes, as: UTF8.self) },
        chains: { () throws(ResponderError) in self.chains }))
  }
}

@Suite("Firewalls before the decoys")
struct FirewallTests {
  private let dropping = InputChain("inet", "filter", "input", accepts: false, rules: 4)

  @Test("a host without rules has no firewall, nor has one that accepts all")
  func none() throws {
    let host = FakeHost()
    #expect(try host.survey.find().isEmpty)
    host.chains = [InputChain("inet", "filter", "input", accepts: true, rules: 0)]
    host.files["/proc/net/ip_tables_names"] = "nat\n"
    #expect(try host.survey.find().isEmpty)
    // Legacy tables are asked for only where there are some: a look would make them.
    #expect(host.commands.isEmpty)
    host.files["/proc/net/ip_tables_names"] = "nat\nfilter\n"
    host.answers["iptables-legacy -V"] = (0, "")
    host.answers["iptables-legacy -w -S INPUT"] = (0, "-P INPUT ACCEPT\n")
    #expect(try host.survey.find().isEmpty)
  }

  @Test("a chain of nftables gets the rule first, and loses it by its handle")
  func nftables() throws {
    let host = FakeHost()
    host.chains = [dropping, InputChain("ip", "f2b", "chain", accepts: true, rules: 1)]
    host.answers["nft"] = (0, "")
    let found = try host.survey.find()
    #expect(found.map(\.firewall) == host.chains.map { .nftables($0) } && found.allSatisfy { !$0.isOpen })
    #expect(
      found[0].firewall.instructions == [
        "nft insert rule inet filter input socket transparent 1 accept comment '\"portsentry decoys\"'"
      ])
    #expect(host.survey.open(found[0]) == nil)
    #expect(
      host.commands.last
        == "nft insert rule inet filter input socket transparent 1 accept comment \"portsentry decoys\"")
    host.chains = [InputChain("inet", "filter", "input", accepts: false, rules: 5, ours: [7, 9])]
    let open = try host.survey.find()
    #expect(open[0].isOpen)
    let before = host.commands.count
    #expect(host.survey.open(open[0]) == nil && host.commands.count == before, "nothing is inserted twice")
    #expect(host.survey.close(open[0]) == nil)
    #expect(
      host.commands.suffix(2) == [
        "nft delete rule inet filter input handle 7", "nft delete rule inet filter input handle 9",
      ])
  }

  @Test("what fails is said, and what is not installed")
  func failures() throws {
    let host = FakeHost()
    host.chains = [dropping]
    let found = try host.survey.find()
    #expect(host.survey.open(found[0]) == "nft is not installed")
    host.answers["nft"] = (1, "Error: Operation not permitted\n\u{1b}[31m")
    let fault = try #require(host.survey.open(found[0]))
    #expect(fault.hasPrefix("`nft insert rule inet filter input") && fault.contains("Operation not permitted"))
    #expect(!fault.contains("\u{1b}"))
  }

  @Test("a chain that nft cannot be told by name is left out")
  func names() throws {
    let host = FakeHost()
    host.chains = [InputChain("inet", "filter", "in put; flush ruleset", accepts: false, rules: 1)]
    #expect(try host.survey.find().isEmpty)
  }

  @Test("firewalld is known by its table")
  func firewalld() throws {
    let host = FakeHost()
    let chain = InputChain("inet", "firewalld", "filter_INPUT", accepts: true, rules: 6)
    host.chains = [chain]
    #expect(try host.survey.find().map(\.firewall) == [.firewalld(chain)])
  }

  @Test("iptables: the variant that is in use, by its own command")
  func iptables() throws {
    let host = FakeHost()
    host.chains = [InputChain("ip", "filter", "INPUT", accepts: false, rules: 1)]
    host.files["/proc/net/ip6_tables_names"] = "filter\n"
    for (program, policy) in [("iptables-nft", "DROP"), ("ip6tables-legacy", "ACCEPT")] {
      host.answers["\(program) -V"] = (0, "")
      host.answers["\(program) -w -S INPUT"] = (0, "-P INPUT \(policy)\n-A INPUT -j DROP\n")
      host.answers["\(program) -w -S uf"] = (1, "")
      host.answers["\(program) -w -C"] = (1, "")
      host.answers["\(program) -w -I"] = (0, "")
    }
    var found = try host.survey.find()
    #expect(found.map(\.firewall) == [.iptables(program: "iptables-nft"), .iptables(program: "ip6tables-legacy")])
    #expect(found.allSatisfy { !$0.isOpen })
    #expect(host.survey.open(found[0]) == nil)
    #expect(
      host.commands.last
        == "iptables-nft -w -I INPUT 1 -m socket --transparent -m comment --comment portsentry decoys -j ACCEPT")
    #expect(
      found[0].firewall.instructions == [
        "iptables-nft -w -I INPUT 1 -m socket --transparent -m comment --comment 'portsentry decoys' -j ACCEPT"
      ])
    host.answers["iptables-nft -w -C"] = (0, "")
    found = try host.survey.find()
    #expect(found.map(\.isOpen) == [true, false])
    // A table of this name that nft made is no business of iptables'.
    host.answers["iptables-nft -w -S INPUT"] = (1, "table `filter' is incompatible, use 'nft' tool.")
    #expect(try host.survey.find().map(\.firewall).contains(.nftables(host.chains[0])))
  }

  private static func before(_ prefix: String) -> String {
    "# rules.before\n*filter\n:\(prefix)-before-input - [0:0]\n# End required lines\n\n-A \(prefix)-before-input -i lo -j ACCEPT\nCOMMIT\n"
  }

  @Test("ufw: both files, once, and back byte for byte")
  func ufw() throws {
    let host = FakeHost()
    host.chains = [InputChain("ip", "filter", "INPUT", accepts: false, rules: 6)]
    host.answers = [
      "iptables-nft -V": (0, ""), "iptables-nft -w -S INPUT": (0, "-P INPUT DROP\n-A INPUT -j ufw-before-input\n"),
      "iptables-nft -w -S ufw-before-input": (0, "-N ufw-before-input\n"), "ufw reload": (0, "Firewall reloaded\n"),
    ]
    let files = Dictionary(uniqueKeysWithValues: zip(UFWRules.paths, [Self.before("ufw"), Self.before("ufw6")]))
    host.files = files
    let found = try host.survey.find()
    #expect(found.map(\.firewall) == [.ufw] && !found[0].isOpen)
    #expect(host.survey.open(found[0]) == nil)
    #expect(host.commands.last == "ufw reload")
    for (path, chain) in zip(UFWRules.paths, ["ufw-before-input", "ufw6-before-input"]) {
      let lines = host.files[path]!.split(separator: "\n")
      #expect(lines[3] == "# End required lines" && lines[5] == "-A \(chain) -m socket --transparent -j ACCEPT")
      // Before whatever may drop it.
      #expect(lines[6] == "-A \(chain.prefix(while: { $0 != "-" }))-before-input -i lo -j ACCEPT")
    }
    let open = try host.survey.find()
    #expect(open.map(\.isOpen) == [true])
    #expect(host.survey.close(open[0]) == nil)
    #expect(host.files == files)
  }

  @Test("ufw: what an administrator wrote by hand counts, and stays")
  func byHand() throws {
    let text = Self.before("ufw").replacingOccurrences(of: "\n\n", with: "\n\(UFWRules.rule)\n\n")
    #expect(UFWRules.contain(Array(text.utf8)))
    #expect(UFWRules.removing(from: Array(text.utf8)) == Array(text.utf8))
    #expect(UFWRules.adding(to: Array("# nothing\n".utf8)) == nil)
  }
}

@Suite(
  "Chains of this kernel", .serialized, .enabled(if: NetworkNamespace.isPossible, "\(NetworkNamespace.skipped)"))
struct FirewallKernelTests {
  @Test("our rule is found by its comment, and taken back by its handle")
  func kernel() throws {
    try inNamespace {
      guard shell("nft --version").status == 0 else { return print("skipped: nft is not installed") }
      #expect(try FirewallSurvey().find().isEmpty)
      let rules = """
        table inet theirs {
          chain i { type filter hook input priority 0; policy drop; tcp dport 22 accept comment "portsentry decoy"; }
          chain o { type filter hook output priority 0; policy drop; }
        }
        """
      #expect(shell("echo '\(rules)' | nft -f -").status == 0)
      var found = try FirewallSurvey().find()
      #expect(found.map(\.firewall.name) == ["nftables, chain inet theirs i"] && !found[0].isOpen)
      #expect(FirewallSurvey().open(found[0]) == nil)
      found = try FirewallSurvey().find()
      #expect(found.map(\.isOpen) == [true])
      let listed = shell("nft list chain inet theirs i").output.split(separator: "\n")
      #expect(listed.count > 3 && listed[3].contains("socket transparent 1 accept comment \"portsentry decoys\""))
      #expect(FirewallSurvey().close(found[0]) == nil)
      #expect(try FirewallSurvey().find().map(\.isOpen) == [false])
      #expect(shell("nft list chain inet theirs i").output.contains("portsentry decoy\""), "another's rule stays")
    }
  }
}
