import CLinux
import Configuration
import Confinement
import Platform
import Response
import TestSupport
import Testing
import Wire

@testable import Enforcement

private let order = EnforcerOrder.ban(
  EnforcerOrder.Ban(IPNetwork("203.0.113.9")!, .scan, .sets, remaining: .seconds(60)))

@Suite struct EnforcerLinkTests {
  /// An enforcer that says what it is told to say: each word is something to read, or the file of a datagram.
  private func withFake(
    _ steps: [(name: String, datagram: [UInt8])], _ script: String, _ body: (EnforcerLink) throws -> Void
  ) throws {
    try inFolder { folder in
      for (name, datagram) in steps { try Files.replace("\(folder)/\(name)", with: datagram) }
      let read = "dd bs=9000 count=1 of=/dev/null 2>/dev/null"
      try write(
        script.split(separator: " ").map { $0 == "read" ? read : "cat \(folder)/\($0) >&0" }.joined(separator: "\n"),
        to: "\(folder)/script")
      try body(EnforcerLink(starting: "/bin/sh", EnforcerSettings(path: "\(folder)/script")))
    }
  }

  private func datagram(_ serial: UInt32, _ reply: EnforcerReply) -> [UInt8] {
    EnforcerSerial.bytes(serial) + reply.bytes
  }

  private var hello: (String, [UInt8]) { ("hello", datagram(0, .hello(pid: 1 << 30, isAgain: false))) }

  @Test func `An answer is that of its order; late ones of others are none`() throws {
    try withFake(
      [
        hello, ("late", datagram(77, .differs)), ("one", datagram(1, .done(true))),
        ("two", datagram(2, .refused("no"))),
      ],
      "hello read late one read two"
    ) { (link) throws in
      #expect(try link.ask(order) == .done(true))
      #expect(throws: ResponderError.unacceptable("the enforcer refuses it: no")) { try link.ask(order) }
      #expect(link.takeNews().allSatisfy { if case .gone = $0 { true } else { false } })
    }
  }

  @Test func `What has ended answers nothing, and another is greeted`() throws {
    try withFake(
      [
        hello, ("ended", datagram(0, .ended("signal 9"))), ("again", datagram(0, .hello(pid: 1 << 30, isAgain: true))),
        ("two", datagram(2, .done(false))), ("touched", datagram(0, .touched)),
      ], "hello read ended again read touched two"
    ) { (link) throws in
      #expect(throws: ResponderError.self) { try link.ask(order) }
      #expect(link.hasNews)
      var news: [EnforcerLink.News] = []
      let deadline = Clock.monotonic + 20_000_000_000
      while !news.contains(.startedAnew), Clock.monotonic < deadline {
        _ = Poll.readable(link.descriptors, milliseconds: 100)
        news += link.takeNews()
      }
      #expect(news == [.ended("signal 9"), .startedAnew] && link.isUp)
      #expect(try link.ask(order) == .done(false))
      #expect(link.hasNews && link.takeNews().first == .touched)
    }
  }

  @Test func `Whoever says what is no reply, or is gone, is not asked any more`() throws {
    try withFake([hello, ("wrong", [0, 0, 0, 1, 99])], "hello read wrong read") { (link) throws in
      #expect(throws: ResponderError.unacceptable("the enforcer has ended: start the sentry anew")) {
        try link.ask(order)
      }
      #expect(!link.isUp && link.descriptors.isEmpty && link.health().states.isEmpty)
      #expect(link.takeNews() == [.gone("what it says is no reply")])
    }
    let link = try EnforcerLink(starting: "/bin/true", EnforcerSettings(path: nil))
    #expect(throws: ResponderError.self) { try link.ask(order) }
    #expect(throws: Errno.self) { try EnforcerLink(starting: "/nowhere", EnforcerSettings(path: nil)) }
  }

  @Test func `In one process it is asked at once`() throws {
    let rules = RecordingRules()
    let link = EnforcerLink(EnforcerDesk(Permit(.none, safe: SafeNetworks()), rules))
    #expect(try link.ask(order) == .done(true))
    #expect(rules.sets.count == 1 && link.descriptors.isEmpty && link.takeNews().isEmpty && link.isUp)
    try link.pass(.trapPorts(.decoy, PortSet()))
    #expect(throws: ResponderError.self) { try link.ask(.health) }
  }
}

