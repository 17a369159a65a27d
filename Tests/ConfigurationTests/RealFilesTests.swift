import Detection
import Foundation
import Response
import Testing
import Wire

@testable import Configuration

/// Configuration files from the wild, with what the predecessors made of each; the tests pass without the folder.
enum RealFiles {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../../shared/configs").standardizedFileURL

  static func bytes(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: folder.appendingPathComponent(name)))
  }

  static func names(_ directory: String = "", suffix: String = "") -> [String] {
    let path = folder.appendingPathComponent(directory).path
    return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).filter { $0.hasSuffix(suffix) }.sorted()
  }
}

/// What ORACLE.json says of one run of one program on one file.
private struct Run: Decodable {
  var active: Bool?
  var actions: [String]
  var portCount: Int?
  var msg: [String]?

  enum CodingKeys: String, CodingKey {
    case active, actions, msg
    case portCount = "n_ports"
  }
}

@Suite struct RealFilesTests {
  /// The number of diagnostics on each file, and something that one of them says.
  static let expected: [String: (count: Int, says: String)] = [
    "07-bleplat-duplicate-ports.conf": (2, ":38: warning: TCP_PORTS is already set on line 34"),
    "11-krnick-first-vs-last.conf": (3, ":170: warning: KILL_ROUTE is already set on line 166"),
    "13-thdelmas-all-indented.conf": (20, ":90: warning: BLOCKED_FILE is indented"),
    "17-cuxonet-trailing-comment-utf8.conf": (6, ":18: warning: TCP_PORTS: 1.2 read only the first port of a range"),
    "21-ezouz-double-double-quote.conf": (2, ":275: warning: KILL_RUN_CMD has its first quote doubled"),
    "25-marxskud-kill-route-twice.conf": (1, ":213: warning: KILL_ROUTE is indented"),
  ]

