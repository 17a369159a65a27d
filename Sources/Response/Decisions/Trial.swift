import Wire

/// `--trial`: blocks are made for its length only, so that they end even when nobody is left to lift them, and nothing is
/// blocked after it, unless somebody who can still get in says so. Pure: time is passed in.
package struct Trial: Equatable, Sendable {
  package let begin: Timestamp
  package let end: Timestamp
  package let duration: Duration
  package private(set) var isOver = false

  package init(duration: Duration, now: Timestamp) {
    self.duration = duration
    begin = now
    end = now + duration
  }

  /// Whether it has ended just now.
  package mutating func endsNow(_ now: Timestamp) -> Bool {
    guard !isOver, now >= end else { return false }
    isOver = true
    return true
  }

  /// Whether a block was made while it ran, by a scan.
  func made(_ block: Block) -> Bool { block.record.since >= begin && !block.record.isByHand }
}
