import ArgumentParser
import Configuration
import Daemon
import Database
import Journal
import Notify
import Platform
import Report
import Wire

struct TellSomebody: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "notify", abstract: "Send a test message, or the last day or week, as NOTIFY says.",
    usage: "portsentry notify (--test | --digest <daily|weekly>) [<options>]",
    discussion:
      "A digest is one message with the numbers in its subject; portsentry-digest@daily.timer and portsentry-digest@weekly.timer send them. Needs no running sentry. Exit status: 0 the message was taken; 1 it was not, and it says why; 64 wrong usage; 65 and 69 there is no journal for a digest; 78 NOTIFY is not set, or the configuration has errors."
  )

  enum Span: String, ExpressibleByArgument, CaseIterable {
    case daily
    case weekly

    var days: Int64 { self == .daily ? 1 : 7 }
    var name: String { self == .daily ? "day" : "week" }
  }

  @OptionGroup var access: JournalAccess

  @Flag(help: "Send one message. It does not count among those of NOTIFY_PER_HOUR.")
  var test = false

  @Option(help: ArgumentHelp("Send what the last day or week brought.", valueName: "daily|weekly"))
  var digest: Span?

  func validate() throws {
    if test == (digest != nil) { throw ValidationError("Say --test, or --digest daily or weekly.") }
  }

  func run() throws {
    let plan = access.plan
    let errors = plan.diagnostics.filter { $0.severity == .error }
    guard errors.isEmpty else {
      for problem in errors { Console.error("\(problem)") }
      throw ExitCode(78)
    }
    guard let target = plan.configuration.recording.notify.target else {
      Console.error("portsentry: NOTIFY is not set\(plan.configurationPath.map { " in \(SafeText.line($0))" } ?? "")")
      throw ExitCode(78)
    }
    let message = try digest.map { try made(of: $0, plan) } ?? NotifyMessage(nil, at: Clock.now, isTest: true)
    let name = test ? "test message" : "digest"
    if let fault = NotifyPrograms.send(message, to: target) {
      Console.error("portsentry: the \(name) by \(target.summary) was not taken: \(fault)")
      throw ExitCode(1)
    }
    Console.print(
      "The \(name) by \(target.summary) succeeded: \(test ? "look whether it has arrived" : message.headline)")
  }

  private func made(of span: Span, _ plan: Plan) throws -> NotifyMessage {
    let now = Clock.now
    let reader = try access.reader(plan)
    let window = Window(last: .seconds(span.days * 86_400), now: now)
    let summary = try access.asking { () throws(DatabaseError) in
      try Summary.make(
        reader, window, now: now, zone: .local, host: Host.name, version: Version.text, atlas: access.atlas(plan))
    }
    return NotifyMessage(digest: DigestText.make(summary, span: span.name), at: now)
  }
}
