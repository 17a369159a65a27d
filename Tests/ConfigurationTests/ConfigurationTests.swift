import Response
import Testing
import Wire

@testable import Configuration
import Notify

/// Reads `text` and gives the configuration and its diagnostics as lines.
func parse(_ text: String, as dialect: Dialect? = nil, preferring: Dialect? = nil) -> (Configuration, [String]) {
  let (configuration, diagnostics) = Configuration.parse(
    Array(text.utf8), path: "c", dialect: dialect, preferring: preferring)
  return (configuration, diagnostics.map(\.description))
}

/// The keys without which 1.2 did not start, so that a table row yields only the diagnostics it is about.
let mandatory = "IGNORE_FILE=\"/i\"\nHISTORY_FILE=\"/h\"\nBLOCKED_FILE=\"/b\"\nUDP_PORTS=\"7\"\n"
/// A row of a table: what is written, what comes of it, and what is said. The text stands on line 5, after the
/// mandatory keys. `says` holds one piece for each expected diagnostic, in order.
struct Row: CustomTestStringConvertible, Sendable {
  var testDescription: String
  var text: String
  var says: [String]
  var holds: @Sendable (Configuration) -> Bool

  init(_ description: String, _ text: String, says: [String] = [], holds: @escaping @Sendable (Configuration) -> Bool) {
    testDescription = description
    self.text = text
    self.says = says
    self.holds = holds
  }

