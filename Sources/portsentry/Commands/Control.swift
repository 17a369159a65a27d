import ArgumentParser
import Configuration
import Daemon
import Platform
import Report
import Wire

/// Where a running sentry is asked.
struct ControlOptions: ParsableArguments {
  @Option(
    name: .customLong("control-socket"),
    help: ArgumentHelp(
      "Ask the sentry that answers here.", valueName: "path"))
  var controlSocket: String?

  @Option(
    name: [.customShort("c", allowingJoined: true), .customLong("configfile"), .customLong("config")],
    help: ArgumentHelp(
      "Take CONTROL_SOCKET from this configuration.", valueName: "path"))
  var configuration: String?

  /// Sends a message and prints the answer.
  ///
  /// - Parameter isJSON: the answer is for programs, whose lines are not broken.
  func ask(_ message: ControlMessage, isJSON: Bool = false) throws {
    let answer = try request(message)
    if isJSON { Console.print(answer, terminator: "") } else { Console.printFolded(answer, terminator: "") }
  }

  /// Why there is no answer.
  struct Failure: Error {
    let code: Int32
    let text: String
  }

  /// Sends a message; an answer that is none ends the program, with a word why.
  func request(_ message: ControlMessage) throws -> String {
    switch attempt(message) {
    case .success(let text): return text
    case .failure(let failure):
      Console.error(failure.text)
      throw ExitCode(failure.code)
    }
  }

  /// Sends a message.
  ///
  /// - Parameter patience: for how many seconds at a time nothing may come; nil for whoever has nothing else to do.
  func attempt(_ message: ControlMessage, patience: Int? = nil) -> Result<String, Failure> {
    var options = RunOptions()
    options.configurationPath = configuration
    let path = controlSocket ?? Plan.make(options).configuration.controlSocket
    do {
      let reply = try ControlClient.ask(path, message, patience: patience)
      if reply.exitCode == 0 { return .success(reply.text) }
      let text = reply.text.endsWithBytes("\n") ? String(Substring(reply.text.utf8.dropLast())) : reply.text
      return .failure(Failure(code: reply.exitCode, text: text))
    } catch {
      if error.isMissing {
        return .failure(
          Failure(
            code: 69,
            text: "portsentry: no sentry is running (no answer on \(path)); start it with `portsentry run`"))
      }
      if error.isForbidden {
        return .failure(
          Failure(
            code: 77,
            text: "portsentry: no permission to ask the sentry on \(path): be root, or the user it runs as"))
      }
      return .failure(Failure(code: 69, text: "portsentry: \(error)"))
    }
  }
}

private let exitCodes =
  "Exit status: 0 done; 1 not done, and it says why; 64 wrong usage; 69 no sentry runs; 77 no permission."

struct Block: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Block an address or network by hand.",
    usage: "portsentry block <target> [<options>]",
    discussion: "Gateways, resolvers, this host's addresses and the ignore file are never blocked.\n\n" + exitCodes)

  @OptionGroup var control: ControlOptions
  @Argument(help: "An IPv4 or IPv6 address, or a network such as 198.51.100.0/24.")
  var target: String
  @Option(
    help: ArgumentHelp(
      "How long, e.g. 30m, 12h, 7d; forever: until unblocked. Otherwise BLOCK_TIME.", valueName: "time"))
  var time: String?
  @Option(help: ArgumentHelp("What `portsentry blocked` shows as the reason.", valueName: "text"))
  var reason = ""

  func run() throws {
    guard IPNetwork(target) != nil else {
      throw ValidationError(AddressText.fault(target, shown: SafeText.line(target)) + ".")
    }
    var seconds: Int64?
    if let time {
      guard let parsed = Self.seconds(time) else {
        throw ValidationError("\(time) is no length of time: write 45s, 30m, 12h, 7d, 2w or forever.")
      }
      seconds = parsed
    }
    // Tabs part the words of a request.
    let clean = String(
      String.UnicodeScalarView(reason.unicodeScalars.prefix(500).map { $0.value < 0x20 || $0.value == 0x7f ? " " : $0 })
    )
    try control.ask(.block(target: target, seconds: seconds, reason: clean))
  }

  /// 0 for ever.
  private static func seconds(_ text: String) -> Int64? {
    text == "forever" || text == "0" ? 0 : Term.seconds(text)
  }
}

struct Why: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Say what is known of an address: what was seen, whether it was this address, what was done and why.",
    usage: "portsentry why <target> [<options>]",
    discussion: exitCodes)

  @OptionGroup var control: ControlOptions
  @Argument(help: "An IPv4 or IPv6 address.")
  var target: String
  @Flag(help: "Print one JSON object instead of text.")
  var json = false

  func run() throws {
    guard IPNetwork(target) != nil else {
      throw ValidationError(AddressText.fault(target, shown: SafeText.line(target)) + ".")
    }
    try control.ask(.why(target: target, json: json), isJSON: json)
  }
}

struct Confirm: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Keep what was blocked in a trial (`run --trial`), and go on blocking.", discussion: exitCodes)

  @OptionGroup var control: ControlOptions

  func run() throws { try control.ask(.confirm) }
}

struct Unblock: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Release an address or network, in every way it is blocked.",
    usage: "portsentry unblock (<target> | --all) [<options>]",
    discussion: exitCodes)

  @OptionGroup var control: ControlOptions
  @Argument(help: "The address or network as `portsentry blocked` shows it.")
  var target: String?
  @Flag(help: "Release everything.")
  var all = false

  func validate() throws {
    if all == (target != nil) { throw ValidationError("Name what is to be released, or say --all.") }
  }

  func run() throws {
    guard let target else { return try control.ask(.unblockAll) }
    guard IPNetwork(target) != nil else {
      throw ValidationError(AddressText.fault(target, shown: SafeText.line(target)) + ".")
    }
    try control.ask(.unblock(target: target))
  }
}

extension Console {
  /// Prints rows for people: on a terminal, no line is longer than it is wide.
  static func printFolded(_ text: String, terminator: String = "\n") {
    print(TextLayout.console.folded(text), terminator: terminator)
  }
}
