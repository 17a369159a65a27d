import Configuration
import Daemon
import Database
import Detection
import FoundationEssentials
import GeoIP
import Journal
import Platform
import Report
import Wire

/// What the pages show: reads the journal, and asks the running sentry. Changes nothing.
final class Pages {
  let settings: PageSettings
  private var opened: JournalReader?
  let atlas: Atlas
  private var rate = RateHistory()
  private var pulse: LivePulse?
  /// Asked for less often than the pulse: it costs the sentry more.
  private var status: LiveStatus?
  private var statusAt: Int64 = 0
  /// The ports of the last day, which only a commit changes.
  private var ports: (edition: Int64, hour: Int64, lines: [(port: PortName, byHour: [UInt64])])?
  private var notable: (made: Int64, value: Notable)?
  private var lastParts: [String] = []
  /// What takes long to count, by its name.
  private var kept: [String: (made: Int64, page: HTML)] = [:]
  private static let statusPause: Int64 = 4_000_000_000
  private static let keptFor: Int64 = 60_000_000_000

  init(_ settings: PageSettings) {
    self.settings = settings
    atlas = Atlas(
      settings.geoIPFiles.compactMap { path in (try? Files.read(path, limit: 1 << 30)).flatMap { try? GeoDatabase($0) }
      })
  }

  // MARK: Sources of what is shown

  func ask(_ message: ControlMessage) -> ControlReply? {
    try? ControlClient.ask(settings.controlSocket, message, patience: 3)
  }

  func decode<Value: Decodable>(_ message: ControlMessage) -> Value? {
    guard let reply = ask(message), reply.exitCode == 0 else { return nil }
    return try? JSONDecoder().decode(Value.self, from: Data(reply.text.utf8))
  }

  func journal() throws(DatabaseError) -> JournalReader {
    if let opened, !opened.isReplaced { return opened }
    do throws(JournalError) {
      let reader = try JournalReader(path: settings.journalPath)
      // Editions of another file are not ours.
      closeJournal()
      opened = reader
      return reader
    } catch {
      if case .database(let failure) = error { throw failure }
      throw DatabaseError(code: 14, message: "\(error)", subject: settings.journalPath)
    }
  }

  /// Opened anew at the next question: the file may have been replaced.
  func closeJournal() { (opened, ports, notable, kept) = (nil, nil, nil, [:]) }

  /// What takes a second to count is counted once a minute.
  private func keeping(_ name: String, _ make: () throws(DatabaseError) -> HTML) throws(DatabaseError) -> HTML {
    if let known = kept[name], Clock.monotonic - known.made < Self.keptFor { return known.page }
    let page = try make()
    // Names are few, but for the ports, of which a stranger's finger may ask for all.
    if kept.count >= 64 { kept = [:] }
    kept[name] = (Clock.monotonic, page)
    return page
  }

  // MARK: Overview

  /// Looks at the sentry's counts; once a second.
  func beat(_ now: Timestamp) {
    pulse = decode(.pulse)
    rate.add(pulse?.seen, at: Clock.monotonic / 1_000_000_000)
    guard pulse != nil else {
      status = nil
      return
    }
    guard status == nil || Clock.monotonic - statusAt >= Self.statusPause else { return }
    status = decode(.status(json: true))
    statusAt = Clock.monotonic
  }

  private func overview(_ now: Timestamp) throws(DatabaseError) -> Overview {
    let reader = try journal()
    return try reader.snapshot { () throws(DatabaseError) in
      let window = Period.day.window(now: now)
      let since = try reader.beginnings().counts
      let weekAgo = Timestamp(seconds: now.seconds - 8 * 86_400)
      let dayAgo = Timestamp(seconds: now.seconds - 86_400)
      var overview = Overview(
        pulse: pulse, status: status, rate: rate, glance: try reader.glance(now: now, sources: 12, notes: 60),
        trend: try reader.trend(.day, now: now),
        pace: BlockPace(try reader.blocksByHour(since: weekAgo), now: now, since: since, settings.zone), now: now,
        zone: settings.zone)
      overview.losses = try reader.losses(window)
      overview.blocks = try reader.blocks(since: dayAgo, limit: 50).filter { $0.record.since >= dayAgo }
      overview.unblocked = try unblocked(overview, reader)
      overview.notable = try notable(reader, now)
      let edition = try reader.edition()
      if let ports, ports.edition == edition, ports.hour == window.last {
        overview.ports = ports.lines
        return overview
      }
      overview.ports = try reader.portsByHour(window, limit: 12)
      ports = (edition, window.last, overview.ports)
      return overview
    }
  }

