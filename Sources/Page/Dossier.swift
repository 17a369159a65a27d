import Detection
import Journal
import Platform
import Report
import Response
import Wire

/// The page about one address: who it is, what it did, what was done, and the buttons.
struct Dossier {
  var story: SourceStory
  var around: ShowText.Surroundings
  /// Whether the sentry said what is blocked.
  var isAnswered: Bool
  /// Others of its network that are known, and how many they are with it.
  var neighbours: [Source]
  var neighbourCount: Int
  var session: Sessions.Session
  var now: Timestamp
  var zone: Zone

  var html: HTML {
    """
    <h1><code>\("\(story.address)")</code></h1>\(identity)
    <section class="why"><h2>\(status)</h2>\(why)\(forms)</section>
    \(facts)\(activity)\(timeline)\(scans)\(fleet)\(blocks)
    """
  }

  // MARK: Who

  private var identity: HTML {
    var rows: [(StaticString, HTML)] = []
    if let name = story.source?.name {
      rows.append(("name", "\(name)"))
      if let owner = KnownScanners.owner(ofName: name) { rows.append(("known scanner", "\(owner)")) }
    }
    if let place = around.place {
      if let country = place.countryName ?? place.country {
        rows.append(("country", "\(SafeText.line(country, limit: 60))"))
      }
      if let number = place.systemNumber {
        rows.append(("operator", "AS\(number) \(place.organisation.map { SafeText.line($0, limit: 60) } ?? "")"))
      }
    }
    let others = neighbours.prefix(8).map { "\(Charts.address($0.network)) " as HTML }
    let count: String =
      neighbourCount >= 1000
      ? "1,000 or more addresses of it are known"
      : neighbourCount > 1
        ? "\(Units.count(neighbourCount)) addresses of it are known" : "no other address of it is known"
    rows.append(
      (
        "network",
        "<code>\("\(story.address.usualNetwork)")</code>: \(count)\(others.isEmpty ? HTML() : "<small>\(others)</small>")"
      ))
    return list(rows)
  }

  private func list(_ rows: [(StaticString, HTML)]) -> HTML {
    "<dl class=\"facts\">\(rows.map { "<dt>\(HTML(stringLiteral: $0.0))</dt><dd>\($0.1)</dd>" as HTML })</dl>"
  }

  // MARK: What is done

  /// The allowance that covers it.
  private var allowance: LiveStatus.Allowed? {
    around.live?.allowed?.first { IPNetwork($0.network)?.contains(story.address) == true }
  }

  /// What the journal says was never taken back.
  private var isOpenInJournal: Bool { story.blocks.contains { $0.ended == nil } }

  private var status: String {
    if around.block != nil {
      return around.live?.blocks?.enforced == false ? "Blocked, but perhaps not in force" : "Blocked"
    }
    // The kernel keeps its table when a sentry is killed: without an answer nobody is called free.
    guard around.live != nil, isAnswered else {
      return isOpenInJournal ? "Blocked when the sentry last ran" : "Not known whether it is blocked"
    }
    return allowance == nil ? "Not blocked" : "Allowed"
  }

  private var why: HTML {
    if around.live == nil || !isAnswered {
      return """
        <p>No sentry answers. The firewall may still hold its blocks: <code>nft list table inet portsentry</code> shows them.</p>
        """
    }
    if let allowance {
      let end =
        allowance.until.map { "for \(Term.text(max(Timestamp(seconds: $0) - now, .zero))) more" }
        ?? "until it is taken back"
      return "<p>Nothing is done to \(SafeText.line(allowance.network)), \(end).</p>"
    }
    guard let rows = around.why else {
      return "\(Why.words(story, around, now: now, zone).map { "<p>\($0)</p>" as HTML })"
    }
    return Self.rows(rows)
  }

  /// What the sentry answers to "why".
  static func rows(_ rows: [LiveWhy.Row]) -> HTML {
    let rows = rows.map { row -> HTML in
      row.name.isEmpty ? "<dd>\(row.text)</dd>" : "<dt>\(row.name)</dt><dd>\(row.text)</dd>"
    }
    return "<dl class=\"facts\">\(rows)</dl>"
  }

