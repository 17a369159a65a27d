import CLinux

/// How many descriptors this process may have open (`RLIMIT_NOFILE`).
package enum FileLimit {
  /// Raises the limit to at least `wanted`, as far as the administrator's own (hard) limit lets it.
  package static func raise(to wanted: UInt) {
    var limit = rlimit()
    guard unsafe CLinux_getrlimit_nofile(&limit) == 0, limit.rlim_cur < wanted else { return }
    limit.rlim_cur = min(rlim_t(wanted), limit.rlim_max)
    unsafe CLinux_setrlimit_nofile(&limit)
  }
}
