import Configuration
import Detection
import Platform
import Response
import TestSupport
import Testing
import Wire

@testable import Daemon

private let classic = """
  TCP_PORTS="1,11,15"
  UDP_PORTS="7,9"
  ADVANCED_PORTS_TCP="100"
  ADVANCED_EXCLUDE_TCP="22,80"
  ADVANCED_PORTS_UDP="50"
  IGNORE_FILE="FOLDER/ignore"
  HISTORY_FILE="FOLDER/history"
  BLOCKED_FILE="FOLDER/blocked"
  BLOCK_TCP="0"
  BLOCK_UDP="0"
  SCAN_TRIGGER="2"

  """

private let modern = """
  TCP_PORTS = "1,7,512-515"
  UDP_PORTS = "517-518"

  """

/// What a way of calling comes to, from files in a folder of its own.
private struct Call {
  var configuration: String? = classic
  var defaults: String?
  var ignore: String? = "198.51.100.0/24\n"
  var options = RunOptions()

  func plan() throws -> Plan {
    try inFolder { folder in
      var options = options
      options.defaultsPath = "\(folder)/default"
      if let configuration {
        try write(configuration.replacing("FOLDER", with: folder), to: "\(folder)/portsentry.conf")
        options.configurationPath = "\(folder)/portsentry.conf"
      }
      if let defaults { try write(defaults, to: "\(folder)/default") }
      if let ignore { try write(ignore, to: "\(folder)/ignore") }
      return Plan.make(options)
    }
  }
}

extension Plan {
  /// The errors, as one text.
  fileprivate var errors: String { diagnostics.filter { $0.severity == .error }.map(\.message).joined(separator: "\n") }
}

@Suite struct PlanTests {
  @Test("A file where everybody may put one first is warned of, and such a STATE_DIR is not read")
  func foreignFolders() throws {
    var call = Call()
    call.configuration = classic + "STATE_DIR=\"/tmp/portsentry-state\"\nEVE_FILE=\"/tmp/eve.json\"\n"
    let plan = try call.plan()
    let warnings = plan.diagnostics.map(\.message)
    for key in ["STATE_DIR", "EVE_FILE"] {
      #expect(warnings.contains { $0.hasPrefix("\(key): every user can write to /tmp: ") }, "\(warnings)")
    }
    #expect(plan.keptDirectory == nil && plan.recorderSettings.journal == nil)
    #expect(!warnings.contains { $0.hasPrefix("CONTROL_SOCKET") }, "/run is root's alone")
    call.configuration = classic
    call.options.stateDirectory = "/var/lib/portsentry-test"
    #expect(try call.plan().keptDirectory == "/var/lib/portsentry-test")
    #expect(try call.plan().recorderSettings.journal != nil)
  }

  @Test("1.2's arguments", arguments: [(Mode.connect, [1, 11, 15]), (.stealth, [1, 11, 15])] as [(Mode, [UInt16])])
  func classicArguments(mode: Mode, ports: [UInt16]) throws {
    var call = Call()
    call.options.tcpMode = mode
    let plan = try call.plan()
    #expect(plan.errors == "" && plan.tcpMode == mode && plan.udpMode == nil && plan.logDialect == .classic)
    #expect(plan.ports(.tcp).ports == ports && plan.ports(.udp).isEmpty)
    #expect(plan.modesFrom == "the command line" && plan.configuration.dialect == .classic)
    #expect(plan.ignored.contains(IPAddress("198.51.100.9")!) && plan.configuration.scanTrigger == 2)
  }