@Suite struct EnforcerSettingsTests {
  @Test func `As arguments, and back`() {
    let settings = EnforcerSettings(path: "/etc/portsentry/portsentry.conf", dialect: .modern, preferred: .classic)
    #expect(EnforcerSettings(words: settings.words) == settings)
    #expect(EnforcerSettings(words: EnforcerSettings(path: nil).words) == EnforcerSettings(path: nil))
    #expect(EnforcerSettings(words: ["a"]) == nil)
  }

  @Test func `Limits are those of the file, read anew; of one that cannot be read there are none`() throws {
    try inFolder { folder in
      let settings = EnforcerSettings(path: folder + "/conf")
      #expect(settings.configuration() == nil)
      try write(
        "BLOCK_TCP=\"1\"\nBLOCK_RATE=\"7\"\nBLOCK_MAX=\"99\"\nIGNORE_FILE=\"\(folder)/ignore\"\n", to: folder + "/conf")
      let configuration = try #require(settings.configuration())
      let limits = EnforcerSettings.limits(configuration)
      #expect((limits.perMinute, limits.maximum) == (7, 99))
      #expect(settings.files(configuration).read.contains(folder) && settings.files(configuration).write.isEmpty)
    }
  }

  @Test func `The ignore file counts from the moment it is changed, and one that is gone ignores nobody`() throws {
    try inFolder { folder in
      let path = folder + "/ignore"
      var wardens = Wardens(ignoreFile: path)
      var permit = Permit(.none, safe: SafeNetworks())
      func look(_ now: Int64) -> Int {
        wardens.refreshIgnored(&permit, at: now)
        return permit.ignored.count
      }
      #expect(look(1) == 0)
      try write("203.0.113.0/24\n", to: path)
      #expect(look(2) == 0, "looked at a moment ago")
      #expect(look(30_000_000) == 1)
      #expect(throws: Permit.Refusal.policy(.ignored)) {
        try permit.admit(IPNetwork("203.0.113.7")!, .order, .sets, until: .max, at: 0)
      }
      shell("rm \(path)")
      #expect(look(90_000_000) == 0)
    }
  }

  @Test
  func `Before it is known who must stay reachable nobody is shut out; then this host's addresses are among them`() {
    var permit = Permit(.none)
    #expect(throws: Permit.Refusal.blind) {
      try permit.admit(IPNetwork("203.0.113.7")!, .order, .sets, until: .max, at: 0)
    }
    var wardens = Wardens(ignoreFile: nil)
    wardens.refreshSafe(&permit, at: Clock.monotonic)
    #expect(permit.safe != nil && wardens.due > Clock.monotonic)
    wardens.hear(at: Clock.monotonic)
  }
}

@Suite struct EnforcerProcessTests {
  @Test(
    "It keeps one capability, reads what it must, and starts nothing",
    .enabled(if: geteuid() == 0 && SystemCalls.isAvailable))
  func confined() async {
    await #expect(processExitsWith: .exitCode(0)) {
      // To be asked before: afterwards it is a call that is refused.
      let isOffered = Landlock.version != nil
      let hasLandlock = EnforcerProcess.confine(EnforcerSettings(path: nil).files(.embedded))
      guard hasLandlock == isOffered else { exit(2) }
      let state = try ProcessState.read(getpid())
      guard state.noNewPrivileges, state.systemCallFilter == 2 else { exit(3) }
      guard try Capabilities.permitted().isSubset(of: .netAdmin) else { exit(4) }
      guard (try? FileDescriptor.socket(AF_INET, CLinux_SOCK_STREAM, 0)) == nil else { exit(5) }
      guard (try? FileDescriptor.socket(AF_NETLINK, CLinux_SOCK_RAW, NETLINK_NETFILTER)) != nil else { exit(6) }
      guard (try? FileDescriptor.socket(AF_NETLINK, CLinux_SOCK_RAW, NETLINK_SOCK_DIAG)) == nil else { exit(7) }
      guard (try? NetlinkSocket(NETLINK_ROUTE)) != nil else { exit(8) }
      guard (try? ChildProcess("/bin/true", ["true"])) == nil else { exit(9) }
      if hasLandlock {
        guard (try? Files.read("/etc/hosts", limit: 1 << 20)) != nil else { exit(10) }
        guard (try? Files.replace("/tmp/portsentry-enforcer-\(getpid())", with: [1])) == nil else { exit(11) }
      }
      exit(0)
    }
  }

  @Test func `A wrong call of it ends at once`() {
    #expect(EnforcerProcess.run(["too", "few"]) == 64)
  }
}
