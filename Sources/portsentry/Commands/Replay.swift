import ArgumentParser
import Capture
import Configuration
import Daemon
import Detection
import Platform
import Wire

struct Replay: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Say what the sentry would have seen in capture files.",
    usage: "portsentry replay [<options>] <files> ...",
    discussion: """
      Reads pcap and pcapng, compressed by gzip or not, and changes nothing. Time is that of the packets. Without a \
      configuration every unused port is watched; which ports have a service shows in the capture.

      Exit status: 0 done; 64 wrong usage; 65 no capture file; 66 a file cannot be opened; 78 the configuration has errors.
      """)

  enum ReplayMode: String, ExpressibleByArgument, CaseIterable {
    case stealth, advanced
  }

  @Flag(help: "Print a JSON object a line instead of a table.")
  var json = false

  @Flag(help: "Also list the sources that have not come to a verdict, as suspects, with what speaks against them.")
  var all = false

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "An address or network of the host that captured; may be repeated. Otherwise this is found out.",
      valueName: "address"))
  var local: [String] = []

  @Option(
    help: ArgumentHelp(
      "Watch the ports of TCP_PORTS and UDP_PORTS, or all below ADVANCED_PORTS_TCP and ADVANCED_PORTS_UDP.",
      valueName: "stealth|advanced"))
  var mode: ReplayMode?

  @Option(
    name: [.customShort("c", allowingJoined: true), .customLong("configfile"), .customLong("config")],
    help: ArgumentHelp(
      "Watch, count and ignore as this configuration says. Otherwise all ports are watched.", valueName: "path"))
  var configuration: String?

  @Option(
    help: ArgumentHelp(
      "How much evidence makes a scan, from 0.5 to 1000. Otherwise RULE_THRESHOLD.", valueName: "nats"))
  var threshold: Double?

  @Argument(help: "Capture files, read in this order as one.")
  var files: [String]

  func validate() throws {
    for text in local where IPNetwork(text) == nil {
      throw ValidationError("\(SafeText.line(text)) is neither an address nor a network.")
    }
    if let threshold, !(0.5...1000).contains(threshold) {
      throw ValidationError("A threshold is a number from 0.5 to 1000; three unused TCP ports are 6.6.")
    }
  }

  func run() throws {
    var settings = try settings()
    settings.local = local.compactMap { IPNetwork($0) }
    if let threshold { settings.detector.threshold = Int32((threshold * 1000).rounded()) }
    let progress = Progress()
    var replay: Daemon.Replay
    do {
      replay = try ReplayRun.run(settings, paths: files) { remark in
        switch remark {
        case .progress(let path, let step, let part): progress.show(path, step, part)
        case .local(let networks, let evidence):
          progress.clear()
          Self.sayLocal(networks, evidence)
        case .damaged(let path, let reasons):
          progress.clear()
          let text = reasons.map { $0.count == 1 ? $0.reason : "\($0.reason) (\($0.count) times)" }
          Console.error("portsentry: \(SafeText.line(path)) is damaged: \(text.joined(separator: ", "))")
        }
      }
    } catch {
      progress.clear()
      Console.error("portsentry: \(SafeText.line(error.description))")
      if case .notACapture = error { throw ExitCode(65) }
      throw ExitCode(66)
    }
    progress.clear()
    let served = replay.exposure
    Console.error(
      "served      TCP \(Self.short(served.servedAnywhere(.tcp))); UDP \(Self.short(served.servedAnywhere(.udp)))")
    let findings = replay.findings(suspects: all)
    if json {
      ReplayReport.json(findings) { Console.print($0, terminator: "") }
    } else {
      ReplayReport.table(findings) { Console.print($0, terminator: "") }
    }
    Console.error(ReplayReport.counts(replay, findings))
  }

  private func settings() throws -> ReplayRun.Settings {
    guard configuration != nil || mode == .stealth else { return ReplayRun.Settings() }
    // Without -c no file of this host has a say.
    var plan = Plan.embedded(.stealth)
    if let configuration {
      var options = RunOptions()
      options.configurationPath = configuration
      options.modernMode = mode.map { $0 == .stealth ? .stealth : .advanced }
      plan = Plan.make(options)
    }
    for problem in plan.diagnostics { Console.error("\(problem)") }
    if plan.hasErrors {
      Console.error("portsentry: the configuration has errors; nothing was replayed")
      throw ExitCode(78)
    }
    if plan.tcpMode == .connect || plan.udpMode == .connect {
      Console.error("portsentry: sockets cannot be replayed: mode connect is replayed as stealth")
    }
    return ReplayRun.Settings(plan)
  }

  private static func sayLocal(_ networks: [IPNetwork], _ evidence: CaptureSurvey.Evidence?) {
    guard !networks.isEmpty else {
      Console.error("portsentry: no packet tells whose capture this is; name the host with --local ADDRESS")
      return
    }
    let names = networks.prefix(8).map(\.description).joined(separator: ", ")
    let more = networks.count > 8 ? " and \(networks.count - 8) more" : ""
    let why =
      switch evidence {
      case .sentFrames: " (found out: the capture marks what it sent; --local says otherwise)"
      case .mostFlowsOpened: " (found out: most connections were opened to it; --local says otherwise)"
      case .manyTargets: " (found from the number of its addresses that were asked; --local overrides it)"
      case nil: ""
      }
    Console.error("protecting  \(names)\(more)\(why)")
  }

  private static func short(_ ports: PortSet) -> String {
    let text = ports.description
    guard text.utf8.count > 100 else { return text }
    return "\(ports.count) ports"
  }
}

/// A line on the terminal that is written over and over; nothing where standard error is no terminal.
private final class Progress {
  private let isTerminal = Console.errorIsTerminal
  private var isShown = false
  private var last: Int64 = 0

  func show(_ path: String, _ step: String, _ part: Double) {
    guard isTerminal, Clock.monotonic - last > 500_000_000 else { return }
    last = Clock.monotonic
    isShown = true
    let percent = Int(min(max(part, 0), 1) * 100)
    Console.error("\r\u{1b}[K\(SafeText.line(path, limit: 60)): \(step), \(percent) %", terminator: "")
  }

  func clear() {
    if isShown { Console.error("\r\u{1b}[K", terminator: "") }
    isShown = false
  }
}
