import Detection
import Journal
import Platform
import Wire

/// Lists of sources.
package enum SourceList {
  /// - Parameters:
  ///   - isBrief: without the columns that only a list of its own has room for.
  ///   - width: columns of the terminal; FIRST SEEN, then the last columns of the table, are left out where they find no room.
  ///   - country: where an address is, if that is known.
  package static func text(
    _ lines: [SourceLine], now: Timestamp, _ zone: Zone, isBrief: Bool = false, indent: Int = 0, width: Int? = nil,
    country: @escaping (IPAddress) -> String? = { _ in nil }
  ) -> String {
    typealias Column = (title: String, side: Columns.Side, cell: (SourceLine) -> String)
    var chosen: [Column] = [
      ("ADDRESS", .left, { "\($0.source.network)" }), ("PROBES", .right, { Units.count($0.probes) }),
      ("PORTS", .right, { ports($0.source) }), ("LAST SEEN", .right, { Units.ago($0.source.last, now: now) }),
    ]
    if !isBrief { chosen.append(("FIRST SEEN", .left, { zone.minute($0.source.first) })) }
    chosen.append(("ORIGIN", .left, { $0.source.origin.name }))
    chosen.append(("VERDICT", .left, { verdict($0.source) }))
    chosen.append(("TOOL", .left, { $0.source.tool == .unknown ? "-" : $0.source.tool.name }))
    if lines.contains(where: { country($0.source.network.address) != nil }) {
      chosen.append(("WHERE", .left, { SafeText.line(country($0.source.network.address) ?? "-", limit: 24) }))
    }
    if !isBrief {
      chosen.append(("TECHNIQUES", .left, { $0.source.techniques.techniques.map(\.name).joined(separator: ",") }))
    }
    if lines.contains(where: { $0.source.name != nil }) {
      chosen.append(("NAME", .left, { SafeText.line($0.source.name ?? "", limit: 60) }))
    }
    while true {
      var columns = Columns(chosen.map { ($0.title, $0.side) })
      for line in lines { columns.add(chosen.map { $0.cell(line) }) }
      let text = columns.text(indent: indent)
      // The address and how often it came stay in any case.
      guard let width, chosen.count > 2, text.byteLines.contains(where: { $0.unicodeScalars.count > width }) else {
        return text
      }
      chosen.remove(at: chosen.firstIndex { $0.title == "FIRST SEEN" } ?? chosen.count - 1)
    }
  }

  /// `12`, `~40`, `>250`: beyond some ten it is an estimate.
  package static func ports(_ source: Source) -> String {
    source.ports >= PortBits.mostCounted
      ? ">250" : source.ports > 8 ? "~\(source.ports)" : String(source.ports)
  }

  static func verdict(_ source: Source) -> String { source.isIgnored ? "ignored" : source.verdict?.name ?? "-" }

  package static func json(_ line: SourceLine, country: (IPAddress) -> String? = { _ in nil }) -> JSON {
    let source = line.source
    return .object([
      "address": .string("\(source.network)"), "probes": JSON(line.probes), "probes_ever": JSON(source.probes),
      "ports": source.ports >= PortBits.mostCounted ? .null : JSON(source.ports),
      "ports_estimated": .bool(source.ports > 8),
      "first": JSON(source.first.seconds), "last": JSON(source.last.seconds),
      "techniques": .array(source.techniques.techniques.map { .string($0.name) }),
      "origin": .string(source.origin.name),
      "proof": JSON(source.proof?.name), "verdict": JSON(source.verdict?.name), "tool": .string(source.tool.name),
      "target": JSON(source.target?.description), "ignored": .bool(source.isIgnored), "name": JSON(source.name),
      "country": JSON(country(source.network.address)),
    ])
  }
}

/// Lists of ports, networks, tools, techniques.
package enum TopTable {
  package static func ports(_ lines: [PortLine], _ count: SourceCount, all: UInt64) -> String {
    var columns = Columns([
      ("PORT", .left), ("PROBES", .right), ("SHARE", .right), (count == .perDay ? "SOURCES/DAY" : "SOURCES", .right),
      ("TECHNIQUES", .left), ("USED FOR", .left),
    ])
    for line in lines {
      columns.add([
        "\(line.port)", Units.count(line.probes), Units.percent(line.probes, of: all),
        line.sources.map { Units.count($0) } ?? "-", line.techniques.techniques.map(\.name).joined(separator: ","),
        PortNames.short(line.port).map { short in PortNames.long(line.port).map { "\(short), \($0)" } ?? short } ?? "",
      ])
    }
    return columns.text()
  }

  package static func json(_ line: PortLine, _ count: SourceCount) -> JSON {
    .object([
      "protocol": .string("\(line.port.family)"), "port": line.port.port.map { JSON($0) } ?? .null,
      "probes": JSON(line.probes),
      count == .perDay ? "sources_a_day" : "sources": line.sources.map { JSON($0) } ?? .null,
      "techniques": .array(line.techniques.techniques.map { .string($0.name) }),
      "used_for": JSON(PortNames.short(line.port)),
    ])
  }

  package static func networks(_ lines: [NetworkLine], country: (IPAddress) -> String? = { _ in nil }) -> String {
    let countries = lines.map { country($0.network.address) }
    let hasCountries = countries.contains { $0 != nil }
    var columns = Columns(
      [("NETWORK", .left), ("SOURCES", .right), ("PROBES", .right)] + (hasCountries ? [("WHERE", .left)] : []))
    for (line, country) in zip(lines, countries) {
      columns.add(
        ["\(line.network)", Units.count(line.sources), Units.count(line.probes)]
          + (hasCountries ? [SafeText.line(country ?? "-", limit: 60)] : []))
    }
    return columns.text()
  }

  package static func json(_ line: NetworkLine, country: (IPAddress) -> String? = { _ in nil }) -> JSON {
    .object([
      "network": .string("\(line.network)"), "sources": JSON(line.sources), "probes": JSON(line.probes),
      "country": JSON(country(line.network.address)),
    ])
  }

  package static func countries(_ lines: [CountryLine]) -> String {
    var columns = Columns([("COUNTRY", .left), ("SOURCES", .right), ("PROBES", .right)])
    for line in lines {
      columns.add([SafeText.line(line.country, limit: 60), Units.count(line.sources), Units.count(line.probes)])
    }
    return columns.text()
  }

  package static func json(_ line: CountryLine) -> JSON {
    .object(["country": .string(line.country), "sources": JSON(line.sources), "probes": JSON(line.probes)])
  }

  package static func tools(_ lines: [ToolLine]) -> String {
    var columns = Columns([("TOOL", .left), ("SOURCES", .right), ("SCANS", .right), ("PROBES", .right)])
    for line in lines {
      columns.add([line.tool.name, Units.count(line.sources), Units.count(line.scans), Units.count(line.probes)])
    }
    return columns.text()
  }

  package static func json(_ line: ToolLine) -> JSON {
    .object([
      "tool": .string(line.tool.name), "sources": JSON(line.sources), "scans": JSON(line.scans),
      "probes": JSON(line.probes),
    ])
  }
}
