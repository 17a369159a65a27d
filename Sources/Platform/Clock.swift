import CLinux
import Wire

/// The kernel's clocks.
package enum Clock {
  /// The wall clock, which people and packets carry.
  package static var now: Timestamp { read(CLOCK_REALTIME) }
  /// A clock that never jumps, in nanoseconds from some start: for deadlines.
  package static var monotonic: Int64 { read(CLOCK_MONOTONIC).nanoseconds }
  /// What this process has had of processors, in nanoseconds.
  package static var processTime: Int64 { read(CLOCK_PROCESS_CPUTIME_ID).nanoseconds }

  private static func read(_ id: Int32) -> Timestamp {
    var time = timespec()
    unsafe clock_gettime(id, &time)
    return Timestamp(seconds: Int64(time.tv_sec), nanoseconds: Int64(time.tv_nsec))
  }

  package static func sleep(_ duration: Duration) {
    let nanoseconds = duration.wholeNanoseconds
    var time = timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    unsafe nanosleep(&time, nil)
  }

  /// 128 random bits from the kernel.
  package static func randomKey() -> (UInt64, UInt64) {
    var generator = SystemRandomNumberGenerator()
    return (generator.next(), generator.next())
  }
}

/// Where a part of the program has its time from: the kernel, or a test that plays a day within seconds.
package struct TimeSource {
  private let wall: () -> Timestamp
  private let steady: () -> Int64

  package static var kernel: TimeSource { TimeSource(now: { Clock.now }, monotonic: { Clock.monotonic }) }

  package init(now: @escaping () -> Timestamp, monotonic: @escaping () -> Int64) {
    (wall, steady) = (now, monotonic)
  }

  package var now: Timestamp { wall() }
  package var monotonic: Int64 { steady() }
}

/// `poll(2)`.
package enum Poll {
  /// Waits until one of `descriptors` is readable.
  ///
  /// - Parameter milliseconds: -1 waits for ever.
  /// - Returns: those that are readable, or have an error or a hang-up to be read.
  package static func readable(_ descriptors: [Int32], milliseconds: Int32) -> [Int32] {
    var fds = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    let count = unsafe fds.withUnsafeMutableBufferPointer {
      unsafe poll($0.baseAddress, nfds_t($0.count), milliseconds)
    }
    // A handful: looking one up in an array is cheaper than making a set.
    return count > 0 ? fds.compactMap { $0.revents != 0 ? $0.fd : nil } : []
  }

  /// Waits until one of `reading` is readable or one of `writing` can be written to.
  package static func ready(
    reading: [Int32], writing: [Int32], milliseconds: Int32
  ) -> (reading: [Int32], writing: [Int32]) {
    var fds = reading.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    fds += writing.map { pollfd(fd: $0, events: Int16(POLLOUT), revents: 0) }
    let count = unsafe fds.withUnsafeMutableBufferPointer {
      unsafe poll($0.baseAddress, nfds_t($0.count), milliseconds)
    }
    guard count > 0 else { return ([], []) }
    return (
      fds.prefix(reading.count).compactMap { $0.revents != 0 ? $0.fd : nil },
      fds.dropFirst(reading.count).compactMap { $0.revents != 0 ? $0.fd : nil }
    )
  }
}