  private func notable(_ reader: JournalReader, _ now: Timestamp) throws(DatabaseError) -> Notable {
    if let notable, Clock.monotonic - notable.made < Self.keptFor { return notable.value }
    let dayAgo = Timestamp(seconds: now.seconds - 86_400)
    let value = Notable(
      rises: try reader.risen(now: now, limit: 5), refused: try reader.notes(of: .refused, since: dayAgo, limit: 5),
      cameBack: try reader.blocks(since: dayAgo, limit: 1000).filter(\.cameBack))
    notable = (Clock.monotonic, value)
    return value
  }

  /// Active scanners that proved their address and are not blocked, though nothing says that they must not be.
  private func unblocked(_ overview: Overview, _ reader: JournalReader) throws(DatabaseError) -> [SourceLine] {
    guard let status, overview.answer.isBlocking else { return [] }
    let spared = ((status.never_blocked ?? []).map(\.network) + (status.allowed ?? []).map(\.network)).compactMap {
      IPNetwork($0)
    }
    var result: [SourceLine] = []
    for line in overview.glance.top {
      let source = line.source
      // Between proof and block lies a moment, and the journal is written twice a second.
      guard source.origin == .proven, source.verdict == .scan, !source.isIgnored,
        overview.now - (source.proven ?? source.last) > .seconds(10),
        !spared.contains(where: { $0.contains(source.network) })
      else { continue }
      if try reader.blocks(covering: source.network).isEmpty { result.append(line) }
    }
    return result
  }

  func overviewPage(_ period: Period, _ now: Timestamp) throws(DatabaseError) -> HTML {
    // Told at once what is known only since this request.
    if pulse == nil || status == nil { beat(now) }
    let parts = Dictionary(uniqueKeysWithValues: try overview(now).parts.map { ($0.id.description, $0.html) })
    func part(_ id: String) -> HTML { parts[id] ?? HTML() }
    let trend: HTML
    let heat: HTML
    if period == .day {
      trend = "<div id=\"trend-24h\">\(part("trend-24h"))</div>"
      heat = "<div id=\"heat-24h\">\(part("heat-24h"))</div>"
    } else {
      let reader = try journal()
      trend = try keeping("trend \(period.rawValue)") { () throws(DatabaseError) in
        try reader.snapshot { () throws(DatabaseError) in
          Charts.trend(try reader.trend(period, now: now), settings.zone)
        }
      }
      heat = try keeping("heat \(period.rawValue)") { () throws(DatabaseError) in
        try reader.snapshot { () throws(DatabaseError) in
          Charts.heat(
            try reader.portsByHour(period.window(now: now), limit: 12), period, now: now, settings.zone)
        }
      }
    }
    return """
      <div id="answer">\(part("answer"))</div><div id="state">\(part("state"))</div>
      <div class="figures" id="figures">\(part("figures"))</div>
      <div class="pair"><div><section><h2>Needs attention</h2><div id="attention">\(part("attention"))</div></section>\
      <section><h2>Newest blocks</h2><div id="made">\(part("made"))</div></section></div>\
      <section><h2>New today</h2><div id="fresh">\(part("fresh"))</div></section></div>
      <section><h2>Probes of the last \(period.words)</h2>\(Self.periods("/", "span", period))\(trend)</section>
      <section><h2>Ports of the last \(period.words)</h2>\
      <p class="kicker">The stronger the colour, the more probes. Each cell leads to its hours, each port to its page.</p>\(heat)</section>
      <section><h2>Most active</h2><p class="kicker">In this hour and the one before it.</p><table class="list sources">\
      \(Charts.sourceHead)\
      <tbody id="active">\(part("active"))</tbody></table>
      <form class="row" action="/source" method="get"><label for="address">Look up an address</label>\
      <input id="address" name="address" autocomplete="off" required> <button>Show</button></form></section>
      <section><h2>What happened</h2><div id="events">\(part("events"))</div></section>
      <section><h2>The last five minutes</h2><div id="rate">\(part("rate"))</div></section>
      """
  }

