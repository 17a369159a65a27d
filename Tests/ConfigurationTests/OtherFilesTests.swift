import Detection
import Foundation
import Response
import Testing
import Wire

@testable import Configuration

@Suite struct IgnoreFileTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var text: String
    var networks: [String]
    var says: [String]

    init(_ description: String, _ text: String, _ networks: [String], says: [String] = []) {
      testDescription = description
      self.text = text
      self.networks = networks
      self.says = says
    }
  }

  static let cases = [
    Case("an address", "10.0.0.1\n", ["10.0.0.1"]),
    Case("a network", "10.0.0.0/8\n", ["10.0.0.0/8"]),
    Case("a dotted mask", "10.1.0.0/255.255.0.0\n", ["10.1.0.0/16"]),
    Case("a dotted mask of zeros", "10.1.0.0/0.0.0.0\n", ["0.0.0.0/0"], says: ["every IPv4 address"]),
    Case("host bits are cleared", "139.162.192.28/24\n", ["139.162.192.0/24"]),
    Case("IPv6", "2001:db8::/32\n", ["2001:db8::/32"]),
    Case("IPv6 in capitals", "2001:DB8::ABCD\n", ["2001:db8::abcd"]),
    Case("IPv6 host bits are cleared", "2001:db8::1/64\n", ["2001:db8::/64"]),
    Case("comments", "# all\n10.0.0.1 # me\n10.0.0.2# you\n", ["10.0.0.1", "10.0.0.2"]),
    Case("a comment without #", "10.0.0.1 gateway\n", ["10.0.0.1"]),
    Case("blanks on either side", "  10.0.0.1\t \n", ["10.0.0.1"]),
    Case("lines of blanks", "\n   \n\t\n10.0.0.1\n", ["10.0.0.1"]),
    Case("CR LF", "10.0.0.1\r\n\r\n10.0.0.2\r\n", ["10.0.0.1", "10.0.0.2"]),
    Case("no final newline", "10.77.0.12", ["10.77.0.12"]),
    Case("repeats count once", "10.0.0.1\n10.0.0.1\n", ["10.0.0.1"]),
    Case("addresses that nobody has", "0.0.0.0\n::\n", ["::", "0.0.0.0"]),
    Case("everything of IPv4", "0.0.0.0/0\n", ["0.0.0.0/0"], says: ["i:1: warning: 0.0.0.0/0 is every IPv4 address"]),
    Case("everything of IPv6", "::/0\n", ["::/0"], says: ["every IPv6 address"]),
    Case(
      "a mask too long", "10.0.0.1/33\n10.0.0.2\n", ["10.0.0.2"],
      says: ["i:1: warning: '10.0.0.1/33' has no valid mask (/0 to 32"]),
    Case("an IPv6 mask too long", "::1/129\n", [], says: ["'::1/129' has no valid mask (/0 to 128)"]),
    Case("a mask with a hole", "10.0.0.1/255.0.255.0\n", [], says: ["has no valid mask"]),
    Case("an empty mask", "10.0.0.1/\n", [], says: ["has no valid mask"]),
    Case("a negative mask", "10.0.0.1/-1\n", [], says: ["has no valid mask"]),
    Case("a mapped network", "::ffff:10.0.0.0/104\n", ["10.0.0.0/8"]),
    Case("a mapped network too wide", "::ffff:10.0.0.0/8\n", [], says: ["has no valid mask (/96 to 128)"]),
    Case("a host name", "\ngateway.example\n", [], says: ["i:2: warning: 'gateway.example' is no address"]),
    Case("a host name of hex letters", "cafe.example\n", [], says: ["'cafe.example' is no address"]),
    Case("half an address", "10.0.0\n", [], says: ["'10.0.0' is no address"]),
    Case("a zone", "fe80::1%eth0\n", ["fe80::1"], says: ["the zone '%eth0' is ignored"]),
    Case(
      "a zone before the mask", "fe80::1%lan0/64\n", ["fe80::/64"], says: ["the zone '%lan0' is ignored: 'fe80::1/64'"]),
    Case(
      "a zone before a mask and a comment", "fe80::%2/10 # all\n", ["fe80::/10"], says: ["the zone '%2' is ignored"]),
    Case("a zone after the mask", "fe80::/64%lan0\n", ["fe80::/64"], says: ["the zone '%lan0' is ignored"]),
    Case("a zone before a bad mask", "fe80::1%lan0/129\n", [], says: ["has no valid mask (/0 to 128)"]),
    Case(
      "a leading zero", "010.1.2.3\n", [],
      says: ["'010.1.2.3' has a leading zero, which some programs read as octal: write 10.1.2.3 if"]),
    Case("a leading zero in a network", "10.01.0.0/16\n", [], says: ["has a leading zero"]),
    Case("a comma", "10.0.0.1,\n", ["10.0.0.1"], says: ["',' right after '10.0.0.1' is ignored"]),
    Case("two on a line", "10.0.0.1 10.0.0.2\n", ["10.0.0.1"], says: ["put '10.0.0.2' on a line of its own"]),
    Case("nothing", "", []),
  ]

  @Test(arguments: cases) func entry(_ row: Case) {
    let (networks, diagnostics) = IgnoreFile.parse(Array(row.text.utf8), path: "i")
    #expect(networks.sorted.map(\.description) == row.networks)
    #expect(diagnostics.count == row.says.count, "\(diagnostics)")
    for (diagnostic, piece) in zip(diagnostics, row.says) { #expect(diagnostic.description.contains(piece)) }
  }

  @Test func `for 2.x an entry that cannot be read is an error`() {
    let (networks, diagnostics) = IgnoreFile.parse(Array("x\n10.0.0.1\n".utf8), path: "i", dialect: .modern)
    #expect(networks.count == 1)
    #expect(diagnostics.map(\.severity) == [.error])
  }

  @Test(arguments: RealFiles.names("ignore")) func `real files are read without a word`(_ name: String) throws {
    let (networks, diagnostics) = IgnoreFile.parse(try RealFiles.bytes("ignore/" + name), path: name)
    #expect(diagnostics.isEmpty)
    #expect(networks.contains(try #require(IPAddress("127.0.0.1"))))
    if name.hasPrefix("marxskud") {
      #expect(networks.sorted.map(\.description) == ["0.0.0.0", "127.0.0.1", "192.168.0.12", "192.168.0.13"])
    }
  }
}

