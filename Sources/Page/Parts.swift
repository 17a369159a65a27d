import Detection
import Journal
import Platform
import Report
import Wire

/// What is worth a look, gathered once a minute.
struct Notable {
  var rises: [Rise] = []
  /// Blocks that were asked for and not made, of 24 hours.
  var refused: [Note] = []
  /// Blocks that ended within 24 hours and whose source came again.
  var cameBack: [PastBlock] = []
}

/// The parts of the overview that change, each by its name in the page. Pure: values in, HTML out.
struct Overview {
  var pulse: LivePulse?
  var status: LiveStatus?
  var rate = RateHistory()
  var glance: Glance
  var trend: Trend
  /// The ports of the last day, by hour.
  var ports: [(port: PortName, byHour: [UInt64])] = []
  var pace: BlockPace
  /// The newest blocks of the last 24 hours.
  var blocks: [PastBlock] = []
  var losses: [(kind: Event.Loss, count: UInt64)] = []
  /// Scanners that proved their address, are active, and are not blocked though the sentry blocks.
  var unblocked: [SourceLine] = []
  var notable = Notable()
  var now: Timestamp
  var zone: Zone

  var answer: Answer { Answer(pulse == nil ? nil : status ?? LiveStatus(), losses: losses, now: now, zone) }

  var parts: [(id: StaticString, html: HTML)] {
    [
      ("live", pulse == nil ? "no sentry" : "live"), ("answer", headline), ("state", state), ("figures", figures),
      ("attention", attention),
      ("made", made), ("fresh", fresh), ("trend-24h", Charts.trend(trend, zone)), ("heat-24h", heat), ("rate", speed),
      ("active", active),
      ("events", Feed.html(glance.newest, zone)),
    ]
  }

  // MARK: The answer

  /// Apart from what changes every second.
  private var headline: HTML {
    let answer = answer
    return "<h1 class=\"answer \(answer.isWell ? "good" : "bad")\">\(answer.headline)</h1>"
  }

  private var state: HTML {
    guard let pulse else { return "<p class=\"span\">Showing stored data.</p>" }
    return """
      <p class="span">Watching \(modes(pulse)) on \(pulse.interfaces.isEmpty ? "no interface" : pulse.interfaces.joined(separator: ", ")) \
      for \(Term.text(now - Timestamp(seconds: pulse.started))). Response: \(pulse.response).</p>\(fleet)
      """
  }

  /// Where this host is of a fleet.
  private var fleet: HTML {
    guard let fleet = status?.fleet else { return HTML() }
    let tone: StaticString = fleet.connected == true ? "span" : "span bad"
    return "<p class=\"\(HTML(stringLiteral: tone))\">Fleet: \(FleetText.line(fleet)).</p>"
  }

  private func modes(_ pulse: LivePulse) -> String {
    [pulse.tcp_mode.map { "TCP (\($0))" }, pulse.udp_mode.map { "UDP (\($0))" }].compactMap(\.self)
      .joined(separator: " and ")
  }

  private var figures: HTML {
    let day = trend.sum
    let hour = glance.hours.last
    let lost = losses.filter { Answer.matters($0.kind) }.reduce(0) { $0 + $1.count }
    var cards: [(value: String, what: String, beside: String)] = [
      (Units.count(pace.today), pace.today == 1 ? "block today" : "blocks today", pace.usualWords ?? ""),
      (pulse.map { Units.count($0.blocks) } ?? "-", "blocked now", ""),
      (
        rate.seconds >= 2 ? Units.rate(rate.sum(of: 60), in: .seconds(min(60, rate.seconds))) : "-",
        "probes, last minute", ""
      ),
    ]
    cards += [
      (Units.short(day), "probes, 24 hours", trend.ghostSum.map { "a week before: \(Units.short($0))" } ?? ""),
      (Units.count(hour?.sources ?? 0), "addresses, this hour", ""),
      (Units.short(lost), "lost, 24 hours", lost == 0 ? "all was recorded" : ""),
    ]
    return "\(cards.map { "<div><b>\($0.value)</b><span>\($0.what)</span><small>\($0.beside)</small></div>" as HTML })"
  }

  // MARK: Two columns

  private var attention: HTML {
    let needs = answer.needs.map { need -> HTML in
      "<li class=\"need\">\(need.text) <span>Run <code>\(need.command)</code></span></li>"
    }
    var looks = unblocked.prefix(5).map { line -> HTML in
      "<li>\(Charts.address(line.source.network)) proved its address, scans, and is not blocked.</li>"
    }
    looks += notable.refused.prefix(5).map { note -> HTML in
      "<li>\(note.subject.map(Charts.address) ?? HTML()) \(EventText.words(note)) <small>\(zone.minute(note.time))</small></li>"
    }
    looks += notable.cameBack.prefix(5).map { block -> HTML in
      "<li>\(Charts.address(block.record.network)) came back after its block had ended.</li>"
    }
    var result: HTML = needs.isEmpty ? "<p>Nothing needs you.</p>" : "<ul class=\"plain\">\(needs)</ul>"
    if !looks.isEmpty { result += "<h3>Worth a look</h3><ul class=\"plain\">\(looks)</ul>" }
    return result
  }

