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

  /// A call that fails with `EPERM` where its arguments are so, whatever else is allowed.
  package struct Refusal: Equatable, Sendable {
    package enum Test: Equatable, Sendable {
      case isNot(UInt32)
      case isIn(ClosedRange<UInt32>)
    }

    package var call: String
    /// All of them have to hold. Of an argument only the lower half is read: they are ints.
    package var tests: [(argument: Int, test: Test)]

    package init(_ call: String, _ tests: [(Int, Test)]) {
      self.call = call
      self.tests = tests
    }

    package static func == (a: Refusal, b: Refusal) -> Bool {
      a.call == b.call && a.tests.elementsEqual(b.tests) { $0 == $1 }
    }
  }

  /// Names as in syscalls(2). One that this architecture does not have counts for nothing. nil: all, but for `refused`.
  package var allowed: [String]?
  package var otherwise: Otherwise
  /// Address families that `socket` may be called with; nil for all.
  package var families: [Int32]?
  /// Commands that `bpf` may be called with; nil for all.
  package var commands: [UInt32]?
  /// What is refused of calls that are allowed.
  package var refused: [Refusal]

  package init(
    _ allowed: [String]?, otherwise: Otherwise, families: [Int32]? = nil, commands: [UInt32]? = nil,
    refusing refused: [Refusal] = []
  ) {
    self.allowed = allowed
    self.otherwise = otherwise
    self.families = families
    self.commands = commands
    self.refused = refused
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
    // For all threads alike, and with a line in the kernel's log for each call that is refused: but for a list that only takes away,
    // since the C library asks for what it can do without.
    let flags = UInt32(allowed == nil ? SECCOMP_FILTER_FLAG_TSYNC : SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG)
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
    let numbers = Set((allowed ?? []).map { unsafe CLinux_system_call($0) }).filter { $0 >= 0 }.sorted()
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
      end(Self.killProcess),
    ]
    for refusal in refused { code += Self.program(refusal) }
    code.append(word(0))
    for (name, values) in [("socket", families?.map { UInt32($0) }), ("bpf", commands)] {
      let number = unsafe CLinux_system_call(name)
      guard let values, number >= 0, name == "socket" || allowed?.contains(name) ?? true else { continue }
      // Its first argument, which is an int: the lower half of what is at 16, on machines that we know the numbers of.
      let accepted = values.flatMap { [skipUnless($0), end(Self.allow)] }
      let rule = [word(16)] + accepted + [end(refusal)]
      code.append(
        sock_filter(code: UInt16(BPF_JMP | BPF_JEQ | BPF_K), jt: 0, jf: UInt8(rule.count), k: UInt32(number)))
      code += rule
    }
    for number in numbers { code += [skipUnless(UInt32(number)), end(Self.allow)] }
    return code + [end(allowed == nil ? Self.allow : refusal)]
  }

  /// One refusal: the number, each test in turn, then the end of it. A test that does not hold goes on behind.
  private static func program(_ refusal: Refusal) -> [sock_filter] {
    let number = unsafe CLinux_system_call(refusal.call)
    guard number >= 0 else { return [] }
    func load(_ offset: Int) -> sock_filter {
      sock_filter(code: UInt16(BPF_LD | BPF_W | BPF_ABS), jt: 0, jf: 0, k: UInt32(offset))
    }
    func jump(_ kind: Int32, _ value: UInt32, _ yes: Int, _ no: Int) -> sock_filter {
      sock_filter(code: UInt16(BPF_JMP | kind | BPF_K), jt: UInt8(yes), jf: UInt8(no), k: value)
    }
    // From its end, so that it is known how far it is from there.
    var code = [sock_filter(code: UInt16(BPF_RET | BPF_K), jt: 0, jf: 0, k: Self.fail | UInt32(EPERM))]
    for (argument, test) in refusal.tests.reversed() {
      // The lower half, on machines that we know the numbers of.
      let from = load(16 + 8 * argument)
      switch test {
      case .isNot(let value): code = [from, jump(BPF_JEQ, value, code.count, 0)] + code
      case .isIn(let range):
        code =
          [
            from, jump(BPF_JGE, range.lowerBound, 0, code.count + 1), jump(BPF_JGT, range.upperBound, code.count, 0),
          ] + code
      }
    }
    return [load(0), jump(BPF_JEQ, UInt32(number), 0, code.count)] + code
  }
}
