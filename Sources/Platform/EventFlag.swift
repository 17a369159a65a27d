import CLinux

/// A flag that one thread raises and another one polls for: an eventfd(2). Any number of signals between two looks
/// is one event.
package struct EventFlag: ~Copyable, Sendable {
  private let file: FileDescriptor

  package init() throws(Errno) {
    file = FileDescriptor(owning: try check("eventfd") { eventfd(0, Int32(CLinux_EFD_NONBLOCK | CLinux_EFD_CLOEXEC)) })
  }

  /// The descriptor to poll; readable while the flag is up.
  package var fd: Int32 { file.raw }

  /// Raises the flag. Safe from any thread and from a signal handler; never blocks.
  package func signal() {
    // A full counter (EAGAIN) means that the flag is up already.
    _ = eventfd_write(file.raw, 1)
  }

  /// Lowers the flag.
  ///
  /// - Returns: whether it was up.
  @discardableResult
  package func clear() -> Bool {
    var count: eventfd_t = 0
    return unsafe eventfd_read(file.raw, &count) == 0
  }
}
