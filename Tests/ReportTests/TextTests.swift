import Journal
import Platform
import Testing
import Wire

@testable import Report

@Suite struct UnitsTests {
  @Test(arguments: [(0, "0"), (7, "7"), (999, "999"), (1000, "1,000"), (1_204_332, "1,204,332"), (-1500, "-1,500")])
  func `Counts`(_ number: Int, _ text: String) { #expect(Units.count(number) == text) }

  @Test(arguments: [
    (0, "0"), (999, "999"), (1000, "1k"), (1250, "1.3k"), (35_400, "35k"), (999_400, "999k"), (999_600, "1M"),
    (1_240_000, "1.2M"), (5_000_000_000, "5G"),
  ])
  func `Counts for narrow places`(_ number: Int, _ text: String) { #expect(Units.short(number) == text) }

  @Test(arguments: [
    (0, 60, "0/h"), (600, 60, "10/s"), (90, 60, "1.5/s"), (30, 60, "30/min"), (10, 3600, "10/h"), (2, 86_400, "2/day"),
    (1, 1_000_000, "0.1/day"), (120_000, 1, "120,000/s"),
  ])
  func `Rates in a unit one can imagine`(_ number: Int, _ seconds: Int, _ text: String) {
    #expect(Units.rate(number, in: .seconds(seconds)) == text)
  }

  @Test(arguments: [
    (0, 10, "0%"), (1, 10_000, "<0.1%"), (1, 8, "13%"), (43, 1000, "4.3%"), (99_999, 100_000, ">99.9%"),
    (10, 10, "100%"), (1, 0, "0%"),
  ])
  func `Shares`(_ part: Int, _ whole: Int, _ text: String) { #expect(Units.percent(part, of: whole) == text) }

  @Test(arguments: [(12, "12 bytes"), (1200, "1.2 kB"), (84_000_000, "84 MB"), (1_250_000_000, "1.3 GB")])
  func `Sizes`(_ number: Int, _ text: String) { #expect(Units.bytes(number) == text) }

  @Test func `Moments`() {
    let now = Timestamp(seconds: 1_793_577_600)
    #expect(Units.ago(now, now: now) == "just now")
    #expect(Units.ago(Timestamp(seconds: now.seconds - 3700), now: now) == "1h 1m ago")
    // A clock that was set back.
    #expect(Units.ago(Timestamp(seconds: now.seconds + 60), now: now) == "in 1m")
  }

  @Test func `Days and their beginnings`() {
    let time = Timestamp(seconds: 1_793_577_600 + 3 * 86_400 + 7200)
    #expect(Zone.utc.text(time) == "2026-11-05 02:00:00")
    #expect(Zone.utc.shortDate(time) == "5 Nov")
    #expect(Zone.utc.start(ofDay: Zone.utc.day(time)) == Timestamp(seconds: 1_793_577_600 + 3 * 86_400))
    #expect(Zone.utc.name(at: time) == "UTC")
  }

  @Test func `A table keeps its columns`() {
    var columns = Columns([("NAME", .left), ("N", .right), ("", .left)])
    columns.add(["a", "1", "x"])
    columns.add(["longer", "200", ""])
    #expect(columns.text() == "NAME      N\na         1  x\nlonger  200\n")
  }

  @Test func `Sparklines show something as something, and nothing as nothing`() {
    #expect(Sparkline.text([0, 1, 500, 1000]) == " ▁▄█")
    #expect(Sparkline.text([0, 1, 500, 1000], isPlain: true) == " .-#")
    #expect(Sparkline.text([]) == "" && Sparkline.text([0, 0]) == "  ")
    let values = (0..<1000).map { UInt64($0) }
    let squeezed = Sparkline.squeeze(values, to: 72)
    #expect(squeezed.count == 72 && squeezed.reduce(0, +) == values.reduce(0, +))
    #expect(Sparkline.squeeze([1, 2], to: 72) == [1, 2])
  }

  @Test func `Ranges of ports`() {
    let ports = [
      PortName(PortName.Family.tcp, 1), PortName(PortName.Family.tcp, 2), PortName(PortName.Family.udp, 53),
      PortName(PortName.Family.icmp, 8),
    ]
    #expect(PortNames.ranges(ports) == "1-2/tcp 53/udp icmp types 8")
    let many = stride(from: UInt16(1), to: 900, by: 2).map { PortName(PortName.Family.tcp, $0) }
    let text = PortNames.ranges(many, limit: 60)
    #expect(text.count <= 64 && text.hasSuffix(",..."))
  }

  @Test func `The rate of the last minutes`() {
    var rate = RateHistory()
    rate.add(100, at: 10)
    #expect(rate.seconds == 0)
    rate.add(107, at: 11)
    rate.add(117, at: 14)
    #expect(rate.perSecond == [7, 3, 3, 4])
    // Another sentry, which has seen less: no leap.
    rate.add(5, at: 15)
    #expect(rate.perSecond.count == 4)
    rate.add(nil, at: 16)
    rate.add(50, at: 17)
    rate.add(51, at: 18)
    #expect(rate.perSecond == [7, 3, 3, 4, 1])
    for second in 19..<1000 { rate.add(UInt64(second) * 2, at: Int64(second)) }
    #expect(rate.seconds == RateHistory.capacity)
    #expect(rate.sum(of: 10) == 20)
  }
}

@Suite struct EventTextTests {
  @Test(arguments: [
    (1, "first"), (2, "second"), (3, "third"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"), (21, "21st"),
    (22, "22nd"), (23, "23rd"), (30, "30th"), (111, "111th"), (101, "101st"),
  ])
  func `Ordinals`(number: Int, text: String) { #expect(EventText.ordinal(number) == text) }
}

@Suite struct MomentTests {
  /// Monday, 2026-11-02, 00:00 UTC.
  let now = Timestamp(seconds: 1_793_577_600)

  @Test(arguments: [
    ("90m", 1_793_577_600 - 5400), ("24h", 1_793_577_600 - 86_400), ("7d", 1_793_577_600 - 7 * 86_400),
    ("1s", 1_793_577_599), ("2026-11-01", 1_793_577_600 - 86_400), ("2026-11-02 12:30", 1_793_577_600 + 45_000),
    ("2026-11-02T12:30:15", 1_793_577_600 + 45_015), ("2024-02-29", 1_709_164_800), ("1970-01-01", 0),
    ("2000-03-01", 951_868_800), ("2100-03-01", 4_107_542_400),
  ])
  func `Are read`(text: String, seconds: Int) {
    #expect(Moment.parse(text, now: now, .utc) == Timestamp(seconds: Int64(seconds)))
  }

  @Test(arguments: [
    "", "x", "24", "0h", "-1h", "+1h", "1y", "2026", "2026-11", "2026-13-01", "2026-00-01", "2026-11-32", "2026-02-29",
    "2026-11-01 5",
    "2026-11-01 24:00", "2026-11-01 12:60", "1969-12-31", "99999-01-01", "2026-11-01 12:30:15:1", "9999999999w", "1h ",
  ])
  func `Or are none`(text: String) { #expect(Moment.parse(text, now: now, .utc) == nil) }
}
