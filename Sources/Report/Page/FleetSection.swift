import Journal
import Wire

/// The part of a report about what other hosts of the fleet saw; nothing where there is no block of theirs.
enum FleetSection {
  static func html(_ s: Summary, _ link: Sections.Link) -> HTML {
    let b = s.blocks
    guard b.fleet > 0 else { return HTML() }
    let hosts = Sections.bars(b.byHost.map { ($0.host, HTML(), Double($0.blocks), Units.count($0.blocks)) })
    let rows = b.fleetNewest.prefix(8).map { block -> HTML in
      """
      <tr><td>\(Sections.address(block.record.network, link))<small>\(FleetText.times(block.record.witnesses, s.zone))</small></td>\
      <td class="n">\(s.zone.shortDate(block.record.since)) \(s.zone.clock(block.record.since))</td></tr>
      """
    }
    let body: HTML = """
      <div class="pair"><div><h3>Hosts, by blocks that rest on them</h3>\(hosts)</div>\
      <div><h3>Newest</h3><table class="list">\(rows)</table></div></div>
      """
    return Sections.section("fleet", "What the fleet saw", [Prose.fleet(s)], body)
  }
}
