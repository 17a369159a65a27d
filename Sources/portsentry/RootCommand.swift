import ArgumentParser
import Daemon

@main
struct PortSentry: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "portsentry",
    abstract: "Watches the ports that nothing serves: whoever touches them is looking for a way in.",
    discussion: """
      Without a subcommand it runs, in the foreground, as PortSentry 2.x did. With one of 1.2's arguments (-tcp, -udp, \
      -stcp, -sudp, -atcp, -audp; also one for TCP and one for UDP together) it goes to the background, as 1.2 did. By \
      default it only logs.

      See portsentry(8), and portsentry.conf(5) for the settings.
      """,
    version: Version.text,
    subcommands: [
      Run.self, Check.self, Status.self, Sources.self, Top.self, Show.self, Why.self, Events.self, Blocked.self,
      Block.self, Unblock.self, Confirm.self, Replay.self, MakeReport.self, WatchLive.self, ServePage.self,
      ExportSources.self, KeepJournal.self, ShowMetrics.self,
    ],
    defaultSubcommand: Run.self)

  /// Synchronous on purpose: sockets and threads are made in this order, before any task could be.
  static func main() {
    var arguments = Array(CommandLine.arguments.dropFirst())
    // 2.x's -V, in the form it prints at each start.
    if arguments == ["-V"] || arguments == ["--version"] {
      print("Portsentry \(Version.text)")
      return
    }
    // `portsentry -h` means the whole, not the default subcommand.
    if arguments == ["-h"] { arguments = ["--help"] }
    Self.main(arguments)
  }
}
