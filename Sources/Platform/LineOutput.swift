import CLinux

/// Lines to an open descriptor (standard output) that may be a pipe nobody reads: never blocks.
///
/// What does not go at once is kept up to a bound; beyond it new lines are counted and dropped, and the count is
/// written when there is room again.
package struct LineOutput: ~Copyable, Sendable {
  private let fd: Int32
  private let capacity: Int
  private var pending: [UInt8] = []
  /// Lines dropped since this was last written.
  package private(set) var lost = 0
  /// Lines dropped since the start.
  package private(set) var lostInAll = 0
  /// The reader is gone for good; lines are only counted from then on.
  private var isClosed = false

  /// - Parameters:
  ///   - fd: borrowed, never closed here.
  ///   - capacity: the most bytes kept.
  package init(fd: Int32, capacity: Int = 256 << 10) {
    self.fd = fd
    self.capacity = capacity
  }

  /// Whether something waits for `flush()`.
  package var isWaiting: Bool { !isClosed && (!pending.isEmpty || lost > 0) }

  /// Takes a line; it is written at the next `flush()`, or once a good deal has collected.
  package mutating func write(_ line: String) {
    if pending.count > 32 << 10 || pending.count + line.utf8.count + 1 > capacity { flush() }
    if lost > 0 || pending.count + line.utf8.count + 1 > capacity {
      lost += 1
      lostInAll += 1
      return
    }
    pending += line.utf8
    pending.append(UInt8(ascii: "\n"))
  }

  /// Writes as much as goes without waiting.
  package mutating func flush() {
    while !isClosed {
      if pending.isEmpty {
        guard lost > 0 else { return }
        pending = Array("\(lost) lines before this one were lost: they were not read in time\n".utf8)
        lost = 0
      }
      var start = 0
      defer { pending.removeFirst(start) }
      while start < pending.count {
        // The descriptor is shared with whoever started us, so it must not be made non-blocking. A pipe that is ready
        // takes PIPE_BUF bytes (4,096 on Linux) without blocking (pipe(7)).
        var ready = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
        guard unsafe poll(&ready, 1, 0) == 1 else { return }
        if ready.revents & Int16(POLLERR | POLLNVAL) != 0 { return close(&start) }
        let count = unsafe pending.withUnsafeBytes {
          unsafe CLinux.write(fd, $0.baseAddress! + start, min($0.count - start, 4096))
        }
        if count > 0 {
          start += count
        } else if CLinux_errno() != EINTR {
          if CLinux_errno() != EAGAIN { close(&start) }
          return
        }
      }
    }
  }

  private mutating func close(_ start: inout Int) {
    isClosed = true
    for byte in pending[start...] where byte == UInt8(ascii: "\n") {
      lost += 1
      lostInAll += 1
    }
    start = pending.count
  }
}
