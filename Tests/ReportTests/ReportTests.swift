import Database
import Detection
import Foundation
import FoundationXML
import GeoIP
import Journal
import Platform
import Response
import Simulation
import Testing
import TestSupport
import Wire

@testable import Report

/// A small month, written once.
private let month = Result { () -> Summary in
  try inFolder { folder in
    var settings = Simulation.Settings()
    settings.sources = 3_000
    settings.probes = 40_000
    settings.start = Timestamp(seconds: 1_793_577_600)
    var simulation = Simulation(settings)
    let writer = try JournalWriter(JournalWriter.Settings(path: folder + "/journal.db"))
    var now = settings.start
    var truth: UInt64 = 0
    while let (end, events) = simulation.nextHour() {
      var batch = Batch()
      for event in events {
        batch.add(event)
        if case .probe = event { truth += 1 }
      }
      try writer.write(batch, now: end)
      while try writer.maintain(now: end, mayExpire: false) {}
      now = end
    }
    // The owners of a few addresses have chosen names.
    let reader = try JournalReader(path: folder + "/journal.db")
    now = Timestamp(seconds: now.seconds - 1)
    let window = Window(last: .seconds(30 * 86_400), now: now)
    let top = try reader.sources(window, by: .probes, limit: 12)
    var names = Batch()
    for (line, name) in zip(top, HTMLTests.hostile) { names.add(.named(line.source.network.address, name)) }
    try writer.write(names, now: now)
    var writerOfPlaces = MaxMindWriter()
    let place = writerOfPlaces.write(
      .map([
        ("country", .map([("iso_code", .text("XX")), ("names", .map([("en", .text("<b>Land</b>"))]))])),
        ("autonomous_system_number", .number(64_500, type: 6)),
        ("autonomous_system_organization", .text("<script>evil()</script>")),
      ]))
    writerOfPlaces.add(IPNetwork("240.0.0.0/4")!, value: place)
    let summary = try Summary.make(
      reader, window, now: now, zone: .utc, host: "<i>host</i>", version: "test",
      atlas: Atlas([try GeoDatabase(writerOfPlaces.file)]))
    #expect(summary.probes == truth)
    return summary
  }
}

@Suite struct ReportTests {
  @Test func `The numbers fit each other`() throws {
    let s = try month.get()
    #expect(s.probes > 39_000)
    #expect(s.days.count == 30)
    #expect(s.days.reduce(0) { $0 + $1.probes } == s.probes)
    #expect(s.techniques.reduce(0) { $0 + $1.probes } == s.probes)
    #expect(s.reach.reduce(0) { $0 + $1.sources } == s.sources)
    #expect(s.reach.reduce(0) { $0 + $1.probes } == s.probes)
    #expect(s.origins.reduce(0) { $0 + $1.sources } == s.sources)
    #expect(s.countries.map(\.code) == ["XX"])
    for port in s.ports {
      #expect(port.byDay.reduce(0, +) == port.line.probes && port.overTime.reduce(0, +) == port.line.probes)
    }
    #expect(s.columns.count == 120 && s.columnHours == 6)
    #expect(s.blocks.made >= s.blocks.inForce && s.blocks.cameBack <= s.blocks.ended)
    #expect(s.victimCount > 0 && s.victimsByDay.values.reduce(0, +) == s.victimCount)
    // Out for three hours, blind for forty minutes of thirty days.
    #expect(s.sight.time(.off) == .seconds(3 * 3600))
    #expect(s.sight.time(.blind) == .seconds(2400))
    let share = try #require(s.sight.share)
    #expect(abs(share - (1 - 13_200.0 / (30 * 86_400))) < 0.0001)
    // The hole that became known in the third week.
    #expect(s.rising.contains { $0.port == PortName(PortName.Family.tcp, 9034) })
  }

