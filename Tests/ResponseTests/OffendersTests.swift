import Detection
import Response
import TestSupport
import Testing
import Wire

@Suite struct OffendersTests {
  private let day: Int64 = 86_400

  @Test func `Blocks are counted, and forgotten after ninety days`() {
    var offenders = Offenders()
    #expect(offenders.repeats(of: network("192.0.2.9"), at: time(0)) == 0)
    _ = offenders.note(network("192.0.2.9"), at: time(0))
    _ = offenders.note(network("192.0.2.9"), at: time(day))
    #expect(offenders.repeats(of: network("192.0.2.9"), at: time(day)) == 2)
    #expect(offenders.repeats(of: network("192.0.2.8"), at: time(day)) == 0)
    #expect(offenders.repeats(of: network("192.0.2.9"), at: time(91 * day)) == 2)
    #expect(offenders.repeats(of: network("192.0.2.9"), at: time(92 * day)) == 0)
    _ = offenders.note(network("192.0.2.9"), at: time(92 * day))
    #expect(offenders.repeats(of: network("192.0.2.9"), at: time(92 * day)) == 1)
  }

  @Test func `An address inherits from the prefix that was blocked`() {
    var offenders = Offenders()
    _ = offenders.note(network("2001:db8::/64"), at: time(0))
    #expect(offenders.repeats(of: network("2001:db8::1"), at: time(1)) == 1)
    #expect(offenders.repeats(of: network("2001:db8:0:1::1"), at: time(1)) == 0)
    #expect(offenders.repeats(of: network("2001:db8::/56"), at: time(1)) == 0)
  }

  @Test func `What is written is read again, the last line counts, and damage is left out`() {
    var offenders = Offenders()
    var lines = Offenders.header
    for _ in 0..<3 { lines += offenders.note(network("192.0.2.9"), at: time(1)) }
    lines += offenders.note(network("2001:db8::/64"), at: time(2))
    lines += "192.0.2.7\t0\t1\nnonsense\n192.0.2.6\t1\n192.0.2.5\tx\t1\n\u{0}\t\t\n"
    let read = Offenders(parsing: Array(lines.utf8), now: time(3))
    #expect(read.count == 2)
    #expect(read.repeats(of: network("192.0.2.9"), at: time(3)) == 3)
    let again = Offenders(parsing: Array(read.text.utf8), now: time(3))
    #expect(again.count == 2 && again.repeats(of: network("192.0.2.9"), at: time(3)) == 3)
    #expect(Offenders(parsing: Array(lines.utf8), now: time(100 * day)).count == 0)
  }

  @Test func `When it is full those go whose block is longest ago`() {
    var offenders = Offenders()
    for number in 0..<Offenders.capacity + 1 {
      _ = offenders.note(IPNetwork(IPAddress(v4: UInt32(number) + 0x0b00_0000)), at: time(Int64(number)))
    }
    #expect(offenders.count <= Offenders.capacity)
    #expect(offenders.count > Offenders.capacity / 2)
    let now = time(Int64(Offenders.capacity))
    #expect(offenders.repeats(of: network("11.0.0.0"), at: now) == 0)
    #expect(offenders.repeats(of: IPNetwork(IPAddress(v4: UInt32(Offenders.capacity) + 0x0b00_0000)), at: now) == 1)
  }

  @Test(
    arguments: [
      (0, 24), (1, 48), (2, 96), (4, 384), (5, 720), (6, 720), (1_000, 720),
    ] as [(Int, Int64)])
  func `Each repeat doubles the time, up to thirty days`(_ repeats: Int, _ hours: Int64) {
    #expect(ResponsePolicy(ResponsePolicy.Settings()).duration(repeats: repeats) == .seconds(hours * 3_600))
  }

  @Test func `For ever is not doubled, and BLOCK_TIME_MAX never shortens BLOCK_TIME`() {
    var settings = ResponsePolicy.Settings()
    settings.duration = nil
    #expect(ResponsePolicy(settings).duration(repeats: 3) == nil)
    settings.duration = .seconds(100 * 86_400)
    #expect(ResponsePolicy(settings).duration(repeats: 3) == .seconds(100 * 86_400))
  }
}
