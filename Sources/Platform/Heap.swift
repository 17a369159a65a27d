import CLinux

/// The memory that libc keeps for later.
package enum Heap {
  /// Has all threads share one heap: what one has freed serves the next. To be called before the first thread is started; there are few,
  /// and the one in a hurry allocates nothing.
  package static func share() { mallopt(M_ARENA_MAX, 1) }

  /// Gives what is free back to the kernel, of all threads (malloc_trim(3)). Takes milliseconds: after a burst, not within one.
  package static func giveBack() { malloc_trim(0) }
}