  private var made: HTML {
    let made = blocks.prefix(5).map { block -> HTML in
      "<li>\(Charts.address(block.record.network)) <small>\(zone.minute(block.record.since)): \(block.record.reason)</small></li>"
    }
    if !made.isEmpty { return "<ul class=\"plain\">\(made)</ul>" }
    return answer.isBlocking ? "<p>None yet.</p>" : "<p>None: scans are logged, and nothing is blocked.</p>"
  }

  private var fresh: HTML {
    let newcomers = glance.hours.reduce(0) { $0 + $1.newcomers }
    let rises = notable.rises.map { rise -> HTML in
      "<li>\(Charts.port(rise.port)) \(PortNames.short(rise.port) ?? "") <small>\(rise.words)</small></li>"
    }
    var result: HTML =
      "<p>\(Units.plural(newcomers, "address", "addresses")) came for the first time in 24 hours.</p>"
    if !rises.isEmpty { result += "<h3>Ports that rose</h3><ul class=\"plain\">\(rises)</ul>" }
    return result
  }

  // MARK: Pictures and lists

  private var speed: HTML {
    let columns = 60
    let counts = Array(repeating: UInt64(0), count: max(0, RateHistory.capacity - rate.seconds)) + rate.perSecond
    let values = Sparkline.squeeze(counts, to: columns)
    let most = values.max() ?? 0
    return Charts.columns(
      values.map { (value: $0, title: Units.plural($0, "probe")) }, most: most,
      label: "Probes in the last five minutes",
      marks: ["5 minutes ago", "now"])
  }

  private var heat: HTML {
    Charts.heat(ports, Period.day, now: now, zone)
  }

  private var active: HTML {
    guard !glance.top.isEmpty else {
      return "<tr><td colspan=\"7\">Nobody in this hour and the one before it.</td></tr>"
    }
    return "\(glance.top.map { Charts.row($0, now: now) })"
  }
}

/// What several pages draw.
enum Charts {
  static func address(_ network: IPNetwork) -> HTML {
    guard let link = Template.link(network) else { return "<code>\("\(network)")</code>" }
    return "<a href=\"\(link)\"><code>\("\(network)")</code></a>"
  }

  static func port(_ port: PortName) -> HTML { "<a href=\"\(Template.link(port))\">\("\(port)")</a>" }

  static let sourceHead: HTML = """
    <thead><tr><th scope="col">address</th><th scope="col" class="n">probes</th><th scope="col" class="n">ports</th>\
    <th scope="col" class="late">origin</th>\
    <th scope="col" class="late">verdict</th><th scope="col" class="late">tool</th><th scope="col" class="n">last seen</th></tr></thead>
    """

  /// A source in a list. On a narrow screen what has no column of its own stands below the address.
  static func row(_ line: SourceLine, now: Timestamp) -> HTML {
    let source = line.source
    let name = source.name.map { "<small>\($0)</small>" as HTML } ?? HTML()
    let verdict = source.isIgnored ? "ignored" : source.verdict?.name ?? "-"
    let tool = source.tool == .unknown ? "-" : source.tool.name
    let narrow = [verdict, source.origin.name, tool].filter { !$0.isSameBytes(as: "-") }.joined(separator: ", ")
    return """
      <tr><td>\(address(source.network))\(name)<small class="narrow">\(narrow)</small></td><td class="n">\(Units.count(line.probes))</td>\
      <td class="n">\(SourceList.ports(source))</td><td class="late">\(source.origin.name)</td><td class="late">\(verdict)</td>\
      <td class="late">\(tool)</td><td class="n">\(Units.ago(source.last, now: now))</td></tr>
      """
  }

  static func columns(
    _ values: [(value: UInt64, title: String)], most: UInt64, label: String, marks: [String]
  ) -> HTML {
    """
    <figure class="chart"><div class="scale"><span>\(Units.short(most))</span><span>0</span></div>\
    \(Drawing.columns(values.map { ($0.value, $0.title, false) }, label: label))<div class="dates">\
    \(marks.map { "<span>\($0)</span>" as HTML })</div></figure>
    """
  }

  /// Columns that lead to their hours, with the time before as a line.
  static func trend(_ trend: Trend, _ zone: Zone, port: PortName? = nil) -> HTML {
    typealias Column = (value: UInt64, before: UInt64?, title: String, link: String)
    let columns = trend.columns.map { column -> Column in
      let ghost = column.ghost.map { ", before \(Units.count($0))" } ?? ""
      let time = zone.minute(Timestamp(seconds: column.first * 3600))
      let title = "\(time): \(Units.plural(column.count, "probe"))\(ghost)"
      return (column.count, column.ghost, title, Template.link(hours: column.first...column.last, port))
    }
    let hasGhost = trend.columns.contains { $0.ghost != nil }
    let key: HTML =
      hasGhost
      ? "<p class=\"key\"><span class=\"one\"></span>\(trend.period.words) <span class=\"line\"></span>\(trend.period.ghostWords)</p>"
      : HTML()
    return """
      <figure class="chart"><div class="scale"><span>\(Units.short(trend.most))</span><span>0</span></div>\
      \(Drawing.trend(columns, most: trend.most, label: "Probes in \(trend.period.words)"))<div class="dates">\(marks(trend, zone))</div>\
      \(key)</figure>
      """
  }

