import Platform
import Wire

/// In which zone times are told.
package enum Zone: Sendable {
  case local, utc

  package func parts(_ time: Timestamp) -> LocalTime {
    self == .utc ? LocalTime(time, offset: 0) : LocalTime(time)
  }

  /// `2026-11-22 08:22:28`.
  package func text(_ time: Timestamp) -> String { String(stamp(time).prefix(19)) }
  /// `2026-11-22 08:22`.
  package func minute(_ time: Timestamp) -> String { String(stamp(time).prefix(16)) }
  /// `2026-11-22`.
  package func date(_ time: Timestamp) -> String { String(stamp(time).prefix(10)) }
  /// `08:22:28`.
  package func clock(_ time: Timestamp) -> String { String(stamp(time).dropFirst(11).prefix(8)) }

  private func stamp(_ time: Timestamp) -> String {
    String(parts(time).iso8601.map { $0 == "T" ? " " : $0 })
  }

  /// `UTC`, or what is ahead of it: `UTC+1`, `UTC+5:30`.
  package func name(at time: Timestamp) -> String {
    let minutes = self == .utc ? 0 : parts(time).offset / 60
    if minutes == 0 { return "UTC" }
    let rest = abs(minutes) % 60
    return "UTC\(minutes < 0 ? "-" : "+")\(abs(minutes) / 60)\(rest == 0 ? "" : ":\(rest < 10 ? "0" : "")\(rest)")"
  }

  /// The day since 1970 that a moment is on here.
  package func day(_ time: Timestamp) -> Int64 {
    let seconds = time.seconds + Int64(parts(time).offset)
    return seconds >= 0 ? seconds / 86_400 : -((86_399 - seconds) / 86_400)
  }

  /// Midnight at the beginning of a day here; where a clock skips midnight, the hour it skips to.
  package func start(ofDay day: Int64) -> Timestamp {
    let guess = Timestamp(seconds: day * 86_400 - Int64(parts(Timestamp(seconds: day * 86_400)).offset))
    return Timestamp(seconds: day * 86_400 - Int64(parts(guess).offset))
  }

  package static let months = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
  ]

  /// `22 Nov`.
  package func shortDate(_ time: Timestamp) -> String {
    let parts = parts(time)
    return "\(parts.day) \(Self.months[parts.month - 1])"
  }
}