@Suite struct DefaultsFileTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var text: String
    var tcp: Mode?
    var udp: Mode?
    var says: [String]

    init(_ description: String, _ text: String, _ tcp: Mode?, _ udp: Mode?, says: [String] = []) {
      testDescription = description
      self.text = text
      self.tcp = tcp
      self.udp = udp
      self.says = says
    }
  }

  static let cases = [
    Case("as Debian wrote it", "TCP_MODE=\"tcp\"\nUDP_MODE=\"udp\"\n", .connect, .connect),
    Case("stealth", "TCP_MODE=\"stcp\"\nUDP_MODE=\"sudp\"\n", .stealth, .stealth),
    Case("advanced", "TCP_MODE=\"atcp\"\nUDP_MODE=\"audp\"\n", .advanced, .advanced),
    Case("a line deleted", "UDP_MODE=\"udp\"\n", nil, .connect),
    Case("a line emptied", "TCP_MODE=\"\"\nUDP_MODE=\n", nil, nil),
    Case("nothing at all", "", nil, nil),
    Case("without quotes", "TCP_MODE=atcp\nUDP_MODE=audp", .advanced, .advanced),
    Case("single quotes", "TCP_MODE='atcp'\n", .advanced, nil),
    Case("exported", "export TCP_MODE=\"tcp\"\n", .connect, nil),
    Case("indented", "  TCP_MODE=\"tcp\"\n", .connect, nil),
    Case("comments", "# TCP_MODE=\"tcp\"\nUDP_MODE=\"udp\" # TCP_MODE=tcp\n", nil, .connect),
    Case("both on one line", "TCP_MODE=tcp; UDP_MODE=udp\n", .connect, .connect),
    Case("CR LF", "TCP_MODE=\"tcp\"\r\nUDP_MODE=udp\r\n", .connect, .connect),
    Case("the last one wins", "TCP_MODE=\"tcp\"\nTCP_MODE=\"stcp\"\n", .stealth, nil),
    Case(
      "blanks around =", "TCP_MODE = \"tcp\"\n", .connect, nil,
      says: ["d:1: warning: a shell does not accept the blanks"]),
    Case("blanks behind =", "TCP_MODE= tcp\n", .connect, nil, says: ["a shell does not accept the blanks"]),
    Case("another variable", "DAEMON_ARGS=\"-x\"\nTCP_MODE=tcp\n", .connect, nil),
    Case(
      "a misspelt variable", "TCP_MOD=\"tcp\"\n", nil, nil,
      says: ["d:1: warning: 'TCP_MOD' ignored; did you mean TCP_MODE?"]),
    Case(
      "a misspelt mode", "\nTCP_MODE=\"stpc\"\n", nil, nil,
      says: ["d:2: error: TCP_MODE: 'stpc' is no mode; use tcp, stcp, atcp or nothing for off; did you mean stcp?"]),
    Case(
      "the mode of the other protocol", "TCP_MODE=\"audp\"\n", nil, nil,
      says: ["d:1: error: TCP_MODE: 'audp' is no mode"]),
    Case("capitals", "UDP_MODE=\"AUDP\"\n", nil, nil, says: ["did you mean audp?"]),
    Case(
      "two modes in one", "TCP_MODE=\"tcp stcp\"\n", nil, nil, says: ["d:1: error: TCP_MODE: 'tcp stcp' is no mode"]),
    Case("a command is not run", "TCP_MODE=$(echo tcp)\n", nil, nil, says: ["d:1: error: TCP_MODE"]),
    Case("as Gentoo wrote it", "PORTSENTRY_MODES=\"atcp audp\"\n", .advanced, .advanced),
    Case("Gentoo with one mode", "PORTSENTRY_MODES=\"sudp\"\n", nil, .stealth),
    Case(
      "Gentoo with a misspelt one", "PORTSENTRY_MODES=\"actp audp\"\n", nil, .advanced, says: ["did you mean atcp?"]),
    Case(
      "Gentoo with two for TCP", "PORTSENTRY_MODES=\"tcp stcp\"\n", .connect, nil,
      says: ["d:1: error: PORTSENTRY_MODES names two modes for TCP"]),
  ]

  @Test(arguments: cases) func mode(_ row: Case) {
    let (tcp, udp, diagnostics) = DefaultsFile.parse(Array(row.text.utf8), path: "d")
    #expect(tcp == row.tcp)
    #expect(udp == row.udp)
    #expect(diagnostics.count == row.says.count, "\(diagnostics)")
    for (diagnostic, piece) in zip(diagnostics, row.says) { #expect(diagnostic.description.contains(piece)) }
  }

  @Test(arguments: RealFiles.names("default")) func `real files switch both advanced modes on`(_ name: String) throws {
    let (tcp, udp, diagnostics) = DefaultsFile.parse(try RealFiles.bytes("default/" + name), path: name)
    #expect(tcp == .advanced && udp == .advanced)
    #expect(diagnostics.isEmpty)
  }
}

