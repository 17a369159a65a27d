/// A moment on the wall clock, in nanoseconds since 1970-01-01 00:00:00 UTC. Valid until the year 2262.
public struct Timestamp: Hashable, Comparable, Sendable, BitwiseCopyable {
  public var nanoseconds: Int64

  @inlinable
  public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  @inlinable
  public init(seconds: Int64, nanoseconds: Int64 = 0) { self.nanoseconds = seconds &* 1_000_000_000 &+ nanoseconds }

  public static let distantPast = Timestamp(nanoseconds: 0)

  /// Whole seconds since the epoch, rounded down.
  @inlinable
  public var seconds: Int64 { nanoseconds / 1_000_000_000 }

  @inlinable
  public static func < (a: Timestamp, b: Timestamp) -> Bool { a.nanoseconds < b.nanoseconds }

  public static func + (time: Timestamp, delay: Duration) -> Timestamp {
    Timestamp(nanoseconds: time.nanoseconds &+ delay.wholeNanoseconds)
  }

  public static func - (a: Timestamp, b: Timestamp) -> Duration { .nanoseconds(a.nanoseconds &- b.nanoseconds) }
}

extension Duration {
  /// The duration in nanoseconds, cut to what 64 bits hold (292 years).
  public var wholeNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    return overflow ? (seconds < 0 ? .min : .max) : product &+ attoseconds / 1_000_000_000
  }
}
