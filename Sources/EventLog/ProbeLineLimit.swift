import Wire

/// How many lines about its probes one source may cause in a minute, in the words of 1.2 and 2.x. Pure: time is passed in.
///
/// At most `capacity` sources are counted apart. Further ones share a limit of ten times as many lines, so that a flood of
/// invented sources has a bound too. Whatever the sources, there are at most `mostPerMinute` lines, half of which are for the
/// first of each source. What is left out is counted and said when the minute is over.
package struct ProbeLineLimit: Sendable {
  package static let capacity = 4096
  /// Of 160 bytes or so: less than a megabyte.
  package static let mostPerMinute = 6_000
  private static let minute: Int64 = 60_000_000_000

  /// Lines for one source in a minute; 0: no limit.
  package var perMinute: Int
  private var counts: [IPAddress: Int] = [:]
  private var shared = 0
  private var written = 0
  /// Lines that the limit for all left out.
  private var left = 0
  private var until: Int64?

  package init(perMinute: Int) { self.perMinute = perMinute }

  /// Whether a line about `source` may be written.
  ///
  /// - Parameter now: monotonic, in nanoseconds.
  package mutating func admits(_ source: IPAddress, at now: Int64) -> Bool {
    guard perMinute > 0 else { return true }
    if until == nil { until = now + Self.minute }
    guard let count = counts[source] else {
      guard counts.count < Self.capacity else {
        shared += 1
        return shared <= 10 * perMinute && fits(isFirst: true)
      }
      counts[source] = 1
      return fits(isFirst: true)
    }
    counts[source] = count + 1
    return count < perMinute && fits(isFirst: false)
  }

  private mutating func fits(isFirst: Bool) -> Bool {
    guard written < (isFirst ? Self.mostPerMinute : Self.mostPerMinute / 2) else {
      left += 1
      return false
    }
    written += 1
    return true
  }

  /// What was left out, once its minute is over: the source (nil: many) and the number of lines.
  ///
  /// - Parameter isLast: the sentry stops: the minute ends now.
  package mutating func due(at now: Int64, isLast: Bool = false) -> [(source: IPAddress?, count: Int)] {
    guard let end = until, isLast || now >= end else { return [] }
    var result: [(source: IPAddress?, count: Int)] = counts.filter { $0.value > perMinute }
      .map { ($0.key, $0.value - perMinute) }.sorted { $0.1 > $1.1 }
    let others = max(shared - 10 * perMinute, 0) + left
    if others > 0 { result.append((nil, others)) }
    (counts, shared, written, left, until) = ([:], 0, 0, 0, nil)
    return result
  }
}
