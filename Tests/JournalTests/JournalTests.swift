import Database
import Detection
import Response
import Testing
import TestSupport
import Wire

@testable import Journal

/// Events by hand, and the journal they go into.
struct Book {
  let writer: JournalWriter
  let path: String

  init(_ folder: String, keep: Duration = .seconds(30 * 86_400), size: Int = 64 << 20) throws {
    path = folder + "/journal.db"
    var settings = JournalWriter.Settings(path: path)
    settings.keep = keep
    settings.size = size
    writer = try JournalWriter(settings)
  }

  func write(_ events: [Event], now: Timestamp? = nil) throws {
    var batch = Batch()
    for event in events { batch.add(event) }
    try writer.write(batch, now: now ?? events.last?.time ?? .distantPast)
  }

  /// Everything that is due at a time.
  func maintain(_ now: Timestamp, mayExpire: Bool = true) throws {
    for _ in 0..<100_000 where try !writer.maintain(now: now, mayExpire: mayExpire) { return }
    Issue.record("upkeep does not come to an end")
  }

  func reader() throws -> JournalReader { try JournalReader(path: path) }
}

/// Monday, 2026-11-02, 00:00 UTC.
let monday = Timestamp(seconds: 1_793_577_600)

func at(_ hours: Double) -> Timestamp { Timestamp(nanoseconds: monday.nanoseconds + Int64(hours * 3600e9)) }

func probe(
  _ source: String, _ port: UInt16, at time: Timestamp, _ technique: Technique = .syn, ignored: Bool = false
) -> Event {
  .probe(
    Probe(
      time: time, source: IPAddress(source)!, sourcePort: 40_000, target: IPAddress("192.0.2.1")!, targetPort: port,
      transport: technique == .udp ? .udp : .tcp, mode: .advanced, technique: technique, isIgnored: ignored))
}

func verdict(_ source: String, from first: Timestamp, to last: Timestamp, probes: UInt32 = 5) -> Verdict {
  var verdict = Verdict(.scan, source: IPNetwork(source)!, first: first, last: last)
  verdict.probes = probes
  verdict.ports = probes
  verdict.tool = Tool(.nmap)
  verdict.evidence = [
    Evidence(.unusedPort, .syn, port: 23, weight: 1386), Evidence(.toolMarks, .syn, port: 23, weight: -40),
  ]
  verdict.score = 1346
  verdict.threshold = 4595
  return verdict
}

func block(_ network: String, since: Timestamp, until: Timestamp?) -> Event {
  .blocked(
    Block.Record(
      network: IPNetwork(network)!, since: since, until: until, methods: [.nftables], port: 23, transport: .tcp,
      modeName: "atcp", reason: "a test"), repeats: 0)
}

