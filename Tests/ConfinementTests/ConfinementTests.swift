import CLinux
import Confinement
import Platform
import TestSupport
import Testing

/// Rights are given up for good, so each trial is a process of its own. Its exit status says how far it came: 0 is as it should be.
@Suite("Confinement")
struct ConfinementTests {
  static let isRoot = geteuid() == 0
  static let hasLandlock = Landlock.version != nil

  @Test("an account is read from the file: name, number, or none; lines that are no account are passed over")
  func account() throws {
    try inFolder { try account(in: $0) }
  }

  private func account(in folder: String) throws {
    let path = "\(folder)/passwd"
    try write(
      "root:x:0:0::/root:/bin/sh\nbroken\nhalf:x:no:1::/:\nportsentry:x:990:991:PortSentry:/:/bin/false\n", to: path)
    #expect(Account.named("portsentry", in: path) == Account(name: "portsentry", user: 990, group: 991))
    #expect(Account.numbered(990, in: path)?.name == "portsentry")
    #expect(Account.named("half", in: path) == nil)
    #expect(Account.named("nobody", in: path) == nil)
    #expect(Account.named("root", in: "\(folder)/none") == nil)
  }

  @Test("capabilities have the names that systemd gives them")
  func names() {
    #expect(Capabilities([.netRaw, .netAdmin, .bpf]).description == "CAP_NET_ADMIN CAP_NET_RAW CAP_BPF")
    #expect(Capabilities().description == "none")
    #expect(Capabilities(rawValue: 1 << 22).description == "capability 22")
  }

  @Test("the kernel's account of a process is read; another text is none")
  func state() throws {
    let own = try ProcessState.read(getpid())
    #expect(own.user == getuid() && own.effectiveUser == geteuid() && own.parent == getppid())
    #expect(try own.capabilities == Capabilities.permitted())
    #expect(try ProcessState.family(of: getpid()).first?.pid == getpid())
    #expect(throws: Errno.self) { try ProcessState.read(0) }
  }

