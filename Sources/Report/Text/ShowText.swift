import Detection
import GeoIP
import Journal
import Platform
import Response
import Wire

/// `portsentry show ADDRESS`: what one source did, how it was judged, and what was done about it and why.
package enum ShowText {
  /// What is known of a source besides the journal.
  package struct Surroundings: Sendable {
    package var live: LiveStatus?
    /// The block that covers it now; nil: none, or no sentry runs.
    package var block: LiveBlock?
    package var place: Place?
    /// What a running sentry answers to "why"; nil where it does not say.
    package var why: [LiveWhy.Row]?

    package init() {}
  }

  package static func render(
    _ story: SourceStory, _ around: Surroundings, now: Timestamp, _ zone: Zone, isPlain: Bool = false
  ) -> String {
    var text = head(story, around)
    guard !story.isEmpty else {
      return text + "never seen, as far as the journal goes back\n" + "\n"
        + Why.words(story, around, now: now, zone)
        .map { "\($0)\n" }.joined()
    }
    text += facts(story, now, zone)
    if !story.detail.isEmpty { text += "\n" + timeline(story, zone, isPlain) + "\n" + ports(story, zone) }
    for (index, scan) in story.scans.prefix(10).enumerated() {
      text += "\n" + (index == 0 ? "Judged\n" : "")
      text += "  \(zone.text(scan.first))  \(EventText.scan(scan))\(scan.isOver(at: now) ? "" : ", going on")\n"
      if !scan.evidence.isEmpty { text += evidence(scan) }
    }
    if story.scans.count > 10 { text += "  and \(story.scans.count - 10) more, see --json\n" }
    if !story.blocks.isEmpty { text += "\nBlocks\n" + blocks(story, now, zone) }
    text += "\nWhy\n" + Why.words(story, around, now: now, zone).map { "  \($0)\n" }.joined()
    let told = story.notes.filter { [.proven, .refused].contains($0.kind) }
    if !told.isEmpty {
      text += "\nNotes\n"
      for note in told.prefix(10) { text += "  \(zone.text(note.time))  \(EventText.words(note))\n" }
    }
    return text
  }

  private static func head(_ story: SourceStory, _ around: Surroundings) -> String {
    var words = ["\(story.address)"]
    if let name = story.source?.name { words.append("(\(SafeText.line(name, limit: 200)))") }
    if let place = around.place { words.append(Places.words(place)) }
    return words.joined(separator: "  ") + "\n"
  }

  private static func facts(_ story: SourceStory, _ now: Timestamp, _ zone: Zone) -> String {
    var rows: [(String, String)] = []
    if let source = story.source {
      rows.append(
        (
          "seen",
          "from \(zone.text(source.first)) to \(zone.text(source.last)) \(zone.name(at: source.last)) (\(Units.ago(source.last, now: now)))"
        ))
      let probes = story.detail.reduce(0) { $0 + $1.probes }
      let ports = story.ports
      let days = Set(Set(story.detail.map(\.hour)).map { zone.day(Timestamp(seconds: $0 * 3600)) }).count
      rows.append(
        (
          "probes",
          story.detail.isEmpty
            ? "\(Units.count(source.probes)), their detail is no longer kept"
            : "\(Units.count(probes)) of \(Units.plural(ports.count, "port")) on \(Units.plural(days, "day"))"
        ))
      if !ports.isEmpty { rows.append(("ports", PortNames.ranges(ports.map(\.port)))) }
      var origin = source.origin.name
      if let proof = source.proof, let time = source.proven { origin += " by \(proof.name), \(zone.text(time))" }
      rows.append(("origin", origin))
      if source.isIgnored { rows.append(("ignored", "the ignore file names it: nothing is ever done to it")) }
      if let target = source.target { rows.append(("touched", "\(target), last")) }
      if source.tool != .unknown { rows.append(("tool", source.tool.name)) }
    }
    for network in story.networks { rows.append(("network", "there is a verdict on \(network.network)")) }
    let width = rows.map(\.0.count).max() ?? 0
    return rows.map { "\($0.0)\(String(repeating: " ", count: width - $0.0.count + 2))\($0.1)\n" }.joined()
  }

  private static func timeline(_ story: SourceStory, _ zone: Zone, _ isPlain: Bool) -> String {
    guard let (first, counts) = story.byHour else { return "" }
    let last = first + Int64(counts.count) - 1
    let columns = min(counts.count, 72)
    let start = Timestamp(seconds: first * 3600)
    let end = Timestamp(seconds: (last + 1) * 3600)
    let step = Term.text(.seconds(Int64(counts.count) * 3600 / Int64(columns)))
    return "Over time, from \(zone.minute(start)) to \(zone.minute(end)), a column for \(step)\n"
      + "  [\(Sparkline.text(Sparkline.squeeze(counts, to: columns), isPlain: isPlain))]\n"
  }

  private static func ports(_ story: SourceStory, _ zone: Zone) -> String {
    let uses = story.ports
    var columns = Columns([
      ("PORT", .left), ("PROBES", .right), ("FROM HOUR", .left), ("TO HOUR", .left), ("TECHNIQUES", .left),
      ("USED FOR", .left),
    ])
    for use in PortNames.notable(uses, 20) {
      columns.add([
        "\(use.port)", Units.count(use.probes), zone.minute(Timestamp(seconds: use.first * 3600)),
        zone.minute(Timestamp(seconds: use.last * 3600)),
        use.techniques.techniques.map(\.name).joined(separator: ","), PortNames.short(use.port) ?? "",
      ])
    }
    let more = uses.count - 20
    return columns.text(indent: 2) + (more > 0 ? "  and \(Units.plural(more, "port")) more, see --json\n" : "")
  }

  /// The reasons with their weights, and the sum as it grew.
  private static func evidence(_ scan: Scan) -> String {
    var columns = Columns([("", .right), ("", .right), ("", .left)])
    var sum: Int64 = 0
    for reason in scan.evidence {
      sum += Int64(reason.weight)
      let port = PortName(reason.technique, reason.port)
      columns.add([
        (reason.weight >= 0 ? "+" : "") + nats(Int64(reason.weight)), nats(sum),
        "\(reason.kind.name), \(port) (\(reason.technique.name))",
      ])
    }
    let judged =
      scan.threshold > 0
      ? "    \(nats(scan.score)) points in all, threshold \(nats(scan.threshold))\n" : ""
    return columns.text(indent: 4) + judged
  }

  /// Thousandths of a nat with two digits.
  package static func nats(_ value: Int64) -> String {
    let hundredths = (value.magnitude + 5) / 10
    let rest = hundredths % 100
    return "\(value < 0 ? "-" : "")\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
  }

  private static func blocks(_ story: SourceStory, _ now: Timestamp, _ zone: Zone) -> String {
    var columns = Columns([("SINCE", .left), ("ENDED", .left), ("NETWORK", .left), ("BY", .left), ("BECAUSE", .left)])
    for block in story.blocks.prefix(10) {
      let end = block.ended.map { "\(zone.text($0)), \(SafeText.line(block.because ?? "", limit: 60))" } ?? "-"
      columns.add([
        zone.text(block.record.since), end, "\(block.record.network)", SafeText.line(block.record.methods, limit: 60),
        SafeText.line(block.record.reason, limit: 200),
      ])
    }
    var text = columns.text(indent: 2)
    for block in story.blocks.prefix(10) where !block.record.witnesses.isEmpty {
      text += "  \(FleetCause.hosts(block.record.witnesses)): \(FleetText.times(block.record.witnesses, zone))\n"
    }
    if story.blocks.contains(where: \.cameBack) { text += "  It came back after a block had ended.\n" }
    return text
  }

  // MARK: For programs

  package static func json(_ story: SourceStory, _ around: Surroundings, now: Timestamp, _ zone: Zone) -> JSON {
    let source = story.source
    return .object([
      "shape": 1, "address": .string("\(story.address)"), "known": .bool(!story.isEmpty), "name": JSON(source?.name),
      "country": JSON(around.place?.country), "system_number": around.place?.systemNumber.map { JSON($0) } ?? .null,
      "organisation": JSON(around.place?.organisation), "first": source.map { JSON($0.first.seconds) } ?? .null,
      "last": source.map { JSON($0.last.seconds) } ?? .null, "probes_ever": JSON(source?.probes ?? 0),
      "probes": JSON(story.detail.reduce(0) { $0 + $1.probes }),
      "ports": JSON(story.ports.count),
      "origin": JSON(source?.origin.name), "proof": JSON(source?.proof?.name), "tool": JSON(source?.tool.name),
      "verdict": JSON(source?.verdict?.name), "ignored": .bool(source?.isIgnored ?? false),
      "target": JSON(source?.target?.description), "blocked": .bool(around.block != nil),
      "why": .array(Why.words(story, around, now: now, zone).map(JSON.string)),
      "detail": .array(
        story.detail.map {
          .object([
            "hour": JSON($0.hour * 3600), "protocol": .string("\(PortName($0.technique, $0.port).family)"),
            "port": JSON($0.port), "technique": .string($0.technique.name), "probes": JSON($0.probes),
          ])
        }),
      "scans": .array(story.scans.map(EventText.json)), "blocks": .array(story.blocks.map(EventText.json)),
      "notes": .array(story.notes.map(EventText.json)),
    ])
  }
}

