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
  /// `2026-11-22 08:22:28`, for tables.
  package static func short(_ time: Timestamp) -> String {
    String(LocalTime(time).iso8601.prefix(19).map { $0 == "T" ? " " : $0 })
  }

  package var epoch: Int64 { Self.floorDivide(time.nanoseconds, 1_000_000_000) }

  /// `11/22/2026 08:21:11`, as in the history of PortSentry 1.2.
  package var classic: String {
    Self.text { text in
      text.put(month, 2, "/")
      text.put(day, 2, "/")
      text.put(year, 4, " ")
      putClock(&text)
    }
  }

  /// `2026-11-22T08:22:28.319+0000`, as in the history of PortSentry 2.x: ISO 8601 with milliseconds and the zone
  /// without a colon.
  package var iso8601: String {
    Self.text { text in
      text.put(year, 4, "-")
      text.put(month, 2, "-")
      text.put(day, 2, "T")
      putClock(&text)
      text.append(UInt8(ascii: "."))
      text.put(millisecond, 3, offset < 0 ? "-" : "+")
      text.put(abs(offset) / 3600, 2)
      text.put(abs(offset) / 60 % 60, 2)
    }
  }

  /// `Nov  2 08:21:11`: the stamp of RFC 3164 section 4.1.2, whose day is padded with a blank.
  package var syslog: String {
    Self.text { text in
      text += Self.months[month - 1].utf8
      text.append(UInt8(ascii: " "))
      if day < 10 { text.append(UInt8(ascii: " ")) }
      text.put(day, day < 10 ? 1 : 2, " ")
      putClock(&text)
    }
  }

  private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

  private func putClock(_ text: inout [UInt8]) {
    text.put(hour, 2, ":")
    text.put(minute, 2, ":")
    text.put(second, 2)
  }

  private static func text(_ body: (inout [UInt8]) -> Void) -> String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(32)
    body(&bytes)
    return String(decoding: bytes, as: UTF8.self)
  }
}

// A flood writes two stamps for each packet; interpolation costs ten times as much as this.
extension [UInt8] {
  /// Adds the last `width` digits of `value`, with zeros in front, and what comes after them.
  fileprivate mutating func put(_ value: Int, _ width: Int, _ separator: Unicode.Scalar? = nil) {
    let end = count + width
    append(contentsOf: repeatElement(0x30, count: width))
    var rest = value
    for index in stride(from: end - 1, to: end - 1 - width, by: -1) {
      self[index] = 0x30 + UInt8(rest % 10)
      rest /= 10
    }
    if let separator { append(UInt8(ascii: separator)) }
  }
}

extension LocalTime {
  /// `2026-11-22T08:22:28.319Z` (RFC 3339), in UTC whatever the zone here.
  package static func rfc3339(_ time: Timestamp) -> String {
    let text = LocalTime(time, offset: 0).iso8601
    return text.prefix(23) + "Z"
  }
}