  @Test(arguments: RealFiles.names(suffix: ".conf"))
  func `is read as the predecessor read it`(_ name: String) throws {
    let oracle = try JSONDecoder().decode(
      [String: [String: Run]].self, from: Data(contentsOf: RealFiles.folder.appendingPathComponent("ORACLE.json")))
    let runs = try #require(oracle[name])
    let connect = try #require(runs["1.2 tcp"])
    let (configuration, diagnostics) = Configuration.parse(try RealFiles.bytes(name), path: name)

    #expect(!diagnostics.contains { $0.severity == .error })
    let (count, says) = Self.expected[name] ?? (0, "")
    #expect(diagnostics.count == count, "\(diagnostics)")
    if count > 0 { #expect(diagnostics.contains { $0.description.contains(says) }) }
    if connect.active == false { #expect(diagnostics.contains { $0.description.contains("1.2 would have refused") }) }

    // 2.x refuses every file of 1.2, and its own is the only one it starts with.
    let modernRefuses = !(runs["2.x --connect"]?.msg ?? []).isEmpty
    #expect(configuration.dialect == (modernRefuses ? .classic : .modern))

    // Ranges count in full here; 1.2 took their first port.
    switch name {
    case "03-upstream-2.x.conf": #expect(configuration.tcpPorts.count == 28 && connect.portCount == 24)
    case "17-cuxonet-trailing-comment-utf8.conf":
      #expect(configuration.tcpPorts.count == 1024 && connect.portCount == 1)
    default: #expect(configuration.tcpPorts.count == connect.portCount)
    }
    for (mode, run) in [("tcp", connect), ("atcp", try #require(runs["1.2 atcp"]))] {
      #expect(Self.actions(configuration.response, mode: mode, like: run.actions) == run.actions)
    }
  }

  /// What 1.2 logs for the response to 10.0.0.121, with the port taken from what it did log.
  static func actions(_ settings: ResponsePolicy.Settings, mode: String, like logged: [String]) -> [String] {
    func fill(_ template: String, _ port: String) -> String {
      template.replacingOccurrences(of: "$TARGET$", with: "10.0.0.121")
        .replacingOccurrences(of: "$PORT$", with: port).replacingOccurrences(of: "$MODE$", with: mode)
    }
    let port = mode == "tcp" ? "1" : "111"
    var result: [String] = []
    if settings.tcp == .block, let line = settings.killHostsDeny {
      result.append("attackalert: Host 10.0.0.121 has been blocked via wrappers with string: \"\(fill(line, port))\"")
    }
    if settings.tcp == .block, let command = settings.killRoute {
      result.append(
        "attackalert: Host 10.0.0.121 has been blocked via dropped route using command: \"\(fill(command, port))\"")
    }
    if settings.tcp != .logOnly, let command = settings.killRunCommand {
      result.append("attackalert: External command run for host: 10.0.0.121 using command: \"\(fill(command, port))\"")
    }
    return result
  }

  @Test func `details of some of them`() throws {
    guard !RealFiles.names(suffix: ".conf").isEmpty else { return }
    func read(_ name: String) throws -> Configuration { Configuration.parse(try RealFiles.bytes(name), path: name).0 }
    let debian = try read("01-debian-1.2-14.conf")
    #expect(debian.tcpPorts == Configuration.classicTCPPorts)
    #expect(debian.udpPorts == Configuration.classicUDPPorts)
    #expect(debian.ignoreFile == "/etc/portsentry/portsentry.ignore")
    #expect(debian.historyFile == "/var/lib/portsentry/portsentry.history")
    #expect(debian.blockedFile == "/var/lib/portsentry/portsentry.blocked")
    #expect(debian.advancedExcludeUDP.ports == [67, 137, 138, 520])
    #expect(debian.response.methods == [.nftables], "KILL_ROUTE is there, but nothing is blocked")
    let gentoo = try read("19-vahshi-gentoo-etc-paths.conf")
    #expect(gentoo.resolveHost)
    #expect(gentoo.portBanner?.hasSuffix("GO AWAY.") == true)
    #expect(gentoo.historyFile == "/etc/portsentry/portsentry.history")
    #expect(try read("23-jussihyva-advanced-60355.conf").advancedPortsTCP == 60355)
    #expect(try read("17-cuxonet-trailing-comment-utf8.conf").advancedExcludeTCP.count == 19)
    #expect(try read("27-heldner-ansible-ipset-rendered.conf").response.tcp == .runCommand)
  }

  @Test func `no change to a file makes the parsers trap`() throws {
    var seeds = RealFiles.names(suffix: ".conf").compactMap { try? RealFiles.bytes($0) }
    seeds += ["ignore", "default"].flatMap { directory in
      RealFiles.names(directory).compactMap { try? RealFiles.bytes(directory + "/" + $0) }
    }
    seeds += (ClassicDialectTests.lineRows + ClassicDialectTests.valueRows + ClassicDialectTests.portRows)
      .map { Array($0.text.utf8) }
    seeds += (ModernDialectTests.rows + OwnKeysTests.rows).map { Array($0.text.utf8) }
    seeds += ["10.0.0.0/8 x\nfe80::1%eth0\n::/0", "export TCP_MODE='atcp' ; UDP_MODE=\"sudp"].map { Array($0.utf8) }
    var random = Generator(state: 1)
    for _ in 0..<800 {
      var bytes = try #require(seeds.randomElement(using: &random))
      // Whole files are long; a window keeps each round short and starts in the middle of things.
      if bytes.count > 600 {
        let start = Int.random(in: 0..<(bytes.count - 600), using: &random)
        bytes = Array(bytes[start..<(start + 600)])
      }
      for _ in 0..<Int.random(in: 1...8, using: &random) { Self.mutate(&bytes, &random) }
      for dialect in [Dialect?.none, .classic, .modern] {
        let (configuration, diagnostics) = Configuration.parse(bytes, path: "f", dialect: dialect)
        #expect((0...65536).contains(configuration.advancedPortsTCP))
        #expect((0...65535).contains(configuration.scanTrigger))
        #expect(!configuration.tcpPorts.contains(0) && !configuration.udpPorts.contains(0))
        #expect(!configuration.historyFormat.isEmpty && !configuration.response.methods.isEmpty)
        let lineCount = bytes.count { $0 == 10 } + 1
        #expect(diagnostics.allSatisfy { (0...lineCount).contains($0.line) })
        #expect(diagnostics.allSatisfy { $0.message.unicodeScalars.allSatisfy { $0.value >= 0x20 } })
        _ = Explanation.explain(configuration, tcpMode: .advanced, udpMode: .connect, ignoredNetworks: 1)
      }
      _ = IgnoreFile.parse(bytes, path: "f")
      _ = DefaultsFile.parse(bytes, path: "f")
    }
  }

  private static func mutate(_ bytes: inout [UInt8], _ random: inout Generator) {
    guard !bytes.isEmpty else { return }
    let at = Int.random(in: bytes.indices, using: &random)
    let end = min(bytes.count, at + Int.random(in: 1...40, using: &random))
    switch Int.random(in: 0..<6, using: &random) {
    case 0: bytes.removeLast(bytes.count - at)
    case 1: bytes.insert(contentsOf: Array(bytes[at..<end]), at: at)
    case 2: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 3: bytes.removeSubrange(at..<end)
    case 4: bytes.insert(UInt8.random(in: 0...255, using: &random), at: at)
    default: bytes.insert(contentsOf: Array("\"=,-/:.#% \t\r\n0$9".utf8.shuffled(using: &random).prefix(3)), at: at)
    }
  }
}

/// SplitMix64: small, seeded, the same everywhere.
struct Generator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
