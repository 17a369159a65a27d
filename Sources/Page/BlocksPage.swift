import Journal
import Platform
import Report
import Wire

/// The page about what is blocked: what is in force, with a button each, and what is over; both with pages and one search.
struct BlocksPage {
  /// Blocks on a page.
  static let shown = 50
  /// Blocks of the past that are looked at.
  static let mostRead = 5000

  /// nil: no sentry answers.
  var live: [LiveBlock]?
  var past: [PastBlock]
  /// What is looked for: an address, a network, or a part of the reason.
  var search: String
  var page: Int
  var pastPage: Int
  var session: Sessions.Session
  var now: Timestamp
  var zone: Zone

  var html: HTML {
    """
    <h1>Blocks</h1>
    <form class="row" action="/blocks" method="get" role="search"><label for="q">Search by address, network or reason</label>\
    <input id="q" name="q" type="search" value="\(search)"> <button>Search</button>\
    \(search.isEmpty ? HTML() : "<a class=\"target\" href=\"/blocks\">Show all</a>")</form>
    <section><h2>In force</h2>\(inForce)</section>
    <section><h2>Over, within 30 days</h2>\(over)</section>
    """
  }

  private func matches(_ network: IPNetwork?, _ texts: String...) -> Bool {
    let search = search.asciiLowercased
    if search.isEmpty { return true }
    if let wanted = IPNetwork(search), let network { return network.overlaps(wanted) }
    return (["\(network.map { "\($0)" } ?? "")"] + texts).contains { $0.asciiLowercased.containsBytes(search) }
  }

  /// The part of a list that a page shows, and the way to its other pages.
  private func cut<Element>(_ list: [Element], _ wanted: Int, _ isPast: Bool) -> (
    part: ArraySlice<Element>, links: HTML
  ) {
    let pages = max((list.count + Self.shown - 1) / Self.shown, 1)
    let page = min(max(wanted, 1), pages)
    let part = list.dropFirst((page - 1) * Self.shown).prefix(Self.shown)
    guard pages > 1 else { return (part, HTML()) }
    func link(_ number: Int, _ text: StaticString) -> HTML {
      guard (1...pages).contains(number) else { return HTML() }
      let query = "q=\(Template.encoded(search))&page=\(isPast ? self.page : number)&past=\(isPast ? number : pastPage)"
      return "<a class=\"target\" href=\"/blocks?\(query)\">\(HTML(stringLiteral: text))</a>"
    }
    let first = (page - 1) * Self.shown
    let label: StaticString = isPast ? "Pages of what is over" : "Pages of what is in force"
    return (
      part,
      """
      <nav class="pages" aria-label="\(HTML(stringLiteral: label))">\(link(page - 1, "Newer"))<span>\
      \(Units.count(first + 1)) to \(Units.count(first + part.count)) \
      of \(Units.count(list.count))</span>\(link(page + 1, "Older"))</nav>
      """
    )
  }

  private var inForce: HTML {
    guard let live else {
      let open = past.filter { $0.ended == nil && matches($0.record.network, $0.record.reason) }
      let note: HTML = """
        <p class="bad">No sentry is running, so what is in force is not known.</p><p>The firewall may still hold its blocks: \
        <code>nft list table inet portsentry</code> shows them. These were not taken back:</p>
        """
      return note + (open.isEmpty ? "<p>None.</p>" : Self.table(Array(open.prefix(Self.shown)), zone))
    }
    let found = live.sorted { ($1.since, $0.network) < ($0.since, $1.network) }
      .filter { matches(IPNetwork($0.network), $0.reason, $0.methods.joined(separator: " ")) }
    guard !found.isEmpty else { return search.isEmpty ? "<p>Nobody is blocked.</p>" : "<p>No block matches.</p>" }
    let (part, links) = cut(found, page, false)
    let rows = part.map { block -> HTML in
      let address = IPNetwork(block.network).map(Charts.address) ?? "<code>\(block.network)</code>"
      let seen = Self.seen(FleetText.times((block.witnesses ?? []).map(\.witness), zone))
      let end = block.until.map { "in \(Term.text(max(Timestamp(seconds: $0) - now, .zero)))" } ?? "never"
      return """
        <tr><td>\(address)<small>\(block.reason)</small>\(seen)</td><td class="n late">\(zone.minute(Timestamp(seconds: block.since)))</td>\
        <td class="n">\(end)</td>\
        <td class="late">\(block.methods.joined(separator: ", "))</td><td class="n"><form method="post" action="/unblock">\
        \(Template.key(session))\
        <input type="hidden" name="target" value="\(block.network)"><button aria-label="Unblock \(block.network)">Unblock</button></form>\
        </td></tr>
        """
    }
    return """
      <table class="list"><thead><tr><th scope="col">address</th><th scope="col" class="n late">since</th>\
      <th scope="col" class="n">ends</th>\
      <th scope="col" class="late">by</th><th scope="col" class="n">change</th></tr></thead><tbody>\(rows)</tbody></table>\(links)
      """
  }

  private var over: HTML {
    let found = past.filter {
      $0.ended != nil && matches($0.record.network, $0.record.reason, $0.because ?? "", $0.record.methods)
    }
    guard !found.isEmpty else { return search.isEmpty ? "<p>None.</p>" : "<p>No block matches.</p>" }
    let (part, links) = cut(found, pastPage, true)
    let bound: HTML =
      past.count >= Self.mostRead
      ? "<p class=\"span\">Of the newest \(Units.count(Self.mostRead)) blocks. <code>portsentry blocked --since 30d</code> lists all.</p>"
      : HTML()
    return Self.table(Array(part), zone) + links + bound
  }

  /// The hosts of the fleet that a block rests on, and when each saw the source.
  private static func seen(_ times: String) -> HTML { times.isEmpty ? HTML() : "<small>\(times)</small>" }

  /// What is said of a block that was never taken back.
  static let unknown = "in force, or no sentry ran since"

  static func table(_ blocks: [PastBlock], _ zone: Zone, open: String = unknown) -> HTML {
    let rows = blocks.map { block -> HTML in
      let end = block.ended.map { "\(zone.minute($0)), \(block.because ?? "")" } ?? open
      let after = block.cameBack ? "came back" : block.ended == nil ? "" : "stayed away"
      return """
        <tr><td>\(Charts.address(block.record.network))<small>\(block.record.reason)</small>\(seen(FleetText.times(block.record.witnesses, zone)))</td><td class="n late">\
        \(zone.minute(block.record.since))</td>\
        <td class="n wrap">\(end)<small>\(after)</small></td></tr>
        """
    }
    return """
      <table class="list"><thead><tr><th scope="col">address</th><th scope="col" class="n late">since</th>\
      <th scope="col" class="n">ended</th></tr></thead><tbody>\(rows)</tbody></table>
      """
  }
}