  func check(as dialect: Dialect) {
    let (configuration, diagnostics) = parse(mandatory + text, as: dialect)
    #expect(holds(configuration), "\(testDescription): \(configuration)")
    #expect(diagnostics.count == says.count, "\(testDescription): \(diagnostics)")
    for (line, piece) in zip(diagnostics, says) { #expect(line.contains(piece), "\(testDescription)") }
  }
}

@Suite struct ClassicDialectTests {
  static let lineRows = [
    Row("a key in column 1 with = and quotes is read", #"TCP_PORTS="1,2""#) { $0.tcpPorts.ports == [1, 2] },
    Row("blanks may stand around the =", #"RESOLVE_HOST = "1""#) { $0.resolveHost },
    Row("a blank may stand in place of the =", #"RESOLVE_HOST "1""#) { $0.resolveHost },
    Row(
      "a tab before the = hid the key from 1.2, here it is read", "RESOLVE_HOST\t=\"1\"",
      says: ["c:5: warning: 1.2 did not see RESOLVE_HOST"]
    ) { $0.resolveHost },
    Row("a line that begins with # is a comment", #"#RESOLVE_HOST="1""#) { !$0.resolveHost },
    Row(
      "an indented key is not used, and named", #"  RESOLVE_HOST="1""#,
      says: ["c:5: warning: RESOLVE_HOST is indented"]
    ) { !$0.resolveHost },
    Row("an indented comment is a comment", "   # RESOLVE_HOST") { !$0.resolveHost },
    Row("a line of blanks is nothing", "  \t ") { !$0.resolveHost },
    Row(
      "a missing closing quote is forgiven", #"PORT_BANNER="go away"#,
      says: ["c:5: warning: closing quote of PORT_BANNER missing"]
    ) { $0.portBanner == "go away" },
    Row("a comment after the value is ignored", #"RESOLVE_HOST="1"  # yes"#) { $0.resolveHost },
    Row(
      "other text after the value is ignored, and that is said", #"PORT_BANNER="say "hello" now""#,
      says: [#"c:5: warning: 'hello" now"' after the closing quote of PORT_BANNER is ignored"#]
    ) { $0.portBanner == "say " },
    Row(
      "text before the first quote is skipped", #"PORT_BANNER=x"y""#,
      says: ["before the first quote of PORT_BANNER is ignored"]
    ) { $0.portBanner == "y" },
    Row(
      "without quotes there is no value", "RESOLVE_HOST=1",
      says: [#"c:5: warning: Quotes missing from RESOLVE_HOST: write RESOLVE_HOST="1""#]
    ) { !$0.resolveHost },
    Row(
      "a doubled quote makes an empty value", #"KILL_RUN_CMD=""/bin/true $TARGET$""#,
      says: ["c:5: warning: KILL_RUN_CMD has its first quote doubled"]
    ) { $0.response.killRunCommand == nil },
    Row(
      "a value ends at a control character", "PORT_BANNER=\"go\u{1}away\"",
      says: ["c:5: warning: the value of PORT_BANNER holds a control character"]
    ) { $0.portBanner == "go" },
    Row(
      "letters outside ASCII are kept, which 1.2 did not", "PORT_BANNER=\"für alle\"",
      says: ["c:5: warning: 1.2 ended the value of PORT_BANNER"]
    ) { $0.portBanner == "für alle" },
    Row(
      "the first of a repeated key is in force", "SCAN_TRIGGER=\"1\"\nSCAN_TRIGGER=\"2\"",
      says: ["c:6: warning: SCAN_TRIGGER is already set on line 5, which is in force"]
    ) { $0.scanTrigger == 1 },
    Row(
      "a misspelt key is ignored and the nearest one named", #"SCAN_TRIGER="3""#,
      says: ["c:5: warning: unknown key 'SCAN_TRIGER' ignored; did you mean SCAN_TRIGGER?"]
    ) { $0.scanTrigger == 0 },
    Row("keys are upper case", #"scan_trigger="3""#, says: ["did you mean SCAN_TRIGGER?"]) { $0.scanTrigger == 0 },
    Row(
      "a key unlike any other gets no hint", #"WALLPAPER="blue""#,
      says: ["c:5: warning: unknown key 'WALLPAPER' ignored"]
    ) { $0.dialect == .classic },
    Row(
      "the modes belong elsewhere", #"TCP_MODE="atcp""#, says: ["TCP_MODE belongs in /etc/default/portsentry"]
    ) { $0.dialect == .classic },
    Row("prose is ignored", "Hello there", says: ["c:5: warning: 'Hello there' is neither a comment"]) { _ in true },
    Row("CR LF is a line end", "TCP_PORTS=\"1\"\r\nSCAN_TRIGGER=\"2\"\r\n") {
      $0.tcpPorts.ports == [1] && $0.scanTrigger == 2
    },
  ]

  static let valueRows = [
    Row(
      "an action beyond 2 is 0", #"BLOCK_TCP="7""#,
      says: [
        "c:5: warning: BLOCK_TCP must be 0 (log only), 1 (block) or 2 (run KILL_RUN_CMD), not '7'; as in 1.2 that is 0"
      ]
    ) { $0.response.tcp == .logOnly },
    Row("a number ends at its first other byte", #"BLOCK_TCP="1x""#, says: ["as in 1.2 that is 1"]) {
      $0.response.tcp == .block
    },
    Row("a word is 0", #"BLOCK_UDP="yes""#, says: ["as in 1.2 that is 0"]) { $0.response.udp == .logOnly },
    Row("any number but 0 is on", #"RESOLVE_HOST="2""#) { $0.resolveHost },
    Row(
      "a word is off", #"RESOLVE_HOST="yes""#, says: ["RESOLVE_HOST must be 0 or 1, not 'yes'; as in 1.2 that is off"]
    ) {
      !$0.resolveHost
    },
    Row("any number but 0 puts the command first", #"KILL_RUN_CMD_FIRST="3""#) { $0.response.runCommandFirst },
    Row("a trigger is counted", #"SCAN_TRIGGER="2""#) { $0.scanTrigger == 2 },
    Row("a negative trigger is 0", #"SCAN_TRIGGER="-1""#, says: ["not '-1'; 0 is used"]) { $0.scanTrigger == 0 },
    Row("a trigger beyond 50 is counted here", #"SCAN_TRIGGER="60""#, says: ["1.2 could not count beyond 50"]) {
      $0.scanTrigger == 60
    },
    Row("the number of advanced ports is read", #"ADVANCED_PORTS_TCP="2000""#) { $0.advancedPortsTCP == 2000 },
    Row("65535 advanced ports mean all of them", #"ADVANCED_PORTS_UDP="65535""#) { $0.advancedPortsUDP == 65536 },
    Row("0 advanced ports are none", #"ADVANCED_PORTS_TCP="0""#) { $0.advancedPortsTCP == 0 },
    Row(
      "a number of advanced ports that is none is 1024", #"ADVANCED_PORTS_TCP="all""#,
      says: ["ADVANCED_PORTS_TCP must be a number from 0 to 65535, not 'all'; 1024 is used"]
    ) { $0.advancedPortsTCP == 1024 },
    Row("without exclusions nothing is excluded", #"ADVANCED_PORTS_TCP="10""#) {
      $0.advancedExcludeTCP.isEmpty && $0.advancedExcludeUDP.isEmpty
    },
    Row("exclusions are ports", #"ADVANCED_EXCLUDE_UDP="520,138""#) { $0.advancedExcludeUDP.ports == [138, 520] },
    Row("a banner is text", #"PORT_BANNER="** GO AWAY **""#) { $0.portBanner == "** GO AWAY **" },
    Row("an empty banner is none", #"PORT_BANNER="""#) { $0.portBanner == nil },
    Row(
      "a response command without $TARGET$ is skipped", #"KILL_ROUTE="/bin/true""#,
      says: ["c:5: warning: KILL_ROUTE does not contain $TARGET$"]
    ) { $0.response.killRoute == nil },
    Row(
      "and where it was all there was, nftables blocks", "KILL_ROUTE=\"/bin/true\"\nBLOCK_TCP=\"1\"",
      says: ["c:5: warning: KILL_ROUTE does not contain $TARGET$", "c:5: warning: with KILL_ROUTE skipped, nftables"]
    ) { $0.response.methods == [.nftables] },
    Row("a run command needs no token", #"KILL_RUN_CMD="/bin/true""#) { $0.response.killRunCommand == "/bin/true" },
    Row(
      "2 without a run command does nothing", #"BLOCK_TCP="2""#,
      says: ["c:5: warning: BLOCK_TCP=\"2\" runs KILL_RUN_CMD"]
    ) {
      $0.response.tcp == .runCommand
    },
    Row(
      "1 with the old keys implies their methods, for ever",
      "BLOCK_TCP=\"1\"\nKILL_ROUTE=\"r $TARGET$\"\nKILL_HOSTS_DENY=\"ALL: $TARGET$\""
    ) { $0.response.methods == [.hostsDeny, .command] && $0.response.duration == nil },
    Row("1 with KILL_ROUTE alone implies the command", "BLOCK_UDP=\"1\"\nKILL_ROUTE=\"r $TARGET$\"") {
      $0.response.methods == [.command] && $0.response.duration == nil
    },
    Row(
      "a written time holds with implied methods too",
      "BLOCK_UDP=\"1\"\nKILL_ROUTE=\"r $TARGET$\"\nBLOCK_TIME=\"2h\""
    ) { $0.response.methods == [.command] && $0.response.duration == .seconds(7200) },
    Row("the old keys imply nothing while only logging", #"KILL_ROUTE="r $TARGET$""#) {
      $0.response.methods == [.nftables] && $0.response.duration == .seconds(86_400)
    },
    Row("1 alone is the native method for a day", #"BLOCK_TCP="1""#) {
      $0.response.methods == [.nftables] && $0.response.duration == .seconds(86_400)
    },
  ]

  static let portRows = [
    Row("commas and blanks separate", #"TCP_PORTS=" 1, 2 ,3,""#) { $0.tcpPorts.ports == [1, 2, 3] },
    Row("two commas in a row are one", #"TCP_PORTS="1,,2""#) { $0.tcpPorts.ports == [1, 2] },
    Row("the highest port is 65535", #"TCP_PORTS="65535""#) { $0.tcpPorts.ports == [65535] },
    Row("a range is all its ports", #"TCP_PORTS="100-102""#, says: ["1.2 read only the first port of a range"]) {
      $0.tcpPorts.ports == [100, 101, 102]
    },
    Row(
      "a word is skipped", #"TCP_PORTS="1,abc""#,
      says: [
        "c:5: warning: TCP_PORTS: 'abc' is neither a port from 1 to 65535 nor a range a-b of them; skipped (1.2 read it as port 0, which opened a port at random)"
      ]
    ) { $0.tcpPorts.ports == [1] },
    Row("port 0 is skipped", #"TCP_PORTS="0,1""#, says: ["opened a port at random"]) { $0.tcpPorts.ports == [1] },
    Row("a port too large is skipped", #"TCP_PORTS="99999""#, says: ["1.2 read it as port 34463"]) {
      $0.tcpPorts.isEmpty
    },
    Row("a range backwards is skipped", #"TCP_PORTS="20-10""#, says: ["1.2 read it as port 20"]) {
      $0.tcpPorts.isEmpty
    },
    Row("a number with a tail is the number", #"TCP_PORTS="11x""#, says: ["as in 1.2, port 11 is used"]) {
      $0.tcpPorts.ports == [11]
    },
    Row(
      "there may be more than 64", "TCP_PORTS=\"" + (1...70).map(String.init).joined(separator: ",") + "\"",
      says: ["1.2 used the first 64 of these 70 items"]
    ) { $0.tcpPorts.count == 70 },
    Row("a list of commas names no port", #"TCP_PORTS=",,""#, says: ["TCP_PORTS names no port"]) {
      $0.tcpPorts.isEmpty
    },
    Row("an empty list is empty", #"TCP_PORTS="""#) { $0.tcpPorts.isEmpty },
  ]

  @Test(arguments: lineRows) func line(_ row: Row) { row.check(as: .classic) }
  @Test(arguments: valueRows) func value(_ row: Row) { row.check(as: .classic) }
  @Test(arguments: portRows) func ports(_ row: Row) { row.check(as: .classic) }

  @Test func `a missing mandatory key has a default and a warning`() {
    let (configuration, diagnostics) = parse("TCP_PORTS=\"1\"\n", as: .classic)
    #expect(configuration.ignoreFile == "/etc/portsentry/portsentry.ignore")
    #expect(configuration.historyFile == "/var/lib/portsentry/portsentry.history")
    #expect(configuration.blockedFile == "/var/lib/portsentry/portsentry.blocked")
    #expect(
      diagnostics.map { String($0.prefix(37)) } == [
        "c: warning: BLOCKED_FILE is not set; ", "c: warning: HISTORY_FILE is not set; ",
        "c: warning: IGNORE_FILE is not set; 1",
      ])
  }

  @Test func `there is no limit on the length of a line`() {
    let ports = (1...20_000).map(String.init).joined(separator: ",")
    #expect(parse("TCP_PORTS=\"\(ports)\"").0.tcpPorts.count == 20_000)
  }

  @Test(.timeLimit(.minutes(1))) func `nor does a list of wide ranges cost more than its length`() {
    let list = PortList(String(repeating: "1-65535,2-9,", count: 20_000).utf8)
    #expect(list.itemCount == 40_000)
    #expect(list.ports.ranges == [1...65535])
    #expect(PortList("7-9,1-3,2-5,5,9".utf8).ports.ports == [1, 2, 3, 4, 5, 7, 8, 9])
  }

  @Test(arguments: [
    ("KILL_RUN_CMD", "logger alerte \u{e9}lev\u{e9}e $TARGET$"), ("KILL_ROUTE", "block \u{fc} $TARGET$"),
    ("KILL_HOSTS_DENY", "ALL: $TARGET$ # g\u{ea}nant"), ("PORT_BANNER", "Acc\u{e8}s interdit\u{ff}"),
  ])
  func `ISO 8859-1 is passed on byte for byte`(_ key: String, _ text: String) {
    let value = text.unicodeScalars.map { UInt8($0.value) }
    for dialect in [Dialect.classic, .modern] {
      let bytes = Array(mandatory.utf8) + Array("\(key)=\"".utf8) + value + [0x22, 0x0a]
      let (configuration, diagnostics) = Configuration.parse(bytes, path: "c", dialect: dialect)
      let response = configuration.response
      let read = [
        response.killRunCommand, response.killRoute, response.killHostsDeny, configuration.portBanner,
      ].compactMap { $0 }
      #expect(read.map(\.preservedBytes) == [value], "\(diagnostics)")
      #expect(!diagnostics.contains { $0.severity == .error }, "\(diagnostics)")
    }
  }

  @Test func `a path that is not UTF-8 is named and skipped`() {
    let bytes = Array(mandatory.utf8) + Array("STATE_DIR=\"/a".utf8) + [0xe9, 0x22, 0x0a]
    let (configuration, diagnostics) = Configuration.parse(bytes, path: "c", dialect: .classic)
    #expect(configuration.stateDirectory == Configuration().stateDirectory)
    #expect(diagnostics.map(\.description).contains { $0.contains(#"STATE_DIR: '/a\xe9' is not UTF-8"#) })
  }

  @Test(arguments: [
    ("'1,23'", "1,23"), ("'1,23' # c", "1,23"), ("\u{201c}1,69\u{201d}", "1,69"), ("\u{201e}1\u{201c}", "1"),
    ("\u{ab}1\u{bb}", "1"), ("\u{2018}1\u{2019}  # it's", "1"), ("1,23 # c", "1,23"), ("'1", "1"), ("''", ""),
    ("`1`", "1"), ("1#2", "1#2"),
  ])
  func `advice about quotes can be followed`(_ written: String, _ advised: String) {
    let (_, diagnostics) = parse(mandatory + "TCP_PORTS=\(written)\n", as: .classic)
    #expect(
      diagnostics == ["c:5: warning: Quotes missing from TCP_PORTS: write TCP_PORTS=\"\(advised)\". Option skipped"])
  }

  @Test func `what a message quotes cannot drive a terminal`() {
    let (_, diagnostics) = parse("\u{1b}[2Jboo\u{202e}\n", as: .classic)
    #expect(diagnostics.contains { $0.contains(#"'\u{1b}[2Jboo\u{202e}'"#) })
  }
}

@Suite struct ModernDialectTests {
  static let rows = [
    Row("blanks and tabs may stand around the =", "SCAN_TRIGGER\t= \t\"2\"") { $0.scanTrigger == 2 },
    Row("text after the value is ignored", "SCAN_TRIGGER=\"2\" # two") { $0.scanTrigger == 2 },
    Row("a CR is no part of anything", "SCAN_TRIGGER=\"2\"\r\n") { $0.scanTrigger == 2 },
    Row(
      "an indented key is an error", #" SCAN_TRIGGER="2""#, says: ["c:5: error: SCAN_TRIGGER is indented"]
    ) { $0.scanTrigger == 0 },
    Row("a line of blanks is forgiven", "   ") { _ in true },
    Row(
      "an unknown key is an error", #"BLOCK_TPC="1""#,
      says: ["c:5: error: unknown key 'BLOCK_TPC'; did you mean BLOCK_TCP?"]
    ) {
      $0.response.tcp == .logOnly
    },
    Row("a prefix of a key is no key", #"B="1""#, says: ["c:5: error: unknown key 'B'"]) {
      $0.response.tcp == .logOnly
    },
    Row("prose is an error", "Hello there", says: ["c:5: error: 'Hello there' is neither a comment"]) { _ in true },
    Row("quotes are needed", "SCAN_TRIGGER=2", says: ["c:5: error: Quotes missing from SCAN_TRIGGER"]) {
      $0.scanTrigger == 0
    },
    Row("both of them", #"SCAN_TRIGGER="2"#, says: ["c:5: error: closing quote of SCAN_TRIGGER missing"]) {
      $0.scanTrigger == 0
    },
    Row("and the =", #"SCAN_TRIGGER "2""#, says: ["c:5: error: = missing after SCAN_TRIGGER"]) { $0.scanTrigger == 0 },
    Row("and nothing before the first", #"SCAN_TRIGGER=x"2""#, says: ["c:5: error: only blanks may stand"]) {
      $0.scanTrigger == 0
    },
    Row(
      "a doubled quote is an error", #"KILL_RUN_CMD=""/bin/true""#,
      says: ["c:5: error: KILL_RUN_CMD has its first quote doubled"]
    ) {
      $0.response.killRunCommand == nil
    },
    Row(
      "the last of a repeated key is in force", "SCAN_TRIGGER=\"1\"\nSCAN_TRIGGER=\"2\"",
      says: ["c:6: warning: SCAN_TRIGGER is already set on line 5; this one is in force"]
    ) {
      $0.scanTrigger == 2
    },
    Row(
      "an empty file name means none, as the manual of 2.x says", "BLOCKED_FILE=\"\"", says: ["already set on line 3"]
    ) {
      $0.blockedFile == nil
    },
    Row("ranges are ranges", #"TCP_PORTS="1,512-515, 543-544""#) { $0.tcpPorts.count == 7 },
    Row("a range may end at 65535", #"TCP_PORTS="65530-65535""#) { $0.tcpPorts.count == 6 },
    Row(
      "every bad item is an error, the good ones stay", #"TCP_PORTS="abc,0,70000,20-10,5""#,
      says: ["TCP_PORTS: 'abc'", "TCP_PORTS: '0'", "c:5: error: TCP_PORTS: '70000'", "TCP_PORTS: '20-10'"]
    ) { $0.tcpPorts.ports == [5] },
    Row("two commas alone are an error", #"TCP_PORTS=",,""#, says: ["c:5: error: TCP_PORTS names no port"]) {
      $0.tcpPorts.isEmpty
    },
    Row("actions are 0, 1 or 2", #"BLOCK_TCP="7""#, says: ["c:5: error: BLOCK_TCP must be"]) {
      $0.response.tcp == .logOnly
    },
    Row("switches are 0 or 1", #"RESOLVE_HOST="2""#, says: ["c:5: error: RESOLVE_HOST must be 0 or 1, not '2'"]) {
      !$0.resolveHost
    },
    Row("so is this one", #"KILL_RUN_CMD_FIRST="x""#, says: ["c:5: error: KILL_RUN_CMD_FIRST"]) {
      !$0.response.runCommandFirst
    },
    Row("a negative trigger is an error", #"SCAN_TRIGGER="-1""#, says: ["c:5: error: SCAN_TRIGGER"]) {
      $0.scanTrigger == 0
    },
    Row("65536, which 2.x took for 0, is an error", #"SCAN_TRIGGER="65536""#, says: ["c:5: error: SCAN_TRIGGER"]) {
      $0.scanTrigger == 0
    },
    Row("1 without old keys is the native method", #"BLOCK_TCP="1""#) {
      $0.response.tcp == .block && $0.response.methods == [.nftables]
    },
    Row("2 without a command is an error", #"BLOCK_UDP="2""#, says: ["c:5: error: BLOCK_UDP=\"2\" runs KILL_RUN_CMD"]) {
      $0.response.udp == .runCommand
    },
    Row(
      "KILL_ROUTE without $TARGET$ is skipped", #"KILL_ROUTE="/bin/true""#, says: ["c:5: warning: KILL_ROUTE does not"]
    ) {
      $0.response.killRoute == nil
    },
    Row("the advanced keys mean what they say", "ADVANCED_PORTS_TCP=\"99\"\nADVANCED_EXCLUDE_TCP=\"22\"") {
      $0.advancedPortsTCP == 99 && $0.advancedExcludeTCP.ports == [22]
    },
  ]

  @Test(arguments: rows) func line(_ row: Row) { row.check(as: .modern) }

  @Test func `files that are not named are not kept`() {
    let (configuration, diagnostics) = parse("TCP_PORTS=\"1\"\n", as: .modern)
    #expect(diagnostics.isEmpty)
    #expect(configuration.ignoreFile == nil)
    #expect(configuration.historyFile == nil)
    #expect(configuration.blockedFile == nil)
  }

  @Test func `all problems are told at once, in the order of their lines`() {
    let (_, diagnostics) = parse("TCP_PORTS=\"1-2\"\nBLOCK_TCP=\"9\"\nhm\nBLOKC_UDP=\"1\"\nRESOLVE_HOST=\"5\"\n")
    #expect(diagnostics.map { String($0.prefix(10)) } == ["c:2: error", "c:3: error", "c:4: error", "c:5: error"])
  }

  @Test func `a wrong file does not fill the screen`() {
    let (_, diagnostics) = parse("TCP_PORTS=\"1-2\"\n" + String(repeating: "x\n", count: 5000), as: .modern)
    #expect(diagnostics.count == 201)
    #expect(diagnostics.last == "c: error: and 4800 more of these: is this the right file?")
  }
}

/// Keys of our own are strict in both dialects.
@Suite struct OwnKeysTests {
  static let rows = [
    Row("both histories", #"HISTORY_FORMAT="both""#) { $0.historyFormat == [.classic, .modern] },
    Row("2.x's history", #"HISTORY_FORMAT="2""#) { $0.historyFormat == [.modern] },
    Row("another history", #"HISTORY_FORMAT="3""#, says: ["c:5: error: HISTORY_FORMAT must be 1.2, 2 or both"]) { _ in
      true
    },
    Row("several methods", #"BLOCK_METHOD="route, nftables route""#) { $0.response.methods == [.route, .nftables] },
    Row(
      "a misspelt method", #"BLOCK_METHOD="nftable""#,
      says: [
        "c:5: error: BLOCK_METHOD: 'nftable' is none of nftables, route, hosts.deny, command; did you mean nftables?"
      ]
    ) {
      $0.response.methods == [.nftables]
    },
    Row("no method", #"BLOCK_METHOD="""#, says: ["c:5: error: BLOCK_METHOD must name"]) {
      $0.response.methods == [.nftables]
    },
    Row("a command that is not there", #"BLOCK_METHOD="command""#, says: ["c:5: error: BLOCK_METHOD names command"]) {
      $0.response.methods == [.command]
    },
    Row("hosts.deny has a line of its own", #"BLOCK_METHOD="hosts.deny""#) {
      $0.response.killHostsDeny == "ALL: $TARGET$"
    },
    Row(
      "a command that is not used", "BLOCK_METHOD=\"nftables\"\nKILL_ROUTE=\"r $TARGET$\"",
      says: ["c:6: warning: KILL_ROUTE is not used"]
    ) { $0.response.methods == [.nftables] },
    Row("minutes", #"BLOCK_TIME="30m""#) { $0.response.duration == .seconds(1800) },
    Row("hours", #"BLOCK_TIME="24h""#) { $0.response.duration == .seconds(86_400) },
    Row("days", #"BLOCK_TIME="7D""#) { $0.response.duration == .seconds(604_800) },
    Row("weeks", #"BLOCK_TIME="2w""#) { $0.response.duration == .seconds(1_209_600) },
    Row("seconds", #"BLOCK_TIME="90""#) { $0.response.duration == .seconds(90) },
    Row("blanks around a time", #"BLOCK_TIME=" 30 m ""#) { $0.response.duration == .seconds(1800) },
    Row("two numbers are no time", #"BLOCK_TIME="3 0""#, says: ["c:5: error: BLOCK_TIME must be"]) {
      $0.response.duration == .seconds(86_400)
    },
    Row("for ever", #"BLOCK_TIME="forever""#) { $0.response.duration == nil },
    Row("0 is for ever", #"BLOCK_TIME="0""#) { $0.response.duration == nil },
    Row("no time", #"BLOCK_TIME="soon""#, says: ["c:5: error: BLOCK_TIME must be"]) {
      $0.response.duration == .seconds(86_400)
    },
    Row("a negative time", #"BLOCK_TIME="-5m""#, says: ["c:5: error: BLOCK_TIME"]) {
      $0.response.duration == .seconds(86_400)
    },
    Row("a time beyond all clocks", #"BLOCK_TIME="99999999999999999999w""#, says: ["c:5: error: BLOCK_TIME"]) { _ in
      true
    },
    Row("the most blocks", #"BLOCK_MAX="10""#) { $0.response.maximum == 10 },
    Row(
      "no blocks at all are BLOCK_TCP's business", #"BLOCK_MAX="0""#,
      says: ["c:5: error: BLOCK_MAX must be a number from 1"]
    ) {
      $0.response.maximum == 131_072
    },
    Row("the most new blocks", #"BLOCK_RATE="0""#) { $0.response.perMinute == 0 },
    Row("files have an end", "") { $0.fileSize == 64 << 20 && $0.fileRate == 1 << 20 },
    Row("larger files, faster", "FILE_SIZE=\"2G\"\nFILE_RATE=\"512k\"") {
      $0.fileSize == 2 << 30 && $0.fileRate == 512 << 10
    },
    Row("files without an end", "FILE_SIZE=\"0\"\nFILE_RATE=\"0\"") { $0.fileSize == 0 && $0.fileRate == 0 },
    Row("hardly a file", #"FILE_SIZE="1K""#, says: ["c:5: error: FILE_SIZE must be 64K or more"]) {
      $0.fileSize == 64 << 20
    },
    Row("a rate without a unit", #"FILE_RATE="100000""#, says: ["c:5: error: FILE_RATE must be 64K or more"]) { _ in
      true
    },
    Row("prefixes up to a /64", "") { $0.response.widestPrefix == 64 },
    Row("no prefixes", #"BLOCK_PREFIX_IPV6="128""#) { $0.response.widestPrefix == 128 },
    Row("wide prefixes", #"BLOCK_PREFIX_IPV6="48""#) { $0.response.widestPrefix == 48 },
    Row("no such prefix", #"BLOCK_PREFIX_IPV6="60""#, says: ["c:5: error: BLOCK_PREFIX_IPV6 must be 64, 56, 48"]) {
      $0.response.widestPrefix == 64
    },
    Row("UNKILL_ROUTE", #"UNKILL_ROUTE="/sbin/ip route del $TARGET$""#) {
      $0.response.unkillRoute == "/sbin/ip route del $TARGET$"
    },
    Row("a command's time", #"COMMAND_TIMEOUT="5m""#) { $0.response.commandTimeout == .seconds(300) },
    Row("a command needs some time", #"COMMAND_TIMEOUT="0""#, says: ["c:5: error: COMMAND_TIMEOUT"]) {
      $0.response.commandTimeout == .seconds(60)
    },
    Row("another hosts.deny", #"HOSTS_DENY_FILE="/etc/h""#) { $0.response.hostsDenyFile == "/etc/h" },
    Row("another state directory", #"STATE_DIR="/s""#) { $0.stateDirectory == "/s" },
    Row("a relative one", #"STATE_DIR="s""#, says: ["c:5: error: STATE_DIR must begin with /"]) {
      $0.stateDirectory == "/var/lib/portsentry"
    },
    Row("another socket", #"CONTROL_SOCKET="/c""#) { $0.controlSocket == "/c" },
    Row(
      "a socket whose name is too long", "CONTROL_SOCKET=\"/" + String(repeating: "x", count: 107) + "\"",
      says: ["c:5: error: CONTROL_SOCKET has 108 bytes"]
    ) { $0.controlSocket == "/run/portsentry/control.sock" },
    Row("no journal", #"JOURNAL="0""#) { !$0.recording.keepsJournal },
    Row("half a journal", #"JOURNAL="yes""#, says: ["c:5: error: JOURNAL must be 0 or 1"]) { _ in true },
    Row("detail for a quarter", #"JOURNAL_KEEP="12w""#) { $0.recording.keep == .seconds(12 * 7 * 86_400) },
    Row("detail for less than a day", #"JOURNAL_KEEP="23h""#, says: ["c:5: error: JOURNAL_KEEP must be from 1d"]) {
      $0.recording.keep == .seconds(30 * 86_400)
    },
    Row("a size", #"JOURNAL_SIZE="2g""#) { $0.recording.size == 2 << 30 },
    Row("a size without a unit", #"JOURNAL_SIZE="512""#, says: ["c:5: error: JOURNAL_SIZE must be from 16M"]) {
      $0.recording.size == 512 << 20
    },
    Row("a size too small", #"JOURNAL_SIZE="15M""#, says: ["c:5: error: JOURNAL_SIZE"]) {
      $0.recording.size == 512 << 20
    },
    Row("a size beyond all disks", #"JOURNAL_SIZE="99999999999999999999G""#, says: ["c:5: error: JOURNAL_SIZE"]) {
      $0.recording.size == 512 << 20
    },
    Row("files for other programs", "EVENTS_FILE=\"/e\"\nEVE_FILE=\"/v\"\nMETRICS_FILE=\"/m\"") {
      $0.recording.eventsFile == "/e" && $0.recording.eveFile == "/v" && $0.recording.metricsFile == "/m"
    },
    Row("a relative one for others", #"EVE_FILE="v""#, says: ["c:5: error: EVE_FILE must begin with /"]) {
      $0.recording.eveFile == nil
    },
    Row("places", #"GEOIP_FILE="/a.mmdb, /b.mmdb""#) { $0.recording.geoIPFiles == ["/a.mmdb", "/b.mmdb"] },
    Row("places nowhere", #"GEOIP_FILE="/a,b""#, says: ["c:5: error: GEOIP_FILE must name files that begin with /"]) {
      $0.recording.geoIPFiles == ["/a"]
    },
    Row("a page", #"CONSOLE_LISTEN="[::1]:8087""#) {
      $0.recording.consoleListen == .tcp(IPAddress("::1")!, port: 8087)
    },
    Row("who is told", #"NOTIFY="mail root""#) { $0.recording.notify.target == .mail(["root"]) },
    Row("nobody is told", #"NOTIFY="""#) { $0.recording.notify == NotifySettings() },
    Row(
      "who is told in the clear", #"NOTIFY="ntfy http://ntfy.example/t""#,
      says: ["c:5: warning: NOTIFY: messages and secrets are sent unencrypted; use https://"]
    ) { $0.recording.notify.target != nil },
    Row(
      "nobody of that name", #"NOTIFY="nfty https://SECRET.example/t""#,
      says: ["c:5: error: NOTIFY: the first word must be command, mail, ntfy"]
    ) { $0.recording.notify.target == nil },
    Row("what is told", #"NOTIFY_EVENTS="scan, loss""#) { $0.recording.notify.kinds == [.scan, .loss] },
    Row(
      "what nobody can be told", #"NOTIFY_EVENTS="blok hidden-decoys""#,
      says: [
        "c:5: error: NOTIFY_EVENTS: 'blok' is none of block, loss, hidden-decoys, scan, flood; did you mean block?"
      ]
    ) { _ in true },
    Row("how often", #"NOTIFY_PER_HOUR="3""#) { $0.recording.notify.perHour == 3 },
    Row(
      "never", #"NOTIFY_PER_HOUR="0""#, says: ["c:5: error: NOTIFY_PER_HOUR must be a number from 1 to 1000, not '0'"]
    ) { $0.recording.notify.perHour == 12 },
    Row("a fleet where there is its file", "") { $0.fleet.file == "/etc/portsentry/fleet.node" && !$0.fleet.isNamed },
    Row("no CrowdSec", "CROWDSEC_KEY=\"\"\nCROWDSEC_MACHINE=\"\"") { !$0.crowdSec.isOn },
    Row(
      "CrowdSec both ways",
      "CROWDSEC_KEY=\"/etc/k\"\nCROWDSEC_MACHINE=\"/etc/m\"\nCROWDSEC_DECISIONS=\"Ban\"\nCROWDSEC_URL=\"https://lapi:8080/\""
    ) {
      $0.crowdSec.keyFile == "/etc/k" && $0.crowdSec.machineFile == "/etc/m" && $0.crowdSec.use == .ban
        && $0.crowdSec.url == "https://lapi:8080"
    },
    Row(
      "another word for decisions", #"CROWDSEC_DECISIONS="drop""#,
      says: ["c:5: error: CROWDSEC_DECISIONS must be watch or ban, not 'drop'"]
    ) { $0.crowdSec.use == .watch },
    Row("a server without a scheme", #"CROWDSEC_URL="lapi:8080""#, says: ["c:5: error: CROWDSEC_URL must be http://"]) {
      $0.crowdSec.url == nil
    },
    Row(
      "secrets on the way", #"CROWDSEC_URL="http://lapi:8080""#,
      says: ["c:5: warning: CROWDSEC_URL: secrets are sent unencrypted"]
    ) { $0.crowdSec.url == "http://lapi:8080" },
    Row("no fleet", #"FLEET="""#) { $0.fleet.file == nil && !$0.fleet.isNamed },
    Row("a relative fleet", #"FLEET="f""#, says: ["c:5: error: FLEET must begin with /"]) { !$0.fleet.isNamed },
    Row(
      "a fleet", "FLEET=\"/etc/f\"\nFLEET_QUORUM=\"4\"\nFLEET_ZONES=\"2\"\nFLEET_TIME=\"7d\"\nFLEET_MAX=\"5\""
    ) {
      $0.fleet.file == "/etc/f" && $0.fleet.isNamed && $0.fleet.quorum == 4 && $0.fleet.zones == 2
        && $0.fleet.time == .seconds(604_800) && $0.fleet.most == 5
    },
    Row("one witness", #"FLEET_QUORUM="1""#, says: ["c:5: error: FLEET_QUORUM must be a number from 2 to 8, not '1'"]) {
      $0.fleet.quorum == 3
    },
    Row("more zones than witnesses", #"FLEET_ZONES="4""#, says: ["c:5: error: FLEET_ZONES asks for more zones"]) { _ in
      true
    },
    Row("a page in a socket", #"CONSOLE_LISTEN="/run/p""#) { $0.recording.consoleListen == .unix("/run/p") },
    Row(
      "a page for everybody", #"CONSOLE_LISTEN="0.0.0.0:80""#,
      says: ["c:5: error: CONSOLE_LISTEN: 0.0.0.0 can be reached from outside"]
    ) { $0.recording.consoleListen == nil },
    Row(
      "a page about nothing", "CONSOLE_LISTEN=\"8087\"\nJOURNAL=\"0\"",
      says: ["c:5: error: CONSOLE_LISTEN serves a page about the journal"]
    ) { _ in true },
  ]

  @Test(arguments: rows, Dialect.allCases) func line(_ row: Row, dialect: Dialect) { row.check(as: dialect) }

  @Test func `a path that depends on where we are started is warned of`() {
    let (_, diagnostics) = parse(mandatory + "HISTORY_FORMAT=\"2\"\n", as: .classic)
    #expect(diagnostics.isEmpty)
    let (_, more) = parse("TCP_PORTS=\"1\"\nBLOCKED_FILE=\"/dev/shm/b\"\nHISTORY_FILE=\"h\"\n", as: .modern)
    #expect(more.count == 1)
    #expect(more.last?.hasPrefix("c:3: warning: HISTORY_FILE: 'h' depends on the directory") == true)
  }
}

@Suite struct DialectTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var text: String
    var expected: Dialect?
  }

  static let cases = [
    Case(testDescription: "nothing", text: "", expected: nil),
    Case(testDescription: "what both read alike", text: mandatory, expected: nil),
    Case(testDescription: "an advanced key", text: "TCP_PORTS=\"1-2\"\nADVANCED_PORTS_TCP=\"9\"", expected: .classic),
    Case(testDescription: "an advanced key that is indented", text: " ADVANCED_PORTS_TCP=\"9\"", expected: .classic),
    Case(testDescription: "a missing quote", text: "BLOCK_TCP=\"0", expected: .classic),
    Case(testDescription: "a missing =", text: "BLOCK_TCP \"0\"", expected: .classic),
    Case(testDescription: "prose", text: "hello", expected: .classic),
    Case(testDescription: "a range", text: "TCP_PORTS=\"1-2\"", expected: .modern),
    Case(testDescription: "a tab before the =", text: "TCP_PORTS\t=\"1\"", expected: .modern),
    Case(testDescription: "forms of both", text: "TCP_PORTS=\"1-2\"\nhello", expected: nil),
    Case(testDescription: "a misspelt key", text: "TCP_PORTZ=\"1\"", expected: nil),
    Case(testDescription: "a key of ours", text: "BLOCK_TIME=\"1h\"", expected: nil),
  ]

  @Test(arguments: cases) func detection(_ row: Case) {
    #expect(ConfigurationFile(Array(row.text.utf8)).dialect == row.expected)
    for preference in [Dialect?.none, .classic, .modern] {
      #expect(parse(row.text, preferring: preference).0.dialect == row.expected ?? preference ?? .modern)
    }
    for forced in Dialect.allCases {
      let configuration = parse(row.text, as: forced, preferring: .modern).0
      #expect(configuration.dialect == forced)
      #expect(configuration.historyFormat == [forced])
    }
  }
}

@Suite struct EmbeddedTests {
  @Test func `without a file everything is watched for and nothing is done`() {
    let c = Configuration.embedded
    #expect(c.response.tcp == .logOnly && c.response.udp == .logOnly)
    #expect(c.advancedPortsTCP == 1024 && c.advancedPortsUDP == 1024)
    #expect(!c.tcpPorts.isEmpty && !c.udpPorts.isEmpty)
    #expect(c.advancedExcludeTCP.contains(113) && c.advancedExcludeTCP.contains(139))
    for port in [67, 137, 138, 520] as [UInt16] { #expect(c.advancedExcludeUDP.contains(port)) }
    #expect(Configuration.classicTCPPorts.count == 26)
    #expect(Configuration.classicUDPPorts.count == 21)
  }
}

@Suite struct ConfigurationRowTests {
  @Test func `Every key has one row, and the rows are in the order of the keys`() {
    #expect(ConfigurationRow.all.map(\.key) == ConfigurationKey.allCases)
  }

  @Test(arguments: ConfigurationKey.allCases.filter { !$0.facts.defaultText.isEmpty })
  func `The default that a row tells is what holds without the key`(_ key: ConfigurationKey) {
    var bare = ConfigurationReader(dialect: .classic, path: "c")
    bare.applyDefaults()
    let before = bare.configuration
    let warnings = bare.diagnostics.sorted.count
    ConfigurationRow.of(key).apply(&bare, key, ConfigurationReader.Setting(line: 1, value: key.facts.defaultText))
    #expect(bare.configuration == before && bare.diagnostics.sorted.count == warnings)
  }
}
