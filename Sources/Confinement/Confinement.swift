import CLinux
import Platform

/// Rights that are given up for good.
package enum Confinement {
  /// No program that this process executes gets more rights than it has: no set-user-ID, no file capabilities.
  package static func noNewPrivileges() throws(Errno) {
    try check("prctl", "PR_SET_NO_NEW_PRIVS") { CLinux_prctl(PR_SET_NO_NEW_PRIVS, 1, 0) }
  }

  /// What this kernel lacks, in words; empty where it has all.
  package static var missing: [String] {
    var result: [String] = []
    if Landlock.version == nil {
      result.append("Landlock (a kernel from 5.13 with landlock among its security modules)")
    }
    if !SystemCalls.isAvailable { result.append("filters of system calls (seccomp)") }
    return result
  }
}