  @Test(
    "what root did for 1.2 and another user cannot do is said",
    arguments: [
      ("BLOCK_TCP=\"1\"\nKILL_RUN_CMD=\"/bin/mail root\"\n", "KILL_RUN_CMD"),
      ("BLOCK_UDP=\"2\"\nKILL_RUN_CMD=\"/bin/mail root\"\n", "KILL_RUN_CMD"),
      ("BLOCK_TCP=\"1\"\nKILL_ROUTE=\"/sbin/iptables -I INPUT -s $TARGET$ -j DROP\"\n", "KILL_ROUTE"),
      ("BLOCK_TCP=\"1\"\nKILL_HOSTS_DENY=\"ALL: $TARGET$\"\n", "KILL_HOSTS_DENY"),
      // By netlink, and nothing to do.
      ("BLOCK_TCP=\"1\"\nKILL_ROUTE=\"/sbin/route add -host $TARGET$ reject\"\n", nil),
      ("BLOCK_TCP=\"0\"\nKILL_RUN_CMD=\"/bin/mail root\"\n", nil),
      ("BLOCK_TCP=\"2\"\nKILL_HOSTS_DENY=\"ALL: $TARGET$\"\n", nil),
      ("BLOCK_TCP=\"1\"\nBLOCK_METHOD=\"nftables\"\n", nil),
    ] as [(String, String?)])
  func commandsWithoutRoot(lines: String, key: String?) throws {
    func said(_ user: String?) throws -> String? {
      var call = Call(
        configuration: classic.replacing("BLOCK_TCP=\"0\"\n", with: "").replacing("BLOCK_UDP=\"0\"\n", with: "") + lines
      )
      call.options.tcpMode = .stealth
      call.options.commandUser = user
      return try call.plan().diagnostics.map(\.message).first { $0.contains("the sentry runs as user") }
    }
    #expect(try said(nil) == nil)
    let message = try said("portsentry")
    #expect((message == nil) == (key == nil), "\(message ?? "nothing said")")
    if let key { #expect(message?.contains(key) == true && message?.contains("as user portsentry") == true) }
  }

  @Test(
    "the unit's user",
    arguments: [
      (nil, [], nil),
      ("[Service]\nUser=portsentry\n", [], "portsentry"),
      ("[Service]\n", [], "root"),
      ("[Service]\nUser=portsentry\n", [("a", "classic.conf", "User=root\n")], "root"),
      ("[Service]\nUser=portsentry\n", [("a", "b.conf", "User=two\n"), ("b", "a.conf", "User=one\n")], "two"),
      ("[Service]\nUser=portsentry\n", [("a", "a.conf", "User=mine\n"), ("b", "a.conf", "User=shipped\n")], "mine"),
      ("[Service]\nUser=portsentry\n", [("a", "a.txt", "User=root\n")], "portsentry"),
    ] as [(String?, [(String, String, String)], String?)])
  func unitUser(unit: String?, dropIns: [(folder: String, name: String, text: String)], expected: String?) throws {
    try inFolder { folder in
      for name in ["a", "b", "a/portsentry.service.d", "b/portsentry.service.d"] {
        try Files.createFolder("\(folder)/\(name)")
      }
      if let unit { try write(unit, to: "\(folder)/b/portsentry.service") }
      for file in dropIns { try write(file.text, to: "\(folder)/\(file.folder)/portsentry.service.d/\(file.name)") }
      #expect(ServiceUser.find(in: ["\(folder)/a", "\(folder)/b"]) == expected)
    }
  }

  @Test func advanced() throws {
    var call = Call()
    (call.options.tcpMode, call.options.udpMode) = (.advanced, .advanced)
    let plan = try call.plan()
    #expect(plan.errors == "")
    #expect(plan.ports(.tcp) == PortSet(ranges: [0...21, 23...79, 81...99]))
    #expect(plan.ports(.udp).ranges.last?.upperBound == 49)
  }

  @Test("The bound of the advanced modes", arguments: [("1", 1), ("1024", 1024), ("65534", 65534), ("65535", 65536)])
  func advancedBound(setting: String, count: Int) throws {
    var call = Call()
    call.configuration = classic.replacing("\"100\"", with: "\"\(setting)\"").replacing("\"22,80\"", with: "\"40000\"")
    call.options.tcpMode = .advanced
    let plan = try call.plan()
    #expect(plan.ports(.tcp).count == count - (count > 40_000 ? 1 : 0))
  }

  @Test("2.x's arguments", arguments: [Mode.stealth, .connect])
  func modernArguments(mode: Mode) throws {
    var call = Call(configuration: modern)
    call.options.modernMode = mode
    let plan = try call.plan()
    #expect(plan.errors == "" && plan.tcpMode == mode && plan.udpMode == mode && plan.logDialect == .modern)
    #expect(plan.ports(.tcp).description == "1,7,512-515" && plan.ports(.udp).description == "517-518")
    call.configuration = "TCP_PORTS=\"1\"\n"
    let half = try call.plan()
    #expect(half.errors == "" && half.tcpMode == mode && half.udpMode == nil)
  }

  @Test func nothingSaidWithA2xFile() throws {
    let plan = try Call(configuration: modern, defaults: "TCP_MODE=\"atcp\"\n").plan()
    #expect(plan.tcpMode == .stealth && plan.udpMode == .stealth && plan.logDialect == .modern)
    #expect(plan.modesFrom == "the default (--stealth)" && plan.errors == "")
  }

  @Test func nothingSaidWithA12File() throws {
    let plan = try Call(defaults: "TCP_MODE=\"atcp\"\nUDP_MODE=\"sudp\"\n").plan()
    #expect(plan.tcpMode == .advanced && plan.udpMode == .stealth && plan.logDialect == .classic && plan.errors == "")
    #expect(plan.modesFrom.hasSuffix("/default"))
    let half = try Call(defaults: "TCP_MODE=\"tcp\"\n").plan()
    #expect(
      half.tcpMode == .connect && half.udpMode == nil && half.errors == "", "a missing line leaves that protocol alone")
    let none = try Call(defaults: "# nothing\n").plan()
    #expect(none.errors.contains("neither TCP_MODE nor UDP_MODE is set"))
    let without = try Call().plan()
    #expect(without.tcpMode == .stealth && without.udpMode == .stealth && without.errors == "")
  }

