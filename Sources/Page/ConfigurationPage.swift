import CLinux
import Configuration
import Daemon
import Detection
import Platform
import Report

/// The page about the settings.
enum ConfigurationPage {
  /// - Parameters:
  ///   - plan: as this process reads the files.
  ///   - isLive: whether the modes are those of a running sentry.
  static func html(_ plan: Plan, isLive: Bool) -> HTML {
    let (problems, unreadable) = split(plan)
    // What this process may not read is no fault of the configuration, and what it took instead is not in force.
    let hidden = unreadable.map { problem -> HTML in
      "<p>The page may not read <code>\(problem.file)</code>, so it says nothing about it. As root: <code>portsentry check</code>.</p>"
    }
    let main = plan.configurationPath ?? RunOptions.defaultConfigurationPath
    let isKnown = !unreadable.contains { $0.file.isSameBytes(as: main) }
    guard isKnown else { return "<h1>Configuration</h1><section><h2>What the settings do</h2>\(hidden)</section>" }
    let words = Explanation.explain(
      plan.configuration, tcpMode: plan.tcpMode, udpMode: plan.udpMode, ignoredNetworks: plan.ignored.count)
    let lines = words.byteLines.map { "<p>\(String($0))</p>" as HTML }
    let list: HTML =
      problems.isEmpty ? "<p>No problem was found.</p>" : "<pre>\(problems.map { "\("\($0)")\n" as HTML })</pre>"
    return """
      <h1>Configuration</h1><p class="span">\
      \(plan.configurationPath ?? "built-in settings")\(plan.formText). \
      Modes \(isLive ? "as the running sentry has them" : "from \(plan.modesFrom)").</p>\
      <section><h2>What the settings do</h2>\(hidden)\(lines)</section><section><h2>Problems</h2>\(list)</section>
      """
  }

  /// The problems of the files, and those that only this process has with them.
  static func split(_ plan: Plan) -> (readable: [Diagnostic], unreadable: [Diagnostic]) {
    let forbidden = Errno(EACCES, "open").reason
    let isForbidden = { (problem: Diagnostic) in
      problem.line == 0 && problem.message.startsWithBytes("cannot read ")
        && problem.message.containsBytes(": \(forbidden)")
    }
    return (plan.diagnostics.filter { !isForbidden($0) }, plan.diagnostics.filter(isForbidden))
  }
}
