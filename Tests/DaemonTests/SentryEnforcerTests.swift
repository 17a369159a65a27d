import Enforcement
import Platform
import TestSupport
import Testing

@testable import Daemon

/// What the sentry makes of what its enforcer says by itself.
@Suite struct SentryEnforcerTests {
  /// Hears what is said until a line is in the log.
  private func hear(_ sentry: Sentry, _ log: (String) -> [String], until text: String) -> [String] {
    let deadline = Clock.monotonic + 20_000_000_000
    while Clock.monotonic < deadline, !log("log").contains(where: { $0.contains(text) }) {
      _ = Poll.readable(sentry.blocker.enforcer.descriptors, milliseconds: 100)
      sentry.advanceEnforcer()
    }
    return log("log")
  }

  @Test func `An enforcer that has ended, another, and the end of both are said`() throws {
    try inFolder { folder in
      let words: [(String, EnforcerReply)] = [
        ("hello", .hello(pid: 1 << 30, isAgain: false)), ("ended", .ended("signal 9")),
        ("again", .hello(pid: 1 << 30, isAgain: true)),
      ]
      for (name, reply) in words { try Files.replace("\(folder)/\(name)", with: [0, 0, 0, 0] + reply.bytes) }
      try write(words.map { "cat \(folder)/\($0.0) >&0" }.joined(separator: "\n"), to: folder + "/script")
      let enforcer = try EnforcerLink(starting: "/bin/sh", EnforcerSettings(path: folder + "/script"))
      try withSentry(.native, enforcer: enforcer) { sentry, log in
        let lines = hear(sentry, log, until: "NOBODY IS BLOCKED ANY MORE")
        #expect(lines.contains { $0.contains("the enforcer has ended (signal 9) and is started anew") })
        #expect(lines.contains { $0.contains("an enforcer is there again") })
        #expect(lines.contains { $0.contains("NOBODY IS BLOCKED ANY MORE: the enforcer has ended") })
        #expect(sentry.protection.blocksInDoubt)
      }
    }
  }

  @Test func `One that cannot give a right up says so, and an enforcer in this process is asked for none`() throws {
    try inFolder { folder in
      try write("echo capset: no >&2\nsleep 0.2\n", to: folder + "/script")
      let enforcer = try EnforcerLink(starting: "/bin/sh", EnforcerSettings(path: folder + "/script"))
      try withSentry(.native, enforcer: enforcer) { sentry, log in
        #expect(hear(sentry, log, until: "enforcer: capset").contains { $0.contains("enforcer: capset: no") })
      }
      try withSentry(.native) { sentry, log in
        sentry.advanceEnforcer()
        #expect(!sentry.protection.blocksInDoubt && sentry.health.lines.map(\.role) == ["sentry"])
        #expect(log("log").allSatisfy { !$0.contains("enforcer") })
      }
    }
  }

  @Test func `The enforcer reads what the sentry has read`() {
    var plan = Plan.embedded(.advanced)
    plan.configurationPath = "/etc/portsentry/portsentry.conf"
    var options = RunOptions()
    options.tcpMode = .advanced
    #expect(
      EnforcerSettings(plan, options)
        == EnforcerSettings(path: plan.configurationPath, preferred: options.isClassicCall ? .classic : nil))
  }
}
