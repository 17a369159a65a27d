import Detection
import Journal
import Notify
import Platform
import Report
import Response
import Wire

extension Notice {
  /// What somebody may want to be told of an event; nil for most.
  init?(_ event: Event) {
    switch event {
    case .blocked(let record, let repeats):
      let length = record.until.map { "for \(Term.text($0 - record.since))" } ?? "until it is unblocked"
      let again = repeats > 0 ? " (blocked \(Units.plural(repeats, "time")) before)" : ""
      self.init(
        .block, at: record.since, about: "\(record.network)",
        "Blocked \(record.network) \(length)\(again): \(record.fullReason)")
    case .verdict(let verdict): self.init(verdict)
    case .lost(let loss, let count, let time):
      // Sources that make room for others are no loss that anybody could mend.
      if loss == .sources { return nil }
      self.init(.loss, at: time, key: "lost \(loss.name)", "Lost: \(count) \(EventText.lost(loss.name))")
    case .blind(let time): self.init(.loss, at: time, "No interface is up: NOTHING IS SEEN until one is")
    default: return nil
    }
  }

  private init?(_ verdict: Verdict) {
    let source = "\(verdict.source)"
    switch verdict.verdictClass {
    case .scan:
      let tool = verdict.tool == .unknown ? "" : " with \(verdict.tool.name)"
      let origin = verdict.origin == .proven ? "" : "; address not verified"
      self.init(
        .scan, at: verdict.last, about: source, key: "scan \(source)",
        "\(source) is a scanner: \(verdict.kind.name) scan\(tool), \(Units.plural(verdict.ports, "port"))\(origin)")
    case .flood:
      self.init(
        .flood, at: verdict.last, key: "flood \(verdict.transport.name) \(verdict.port)",
        "Flood: \(Units.plural(verdict.probes, "packet")) to \(verdict.transport.name) port \(verdict.port)")
    case .backscatter, .anomaly: return nil
    }
  }
}

/// What protects this host and what is kept of it, at a moment.
struct Protection: Equatable {
  /// Ways to this host on which its firewall hides the decoys.
  var hiding: [String] = []
  /// Why there are no decoys where there should be.
  var decoyFault: String?
  /// Whether blocks cannot be compared with what is in force.
  var blocksInDoubt = false
  var isJournalFailing = false
  /// Lines of log and history that are lost.
  var lostLines: UInt64 = 0
}

/// Sees what has become worse.
struct ProtectionWatch {
  private var before = Protection()

  mutating func changes(to now: Protection, at time: Timestamp) -> [Notice] {
    defer { before = now }
    if now == before { return [] }
    var notices: [Notice] = []
    let hiding = now.hiding.filter { !before.hiding.contains($0) }
    if !hiding.isEmpty {
      notices.append(
        Notice(
          .hiddenDecoys, at: time,
          "The firewall of this host hides the decoys (\(hiding.joined(separator: ", "))): scanners cannot connect to them, so their addresses are not verified and nobody is blocked; run `portsentry firewall`"
        ))
    }
    if let fault = now.decoyFault, before.decoyFault == nil {
      notices.append(Notice(.loss, at: time, key: "decoys", "There are no decoys: \(fault)"))
    }
    if now.blocksInDoubt, !before.blocksInDoubt {
      notices.append(
        Notice(
          .loss, at: time, key: "blocks",
          "Blocks cannot be compared with what is in force, and may not be; it is tried again every five seconds"))
    }
    if now.isJournalFailing, !before.isJournalFailing {
      notices.append(Notice(.loss, at: time, key: "journal", "The journal cannot be written; watching goes on"))
    }
    if now.lostLines > before.lostLines {
      notices.append(
        Notice(
          .loss, at: time, key: "lines",
          "Lost: \(Units.plural(now.lostLines - before.lostLines, "line")) of log or history"))
    }
    return notices
  }
}