/// The files we ship, and the manual.
@Suite struct ShippedFilesTests {
  static let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..")

  static func text(_ path: String) throws -> String {
    try String(contentsOf: package.appendingPathComponent(path), encoding: .utf8)
  }

  @Test(arguments: Dialect.allCases) func `the example configuration is clean and only logs`(_ dialect: Dialect) throws
  {
    let text = try Self.text("etc/portsentry.conf")
    #expect(ConfigurationFile(Array(text.utf8)).dialect == .classic)
    let (configuration, diagnostics) = parse(text, as: dialect)
    #expect(diagnostics.isEmpty)
    var expected = Configuration.embedded
    expected.dialect = dialect
    expected.historyFormat = [dialect]
    expected.logFormat = .native
    // Without a file nothing answers in this host's name.
    expected.advancedDecoy = true
    // Old files without the key mean 1.2's 1024; a new installation watches all.
    expected.advancedPortsTCP = 65536
    #expect(configuration == expected, "the file and the built-in defaults say the same")
  }

  @Test(arguments: Dialect.allCases) func `every key that is commented out works when it is put in`(_ dialect: Dialect)
    throws
  {
    let text = try Self.text("etc/portsentry.conf")
    var tried: Set<String> = []
    for line in text.split(separator: "\n") where line.hasPrefix("#") && line.contains("=\"") {
      let setting = String(line.dropFirst())
      guard let name = setting.split(separator: "=").first, ConfigurationKey(rawValue: String(name)) != nil else {
        continue
      }
      tried.insert(String(name))
      let (_, diagnostics) = parse(mandatory + setting, as: dialect)
      // The mandatory lines are then there twice; that alone is worth a word.
      #expect(diagnostics.allSatisfy { $0.contains("already set") }, "\(setting): \(diagnostics)")
    }
    #expect(tried.count >= 14)
    for tool in [
      "nft ", "ipset ", "ufw ", "firewall-cmd ", "iptables ", "ip route", "/sbin/route add -host $TARGET$ reject",
    ] {
      #expect(text.split(separator: "\n").contains { $0.hasPrefix("#KILL_ROUTE=") && $0.contains(tool) }, "\(tool)")
    }
  }

