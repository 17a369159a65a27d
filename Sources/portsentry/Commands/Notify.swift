import ArgumentParser
import Configuration
import Daemon
import Notify
import Platform
import Wire

struct TellSomebody: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "notify", abstract: "Send a test message as NOTIFY says, and say whether it was taken.",
    discussion:
      "Needs no running sentry. Exit status: 0 the message was taken; 1 it was not, and it says why; 64 wrong usage; 78 NOTIFY is not set, or the configuration has errors."
  )

  @Option(
    name: [.customShort("c", allowingJoined: true), .customLong("configfile"), .customLong("config")],
    help: ArgumentHelp("Take NOTIFY from this configuration.", valueName: "path"))
  var configuration: String?

  @Option(name: .customLong("control-socket"), help: .hidden)
  var controlSocket: String?

  @Flag(help: "Send one message. It does not count among those of NOTIFY_PER_HOUR.")
  var test = false

  func validate() throws {
    if !test { throw ValidationError("Say --test: nothing else can be sent by hand.") }
  }

  func run() throws {
    var options = RunOptions()
    options.configurationPath = configuration
    let plan = Plan.make(options)
    let errors = plan.diagnostics.filter { $0.severity == .error }
    guard errors.isEmpty else {
      for problem in errors { Console.error("\(problem)") }
      throw ExitCode(78)
    }
    guard let target = plan.configuration.recording.notify.target else {
      Console.error("portsentry: NOTIFY is not set\(plan.configurationPath.map { " in \(SafeText.line($0))" } ?? "")")
      throw ExitCode(78)
    }
    if let fault = NotifyPrograms.sendTest(target) {
      Console.error("portsentry: the test message by \(target.summary) was not taken: \(fault)")
      throw ExitCode(1)
    }
    Console.print("The test message by \(target.summary) succeeded: look whether it has arrived")
  }
}
