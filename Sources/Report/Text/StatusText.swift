import Journal
import Platform
import Wire

/// `portsentry status`: what is watched, since when, what comes in, what is lost, who, and whether all is well. One screen.
package enum StatusText {
  /// - Parameters:
  ///   - live: nil where no sentry runs.
  ///   - glance: nil where there is no journal; then `journalProblem` may say why.
  package static func render(
    _ live: LiveStatus?, _ glance: Glance?, journalProblem: String? = nil, now: Timestamp, _ zone: Zone,
    isPlain: Bool = false, _ layout: TextLayout = TextLayout()
  ) -> String {
    let isWatching = live.map { !$0.seesNothing } ?? false
    var text =
      layout.lines(head(live, now, zone), taken: 0).map { layout.tinted($0, isWatching ? .good : .bad) }
      .joined(separator: "\n") + "\n\n"
    var rows: [(String, String)] = []
    if let live { rows += watching(live) + trial(live, now) }
    rows += coming(live, glance, isPlain)
    if let live {
      rows.append(("lost", lost(live)))
      rows.append(("blocks", blocks(live)))
    }
    rows.append(("journal", journal(live, glance, journalProblem, now, zone)))
    if let live { rows += FleetText.rows(live.fleet) + FleetText.rows(live.crowdsec) + allowed(live, now) + safe(live) }
    let width = rows.map(\.0.count).max() ?? 0
    for (name, value) in rows {
      let tone = live.map { Self.tone(name, value, $0) } ?? .plain
      for (index, line) in layout.lines(value, taken: width + 2).enumerated() {
        let label = index == 0 ? name : ""
        text += label + String(repeating: " ", count: width - label.count + 2) + layout.tinted(line, tone) + "\n"
      }
    }
    if let glance, !glance.top.isEmpty {
      text += "\nMost active in this hour and the one before it\n"
      text += SourceList.text(glance.top, now: now, zone, isBrief: true, indent: 2, width: layout.width)
    }
    if let glance, !glance.newest.isEmpty {
      text += "\nNewest first\n"
      for note in glance.newest {
        for (index, line) in layout.lines(EventText.line(note, zone), taken: 4).enumerated() {
          text += (index == 0 ? "  " : "    ") + line + "\n"
        }
      }
    }
    return text
  }

  /// What a row says of the state of things.
  private static func tone(_ name: String, _ value: String, _ live: LiveStatus) -> TextLayout.Tone {
    switch name {
    case "interfaces": live.seesNothing ? .bad : .plain
    case "deception":
      live.deception?.state == "failed" || live.deception?.hidden?.isEmpty == false ? .warning : .plain
    case "confinement": .warning
    case "trial": live.trial?.is_over == true ? .warning : .plain
    case "lost": live.losses.isEmpty ? .plain : .warning
    case "crowdsec": live.crowdsec?.failing == true ? .warning : .plain
    case "fleet": live.fleet?.connected == false ? .warning : .plain
    case "blocks": live.blocks?.enforced == false ? .bad : .plain
    case "journal": live.journal?.failing == true ? .bad : .plain
    default: value.startsWithBytes("TOO MUCH") ? .warning : .plain
    }
  }

  private static func head(_ live: LiveStatus?, _ now: Timestamp, _ zone: Zone) -> String {
    let time = "\(zone.minute(now)) \(zone.name(at: now))"
    guard let live else { return "PortSentry is NOT running: nothing is watched. \(time)" }
    let state = live.seesNothing ? "SEES NOTHING: no interface is up" : "watching"
    var words = "PortSentry \(SafeText.line(live.version ?? "")) \(state)"
    if let started = live.started {
      let since = Timestamp(seconds: started)
      words += " for \(Term.text(now - since)), since \(zone.minute(since))"
    }
    return words + (live.pid.map { ", process \($0)" } ?? "") + ". \(time)"
  }

  private static func watching(_ live: LiveStatus) -> [(String, String)] {
    func mode(_ name: String?, _ ports: String?, _ count: Int?) -> String {
      guard let name else { return "off" }
      let all = SafeText.line(ports ?? "")
      return
        "\(SafeText.line(name)), \(Units.plural(count ?? 0, "port")) (\(all.count > 60 ? "\(all.prefix(57))..." : all))"
    }
    var rows = [
      ("configuration", live.configuration.map { SafeText.line($0) } ?? "built-in settings"),
      ("TCP", mode(live.tcp_mode, live.tcp_ports, live.tcp_port_count)),
      ("UDP", mode(live.udp_mode, live.udp_ports, live.udp_port_count)),
      (
        "interfaces",
        live.seesNothing
          ? "NONE IS UP: nothing is seen" : SafeText.line((live.interfaces ?? []).joined(separator: ", "))
      ),
    ]
    if let text = live.capture?.text { rows.append(("capture", SafeText.line(text))) }
    rows += [
      ("services now", "TCP \(SafeText.line(live.served_tcp ?? "?")), UDP \(SafeText.line(live.served_udp ?? "?"))"),
      ("response", SafeText.line(live.response ?? "?")),
    ]
    return rows + deceiving(live)
  }

  private static func deceiving(_ live: LiveStatus) -> [(String, String)] {
    var rows: [(String, String)] = []
    if let text = live.deception?.text { rows.append(("deception", SafeText.line(text))) }
    if let origin = live.origin {
      rows.append(
        (
          "origin",
          "\(Units.plural(Int(clamping: origin.proven ?? 0), "source")) proven,"
            + " \(Units.plural(Int(clamping: live.deception?.connections ?? 0), "connection")) to decoys,"
            + " \(Units.plural(origin.suspects ?? 0, "suspect"))"
        ))
    }
    if let reasons = live.unconfined, !reasons.isEmpty {
      rows.append(("confinement", "LESS THAN IT SHOULD BE: " + SafeText.line(reasons.joined(separator: "; "))))
    }
    return rows
  }

  private static func trial(_ live: LiveStatus, _ now: Timestamp) -> [(String, String)] {
    guard let trial = live.trial else { return [] }
    let left = Term.text(max(Timestamp(seconds: trial.ends) - now, .zero))
    return [
      (
        "trial",
        trial.is_over
          ? "OVER, nothing is blocked any more: portsentry confirm" : "for \(left) more, unless: portsentry confirm"
      )
    ]
  }

  private static func coming(_ live: LiveStatus?, _ glance: Glance?, _ isPlain: Bool) -> [(String, String)] {
    var rows: [(String, String)] = []
    if let probes = live?.probes {
      rows.append(
        (
          "probes",
          "\(Units.count(probes.seen ?? 0)) since the start: \(Units.count(probes.alerts ?? 0)) alerts,"
            + " \(Units.count(probes.below_trigger ?? 0)) below SCAN_TRIGGER, \(Units.count(probes.ignored ?? 0)) ignored"
        ))
    }
    if let glance {
      let counts = glance.hours.map(\.probes)
      let all = counts.reduce(0, +)
      let name = rows.isEmpty ? "probes" : ""
      rows.append(
        (
          name,
          "\(Units.count(all)) in 24 hours (\(Units.rate(all, in: .seconds(86_400)))), \(Units.count(counts.last ?? 0)) in this hour"
        ))
      if all > 0 { rows.append(("", "[\(Sparkline.text(counts, isPlain: isPlain))] by hour, the newest right")) }
    }
    if let probes = live?.probes, let sources = probes.sources_remembered {
      rows.append(
        (
          "sources",
          "\(Units.count(UInt64(sources))) remembered, \(Units.count(probes.sources_forgotten ?? 0)) forgotten for lack of room"
        ))
      let (connections, others) = (probes.connections_one_in ?? 1, probes.others_one_in ?? 1)
      if connections > 1 || others > 1 {
        rows.append(
          (
            "",
            "TOO MUCH TO SEE ALL: one source in \(connections) of connections to services, one in \(others) of what no mode watches"
          ))
      }
    }
    return rows
  }

  private static func lost(_ live: LiveStatus) -> String {
    let losses = live.losses
    let waiting = live.log?.waiting ?? 0
    return (losses.isEmpty ? "nothing" : losses.map { "\(Units.count($0.count)) \($0.what)" }.joined(separator: ", "))
      + (waiting > 0 ? "; \(Units.plural(waiting, "log line")) waiting for syslog" : "")
  }

  private static func blocks(_ live: LiveStatus) -> String {
    let b = live.blocks
    return
      "\(Units.count(b?.in_force ?? 0)) in force, \(Units.count(b?.made ?? 0)) made, \(Units.count(b?.released ?? 0)) released,"
      + " \(Units.count(b?.refused ?? 0)) refused, \(Units.count(b?.failed ?? 0)) failed"
  }

  private static func journal(
    _ live: LiveStatus?, _ glance: Glance?, _ problem: String?, _ now: Timestamp, _ zone: Zone
  ) -> String {
    guard let glance else { return SafeText.line(problem ?? "none is kept") }
    var text = Units.bytes(glance.used)
    if let limit = live?.journal?.limit { text += " of \(Units.bytes(limit))" }
    if let detail = glance.detailSince { text += ", detail since \(zone.date(detail))" }
    if let counts = glance.countsSince, counts != glance.detailSince { text += ", counts since \(zone.date(counts))" }
    if live?.journal?.failing == true {
      text += "; CANNOT BE WRITTEN, see the log"
    } else if let written = glance.lastWritten {
      text += ", written \(Units.ago(written, now: now))"
    }
    return text
  }

  private static func allowed(_ live: LiveStatus, _ now: Timestamp) -> [(String, String)] {
    let entries = live.allowed ?? []
    var rows = entries.prefix(10).enumerated().map { index, entry in
      let left = entry.until.map { "for \(Term.text(max(Timestamp(seconds: $0) - now, .zero))) more" }
      return (
        index == 0 ? "allowed" : "", "\(SafeText.line(entry.network)) (\(left ?? "until `portsentry allow --end`"))"
      )
    }
    if entries.count > 10 { rows.append(("", "and \(entries.count - 10) more, see --json")) }
    return rows
  }

  private static func safe(_ live: LiveStatus) -> [(String, String)] {
    var rows = [("ignored", Units.plural(live.ignored_networks ?? 0, "network") + " of the ignore file")]
    // That a host does not block itself goes without saying: others first.
    let all = live.never_blocked ?? []
    let isOurs = { (entry: LiveStatus.Safe) in entry.reason.endsWithBytes("of this host") }
    let entries = all.filter { !isOurs($0) } + all.filter(isOurs)
    for (index, entry) in entries.prefix(10).enumerated() {
      rows.append((index == 0 ? "never blocked" : "", SafeText.line("\(entry.network) (\(entry.reason))")))
    }
    if entries.count > 10 { rows.append(("", "and \(entries.count - 10) more, see --json")) }
    rows.append(("", "and hosts in conversation with a service here when they were noticed"))
    return rows
  }
}
