import ArgumentParser
import Daemon
import Platform
import Wire

struct Allow: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Do nothing to an address or network for a time: it is unblocked at once, and neither suspected nor blocked.",
    usage: "portsentry allow <target> [--for <time> | --end] [<options>]",
    discussion: """
      Holds over a restart. What is allowed stands in `portsentry status`. For good there is the ignore file.

      Exit status: 0 done; 1 not done, and it says why; 64 wrong usage; 69 no sentry runs; 77 no permission.
      """)

  @OptionGroup var control: ControlOptions
  @Argument(help: "An IPv4 or IPv6 address, or a network such as 198.51.100.0/24.")
  var target: String
  @Option(
    name: .customLong("for"),
    help: ArgumentHelp("How long, e.g. 30m, 2h, 7d. Otherwise until --end.", valueName: "time"))
  var time: String?
  @Flag(help: "End what was allowed.")
  var end = false

  func validate() throws {
    if IPNetwork(target) == nil {
      throw ValidationError(AddressText.fault(target, shown: SafeText.line(target)) + ".")
    }
    if end, time != nil { throw ValidationError("Use either --for or --end.") }
    if let time, Term.seconds(time) == nil {
      throw ValidationError("\(SafeText.line(time)) is no length of time: write 30m, 2h or 7d.")
    }
  }

  func run() throws {
    try control.ask(end ? .endAllowance(target: target) : .allow(target: target, seconds: time.flatMap(Term.seconds)))
  }
}
