import Detection
import GeoIP
import Journal
import Platform
import Wire

/// The parts of a report as HTML: each a picture or a table, and a sentence that says what it shows.
package enum Sections {
  /// - Parameter link: makes the address of a page about a source; nil where there is none, as in a file.
  package typealias Link = @Sendable (IPNetwork) -> String?

  static func section(_ id: StaticString, _ title: StaticString, _ sentences: [String], _ body: HTML) -> HTML {
    let words = sentences.filter { !$0.isEmpty }.map { "<p>\($0)</p>" as HTML }
    return """
      <section id="\(HTML(stringLiteral: id))"><h2>\(HTML(stringLiteral: title))</h2>\(words)\(body)</section>

      """
  }

  static func address(_ network: IPNetwork, _ link: Link) -> HTML {
    guard let target = link(network) else { return "<code>\("\(network)")</code>" }
    return "<a href=\"\(target)\"><code>\("\(network)")</code></a>"
  }

  // MARK: Figures

  package static func figures(_ s: Summary) -> HTML {
    var cards: [(value: String, what: String)] = [
      (Units.short(s.probes), "probes"), (Units.short(s.sources), "addresses"),
      (Units.short(s.portCount), "ports tried"), (Units.short(s.scans[.scan] ?? 0), "scans recognised"),
      (Units.short(s.blocks.made), "blocked"),
    ]
    if let share = s.sight.share { cards.append((Units.percent(share), "of the time watched")) }
    let body = cards.map { "<div><b>\($0.value)</b><span>\($0.what)</span></div>" as HTML }
    return "<div class=\"figures\">\(body)</div>\n"
  }

  // MARK: Over time

  package static func days(_ s: Summary) -> HTML {
    let values = s.days.map { day in
      (
        value: day.probes,
        title:
          "\(s.zone.date(day.start)): \(Units.plural(day.probes, "probe")), \(Units.plural(day.newcomers, "newcomer")), "
          + "\(Units.plural(day.scans, "scan"))"
          + (day.watched < 0.98 ? ", \(Units.percent(day.watched)) of it watched" : ""),
        isMarked: day.watched < 0.98 || !day.isWhole
      )
    }
    let most = s.days.map(\.probes).max() ?? 0
    let body: HTML = """
      <figure class="chart"><div class="scale"><span>\(Units.short(most))</span><span>0</span></div>\
      \(Drawing.columns(values, label: "Probes by day"))\(dates(s))</figure>
      """
    return section("days", "Day by day", [Prose.days(s), Prose.pace(s) ?? ""], body)
  }

  /// The first, the last, and some days between.
  private static func dates(_ s: Summary) -> HTML {
    guard let first = s.days.first, let last = s.days.last, s.days.count > 1 else {
      return "<div class=\"dates\"><span>\(s.days.first.map { s.zone.shortDate($0.start) } ?? "")</span></div>"
    }
    let middle = s.days[s.days.count / 2]
    return
      "<div class=\"dates\"><span>\(s.zone.shortDate(first.start))</span><span>\(s.zone.shortDate(middle.start))</span><span>\(s.zone.shortDate(last.start))</span></div>"
  }

  package static func heat(_ s: Summary) -> HTML {
    let ports = s.ports.prefix(16)
    let most = ports.flatMap(\.overTime).max() ?? 0
    let rows = ports.map { port -> HTML in
      let row = Drawing.heatRow(port.overTime, most: most, label: "\(port.line.port) over time")
      return
        "<tr><th scope=\"row\">\("\(port.line.port)")<small>\(PortNames.short(port.line.port) ?? "")</small></th><td>\(row)</td></tr>"
    }
    let legend = (1...Drawing.heatSteps).map { step -> HTML in
      "<span><svg aria-hidden=\"true\"><rect class=\"h\(step)\" width=\"100%\" height=\"100%\"/></svg>\(Units.short(Drawing.heatFloor(step, of: most)))</span>"
    }
    let rhythm = s.hoursOfDay.enumerated().map { hour, sources in
      (
        value: UInt64((sources * 10).rounded()),
        title: "\(hour):00: \(Units.plural(Int(sources.rounded()), "source")) in the mean", isMarked: false
      )
    }
    let body: HTML = """
      <figure class="heatmap"><table><caption class="hidden">Probes by port over time</caption>\(rows)\
      <tr class="clock"><td></td><td>\(ticks(s))</td></tr></table><figcaption>probes in a column, from \(legend)</figcaption></figure>
      """
    let hours: HTML = """
      <h3>Addresses by hour of the day</h3><p>\(Prose.rhythm(s))</p><figure class="chart small"><div class="scale">\
      <span>\(Units.short(Int(s.hoursOfDay.max() ?? 0)))</span><span>0</span></div>\(Drawing.columns(Array(rhythm), label: "Addresses by hour of the day"))\
      <div class="dates"><span>0:00</span><span>6:00</span><span>12:00</span><span>18:00</span><span>24:00</span></div></figure>
      """
    return section(
      "hours", "Ports by hour", [Prose.hours(s)],
      s.ports.isEmpty ? HTML() : body + (s.days.count > 2 ? hours : HTML()))
  }

  /// Some moments of the heat map's columns: days, or hours where it is short.
  private static func ticks(_ s: Summary) -> HTML {
    guard let first = s.columns.first, let last = s.columns.last else { return HTML() }
    let end = last + .seconds(s.columnHours * 3600)
    let isShort = s.columnHours == 1
    let marks = (0...4).map { part -> HTML in
      let time = Timestamp(nanoseconds: first.nanoseconds + (end.nanoseconds - first.nanoseconds) / 4 * Int64(part))
      return "<span>\(isShort ? String(s.zone.clock(time).prefix(5)) : s.zone.shortDate(time))</span>"
    }
    return "\(marks)"
  }

  // MARK: Ports

  package static func ports(_ s: Summary) -> HTML {
    let most = Double(s.ports.first?.line.probes ?? 0)
    let isPerDay = s.window.hours > 48
    let rows = s.ports.map { port -> HTML in
      """
      <tr><th scope="row">\("\(port.line.port)")</th><td class="use">\(PortNames.short(port.line.port) ?? "")\
      <small>\(PortNames.long(port.line.port) ?? "")</small></td><td class="wide">\(Drawing.bar(Double(port.line.probes), of: most))</td>\
      <td class="n">\(Units.short(port.line.probes))</td><td class="n">\(Units.percent(port.line.probes, of: s.probes))</td>\
      <td class="n late">\(port.line.sources.map { Units.short($0) } ?? "-")</td>\
      <td class="late">\(Drawing.spark(port.byDay, label: "\(port.line.port) by day"))</td></tr>
      """
    }
    let body: HTML = """
      <table class="list"><thead><tr><th>port</th><th>used for</th><td class="wide"></td><th class="n">probes</th><th class="n">share</th>\
      <th class="n late">\(isPerDay ? "sources a day" : "sources")</th><th class="late">by day</th></tr></thead><tbody>\(rows)</tbody></table>
      """
    return section("ports", "Which doors", [Prose.ports(s)], s.ports.isEmpty ? HTML() : body)
  }

  package static func rising(_ s: Summary) -> HTML {
    let rows = s.rising.map { rise -> HTML in
      let factor: HTML = rise.isNew ? "new" : "× \(Units.tenths(Double(rise.recent) / max(rise.before, 0.01)))"
      return """
        <tr><th scope="row">\("\(rise.port)")</th><td class="use">\(PortNames.short(rise.port) ?? "")<small>\(PortNames.long(rise.port) ?? "")</small></td>\
        <td class="n">\(Units.short(rise.recent))</td><td class="n"><b>\(factor)</b></td>\
        <td>\(Drawing.spark(rise.byDay, label: "\(rise.port) by day"))</td></tr>
        """
    }
    let body: HTML = """
      <table class="list"><thead><tr><th>port</th><th>used for</th><th class="n">7 days</th><th class="n">change</th>\
      <th>by day</th></tr></thead><tbody>\(rows)</tbody></table>
      """
    return section("rising", "New this week", [Prose.rising(s)], s.rising.isEmpty ? HTML() : body)
  }

  // MARK: How

  package static func tools(_ s: Summary) -> HTML {
    let tools = bars(
      s.tools.prefix(10).map { ($0.tool.name, HTML(), Double($0.sources), "\(Units.plural($0.sources, "source"))") })
    let techniques = bars(
      s.techniques.prefix(8).map {
        ($0.technique.name, HTML(), Double($0.probes), Units.percent($0.probes, of: s.probes))
      })
    let body: HTML = """
      <div class="pair"><div><h3>Tools, by sources</h3>\(tools)</div><div><h3>Techniques, by probes</h3>\(techniques)\
      <p>\(Prose.techniques(s))</p></div></div>
      """
    return section("tools", "With what", [Prose.tools(s)], body)
  }

  /// Names with bars.
  ///
  /// - Parameter isTall: on a phone the bar goes below its name, which is long.
  static func bars(_ rows: [(name: String, more: HTML, value: Double, label: String)], isTall: Bool = false) -> HTML {
    let most = rows.map(\.value).max() ?? 0
    let lines = rows.map { row -> HTML in
      "<tr><th scope=\"row\">\(row.name)\(row.more)</th><td class=\"wide\">\(Drawing.bar(row.value, of: most))</td><td class=\"n\">\(row.label)</td></tr>"
    }
    return "<table class=\"bars\(isTall ? " tall" as HTML : HTML())\">\(lines)</table>"
  }

  package static func reach(_ s: Summary) -> HTML {
    let rows = s.reach.map { entry -> HTML in
      let (short, long) = Prose.reachName(entry.reach)
      return """
        <tr><th scope="row">\(short)<small>\(long)</small></th><td class="wide">\(Drawing.bar(Double(entry.sources), of: Double(s.sources)))\
        \(Drawing.bar(Double(entry.probes), of: Double(s.probes), "bar second"))</td>\
        <td class="n">\(Units.percent(entry.sources, of: s.sources))<small>\(Units.percent(entry.probes, of: s.probes))</small></td></tr>
        """
    }
    let body: HTML = """
      <table class="bars tall">\(rows)</table><p class="key"><span class="one"></span>of the sources <span class="two"></span>of the probes</p>\
      <p>\(Prose.origins(s))</p>
      """
    return section("reach", "Aimed at us, or passing by?", [Prose.reach(s)], s.sources > 0 ? body : HTML())
  }

  // MARK: Echoes

  package static func echoes(_ s: Summary) -> HTML {
    guard s.victimCount > 0 else { return section("echoes", "Echoes of attacks elsewhere", [Prose.echoes(s)], HTML()) }
    let values = s.days.map { day in
      let count = UInt64(s.victimsByDay[day.day] ?? 0)
      return (value: count, title: "\(s.zone.date(day.start)): \(Units.plural(count, "victim"))", isMarked: false)
    }
    let ports = bars(
      s.victimPorts.map {
        ("\($0.port)", "<small>\(PortNames.short($0.port) ?? "")</small>", Double($0.victims), Units.count($0.victims))
      })
    let most = values.map(\.value).max() ?? 0
    let body: HTML = """
      <div class="pair"><div><h3>Victims, by day</h3><figure class="chart small"><div class="scale"><span>\(Units.short(most))</span><span>0</span></div>\
      \(Drawing.columns(values, label: "Victims by day"))\(dates(s))</figure></div><div><h3>What was attacked there</h3>\(ports)</div></div>
      """
    return section("echoes", "Echoes of attacks elsewhere", [Prose.echoes(s)], body)
  }

  // MARK: Who

  package static func sources(_ s: Summary, _ link: Link = { _ in nil }) -> HTML {
    let rows = s.top.map { line -> HTML in
      let source = line.source
      let place = s.places[source.network.address].map(Places.words) ?? ""
      let name = source.name.map { "<small>\($0)</small>" as HTML } ?? HTML()
      return """
        <tr><td>\(address(source.network, link))\(name)<small>\(place)</small></td><td class="n">\(Units.short(line.probes))</td>\
        <td class="n">\(SourceList.ports(source))</td><td class="late">\(source.origin.name)</td>\
        <td class="late">\(source.tool == .unknown ? "-" : source.tool.name)</td><td class="n late">\(s.zone.minute(source.last))</td></tr>
        """
    }
    let most = Double(s.networks.first?.sources ?? 0)
    let networks = s.networks.map { line -> HTML in
      let place = s.places[line.network.address].map(Places.words) ?? ""
      return """
        <tr><th scope="row"><code>\("\(line.network)")</code><small>\(place)</small></th><td class="wide">\(Drawing.bar(Double(line.sources), of: most))</td>\
        <td class="n">\(Units.count(line.sources))</td></tr>
        """
    }
    let countries = bars(
      s.countries.map {
        (
          "\(SafeText.line($0.name, limit: 40))", HTML(), Double($0.sources),
          Units.percent($0.sources, of: max(s.sources, 1))
        )
      })
    let systems = bars(
      s.systems.map {
        ("AS\($0.number) \(SafeText.line($0.name, limit: 32))", HTML(), Double($0.sources), Units.count($0.sources))
      })
    var body: HTML = """
      <h3>Most probes</h3><table class="list"><thead><tr><th>address</th><th class="n">probes</th><th class="n">ports</th><th class="late">origin</th>\
      <th class="late">tool</th><th class="n late">last seen</th></tr></thead><tbody>\(rows)</tbody></table>\
      <div class="pair"><div><h3>Networks, by sources</h3><table class="bars">\(networks)</table></div>
      """
    if !s.countries.isEmpty {
      body += "<div><h3>Countries, by sources</h3>\(countries)</div>"
    } else if !s.systems.isEmpty {
      body += "<div><h3>Whose networks, by sources</h3>\(systems)</div>"
    }
    body += "</div>"
    if s.countries.isEmpty, s.systems.isEmpty {
      body = """
        <h3>Most probes</h3><table class="list"><thead><tr><th>address</th><th class="n">probes</th><th class="n">ports</th><th class="late">origin</th>\
        <th class="late">tool</th><th class="n late">last seen</th></tr></thead><tbody>\(rows)</tbody></table>\
        <h3>Networks, by sources</h3><table class="bars">\(networks)</table>
        """
    }
    if !s.countries.isEmpty, !s.systems.isEmpty { body += "<h3>Whose networks, by sources</h3>\(systems)" }
    return section("sources", "From where", [Prose.places(s)], s.top.isEmpty ? HTML() : body)
  }

  package static func extremes(_ s: Summary, _ link: Link = { _ in nil }) -> HTML {
    func table(_ title: StaticString, _ scans: [Scan], _ what: (Scan) -> String) -> HTML {
      guard !scans.isEmpty else { return HTML() }
      let rows = scans.map { scan -> HTML in
        "<tr><td>\(address(scan.source, link))<small>\(scan.kind.name)\(scan.tool == .unknown ? "" : ", \(scan.tool.name)"), \(s.zone.shortDate(scan.first))</small></td><td class=\"n\">\(what(scan))</td></tr>"
      }
      return "<div><h3>\(HTML(stringLiteral: title))</h3><table class=\"list\">\(rows)</table></div>"
    }
    let body: HTML = """
      <div class="three">\(table("Longest", s.longest) { Term.text($0.duration) })\
      \(table("Slowest", s.slowest) { "every \(Term.text(Summary.gap($0)))" })\
      \(table("Broadest", s.broadest) { Units.plural($0.ports, "port") })</div>
      """
    return section(
      "extremes", "The longest, the slowest, the broadest", [Prose.extremes(s)], s.longest.isEmpty ? HTML() : body)
  }

  package static func blocks(_ s: Summary, _ link: Link = { _ in nil }) -> HTML {
    let b = s.blocks
    guard b.made + b.inForce + b.ended > 0 else { return section("blocks", "Blocks", [Prose.blocks(s)], HTML()) }
    let steps = bars(
      [
        ("made", HTML(), Double(b.made), Units.count(b.made)),
        ("went on knocking", "<small>for more than a minute</small>", Double(b.wentOn), Units.count(b.wentOn)),
        ("ended", HTML(), Double(b.ended), Units.count(b.ended)),
        ("came back", "<small>after the end</small>", Double(b.cameBack), Units.count(b.cameBack)),
      ], isTall: true)
    let rows = b.newest.prefix(8).map { block -> HTML in
      let state = block.ended == nil ? "in force" : block.cameBack ? "came back" : "over"
      return """
        <tr><td>\(address(block.record.network, link))<small>\(block.record.reason)</small></td><td class="n">\(s.zone.shortDate(block.record.since)) \(s.zone.clock(block.record.since))\
        <small>\(state)</small></td></tr>
        """
    }
    let body: HTML = """
      <div class="pair"><div><h3>What became of the blocks</h3>\(steps)</div><div><h3>Newest</h3><table class="list">\(rows)</table></div></div>
      """
    return section("blocks", "Blocks", [Prose.blocks(s)], body)
  }

  package static func sight(_ s: Summary) -> HTML {
    guard let first = s.sight.spans.first?.start, let last = s.sight.spans.last?.end, first < last else {
      return section("sight", "How well we saw", [Prose.sight(s)], HTML())
    }
    let whole = Double((last - first).wholeNanoseconds)
    let spans = s.sight.spans.map { span in
      let kind: StaticString = span.state == .watched ? "watched" : span.state == .blind ? "blind" : "off"
      let what = span.state == .watched ? "watched" : span.state == .blind ? "no interface was up" : "no sentry ran"
      return (
        start: Double((span.start - first).wholeNanoseconds) / whole * 100,
        end: Double((span.end - first).wholeNanoseconds) / whole * 100, kind: kind,
        title: "\(what) from \(s.zone.minute(span.start)) to \(s.zone.minute(span.end))"
      )
    }
    let body: HTML = """
      <figure class="chart strip">\(Drawing.strip(spans, label: "When a sentry watched"))<div class="dates"><span>\(s.zone.shortDate(first))</span>\
      <span>\(s.zone.shortDate(last))</span></div></figure><p class="key"><span class="watched"></span>watched <span class="blind"></span>no interface up \
      <span class="off"></span>no sentry ran</p>
      """
    return section("sight", "How well we saw", [Prose.sight(s)], body)
  }
}
