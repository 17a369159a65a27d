import Configuration
import Detection
import EventLog
import Foundation
import Platform
import Testing
import TestSupport
import Wire

/// What users read must name what there is, and nothing else.
@Suite struct DocumentationTests {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  private static func text(_ path: String) throws -> String {
    try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
  }

  private static let manual = "man/portsentry.8"
  private static let documents = [
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/architecture.md", "docs/dependencies.md",
    "docs/guide.md", "docs/migration.md", "docs/recipes.md", "docs/figures.md", "docs/integrations.md",
    "docs/glossary.md",
  ]

  // MARK: Keys

  @Test(arguments: ConfigurationKey.allCases)
  func `Every key is in the example and in its manual`(_ key: ConfigurationKey) throws {
    let example = try Self.text("etc/portsentry.conf").split(separator: "\n")
    #expect(
      example.contains { $0.hasPrefix("\(key.rawValue)=\"") || $0.hasPrefix("#\(key.rawValue)=\"") },
      "a line \(key.rawValue)=\"...\", or with # before it")
    let manual = try Self.text("man/portsentry.conf.5").split(separator: "\n")
    #expect(manual.contains { $0 == ".It Ic \(key.rawValue)" })
  }

  /// Words in the form of a key that mean something else.
  private static let notKeys: Set<String> = [
    "TCP_MODE", "UDP_MODE", "NO_COLOR", "NOTIFY_SOCKET", "WATCHDOG_USEC", "CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_BPF",
    "AF_PACKET",
    "AF_UNIX", "AF_INET", "AF_NETLINK", "SO_REUSEADDR",
    "SKNLGRP_INET_TCP_DESTROY", "CAP_NET_BIND_SERVICE", "CAP_DAC_OVERRIDE", "CAP_SETUID",
    "CAP_SETGID", "CAP_SYS_ADMIN", "CAP_KILL", "CAP_CHOWN", "ALL_NLO", "PORTSENTRY_EVENT",
    "PORTSENTRY_SOURCE", "PORTSENTRY_TARGET", "PORTSENTRY_PORT", "PORTSENTRY_PROTOCOL", "PORTSENTRY_TECHNIQUE",
    "SO_REUSEADDR",
  ]

  @Test(arguments: documents + [manual, "etc/portsentry.service"])
  func `No text names a key that does not exist`(_ path: String) throws {
    let keys = Set(ConfigurationKey.allCases.map(\.rawValue)).union(Self.notKeys)
    for match in try Self.text(path).matches(of: /\b[A-Z]+(?:_[A-Z]+)+\b(?!_)/) {
      #expect(keys.contains(String(match.output)), "\(match.output) in \(path)")
    }
  }

  // MARK: Targets

  /// The rows of the table in the architecture: a target, and what it imports.
  private static func rowsOfTargets() throws -> [(target: String, imports: Set<String>)] {
    // The first table; there is one of bounds further down.
    let page = try text("docs/architecture.md")
    let end = try #require(page.range(of: "**Five-minute tour:**")).lowerBound
    return page[..<end].matches(of: /(?m)^\| `(\w+)` \| .* \| ([\w, ]+|–) \|$/).map { row in
      let names = row.output.2 == "–" ? [] : row.output.2.split(separator: ",").map { $0.filter { $0 != " " } }
      return (String(row.output.1), Set(names))
    }
  }

  /// What a target's files import, less what comes with the language.
  private static func imports(of target: String) throws -> Set<String> {
    let folder = root.appendingPathComponent("Sources/\(target)")
    var found: Set<String> = []
    for case let file as URL in FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)!
    where file.pathExtension == "swift" {
      let source = try String(contentsOf: file, encoding: .utf8)
      for line in source.matches(
        of: /(?m)^(?:@\w+ |public |package |internal |private )*import (?:struct |enum )?(\w+)/)
      {
        found.insert(String(line.output.1))
      }
    }
    return found.subtracting(["Swift", "Synchronization"])
  }

  @Test func `The table of targets says what each of them imports`() throws {
    let rows = try Self.rowsOfTargets()
    let targets = try FileManager.default.contentsOfDirectory(
      atPath: Self.root.appendingPathComponent("Sources").path)
    #expect(rows.map(\.target).sorted() == targets.sorted())
    for row in rows {
      let found = try Self.imports(of: row.target)
      #expect(
        found == row.imports,
        "\(row.target): the table leaves out \(found.subtracting(row.imports)), and has too many: \(row.imports.subtracting(found))"
      )
    }
  }

  @Test func `No target imports one that stands on it`() throws {
    let direct = Dictionary(uniqueKeysWithValues: try Self.rowsOfTargets().map { ($0.target, $0.imports) })
    for (target, imports) in direct {
      var reached = imports
      var open = Array(imports)
      while let next = open.popLast() { open += (direct[next] ?? []).filter { reached.insert($0).inserted } }
      #expect(!reached.contains(target), "\(target) reaches itself")
    }
  }

  // MARK: Options and subcommands

  /// A command as the program itself describes it.
  private struct Command: Decodable {
    struct Argument: Decodable {
      struct Name: Decodable {
        var kind: String
        var name: String
      }
      var kind: String
      var names: [Name]?
    }
    var commandName: String
    var arguments: [Argument]?
    var subcommands: [Command]?

    /// As they are typed.
    var options: [String] {
      (arguments ?? []).flatMap { $0.names ?? [] }.map { $0.kind == "long" ? "--\($0.name)" : "-\($0.name)" }
    }
  }

  /// The program that was built with these tests: it lies beside them.
  private static var program: URL {
    URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
      .appendingPathComponent("portsentry")
  }

  private static func run(_ program: URL, _ arguments: [String]) throws -> (output: String, status: Int32) {
    let process = Process()
    process.executableURL = program
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (String(decoding: data, as: UTF8.self), process.terminationStatus)
  }

  private static let described = Result { () -> Command in
    struct Dump: Decodable { var command: Command }
    return try JSONDecoder().decode(Dump.self, from: Data(run(program, ["--experimental-dump-help"]).output.utf8))
      .command
  }

  /// Every option of every subcommand, and those that the program takes before it looks at any.
  private static func options() throws -> Set<String> {
    let command = try described.get()
    // The parser's own `help` also takes `-help`, which is nobody's business.
    let subcommands = (command.subcommands ?? []).filter { $0.commandName != "help" }
    func all(_ command: Command) -> [String] { command.options + (command.subcommands ?? []).flatMap(all) }
    return Set(command.options + subcommands.flatMap(all) + ["-V"])
  }

  /// What stands after `Fl` in an mdoc(7) text, up to the next macro.
  private static func documentedOptions(_ text: String) -> Set<String> {
    var result: Set<String> = []
    for line in text.split(separator: "\n") where line.hasPrefix(".") {
      var isFlag = false
      for word in line.dropFirst().split(separator: " ") {
        if word == "Fl" {
          isFlag = true
        } else if word.count == 2, word.first!.isUppercase, word.last!.isLowercase {
          isFlag = false
        } else if isFlag, word != "|", word != "," {
          result.insert("-\(word)")
        }
      }
    }
    return result
  }

  @Test func `The manual has every option, and no other`() throws {
    let options = try Self.options()
    #expect(options.count > 25)
    let documented = Self.documentedOptions(try Self.text(Self.manual))
    #expect(options.subtracting(documented) == [], "not in \(Self.manual)")
    #expect(documented.subtracting(options) == [], "only in \(Self.manual)")
  }

  @Test func `The manual and the guide have every subcommand`() throws {
    let manual = try Self.text(Self.manual)
    let parts = manual.components(separatedBy: ".Sh ")
    let subcommands = try #require(parts.first { $0.hasPrefix("SUBCOMMANDS") })
    let guide = try Self.text("README.md") + Self.text("docs/guide.md")
    let names = try Self.described.get().subcommands?.map(\.commandName) ?? []
    #expect(names.count >= 6)
    for name in names {
      #expect(subcommands.contains(".It Cm \(name)\n"), "\(name) in \(Self.manual)")
      #expect(name == "help" || guide.contains("portsentry \(name)"), "`portsentry \(name)` in docs/guide.md")
    }
  }

  @Test(arguments: ["run", "check", "status", "blocked", "block", "unblock", "replay"])
  func `Help has every option of the subcommand`(_ name: String) throws {
    let command = try #require(try Self.described.get().subcommands?.first { $0.commandName == name })
    let (help, status) = try Self.run(Self.program, ["help", name])
    #expect(status == 0)
    for option in command.options { #expect(help.contains(option), "\(option) in `portsentry help \(name)`") }
  }

  @Test func `No line of any help is wider than a terminal`() throws {
    func paths(_ command: Command, _ path: [String]) -> [[String]] {
      [path] + (command.subcommands ?? []).flatMap { paths($0, path + [$0.commandName]) }
    }
    let all = paths(try Self.described.get(), [])
    #expect(all.count > 30)
    for path in all {
      let wide = try Self.run(Self.program, ["help"] + path).output.split(separator: "\n").filter { $0.count > 80 }.map(
        String.init)
      #expect(wide == [], "portsentry help \(path.joined(separator: " "))")
    }
  }

  @Test(arguments: documents + [manual])
  func `No text names a long option that does not exist`(_ path: String) throws {
    let options = try Self.options()
    for line in try Self.text(path).split(separator: "\n") {
      // Other programs have theirs.
      if ["systemctl", "swift test", "iptables", "firewall-cmd"].contains(where: { line.contains($0) }) { continue }
      for match in line.matches(of: #/(?:^|[^-\w])(--[a-z][a-z-]*)/#) {
        #expect(options.contains(String(match.output.1)), "\(match.output.1) in \(path): \(line)")
      }
    }
  }

  @Test func `The unit calls the program as it can be called`() throws {
    let line = try #require(
      try Self.text("etc/portsentry.service").split(separator: "\n").first { $0.hasPrefix("ExecStart=") })
    let words = line.dropFirst("ExecStart=".count).split(separator: " ").map(String.init)
    #expect(words.prefix(2) == ["/usr/sbin/portsentry", "run"])
    let options = try Self.options()
    for word in words where word.hasPrefix("-") { #expect(options.contains(word)) }
    // `make install` and the packages put it there.
    #expect(try Self.text("scripts/layout.sh").contains("\"$prefix/sbin/portsentry\""))
  }

  @Test func `The manual has every exit status that help tells`() throws {
    let manual = try Self.text(Self.manual)
    let part = try #require(manual.components(separatedBy: ".Sh ").first { $0.hasPrefix("EXIT STATUS") })
    for name in ["run", "check", "status", "replay"] {
      let help = try Self.run(Self.program, ["help", name]).output.split(whereSeparator: \.isWhitespace).joined(
        separator: " ")
      let sentence = try #require(help.firstMatch(of: #/Exit status: ([^.]*)\./#)).output.1
      for match in sentence.matches(of: #/(?:^|; )(\d+) /#) {
        #expect(part.contains(".It \(match.output.1)\n"), "\(match.output.1), from `portsentry help \(name)`")
      }
    }
  }

  // MARK: Links and other programs

  @Test func `The README names manuals, example and unit`() throws {
    let readme = try Self.text("README.md")
    for name in [
      "man/portsentry.8", "man/portsentry.conf.5", "man/portsentry-json.5", "etc/portsentry.conf",
      "etc/portsentry.service", "etc/fail2ban",
      "docs/architecture.md", "make run", "make test", "make demo",
    ] {
      #expect(readme.contains(name), "\(name)")
    }
  }

  @Test func `The README is read in five minutes`() throws {
    #expect(try Self.text("README.md").split(whereSeparator: \.isWhitespace).count <= 900)
  }

  @Test(arguments: documents)
  func `What is linked to is there`(_ path: String) throws {
    let folder = Self.root.appendingPathComponent(path).deletingLastPathComponent()
    for match in try Self.text(path).matches(of: /\]\(([^):#]+)(?:#[^)]*)?\)/) {
      let target = folder.appendingPathComponent(String(match.output.1))
      #expect(FileManager.default.fileExists(atPath: target.path), "\(match.output.1) in \(path)")
    }
  }

  @Test(arguments: [manual, "man/portsentry.conf.5", "man/portsentry-json.5"])
  func `mandoc has no fault to find`(_ path: String) throws {
    let mandoc = URL(fileURLWithPath: "/usr/bin/mandoc")
    guard FileManager.default.fileExists(atPath: mandoc.path) else { return print("skipped: mandoc is not installed") }
    let file = Self.root.appendingPathComponent(path).path
    let (output, status) = try Self.run(mandoc, ["-T", "lint", "-W", "warning", file])
    #expect(status == 0, "\(output)")
  }

  @Test func `Our fail2ban filter for the native log matches verified scanners, and nothing else`() throws {
    let tool = URL(fileURLWithPath: "/usr/bin/fail2ban-regex")
    guard FileManager.default.fileExists(atPath: tool.path) else { return print("skipped: fail2ban is not installed") }
    let filter = Self.root.appendingPathComponent("etc/fail2ban/filter.d/portsentry-native.conf").path
    func line(_ source: String, _ change: (inout Verdict) -> Void = { _ in }) throws -> String {
      let now = Timestamp(seconds: 1)
      var verdict = Verdict(.scan, source: try #require(IPNetwork(source)), first: now, last: now)
      verdict.origin = .proven
      verdict.ports = 12
      change(&verdict)
      return LogLine.scanBegan(verdict).text
    }
    let texts = [
      try line("10.0.0.1"), try line("10.0.0.2") { $0.origin = .unproven }, try line("2001:db8::3"),
      try line("2001:db8::/64"), try line("10.0.0.4") { $0.mayBeZombie = true },
      try line("10.0.0.0/24") { $0.kind = .distributed }, "Blocked 10.0.0.5 for 24h by nftables",
      "10.0.0.6 has stopped scanning: 12 ports, 12 probes in 3 s",
    ]
    let time = Date().formatted(.iso8601)
    // A file of syslog's, and what fail2ban makes of systemd's journal.
    for prefix in ["\(time) gate portsentry[77]: ", "\(time) gate portsentry: ", "\(time) portsentry[77]: "] {
      try inFolder { folder in
        try write(
          texts.map { prefix + $0 + "\n" }.joined() + "\(time) gate sshd[7]: \(texts[0])\n", to: folder + "/log")
        func found(_ filter: String) throws -> [String] {
          try Self.run(tool, ["-o", "<ip>", folder + "/log", filter]).output.split(separator: "\n").map(String.init)
        }
        #expect(try found(filter) == ["10.0.0.1", "2001:db8::3"], "\(prefix)")
        #expect(try found(filter + "[mode=all]") == ["10.0.0.1", "10.0.0.2", "2001:db8::3"], "\(prefix)")
      }
    }
  }

  @Test func `Our fail2ban filter matches scans that count, and nothing else`() throws {
    let tool = URL(fileURLWithPath: "/usr/bin/fail2ban-regex")
    guard FileManager.default.fileExists(atPath: tool.path) else { return print("skipped: fail2ban is not installed") }
    let filter = Self.root.appendingPathComponent("etc/fail2ban/filter.d/portsentry-2.conf").path
    try inFolder { folder in
      var history = HistoryFile(path: folder + "/history", form: .both)
      let now = Timestamp(seconds: Int64(Date().timeIntervalSince1970))
      func add(
        _ source: String, _ technique: Technique, name: String? = nil, _ result: ScanEvent.Result?,
        triggered: Bool = true, ignored: Bool = false
      ) throws {
        let probe = Probe(
          time: now, source: try #require(IPAddress(source)), sourcePort: 4711, target: IPAddress("10.0.0.2")!,
          targetPort: 23, transport: technique == .udp ? .udp : .tcp, mode: technique == .connect ? .connect : .stealth,
          technique: technique, flags: [.syn, .fin], isTriggered: triggered, isIgnored: ignored)
        history.append(ScanEvent(probe, name: name, result: result), at: now)
      }
      try add("10.0.0.1", .syn, .logged)
      try add("10.0.0.2", .udp, name: "attacker.example", .blocked)
      try add("2001:db8::3", .connect, .failed)
      try add("10.0.0.4", .oddFlags, .logged)
      try add("10.0.0.5", .syn, nil, ignored: true)
      try add("10.0.0.6", .syn, nil, triggered: false)
      try add("10.0.0.7", .syn, .ownAddress)
      history.append(
        blocked: BlockedFile.Entry(IPAddress("10.0.0.8")!, time: now, port: 23, transport: .tcp, name: nil))
      #expect(history.flush() == nil)
      let found = try Self.run(tool, ["-o", "<ip>", folder + "/history", filter]).output
      #expect(
        found.split(separator: "\n").map(String.init) == ["10.0.0.1", "10.0.0.2", "2001:db8::3", "10.0.0.4"], "\(found)"
      )
    }
  }
}