  @Test func `the lists that are offered are those of the code`() throws {
    let text = try Self.text("etc/portsentry.conf")
    let lists = text.split(separator: "\n").filter { $0.hasPrefix("#TCP_PORTS=") }.map {
      parse(String($0.dropFirst())).0.tcpPorts
    }
    #expect(lists.first == Configuration.classicTCPPorts)
  }

  @Test(arguments: ConfigurationKey.allCases) func `every key is in the example and in the manual`(
    _ key: ConfigurationKey
  ) throws {
    let example = try Self.text("etc/portsentry.conf")
    #expect(
      example.split(separator: "\n").contains { $0.hasPrefix("\(key.rawValue)=") || $0.hasPrefix("#\(key.rawValue)=") })
    let manual = try Self.text("man/portsentry.conf.5")
    let lines = manual.split(separator: "\n").map(String.init)
    let item = try #require(lines.firstIndex(of: ".It Ic \(key.rawValue)"), "\(key.rawValue) has no entry")
    let section = lines[(item + 1)...].prefix { !$0.hasPrefix(".It Ic ") && !$0.hasPrefix(".Sh ") }
    #expect(section.contains { $0.hasPrefix("Default: ") }, "\(key.rawValue) tells no default")
    if !key.facts.defaultText.isEmpty {
      #expect(section.contains { $0.contains(key.facts.defaultText) }, "\(key.rawValue): \(key.facts.defaultText)")
    }
    #expect(section.contains { $0.contains("\(key.rawValue)=\"") }, "\(key.rawValue) has no example")
    #expect(!key.facts.summary.isEmpty)
  }

  @Test func `the examples of the manual work`() throws {
    let examples = try Self.text("man/portsentry.conf.5").split(separator: "\n")
      .filter { $0.hasPrefix(".Dl ") && !$0.hasPrefix(".Dl KEY=") }
      .map { $0.dropFirst(4).replacingOccurrences(of: "\\&", with: "") }
    #expect(examples.count == ConfigurationKey.allCases.count)
    for example in examples {
      let (_, diagnostics) = parse(mandatory + example, as: .modern)
      #expect(diagnostics.allSatisfy { $0.contains("already set") }, "\(example): \(diagnostics)")
    }
  }

  @Test func `the manual names no key that is not there`() throws {
    let named = try Self.text("man/portsentry.conf.5").split(separator: "\n").filter { $0.hasPrefix(".It Ic ") }
    #expect(named.compactMap { ConfigurationKey(rawValue: String($0.dropFirst(7))) }.count == named.count)
    #expect(named.count == ConfigurationKey.allCases.count)
  }

  @Test func `the other two files are clean`() throws {
    let (networks, ignore) = IgnoreFile.parse(
      Array(try Self.text("etc/portsentry.ignore").utf8), path: "i", dialect: .modern)
    #expect(ignore.isEmpty)
    #expect(networks.sorted.map(\.description) == ["::1", "0.0.0.0", "127.0.0.0/8"])
    let (tcp, udp, defaults) = DefaultsFile.parse(Array(try Self.text("etc/portsentry.default").utf8), path: "d")
    #expect(defaults.isEmpty)
    #expect(tcp == .advanced && udp == .advanced, "what README shows is what a new installation does")
  }
}