@Suite struct JournalTests {
  @Test func `Probes are added up by source, port, technique and hour`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      try book.write([
        probe("10.0.0.1", 23, at: at(0.1)), probe("10.0.0.1", 23, at: at(0.2)), probe("10.0.0.1", 23, at: at(1.1)),
        probe("10.0.0.1", 80, at: at(0.3)), probe("10.0.0.1", 53, at: at(0.3), .udp),
        probe("2001:db8::7", 23, at: at(0.4)),
      ])
      try book.write([probe("10.0.0.1", 23, at: at(0.5))])
      let reader = try book.reader()
      let story = try reader.story(of: IPAddress("10.0.0.1")!, Window(from: at(0), to: at(2)))
      let source = try #require(story.source)
      #expect(source.probes == 6)
      #expect(source.first == at(0.1) && source.last == at(1.1))
      #expect(source.techniques.techniques == [.syn, .udp])
      #expect(source.target == IPAddress("192.0.2.1") && source.sourcePort == 40_000)
      #expect(source.ports == 3)
      let counts = Dictionary(
        uniqueKeysWithValues: story.detail.map {
          ("\($0.hour - monday.seconds / 3600) \($0.port) \($0.technique.name)", $0.probes)
        })
      #expect(counts == ["0 23 syn": 3, "0 80 syn": 1, "0 53 udp": 1, "1 23 syn": 1])
      let hours = try reader.hours(Window(from: at(0), to: at(2)))
      #expect(hours.map(\.probes) == [6, 1])
      #expect(hours.map(\.sources) == [2, 1])
      #expect(hours.map(\.newcomers) == [2, 0])
    }
  }

  @Test func `Sources are found by a port they touched, and by their tool`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      try book.write(
        [
          probe("10.0.0.1", 23, at: at(0.1)), probe("10.0.0.1", 23, at: at(1.1)), probe("10.0.0.1", 80, at: at(0.3)),
          probe("10.0.0.2", 53, at: at(0.3), .udp), probe("10.0.0.3", 53, at: at(0.3)),
          probe("10.0.0.4", 23, at: at(30)),
        ] + [.verdict(verdict("10.0.0.3", from: at(0), to: at(0.3)))])
      let reader = try book.reader()
      func found(_ port: String?, tool: String? = nil, hours: Double = 2) throws -> [String: UInt64] {
        var filter = SourceFilter()
        filter.port = try port.map { try #require(PortChoice($0)) }
        filter.tool = try tool.map { try #require(Tool(name: $0)) }
        let lines = try reader.sources(Window(from: at(0), to: at(hours)), by: .probes, filter, limit: 10)
        return Dictionary(uniqueKeysWithValues: lines.map { ("\($0.source.network)", $0.probes) })
      }
      // Their probes of this port are counted, not those of others.
      #expect(try found("23") == ["10.0.0.1": 2])
      #expect(try found("23", hours: 40) == ["10.0.0.1": 2, "10.0.0.4": 1])
      #expect(try found("53") == ["10.0.0.2": 1, "10.0.0.3": 1])
      #expect(try found("53/udp") == ["10.0.0.2": 1] && found("53/tcp") == ["10.0.0.3": 1])
      #expect(try found("9999").isEmpty)
      #expect(try found(nil, tool: "nmap") == ["10.0.0.3": 1] && found("23", tool: "nmap").isEmpty)
      for text in ["", "x", "65536", "-1", "23/", "23/tcpx", "23/tcp/udp", "/tcp", "+23"] {
        #expect(PortChoice(text) == nil)
      }
    }
  }

  @Test func `Nothing changes when an hour and a day are closed`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      var random = SeededGenerator(seed: 3)
      var truth: [String: UInt64] = [:]
      var bySource: [IPAddress: UInt64] = [:]
      for hour in 0..<50 {
        let events = (0..<40).map { _ in
          probe(
            "10.0.\(random.next() % 3).\(random.next() % 20)", UInt16(random.next() % 9 + 1), at: at(Double(hour) + 0.5)
          )
        }
        for case .probe(let probe) in events {
          truth["\(hour / 24) \(probe.targetPort)", default: 0] += 1
          bySource[probe.source, default: 0] += 1
        }
        try book.write(events)
      }
      let window = Window(from: at(0), to: at(50))
      func look() throws -> ([Hour], [PortName: UInt64], [Int64: UInt64]) {
        let reader = try book.reader()
        var ports: [PortName: UInt64] = [:]
        try reader.ports(window) { _, key, count in ports[PortName(key.technique, key.port), default: 0] += count.probes
        }
        return (try reader.hours(window), ports, try reader.probesBySource(window))
      }
      let before = try look()
      try book.maintain(at(50))
      let after = try look()
      #expect(before.0 == after.0 && before.1 == after.1 && before.2 == after.2)
      #expect(after.0.reduce(0) { $0 + $1.probes } == 2000)
      #expect(after.2.values.reduce(0, +) == 2000)
      let reader = try book.reader()
      let known = try reader.sources(after.2.keys)
      for (id, count) in after.2 { #expect(bySource[known[id]!.network.address] == count) }
      // Days are closed by their detail: distinct sources of each port.
      let days = try reader.portsByDay(Window(from: at(0), to: at(47.9)))
      #expect(days.count == 2)
      for (index, day) in days.enumerated() {
        for (key, count) in day.ports.counts {
          #expect(truth["\(index) \(key.port!)"] == count.probes && count.sources <= 60)
        }
      }
      #expect(try JournalCheck.run(reader).problems == [])
    }
  }

  @Test func `Sums of windows are right whatever part is closed`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      for hour in 0..<100 { try book.write([probe("10.0.0.\(hour % 7)", 1, at: at(Double(hour) + 0.5))]) }
      for closedUntil in [0, 30, 77, 100] {
        try book.maintain(at(Double(closedUntil)), mayExpire: false)
        let reader = try book.reader()
        for (first, last) in [(0, 99), (5, 5), (20, 28), (23, 48), (24, 71), (1, 98), (90, 99)] {
          let window = Window(from: at(Double(first)), to: at(Double(last) + 0.9))
          let sums = try reader.probesBySource(window)
          #expect(
            sums.values.reduce(0, +) == UInt64(last - first + 1), "\(first) to \(last), closed until \(closedUntil)")
        }
      }
    }
  }

  @Test func `A clock set back a day costs nothing, and no number is wrong`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      for hour in 0..<60 { try book.write([probe("10.0.0.1", 1, at: at(Double(hour) + 0.5))]) }
      try book.maintain(at(60))
      // Back a day, on for three hours, then a day and a half ahead.
      for hour in 36..<39 { try book.write([probe("10.0.0.2", 2, at: at(Double(hour) + 0.2))]) }
      try book.maintain(at(39), mayExpire: false)
      try book.write([probe("10.0.0.3", 3, at: at(96.5))])
      try book.maintain(at(97), mayExpire: false)
      let reader = try book.reader()
      let hours = try reader.hours(Window(from: at(0), to: at(97)))
      #expect(hours.reduce(0) { $0 + $1.probes } == 64)
      let reopened = try #require(hours.first { $0.hour == at(36.5).wholeSeconds.hour })
      #expect(reopened.probes == 2 && reopened.sources == 2)
      let sums = try reader.probesBySource(Window(from: at(0), to: at(97)))
      #expect(sums.values.sorted() == [1, 3, 60])
      #expect(try JournalCheck.run(reader).problems == [])
    }
  }

  @Test func `Ignored sources are known, and count for nothing`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      try book.write([probe("10.0.0.1", 1, at: at(0.1), ignored: true), probe("10.0.0.2", 1, at: at(0.1))])
      let reader = try book.reader()
      let hour = try #require(try reader.hours(Window(from: at(0), to: at(1))).first)
      #expect(hour.probes == 1 && hour.ignored == 1 && hour.sources == 1)
      let lines = try reader.sources(Window(from: at(0), to: at(1)), by: .probes, limit: 10)
      #expect(lines.map { "\($0.source.network)" } == ["10.0.0.2"])
      #expect(try reader.story(of: IPAddress("10.0.0.1")!, Window(from: at(0), to: at(1))).source?.isIgnored == true)
    }
  }

  // MARK: Verdicts

  @Test func `A verdict said again is the same scan`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      try book.write([.verdict(verdict("10.0.0.1", from: at(0), to: at(0.1)))])
      var again = verdict("10.0.0.1", from: at(0), to: at(0.2), probes: 40)
      again.origin = .proven
      again.tool = .unknown
      try book.write([.verdict(again)])
      let scans = try book.reader().scans(since: .distantPast)
      #expect(scans.count == 1)
      #expect(scans[0].probes == 40 && scans[0].last == at(0.2) && scans[0].origin == .proven)
      // What was known of the tool is not forgotten.
      #expect(scans[0].tool == Tool(.nmap))
      #expect(scans[0].evidence.map(\.weight) == [1386, -40])
      let notes = try book.reader().notes(since: .distantPast, limit: 10)
      #expect(notes.map(\.kind) == [.verdict])
    }
  }

  @Test func `A scan goes on with its source, and ends with an hour of silence`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      try book.write([
        probe("10.0.0.1", 1, at: at(0)), .verdict(verdict("10.0.0.1", from: at(0), to: at(0), probes: 1)),
      ])
      try book.write([probe("10.0.0.1", 2, at: at(0.5)), probe("10.0.0.1", 3, at: at(0.6))])
      try book.write([probe("10.0.0.1", 4, at: at(5))])
      let scan = try #require(try book.reader().scans(since: .distantPast).first)
      #expect(scan.probes == 3 && scan.last == at(0.6))
      #expect(!scan.isOver(at: at(1.5)) && scan.isOver(at: at(1.7)))
      // Another verdict after the silence is another scan.
      try book.write([.verdict(verdict("10.0.0.1", from: at(5), to: at(5.1)))])
      #expect(try book.reader().scans(since: .distantPast).count == 2)
    }
  }

  @Test func `A slow scan is one for a week`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      var slow = verdict("10.0.0.1", from: at(0), to: at(20), probes: 3)
      slow.isSlow = true
      try book.write([.verdict(slow)])
      try book.write([probe("10.0.0.1", 9, at: at(100))])
      let scan = try #require(try book.reader().scans(since: .distantPast).first)
      #expect(scan.probes == 4 && scan.last == at(100) && scan.isSlow)
    }
  }

  @Test func `A verdict on a prefix is found by any address in it`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      try book.write([.verdict(verdict("2001:db8:1:2::/64", from: at(0), to: at(0.1)))])
      let story = try book.reader().story(of: IPAddress("2001:db8:1:2::77")!, Window(from: at(0), to: at(1)))
      #expect(story.source == nil)
      #expect(story.networks.map { "\($0.network)" } == ["2001:db8:1:2::/64"])
      #expect(story.scans.count == 1)
    }
  }

  // MARK: Blocks and notes

  @Test func `Blocks are kept with their ends, and how often before`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      let network = IPNetwork("10.0.0.1")!
      try book.write([
        probe("10.0.0.1", 1, at: at(0)), block("10.0.0.1", since: at(0), until: at(24)),
        // A sentry that starts again tells of blocks in force once more.
        block("10.0.0.1", since: at(0), until: at(24)), .released(network, because: "expired", at: at(24)),
      ])
      try book.write([probe("10.0.0.1", 1, at: at(30)), block("10.0.0.1", since: at(30), until: nil)])
      let blocks = try book.reader().blocks(covering: network)
      #expect(blocks.count == 2)
      #expect(blocks[0].ended == nil && !blocks[0].cameBack)
      #expect(blocks[1].ended == at(24) && blocks[1].because == "expired" && blocks[1].cameBack)
      let kinds = try book.reader().notes(on: network).map(\.kind)
      #expect(kinds == [.blocked, .released, .blocked])
    }
  }

  @Test func `A block that rests on the fleet is kept with its witnesses`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      let seen = ["web1", "db"].enumerated().map {
        FleetCause.Witness(node: UInt32($0.offset + 1), name: $0.element, at: at(Double($0.offset)))
      }
      func fleet(_ network: String, _ mode: String, _ cause: FleetCause) -> Event {
        .blocked(
          Block.Record(
            network: IPNetwork(network)!, since: at(1), until: at(24), methods: [.nftables], port: 0, transport: .tcp,
            modeName: mode, reason: "2 fleet hosts", evidence: Grounds(.fleet(cause), nil).line), repeats: 0)
      }
      try book.write([
        fleet("10.0.0.1", "fleet", FleetCause(.quorum(2), seen)),
        fleet("10.0.0.2", "atcp", FleetCause(.hearsay(weight: 2200, ownPorts: [23, 25], threshold: 4595), seen)),
        block("10.0.0.3", since: at(1), until: nil),
      ])
      let reader = try book.reader()
      let blocks = try (1...3).map { try reader.blocks(covering: IPNetwork("10.0.0.\($0)")!)[0].record }
      #expect(blocks.map(\.witnesses) == [seen, seen, []])
      #expect(
        blocks.map(\.reason) == ["2 hosts of the fleet saw it (web1, db)", "2 fleet hosts", "a test"])
      // The note leads to it as well.
      #expect(try reader.notes(on: IPNetwork("10.0.0.1")!).first?.block?.record.witnesses == seen)
    }
  }

  @Test func `A block of a network is found by its addresses`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      try book.write([block("198.51.100.0/24", since: at(0), until: nil)])
      #expect(try book.reader().blocks(covering: IPNetwork("198.51.100.9")!).count == 1)
      #expect(try book.reader().blocks(covering: IPNetwork("198.51.101.9")!).isEmpty)
    }
  }

  @Test func `A refusal said again within ten minutes is no news`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      let address = IPAddress("10.0.0.1")!
      for minute in [0.0, 2, 5, 11, 12] {
        try book.write([.refused(address, because: "it is the default gateway", at: at(minute / 60))])
      }
      #expect(try book.reader().notes(on: IPNetwork(address)).count == 2)
    }
  }

  @Test func `Proof is kept, the first one`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      let address = IPAddress("10.0.0.1")!
      var proven = verdict("10.0.0.1", from: at(0), to: at(0.1))
      proven.origin = .proven
      try book.write([
        .verdict(proven), .proven(address, .decoy, port: 8080, at: at(1)),
        .proven(address, .handshake, port: 1, at: at(2)),
      ])
      let source = try #require(try book.reader().sources(at: address).first)
      #expect(source.origin == .proven && source.proof == .decoy && source.proven == at(1))
      #expect(try book.reader().notes(on: IPNetwork(address)).count { $0.kind == .proven } == 1)
    }
  }

  @Test func `Runs and blindness are spans, also after a crash`() throws {
    try inFolder { folder in
      do {
        let book = try Book(folder)
        try book.write([
          .started(at: at(0)), .blind(at: at(1)), .blind(at: at(1.5)), .seeing(at: at(2)), .stopped(at: at(3)),
        ])
        try book.write([.started(at: at(4)), .blind(at: at(5))])
        // Its last sign of life; then the power goes.
        try book.writer.noteAlive(now: at(6))
      }
      let book = try Book(folder)
      try book.write([.started(at: at(8))])
      let reader = try book.reader()
      #expect(
        try reader.runs(since: .distantPast, now: at(8)) == [
          JournalReader.Span(start: at(0), end: at(3)), JournalReader.Span(start: at(4), end: at(6)),
          JournalReader.Span(start: at(8), end: nil),
        ])
      // Without a sign of life for long, the newest is over too: nobody may have noticed yet.
      #expect(
        try reader.runs(since: .distantPast, now: at(8) + .seconds(3600)).last
          == JournalReader.Span(start: at(8), end: at(8)))
      #expect(
        try reader.blindSpans(since: .distantPast) == [
          JournalReader.Span(start: at(1), end: at(2)), JournalReader.Span(start: at(5), end: at(6)),
        ])
    }
  }

  @Test func `Losses are counted, and noted once an hour`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      for minute in 0..<50 { try book.write([.lost(.ring, count: 10, at: at(Double(minute) / 60))]) }
      let reader = try book.reader()
      let losses = try reader.losses(Window(from: at(0), to: at(1)))
      #expect(losses.map(\.count) == [500] && losses[0].kind == .ring)
      #expect(try reader.notes(since: .distantPast, limit: 99).count == 1)
    }
  }

  @Test func `Names are kept as they came`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      let name = "<script>alert(1)</script>\u{1b}[2J\u{202e}/\n'; DROP TABLE source; --"
      try book.write([probe("10.0.0.1", 1, at: at(0)), .named(IPAddress("10.0.0.1")!, name)])
      #expect(try book.reader().sources(at: IPAddress("10.0.0.1")!).first?.name == name)
    }
  }

  // MARK: Bounds

  @Test func `A batch takes no more than it may, and counts the rest`() {
    var batch = Batch()
    for number in 0..<(Batch.capacity + 500) {
      batch.add(probe("10.\(number >> 16 & 255).\(number >> 8 & 255).\(number & 255)", 1, at: at(0)))
    }
    #expect(batch.lost == 500)
    #expect(batch.probes.count == Batch.capacity)
    // What is in already goes on.
    batch.add(probe("10.0.0.0", 1, at: at(0)))
    #expect(batch.lost == 500)
    for _ in 0..<(Batch.eventCapacity + 7) { batch.add(.started(at: at(0))) }
    #expect(batch.lost == 507)
  }

  @Test func `A flood of invented sources fills its part of the hour, and no probe is lost`() throws {
    try inFolder { folder in
      let book = try Book(folder, size: 1 << 30)
      try book.write([probe("198.51.100.1", 1, at: at(0))])
      let room = JournalWriter.hourRoom / 2 / JournalWriter.newSourceRows
      let all = room + 20_000
      for start in stride(from: 0, to: all, by: 20_000) {
        try book.write(
          (start..<min(start + 20_000, all)).map {
            probe("10.\($0 >> 16 & 255).\($0 >> 8 & 255).\($0 & 255)", 80, at: at(0.1))
          })
      }
      // Somebody known goes on, and a verdict makes somebody known.
      try book.write([
        probe("198.51.100.1", 2, at: at(0.2)), probe("198.51.100.2", 3, at: at(0.2)),
        .verdict(verdict("198.51.100.2", from: at(0.2), to: at(0.2))),
      ])
      try book.maintain(at(2))
      let reader = try book.reader()
      let hour = try #require(try reader.hours(Window(from: at(0), to: at(1))).first)
      #expect(hour.probes == UInt64(all) + 3)
      #expect(hour.sources <= UInt64(room) + 2 && hour.sources > UInt64(room) - 2)
      for address in ["198.51.100.1", "198.51.100.2"] {
        let story = try reader.story(of: IPAddress(address)!, Window(from: at(0), to: at(1)))
        #expect(story.detail.contains { $0.port > 1 }, "\(address)")
      }
      var port80: UInt64 = 0
      try reader.ports(Window(from: at(0), to: at(1))) { _, key, count in if key.port == 80 { port80 += count.probes } }
      #expect(port80 == UInt64(all))
      #expect(try JournalCheck.run(reader).problems == [])
    }
  }

  @Test func `Notes have a room in each hour`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      for start in stride(from: 0, to: JournalWriter.noteRoom + 3_000, by: 1_000) {
        try book.write(
          (start..<(start + 1_000)).map {
            .refused(IPAddress(v4: 0x0a00_0000 + UInt32($0)), because: "a test", at: at(0.1))
          })
      }
      let reader = try book.reader()
      #expect(try reader.lastNote() == Int64(JournalWriter.noteRoom))
      let lost = try reader.losses(Window(from: at(0), to: at(1)))
      #expect(lost.map(\.count) == [3_000] && lost[0].kind == .journal)
    }
  }

  @Test func `A flood of verdicts about floods leaves room for those about scans`() throws {
    var batch = Batch()
    var flood = verdict("10.0.0.1", from: at(0), to: at(0))
    flood.verdictClass = .flood
    for _ in 0..<Batch.eventCapacity { batch.add(.verdict(flood)) }
    #expect(batch.lost == UInt64(Batch.eventCapacity / 2))
    batch.add(.verdict(verdict("10.0.0.2", from: at(0), to: at(0))))
    #expect(batch.lost == UInt64(Batch.eventCapacity / 2))
    try inFolder { folder in
      let book = try Book(folder)
      let room = JournalWriter.scanRoom / 2
      for start in stride(from: 0, to: room + 4_000, by: 4_000) {
        var batch = Batch()
        for number in start..<(start + 4_000) {
          flood.source = IPNetwork(IPAddress(v4: 0x0a00_0000 + UInt32(number)))
          batch.add(.verdict(flood))
        }
        try book.writer.write(batch, now: at(0.1))
      }
      // One that is known already goes on, and a scan is still written down, with its note.
      flood.source = IPNetwork("10.0.0.0")!
      flood.probes = 77
      try book.write([.verdict(flood), .verdict(verdict("192.0.2.7", from: at(0.1), to: at(0.1)))])
      let reader = try book.reader()
      let sent = (room + 4_000 + 3_999) / 4_000 * 4_000
      #expect(try reader.database.number("SELECT count(*) FROM scan") == Int64(room) + 1)
      #expect(try reader.database.number("SELECT count(*) FROM source") == Int64(room) + 1)
      #expect(try reader.database.number("SELECT max(probes) FROM scan") == 77)
      #expect(try reader.newestNotes(1).first?.subject == IPNetwork("192.0.2.7"))
      let lost = try reader.losses(Window(from: at(0), to: at(1)))
      #expect(lost.reduce(0) { $0 + Int($1.count) } == sent - room + room - JournalWriter.noteRoom / 2)
    }
  }

  // MARK: Keeping

  @Test func `Detail is thrown away when its time is over, counts are not`() throws {
    try inFolder { folder in
      let book = try Book(folder, keep: .seconds(2 * 86_400))
      for hour in 0..<120 {
        try book.write([
          probe("10.0.0.\(hour / 24)", 23, at: at(Double(hour) + 0.5)),
          probe("10.0.0.\(hour / 24)", 24, at: at(Double(hour) + 0.5)),
        ])
      }
      try book.write([.verdict(verdict("10.0.0.0", from: at(0), to: at(0.1)))])
      try book.maintain(at(120))
      let reader = try book.reader()
      let (counts, detail) = try reader.beginnings()
      #expect(counts == monday.seconds / 3600)
      #expect(try #require(detail) == monday.seconds / 3600 + 72)
      let all = Window(from: at(0), to: at(120))
      #expect(try reader.hours(all).reduce(0) { $0 + $1.probes } == 240)
      var ports: [UInt16: UInt64] = [:]
      try reader.ports(all) { _, key, count in if let port = key.port { ports[port, default: 0] += count.probes } }
      #expect(ports == [23: 120, 24: 120])
      #expect(try reader.sources(at: IPAddress("10.0.0.0")!).isEmpty)
      #expect(try reader.sources(at: IPAddress("10.0.0.4")!).count == 1)
      #expect(try reader.scans(since: .distantPast).isEmpty)
      #expect(try JournalCheck.run(reader).problems == [])
    }
  }

  @Test func `The size holds: the oldest detail goes first`() throws {
    try inFolder { folder in
      let book = try Book(folder, keep: .seconds(3650 * 86_400), size: 16 << 20)
      for hour in 0..<60 {
        try book.write(
          (0..<6_000).map { probe("10.\(hour).\($0 >> 8).\($0 & 255)", UInt16($0), at: at(Double(hour) + 0.5)) })
        try book.maintain(at(Double(hour) + 0.9))
        #expect(try book.writer.bytesInUse() <= 16 << 20)
      }
      let reader = try book.reader()
      #expect(try reader.size().file <= 16 << 20)
      #expect(try #require(try reader.beginnings().detail) > monday.seconds / 3600 + 5)
      // What is thrown away is still counted.
      #expect(try reader.hours(Window(from: at(0), to: at(61))).reduce(0) { $0 + $1.probes } == 360_000)
      #expect(try JournalCheck.run(reader).problems == [])
    }
  }

  @Test func `A limit that was lowered makes the file smaller`() throws {
    try inFolder { folder in
      do {
        let book = try Book(folder, size: 256 << 20)
        for hour in 0..<24 {
          try book.write(
            (0..<12_000).map { probe("10.\(hour).\($0 >> 8).\($0 & 255)", UInt16($0), at: at(Double(hour) + 0.5)) })
        }
        #expect(try book.reader().size().file > 18 << 20)
      }
      let book = try Book(folder, size: 16 << 20)
      try book.maintain(at(25))
      #expect(try book.reader().size().file <= 16 << 20)
    }
  }
}
