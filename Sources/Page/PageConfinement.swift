import Confinement
import Platform

/// What the page gives up before it hears anybody: other users' files, all capabilities, the file system but for what it reads, and all
/// system calls but those of its steady state.
enum PageConfinement {
  /// To be called before the first thread, when what has to be opened is open. Where a kernel lacks something the rest is done all
  /// the same, and `status` says what is missing.
  ///
  /// - Parameter user: the sentry's own stays where it may not be changed.
  /// - Throws: when what the kernel has could not be had: then there is no page.
  static func enter(_ settings: PageSettings, as user: PageUser) throws(Errno) {
    try user.account?.become(keeping: [])
    try Capabilities.keepOnly([], inherited: false)
    try Confinement.noNewPrivileges()
    _ = try landlock(settings).restrict()
    _ = try SystemCalls.page.restrict()
  }

  /// Nothing is written. The journal's index of readers (-shm, sqlite.org/walformat.html) is one of the files that SQLite would like to
  /// write; where it may not, it takes the place of a reader that is free, which the index begins with, and where no sentry
  /// keeps the index it reads the log into an index of its own memory. So a hostile page cannot damage the index, which a writer trusts.
  static func landlock(_ settings: PageSettings) -> Landlock {
    Landlock(
      read: [Landlock.place(of: settings.journalPath)] + settings.configurationFiles.map(Landlock.place) + [
        // The zone of times; users, for whose the folders are; what the host says of itself.
        "/etc/localtime", "/usr/share/zoneinfo", "/etc/passwd", "/proc/self", "/proc/sys/net/ipv4/ip_local_port_range",
        "/proc/net", "/sys/devices/system/cpu", "/dev/urandom",
      ])
  }
}