  @Test func `A page needs nothing else, and nothing foreign in it is markup`() throws {
    let page = ReportPage.html(try month.get()).text
    for forbidden in [
      "<script", "onerror=\"", "<img", "<b>Land", "<i>host", "http://", "https://", "url(", "@import", "javascript:",
      "\u{1b}", "\u{202e}",
    ] {
      #expect(!page.contains(forbidden), "\(forbidden)")
    }
    #expect(page.contains("&lt;script&gt;evil()&lt;/script&gt;"))
    #expect(page.contains("&lt;b&gt;Land&lt;/b&gt;"))
    #expect(page.utf8.count < 250_000)
    // Every picture says what it is.
    let pictures = page.components(separatedBy: "<svg ").dropFirst()
    #expect(pictures.count > 60)
    for picture in pictures {
      let tag = picture.prefix { $0 != ">" }
      #expect(tag.contains("aria-label=\"") || tag.contains("aria-hidden"), "\(tag)")
    }
    // Tags are closed: an XML parser, which forgives nothing, reads the body.
    let start = try #require(page.range(of: "<main>"))
    let end = try #require(page.range(of: "</main>"))
    let body = String(page[start.lowerBound..<end.upperBound])
    let parser = XMLParser(data: Data(body.utf8))
    #expect(
      parser.parse(), "\(String(describing: parser.parserError)) at line \(parser.lineNumber), \(parser.columnNumber)")
  }

  @Test func `Text is plain and no wider than it should be`() throws {
    let text = ReportText.render(try month.get())
    for line in text.split(separator: "\n") {
      for scalar in line.unicodeScalars {
        #expect((0x20...0x7e).contains(scalar.value) || "▁▂▃▄▅▆▇█".unicodeScalars.contains(scalar), "\(line)")
      }
    }
    #expect(text.contains("What knocked on"))
    let plain = ReportText.render(try month.get(), isPlain: true)
    #expect(plain.utf8.allSatisfy { (0x20...0x7e).contains($0) || $0 == 0x0a })
  }

  @Test func `JSON is JSON, with the same numbers`() throws {
    let s = try month.get()
    let data = Data(ReportJSON.value(s).text.utf8)
    let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    #expect((object["probes"] as? NSNumber)?.uint64Value == s.probes)
    #expect((object["days"] as? [Any])?.count == 30)
    #expect((object["countries"] as? [[String: Any]])?.first?["name"] as? String == "<b>Land</b>")
  }

  @Test func `A journal in which there is nothing makes a report of nothing`() throws {
    try inFolder { folder in
      _ = try JournalWriter(JournalWriter.Settings(path: folder + "/journal.db"))
      let reader = try JournalReader(path: folder + "/journal.db")
      let now = Timestamp(seconds: 1_793_577_600)
      let summary = try Summary.make(
        reader, Window(last: .seconds(86_400), now: now), now: now, zone: .local, host: "host", version: "test",
        atlas: Atlas())
      #expect(ReportText.render(summary).contains("No probes."))
      #expect(ReportPage.html(summary).text.contains("No probes."))
      #expect(!ReportJSON.value(summary).text.isEmpty)
    }
  }

  @Test func `What the fleet saw is told with names and times, where it saw something`() throws {
    #expect(try !ReportText.render(month.get()).contains("What the fleet saw"))
    try inFolder { folder in
      let writer = try JournalWriter(JournalWriter.Settings(path: folder + "/journal.db"))
      let begin = Timestamp(seconds: 1_793_577_600)
      var batch = Batch()
      for (number, hosts) in [["web1", "db", "mail"], ["web1", "db"], []].enumerated() {
        let seen = hosts.enumerated().map {
          FleetCause.Witness(
            node: UInt32($0.offset + 1), name: $0.element, at: begin + .seconds(Int64($0.offset)))
        }
        let cause = Grounds(.fleet(FleetCause(.quorum(2), seen)), nil)
        batch.add(
          .blocked(
            Block.Record(
              network: IPNetwork("203.0.113.\(number)")!, since: begin + .seconds(60), until: nil,
              methods: [.nftables], port: 23, transport: .tcp, modeName: hosts.isEmpty ? "atcp" : "fleet",
              reason: "a test", evidence: hosts.isEmpty ? "" : cause.line), repeats: 0))
      }
      try writer.write(batch, now: begin + .seconds(60))
      let now = begin + .seconds(3600)
      let summary = try Summary.make(
        try JournalReader(path: folder + "/journal.db"), Window(last: .seconds(86_400), now: now), now: now, zone: .utc,
        host: "host", version: "test", atlas: Atlas())
      #expect(summary.blocks.made == 3 && summary.blocks.fleet == 2)
      #expect(summary.blocks.byHost.map(\.host) == ["db", "web1", "mail"])
      #expect(summary.blocks.byHost.map(\.blocks) == [2, 2, 1])
      let text = ReportText.render(summary)
      #expect(text.contains("2 of 3 blocks rest on what other hosts of the fleet"))
      #expect(text.contains("web1 2026-11-02 00:00:00, db 2026-11-02 00:00:01, mail 2026-11-02 00:00:02"))
      let page = ReportPage.html(summary).text
      #expect(
        page.contains("<section id=\"fleet\"><h2>What the fleet saw</h2>") && page.contains("mail 2026-11-02 00:00:02"))
      let data = Data(ReportJSON.value(summary).text.utf8)
      let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
      let fleet = try #require(object["fleet"] as? [String: Any])
      #expect((fleet["hosts"] as? [String: Int]) == ["web1": 2, "db": 2, "mail": 1])
      let newest = try #require(
        (fleet["newest"] as? [[String: Any]])?.first { ($0["network"] as? String) == "203.0.113.0" })
      #expect((newest["witnesses"] as? [[String: Any]])?.map { $0["host"] as? String } == ["web1", "db", "mail"])
    }
  }

  @Test func `Sources are sorted by what they are after`() {
    func source(_ ports: Int, _ tool: Tool.Family = .unknown, days: Int64 = 0) -> Source {
      Source(
        id: 1, network: IPNetwork("10.0.0.1")!, first: Timestamp(seconds: 0), last: Timestamp(seconds: days * 86_400),
        ports: ports, tool: Tool(tool))
    }
    #expect(Summary.reach(source(1)) == .passing)
    #expect(Summary.reach(source(3, .nmap)) == .passing)
    #expect(Summary.reach(source(200, .zmap)) == .mapping)
    #expect(Summary.reach(source(200, .connect, days: 20)) == .mapping)
    #expect(Summary.reach(source(200, .connect)) == .aimed)
    #expect(Summary.reach(source(5, .nmap)) == .aimed)
    #expect(Summary.reach(source(8)) == .closer)
  }
}
