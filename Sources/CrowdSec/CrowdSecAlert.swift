import Platform
import Wire

/// Alerts in the form that the local API takes (`/v1/alerts`, CrowdSec 1.4 to 1.7).
package enum CrowdSecAlert {
  /// The scenario of our bans.
  package static let ban = "portsentry/ban"
  /// Of scans: with an address that was verified, and with one that anybody may have written on a packet.
  static let scan = "portsentry/scan"
  static let unverified = "portsentry/scan-unverified"
  /// As long as what lasts until it is released: ten years.
  private static let forEver = Duration.seconds(315_360_000)

  /// What somebody did, by name.
  package typealias Meta = [(String, String)]

  /// A ban, with the decision that bouncers follow.
  ///
  /// - Parameter until: nil: until it is released.
  package static func ban(
    _ network: IPNetwork, until: Timestamp?, reason: String, host: String, _ meta: Meta, now: Timestamp
  ) -> String {
    let left = until.map { max($0 - now, .zero) } ?? forEver
    let decision = JSON.object([
      "origin": .string(CrowdSecDecision.ownOrigin), "type": "ban", "scope": .string(scope(network)),
      "value": .string("\(network)"), "duration": .string("\(min(left, forEver).components.seconds)s"),
      "scenario": .string(ban), "simulated": false,
    ])
    // Bans end at stop_at + duration there: both begin now.
    return alert(
      ban, network, "\(SafeText.line(host, limit: 60)) blocked \(network): \(SafeText.line(reason, limit: 300))",
      from: now, to: now, isBan: true, meta, [decision])
  }

  /// A scan, without a decision: `remediation` is false, so that the usual profiles make none of it.
  package static func scan(
    _ network: IPNetwork, from first: Timestamp, to last: Timestamp, isProven: Bool, words: String, host: String,
    _ meta: Meta
  ) -> String {
    alert(
      isProven ? scan : unverified, network,
      "\(SafeText.line(host, limit: 60)) saw \(network): \(SafeText.line(words, limit: 300))", from: first, to: last,
      isBan: false, meta, [])
  }

  private static func scope(_ network: IPNetwork) -> String { network.isHost ? "Ip" : "Range" }

  private static func alert(
    _ scenario: String, _ network: IPNetwork, _ message: String, from first: Timestamp, to last: Timestamp, isBan: Bool,
    _ meta: Meta, _ decisions: [JSON]
  ) -> String {
    let begin = LocalTime.rfc3339(first)
    let source = JSON.members(
      [("scope", .string(scope(network))), ("value", .string("\(network)"))]
        + [(network.isHost ? "ip" : "range", .string("\(network)"))])
    let event = JSON.object([
      "timestamp": .string(begin),
      "meta": .array(
        ([("source_ip", "\(network.address)"), ("service", "portsentry")] + meta).map {
          .object(["key": .string($0.0), "value": .string(SafeText.line($0.1, limit: 200))])
        }),
    ])
    return JSON.members(
      [
        ("scenario", .string(scenario)), ("scenario_hash", ""), ("scenario_version", ""),
        ("message", .string(message)), ("events_count", 1), ("start_at", .string(begin)),
        ("stop_at", .string(LocalTime.rfc3339(last))), ("capacity", 0), ("leakspeed", "0s"), ("simulated", false),
        ("remediation", .bool(isBan)), ("events", .array([event])), ("source", source),
      ] + (decisions.isEmpty ? [] : [("decisions", .array(decisions))])
    ).text
  }
}
