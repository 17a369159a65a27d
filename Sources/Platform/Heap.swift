import CLinux

/// The memory that libc keeps for later.
package enum Heap {
  /// Has all threads share one heap: what one has freed serves the next. To be called before the first thread is started; there are few,
  /// and the one in a hurry allocates nothing.
  package static func share() { mallopt(M_ARENA_MAX, 1) }

  /// Gives what is free back to the kernel, of all threads (malloc_trim(3)). Takes milliseconds: after a burst, not within one.
  package static func giveBack() { malloc_trim(0) }
}

/// The program's own code in memory.
package enum Code {
  /// Lets go of all of it: what is needed comes back page by page from the kernel's cache of the file. A start runs through ten megabytes
  /// that are not wanted again; what is not mapped counts for nobody, and the kernel may use it for others. To be called once, when the
  /// start is over.
  package static func giveBack() { CLinux_release_code() }
}
