import Detection
import Foundation
import Journal
import Report
import Testing
import TestSupport
import Wire

@Suite struct AnswerTests {
  private static func answer(_ json: String, _ losses: [(kind: Event.Loss, count: UInt64)] = []) throws -> Answer {
    Answer(
      try JSONDecoder().decode(LiveStatus.self, from: Data(json.utf8)), losses: losses,
      now: Timestamp(seconds: 100_000),
      .utc)
  }

  /// Whether every tag is closed by its own end.
  private static func isClosed(_ svg: String) -> Bool {
    var open: [Substring] = []
    for part in svg.split(separator: "<").dropFirst(svg.hasPrefix("<") ? 0 : 1) {
      guard let end = part.firstIndex(of: ">") else { return false }
      let tag = part[..<end]
      let name = tag.prefix { $0 != " " && $0 != "/" || tag.first == "/" && $0 != " " }
      if tag.hasPrefix("/") {
        guard open.popLast() == tag.dropFirst() else { return false }
      } else if !tag.hasSuffix("/") {
        open.append(name)
      }
    }
    return open.isEmpty
  }

  private static let well =
    #""interfaces":["lan0"],"response":"TCP: block by nftables; UDP: log only","blocks":{"enforced":true}"#

  @Test func `Nothing needs anybody where all is well`() throws {
    let answer = try Self.answer("{\(Self.well)}", [(.sources, 900)])
    #expect(answer.isWell && answer.headline == "Protected, nothing needs you.")
    #expect(try Self.answer(#"{\#(Self.well),"dropped":{"log":3},"log":{"last_lost":13000}}"#).isWell)
    let logging = try Self.answer(#"{"interfaces":["lan0"],"response":"log only"}"#)
    #expect(logging.headline == "Watching, nothing needs you.")
    #expect(
      Answer(nil, losses: [], now: Timestamp(seconds: 0), .utc).headline == "No sentry is running: nothing is watched.")
  }

