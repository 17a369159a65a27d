import Journal
import Platform
import Wire

/// A picture of a week, to be shown to others: one SVG that needs nothing else. Numbers, ports and tools; no address of anybody.
package enum WeekCard {
  private static let accent: StaticString = "#1f6f78"
  private static let soft: StaticString = "#5d646e"
  private static let serif: StaticString = "Georgia, 'Times New Roman', serif"
  private static let sans: StaticString = "system-ui, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"

  /// - Parameter s: of seven days.
  package static func svg(_ s: Summary) -> HTML {
    """
    <svg xmlns="http://www.w3.org/2000/svg" width="1200" height="630" viewBox="0 0 1200 630" role="img" \
    aria-label="\(Prose.title(s)), \(Prose.span(s))">
    <title>\(Prose.title(s)), \(Prose.span(s))</title>
    <rect width="1200" height="630" fill="#fbfaf7"/><rect width="1200" height="10" fill="\(HTML(stringLiteral: accent))"/>
    \(text(60, 88, 40, "\(Prose.title(s))", isSerif: true, isStrong: true))
    \(text(60, 124, 20, "\(Prose.span(s)): packets to ports with no listening service", isSoft: true))
    \(figures(s))\(days(s))\(ports(s))
    \(text(60, 602, 18, "PortSentry \(s.version)", isSoft: true))
    \(text(1140, 602, 18, tools(s), isSoft: true, anchor: "end"))
    </svg>

    """
  }

  private static func text(
    _ x: Int, _ y: Int, _ size: Int, _ words: String, isSerif: Bool = false, isStrong: Bool = false,
    isSoft: Bool = false,
    anchor: StaticString = "start"
  ) -> HTML {
    """
    <text x="\(x)" y="\(y)" font-size="\(size)" font-family="\(HTML(stringLiteral: isSerif ? serif : sans))" \
    font-weight="\(isStrong ? 600 : 400)" \
    fill="\(HTML(stringLiteral: isSoft ? soft : "#20242a"))" text-anchor="\(HTML(stringLiteral: anchor))">\(words)</text>
    """
  }

  private static func figures(_ s: Summary) -> HTML {
    let cards = [
      (Units.short(s.probes), "probes"), (Units.short(s.sources), "addresses"),
      (Units.short(s.portCount), "ports tried"),
      (Units.short(s.scans[.scan] ?? 0), "scans"), (Units.short(s.blocks.made), "blocks"),
    ]
    var body = HTML()
    for (index, card) in cards.enumerated() {
      let x = 60 + index * 220
      body += text(x, 208, 52, card.0, isSerif: true, isStrong: true) + text(x, 240, 20, card.1, isSoft: true)
    }
    return body
  }

  /// A column for each day.
  private static func days(_ s: Summary) -> HTML {
    let days = s.days.suffix(8)
    let most = Double(max(days.map(\.probes).max() ?? 0, 1))
    let width = 480 / max(days.count, 1)
    let columns = days.enumerated().map { index, day -> HTML in
      let height = day.probes == 0 ? 0 : max(2, Double(day.probes) / most * 200)
      return """
        <rect x="\(60 + index * width)" y="\(530 - height)" width="\(width - 10)" height="\(height)" rx="3" \
        fill="\(HTML(stringLiteral: accent))" \
        fill-opacity="\(day.isWhole ? 1 : 0.45)"/>\
        \(text(60 + index * width + (width - 10) / 2, 556, 14, s.zone.shortDate(day.start), isSoft: true, anchor: "middle"))
        """
    }
    return "\(text(60, 310, 20, "Probes by day", isStrong: true))\(columns)"
  }

  private static func ports(_ s: Summary) -> HTML {
    let ports = s.ports.prefix(6)
    let most = Double(max(ports.first?.line.probes ?? 0, 1))
    let rows = ports.enumerated().map { index, port -> HTML in
      let y = 352 + index * 36
      let name = "\(port.line.port)" + (PortNames.short(port.line.port).map { " \($0)" } ?? "")
      return """
        \(text(640, y, 20, name))<rect x="860" y="\(y - 16)" width="\(Double(port.line.probes) / most * 200)" \
        height="18" rx="3" fill="\(HTML(stringLiteral: accent))"/>\
        \(text(1140, y, 20, Units.percent(port.line.probes, of: s.probes), anchor: "end"))
        """
    }
    return "\(text(640, 310, 20, "Ports most often tried", isStrong: true))\(rows)"
  }

  private static func tools(_ s: Summary) -> String {
    let known = s.tools.filter { $0.tool.family != .connect && $0.tool.family != .unknown }.prefix(3).map(\.tool.name)
    return known.isEmpty ? "" : "Tools: \(known.joined(separator: ", "))"
  }
}
