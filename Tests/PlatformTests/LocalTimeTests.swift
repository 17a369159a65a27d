import Foundation
import Platform
import Testing
import Wire

@Suite struct LocalTimeTests {
  @Test(
    "Moments as text",
    arguments: [
      (
        "a day in November", 1_795_335_671_319, 0, "11/22/2026 08:21:11", "2026-11-22T08:21:11.319+0000",
        "Nov 22 08:21:11"
      ),
      (
        "the first of a month has a blank", 1_793_491_200_000, 0, "11/01/2026 00:00:00", "2026-11-01T00:00:00.000+0000",
        "Nov  1 00:00:00"
      ),
      (
        "the leap day of a century", 951_782_400_007, 0, "02/29/2000 00:00:00", "2000-02-29T00:00:00.007+0000",
        "Feb 29 00:00:00"
      ),
      (
        "the last second before March", 1_709_251_199_999, 0, "02/29/2024 23:59:59", "2024-02-29T23:59:59.999+0000",
        "Feb 29 23:59:59"
      ),
      (
        "half an hour east", 1_795_335_671_000, 19_800, "11/22/2026 13:51:11", "2026-11-22T13:51:11.000+0530",
        "Nov 22 13:51:11"
      ),
      (
        "west, over midnight", 1_795_305_600_000, -16_200, "11/21/2026 19:30:00", "2026-11-21T19:30:00.000-0430",
        "Nov 21 19:30:00"
      ),
      ("the beginning", 0, 0, "01/01/1970 00:00:00", "1970-01-01T00:00:00.000+0000", "Jan  1 00:00:00"),
      ("before it", -1, 0, "12/31/1969 23:59:59", "1969-12-31T23:59:59.999+0000", "Dec 31 23:59:59"),
    ] as [(String, Int64, Int, String, String, String)])
  func texts(_ what: String, _ ms: Int64, _ offset: Int, _ classic: String, _ iso: String, _ syslog: String) {
    let time = LocalTime(Timestamp(nanoseconds: ms * 1_000_000), offset: offset)
    #expect(time.classic == classic, "\(what)")
    #expect(time.iso8601 == iso, "\(what)")
    #expect(time.syslog == syslog, "\(what)")
  }

  @Test func `Every day of four centuries agrees with the C library`() {
    for day in 0..<146_100 {
      var seconds = time_t(day) * 86_400 + 43_200
      var parts = unsafe tm()
      unsafe gmtime_r(&seconds, &parts)
      let ours = LocalTime(Timestamp(seconds: Int64(seconds) % 9_000_000_000), offset: 0)
      guard seconds < 9_000_000_000 else { return }
      let theirs = unsafe (Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday))
      if (ours.year, ours.month, ours.day) != theirs { Issue.record("day \(day)") }
    }
  }

  @Test func `The host's zone is that of the C library`() {
    let now = Timestamp(seconds: 1_795_335_671)
    #expect(LocalTime(now).offset == TimeZone.current.secondsFromGMT(for: Date(timeIntervalSince1970: 1_795_335_671)))
  }
}
