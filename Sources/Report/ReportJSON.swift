import Detection
import Journal
import Platform
import Wire

/// `portsentry report --json`: what the page tells, as numbers. Times are seconds since 1970.
package enum ReportJSON {
  package static func value(_ s: Summary) -> JSON {
    .object([
      "shape": 1, "host": .string(s.host), "version": .string(s.version), "made": JSON(s.now.seconds),
      "from": JSON(max(s.window.start, s.since ?? s.window.start).seconds),
      "to": JSON(min(s.now, s.window.end).seconds),
      "probes": JSON(s.probes), "ignored_probes": JSON(s.ignored), "sources": JSON(s.sources),
      "newcomers": JSON(s.newcomers), "distinct_ports": JSON(s.portCount),
      "days": .array(
        s.days.map {
          .object([
            "date": .string(s.zone.date($0.start)), "probes": JSON($0.probes), "newcomers": JSON($0.newcomers),
            "scans": JSON($0.scans), "blocks": JSON($0.blocks), "watched": .decimal($0.watched),
          ])
        }),
      "sources_by_hour_of_day": .array(s.hoursOfDay.map { .decimal($0) }),
      "columns": .object([
        "start": s.columns.first.map { JSON($0.seconds) } ?? .null, "seconds": JSON(s.columnHours * 3600),
      ]),
      "ports": .array(
        s.ports.map { port in
          .members(
            members(TopTable.json(port.line, s.window.hours > 48 ? .perDay : .inWindow)) + [
              ("by_column", .array(port.overTime.map { JSON($0) })), ("by_day", .array(port.byDay.map { JSON($0) })),
            ])
        }),
      "rising": .array(
        s.rising.map {
          .object([
            "protocol": .string("\($0.port.family)"), "port": $0.port.port.map { JSON($0) } ?? .null,
            "last_7_days": JSON($0.recent), "before": .decimal($0.before),
          ])
        }),
      "probes_a_day": s.pace.map { .object(["last_7_days": .decimal($0.recent), "before": .decimal($0.before)]) }
        ?? .null,
      "techniques": .members(s.techniques.map { ($0.technique.name, JSON($0.probes)) }),
      "tools": .array(s.tools.map { TopTable.json($0) }),
      "scans": .members(Verdict.Class.allCases.map { ($0.name, JSON(s.scans[$0] ?? 0)) }),
      "kinds": .members(s.kinds.map { ($0.kind.name, JSON($0.count)) }),
      "origins": .members(s.origins.map { ($0.origin.name, JSON($0.sources)) }),
      "reach": .members(
        s.reach.map { ("\($0.reach)", .object(["sources": JSON($0.sources), "probes": JSON($0.probes)])) }),
      "top_sources": .array(s.top.map { line in SourceList.json(line) { s.places[$0]?.country } }),
      "networks": .array(s.networks.map { line in TopTable.json(line) { s.places[$0]?.country } }),
      "countries": .array(
        s.countries.map {
          .object([
            "code": .string($0.code), "name": .string($0.name), "sources": JSON($0.sources), "probes": JSON($0.probes),
          ])
        }),
      "systems": .array(
        s.systems.map {
          .object([
            "number": JSON($0.number), "name": .string($0.name), "sources": JSON($0.sources), "probes": JSON($0.probes),
          ])
        }),
      "longest": .array(s.longest.map(EventText.json)), "slowest": .array(s.slowest.map(EventText.json)),
      "broadest": .array(s.broadest.map(EventText.json)),
      "backscatter": .object([
        "victims": JSON(s.victimCount),
        "ports": .members(s.victimPorts.map { ("\($0.port)", JSON($0.victims)) }),
        "largest": .array(s.victims.map(EventText.json)),
      ]),
      "blocks": .object([
        "made": JSON(s.blocks.made), "in_force": JSON(s.blocks.inForce), "ended": JSON(s.blocks.ended),
        "went_on": JSON(s.blocks.wentOn), "came_back": JSON(s.blocks.cameBack), "repeated": JSON(s.blocks.repeated),
        "newest": .array(s.blocks.newest.map(EventText.json)),
      ]),
      "fleet": .object([
        "blocks": JSON(s.blocks.fleet),
        "hosts": .members(s.blocks.byHost.map { ($0.host, JSON($0.blocks)) }),
        "newest": .array(s.blocks.fleetNewest.map(EventText.json)),
      ]),
      "sight": .object([
        "watched": s.sight.share.map { .decimal($0) } ?? .null,
        "blind_seconds": JSON(s.sight.time(.blind).components.seconds),
        "off_seconds": JSON(s.sight.time(.off).components.seconds),
      ]),
      "lost": .members(s.losses.map { ($0.kind.name, JSON($0.count)) }),
    ])
  }

  private static func members(_ value: JSON) -> [(String, JSON)] {
    if case .members(let members) = value { members } else { [] }
  }
}