@Suite struct ConfigurationKeyTests {
  @Test(arguments: [
    ("TCP_PORT", ConfigurationKey.tcpPorts), ("BLOKC_TCP", .blockTCP), ("block-udp", .blockUDP),
    ("KILLROUTE", .killRoute),
    ("HISTROY_FILE", .historyFile), ("KILL_RUN_COMMAND", .killRunCommand), ("USE_RESOLV", nil), ("X", nil), ("", nil),
  ]) func nearest(_ word: String, _ key: ConfigurationKey?) {
    #expect(ConfigurationKey.nearest(to: word) == key)
  }

  @Test(arguments: ConfigurationKey.allCases.filter { !$0.facts.defaultText.isEmpty })
  func `a default that is written changes nothing`(_ key: ConfigurationKey) {
    let (written, diagnostics) = parse("\(key.rawValue)=\"\(key.facts.defaultText)\"", as: .classic)
    #expect(written == parse("", as: .classic).0)
    #expect(diagnostics.allSatisfy { $0.hasPrefix("c: warning: ") }, "only keys that are missing are spoken of")
  }

  @Test func `the predecessors' keys are marked as theirs`() {
    func known(_ dialect: Dialect) -> Int { ConfigurationKey.allCases.count { $0.facts.dialects.contains(dialect) } }
    #expect(known(.classic) == 18)
    #expect(known(.modern) == 14)
  }
}

@Suite struct ExplanationTests {
  @Test func `logging only`() {
    let text = Explanation.explain(
      parse(mandatory + "TCP_PORTS=\"1,11,15\"", as: .classic).0, tcpMode: .stealth, udpMode: nil, ignoredNetworks: 2)
    #expect(
      text == """
        TCP, mode stcp: watches packets to 3 ports (1,11,15), as long as no service uses the port.
        UDP: off.
        Trigger: the first touch of a watched port counts as a scan.
        Never acted on: this host's own addresses, its gateways and resolvers, peers of connections that this host opened, and 2 addresses and networks named in '/i'.
        On a TCP scan: it is logged. Nobody is blocked (BLOCK_TCP="0").
        Files: history '/h' (the form of 1.2), blocked '/b', state '/var/lib/portsentry'.
        Journal: '/var/lib/portsentry/journal.db' keeps what every source did for 30 days, counts for good, 512 MB at most.

        """)
  }

  @Test func `blocking the old way and the new way`() {
    let old = """
      BLOCK_TCP="1"
      BLOCK_UDP="1"
      KILL_ROUTE="/sbin/route add -host $TARGET$ reject"
      KILL_HOSTS_DENY="ALL: $TARGET$"
      KILL_RUN_CMD="/bin/mailme"
      KILL_RUN_CMD_FIRST="1"
      SCAN_TRIGGER="3"
      """
    let text = Explanation.explain(
      parse(mandatory + old, as: .classic).0, tcpMode: .advanced, udpMode: .connect, ignoredNetworks: 1)
    #expect(
      text == """
        TCP, mode atcp: watches packets to every port from 0 to 1023 that no service uses. To scanners all of these look open, like services (ADVANCED_DECOY).
        UDP, mode udp: listens on port 7. Scanners see these ports as open.
        Trigger: a source is a scanner from its touch number 3 of watched ports on.
        Never acted on: this host's own addresses, its gateways and resolvers, peers of connections that this host opened, and 1 address or network named in '/i'.
        On a TCP or UDP scan: the source is BLOCKED (BLOCK_TCP="1", BLOCK_UDP="1"): runs '/bin/mailme'; then adds 'ALL: $TARGET$' to '/etc/hosts.deny'; then runs '/sbin/route add -host $TARGET$ reject'.
        A block takes that trigger (RULE="classic"), and NO PROOF that the address is not forged (PROOF="none").
        A block lasts until you lift it with: portsentry unblock ADDRESS. At most 131072 blocks, at most 1000 new ones in a minute.
        Files: history '/h' (the form of 1.2), blocked '/b', state '/var/lib/portsentry'.
        Journal: '/var/lib/portsentry/journal.db' keeps what every source did for 30 days, counts for good, 512 MB at most.

        """)
    let new = Explanation.explain(
      parse("TCP_PORTS=\"1-2\"\nBLOCK_TCP=\"1\"").0, tcpMode: .stealth, udpMode: .stealth, ignoredNetworks: 0)
    #expect(
      new.contains(
        "the source is BLOCKED (BLOCK_TCP=\"1\"): drops everything from it in the nftables table inet portsentry.\n"))
    #expect(new.contains("A block takes evidence beyond one wrong port (RULE=\"native\"), and a TCP connection"))
    #expect(new.contains("every unused port looks open to it, for 30 seconds after its last probe."))
    #expect(new.contains("A block lasts 24 hours."))
    #expect(new.contains("UDP, mode sudp: nothing is watched, because UDP_PORTS names no port.\n"))
    #expect(new.contains("There is no ignore file."))
    #expect(new.contains("On a UDP scan: it is logged. Nobody is blocked (BLOCK_UDP=\"0\")."))
  }

  @Test func `what is kept and shown`() {
    let lines = """
      JOURNAL_KEEP="12w"
      JOURNAL_SIZE="2G"
      EVENTS_FILE="/var/log/e.json"
      EVE_FILE="/var/log/eve.json"
      METRICS_FILE="/var/lib/m.prom"
      CONSOLE_LISTEN="8087"
      FLEET="/etc/fleet.node"
      """
    let text = Explanation.explain(parse(lines).0, tcpMode: .advanced, udpMode: nil, ignoredNetworks: 0)
    #expect(text.contains("keeps what every source did for 84 days, counts for good, 2 GB at most.\n"))
    #expect(
      text.contains(
        "For other programs: events '/var/log/e.json' (ECS), events '/var/log/eve.json' (EVE), metrics '/var/lib/m.prom'.\n"
      ))
    #expect(
      text.contains(
        "Page: served on 127.0.0.1:8087 to whoever has the token in '/var/lib/portsentry/console.token'.\n"))
    #expect(
      text.contains(
        "Fleet: by '/etc/fleet.node' this host tells others who connects to its decoys, and bans for 24 hours whom 3 hosts have seen; at most 100000 at a time.\n"
      ))
    let none = Explanation.explain(parse("JOURNAL=\"0\"").0, tcpMode: .advanced, udpMode: nil, ignoredNetworks: 0)
    #expect(none.contains("Journal: none is kept, so sources, show and report have nothing to tell.\n"))
  }

  @Test func `both off`() {
    let text = Explanation.explain(.embedded, tcpMode: nil, udpMode: nil, ignoredNetworks: 0)
    #expect(
      text.hasSuffix(
        "Both protocols are off: nothing is watched. Set TCP_MODE or UDP_MODE in /etc/default/portsentry.\n"))
  }

  @Test(arguments: [
    (1, "1 second"), (90, "90 seconds"), (1800, "30 minutes"), (86_400, "24 hours"), (604_800, "7 days"),
  ])
  func words(_ seconds: Int, _ text: String) {
    #expect(Explanation.words(.seconds(seconds)) == text)
  }
}

