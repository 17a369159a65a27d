import Wire

/// A span of whole hours: what a question to the journal is about.
package struct Window: Sendable, Equatable {
  /// The first hour since 1970, UTC.
  package var first: Int64
  /// The last one, included.
  package var last: Int64

  package init(first: Int64, last: Int64) {
    self.first = first
    self.last = max(first, last)
  }

  /// All hours that have a part in a span of time.
  package init(from start: Timestamp, to end: Timestamp) {
    self.init(first: start.wholeSeconds.hour, last: end.wholeSeconds.hour)
  }

  /// The `length` that ends now: the hour under way and as many before it as it takes.
  package init(last length: Duration, now: Timestamp) {
    let last = now.wholeSeconds.hour
    self.init(first: last - max(length.components.seconds / 3600, 1) + 1, last: last)
  }

  package var start: Timestamp { Timestamp(seconds: first * 3600) }
  /// The end of the last hour.
  package var end: Timestamp { Timestamp(seconds: (last + 1) * 3600) }
  package var hours: Int { Int(clamping: last - first + 1) }
  package func contains(_ time: Timestamp) -> Bool { time >= start && time < end }

  /// The days that are in it as a whole, and the hours that are left at its ends.
  var parts: (days: ClosedRange<Int64>?, ragged: [ClosedRange<Int64>]) {
    let firstDay = (first + 23).dayOfHour
    let lastDay = (last + 1).dayOfHour - 1
    guard firstDay <= lastDay else { return (nil, [first...last]) }
    var ragged: [ClosedRange<Int64>] = []
    if first < firstDay * 24 { ragged.append(first...(firstDay * 24 - 1)) }
    if last > lastDay * 24 + 23 { ragged.append((lastDay * 24 + 24)...last) }
    return (firstDay...lastDay, ragged)
  }
}
