import Detection
import Journal
import Platform
import Report
import Wire

/// The page about one address.
enum SourcePage {
  static func html(
    _ story: SourceStory, _ around: ShowText.Surroundings, _ session: Sessions.Session, now: Timestamp, _ zone: Zone
  ) -> HTML {
    let place = around.place.map(Places.words) ?? ""
    let name = story.source?.name.map { "<p class=\"span\">\($0)</p>" as HTML } ?? HTML()
    let why = Why.words(story, around, now: now, zone).map { "<p>\($0)</p>" as HTML }
    return """
      <h1><code>\("\(story.address)")</code></h1>\(name)<p class="span">\(place)</p>
      <section class="why"><h2>\(around.block == nil ? "Not shut out" : "Shut out")</h2>\(why)\(form(story, around, session))</section>
      \(facts(story, now, zone))\(timeline(story, zone))\(scans(story, now, zone))\(blocks(story, zone))\(notes(story, zone))
      """
  }

  private static func form(_ story: SourceStory, _ around: ShowText.Surroundings, _ session: Sessions.Session) -> HTML {
    guard around.live != nil else { return HTML() }
    if let block = around.block {
      return """
        <form class="row" method="post" action="/unblock">\(Template.key(session))<input type="hidden" name="back" value="source">\
        <input type="hidden" name="target" value="\(block.network)"><button>Unblock \(block.network)</button></form>
        """
    }
    return """
      <form class="row" method="post" action="/block">\(Template.key(session))<input type="hidden" name="back" value="source">\
      <input type="hidden" name="target" value="\("\(story.address)")"><label for="seconds">Shut it out for</label>\
      <select id="seconds" name="seconds"><option value="3600">an hour</option><option value="86400" selected>a day</option>\
      <option value="604800">a week</option><option value="0">ever, until unblocked</option></select> <button>Block</button></form>
      """
  }

  private static func facts(_ story: SourceStory, _ now: Timestamp, _ zone: Zone) -> HTML {
    guard let source = story.source else {
      return "<section><h2>What is known</h2><p>It was never seen, as far as the journal goes back.</p></section>"
    }
    let probes = story.detail.reduce(0) { $0 + $1.probes }
    let ports = story.ports
    var rows: [(StaticString, String)] = [
      ("first seen", "\(zone.text(source.first)) \(zone.name(at: source.first))"),
      ("last seen", "\(zone.text(source.last)) (\(Units.ago(source.last, now: now)))"),
      (
        "probes",
        "\(Units.count(story.detail.isEmpty ? source.probes : probes)) of \(Units.plural(ports.count, "port"))"
      ),
      ("ports", PortNames.ranges(ports.map(\.port), limit: 400)),
      ("techniques", source.techniques.techniques.map(\.name).joined(separator: ", ")),
    ]
    var origin = source.origin.name
    if let proof = source.proof, let time = source.proven { origin += " by \(proof.name), \(zone.text(time))" }
    rows.append(("origin", origin))
    if source.tool != .unknown { rows.append(("tool", source.tool.name)) }
    if let target = source.target { rows.append(("touched last", "\(target)")) }
    if source.isIgnored { rows.append(("ignored", "the ignore file names it: nothing is ever done to it")) }
    let list = rows.map { "<dt>\(HTML(stringLiteral: $0.0))</dt><dd>\($0.1)</dd>" as HTML }
    return "<section><h2>What is known</h2><dl class=\"facts\">\(list)</dl></section>"
  }

  private static func timeline(_ story: SourceStory, _ zone: Zone) -> HTML {
    guard let (first, counts) = story.byHour else { return HTML() }
    let last = first + Int64(counts.count) - 1
    let uses = story.ports
    let values = Sparkline.squeeze(counts, to: 96)
    let start = Timestamp(seconds: first * 3600)
    let end = Timestamp(seconds: (last + 1) * 3600)
    let chart = Charts.columns(
      values.map { ($0, Units.plural($0, "probe")) }, most: values.max() ?? 0, label: "Probes over time",
      marks: [zone.minute(start), zone.minute(end)])
    let rows = PortNames.notable(uses, 20).map { use -> HTML in
      """
      <tr><th scope="row">\("\(use.port)")</th><td class="use">\(PortNames.short(use.port) ?? "")<small>\(PortNames.long(use.port) ?? "")</small></td>\
      <td class="n">\(Units.count(use.probes))</td><td class="late">\(use.techniques.techniques.map(\.name).joined(separator: ", "))</td>\
      <td class="n late">\(zone.minute(Timestamp(seconds: use.first * 3600)))</td><td class="n late">\(zone.minute(Timestamp(seconds: use.last * 3600)))</td></tr>
      """
    }
    let more: HTML =
      uses.count > 20 ? "<p class=\"span\">and \(Units.plural(uses.count - 20, "port")) more</p>" : HTML()
    return """
      <section><h2>Over time</h2>\(chart)</section><section><h2>Ports</h2><table class="list"><thead><tr><th>port</th><th>used for</th>\
      <th class="n">probes</th><th class="late">techniques</th><th class="n late">from</th><th class="n late">to</th></tr></thead><tbody>\(rows)</tbody></table>\(more)</section>
      """
  }

