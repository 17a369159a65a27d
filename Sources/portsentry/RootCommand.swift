import ArgumentParser
import Configuration
import Daemon
import Enforcement
import Platform
import Report
import Wire

@main
struct PortSentry: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "portsentry",
    abstract: "Watches the ports with no listening service: whoever touches them is looking for a way in.",
    discussion: """
      Without a subcommand it runs, in the foreground, as PortSentry 2.x did. With one of 1.2's arguments (-tcp, -udp, \
      -stcp, -sudp, -atcp, -audp; also one for TCP and one for UDP together) it goes to the background, as 1.2 did. By \
      default it only logs.

      See portsentry(8), and portsentry.conf(5) for the settings.
      """,
    version: Version.text,
    groupedSubcommands: [
      CommandGroup(name: "Watching", subcommands: [Run.self, Check.self, ShowDecoys.self, Confirm.self]),
      CommandGroup(
        name: "Live", subcommands: [Status.self, WatchLive.self, ServePage.self, ShowMetrics.self, TellSomebody.self]),
      CommandGroup(
        name: "History",
        subcommands: [Sources.self, Top.self, Show.self, Why.self, Events.self, MakeReport.self, ExportSources.self]),
      CommandGroup(name: "Blocking", subcommands: [Blocked.self, Block.self, Unblock.self, Allow.self]),
      CommandGroup(name: "Fleet", subcommands: [RunFleet.self]),
      CommandGroup(name: "File", subcommands: [Replay.self, Migrate.self, KeepJournal.self]),
    ],
    defaultSubcommand: Run.self)

  /// Synchronous on purpose: sockets and threads are made in this order, before any task could be.
  static func main() {
    var arguments = Array(CommandLine.arguments.dropFirst())
    // What the sentry calls itself when it sends a message; no word for people.
    if let program = CommandLine.arguments.first, program.isSameBytes(as: ConfinedClient.role) {
      Console.error("portsentry: \(ConfinedClient.become(arguments))")
      Self.exit(withError: ExitCode(1))
    }
    if let program = CommandLine.arguments.first, program.isSameBytes(as: EnforcerProcess.role) {
      Self.exit(withError: ExitCode(EnforcerProcess.run(arguments)))
    }
    // 2.x's -V, in the form it prints at each start.
    if arguments == ["-V"] || arguments == ["--version"] {
      print("Portsentry \(Version.text)")
      return
    }
    // `portsentry -h` means the whole, not the default subcommand.
    if arguments == ["-h"] { arguments = ["--help"] }
    let names = configuration.subcommands.map { $0._commandName } + ["help"]
    if let fault = CommandWords.fault(arguments, subcommands: names) {
      Console.error("Error: \(fault)\nSee 'portsentry --help' for the list.")
      Self.exit(withError: ExitCode(64))
    }
    arguments = CommandWords.arrange(arguments, subcommands: names)
    if arguments.contains(where: { $0.isSameBytes(as: "--nagios") }) { refuseAsNagios(arguments) }
    Self.main(arguments)
  }

  /// A plugin's wrong usage is the state UNKNOWN, said in one line on standard output.
  private static func refuseAsNagios(_ arguments: [String]) {
    do { _ = try parseAsRoot(arguments) } catch {
      guard exitCode(for: error) != .success else { return }
      Console.print(NagiosText.unknown(message(for: error)))
      Self.exit(withError: ExitCode(3))
    }
  }
}
