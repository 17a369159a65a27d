import ArgumentParser
import Daemon
import Platform
import Report
import Response
import Wire

struct ShowDecoys: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "firewall",
    abstract:
      "Print the firewall rule that lets strangers reach the decoys; with --apply insert it, with --remove take it back.",
    usage: "portsentry firewall [--apply | --remove] [<options>]",
    discussion: """
      Finds which of nftables, ufw, firewalld and iptables is in use. The rule accepts packets to decoys only: what this \
      host serves, and every closed port, stays as it was. Without an option nothing is changed. Needs root.

      Exit status: 0 done; 1 not done, and it says why; 64 wrong usage; 77 no permission.
      """)

  @OptionGroup var control: ControlOptions
  @Flag(help: "Insert the rule into every firewall that lacks it.")
  var apply = false
  @Flag(help: "Take back what --apply inserted.")
  var remove = false

  func validate() throws {
    if apply, remove { throw ValidationError("Use either --apply or --remove.") }
  }

  func run() throws {
    let survey = FirewallSurvey()
    let findings = try find(survey)
    if findings.isEmpty {
      say(
        "No firewall of this host (nftables, ufw, firewalld, iptables) can drop packets to the decoys: there is nothing to \(remove ? "take back" : "insert")."
      )
    } else if apply || remove {
      try change(survey, findings)
    } else {
      show(findings)
    }
    if !remove { sayElsewhere() }
  }

  private func find(_ survey: FirewallSurvey) throws -> [FirewallSurvey.Finding] {
    do throws(ResponderError) { return try survey.find() } catch {
      switch error {
      case .notPermitted:
        Console.error("portsentry: no permission to read the firewall rules of this host: run it as root")
        throw ExitCode(77)
      default:
        Console.error("portsentry: the firewall rules of this host cannot be read: \(error)")
        throw ExitCode(1)
      }
    }
  }

  private func show(_ findings: [FirewallSurvey.Finding]) {
    for finding in findings {
      let firewall = finding.firewall
      Console.print("\(firewall.name): \(finding.isOpen ? "lets packets to decoys through" : "has no rule for decoys")")
      if !finding.isOpen {
        for line in firewall.instructions { Console.print("  \(line)") }
        Console.print("  \(firewall.endurance)")
      }
      Console.print("")
    }
    let closed = findings.count { !$0.isOpen }
    say(
      closed == 0
        ? "Nothing to do. `portsentry firewall --remove` takes the rules back."
        : "\(closed) of \(Units.plural(findings.count, "firewall")) without the rule. `portsentry firewall --apply` inserts it, `--remove` takes it back."
    )
  }

  private func change(_ survey: FirewallSurvey, _ findings: [FirewallSurvey.Finding]) throws {
    var faults = 0
    for finding in findings {
      let firewall = finding.firewall
      if finding.isOpen == apply {
        Console.print("\(firewall.name): \(apply ? "has the rule already" : "has no rule to take back")")
      } else if let fault = apply ? survey.open(finding) : survey.close(finding) {
        faults += 1
        Console.error("portsentry: \(firewall.name): \(fault)")
      } else {
        Console.print("\(firewall.name): the rule is \(apply ? "inserted" : "taken back")")
        if apply { Console.print("  \(firewall.endurance)") }
      }
    }
    // What was asked for counts, not what a command said of itself.
    let left = try find(survey).filter { $0.isOpen != apply }
    for finding in left where faults == 0 {
      Console.error(
        "portsentry: \(finding.firewall.name): \(apply ? "the rule is still missing" : "a rule for decoys is still there; it was not inserted by this command")"
      )
    }
    if faults > 0 || !left.isEmpty { throw ExitCode(1) }
  }

  /// Whether strangers reach the decoys a running sentry knows; a rule at the input hook is no help against what drops before it.
  private func sayElsewhere() {
    let path = control.controlSocket ?? Plan.make(options).configuration.controlSocket
    guard let reply = try? ControlClient.ask(path, .status(json: true), patience: 3), reply.exitCode == 0,
      let status: LiveStatus = JournalAccess.decode(reply.text), let hidden = status.deception?.hidden, !hidden.isEmpty
    else { return }
    say(
      "The running sentry's last test packets did not reach the decoys on \(hidden.map { SafeText.line($0) }.joined(separator: ", ")). It tests again within a minute: see `portsentry status`. If decoys stay hidden, its log says what drops the packets."
    )
  }

  private func say(_ sentences: String) { Console.print(ReportText.wrap(sentences), terminator: "") }

  private var options: RunOptions {
    var options = RunOptions()
    options.configurationPath = control.configuration
    return options
  }
}
