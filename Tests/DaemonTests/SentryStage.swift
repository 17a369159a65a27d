import CLinux
import Configuration
import Detection
import Enforcement
import EventLog
import Platform
import Response
import TestSupport
import Wire

@testable import Daemon

/// A sentry without a sensor and without a kernel table.
///
/// - Parameter body: gets the sentry, and what its log and hosts.deny say by now.
func withSentry(
  _ dialect: LogDialect, time: TimeSource = .kernel, enforcer: EnforcerLink = EnforcerLink(),
  _ change: (inout Plan) -> Void = { _ in },
  _ body: (Sentry, @escaping (String) -> [String]) throws -> Void
) throws {
  try inFolder { folder in
    for name in ["log", "hosts.deny"] { try write("", to: "\(folder)/\(name)") }
    var plan = Plan.embedded(.stealth)
    plan.logDialect = dialect
    plan.configuration.stateDirectory = folder
    plan.configuration.controlSocket = folder + "/socket"
    plan.configuration.ignoreFile = nil
    plan.configuration.historyFile = folder + "/history"
    plan.configuration.blockedFile = nil
    plan.configuration.response.tcp = .block
    plan.configuration.response.methods = [.hostsDeny]
    plan.configuration.response.killHostsDeny = "ALL: $TARGET$"
    plan.configuration.response.hostsDenyFile = folder + "/hosts.deny"
    plan.configuration.response.doubtTime = nil
    change(&plan)
    let log = try FileDescriptor.open(folder + "/log", Files.appending)
    let probes = BoundedQueue<Probe>(capacity: 16)
    let verdicts = BoundedQueue<Verdict>(capacity: 16)
    let door = Sentry.Door(
      try ControlServer(path: plan.configuration.controlSocket),
      signals: try FileDescriptor.open("/dev/null", O_RDONLY))
    let sentry = Sentry(
      plan, RunOptions(), link: try SensorLink(),
      intake: Sentry.Intake(probes: Owned(probes.makeConsumer()), verdicts: Owned(verdicts.makeConsumer())),
      door: door, deception: try Deception(), enforcer: enforcer,
      log: LogSink([.stdout], outputFD: log.raw, errorFD: log.raw), time: time)
    try body(sentry) { name in
      sentry.flush()
      return (text(of: "\(folder)/\(name)") ?? "").split(separator: "\n").map(String.init)
    }
  }
}