  /// The switch between the spans of time.
  ///
  /// - Parameter query: the address up to the value.
  static func periods(_ path: String, _ query: String, _ current: Period) -> HTML {
    spans("\(path)?\(query)", Period.allCases.map { ($0.rawValue, $0.words) }, current.rawValue)
  }

  private static func spans(
    _ query: String, _ choices: [(value: String, words: String)], _ current: String
  ) -> HTML {
    let links = choices.map { choice -> HTML in
      let mark: HTML = choice.value == current ? " aria-current=\"true\"" : HTML()
      return "<a href=\"\(query)=\(choice.value)\"\(mark)>\(choice.words)</a>"
    }
    return "<nav class=\"spans\" aria-label=\"Span of time\">\(links)</nav>"
  }

  /// The parts of the overview that are not as they were; nil when nothing is new.
  func news(_ now: Timestamp, isForced: Bool = false) throws(DatabaseError) -> String? {
    let parts = try overview(now).parts
    let texts = parts.map(\.html.text)
    // Who has just come is told all; that is no news for the others.
    defer { if !isForced { lastParts = texts } }
    let changed = parts.indices.filter { isForced || lastParts.count != texts.count || texts[$0] != lastParts[$0] }
    guard !changed.isEmpty else { return nil }
    let object = JSON.members(changed.map { (parts[$0].id.description, .string(texts[$0])) })
    return "event: news\ndata: \(object.text)\n\n"
  }

  // MARK: One address, one port, one hour

  func sourcePage(_ address: IPAddress, _ session: Sessions.Session, _ now: Timestamp) throws(DatabaseError) -> HTML {
    let reader = try journal()
    let network = address.usualNetwork
    let (story, neighbours) = try reader.snapshot { () throws(DatabaseError) in
      (
        try reader.story(of: address, Window(last: .seconds(3650 * 86_400), now: now)),
        try reader.sources(in: network, limit: 9)
      )
    }
    var around = ShowText.Surroundings()
    around.live = decode(.status(json: true))
    let blocks: [LiveBlock]? = decode(.blocked)
    around.block = blocks?.first { IPNetwork($0.network)?.contains(address) == true }
    around.place = atlas.place(of: address)
    if around.live != nil {
      let why: LiveWhy? = decode(.why(target: "\(address)", json: true))
      around.why = why?.known
    }
    let dossier = Dossier(
      story: story, around: around, isAnswered: blocks != nil,
      neighbours: neighbours.lines.filter { $0.network != IPNetwork(address) },
      neighbourCount: neighbours.count, session: session, now: now, zone: settings.zone)
    return dossier.html
  }

  func portPage(_ port: PortName, _ period: Period, _ now: Timestamp) throws(DatabaseError) -> HTML {
    let reader = try journal()
    return try keeping("port \(port) \(period.rawValue)") { () throws(DatabaseError) in
      try reader.snapshot { () throws(DatabaseError) in
        let trend = try reader.trend(of: port, period, now: now)
        // A month's detail is too much to read for a page.
        let window = Window(last: .seconds(min(period.hours, 7 * 24) * 3600), now: now)
        let (lines, count) = try reader.sources(of: port, window, limit: 30)
        return PortPage.html(port, trend, lines, count: count, days: window.hours, now: now, settings.zone)
      }
    }
  }

