import Journal
import Platform
import Wire

/// `portsentry notify --digest`: a day or a week in a message. The first line is its subject and has the numbers; all of it is short
/// enough for every service (Discord takes 2,000 characters).
package enum DigestText {
  private static let mostBlocks = 12
  private static let mostPorts = 8
  private static let limit = 1_800

  /// - Parameter span: `day`, `week`.
  package static func make(_ s: Summary, span: String) -> String {
    let scanners = s.scans[.scan] ?? 0
    var lines = [
      "\(Units.plural(s.blocks.made, "block")), \(Units.plural(scanners, "scanner")), \(Units.plural(s.probes, "probe")) from "
        + "\(Units.plural(s.sources, "address", "addresses")) in the last \(span)"
    ]
    if let wrong = shortfall(s) { lines += ["", wrong] }
    if s.probes > 0 { lines += ["", "Ports: " + ports(s)] }
    if !s.rising.isEmpty {
      let rising = s.rising.prefix(5).map { "\($0.port) (\($0.isNew ? "new" : "\(Units.count($0.recent)) this week"))" }
      lines.append("Rising: " + rising.joined(separator: ", "))
    }
    if s.blocks.made > 0 {
      lines += ["", "Blocked, newest first (\(Units.count(s.blocks.inForce)) in force):"]
      lines += s.blocks.newest.prefix(mostBlocks).map { block in
        "  \(block.record.network)"
          + (block.repeats > 0 ? ", for the \(EventText.ordinal(block.repeats + 1)) time" : "")
          + ": \(block.record.reason)"
      }
      if s.blocks.made > mostBlocks { lines.append("  and \(Units.count(s.blocks.made - mostBlocks)) more") }
    }
    return fit(lines.map { SafeText.line($0, limit: 200) })
  }

  /// What was not seen or not kept; nil when all was.
  private static func shortfall(_ s: Summary) -> String? {
    var parts = s.losses.map { "\(Units.count($0.count)) \(EventText.lost($0.kind.name))" }
    let blind = s.sight.time(.blind) + s.sight.time(.off)
    if blind >= .seconds(60) { parts.append("not watching for \(Term.text(blind))") }
    return parts.isEmpty ? nil : "Incomplete: " + parts.joined(separator: "; ")
  }

  private static func ports(_ s: Summary) -> String {
    s.ports.prefix(mostPorts).map { port in
      let name = PortNames.short(port.line.port).map { " \($0)" } ?? ""
      return "\(port.line.port)\(name) \(Units.percent(port.line.probes, of: s.probes))"
    }.joined(separator: ", ")
  }

  /// Whole lines up to the limit.
  private static func fit(_ lines: [String]) -> String {
    var text = ""
    for line in lines {
      guard text.utf8.count + line.utf8.count < limit else { return text + "..." }
      text += (text.isEmpty ? "" : "\n") + line
    }
    return text
  }
}