@Suite struct ListenAddressTests {
  @Test(arguments: [
    ("127.0.0.1:8087", "127.0.0.1:8087"), ("8087", "127.0.0.1:8087"), ("localhost:1", "127.0.0.1:1"),
    ("[::1]:65535", "[::1]:65535"), ("127.9.9.9:80", "127.9.9.9:80"), ("/run/p.sock", "/run/p.sock"),
  ])
  func `this host only`(_ text: String, _ meaning: String) throws {
    #expect(try ListenAddress(text).description == meaning)
  }

  @Test(arguments: [
    "", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:+80", "::1:80", "[127.0.0.1]:80",
    "host:80", "run/p.sock", "127.0.0.1:8o", "[::1]", "http://127.0.0.1:80",
  ])
  func `no place`(_ text: String) { #expect(throws: ListenAddress.Fault.form) { try ListenAddress(text) } }

  @Test(arguments: ["0.0.0.0:80", "192.0.2.1:80", "[::]:80", "[2001:db8::1]:80"])
  func `a place for others`(_ text: String) {
    #expect {
      try ListenAddress(text)
    } throws: {
      if case ListenAddress.Fault.notLoopback = $0 { true } else { false }
    }
  }

  @Test func `a path that no socket can have`() {
    #expect(throws: ListenAddress.Fault.pathTooLong(108)) {
      try ListenAddress("/" + String(repeating: "x", count: 107))
    }
  }
}
