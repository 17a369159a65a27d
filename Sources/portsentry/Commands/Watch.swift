import ArgumentParser
import Daemon
import Platform
import Report
import Watch

struct WatchLive: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch", abstract: "Watch live in the terminal: rate, ports, sources, events; block and unblock.",
    usage: "portsentry watch [<options>]",
    discussion: "The key ? lists the keys.\n\nExit status: 0 ended by q; 1 there is no terminal; 64 wrong usage.")

  @OptionGroup var access: JournalAccess
  @Flag(help: "Tell times in UTC instead of in the zone of this host.")
  var utc = false

  func run() throws {
    let plan = access.plan
    let settings = WatchRun.Settings(
      journalPath: access.journalPath(plan),
      controlSocket: access.control.controlSocket ?? plan.configuration.controlSocket,
      zone: utc ? .utc : .local, host: Host.name, isPlain: Console.isPlain,
      atlas: access.atlas(plan))
    let status: Int32
    do throws(Errno) { status = try WatchRun.run(settings) } catch {
      Console.error("portsentry: watch needs a terminal: \(error)")
      throw ExitCode(1)
    }
    if status != 0 { throw ExitCode(status) }
  }
}
