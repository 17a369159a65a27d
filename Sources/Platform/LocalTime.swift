import CLinux
import Wire

/// A moment taken apart into calendar and clock, in the host's time zone, with the texts that logs and files need.
package struct LocalTime: Equatable, Sendable {
  package let time: Timestamp
  /// Seconds east of Greenwich at that moment.
  package let offset: Int
  package let year: Int
  /// 1...12.
  package let month: Int
  /// 1...31.
  package let day: Int
  package let hour: Int
  package let minute: Int
  package let second: Int
  /// 0...999.
  package let millisecond: Int

  /// `time` in the zone of this host (`TZ`, /etc/localtime).
  package init(_ time: Timestamp) {
    // localtime_r need not look at TZ by itself (POSIX.1-2017); once is enough.
    _ = Self.zoneIsRead
    var seconds = time_t(Self.floorDivide(time.nanoseconds, 1_000_000_000))
    var parts = unsafe tm()
    let known = unsafe localtime_r(&seconds, &parts) != nil
    self.init(time, offset: known ? unsafe parts.tm_gmtoff : 0)
  }

  private static let zoneIsRead: Void = tzset()

  /// `time` in a zone `offset` seconds east of Greenwich.
  package init(_ time: Timestamp, offset: Int) {
    self.time = time
    self.offset = offset
    let total = Self.floorDivide(time.nanoseconds, 1_000_000_000)
    millisecond = Int(time.nanoseconds - total * 1_000_000_000) / 1_000_000
    let seconds = Int(total) + offset
    let days = Int(Self.floorDivide(Int64(seconds), 86_400))
    let ofDay = seconds - days * 86_400
    (hour, minute, second) = (ofDay / 3600, ofDay / 60 % 60, ofDay % 60)
    // Days since 1970 to a Gregorian date, counted in 400-year cycles of years that begin in March, so that the leap
    // day is the last of its year.
    let shifted = days + 719_468
    let cycle = Int(Self.floorDivide(Int64(shifted), 146_097))
    let dayOfCycle = shifted - cycle * 146_097
    let yearOfCycle = (dayOfCycle - dayOfCycle / 1460 + dayOfCycle / 36_524 - dayOfCycle / 146_096) / 365
    let dayOfYear = dayOfCycle - (365 * yearOfCycle + yearOfCycle / 4 - yearOfCycle / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
    month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    year = yearOfCycle + cycle * 400 + (month <= 2 ? 1 : 0)
  }

  private static func floorDivide(_ a: Int64, _ b: Int64) -> Int64 { a >= 0 ? a / b : -((-(a + 1)) / b) - 1 }

  /// Seconds since 1970, UTC, rounded down.
  package var epoch: Int64 { Self.floorDivide(time.nanoseconds, 1_000_000_000) }

  /// `11/22/2026 08:21:11`, as in the history of PortSentry 1.2.
  package var classic: String {
    "\(two(month))/\(two(day))/\(pad(year, 4)) \(two(hour)):\(two(minute)):\(two(second))"
  }

  /// `2026-11-22T08:22:28.319+0000`, as in the history of PortSentry 2.x: ISO 8601 with milliseconds and the zone
  /// without a colon.
  package var iso8601: String {
    let zone = abs(offset) / 60
    return "\(pad(year, 4))-\(two(month))-\(two(day))T\(two(hour)):\(two(minute)):\(two(second)).\(pad(millisecond, 3))"
      + (offset < 0 ? "-" : "+") + two(zone / 60) + two(zone % 60)
  }

  /// `Nov  2 08:21:11`: the stamp of RFC 3164 section 4.1.2, whose day is padded with a blank.
  package var syslog: String {
    "\(Self.months[month - 1]) \(day < 10 ? " " : "")\(day) \(two(hour)):\(two(minute)):\(two(second))"
  }

  private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

  private func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }

  private func pad(_ value: Int, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
  }
}
