import Detection
import Journal
import Platform
import Wire

/// `portsentry report --text`: the same as the page, for a terminal or a mail.
package enum ReportText {
  private static let width = 78

  package static func render(_ s: Summary, isPlain: Bool = false) -> String {
    var text = "\(Prose.title(s))\n\(Prose.span(s))\n\n" + wrap(Prose.lead(s)) + "\n"
    func section(_ title: String, _ sentences: [String?], _ body: String = "") {
      text += "\n\(title)\n\(String(repeating: "-", count: title.count))\n"
      let words = sentences.compactMap(\.self).filter { !$0.isEmpty }.joined(separator: " ")
      if !words.isEmpty { text += wrap(words) }
      if !body.isEmpty { text += "\n" + body }
    }
    section("Day by day", [Prose.days(s), Prose.pace(s)], days(s, isPlain))
    section("Ports by hour", [Prose.hours(s), Prose.rhythm(s)], hours(s, isPlain))
    section("Which doors", [Prose.ports(s)], ports(s))
    section("New this week", [Prose.rising(s)], rising(s))
    section("With what", [Prose.tools(s), Prose.techniques(s)], tools(s))
    section("Aimed at us, or passing by?", [Prose.reach(s), Prose.origins(s)], reach(s))
    section("Echoes of attacks elsewhere", [Prose.echoes(s)], echoes(s))
    section("From where", [Prose.places(s)], places(s))
    section("The longest, the slowest, the broadest", [Prose.extremes(s)], extremes(s))
    section("Blocks", [Prose.blocks(s)])
    if s.blocks.fleet > 0 { section("What the fleet saw", [Prose.fleet(s)], fleet(s)) }
    section("How well we saw", [Prose.sight(s)])
    return text
  }

  /// Lines of at most `width` characters, each with its end of line.
  package static func wrap(_ words: String) -> String {
    var text = ""
    var line = ""
    for word in words.splitBytes(" ") {
      if !line.isEmpty, line.count + 1 + word.count > width {
        text += line + "\n"
        line = ""
      }
      line += (line.isEmpty ? "" : " ") + word
    }
    return text + line + "\n"
  }

  private static func days(_ s: Summary, _ isPlain: Bool) -> String {
    guard let first = s.days.first, let last = s.days.last else { return "" }
    let counts = Sparkline.squeeze(s.days.map(\.probes), to: width - 2)
    return
      "  [\(Sparkline.text(counts, isPlain: isPlain))]\n   \(s.zone.shortDate(first.start)) to \(s.zone.shortDate(last.start)),"
      + " the highest is \(Units.count(s.days.map(\.probes).max() ?? 0)) probes\n"
  }

  private static func hours(_ s: Summary, _ isPlain: Bool) -> String {
    guard !s.ports.isEmpty else { return "" }
    var columns = Columns([("", .left), ("", .left), ("", .left)])
    for port in s.ports.prefix(12) {
      let counts = Sparkline.squeeze(port.overTime, to: 56)
      columns.add([
        "\(port.line.port)", "[\(Sparkline.text(counts, isPlain: isPlain))]", PortNames.short(port.line.port) ?? "",
      ])
    }
    return columns.text(indent: 2)
  }

  private static func ports(_ s: Summary) -> String {
    guard !s.ports.isEmpty else { return "" }
    var columns = Columns([
      ("PORT", .left), ("PROBES", .right), ("SHARE", .right), (s.window.hours > 48 ? "SOURCES/DAY" : "SOURCES", .right),
      ("USED FOR", .left),
    ])
    for port in s.ports.prefix(15) {
      columns.add([
        "\(port.line.port)", Units.count(port.line.probes), Units.percent(port.line.probes, of: s.probes),
        port.line.sources.map { Units.count($0) } ?? "-",
        PortNames.short(port.line.port).map { short in
          PortNames.long(port.line.port).map { "\(short), \($0)" } ?? short
        } ?? "",
      ])
    }
    return columns.text(indent: 2)
  }

  private static func rising(_ s: Summary) -> String {
    guard !s.rising.isEmpty else { return "" }
    var columns = Columns([("PORT", .left), ("LAST 7 DAYS", .right), ("BEFORE", .right), ("USED FOR", .left)])
    for rise in s.rising {
      columns.add([
        "\(rise.port)", Units.count(rise.recent), rise.isNew ? "new" : Units.count(Int(rise.before.rounded())),
        PortNames.short(rise.port) ?? "",
      ])
    }
    return columns.text(indent: 2)
  }

  private static func tools(_ s: Summary) -> String {
    guard !s.tools.isEmpty else { return "" }
    return indented(TopTable.tools(Array(s.tools.prefix(8))))
  }

  private static func indented(_ text: String) -> String {
    text.byteLines.map { "  \($0)\n" }.joined()
  }

  private static func reach(_ s: Summary) -> String {
    guard s.sources > 0 else { return "" }
    var columns = Columns([("", .left), ("SOURCES", .right), ("OF PROBES", .right), ("", .left)])
    for entry in s.reach {
      let (short, long) = Prose.reachName(entry.reach)
      columns.add([
        short, Units.percent(entry.sources, of: s.sources), Units.percent(entry.probes, of: s.probes), long,
      ])
    }
    return columns.text(indent: 2)
  }

  private static func echoes(_ s: Summary) -> String {
    guard !s.victims.isEmpty else { return "" }
    var columns = Columns([("VICTIM", .left), ("PACKETS", .right), ("FROM PORT", .left), ("WHEN", .left)])
    for scan in s.victims {
      columns.add([
        "\(scan.source)", Units.count(scan.probes), "\(scan.port)/\(scan.transport.name.lowercased())",
        s.zone.minute(scan.first),
      ])
    }
    return columns.text(indent: 2)
  }

  private static func places(_ s: Summary) -> String {
    guard !s.top.isEmpty else { return "" }
    var columns = Columns([
      ("MOST PROBES", .left), ("PROBES", .right), ("PORTS", .right), ("ORIGIN", .left), ("TOOL", .left),
      ("WHERE", .left),
    ])
    for line in s.top.prefix(8) {
      columns.add([
        "\(line.source.network)", Units.count(line.probes), SourceList.ports(line.source), line.source.origin.name,
        line.source.tool == .unknown ? "-" : line.source.tool.name,
        s.places[line.source.network.address].map(Places.words) ?? "",
      ])
    }
    var text = columns.text(indent: 2) + "\n" + indented(TopTable.networks(Array(s.networks.prefix(8))))
    if !s.countries.isEmpty {
      var columns = Columns([("COUNTRY", .left), ("SOURCES", .right), ("PROBES", .right)])
      for country in s.countries.prefix(8) {
        columns.add([SafeText.line(country.name, limit: 40), Units.count(country.sources), Units.count(country.probes)])
      }
      text += "\n" + columns.text(indent: 2)
    }
    return text
  }

  private static func fleet(_ s: Summary) -> String {
    var columns = Columns([("ADDRESS", .left), ("SINCE", .left), ("SEEN BY", .left)])
    for block in s.blocks.fleetNewest {
      columns.add([
        "\(block.record.network)", s.zone.minute(block.record.since), FleetText.times(block.record.witnesses, s.zone),
      ])
    }
    return columns.text(indent: 2)
  }

  private static func extremes(_ s: Summary) -> String {
    var columns = Columns([("", .left), ("SOURCE", .left), ("", .right), ("WHEN", .left)])
    for scan in s.longest.prefix(3) {
      columns.add(["longest", "\(scan.source)", Term.text(scan.duration), s.zone.minute(scan.first)])
    }
    for scan in s.slowest.prefix(3) {
      columns.add(["slowest", "\(scan.source)", "every \(Term.text(Summary.gap(scan)))", s.zone.minute(scan.first)])
    }
    for scan in s.broadest.prefix(3) {
      columns.add(["broadest", "\(scan.source)", Units.plural(scan.ports, "port"), s.zone.minute(scan.first)])
    }
    return s.longest.isEmpty ? "" : columns.text(indent: 2)
  }
}
