import Detection
import EventLog
import Response
import Testing
import Wire

@Suite struct ScanLogTests {
  private static let start = Timestamp(seconds: 1_700_000_000)

  private static func address(_ number: Int) -> IPAddress { IPAddress(v4: 0x0a00_0000 + UInt32(number)) }

  private static func verdict(_ source: IPAddress, at time: Timestamp = start, ports: [UInt16] = [1, 2, 3]) -> Verdict {
    var verdict = Verdict(.scan, source: IPNetwork(source), first: time, last: time)
    verdict.techniques = TechniqueSet(.syn)
    verdict.evidence = ports.map { Evidence(.unusedPort, .syn, port: $0, weight: 2000) }
    (verdict.ports, verdict.probes, verdict.targets) = (UInt32(ports.count), UInt32(ports.count), 1)
    return verdict
  }

  private static func touch(_ source: IPAddress, _ port: UInt16, at time: Timestamp) -> Probe {
    var touch = probe(.syn, from: "\(source)")
    (touch.time, touch.targetPort) = (time, port)
    return touch
  }

  @Test func `A scan of all ports is two lines`() {
    var log = ScanLog()
    let source = Self.address(1)
    let first = log.add(Self.verdict(source), at: Self.start)
    #expect(first?.text == "10.0.0.1 is a scanner: vertical scan (syn), 3 ports; address not verified")
    for port in 1...65_535 {
      log.count(Self.touch(source, UInt16(port), at: Self.start + .milliseconds(port)))
      if port % 1000 == 0 {
        let due = log.due(at: Self.start + .milliseconds(port))
        #expect(due.isEmpty)
      }
    }
    // The detector may tell again what is told.
    let value1 = log.add(Self.verdict(source), at: Self.start + .seconds(60))
    #expect(value1 == nil)
    let value2 = log.due(at: Self.start + .seconds(125))
    #expect(value2.isEmpty)
    let end = log.due(at: Self.start + .seconds(126))
    #expect(end.map(\.text) == ["10.0.0.1 has stopped scanning: 65,535 ports, 65,538 probes in 65 s"])
    #expect(log.count == 0)
    let value3 = log.due(at: Self.start + .seconds(9000), isLast: true)
    #expect(value3.isEmpty)
  }

  @Test func `A slow scan is one scan, and a scanner that comes back is said when it does much more`() {
    var log = ScanLog()
    let source = Self.address(1)
    _ = log.add(Self.verdict(source), at: Self.start)
    for minute in 1...20 {
      let now = Self.start + .seconds(minute * 600)
      // Ten minutes between two probes are no end once they are its pace.
      if minute > 2 {
        let value4 = log.due(at: now)
        #expect(value4.isEmpty, "minute \(minute)")
      }
      log.count(Self.touch(source, UInt16(100 + minute), at: now))
    }
    let later = Self.start + .seconds(20 * 600 + 3600)
    let value5 = log.due(at: later)
    #expect(value5.count == 1)
    let value6 = log.add(Self.verdict(source, at: later), at: later)
    #expect(value6 == nil)
    let value7 = log.due(at: later + .seconds(3601))
    #expect(value7.isEmpty)
    _ = log.add(Self.verdict(source, at: later), at: later)
    for port in 1...300 { log.count(Self.touch(source, UInt16(port), at: later)) }
    let value8 = log.due(at: later + .seconds(61))
    #expect(value8.map(\.text) == ["10.0.0.1 has stopped scanning: 300 ports, 303 probes in 1 s"])
    let value9 = log.add(Self.verdict(source), at: later + .seconds(90_000))
    #expect(value9 != nil)
  }

  @Test func `A day of the Internet is bounded, and every scanner is in a line or in a count`() {
    var log = ScanLog()
    var lines = 0
    var begun = 0
    var ended = 0
    var further = 0
    func read(_ new: [LogLine]) {
      lines += new.count
      for line in new {
        if line.text.contains("is a scanner") { begun += 1 }
        if line.text.contains("has stopped") { ended += 1 }
        if line.text.contains("further scanner") {
          further += Int(line.text.prefix { $0 != " " }.filter { $0 != "," }) ?? 0
        }
      }
    }
    // 167,000 probes of 20,000 sources, five verdicts at a time, as it would be in a wave.
    var now = Self.start
    for number in 1...20_000 {
      now = Self.start + .milliseconds(number * 4320)
      let source = Self.address(number)
      let line = log.add(Self.verdict(source, at: now), at: now)
      read(log.takeHeld() + (line.map { [$0] } ?? []))
      for port in 4...8 { log.count(Self.touch(source, UInt16(port), at: now)) }
      read(log.due(at: now))
      #expect(log.count <= ScanLog.capacity)
    }
    read(log.due(at: now, isLast: true))
    #expect(begun + further == 20_000)
    #expect(begun == ended)
    #expect(begun > 400)
    #expect(lines <= 1_100, "\(lines) lines")
  }

