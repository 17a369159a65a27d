import Detection
import Journal
import Platform
import Report
import Wire

/// The page about one port.
enum PortPage {
  /// - Parameters:
  ///   - lines: who touched it most, of `count`, in the newest `days` hours.
  static func html(
    _ port: PortName, _ trend: Trend, _ lines: [SourceLine], count: Int, days hours: Int, now: Timestamp, _ zone: Zone
  ) -> HTML {
    let change =
      trend.ghostSum.map { "\(trend.period.ghostWords): \(Units.count($0))" }
      ?? "nothing is known of \(trend.period.ghostWords)"
    let busiest = trend.columns.filter { $0.count > 0 }.largest(8) { ($1.count, $1.first) < ($0.count, $0.first) }
    let hoursList = busiest.map { column -> HTML in
      """
      <li><a href="\(Template.link(hours: column.first...column.last, port))">\(zone.minute(Timestamp(seconds: column.first * 3600)))</a> \
      \(Units.plural(column.count, "probe"))</li>
      """
    }
    let times: HTML = hoursList.isEmpty ? "<p>None.</p>" : "<ul class=\"plain columns-of\">\(hoursList)</ul>"
    let sources: HTML =
      lines.isEmpty
      ? "<p>Nobody.</p>"
      : """
      <p class="kicker">\(Units.plural(count, "address", "addresses")); those of the most probes.</p>\
      <table class="list sources">\(Charts.sourceHead)<tbody>\(lines.map { Charts.row($0, now: now) })</tbody></table>
      """
    let use =
      PortNames.short(port).map { short in PortNames.long(port).map { "\(short): \($0)" } ?? short } ?? "no common use"
    return """
      <h1>\("\(port)")</h1><p class="span">\(use)</p>
      \(Pages.periods("/port", "port=\(Template.query(port))&span", trend.period))
      <section><h2>Probes of the last \(trend.period.words)</h2><p>\(Units.plural(trend.sum, "probe")); \(change).</p>\
      \(Charts.trend(trend, zone, port: port))</section>
      <section><h2>Busiest times</h2>\(times)</section>
      <section><h2>Addresses of the last \(hours <= 24 ? "24 hours" : "7 days")</h2>\(sources)</section>
      """
  }
}

/// The page about one hour, or some: what a cell of a heat map holds.
struct HourPage {
  /// At most so many hours.
  static let most: Int64 = 24

  var window: Window
  /// Only what touched this port; nil: everything.
  var port: PortName?
  var now: Timestamp
  var zone: Zone
  var hours: [Hour] = []
  var probes: UInt64 = 0
  var ports: [PortLine] = []
  var sources: [SourceLine] = []
  var notes: [Note] = []

  var html: HTML {
    let length = Int64(window.hours)
    let end = min(window.end, max(now, window.start))
    let title = "\(zone.minute(window.start)) to \(String(zone.clock(end).prefix(5))) \(zone.name(at: window.start))"
    let newcomers = hours.reduce(0) { $0 + $1.newcomers }
    func link(_ first: Int64, _ text: StaticString) -> HTML {
      "<a class=\"target\" href=\"\(Template.link(hours: first...(first + length - 1), port))\">\(HTML(stringLiteral: text))</a>"
    }
    let later: HTML = window.end <= now ? link(window.first + length, "Later") : HTML()
    let all: HTML =
      port == nil
      ? HTML()
      : "<a class=\"target\" href=\"\(Template.link(hours: window.first...window.last, nil))\">All ports of this time</a>"
    let words: HTML =
      port.map { "\(Units.plural(probes, "probe")) to \(Charts.port($0))." }
      ?? "\(Units.plural(probes, "probe")), \(Units.plural(newcomers, "address", "addresses")) for the first time."
    let list: HTML =
      sources.isEmpty
      ? "<p>Nobody, or the detail is no longer kept.</p>"
      : "<table class=\"list sources\">\(Charts.sourceHead)<tbody>\(sources.map { Charts.row($0, now: now) })</tbody></table>"
    let rows = ports.map { line -> HTML in
      let name: HTML = line.port.port == nil ? "\("\(line.port)")" : Charts.port(line.port)
      let use = PortNames.short(line.port) ?? ""
      return "<tr><th scope=\"row\">\(name)</th><td>\(use)</td><td class=\"n\">\(Units.count(line.probes))</td></tr>"
    }
    let table: HTML =
      rows.isEmpty
      ? "<p>None.</p>"
      : """
      <table class="list"><thead><tr><th scope="col">port</th><th scope="col">used for</th><th scope="col" class="n">probes</th></tr>\
      </thead><tbody>\(rows)</tbody></table>
      """
    let portList: HTML = port == nil ? "<section><h2>Ports</h2>\(table)</section>" : HTML()
    return """
      <h1>\(title)</h1><p>\(words)</p>
      <nav class="pages" aria-label="Other times">\(link(window.first - length, "Earlier"))\(later)\(all)</nav>
      <section><h2>Addresses</h2>\(list)</section>\(portList)
      <section><h2>What happened</h2>\(Feed.html(notes, zone))</section>
      """
  }
}