  private static func marks(_ trend: Trend, _ zone: Zone) -> HTML {
    guard let first = trend.columns.first?.first, let last = trend.columns.last?.last else { return HTML() }
    func text(_ hour: Int64) -> String {
      let time = Timestamp(seconds: hour * 3600)
      return trend.period == .day ? String(zone.clock(time).prefix(5)) : zone.shortDate(time)
    }
    let marks = [text(first), text((first + last + 1) / 2), "now"].map { "<span>\($0)</span>" as HTML }
    return "\(marks)"
  }

  /// Neighbours added up.
  private static func folded(_ values: [UInt64], _ step: Int) -> [UInt64] {
    stride(from: 0, to: values.count, by: step).map { at in
      values[at..<min(at + step, values.count)].reduce(UInt64(0)) { $0 + $1 }
    }
  }

  /// - Parameter rows: by hour, the last hour of the period last.
  static func heat(
    _ rows: [(port: PortName, byHour: [UInt64])], _ period: Period, now: Timestamp, _ zone: Zone
  ) -> HTML {
    guard !rows.isEmpty else { return "<p>Nothing in \(period.words).</p>" }
    let window = period.window(now: now)
    let step = Int(period.columnHours)
    let sums = rows.map { folded($0.byHour, step) }
    let most = sums.joined().max() ?? 0
    typealias Cell = (value: UInt64, title: String, link: String)
    func cell(_ port: PortName, _ index: Int, _ value: UInt64) -> Cell {
      let first = window.first + Int64(index * step)
      let last = min(first + Int64(step) - 1, window.last)
      let time = zone.minute(Timestamp(seconds: first * 3600))
      return (value, "\(port), \(time): \(Units.plural(value, "probe"))", Template.link(hours: first...last, port))
    }
    var lines = HTML()
    for (row, values) in zip(rows, sums) {
      let cells = values.enumerated().map { cell(row.port, $0.offset, $0.element) }
      lines += """
        <tr><th scope="row">\(port(row.port))<small>\(PortNames.short(row.port) ?? "")</small></th><td>\
        \(Drawing.heatCells(cells, most: most))</td></tr>
        """
    }
    let marks = ["\(period.words) ago", "now"].map { "<span>\($0)</span>" as HTML }
    return """
      <figure class="heatmap"><table><caption class="hidden">Probes by port over \(period.words)</caption>\(lines)\
      <tr class="clock"><td></td><td>\(marks)</td></tr></table>\
      <figcaption class="cell" aria-hidden="true"></figcaption></figure>
      """
  }
}

/// What happened, the newest first. Verdicts and proofs, of which there are many, are folded where several come in a row.
enum Feed {
  /// From so many on.
  private static let foldFrom = 3

  static func html(_ notes: [Note], _ zone: Zone) -> HTML {
    guard !notes.isEmpty else { return "<p>Nothing yet.</p>" }
    var items: [HTML] = []
    var run: [Note] = []
    func close() {
      defer { run = [] }
      guard run.count >= foldFrom, let newest = run.first, let oldest = run.last else {
        items += run.map { item($0, zone) }
        return
      }
      let verdicts = run.count { $0.kind == .verdict }
      let proofs = run.count - verdicts
      let sources = Set(run.compactMap(\.subject)).count
      let what = [
        verdicts > 0 ? Units.plural(verdicts, "verdict") : nil, proofs > 0 ? Units.plural(proofs, "proof") : nil,
      ].compactMap(\.self).joined(separator: ", ")
      items.append(
        """
        <li class="fold"><details id="fold-\(oldest.id)"><summary>\(zone.clock(newest.time)) <b>\
        \(what)</b> of \(Units.plural(sources, "address", "addresses"))</summary>\
        <ul class="feed">\(run.map { item($0, zone) })</ul></details></li>
        """)
    }
    for note in notes {
      if note.kind == .verdict || note.kind == .proven {
        run.append(note)
      } else {
        close()
        items.append(item(note, zone))
      }
    }
    close()
    return "<ul class=\"feed\">\(items)</ul>"
  }

  /// - Parameter own: whose page it is, and who need not be named on it.
  static func item(_ note: Note, _ zone: Zone, own: IPNetwork? = nil) -> HTML {
    let subject = note.subject.map { $0 == own ? HTML() : Charts.address($0) } ?? HTML()
    return """
      <li><span class="when">\(zone.clock(note.time))<small>\(zone.date(note.time))</small></span><span class="kind \(note.kind.name)">\
      \(note.kind.name)</span>\
      <span class="what">\(subject)<small>\(EventText.words(note))</small></span></li>
      """
  }
}
