import CLinux
import Platform

/// A set of capabilities(7).
package struct Capabilities: OptionSet, Sendable, Hashable, CustomStringConvertible {
  /// Bit n is the capability with number n, as in `/proc/PID/status`.
  package let rawValue: UInt64

  package init(rawValue: UInt64) { self.rawValue = rawValue }

  private init(number: Int32) { self.init(rawValue: 1 << UInt64(number)) }

  package static let bindService = Capabilities(number: CAP_NET_BIND_SERVICE)
  package static let netAdmin = Capabilities(number: CAP_NET_ADMIN)
  package static let netRaw = Capabilities(number: CAP_NET_RAW)
  package static let bpf = Capabilities(number: CAP_BPF)
  package static let chown = Capabilities(number: CAP_CHOWN)
  package static let overrideFiles = Capabilities(number: CAP_DAC_OVERRIDE)
  package static let kill = Capabilities(number: CAP_KILL)
  package static let setGroup = Capabilities(number: CAP_SETGID)
  package static let setUser = Capabilities(number: CAP_SETUID)
  package static let administer = Capabilities(number: CAP_SYS_ADMIN)

  /// Whether this kernel has CAP_BPF (5.8); before it, CAP_SYS_ADMIN was what bpf(2) asked for.
  package static var hasBPF: Bool { CLinux_prctl(PR_CAPBSET_READ, UInt(CAP_BPF), 0) >= 0 }

  /// By their numbers, without CAP_. Later kernels may have more.
  private static let known: [String] = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
  ]

  /// As systemd writes them, in the order of their numbers.
  package var names: [String] { (0..<64).filter { contains(Capabilities(number: $0)) }.map(Self.name) }

  private static func name(_ number: Int32) -> String {
    known.indices.contains(Int(number)) ? "CAP_" + known[Int(number)] : "capability \(number)"
  }

  /// Of nearly all of them, as of a process of root, only those that are missing are named.
  package var description: String {
    if isEmpty { return "none" }
    let missing = Self.known.indices.map(Int32.init).filter { !contains(Capabilities(number: $0)) }.map(Self.name)
    if missing.count > Self.known.count / 4 { return names.joined(separator: " ") }
    return missing.isEmpty ? "all" : "all but " + missing.joined(separator: " ")
  }

  /// What this thread may make use of.
  package static func permitted() throws(Errno) -> Capabilities {
    var header = header
    var data = (__user_cap_data_struct(), __user_cap_data_struct())
    try check("capget") {
      unsafe withUnsafeMutableBytes(of: &data) {
        unsafe CLinux_capget(&header, $0.baseAddress!.assumingMemoryBound(to: __user_cap_data_struct.self))
      }
    }
    return Capabilities(rawValue: UInt64(data.0.permitted) | UInt64(data.1.permitted) << 32)
  }

  private static var header: __user_cap_header_struct {
    __user_cap_header_struct(version: UInt32(_LINUX_CAPABILITY_VERSION_3), pid: 0)
  }

  /// Keeps these of this thread's capabilities and gives all others up, for good: also what an executed program would get
  /// (the bounding set, where we may still change it).
  ///
  /// - Parameter inherited: whether a program we execute gets them too (ambient).
  package static func keepOnly(_ kept: Capabilities, inherited: Bool) throws(Errno) {
    // Beyond the last one the kernel knows: EINVAL. Without CAP_SETPCAP: EPERM, and then there is nothing to take away that
    // could come back, as nothing set-user-ID gives more than no_new_privs lets it.
    for number in 0..<64 where !kept.contains(Capabilities(rawValue: 1 << UInt64(number))) {
      if CLinux_prctl(PR_CAPBSET_DROP, UInt(number), 0) != 0 { break }
    }
    let permitted = try permitted().intersection(kept)
    var header = header
    func half(_ shift: UInt64) -> __user_cap_data_struct {
      let bits = UInt32(truncatingIfNeeded: permitted.rawValue >> shift)
      return __user_cap_data_struct(effective: bits, permitted: bits, inheritable: inherited ? bits : 0)
    }
    var data = (half(0), half(32))
    try check("capset") {
      unsafe withUnsafeBytes(of: &data) {
        unsafe CLinux_capset(&header, $0.baseAddress!.assumingMemoryBound(to: __user_cap_data_struct.self))
      }
    }
    try check("prctl", "PR_CAP_AMBIENT") { CLinux_prctl(PR_CAP_AMBIENT, UInt(PR_CAP_AMBIENT_CLEAR_ALL), 0) }
    guard inherited else { return }
    for number in 0..<64 where permitted.contains(Capabilities(rawValue: 1 << UInt64(number))) {
      try check("prctl", "PR_CAP_AMBIENT") {
        CLinux_prctl(PR_CAP_AMBIENT, UInt(PR_CAP_AMBIENT_RAISE), UInt(number))
      }
    }
  }
}
