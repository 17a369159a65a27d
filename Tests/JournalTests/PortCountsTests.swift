import Detection
import Testing
import TestSupport

@testable import Journal

@Suite struct PortCountsTests {
  @Test func `What is packed is read again`() {
    var random = SeededGenerator(seed: 7)
    for round in 0..<200 {
      var counts = PortCounts()
      for _ in 0..<(round * 3) {
        let technique = Technique.allCases[Int(random.next() % UInt64(Technique.allCases.count))]
        let port: UInt16? = random.next() % 50 == 0 ? nil : UInt16(truncatingIfNeeded: random.next())
        counts.add(
          PortCounts.Key(technique, port),
          PortCounts.Count(probes: random.next() >> (1 + random.next() % 60), sources: random.next() % 1000))
      }
      #expect(PortCounts(bytes: counts.bytes) == counts)
    }
  }

  @Test func `A port touched once or twice takes some three bytes`() {
    var counts = PortCounts()
    for port in stride(from: UInt16(1), to: 65_000, by: 37) {
      counts.add(PortCounts.Key(.syn, port), PortCounts.Count(probes: 2, sources: 1))
    }
    #expect(counts.bytes.count < counts.counts.count * 7 / 2)
  }

  @Test func `Any bytes are read as far as they make sense`() {
    var random = SeededGenerator(seed: 8)
    for _ in 0..<5_000 {
      let bytes = (0..<Int(random.next() % 40)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      let counts = PortCounts(bytes: bytes)
      #expect(PortCounts(bytes: counts.bytes) == counts)
    }
    // A number that does not end.
    #expect(PortCounts(bytes: Array(repeating: 0x80, count: 30)).isEmpty)
  }

  @Test func `Trimming keeps the sums`() {
    var counts = PortCounts()
    for port in UInt16(1)...500 {
      counts.add(PortCounts.Key(port % 3 == 0 ? .udp : .syn, port), PortCounts.Count(probes: UInt64(port), sources: 1))
    }
    let trimmed = counts.trimmed(to: 20)
    func sum(_ counts: PortCounts) -> UInt64 { counts.counts.values.reduce(0) { $0 + $1.probes } }
    #expect(sum(trimmed) == sum(counts))
    #expect(trimmed.counts.count == 22)
    #expect(trimmed[PortCounts.Key(.syn, 500)]?.probes == 500)
    #expect(trimmed[PortCounts.Key(.syn, 400)] == nil)
    #expect(trimmed[PortCounts.Key(.udp, nil)] != nil)
    #expect(counts.trimmed(to: 1000) == counts)
  }

  @Test(arguments: [1, 2, 3, 10, 20, 60, 120])
  func `The number of ports is estimated within three errors`(_ truth: Int) {
    var random = SeededGenerator(seed: 9)
    var worst = 0
    for _ in 0..<100 {
      var bits = PortBits()
      var ports: Set<UInt16> = []
      while ports.count < truth { ports.insert(UInt16(truncatingIfNeeded: random.next())) }
      for port in ports { bits.insert(.syn, port) }
      worst = max(worst, abs(bits.count - truth))
    }
    #expect(worst <= 2 + truth * 2 / 3)
    if truth == 1 { #expect(worst == 0) }
  }

  @Test func `The same port of TCP is one, whatever the technique, and another one of UDP`() {
    var bits = PortBits()
    for technique in [Technique.syn, .fin, .connect, .ack] { bits.insert(technique, 80) }
    #expect(bits.count == 1)
    bits.insert(.udp, 80)
    #expect(bits.count == 2)
    #expect(PortBits(.max).count == PortBits.mostCounted)
  }
}