  func hourPage(_ window: Window, _ port: PortName?, _ now: Timestamp) throws(DatabaseError) -> HTML {
    let reader = try journal()
    return try reader.snapshot { () throws(DatabaseError) in
      var page = HourPage(window: window, port: port, now: now, zone: settings.zone)
      page.hours = try reader.hours(window)
      var totals = PortTotals()
      try reader.ports(window) { _, key, count in totals.add(key, count.probes) }
      page.ports = totals.top(20)
      if let port {
        page.probes = totals[port]
        page.sources = try reader.sources(of: port, window, limit: 30).lines
      } else {
        page.probes = page.hours.reduce(0) { $0 + $1.probes }
        page.sources = try reader.activeSources(window, by: .probes, limit: 30)
      }
      page.notes = try reader.notes(in: window, limit: 100)
      return page.html
    }
  }

  // MARK: Blocks

  func blocksPage(_ request: HTTPRequest, _ session: Sessions.Session, _ now: Timestamp) throws(DatabaseError) -> HTML {
    let live: [LiveBlock]? = decode(.blocked)
    let reader = try journal()
    let past = try reader.snapshot { () throws(DatabaseError) in
      try reader.blocks(since: Timestamp(seconds: now.seconds - 30 * 86_400), limit: BlocksPage.mostRead)
    }
    return BlocksPage(
      live: live, past: past, search: String((request.fields["q"] ?? "").prefix(100)),
      page: request.fields["page"].flatMap(Int.init) ?? 1, pastPage: request.fields["past"].flatMap(Int.init) ?? 1,
      session: session, now: now, zone: settings.zone
    ).html
  }

  // MARK: Report

  private static let spans: [(name: String, seconds: Int64)] = [
    ("24h", 86_400), ("7d", 7 * 86_400), ("30d", 30 * 86_400), ("365d", 365 * 86_400),
  ]

  private func summary(_ seconds: Int64, _ now: Timestamp) throws(DatabaseError) -> Summary {
    try Summary.make(
      try journal(), Window(last: .seconds(seconds), now: now), now: now, zone: settings.zone, host: settings.host,
      version: Version.text, atlas: atlas)
  }

  func reportPage(_ since: String, _ now: Timestamp) throws(DatabaseError) -> HTML {
    let span = Self.spans.first { $0.name == since } ?? ("30d", 30 * 86_400)
    let page = try keeping("report \(span.name)") { () throws(DatabaseError) in
      let summary = try summary(span.seconds, now)
      return """
        <h1>\(Prose.title(summary))</h1><p class="span">\(Prose.span(summary))</p><p class="lead">\(Prose.lead(summary))</p>
        \(Sections.figures(summary))\(ReportPage.body(summary) { Template.link($0) })
        """
    }
    return """
      <div class="bar">\(Self.spans("/report?since", Self.spans.map { ($0.name, $0.name) }, span.name))<p>\
      <a href="/card.svg" download="portsentry-week.svg">The week as a picture (SVG)</a></p></div>\(page)
      """
  }

  /// The week as a picture.
  func card(_ now: Timestamp) throws(DatabaseError) -> HTML {
    try keeping("card") { () throws(DatabaseError) in WeekCard.svg(try summary(7 * 86_400, now)) }
  }

  // MARK: Configuration, metrics

  func configurationPage() -> HTML {
    // What the running sentry was told on its command line is only known to itself.
    let live: LivePulse? = decode(.pulse)
    let running = live.map { RunningModes(tcp: $0.tcp_mode, udp: $0.udp_mode) }
    return ConfigurationPage.html(settings.plan(running), isLive: live != nil)
  }

  func metrics(_ now: Timestamp) -> String {
    var text = ask(.metrics)?.text ?? ""
    text += Metrics.text([Metric("up", .gauge, "1 while a sentry answers.", text.isEmpty ? 0 : 1)])
    if let reader = try? journal(), let more = try? reader.dayMetrics(now: now) { text += Metrics.text(more) }
    return text
  }
}
