import CLinux
import Platform

extension Account {
  /// Becomes this user for good, with these capabilities and no others, and so do the programs it executes. For a process
  /// without further threads: the C library would change their users too, but capabilities are each thread's own.
  ///
  /// - Throws: `EPERM` when we may not.
  package func become(keeping capabilities: Capabilities) throws(Errno) {
    try check("prctl", "PR_SET_KEEPCAPS") { CLinux_prctl(PR_SET_KEEPCAPS, 1, 0) }
    try check("setgroups") { setgroups(0, nil) }
    try check("setresgid", name) { setresgid(group, group, group) }
    // Before the user, while CAP_SETPCAP is still effective.
    for number in 0..<64 where !capabilities.contains(Capabilities(rawValue: 1 << UInt64(number))) {
      if CLinux_prctl(PR_CAPBSET_DROP, UInt(number), 0) != 0 { break }
    }
    try check("setresuid", name) { setresuid(user, user, user) }
    try Capabilities.keepOnly(capabilities, inherited: true)
    // A change of user makes a process one that nobody may look at (/proc), itself not excepted.
    try check("prctl", "PR_SET_DUMPABLE") { CLinux_prctl(PR_SET_DUMPABLE, 1, 0) }
  }
}
