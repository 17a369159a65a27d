/// How much of what strangers send to decoys is taken, all of them together.
///
/// A service takes what it is sent as fast as it comes, so a decoy does, too, and throws it away. A bound for a second keeps a few
/// connections from buying the time of a core; beyond it a connection waits for the next second, and is taken slowly from then on.
struct DecoySink {
  /// Bytes a second: what a line of half a gigabit brings.
  static let perSecond = 64 << 20
  /// Bytes at a time, so that others have their turn.
  static let atOnce = 1 << 20

  private var second = Int64.min
  private var left = perSecond
  /// At most one for each connection that is held.
  private var waiting: [(fd: Int32, serial: UInt64)] = []

  /// How much may be taken now; 0 until the next second.
  mutating func allowance(at now: Int64) -> Int {
    if now / 1_000_000_000 != second { (second, left) = (now / 1_000_000_000, Self.perSecond) }
    return min(left, Self.atOnce)
  }

  /// So much was taken.
  mutating func spend(_ count: Int) { left = max(left - count, 0) }

  /// A connection waits for the next second.
  mutating func wait(_ fd: Int32, _ serial: UInt64) { waiting.append((fd, serial)) }

  /// Those who have waited long enough.
  mutating func resumed(at now: Int64) -> [(fd: Int32, serial: UInt64)] {
    guard !waiting.isEmpty, allowance(at: now) > 0 else { return [] }
    defer { waiting = [] }
    return waiting
  }
}
