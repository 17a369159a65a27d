import CLinux
import Platform

/// Which system calls this process and its threads may make (seccomp(2)): those that are named. A program of classic BPF, made here.
package struct SystemCalls: Equatable, Sendable {
  /// What becomes of a call that is not named.
  package enum Otherwise: Equatable, Sendable {
    /// It fails with `EPERM`, and the kernel's log has a line of it.
    case refuse
    /// The process is killed at once, with all its threads (SIGSYS).
    case kill
  }

  /// Names as in syscalls(2). One that this architecture does not have counts for nothing.
  package var allowed: [String]
  package var otherwise: Otherwise
  /// Address families that `socket` may be called with; nil for all.
  package var families: [Int32]?
  /// Commands that `bpf` may be called with; nil for all.
  package var commands: [UInt32]?

  package init(
    _ allowed: [String], otherwise: Otherwise, families: [Int32]? = nil, commands: [UInt32]? = nil
  ) {
    self.allowed = allowed
    self.otherwise = otherwise
    self.families = families
    self.commands = commands
  }

  /// Whether this machine has filters, and we know its numbers.
  package static var isAvailable: Bool {
    guard CLinux_audit_arch() != 0 else { return false }
    var action = killProcess
    return unsafe CLinux_seccomp(UInt32(SECCOMP_GET_ACTION_AVAIL), 0, &action) == 0
  }

  // Macros with casts.
  private static let killProcess: UInt32 = 0x8000_0000
  private static let allow: UInt32 = 0x7fff_0000
  private static let fail: UInt32 = 0x0005_0000

  /// From here on only these calls are to be had, by every thread.
  ///
  /// - Returns: false where there are no filters: nothing was done.
  /// - Throws: without no_new_privs `EACCES`.
  package func restrict() throws(Errno) -> Bool {
    guard Self.isAvailable else { return false }
    var program = self.program
    let count = UInt16(program.count)
    // With a line in the kernel's log for each call that is refused, and for all threads alike.
    let flags = UInt32(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG)
    let result = try check("seccomp") {
      unsafe program.withUnsafeMutableBufferPointer {
        var description = unsafe sock_fprog(len: count, filter: $0.baseAddress)
        return unsafe CLinux_seccomp(UInt32(SECCOMP_SET_MODE_FILTER), flags, &description)
      }
    }
    // The number of a thread that has another filter.
    if result != 0 { throw Errno(EBUSY, "seccomp", "thread \(result)") }
    return true
  }

  /// The filter: architecture, then the number against each that is allowed, in turn.
  var program: [sock_filter] {
    let numbers = Set(allowed.map { unsafe CLinux_system_call($0) }).filter { $0 >= 0 }.sorted()
    let refusal = otherwise == .kill ? Self.killProcess : Self.fail | UInt32(EPERM)
    func word(_ offset: Int) -> sock_filter {
      sock_filter(code: UInt16(BPF_LD | BPF_W | BPF_ABS), jt: 0, jf: 0, k: UInt32(offset))
    }
    func end(_ value: UInt32) -> sock_filter {
      sock_filter(code: UInt16(BPF_RET | BPF_K), jt: 0, jf: 0, k: value)
    }
    func skipUnless(_ value: UInt32) -> sock_filter {
      sock_filter(code: UInt16(BPF_JMP | BPF_JEQ | BPF_K), jt: 0, jf: 1, k: value)
    }
    // struct seccomp_data: the number, then the architecture. Another architecture has other numbers (x32 has a bit in them).
    var code = [
      word(4), sock_filter(code: UInt16(BPF_JMP | BPF_JEQ | BPF_K), jt: 1, jf: 0, k: CLinux_audit_arch()),
      end(Self.killProcess), word(0),
    ]
    for (name, values) in [("socket", families?.map { UInt32($0) }), ("bpf", commands)] {
      let number = unsafe CLinux_system_call(name)
      guard let values, number >= 0, name == "socket" || allowed.contains(name) else { continue }
      // Its first argument, which is an int: the lower half of what is at 16, on machines that we know the numbers of.
      let accepted = values.flatMap { [skipUnless($0), end(Self.allow)] }
      let rule = [word(16)] + accepted + [end(refusal)]
      code.append(
        sock_filter(code: UInt16(BPF_JMP | BPF_JEQ | BPF_K), jt: 0, jf: UInt8(rule.count), k: UInt32(number)))
      code += rule
    }
    for number in numbers { code += [skipUnless(UInt32(number)), end(Self.allow)] }
    return code + [end(refusal)]
  }
}
