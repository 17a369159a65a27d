import CLinux
import Platform
import TestSupport
import Testing

@testable import Confinement

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
    #expect(Capabilities(rawValue: 1 << 21 | 1 << 60).description == "CAP_SYS_ADMIN capability 60")
    #expect(Capabilities(rawValue: 1 << 41 - 1).description == "all")
    #expect(Capabilities(rawValue: 1 << 41 - 1 - 1 << 24).description == "all but CAP_SYS_RESOURCE")
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

  /// What the kernel makes of a call (seccomp(2)): its action, by running the program over its description.
  private func action(_ calls: SystemCalls, _ call: String, _ arguments: [UInt32]) -> UInt32 {
    var data = [UInt32](repeating: 0, count: 16)
    data[0] = UInt32(unsafe CLinux_system_call(call))
    data[1] = CLinux_audit_arch()
    for (index, argument) in arguments.enumerated() { data[4 + 2 * index] = argument }
    let program = calls.program
    var (at, value): (Int, UInt32) = (0, 0)
    while true {
      let step = program[at]
      at += 1
      switch Int32(step.code) {
      case BPF_LD | BPF_W | BPF_ABS: value = data[Int(step.k) / 4]
      case BPF_JMP | BPF_JEQ | BPF_K: at += Int(value == step.k ? step.jt : step.jf)
      case BPF_JMP | BPF_JGE | BPF_K: at += Int(value >= step.k ? step.jt : step.jf)
      case BPF_JMP | BPF_JGT | BPF_K: at += Int(value > step.k ? step.jt : step.jf)
      default: return step.k
      }
    }
  }

  @Test(
    "arguments decide about calls that are allowed", .enabled(if: SystemCalls.isAvailable),
    arguments: [
      ("ioctl", [3, 0x890b, 0], false), ("ioctl", [3, 0x8914, 0], false), ("ioctl", [3, 0x89a2, 0], false),
      ("ioctl", [3, 0x8946, 0], false), ("ioctl", [3, 0x8900, 0], false), ("ioctl", [3, 0x8bff, 0], false),
      ("ioctl", [3, 0x8913, 0], true), ("ioctl", [3, 0x8933, 0], true), ("ioctl", [3, 0x5413, 0], true),
      ("ioctl", [3, 0x8c00, 0], true), ("setsockopt", [3, 0, 64], false), ("setsockopt", [3, 0, 63], true),
      ("setsockopt", [3, 0, .max], false), ("setsockopt", [3, 41, 65], false), ("setsockopt", [3, 41, 75], true),
      ("setsockopt", [3, 1, 64], true), ("setsockopt", [3, 6, 64], true), ("socket", [16, 3, 12], false),
      ("socket", [16, 3, 0], true), ("socket", [16, 3, 4], true), ("socket", [2, 3, 12], true),
      ("socket", [40, 1, 0], false),
      ("ptrace", [16, 1], false), ("read", [0, 0, 0], true),
    ] as [(String, [UInt32], Bool)])
  func refusals(_ call: String, _ arguments: [UInt32], _ isAllowed: Bool) {
    #expect(action(.sentry, call, arguments) == (isAllowed ? 0x7fff_0000 : 0x0005_0000 | UInt32(EPERM)))
  }

  @Test("what is sealed refuses further sockets for routes, and nothing else", .enabled(if: SystemCalls.isAvailable))
  func sealed() {
    #expect(action(.sealed, "socket", [16, 3, 0]) == 0x0005_0000 | UInt32(EPERM))
    for (call, arguments) in [("socket", [16, 3, 4]), ("socket", [2, 3, 0]), ("ptrace", [0, 0])] as [(String, [UInt32])]
    {
      #expect(action(.sealed, call, arguments) == 0x7fff_0000)
    }
  }

  @Test(
    "by what rules and routes are changed a confined sentry has nothing, and by what it is read it has",
    .enabled(if: isRoot))
  func sentryHasNoRules() async {
    await #expect(processExitsWith: .exitCode(0)) {
      // Before: with CAP_NET_ADMIN.
      guard unshare(CLinux_CLONE_NEWNET) == 0 else { exit(1) }
      let diagnosis = try FileDescriptor.socket(AF_INET, CLinux_SOCK_STREAM, 0)
      var reader = try NetlinkSocket(NETLINK_ROUTE)
      try Capabilities.keepOnly([.netAdmin, .netRaw], inherited: false)
      try Confinement.noNewPrivileges()
      guard try SystemCalls.sentry.restrict() else { exit(0) }
      func refused(_ body: () throws -> Void) -> Bool {
        do { try body() } catch let error as Errno { return error.code == EPERM } catch { return false }
        return false
      }
      for number in [NETLINK_NETFILTER, 6, 16, 9] as [Int32] {
        guard refused({ _ = try FileDescriptor.socket(AF_NETLINK, CLinux_SOCK_RAW, number) }) else { exit(2) }
      }
      guard (try? FileDescriptor.socket(AF_NETLINK, CLinux_SOCK_RAW, NETLINK_SOCK_DIAG)) != nil else { exit(3) }
      for name in [64, 65, 96, 128, 1_088] as [Int32] {
        guard refused({ try diagnosis.setOption(Int32(IPPROTO_IP), name, 0) }) else { exit(4) }
      }
      guard refused({ try diagnosis.setOption(Int32(IPPROTO_IPV6), 64, 0) }) else { exit(5) }
      guard (try? diagnosis.setOption(Int32(IPPROTO_IP), IP_TRANSPARENT, 1)) != nil else { exit(6) }
      // Another may still be opened; then no more.
      guard (try? NetlinkSocket(NETLINK_ROUTE)) != nil else { exit(8) }
      guard try SystemCalls.sealed.restrict() else { exit(9) }
      guard refused({ _ = try NetlinkSocket(NETLINK_ROUTE) }) else { exit(10) }
      // What is there reads, and changes nothing, though the capability is held.
      guard try Capabilities.permitted().contains(.netAdmin) else { exit(11) }
      var buffer = [UInt8](repeating: 0, count: 1 << 16)
      var links = 0
      try reader.dump(Int(RTM_GETLINK), ifinfomsg(), buffer: &buffer) { _ in links += 1 }
      guard links > 0 else { exit(12) }
      let sequence = reader.nextSequence()
      var message = NetlinkMessage()
      var link = ifinfomsg()
      (link.ifi_index, link.ifi_flags, link.ifi_change) = (1, UInt32(IFF_UP), UInt32(IFF_UP))
      message.begin(UInt16(RTM_NEWLINK), flags: NLM_F_REQUEST | NLM_F_ACK, sequence: sequence, fixed: link)
      message.end()
      guard refused({ try reader.request(message, sequence: sequence, buffer: &buffer) { _ in } }) else { exit(13) }
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
      let unknown = calls.allowed!.filter { unsafe CLinux_system_call($0) < 0 }
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