  // MARK: The buttons

  private func form(_ path: StaticString, _ target: String, _ inside: HTML) -> HTML {
    """
    <form class="row" method="post" action="\(HTML(stringLiteral: path))">\
    \(Template.key(session))<input type="hidden" name="back" value="\("\(story.address)")">\
    <input type="hidden" name="target" value="\(target)">\(inside)</form>
    """
  }

  private var forms: HTML {
    guard around.live != nil else { return HTML() }
    let address = "\(story.address)"
    if let allowance {
      return form("/allow-end", allowance.network, "<button>Take the allowance back</button>")
    }
    let allow = form(
      "/allow", address,
      """
      <label for="allow">Do nothing to it for</label><select id="allow" name="seconds"><option value="3600">an hour</option>\
      <option value="86400">a day</option><option value="604800">a week</option><option value="">ever, until taken back</option>\
      </select> <button>Allow</button>
      """)
    if let block = around.block {
      return
        "<div class=\"bar\">\(form("/unblock", block.network, "<button>Unblock \(block.network)</button>"))\(allow)</div>"
    }
    let block = form(
      "/block", address,
      """
      <label for="seconds">Block it for</label><select id="seconds" name="seconds"><option value="3600">an hour</option>\
      <option value="86400" selected>a day</option><option value="604800">a week</option><option value="0">ever, until unblocked</option>\
      </select> \
      <button>Block</button>
      """)
    return "<div class=\"bar\">\(block)\(allow)</div>"
  }

  // MARK: What it did

  private var facts: HTML {
    guard let source = story.source else {
      return "<section><h2>What is known</h2><p>It was never seen, as far as the journal goes back.</p></section>"
    }
    let probes = story.detail.reduce(0) { $0 + $1.probes }
    let ports = story.ports
    var rows: [(StaticString, HTML)] = [
      ("first seen", "\(zone.text(source.first)) \(zone.name(at: source.first))"),
      ("last seen", "\(zone.text(source.last)) (\(Units.ago(source.last, now: now)))"),
      (
        "probes",
        "\(Units.count(story.detail.isEmpty ? source.probes : probes)) of \(Units.plural(ports.count, "port"))"
      ),
      ("ports", "\(PortNames.ranges(ports.map(\.port), limit: 400))"),
      ("techniques", "\(source.techniques.techniques.map(\.name).joined(separator: ", "))"),
    ]
    var origin = source.origin.name
    if let proof = source.proof, let time = source.proven { origin += " by \(proof.name), \(zone.text(time))" }
    rows.append(("origin", "\(origin)"))
    if let verdict = source.verdict { rows.append(("verdict", "\(verdict.name)")) }
    if source.tool != .unknown { rows.append(("tool", "\(source.tool.name)")) }
    if let target = source.target { rows.append(("touched last", "\("\(target)")")) }
    if source.isIgnored { rows.append(("ignored", "the ignore file names it: nothing is ever done to it")) }
    return "<section><h2>What is known</h2>\(list(rows))</section>"
  }