  private static func scans(_ story: SourceStory, _ now: Timestamp, _ zone: Zone) -> HTML {
    guard !story.scans.isEmpty else { return HTML() }
    let parts = story.scans.prefix(10).map { scan -> HTML in
      var sum: Int64 = 0
      let evidence = scan.evidence.map { reason -> HTML in
        sum += Int64(reason.weight)
        let port = PortName(reason.technique, reason.port)
        return """
          <tr><td>\(reason.kind.name), \("\(port)") (\(reason.technique.name))</td><td class="n">\(reason.weight >= 0 ? "+" : "")\(ShowText.nats(Int64(reason.weight)))</td>\
          <td class="n">\(ShowText.nats(sum))</td></tr>
          """
      }
      let table: HTML =
        scan.evidence.isEmpty
        ? HTML()
        : """
        <table class="list"><thead><tr><th>evidence</th><th class="n">weight</th><th class="n">sum</th></tr></thead><tbody>\(evidence)</tbody></table>\
        <p class="span">\(ShowText.nats(scan.score)) in all, where \(ShowText.nats(scan.threshold)) says scanner</p>
        """
      return
        "<p>\(zone.text(scan.first)): \(EventText.scan(scan))\(scan.isOver(at: now) ? "" : ", going on").</p>\(table)"
    }
    return "<section><h2>Judged</h2>\(parts)</section>"
  }

  private static func blocks(_ story: SourceStory, _ zone: Zone) -> HTML {
    guard !story.blocks.isEmpty else { return HTML() }
    return "<section><h2>Blocks</h2>\(BlocksPage.table(Array(story.blocks.prefix(20)), zone))</section>"
  }

  private static func notes(_ story: SourceStory, _ zone: Zone) -> HTML {
    guard !story.notes.isEmpty else { return HTML() }
    return
      "<section><h2>What happened</h2><table class=\"list events\"><tbody>\(story.notes.prefix(50).map { Charts.event($0, zone) })</tbody></table></section>"
  }
}

/// The page about what is shut out.
enum BlocksPage {
  /// Blocks shown with a button each. Of more, the command line has the rest.
  private static let shown = 200

  static func html(
    _ live: [LiveBlock]?, _ past: [PastBlock], _ session: Sessions.Session, now: Timestamp, _ zone: Zone
  ) -> HTML {
    """
    <section><h1>Blocks</h1>\(inForce(live, session, now, zone))</section>
    <section><h2>Over, within seven days</h2>\(past.isEmpty ? "<p>None.</p>" as HTML : table(past, zone))</section>
    """
  }

  private static func inForce(_ live: [LiveBlock]?, _ session: Sessions.Session, _ now: Timestamp, _ zone: Zone) -> HTML
  {
    guard let live else { return "<p class=\"bad\">No sentry is running, so what is in force is not known.</p>" }
    guard !live.isEmpty else { return "<p>Nobody is shut out.</p>" }
    let rows = live.prefix(shown).map { block -> HTML in
      let network = IPNetwork(block.network)
      let link = network.flatMap(Template.link)
      let address: HTML =
        link.map { "<a href=\"\($0)\"><code>\(block.network)</code></a>" } ?? "<code>\(block.network)</code>"
      let end = block.until.map { "in \(Term.text(Timestamp(seconds: $0) - now))" } ?? "never"
      return """
        <tr><td>\(address)<small>\(block.reason)</small></td><td class="n late">\(zone.minute(Timestamp(seconds: block.since)))</td><td class="n">\(end)</td>\
        <td class="late">\(block.methods.joined(separator: ", "))</td><td class="n"><form method="post" action="/unblock">\(Template.key(session))\
        <input type="hidden" name="target" value="\(block.network)"><button>Unblock</button></form></td></tr>
        """
    }
    let more: HTML =
      live.count > shown
      ? "<p class=\"span\">and \(Units.count(live.count - shown)) more, see <code>portsentry blocked</code></p>"
      : HTML()
    return """
      <table class="list"><thead><tr><th>address</th><th class="n late">since</th><th class="n">ends</th><th class="late">by</th><th></th></tr></thead>\
      <tbody>\(rows)</tbody></table>\(more)
      """
  }

  static func table(_ blocks: [PastBlock], _ zone: Zone) -> HTML {
    let rows = blocks.map { block -> HTML in
      let network = block.record.network
      let address: HTML =
        Template.link(network).map { "<a href=\"\($0)\"><code>\("\(network)")</code></a>" }
        ?? "<code>\("\(network)")</code>"
      let end = block.ended.map { "\(zone.minute($0)), \(block.because ?? "")" } ?? "in force, or no sentry ran since"
      let after = block.cameBack ? "came back" : block.ended == nil ? "" : "stayed away"
      return """
        <tr><td>\(address)<small>\(block.record.reason)</small></td><td class="n late">\(zone.minute(block.record.since))</td><td class="n">\(end)<small>\(after)</small></td></tr>
        """
    }
    return """
      <table class="list"><thead><tr><th>address</th><th class="n late">since</th><th class="n">ended</th></tr></thead><tbody>\(rows)</tbody></table>
      """
  }
}