  @Test func `More scans than are followed end early, and none goes without its end`() {
    var log = ScanLog(budget: ScanLog.Budget(capacity: 10_000))
    var texts: [String] = []
    for number in 1...2000 {
      let line = log.add(Self.verdict(Self.address(number)), at: Self.start + .milliseconds(number))
      texts += (log.takeHeld() + (line.map { [$0] } ?? [])).map(\.text)
    }
    #expect(log.count == ScanLog.capacity)
    texts += log.due(at: Self.start + .seconds(600)).map(\.text)
    #expect(texts.count { $0.contains("is a scanner") } == 2000)
    #expect(texts.count { $0.contains("has stopped") } == 2000)
  }

  @Test func `Want of proof is said with the end`() {
    var log = ScanLog()
    let missed = log.noteUnverified(Self.address(1))
    #expect(!missed)
    _ = log.add(Self.verdict(Self.address(1)), at: Self.start)
    let isNoted = log.noteUnverified(Self.address(1))
    #expect(isNoted)
    let end = log.due(at: Self.start + .seconds(61))
    #expect(end.first?.text.hasSuffix("; not blocked, because its address was never verified (PROOF)") == true)
  }

  @Test func `Blocks, their ends and refusals have priorities and plain words`() {
    let network = IPNetwork("203.0.113.7")!
    let block = LogLine.blocked(
      network, by: .nftables(set: "inet portsentry banned4", .seconds(86_400)), in: .native)
    #expect(block.text == "Blocked 203.0.113.7 for 24h by nftables")
    #expect(block.severity == .warning)
    #expect(LogLine.released(network, .expired, in: .native).text == "Block of 203.0.113.7 has ended (expired)")
    let refused = LogLine.refused(network.address, because: "it is the default gateway", in: .native)
    #expect(refused.text == "203.0.113.7 was not blocked: it is the default gateway" && refused.severity == .warning)
  }
}

@Suite struct ProbeLineLimitTests {
  @Test func `One source gets its lines and a number, others theirs`() {
    var limit = ProbeLineLimit(perMinute: 100)
    let (loud, quiet) = (IPAddress(v4: 1), IPAddress(v4: 2))
    var written = 0
    for _ in 0..<3314 where limit.admits(loud, at: 0) { written += 1 }
    #expect(written == 100)
    let value10 = limit.admits(quiet, at: 1)
    #expect(value10)
    let value11 = limit.due(at: 59_999_999_999)
    #expect(value11.isEmpty)
    let due = limit.due(at: 60_000_000_000)
    #expect(due.count == 1 && due[0].source == loud && due[0].count == 3214)
    let value12 = limit.admits(loud, at: 60_000_000_001)
    #expect(value12)
    #expect(
      LogLine.moreOfSource(loud, 3214, in: .classic).text
        == "adminalert: PortSentry is now active in limiting lines: and 3,214 more of this source: 0.0.0.1 (LOG_LIMIT)")
  }

  @Test func `A flood of sources is bounded, and lines and count are all there were`() {
    var limit = ProbeLineLimit(perMinute: 10)
    var written = 0
    for number in 0..<100_000 where limit.admits(IPAddress(v4: UInt32(number)), at: 0) { written += 1 }
    #expect(written == ProbeLineLimit.capacity + 100)
    let left = limit.due(at: 0, isLast: true)
    #expect(left.reduce(0) { $0 + $1.count } + written == 100_000)
    // 2,000 sources with a hundred lines each are a megabyte at most; a new one gets its line all the same.
    var many = ProbeLineLimit(perMinute: 100)
    var lines = 0
    for number in 0..<200_000 where many.admits(IPAddress(v4: UInt32(number / 100)), at: 0) { lines += 1 }
    #expect((ProbeLineLimit.mostPerMinute / 2...ProbeLineLimit.mostPerMinute).contains(lines))
    let isNewAdmitted = many.admits(IPAddress(v4: 77_777), at: 0)
    #expect(isNewAdmitted)
    let leftOut = many.due(at: 0, isLast: true).reduce(0) { $0 + $1.count }
    #expect(leftOut + lines + 1 == 200_001)
    var none = ProbeLineLimit(perMinute: 0)
    for _ in 0..<1000 {
      let isAdmitted = none.admits(IPAddress(v4: 1), at: 0)
      #expect(isAdmitted)
    }
  }
}
