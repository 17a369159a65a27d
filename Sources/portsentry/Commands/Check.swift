import ArgumentParser
import Carrier
import Configuration
import Daemon
import Platform
import Report
import Wire

struct Check: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Say what a configuration would do, and everything that is wrong with it.",
    discussion: "Changes nothing. Exit status: 0 fine, with or without warnings; 78 errors.")

  @OptionGroup var settings: SettingsOptions

  func run() throws {
    var options = settings.options()
    let path = options.configurationPath ?? RunOptions.defaultConfigurationPath
    options.commandUser = ServiceUser.ofCommands(
      asksForService: path == RunOptions.defaultConfigurationPath && !options.isClassicCall)
    let plan = Plan.make(options)
    for problem in plan.diagnostics { Console.error("\(problem)") }
    if plan.configurationPath == nil, settings.configuration != nil { throw ExitCode(78) }
    let source = plan.configurationPath ?? "built-in settings (there is no \(RunOptions.defaultConfigurationPath))"
    Console.printFolded("Configuration: \(source)\(plan.formText)")
    Console.printFolded("Modes from: \(plan.modesFrom)")
    Console.printFolded(
      Explanation.explain(
        plan.configuration, tcpMode: plan.tcpMode, udpMode: plan.udpMode, ignoredNetworks: plan.ignored.count),
      terminator: "")
    sayHidden(plan)
    let errors = plan.diagnostics.count { $0.severity == .error } + (isFleetSound(plan) ? 0 : 1)
    let warnings = plan.diagnostics.count { $0.severity != .error }
    Console.printFolded("\(errors) error\(errors == 1 ? "" : "s"), \(warnings) warning\(warnings == 1 ? "" : "s")")
    if errors > 0 { throw ExitCode(78) }
  }

  /// Looks into the file by which this host is of a fleet.
  private func isFleetSound(_ plan: Plan) -> Bool {
    let wanted = plan.configuration.fleet
    guard let path = wanted.file, wanted.isNamed || Files.stamp(path) != nil else { return true }
    do throws(Membership.Fault) {
      let membership = try Membership.read(path)
      guard let body = membership.certificate?.body, body.role == .node else { throw .missing("certificate of a node") }
      let way = membership.tls.map { "by TLS, as \($0.name)" } ?? "without TLS"
      Console.print(
        "Fleet: this host is \(body.name), number \(body.number), zone \(body.zone); the engine is asked at \(membership.engine) \(way)"
      )
      return true
    } catch {
      // Only the sentry's user may read it: whoever asks as another learns nothing.
      if case .system(let system) = error, system.isForbidden { return true }
      Console.error("FLEET: \(SafeText.line(path)): \(error)")
      return false
    }
  }

  /// Whether strangers reach the decoys only a running sentry can tell.
  private func sayHidden(_ plan: Plan) {
    guard let reply = try? ControlClient.ask(plan.configuration.controlSocket, .status(json: true), patience: 3),
      reply.exitCode == 0, let status: LiveStatus = JournalAccess.decode(reply.text),
      let hidden = status.deception?.hidden, !hidden.isEmpty
    else { return }
    Console.printFolded(
      "Decoys: HIDDEN on \(hidden.map { SafeText.line($0) }.joined(separator: ", ")): the test packets of the running sentry do not reach them; run `portsentry firewall`"
    )
  }
}
