import CLinux
import Configuration
import Confinement
import Notify
import Platform
import TestSupport
import Testing

@testable import Daemon

/// What a configuration leaves the sentry of its rights.
@Suite struct RightsTests {
  private static func plan(_ change: (inout Plan) -> Void = { _ in }) -> Plan {
    var plan = Plan.embedded(.advanced)
    plan.configuration.response.tcp = .block
    change(&plan)
    return plan
  }

  private static func host(_ user: uid_t = 990, folders: Set<String>? = nil) -> Rights.Host {
    Rights.Host(
      user: user, hasBPF: true, page: .same(because: ""), isDynamic: false, program: "/usr/sbin/portsentry",
      hasControlGroups: true,
      exists: { folders?.contains($0) ?? true })
  }

  @Test func `As shipped: the network's capabilities, its own folders, its own program`() {
    let rights = Rights(Self.plan(), on: Self.host())
    #expect(rights.capabilities == [.netRaw, .netAdmin, .bindService, .bpf])
    #expect(!rights.mayGain && rights.calls == .sentry && rights.reasons.isEmpty)
    #expect(
      rights.files
        == Landlock(
          read: ["/"], write: ["/run/portsentry", "/var/lib/portsentry", "/dev/null"],
          execute: ["/usr/sbin/portsentry"]))
  }

  @Test func `Root keeps what the files of the service's user want, and what a page with a user of its own wants`() {
    var host = Self.host(0)
    #expect(
      Rights(Self.plan(), on: host).capabilities == [.netRaw, .netAdmin, .bindService, .bpf, .overrideFiles])
    host.page = .another(Account(name: "portsentry", user: 990, group: 990))
    let wider = Rights(Self.plan(), on: host).capabilities
    #expect(wider?.isSuperset(of: [.setUser, .setGroup, .chown, .kill]) == true)
    #expect(wider?.contains(.administer) == false)
    host.hasBPF = false
    let old = Rights(Self.plan(), on: host)
    #expect(old.capabilities?.contains(.administer) == true && old.reasons.count == 1)
  }

  @Test(
    "Programs of the administrator's inherit, so nothing is given up",
    arguments: ["KILL_ROUTE", "KILL_RUN_CMD", "command", "mail"])
  func programs(_ what: String) {
    let rights = Rights(
      Self.plan { plan in
        switch what {
        case "KILL_ROUTE":
          plan.configuration.response.methods = [.command]
          plan.configuration.response.killRoute = "/usr/local/bin/shut $TARGET$"
        case "KILL_RUN_CMD": plan.configuration.response.killRunCommand = "logger $TARGET$"
        case "command": plan.configuration.recording.notify.target = .command(["/usr/local/bin/tell"])
        default: plan.configuration.recording.notify.target = .mail(["root"])
        }
      }, on: Self.host(0))
    #expect(rights.capabilities == nil && rights.files == nil && rights.calls == nil && rights.mayGain)
    #expect(rights.reasons.count == 1)
    let key = what.hasPrefix("KILL") ? what : "NOTIFY"
    #expect(rights.reasons.first?.contains(key) == true)
  }

  @Test func `A command that nothing runs, and 1.2's own route, which netlink makes, keep nothing`() {
    let logging = Self.plan { plan in
      plan.configuration.response.tcp = .logOnly
      plan.configuration.response.killRunCommand = "logger $TARGET$"
    }
    #expect(Rights(logging, on: Self.host()).calls != nil)
    let route = Self.plan { plan in
      plan.configuration.response.methods = [.command]
      plan.configuration.response.killRoute = "/sbin/route add -host $TARGET$ reject"
    }
    #expect(Rights(route, on: Self.host()).calls != nil)
  }

  @Test func `Every file that is configured can be written, and where a folder is not there yet the one above it`() {
    let rights = Rights(
      Self.plan { plan in
        plan.configuration.historyFile = "/var/log/history/portsentry"
        plan.configuration.recording.eventsFile = "/srv/events/today/file"
        plan.configuration.recording.metricsFile = "/new/metrics"
        plan.configuration.recording.consoleListen = .unix("/run/page/socket")
        plan.configuration.response.methods = [.hostsDeny]
      },
      on: Self.host(
        folders: ["/run/portsentry", "/var/lib/portsentry", "/var/log", "/srv/events", "/run/page", "/etc"]))
    #expect(
      rights.files?.write == [
        "/", "/etc", "/run/page", "/run/portsentry", "/srv/events", "/var/lib/portsentry", "/var/log", "/dev/null",
      ])
    #expect(rights.reasons.count == 1)
  }

  @Test func `Messages by HTTP are sent by curl, which needs libraries`() {
    let rights = Rights(
      Self.plan { $0.configuration.recording.notify.target = .ntfy(.text("https://ntfy.sh/x"), token: nil) },
      on: Self.host())
    #expect(rights.files?.execute.contains("/usr") == true && rights.calls == .sentry)
  }

  @Test func `A reload that needs more than was kept says what will not go`() {
    let now = Rights(Self.plan(), on: Self.host())
    #expect(now.lacks(now).isEmpty)
    let log = Rights(Self.plan { $0.configuration.historyFile = "/var/log/history" }, on: Self.host())
    #expect(now.lacks(log) == ["nothing can be written in /var/log"])
    let below = Rights(Self.plan { $0.configuration.historyFile = "/var/lib/portsentry/a/b" }, on: Self.host())
    #expect(now.lacks(below).isEmpty)
    let command = Rights(Self.plan { $0.configuration.response.killRunCommand = "logger" }, on: Self.host())
    #expect(now.lacks(command).count == 1)
    #expect(command.lacks(now).isEmpty && Rights.all.lacks(log).isEmpty)
  }

  @Test("What was given up stays given up", .enabled(if: geteuid() == 0 && SystemCalls.isAvailable))
  func enters() async {
    await #expect(processExitsWith: .exitCode(0)) {
      let folder = "/tmp/portsentry-rights-\(getpid())"
      try Files.createFolder(folder + "/state")
      let inForce = Rights(
        Self.plan { plan in
          plan.configuration.stateDirectory = folder + "/state"
          plan.configuration.historyFile = nil
          plan.configuration.blockedFile = nil
          plan.configuration.controlSocket = folder + "/state/socket"
        }, on: Rights.Host(page: .same(because: ""), program: "/bin/true")
      ).enter()
      guard inForce.faults.isEmpty, inForce.hasLandlock == (Landlock.version != nil) else { exit(2) }
      let state = try ProcessState.read(getpid())
      guard state.noNewPrivileges, state.systemCallFilter == 2 else { exit(3) }
      // Capabilities are each thread's own, and a test's is not the first one of its process.
      guard try Capabilities.permitted() == [.netRaw, .netAdmin, .bindService, .bpf, .overrideFiles] else { exit(4) }
      guard (try? Files.replace(folder + "/state/file", with: [1])) != nil else { exit(5) }
      if inForce.hasLandlock {
        guard (try? Files.replace(folder + "/file", with: [1])) == nil else { exit(6) }
        // Tests have libraries, whose folders have programs; another folder has none to be executed.
        try Files.replace(folder + "/state/program", with: Array("#!/bin/true\n".utf8), mode: 0o755)
        guard (try? ChildProcess(folder + "/state/program", ["program"])) == nil else { exit(7) }
      }
      guard (try? ChildProcess("/bin/true", ["true"])) != nil else { exit(8) }
      guard unshare(0x1000_0000) == -1 else { exit(9) }
      shell("rm -rf \(folder)")
      exit(0)
    }
  }
}
