import CLinux
import Platform

/// Going to the background as 1.2 did, but with an honest exit status: the parent waits until the child says that it
/// watches, or why it cannot.
package enum Background {
  /// Where a child stands after `detach`.
  package struct Child: ~Copyable {
    private let pipe: FileDescriptor

    fileprivate init(pipe: consuming FileDescriptor) { self.pipe = pipe }

    /// All is well: the parent ends with 0 and the terminal is let go.
    package consuming func succeeded() {
      try? pipe.writeAll([0])
      if let null = try? FileDescriptor.open("/dev/null", O_RDWR) {
        for fd in 0...2 as ClosedRange<Int32> { dup2(null.raw, fd) }
      }
    }
  }

  /// Forks; returns in the child only. The parent ends with the child's status. No thread may run yet.
  package static func detach() throws(Errno) -> Child {
    var ends: (Int32, Int32) = (0, 0)
    try check("pipe2") { unsafe withUnsafeMutableBytes(of: &ends) { unsafe CLinux_pipe($0.baseAddress!) } }
    let reading = FileDescriptor(owning: ends.0)
    let writing = FileDescriptor(owning: ends.1)
    // What is still in stdio's buffers would be written twice.
    fflush(nil)
    let pid = try check("fork") { CLinux_fork() }
    if pid == 0 {
      setsid()
      // Nothing may keep a file system busy; all our paths are absolute by now.
      unsafe chdir("/")
      _ = consume reading
      return Child(pipe: writing)
    }
    _ = consume writing
    let word = (try? reading.read(upTo: 1)) ?? []
    if word == [0] { exit(0) }
    // The child has said on standard error why; its exit status is ours.
    var status: Int32 = 0
    unsafe waitpid(pid, &status, 0)
    exit(CLinux_exited(status) != 0 ? CLinux_exit_status(status) : 1)
  }
}