  private var activity: HTML {
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
      <tr><th scope="row">\(Charts.port(use.port))</th><td class="use">\(PortNames.short(use.port) ?? "")<small>\
      \(PortNames.long(use.port) ?? "")</small></td>\
      <td class="n">\(Units.count(use.probes))</td><td class="late">\(use.techniques.techniques.map(\.name).joined(separator: ", "))</td>\
      <td class="n late">\(zone.minute(Timestamp(seconds: use.first * 3600)))</td><td class="n late">\
      \(zone.minute(Timestamp(seconds: use.last * 3600)))</td></tr>
      """
    }
    let more: HTML =
      uses.count > 20 ? "<p class=\"span\">and \(Units.plural(uses.count - 20, "port")) more</p>" : HTML()
    return """
      <section><h2>Over time</h2>\(chart)</section><section><h2>Ports</h2><table class="list"><thead><tr><th scope="col">port</th>\
      <th scope="col">used for</th>\
      <th scope="col" class="n">probes</th><th scope="col" class="late">techniques</th><th scope="col" class="n late">from</th>\
      <th scope="col" class="n late">to</th></tr></thead>\
      <tbody>\(rows)</tbody></table>\(more)</section>
      """
  }

  /// Everything that happened to it, the newest first, from its first probe on.
  private var timeline: HTML {
    guard let source = story.source else {
      return story.notes.isEmpty
        ? HTML() : "<section><h2>Timeline</h2>\(Feed.html(Array(story.notes.prefix(100)), zone))</section>"
    }
    let own = IPNetwork(story.address)
    let notes = story.notes.prefix(100).map { Feed.item($0, zone, own: own) }
    func point(_ time: Timestamp, _ kind: StaticString, _ text: String) -> HTML {
      """
      <li><span class="when">\(zone.clock(time))<small>\(zone.date(time))</small></span><span class="kind">\(HTML(stringLiteral: kind))</span>\
      <span class="what"><small>\(text)</small></span></li>
      """
    }
    let sorted =
      [point(source.last, "last", "last probe, \(Units.ago(source.last, now: now))")] + notes
      + [point(source.first, "first", "first probe")]
    return "<section><h2>Timeline</h2><ul class=\"feed\">\(sorted)</ul></section>"
  }

  private var scans: HTML {
    guard !story.scans.isEmpty else { return HTML() }
    let parts = story.scans.prefix(10).map { scan -> HTML in
      var sum: Int64 = 0
      let evidence = scan.evidence.map { reason -> HTML in
        sum += Int64(reason.weight)
        let port = PortName(reason.technique, reason.port)
        return """
          <tr><td>\(reason.kind.name), \("\(port)") (\(reason.technique.name))</td><td class="n">\
          \(reason.weight >= 0 ? "+" : "")\(ShowText.nats(Int64(reason.weight)))</td>\
          <td class="n">\(ShowText.nats(sum))</td></tr>
          """
      }
      let words: HTML = "\(zone.text(scan.first)): \(EventText.scan(scan))\(scan.isOver(at: now) ? "" : ", going on")"
      guard !scan.evidence.isEmpty else { return "<p>\(words).</p>" }
      return """
        <details><summary>\(words)</summary><table class="list"><thead><tr><th scope="col">evidence</th>\
        <th scope="col" class="n">weight</th>\
        <th scope="col" class="n">sum</th></tr></thead><tbody>\(evidence)</tbody></table>\
        <p class="span">Sum \(ShowText.nats(scan.score)), threshold \(ShowText.nats(scan.threshold))</p></details>
        """
    }
    return "<section><h2>Verdicts</h2>\(parts)</section>"
  }

  /// What other hosts saw of it, by the newest block that rests on that.
  private var fleet: HTML {
    func hosts(_ block: PastBlock) -> [FleetCause.Witness] { block.record.witnesses.filter { !$0.isCrowdSec } }
    guard let witnesses = story.blocks.lazy.map(hosts).first(where: { !$0.isEmpty }) else { return HTML() }
    let rows = witnesses.map { witness -> HTML in
      "<tr><td>\(witness.shownName)</td><td class=\"n\">\(zone.text(witness.time))</td></tr>"
    }
    let count = Set(witnesses.map(\.node)).count
    return """
      <section><h2>\(Units.plural(count, "host")) of the fleet saw it</h2><table class="list"><thead><tr><th scope="col">host</th>\
      <th scope="col" class="n">at a decoy of its own</th></tr></thead><tbody>\(rows)</tbody></table></section>
      """
  }

  private var blocks: HTML {
    guard !story.blocks.isEmpty else { return HTML() }
    let open = around.block == nil ? BlocksPage.unknown : "in force"
    return "<section><h2>Blocks</h2>\(BlocksPage.table(Array(story.blocks.prefix(20)), zone, open: open))</section>"
  }
}
