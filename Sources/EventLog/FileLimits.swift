/// How much a file of lines may take (`FILE_SIZE`, `FILE_RATE`); 0: no limit.
package struct FileLimits: Equatable, Sendable {
  /// Bytes: a file that would grow beyond is put aside as `PATH.old`, in place of what was there, so that the last lines are
  /// always kept and never more than twice as much.
  package var size: Int
  /// Bytes in a minute. Of what comes beyond, only the number is kept. A quarter is for lines that matter more.
  package var perMinute: Int

  package init(size: Int = 0, perMinute: Int = 0) {
    self.size = size
    self.perMinute = perMinute
  }

  /// What the files of a sentry have unless the configuration says otherwise.
  package static let standard = FileLimits(size: 64 << 20, perMinute: 1 << 20)
}

/// What of a minute's bytes is used up. Pure: time is passed in.
struct MinuteBudget {
  private static let minute: Int64 = 60_000_000_000
  private var until: Int64?
  private var bytes = 0
  /// Lines of this minute that found no room.
  private(set) var refused = 0

  /// Whether a line of so many bytes may be written.
  mutating func admits(_ length: Int, of limit: Int, isImportant: Bool) -> Bool {
    guard limit > 0 else { return true }
    guard bytes + length <= (isImportant ? limit : limit / 4 * 3) else {
      refused += 1
      return false
    }
    bytes += length
    return true
  }

  /// Begins a minute where none is under way or it is over.
  ///
  /// - Returns: the number of lines that found no room in the one that is over.
  mutating func turn(at now: Int64) -> Int {
    if let until, now < until { return 0 }
    if until != nil, bytes == 0, refused == 0 { return 0 }
    let left = until == nil ? 0 : refused
    if until != nil { (bytes, refused) = (0, 0) }
    until = now + Self.minute
    return left
  }
}
