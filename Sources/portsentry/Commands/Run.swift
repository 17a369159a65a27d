import ArgumentParser
import Daemon
import Detection
import EventLog
import Platform
import Response
import Wire

/// What `run` and `check` share: where the settings come from.
struct SettingsOptions: ParsableArguments {
  @Option(
    name: [.customShort("c", allowingJoined: true), .customLong("configfile"), .customLong("config")],
    help: ArgumentHelp(
      "Read this configuration instead of \(RunOptions.defaultConfigurationPath).", valueName: "path"))
  var configuration: String?

  @Option(
    name: .customLong("dialect"),
    help: ArgumentHelp(
      "Read the configuration as PortSentry 1.2 or 2.x did (1.2, 2). Otherwise this is found out.", valueName: "1.2|2"))
  var dialect: Dialect?

  @Flag(name: .customLong("tcp", withSingleDash: true), help: "1.2: listen on TCP_PORTS with real sockets.")
  var tcp = false
  @Flag(name: .customLong("udp", withSingleDash: true), help: "1.2: listen on UDP_PORTS with real sockets.")
  var udp = false
  @Flag(name: .customLong("stcp", withSingleDash: true), help: "1.2: watch TCP_PORTS by packet capture.")
  var stcp = false
  @Flag(name: .customLong("sudp", withSingleDash: true), help: "1.2: watch UDP_PORTS by packet capture.")
  var sudp = false
  @Flag(
    name: .customLong("atcp", withSingleDash: true), help: "1.2: watch all unused TCP ports below ADVANCED_PORTS_TCP.")
  var atcp = false
  @Flag(
    name: .customLong("audp", withSingleDash: true), help: "1.2: watch all unused UDP ports below ADVANCED_PORTS_UDP.")
  var audp = false

  @Flag(name: .customLong("stealth"), help: "2.x: watch TCP_PORTS and UDP_PORTS by packet capture (the default).")
  var stealth = false
  @Flag(name: .customLong("connect"), help: "2.x: listen on TCP_PORTS and UDP_PORTS with real sockets.")
  var connect = false

  @Option(
    name: .customLong("log-format"),
    help: ArgumentHelp(
      "Write the log for people, or in the words of 1.2 or 2.x (native, 1.2, 2), whatever LOG_FORMAT says.",
      valueName: "native|1.2|2"))
  var logFormat: LogDialect?

  @Option(
    name: .customLong("state-dir"), help: ArgumentHelp("Keep blocks here instead of in STATE_DIR.", valueName: "dir"))
  var stateDirectory: String?

  @Option(
    name: .customLong("control-socket"),
    help: ArgumentHelp(
      "Answer `portsentry status` and other commands here instead of at CONTROL_SOCKET.", valueName: "path"))
  var controlSocket: String?

  func validate() throws {
    if [tcp, stcp, atcp].count(where: { $0 }) > 1 { throw ValidationError("Only one TCP mode can be specified.") }
    if [udp, sudp, audp].count(where: { $0 }) > 1 { throw ValidationError("Only one UDP mode can be specified.") }
    if stealth && connect {
      throw ValidationError("Only one mode can be specified, use only one of --stealth or --connect.")
    }
    if stealth || connect, tcp || stcp || atcp || udp || sudp || audp {
      throw ValidationError("Use either 1.2's arguments (-tcp ... -audp) or --stealth or --connect.")
    }
  }

  /// Makes what the daemon wants of it.
  func options() -> RunOptions {
    var options = RunOptions()
    options.configurationPath = configuration.map(Self.absolute)
    options.dialect = dialect
    options.tcpMode = tcp ? .connect : stcp ? .stealth : atcp ? .advanced : nil
    options.udpMode = udp ? .connect : sudp ? .stealth : audp ? .advanced : nil
    options.modernMode = stealth ? .stealth : connect ? .connect : nil
    options.logFormat = logFormat
    options.stateDirectory = stateDirectory.map(Self.absolute)
    options.controlSocket = controlSocket.map(Self.absolute)
    return options
  }

  /// In the background the working directory is another: 2.x lost relative paths there.
  static func absolute(_ path: String) -> String {
    guard !path.startsWithBytes("/"), let folder = Files.currentFolder else { return path }
    return "\(folder)/\(path)"
  }
}

