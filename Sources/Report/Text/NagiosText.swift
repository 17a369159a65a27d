import Platform

/// `portsentry status --nagios`: one line and a state, in the form of the Monitoring Plugins' guidelines.
package struct NagiosText: Sendable, Equatable {
  /// The exit status that says it.
  package enum State: Int32, Sendable {
    case ok = 0
    case warning = 1
    case critical = 2
    case unknown = 3

    fileprivate var name: String {
      switch self {
      case .ok: "OK"
      case .warning: "WARNING"
      case .critical: "CRITICAL"
      case .unknown: "UNKNOWN"
      }
    }
  }

  package let state: State
  package let line: String

  /// No sentry answers; without the right to ask it nothing is known.
  package init(noAnswer reason: String, isForbidden: Bool) {
    state = isForbidden ? .unknown : .critical
    let prefix = "portsentry: "
    line = Self.line(
      state, reason.startsWithBytes(prefix) ? String(Substring(reason.utf8.dropFirst(prefix.utf8.count))) : reason)
  }

  /// What a sentry says of itself; nil for an answer that cannot be read.
  package init(_ live: LiveStatus?) {
    guard let live else {
      state = .unknown
      line = Self.unknown("the sentry's answer cannot be read: is it of another version?")
      return
    }
    let lost = Self.lost(live)
    let warnings = Self.warnings(live)
    state = !lost.isEmpty ? .critical : !warnings.isEmpty ? .warning : .ok
    let problems = lost + warnings
    let text = problems.isEmpty ? Self.wellness(live) : problems.joined(separator: "; ")
    line = Self.line(state, text) + " | " + Self.numbers(live)
  }

  /// The line for wrong usage.
  package static func unknown(_ reason: String) -> String { line(.unknown, reason) }

  /// A `|` would begin the numbers.
  private static func line(_ state: State, _ text: String) -> String {
    "PORTSENTRY \(state.name) - " + SafeText.line(text, limit: 1000).replacingBytes("|", with: "/")
  }

  /// Protections that are lost.
  private static func lost(_ live: LiveStatus) -> [String] {
    var problems: [String] = []
    if live.seesNothing { problems.append("no interface is up: nothing is seen") }
    if live.deception?.state == "failed" { problems.append("no decoys: \(live.deception?.text ?? "see the log")") }
    if live.blocks?.enforced == false { problems.append("blocks may not be in force, see the log") }
    return problems
  }

  private static func warnings(_ live: LiveStatus) -> [String] {
    var problems: [String] = []
    if let ways = live.deception?.hidden, !ways.isEmpty {
      problems.append("the firewall of this host hides the decoys (\(ways.joined(separator: ", ")))")
    }
    let losses = live.losses
    if !losses.isEmpty {
      let list = losses.map { "\(Units.count($0.count)) \($0.what)" }.joined(separator: ", ")
      problems.append("lost since the start: \(list)")
    }
    if live.journal?.failing == true { problems.append("the journal cannot be written") }
    if live.trial?.is_over == true { problems.append("the trial is over and nothing is blocked: portsentry confirm") }
    return problems
  }

  private static func wellness(_ live: LiveStatus) -> String {
    let modes = [live.tcp_mode, live.udp_mode].compactMap(\.self).joined(separator: ", ")
    return "watching (\(modes)), \(Units.plural(live.blocks?.in_force ?? 0, "block")) in force"
  }

  /// Performance data: `c` marks a number that only grows.
  private static func numbers(_ live: LiveStatus) -> String {
    let lost = live.losses.reduce(UInt64(0)) { $0 &+ $1.count }
    return "blocks=\(live.blocks?.in_force ?? 0) blocks_made=\(live.blocks?.made ?? 0)c"
      + " probes=\(live.probes?.seen ?? 0)c alerts=\(live.probes?.alerts ?? 0)c"
      + " proven=\(live.origin?.proven ?? 0)c lost=\(lost)c;0"
  }
}