/// Why a source is blocked, or is not.
package enum Why {
  package static func words(
    _ story: SourceStory, _ around: ShowText.Surroundings, now: Timestamp, _ zone: Zone
  ) -> [String] {
    if let why = around.why {
      return LiveWhy.lines(why).map { SafeText.line($0) }
    }
    if let block = around.block {
      let until = block.until.map { "for \(Term.text(Timestamp(seconds: $0) - now)) more" } ?? "until it is released"
      let network = block.network == "\(story.address)" ? "" : " as part of \(SafeText.line(block.network))"
      return [
        "Blocked\(network) since \(zone.text(Timestamp(seconds: block.since))), \(until),"
          + " by \(SafeText.line(block.methods.joined(separator: ", "))): \(SafeText.line(block.reason))."
      ]
    }
    if around.live == nil, let open = story.blocks.first(where: { $0.ended == nil }) {
      return [
        "No sentry runs, so what is in force is not known; the last word is a block of \(zone.text(open.record.since)):"
          + " \(SafeText.line(open.record.reason))."
      ]
    }
    var words: [String] = []
    if let refused = story.notes.first(where: { $0.kind == .refused }) {
      words.append("Not blocked: \(SafeText.line(refused.text ?? "")) (\(zone.text(refused.time))).")
    }
    if let ended = story.blocks.first(where: { $0.ended != nil }), let time = ended.ended {
      words.append(
        "Not blocked any more: its block ended \(zone.text(time)), \(SafeText.line(ended.because ?? "")).")
    }
    if story.source?.isIgnored == true { words.append("Never blocked: the ignore file names it.") }
    guard words.isEmpty else { return words }
    if let response = around.live?.response, response == "log only" {
      return ["Not blocked: BLOCK_TCP and BLOCK_UDP are 0, so nothing is."]
    }
    if story.isEmpty { return ["Not blocked: nothing is known of it."] }
    if story.scans.isEmpty { return ["Not blocked: it was not found to be a scanner."] }
    if story.source?.origin != .proven {
      return ["Not blocked: nothing proves that the probes came from this address."]
    }
    return ["Not blocked: nothing asked for it."]
  }
}

/// Places in words.
package enum Places {
  /// `Germany, AS64500 Example`.
  package static func words(_ place: Place) -> String {
    var words: [String] = []
    if let country = place.countryName ?? place.country { words.append(SafeText.line(country, limit: 60)) }
    if let number = place.systemNumber {
      words.append(
        "AS\(number)" + (place.organisation.map { " \(SafeText.line($0, limit: 60))" } ?? ""))
    }
    return words.joined(separator: ", ")
  }
}