  @Test(
    "another user with some capabilities: no way back, and a program that it executes has no more", .enabled(if: isRoot)
  )
  func become() async {
    await #expect(processExitsWith: .exitCode(0)) {
      try Account(name: "other", user: 65_534, group: 65_534).become(keeping: [.netRaw, .netAdmin])
      guard getuid() == 65_534, geteuid() == 65_534, getgid() == 65_534 else { exit(2) }
      guard try Capabilities.permitted() == [.netRaw, .netAdmin] else { exit(3) }
      guard setresuid(0, 0, 0) == -1 else { exit(4) }
      guard (try? FileDescriptor.open("/etc/shadow", O_RDONLY)) == nil else { exit(5) }
      // What the kept ones are good for.
      guard (try? FileDescriptor.socket(AF_PACKET, CLinux_SOCK_RAW, 0)) != nil else { exit(6) }
      let child = try ChildProcess(shell: "grep -E '^(Cap(Eff|Bnd|Amb)|Uid)' /proc/self/status")
      while !child.outputEnded { child.readOutput(); usleep(1000) }
      let expected = "000000000000" + "3000"
      let lines = child.outputText.split(separator: "\n")
      guard lines.count == 4, lines.filter({ $0.hasSuffix(expected) }).count == 3 else { exit(7) }
      exit(0)
    }
  }

  @Test("without capabilities there is no raw socket", .enabled(if: isRoot))
  func none() async {
    await #expect(processExitsWith: .exitCode(0)) {
      try Capabilities.keepOnly([], inherited: false)
      guard try Capabilities.permitted().isEmpty else { exit(2) }
      guard (try? FileDescriptor.socket(AF_PACKET, CLinux_SOCK_RAW, 0)) == nil else { exit(3) }
      exit(0)
    }
  }

  @Test("with Landlock what is not named is not there to be read, written or executed", .enabled(if: hasLandlock))
  func landlock() async {
    await #expect(processExitsWith: .exitCode(0)) {
      let base = "/tmp/portsentry-landlock-\(getpid())"
      for name in ["read", "write", "other"] { try Files.createFolder("\(base)/\(name)") }
      for name in ["read", "other"] { try Files.replace("\(base)/\(name)/file", with: [1]) }
      try Confinement.noNewPrivileges()
      guard
        try Landlock(read: ["\(base)/read", "\(base)/nothing"], write: ["\(base)/write"]).restrict()
      else { exit(2) }
      guard (try? Files.read("\(base)/read/file")) == [1] else { exit(3) }
      guard (try? Files.replace("\(base)/write/file", with: [2])) != nil else { exit(4) }
      guard (try? Files.read("\(base)/write/file")) == [2] else { exit(5) }
      guard (try? Files.replace("\(base)/read/file", with: [2])) == nil else { exit(6) }
      guard (try? Files.read("\(base)/other/file")) == nil else { exit(7) }
      guard (try? Files.replace("\(base)/other/new", with: [2])) == nil else { exit(8) }
      guard (try? ChildProcess("/bin/true", ["true"])) == nil else { exit(9) }
      exit(0)
    }
  }

  @Test(
    "every call that is named has a number: a name that nothing knows would permit nothing",
    arguments: [SystemCalls.sentry, .page, .client])
  func numbers(_ calls: SystemCalls) {
    #if arch(x86_64)
      let unknown = calls.allowed.filter { unsafe CLinux_system_call($0) < 0 }
      #expect(unknown.isEmpty, "\(unknown)")
    #endif
  }

  @Test("a call that is not named is refused, and all else goes on")
  func refused() async {
    await #expect(processExitsWith: .exitCode(0)) {
      try Confinement.noNewPrivileges()
      var attributes = bpf_attr()
      let next = Int32(BPF_MAP_GET_NEXT_ID.rawValue)
      // What others have loaded is found by it.
      guard try SystemCalls.sentry.restrict() else { exit(0) }
      guard unsafe CLinux_bpf(next, &attributes) == -1, CLinux_errno() == EPERM else { exit(9) }
      guard unsafe CLinux_bpf(Int32(BPF_MAP_CREATE.rawValue), &attributes) == -1,
        geteuid() != 0 || CLinux_errno() == EINVAL
      else { exit(10) }
      guard unshare(0x1000_0000) == -1, CLinux_errno() == EPERM else { exit(2) }
      guard (try? Files.read("/proc/self/status")) != nil else { exit(3) }
      guard try ProcessState.read(getpid()).systemCallFilter == 2 else { exit(4) }
      guard try ProcessState.read(getpid()).noNewPrivileges else { exit(5) }
      guard (try? ChildProcess("/bin/true", ["true"])) != nil else { exit(6) }
      let thread = try Thread.start(name: "another") {
        if unshare(0x1000_0000) != -1 { exit(7) }
      }
      thread.join()
      exit(0)
    }
  }

  @Test(
    "the page is killed for starting a program, a file it makes, another user",
    arguments: ["execve", "fork", "mkdir", "setresuid"])
  func killed(_ call: String) async {
    guard SystemCalls.isAvailable else { return }
    await #expect(processExitsWith: .signal(SIGSYS)) { [call = call as String] in
      try Confinement.noNewPrivileges()
      _ = try SystemCalls.page.restrict()
      guard (try? Files.read("/proc/self/status")) != nil else { exit(2) }
      switch call {
      case "execve": unsafe execv("/bin/true", [nil])
      case "fork": _ = CLinux_fork()
      case "mkdir": unsafe mkdir("/nowhere/at/all", 0)
      default: _ = setresuid(getuid(), getuid(), getuid())
      }
      exit(3)
    }
  }

  @Test("without no_new_privs a filter is refused to whoever is not root", .enabled(if: isRoot))
  func order() async {
    await #expect(processExitsWith: .exitCode(0)) {
      try Account(name: "other", user: 65_534, group: 65_534).become(keeping: [])
      do throws(Errno) {
        _ = try SystemCalls.sentry.restrict()
        if SystemCalls.isAvailable { exit(2) }
      } catch { if error.code != EACCES { exit(3) } }
      do throws(Errno) {
        _ = try Landlock().restrict()
        if Landlock.version != nil { exit(4) }
      } catch { if error.code != EPERM { exit(5) } }
      exit(0)
    }
  }
}