  @Test(arguments: [
    (#","journal":{"failing":true}"#, "The journal cannot be written", "journalctl -u portsentry"),
    (
      #","deception":{"hidden":["lan0 IPv4","lan0 IPv6"]}"#, "hides the decoys on lan0 IPv4, lan0 IPv6",
      "portsentry firewall"
    ),
    (
      #","deception":{"state":"failed","text":"NONE, no nft"}"#, "There are no decoys: NONE, no nft",
      "journalctl -u portsentry"
    ),
    (#","trial":{"ends":5,"is_over":true}"#, "The trial is over", "portsentry confirm"),
    (
      #","dropped":{"log":3},"log":{"last_lost":99990}"#, "Lost: 3 log lines; the last just now.", "portsentry status"
    ),
    (
      #","dropped":{"history":1200},"log":{"last_lost":90000}"#,
      "Lost: 1,200 lines of the history; the last at 1970-01-02 01:00, and all lines since then are written.",
      "portsentry status"
    ),
  ])
  func `What is wrong is the headline, with the command that helps`(_ more: String, _ text: String, _ command: String)
    throws
  {
    let answer = try Self.answer("{\(Self.well)\(more)}")
    #expect(answer.needs.count == 1 && answer.headline.contains(text))
    #expect(answer.needs.first?.command == command)
  }

  @Test func `Blocks not in force, blindness and losses need somebody, several are counted`() throws {
    let answer = try Self.answer(
      #"{"interfaces":[],"response":"block by nftables","blocks":{"enforced":false}}"#, [(.ring, 12), (.journal, 3000)])
    #expect(answer.headline == "3 things need you.")
    #expect(answer.needs[0].text == "No interface is up: nothing is seen.")
    #expect(answer.needs[1].text.hasPrefix("Blocks may not be in force"))
    #expect(answer.needs[2].text.contains("12 packets, in the kernel; 3,000 records of the journal"))
  }

  @Test func `Usual is the mean of the same hours of seven days`() {
    // 2026-11-01 10:30 UTC; three blocks an hour on all days before, seven today.
    let now = Timestamp(seconds: 1_793_529_000)
    let hour = now.seconds / 3600
    var byHour: [Int64: Int] = [:]
    for past in 1...240 { byHour[hour - Int64(past)] = 3 }
    let today = Int64(10)
    for past in 0...today { byHour[hour - past] = 0 }
    byHour[hour] = 7
    let pace = BlockPace(byHour, now: now, since: hour - 240, .utc)
    #expect(pace.today == 7 && pace.usual == 33)
    #expect(pace.usualWords == "usually 33 by this hour")
    #expect(BlockPace(byHour, now: now, since: hour - 20, .utc).usual == nil)
  }

  @Test func `The ghost is the week before, where all of it is known`() {
    let now = Timestamp(seconds: 1_793_529_000)
    let hour = now.seconds / 3600
    let trend = Trend(.day, now: now, since: hour - 200) { $0 > hour - 24 ? 2 : 1 }
    #expect(trend.columns.count == 24 && trend.sum == 48 && trend.ghostSum == 24)
    #expect(trend.columns.last?.last == hour)
    let short = Trend(.day, now: now, since: hour - 180) { _ in 1 }
    #expect(short.ghostSum == nil && short.columns.last?.ghost == 1 && short.columns.first?.ghost == nil)
    #expect(Trend(.week, now: now, since: nil) { _ in 1 }.columns.count == 56)
    #expect(Trend(.month, now: now, since: nil) { _ in 1 }.sum == 720)
  }

  @Test func `Ports that rose are found against the week before`() throws {
    try inFolder { folder in
      let now = Timestamp(seconds: 1_793_577_600 + 9 * 86_400)
      let writer = try JournalWriter(JournalWriter.Settings(path: folder + "/journal.db"))
      func add(_ port: UInt16, _ count: Int, hoursAgo: Int64) throws {
        let time = Timestamp(seconds: now.seconds - hoursAgo * 3600)
        var batch = Batch()
        for _ in 0..<count {
          batch.add(
            .probe(
              Probe(
                time: time, source: IPAddress("10.0.0.1")!, sourcePort: 4_000, target: IPAddress("192.0.2.1")!,
                targetPort: port,
                transport: .tcp, mode: .advanced, technique: .syn)))
        }
        try writer.write(batch, now: time)
      }
      try add(23, 700, hoursAgo: 8 * 24)
      for day: Int64 in 1...7 { try add(23, 40, hoursAgo: day * 24 + 2) }
      try add(8728, 70, hoursAgo: 50)
      try add(23, 60, hoursAgo: 3)
      try add(8728, 60, hoursAgo: 3)
      try add(9999, 30, hoursAgo: 1)
      try add(7777, 29, hoursAgo: 1)
      let reader = try JournalReader(path: folder + "/journal.db")
      let risen = try reader.risen(now: now, limit: 9)
      #expect(risen.map(\.port.port) == [8728, 9999])
      #expect(risen.first?.words == "60 probes in 24 hours, usually 10 a day")
      #expect(risen.last?.words == "30 probes in 24 hours, almost none before")
      #expect(try reader.trend(of: PortName(PortName.Family.tcp, 23), .day, now: now).sum == 60)
      #expect(try reader.trend(.week, now: now).sum == 60 + 60 + 30 + 29 + 70 + 6 * 40)
      // Without a week before there is nothing to rise from.
      #expect(try reader.risen(now: Timestamp(seconds: now.seconds - 5 * 86_400), limit: 9).isEmpty)
    }
  }

  @Test func `The card of a week is one SVG without an address`() throws {
    var summary = Summary(
      window: Window(first: 0, last: 167), now: Timestamp(seconds: 604_800), zone: .utc, host: "<i>host</i>",
      version: "3")
    summary.probes = 1234
    let svg = WeekCard.svg(summary).text
    #expect(svg.hasPrefix("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1200\" height=\"630\""))
    #expect(
      svg.contains("What knocked on &lt;i&gt;host&lt;/i&gt;") && !svg.contains("<i>") && svg.contains(">1.2k</text>"))
    #expect(Self.isClosed(svg))
  }

  @Test func `A digest has its numbers in the first line, what is missing next, and fits every service`() {
    var summary = Summary(
      window: Window(first: 0, last: 23), now: Timestamp(seconds: 86_400), zone: .utc, host: "gate", version: "3")
    #expect(DigestText.make(summary, span: "day") == "0 blocks, 0 scanners, 0 probes from 0 addresses in the last day")
    (summary.probes, summary.sources, summary.scans, summary.blocks.made) = (12_345, 1, [.scan: 41], 200)
    summary.losses = [(.ring, 3)]
    summary.blocks.newest = (0..<50).map { number in
      PastBlock(
        id: Int64(number),
        record: PastBlock.BlockRecord(
          network: IPNetwork(IPAddress(v4: UInt32(number))), since: summary.now, until: nil, methods: "nftables",
          port: 23,
          transport: .tcp, mode: "atcp", reason: String(repeating: "\u{1b}x", count: 300)), repeats: 2, ended: nil,
        because: nil,
        lastProbe: nil)
    }
    let text = DigestText.make(summary, span: "week")
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines[0] == "200 blocks, 41 scanners, 12,345 probes from 1 address in the last week")
    #expect(lines[2] == "Incomplete: 3 packets, in the kernel")
    #expect(text.utf8.count <= 1_810 && text.hasSuffix("..."))
    #expect(text.utf8.allSatisfy { (0x20...0x7e).contains($0) || $0 == 0x0a })
    #expect(text.contains("  0.0.0.0, for the third time: "))
  }

  @Test func `A known scanner is known by the end of its name, at a dot`() {
    #expect(KnownScanners.owner(ofName: "census6.SHODAN.io")?.hasPrefix("Shodan") == true)
    #expect(KnownScanners.owner(ofName: "shodan.io") != nil)
    #expect(KnownScanners.owner(ofName: "notshodan.io") == nil)
    #expect(KnownScanners.owner(ofName: "shodan.io.example") == nil)
  }
}