extension Dialect: ExpressibleByArgument {}
extension LogDialect: ExpressibleByArgument {}
extension LogSink.Output: ExpressibleByArgument {}

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Watch, log and respond (the default).",
    discussion:
      "Exit status: 0 ended by TERM or INT; 1 could not start; 64 wrong usage; 77 no permission; 78 the configuration has errors."
  )

  enum Method: String, ExpressibleByArgument {
    case pcap, raw
  }

  @OptionGroup var settings: SettingsOptions

  @Option(
    name: [.customShort("i", allowingJoined: true), .customLong("interface")], parsing: .singleValue,
    help: ArgumentHelp(
      "Watch this interface; may be repeated. ALL_NLO: all but loopback (the default); ALL or any: all.",
      valueName: "interface"))
  var interfaces: [String] = []

  @Option(
    name: [.customShort("l", allowingJoined: true), .customLong("logoutput")], parsing: .singleValue,
    help: ArgumentHelp(
      "Log to stdout, syslog or journald (systemd's journal, with fields beside the text); may be repeated.",
      valueName: "stdout|syslog|journald"))
  var outputs: [LogSink.Output] = []

  @Flag(name: [.customShort("D"), .customLong("daemon")], help: "Go to the background and log to syslog.")
  var daemon = false

  @Flag(name: .customLong("foreground"), help: "Stay in the foreground, also with 1.2's arguments.")
  var foreground = false

  @Flag(
    name: [.customShort("L"), .customLong("disable-local-check")],
    help: "Also act when a probe comes from this host itself.")
  var disableLocalCheck = false

  @Flag(
    name: [.customShort("S"), .customLong("disable-service-check")], help: "Also report ports that a service has bound."
  )
  var disableServiceCheck = false

  @Option(
    name: [.customShort("m", allowingJoined: true), .customLong("method")],
    help: ArgumentHelp(
      "pcap or raw: taken for 2.x's sake. There is one way of capturing, which needs no libpcap.", valueName: "pcap|raw"
    ))
  var method: Method = .pcap

  @Option(
    name: .customLong("trial"),
    help: ArgumentHelp(
      "Lift every block after this time, e.g. 10m, and make no more, unless `portsentry confirm` is given before.",
      valueName: "time"))
  var trial: String?

  @Flag(name: [.customShort("d"), .customLong("debug")], help: "Say everything.")
  var debug = false

  @Flag(name: [.customShort("v"), .customLong("verbose")], help: "Say more.")
  var verbose = false

  func validate() throws {
    let kinds = Set(interfaces.map { $0 == "ALL" || $0 == "any" ? "ALL" : $0 == "ALL_NLO" ? $0 : "named" })
    if kinds.count > 1 {
      throw ValidationError("Only one interface type can be specified (ALL, ALL_NLO or interfaces).")
    }
    for name in interfaces where name.utf8.count > 15 { throw ValidationError("Interface name \(name) is too long.") }
    if let trial, Term.seconds(trial) == nil {
      throw ValidationError("\(trial) is no length of time: write 45s, 10m or 2h.")
    }
    if foreground, daemon { throw ValidationError("Use either --foreground or --daemon.") }
  }

  func run() throws {
    Heap.share()
    var options = settings.options()
    options.commandUser = ServiceUser.ofCommands(asksForService: false)
    options.interfaces =
      switch interfaces.first {
      case nil: nil
      case "ALL", "any": .all
      case "ALL_NLO": .allButLoopback
      default: .named(interfaces)
      }
    options.goesToBackground = !foreground && (daemon || options.isClassicCall)
    if !outputs.isEmpty { options.outputs = outputs }
    // In the background nobody reads standard output.
    if options.goesToBackground { options.outputs = outputs.contains(.journald) ? [.journald] : [.syslog] }
    options.level = debug ? .debug : verbose ? .info : .notice
    options.actsOnOwnAddress = disableLocalCheck
    options.trial = trial.flatMap(Term.seconds).map { .seconds($0) }
    options.checksServices = !disableServiceCheck
    let plan = Plan.make(options)
    if plan.hasErrors {
      for problem in plan.diagnostics { Console.error("\(problem)") }
      Console.error("portsentry: the configuration has errors; nothing was started")
      throw ExitCode(78)
    }
    if options.isClassicCall, try joined(plan) { return }
    var child: Background.Child?
    if options.goesToBackground {
      for problem in plan.diagnostics { Console.error("\(problem)") }
      do { child = try Background.detach() } catch {
        Console.error("portsentry: \(error)")
        throw ExitCode(1)
      }
    }
    do {
      throw ExitCode(try Sentry.run(plan, options, detached: child))
    } catch let error as StartError {
      Console.error("portsentry: \(error)")
      throw ExitCode(error.exitCode)
    }
  }

  /// 1.2 ran a process for each mode. A second call asks the sentry that runs to watch the other protocol too.
  private func joined(_ plan: Plan) throws -> Bool {
    let socket = plan.configuration.controlSocket
    guard ControlClient.isAnswering(socket) else { return false }
    for (mode, transport) in [(plan.tcpMode?.classicName(.tcp), "TCP"), (plan.udpMode?.classicName(.udp), "UDP")] {
      guard let mode else { continue }
      let reply = try ControlClient.ask(socket, .watch(mode: mode))
      if reply.exitCode != 0 {
        Console.error("portsentry: \(transport): \(reply.text)", terminator: "")
        throw ExitCode(reply.exitCode)
      }
    }
    return true
  }
}
