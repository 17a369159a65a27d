import Journal
import Platform
import Response
import Wire

/// What the fleet is and saw, in words.
package enum FleetText {
  /// For `status`; nothing where this host is of no fleet.
  static func rows(_ fleet: LiveStatus.Fleet?) -> [(String, String)] {
    guard let fleet else { return [] }
    var rows = [("fleet", line(fleet))]
    let refused = (fleet.refused ?? [:]).filter { $0.value > 0 }.sorted { $0.key < $1.key }
    if !refused.isEmpty {
      let reasons = refused.map { "\(Units.count($0.value)) \(SafeText.line($0.key, limit: 40))" }
      rows.append(("", "not believed: \(reasons.joined(separator: ", "))"))
    }
    return rows
  }

  /// `reached; this host is web1 of zone 1, one of 5 members; 12 bans`.
  package static func line(_ fleet: LiveStatus.Fleet) -> String {
    let fault = fleet.fault.map { ", \(SafeText.line($0, limit: 200))" } ?? ""
    var text = fleet.connected == true ? "reached" : "NOT REACHED\(fault)"
    text += "; this host is \(SafeText.line(fleet.name ?? "?", limit: 63)) of zone \(fleet.zone ?? 0)"
    text += ", one of \(Units.plural(fleet.members ?? 0, "member")); \(Units.plural(fleet.bans ?? 0, "ban"))"
    if let spared = fleet.spared, spared > 0 { text += ", \(Units.count(spared)) not in force here" }
    if let waiting = fleet.waiting, waiting > 0 { text += "; \(Units.plural(waiting, "record")) not sent yet" }
    return text
  }

  /// For `status`; nothing where nothing is exchanged with CrowdSec.
  static func rows(_ crowdSec: LiveStatus.CrowdSec?) -> [(String, String)] {
    guard let crowdSec else { return [] }
    var text = crowdSec.failing == true ? "NOT REACHED, or it refuses: see the log" : "reached"
    text += "; \(Units.plural(crowdSec.told ?? 0, "alert")) told"
    if let waiting = crowdSec.waiting, waiting > 0 { text += ", \(Units.count(waiting)) waiting" }
    if let lost = crowdSec.lost, lost > 0 { text += ", \(Units.count(lost)) lost" }
    let use = crowdSec.use == "ban" ? "followed" : "watched"
    return [("crowdsec", text + "; \(Units.plural(crowdSec.decisions ?? 0, "decision")) \(use)")]
  }

  /// `web1 2026-11-29 23:10:01, web2 2026-11-29 23:10:04`.
  package static func times(_ witnesses: [FleetCause.Witness], _ zone: Zone) -> String {
    witnesses.map { "\(SafeText.line($0.shownName, limit: 63)) \(zone.text($0.time))" }.joined(separator: ", ")
  }
}

extension LiveWitness {
  /// As the journal has it, but for its number, which is not told.
  package var witness: FleetCause.Witness {
    FleetCause.Witness(node: 0, name: host, at: Timestamp(nanoseconds: Int64(time * 1e6) * 1000))
  }
}