  @Test func theCommandLineBeatsTheDefaultsFile() throws {
    var call = Call(defaults: "TCP_MODE=\"atcp\"\nUDP_MODE=\"audp\"\n")
    call.options.udpMode = .connect
    let plan = try call.plan()
    #expect(plan.tcpMode == nil && plan.udpMode == .connect)
  }

  @Test func missingFiles() throws {
    // A file that was named must be there.
    var call = Call()
    call.options.configurationPath = "/nonexistent/portsentry.conf"
    call.configuration = nil
    #expect(try call.plan().errors.hasPrefix("cannot read it: "))
    // An ignore file that is missing is said, and is no reason to stop.
    call = Call(ignore: nil)
    call.options.tcpMode = .stealth
    let plan = try call.plan()
    #expect(plan.errors == "" && plan.ignored.isEmpty)
    #expect(
      plan.diagnostics.contains { $0.severity == .warning && $0.message.hasPrefix("cannot read the ignore file") })
  }

  @Test(.enabled(if: !isInstalled, "a configuration is installed here")) func noFileAtAll() throws {
    let plan = try Call(configuration: nil).plan()
    #expect(
      plan.errors == "" && plan.configurationPath == nil && plan.tcpMode == .advanced && plan.udpMode == .advanced)
    #expect(plan.configuration.response.tcp == .logOnly && plan.configuration.response.udp == .logOnly)
    #expect(plan.modesFrom.contains("built-in"))
    #expect(plan.ports(.tcp).contains(23) && !plan.ports(.tcp).contains(113))
  }

  private static var isInstalled: Bool { text(of: RunOptions.defaultConfigurationPath) != nil }

  @Test func nothingToWatch() throws {
    var call = Call(configuration: "BLOCK_TCP=\"0\"\n")
    #expect(try call.plan().errors != "")
    call.options.tcpMode = .stealth
    #expect(try call.plan().errors.contains("needs TCP_PORTS"))
  }

  @Test func optionsOverTheFile() throws {
    var call = Call()
    call.options.tcpMode = .stealth
    call.options.logFormat = .modern
    call.options.stateDirectory = "/state"
    call.options.controlSocket = "/socket"
    call.options.actsOnOwnAddress = true
    let plan = try call.plan()
    #expect(plan.logDialect == .modern && plan.configuration.stateDirectory == "/state")
    #expect(plan.configuration.controlSocket == "/socket" && plan.configuration.response.actsOnOwnAddress)
  }

  // MARK: What is lied about

  private func trap(_ text: String, tcp: Mode?, udp: Mode? = nil, interfaces: InterfaceSelection? = nil) throws
    -> NFTablesTrap?
  {
    var call = Call()
    call.configuration =
      classic.replacing("BLOCK_TCP=\"0\"\n", with: "").replacing("BLOCK_UDP=\"0\"\n", with: "") + text
    call.options.tcpMode = tcp
    call.options.udpMode = udp
    call.options.interfaces = interfaces
    let plan = try call.plan()
    return plan.trap(call.options)
  }

  @Test func `An advanced mode lies to everybody about its ports, and to the doubted about all, where it blocks`()
    throws
  {
    let logging = try #require(try trap("", tcp: .advanced))
    #expect(logging.decoy.description == "0-21,23-79,81-99")
    #expect(logging.doubt == nil && logging.interfaces.isEmpty)
    let blocking = try #require(try trap("BLOCK_TCP=\"1\"\nDOUBT_TIME=\"5s\"\n", tcp: .advanced, udp: .stealth))
    #expect(blocking.decoy == logging.decoy && blocking.tcp == logging.decoy && blocking.doubt == .seconds(5))
    #expect(blocking.udp.ports == [7, 9])
    let some = try #require(try trap("", tcp: .advanced, interfaces: .named(["eth0"])))
    #expect(some.interfaces == ["eth0"])
  }

  @Test(
    arguments: [
      ("", .stealth, false), ("ADVANCED_DECOY=\"0\"\n", .advanced, false), ("", .connect, false),
      ("BLOCK_TCP=\"1\"\n", .stealth, true), ("BLOCK_TCP=\"1\"\n", .connect, false),
      ("BLOCK_TCP=\"1\"\nDOUBT_TIME=\"0\"\n", .stealth, false), ("BLOCK_TCP=\"1\"\nPROOF=\"none\"\n", .stealth, false),
      ("BLOCK_TCP=\"1\"\nKILL_ROUTE=\"true $TARGET$\"\n", .stealth, false),
      ("BLOCK_TCP=\"1\"\nBLOCK_METHOD=\"route\"\n", .stealth, true),
      ("BLOCK_TCP=\"2\"\nKILL_RUN_CMD=\"true\"\n", .stealth, false),
    ] as [(String, Mode, Bool)])
  func `Nobody is lied to without a reason`(_ text: String, _ mode: Mode, _ lies: Bool) throws {
    #expect((try trap(text, tcp: mode) != nil) == lies)
  }

  @Test(
    arguments: [
      ("BLOCK_TCP=\"1\"\n", .stealth, false), ("BLOCK_TCP=\"1\"\nDOUBT_TIME=\"0\"\n", .stealth, true),
      ("BLOCK_TCP=\"1\"\nDOUBT_TIME=\"0\"\n", .advanced, false),
      ("BLOCK_TCP=\"1\"\nDOUBT_TIME=\"0\"\n", .connect, false),
      ("BLOCK_UDP=\"1\"\n", .stealth, true), ("BLOCK_TCP=\"1\"\nDOUBT_TIME=\"0\"\nPROOF=\"none\"\n", .stealth, false),
      ("BLOCK_TCP=\"0\"\n", .stealth, false),
    ] as [(String, Mode, Bool)])
  func `Where nothing can be proven it is said that nobody will be blocked`(_ text: String, _ mode: Mode, _ warns: Bool)
    throws
  {
    var call = Call()
    call.configuration =
      classic.replacing("BLOCK_TCP=\"0\"\n", with: "").replacing("BLOCK_UDP=\"0\"\n", with: "") + text
    call.options.tcpMode = mode
    let plan = try call.plan()
    #expect(plan.diagnostics.contains { $0.message.contains("NOBODY WILL BE BLOCKED") } == warns)
    #expect(!plan.hasErrors)
  }
}
