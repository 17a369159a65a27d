/// What a running sentry says of itself every second: the answer to `pulse`, read back.
package struct LivePulse: Sendable, Decodable {
  package var version: String
  package var started: Int64
  package var seen: UInt64
  package var alerts: UInt64
  package var ignored: UInt64
  package var blocks: Int
  package var blocks_made: UInt64
  package var lost: UInt64
  package var journal_lost: UInt64
  package var journal_failing: Bool
  package var interfaces: [String]
  package var tcp_mode: String?
  package var udp_mode: String?
  package var response: String
}

/// How fast probes came in the last minutes, from pulses.
package struct RateHistory: Sendable {
  /// Seconds that are remembered: what a screen shows.
  package static let capacity = 300

  /// Probes in each second, the newest last.
  package private(set) var perSecond: [UInt64] = []
  private var last: (second: Int64, seen: UInt64)?

  package init() {}

  /// - Parameter seen: probes since the sentry's start, or nil when none runs. A number below the one before is that of
  ///   another sentry.
  package mutating func add(_ seen: UInt64?, at second: Int64) {
    guard let seen else {
      last = nil
      return
    }
    defer { last = (second, seen) }
    guard let last, second > last.second, seen >= last.seen else { return }
    let gap = min(second - last.second, Int64(Self.capacity))
    let count = seen - last.seen
    // What came within several seconds is shared out among them.
    for step in 0..<UInt64(gap) { perSecond.append(count * (step + 1) / UInt64(gap) - count * step / UInt64(gap)) }
    if perSecond.count > Self.capacity { perSecond.removeFirst(perSecond.count - Self.capacity) }
  }

  /// Probes in the last seconds, as far as they are known.
  package func sum(of seconds: Int) -> UInt64 { perSecond.suffix(seconds).reduce(0, +) }
  package var seconds: Int { perSecond.count }
}
