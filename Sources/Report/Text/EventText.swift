import Detection
import Journal
import Platform
import Response
import Wire

/// Notes of the journal in words: one line each, without anything a terminal would obey.
package enum EventText {
  /// `2026-11-25 18:02:11  verdict   243.1.7.9  vertical scan of 12 ports by nmap, proven`.
  package static func line(_ note: Note, _ zone: Zone) -> String {
    let kind = note.kind.name
    let subject = note.subject.map { "\($0)  " } ?? ""
    return "\(zone.text(note.time))  \(kind)\(String(repeating: " ", count: 8 - kind.count))  \(subject)\(words(note))"
  }

  /// What happened, without time and subject.
  package static func words(_ note: Note) -> String {
    let text = SafeText.line(note.text ?? "", limit: 500)
    switch note.kind {
    case .verdict: return note.scan.map(scan) ?? "a scan that is no longer kept"
    case .proven:
      let peer = text.isSameBytes(as: Event.Proof.handshake.name) ? "a service on" : text
      return "address verified by a handshake" + (note.number.map { " with \(peer) port \($0)" } ?? "")
    case .blocked:
      guard let block = note.block else { return "blocked" }
      let again = block.repeats > 0 ? ", \(ordinal(block.repeats + 1)) time" : ""
      return "\(term(block))\(again): \(SafeText.line(block.record.reason, limit: 500))"
    case .refused: return "not blocked: \(text)"
    case .released: return text
    case .lost: return "\(Units.count(note.number ?? 0)) or more: \(lost(text))"
    case .started: return "PortSentry watches"
    case .stopped: return "PortSentry has ended"
    case .blind: return "no interface is up: nothing is seen"
    case .seeing: return "an interface is up again"
    }
  }

  private static func term(_ block: PastBlock) -> String {
    block.record.until.map { "for \(Term.text($0 - block.record.since))" } ?? "until released"
  }

  package static func lost(_ kind: String) -> String {
    switch Event.Loss.allCases.first(where: { $0.name == kind }) {
    case .ring: "packets, in the kernel"
    case .queue: "probes, between the threads"
    case .sources: "sources that the detector has forgotten"
    case .journal: "records of the journal"
    case .doubts: "doubts that found no room"
    case nil: kind
    }
  }

  static func ordinal(_ number: Int) -> String {
    switch number {
    case 1: return "first"
    case 2: return "second"
    case 3: return "third"
    default:
      let isTeen = (11...13).contains(number % 100)
      let ending = isTeen || number % 10 > 3 ? "th" : ["th", "st", "nd", "rd"][number % 10]
      return "\(number)\(ending)"
    }
  }

  /// `slow vertical scan of 12 ports by nmap, proven, 40 probes in 3m`.
  package static func scan(_ scan: Scan) -> String {
    switch scan.verdictClass {
    case .backscatter:
      return
        "backscatter: answers from \(scan.transport.name) port \(scan.port), \(Units.plural(scan.probes, "packet"))"
    case .flood: return "flood: \(Units.plural(scan.probes, "packet")) to \(scan.transport.name) port \(scan.port)"
    case .anomaly: return "anomaly: \(Units.plural(scan.probes, "packet")), \(techniques(scan))"
    case .scan: break
    }
    var text = "\(scan.isSlow ? "slow " : "")\(scan.kind.name) scan of \(Units.plural(scan.ports, "port"))"
    if scan.targets > 1 { text += " on \(Units.plural(scan.targets, "address", "addresses"))" }
    text += " (\(techniques(scan)))"
    if scan.tool != .unknown { text += " by \(scan.tool.name)" }
    if scan.sources > 1 { text += ", by \(Units.count(scan.sources)) sources together" }
    text += ", \(scan.origin.name)"
    if scan.mayBeZombie { text += ", perhaps in another's name (idle scan)" }
    if scan.mayBeDecoy { text += ", perhaps a decoy" }
    text += ", \(Units.plural(scan.probes, "probe"))"
    return text + (scan.duration >= .seconds(1) ? " in \(Term.text(scan.duration))" : "")
  }

  static func techniques(_ scan: Scan) -> String { scan.techniques.techniques.map(\.name).joined(separator: ",") }

  package static func json(_ note: Note) -> JSON {
    .members(
      [
        ("id", JSON(note.id)), ("time", .time(note.time)), ("event", .string(note.kind.name)),
        ("subject", JSON(note.subject?.description)), ("text", .string(words(note))),
      ] + (note.scan.map { [("scan", json($0))] } ?? []) + (note.block.map { [("block", json($0))] } ?? [])
        + (note.number.map { [(note.kind == .lost ? "count" : "port", JSON($0))] } ?? []))
  }

  package static func json(_ scan: Scan) -> JSON {
    .object([
      "class": .string(scan.verdictClass.name), "source": .string("\(scan.source)"),
      "origin": .string(scan.origin.name),
      "kind": .string(scan.kind.name), "slow": .bool(scan.isSlow), "tool": .string(scan.tool.name),
      "techniques": .array(scan.techniques.techniques.map { .string($0.name) }), "first": .time(scan.first),
      "last": .time(scan.last), "probes": JSON(scan.probes), "ports": JSON(scan.ports), "targets": JSON(scan.targets),
      "sources": JSON(scan.sources), "may_be_zombie": .bool(scan.mayBeZombie), "may_be_decoy": .bool(scan.mayBeDecoy),
      "score": .points(scan.score), "threshold": .points(scan.threshold),
      "evidence": .array(
        scan.evidence.map {
          .object([
            "kind": .string($0.kind.name), "technique": .string($0.technique.name), "port": JSON($0.port),
            "weight": .points($0.weight),
          ])
        }),
    ])
  }

  /// A host of the fleet that saw somebody, and when.
  package static func json(_ witness: FleetCause.Witness) -> JSON {
    .object(["host": .string(witness.shownName), "time": .time(witness.time)])
  }

  package static func json(_ block: PastBlock) -> JSON {
    let record = block.record
    let isWithoutProbe = record.isWithoutProbe
    return .object([
      "network": .string("\(record.network)"), "since": JSON(record.since.seconds),
      "until": record.until.map { JSON($0.seconds) } ?? .null,
      "methods": .array(record.methods.splitBytes(",").map { .string(String($0)) }),
      // Whoever is blocked by hand, or by the fleet, touched nothing here.
      "port": isWithoutProbe ? .null : JSON(record.port),
      "protocol": isWithoutProbe ? .null : .string(record.transport.name),
      "mode": .string(record.mode), "reason": .string(record.reason),
      "witnesses": .array(record.witnesses.map(json)),
      "repeats": JSON(block.repeats), "ended": block.ended.map { JSON($0.seconds) } ?? .null,
      "because": JSON(block.because), "went_on": .bool(block.wentOn), "came_back": .bool(block.cameBack),
    ])
  }
}
