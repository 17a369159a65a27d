import Detection
import Journal
import Platform
import Report
import Wire

/// The parts of the overview that change, each by its name in the page. Pure: values in, HTML out.
struct Overview {
  var pulse: LivePulse?
  var rate = RateHistory()
  var glance: Glance
  /// The ports of the last day, by hour.
  var ports: [(port: PortName, byHour: [UInt64])] = []
  var now: Timestamp
  var zone: Zone

  var parts: [(id: StaticString, html: HTML)] {
    [
      ("state", state), ("figures", figures), ("rate", speed), ("heat", heat), ("active", active), ("events", events),
    ]
  }

  private var state: HTML {
    guard let pulse else {
      return "<span class=\"bad\">No sentry is running: nothing is watched.</span> What you see is of the past."
    }
    var text: HTML =
      "Watching \(modes(pulse)) on \(pulse.interfaces.joined(separator: ", ")) for \(Term.text(now - Timestamp(seconds: pulse.started))); response: \(pulse.response)."
    if pulse.interfaces.isEmpty { text = "<span class=\"bad\">No interface is up: nothing is seen.</span>" }
    if pulse.lost > 0 { text += " <span class=\"bad\">\(Units.count(pulse.lost)) were lost</span>, see Report." }
    if pulse.journal_failing { text += " <span class=\"bad\">The journal cannot be written</span>, see the log." }
    return text
  }

  private func modes(_ pulse: LivePulse) -> String {
    [pulse.tcp_mode.map { "TCP (\($0))" }, pulse.udp_mode.map { "UDP (\($0))" }].compactMap(\.self)
      .joined(separator: " and ")
  }

  private var figures: HTML {
    let day = glance.hours.reduce(0) { $0 + $1.probes }
    let hour = glance.hours.last
    var cards: [(String, String)] = [
      (
        rate.seconds >= 2 ? Units.rate(rate.sum(of: 60), in: .seconds(min(60, rate.seconds))) : "-",
        "probes, last minute"
      ),
      (Units.count(hour?.probes ?? 0), "probes, this hour"), (Units.count(hour?.sources ?? 0), "addresses, this hour"),
      (Units.short(day), "probes, 24 hours"),
      (Units.short(glance.hours.reduce(0) { $0 + $1.newcomers }), "newcomers, 24 hours"),
    ]
    if let pulse { cards.append((Units.count(pulse.blocks), "shut out now")) }
    return "\(cards.map { "<div><b>\($0.0)</b><span>\($0.1)</span></div>" as HTML })"
  }

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
    guard !ports.isEmpty else { return "<p>Nothing in 24 hours.</p>" }
    return Charts.heat(
      ports.map { ("\($0.port)", PortNames.short($0.port) ?? "", $0.byHour) },
      marks: ["24 hours ago", "12", "now"])
  }

  private var active: HTML {
    guard !glance.top.isEmpty else { return "<tr><td>Nobody in this hour and the one before it.</td></tr>" }
    return "\(glance.top.map(row))"
  }

  private func row(_ line: SourceLine) -> HTML {
    let source = line.source
    let name = source.name.map { "<small>\($0)</small>" as HTML } ?? HTML()
    return """
      <tr><td><a href="\(Template.link(source.network) ?? "/")"><code>\("\(source.network)")</code></a>\(name)</td><td class="n">\(Units.count(line.probes))</td>\
      <td class="n">\(SourceTable.ports(source))</td><td class="late">\(source.origin.name)</td><td class="late">\(source.verdict?.name ?? "-")</td>\
      <td class="late">\(source.tool == .unknown ? "-" : source.tool.name)</td><td class="n">\(Units.ago(source.last, now: now))</td></tr>
      """
  }

  private var events: HTML {
    guard !glance.newest.isEmpty else { return "<tr><td>Nothing yet.</td></tr>" }
    return "\(glance.newest.map { Charts.event($0, zone) })"
  }
}

/// What several pages draw.
enum Charts {
  static func event(_ note: Note, _ zone: Zone) -> HTML {
    let subject = note.subject.map { network -> HTML in
      guard let link = Template.link(network) else { return "<code>\("\(network)")</code>" }
      return "<a href=\"\(link)\"><code>\("\(network)")</code></a>"
    }
    return """
      <tr><td>\(zone.clock(note.time))<small>\(zone.date(note.time))</small></td><td><span class="kind \(note.kind.name)">\(note.kind.name)</span></td>\
      <td>\(subject ?? HTML())<small>\(EventText.words(note))</small></td></tr>
      """
  }

  static func columns(
    _ values: [(value: UInt64, title: String)], most: UInt64, label: String, marks: [String]
  ) -> HTML {
    """
    <figure class="chart"><div class="scale"><span>\(Units.short(most))</span><span>0</span></div>\
    \(Drawing.columns(values.map { ($0.value, $0.title, false) }, label: label))<div class="dates">\(marks.map { "<span>\($0)</span>" as HTML })</div></figure>
    """
  }

  static func heat(_ rows: [(name: String, use: String, values: [UInt64])], marks: [String]) -> HTML {
    let most = rows.flatMap(\.values).max() ?? 0
    let lines = rows.map { row -> HTML in
      "<tr><th scope=\"row\">\(row.name)<small>\(row.use)</small></th><td>\(Drawing.heatRow(row.values, most: most, label: "\(row.name) over time"))</td></tr>"
    }
    return """
      <figure class="heatmap"><table>\(lines)<tr class="clock"><th></th><td>\(marks.map { "<span>\($0)</span>" as HTML })</td></tr></table></figure>
      """
  }
}
