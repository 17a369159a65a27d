import Detection
import EventLog
import Journal
import Platform
import Wire

/// Probes, verdicts and blocks as lines of JSON in the form of Suricata's eve.json: all of them alerts, so that what reads
/// Suricata's reads ours.
package enum EVELines {
  package static func append(_ event: Event, to file: inout LineFile) {
    guard let object = object(event) else { return }
    file.append(isImportant: !event.isProbe) { text in
      text += object.text.utf8
      text.append(0x0a)
    }
  }

  /// Signature numbers from 1,000,000 on are those of a site's own rules.
  private static let firstSignature = 1_077_000

  /// Events that EVE has no form for give nil.
  static func object(_ event: Event) -> JSON? {
    switch event {
    case .probe(let probe):
      var members: [(String, JSON)] = [
        ("src_ip", .string("\(probe.source)")), ("src_port", JSON(probe.sourcePort)),
        ("dest_ip", .string("\(probe.target)")), ("dest_port", JSON(probe.targetPort)),
        ("proto", .string(probe.protocolName)),
      ]
      if !probe.hasPorts { members.removeAll { $0.0.endsWithBytes("_port") } }
      if probe.technique == .icmp { members.append(("icmp_type", JSON(probe.targetPort))) }
      return line(
        event.time, members, id: Int(probe.technique.rawValue), severity: 3,
        "PORTSENTRY \(probe.technique.name) probe of an unused port", "Attempted Information Leak")
    case .verdict(let verdict):
      return line(
        event.time,
        [
          source(verdict.source), ("dest_port", JSON(verdict.port)), ("proto", .string(verdict.transport.name)),
        ], id: 100 + Int(verdict.verdictClass.rawValue) * 10 + Int(verdict.kind.rawValue),
        severity: verdict.origin == .proven ? 1 : 2,
        "PORTSENTRY \(verdict.verdictClass.name) (\(verdict.kind.name))\(network(verdict.source))",
        "Detection of a Network Scan")
    case .blocked(let record, _):
      return line(
        event.time, [source(record.network), ("proto", .string(record.transport.name))], id: 200, severity: 1,
        action: "blocked", "PORTSENTRY source blocked\(network(record.network)): \(record.fullReason)",
        "Detection of a Network Scan")
    default: return nil
    }
  }

  /// `src_ip` takes one address; that it stands for a network is said in words.
  private static func source(_ network: IPNetwork) -> (String, JSON) { ("src_ip", .string("\(network.address)")) }
  private static func network(_ network: IPNetwork) -> String { network.isHost ? "" : " from \(network)" }

  private static func line(
    _ time: Timestamp, _ members: [(String, JSON)], id: Int, severity: Int, action: String = "allowed",
    _ signature: String, _ category: String
  ) -> JSON {
    .members(
      [("timestamp", .string(stamp(time))), ("event_type", "alert")] + members + [
        (
          "alert",
          .object([
            "action": .string(action), "gid": 1, "signature_id": JSON(firstSignature + id), "rev": 1,
            "signature": .string(signature), "category": .string(category), "severity": JSON(severity),
          ])
        )
      ])
  }

  /// `2026-11-25T18:02:11.123456+0000`.
  private static func stamp(_ time: Timestamp) -> String {
    let text = LocalTime(time, offset: 0).iso8601
    let micros = String(time.nanoseconds.magnitude / 1000 % 1_000_000)
    return text.prefix(20) + String(repeating: "0", count: 6 - micros.count) + micros + "+0000"
  }
}
