import Response
import TestSupport
import Testing
import Wire

@Suite struct SavedBlocksTests {
  private static let header = SavedBlocks.header(bootID: "0b6d-9f1e")
  private static let record = Block.Record(
    network: IPNetwork("203.0.113.7")!, since: Timestamp(nanoseconds: 1_700_000_000_123_456_789),
    until: Timestamp(nanoseconds: 1_700_086_400_000_000_000), methods: [.nftables, .hostsDeny], port: 23,
    transport: .tcp,
    modeName: "atcp", reason: "SYN scan of port 23")

  private static func parse(_ text: String) -> SavedBlocks.Contents { SavedBlocks.parse(Array(text.utf8)) }

  @Test func oneLine() {
    #expect(
      SavedBlocks.line(Self.record)
        == "+\t203.0.113.7\t1700000000123456789\t1700086400000000000\tnftables,hosts.deny\t23\tTCP\tatcp\tSYN scan of port 23\n"
    )
    #expect(SavedBlocks.line(released: IPNetwork("2001:db8::/64")!) == "-\t2001:db8::/64\n")
  }

  @Test func roundTrip() {
    var random = SeededGenerator(seed: 14)
    var text = Self.header
    var model: [IPNetwork: Block.Record] = [:]
    for _ in 0..<500 {
      let number = UInt32.random(in: 0..<100, using: &random)
      let network =
        random.chance(50)
        ? IPNetwork(IPAddress(v4: number), length: 30)! : IPNetwork(IPAddress(high: 1, low: UInt64(number)))
      if random.chance(30) {
        text += SavedBlocks.line(released: network)
        model[network] = nil
        continue
      }
      let record = Block.Record(
        network: network, since: Timestamp(nanoseconds: Int64.random(in: 0...Int64.max, using: &random)),
        until: random.chance(50) ? nil : Timestamp(nanoseconds: Int64.random(in: 0...Int64.max, using: &random)),
        methods: BlockMethod.allCases.filter { _ in random.chance(50) },
        port: UInt16.random(in: 0...65535, using: &random),
        transport: random.chance(50) ? .tcp : .udp, modeName: ["atcp", "operator", ""].randomElement(using: &random)!,
        reason: ["", "SYN scan", "Größe", "a  b "].randomElement(using: &random)!,
        evidence: ["", "", "classic syn TCP 23 1"].randomElement(using: &random)!)
      text += SavedBlocks.line(record)
      model[network] = record
    }
    let contents = Self.parse(text)
    #expect(contents.bootID == "0b6d-9f1e" && contents.damagedLines == 0 && contents.lines == 501)
    #expect(contents.records == model)
  }

  @Test func aReasonStaysOnItsLine() {
    var record = Self.record
    record.reason = "a\tb\nc\r\nd\re f"
    let line = SavedBlocks.line(record)
    #expect(line.utf8.count { $0 == 0x0a } == 1)
    #expect(Self.parse(Self.header + line).records[record.network]?.reason == "a b c  d e f")
  }

  /// What a power cut may leave: the last line in part. A release cut short could name another host.
  @Test func aTornLastLine() {
    let whole = Self.header + SavedBlocks.line(Self.record)
    for last in [
      SavedBlocks.line(released: IPNetwork("203.0.113.77")!),
      SavedBlocks.line(Self.record).replacing("113.7\t", with: "113.8\t"),
    ] {
      for length in 1..<last.utf8.count {
        let contents = Self.parse(whole + String(last.utf8.prefix(length))!)
        #expect(contents.records == [Self.record.network: Self.record], "\(length) bytes of \(last)")
        #expect(contents.damagedLines == 1)
      }
    }
  }

  @Test(
    "Foreign lines are counted and skipped",
    arguments: [
      "x", "+", "-", "+\t", "-\t", "\t", "-\t203.0.113.7\textra", "-\thost.example", "+\t203.0.113.9",
      "-\t203.0.113.7/33",
      "+\t203.0.113.9\tx\t-\t-\t0\tTCP\tatcp\t", "+\t203.0.113.9\t1\tx\t-\t0\tTCP\tatcp\t",
      "+\t203.0.113.9\t1\t-\tiptables\t0\tTCP\tatcp\t", "+\t203.0.113.9\t1\t-\t-\t70000\tTCP\tatcp\t",
      "+\t203.0.113.9\t1\t-\t-\t0\tSCTP\tatcp\t", "+\t203.0.113.9\t1\t-\t-\t0\tTCP\tatcp", "portsentry-blocks 2 x",
      "*\t203.0.113.7", "++\t203.0.113.9\t1\t-\t-\t0\tTCP\tatcp\t",
    ])
  func foreign(line: String) {
    let contents = Self.parse(Self.header + SavedBlocks.line(Self.record) + line + "\n")
    #expect(contents.damagedLines == 1 && contents.records == [Self.record.network: Self.record] && contents.lines == 3)
  }

  @Test func otherFiles() {
    #expect(Self.parse("").records.isEmpty && Self.parse("").damagedLines == 0)
    #expect(Self.parse("\n\n\n").damagedLines == 0)
    var random = SeededGenerator(seed: 15)
    for _ in 0..<50 { #expect(SavedBlocks.parse(random.bytes(500)).records.isEmpty) }
    // Without its first line the boot is unknown, and the rest holds.
    let headless = Self.parse(SavedBlocks.line(Self.record))
    #expect(headless.bootID == nil && headless.records.count == 1)
    // A format of the future is not ours to read.
    #expect(Self.parse("portsentry-blocks 10 x\n").damagedLines == 1)
  }

  @Test func aHundredThousandLines() {
    var text: [UInt8] = Array(Self.header.utf8)
    var record = Self.record
    for number in 0..<100_000 as Range<UInt32> {
      record.network = IPNetwork(IPAddress(v4: 0x0a00_0000 | number))
      text += Array(SavedBlocks.line(record).utf8)
    }
    let contents = SavedBlocks.parse(text)
    #expect(contents.records.count == 100_000 && contents.damagedLines == 0 && contents.lines == 100_001)
  }
}
