import Journal
import Platform
import Wire

/// Whether all is well, and what to do where it is not: the first line of the page.
package struct Answer: Sendable, Equatable {
  /// Something that somebody has to look at.
  package struct Need: Sendable, Equatable {
    package var text: String
    /// What to run as root.
    package var command: String

    package init(_ text: String, _ command: String) {
      self.text = text
      self.command = command
    }
  }

  /// The worst first.
  package var needs: [Need] = []
  /// Whether scanners are blocked, or only logged.
  package var isBlocking = false

  private static let log = "journalctl -u portsentry"
  private static let day = Duration.seconds(86_400)
  /// Without a loss for so long, what takes the lines works again.
  private static let calm = Duration.seconds(60)

  /// - Parameters:
  ///   - live: what a running sentry says of itself; nil where none answers.
  ///   - losses: of the last 24 hours.
  package init(_ live: LiveStatus?, losses: [(kind: Event.Loss, count: UInt64)], now: Timestamp, _ zone: Zone) {
    guard let live else {
      needs = [Need("No sentry is running: nothing is watched.", "systemctl start portsentry")]
      return
    }
    isBlocking = live.response.map { $0.containsBytes("block by") } ?? false
    if live.seesNothing { needs.append(Need("No interface is up: nothing is seen.", "ip link")) }
    if live.blocks?.enforced == false {
      needs.append(Need("Blocks may not be in force: the firewall's table does not hold them.", Self.log))
    }
    if live.deception?.state == "failed" {
      needs.append(Need("There are no decoys: \(live.deception?.text ?? "the log says why").", Self.log))
    }
    if let ways = live.deception?.hidden, !ways.isEmpty {
      needs.append(
        Need(
          "The firewall of this host hides the decoys on \(ways.joined(separator: ", ")): strangers do not reach them.",
          "portsentry firewall"))
    }
    if live.journal?.failing == true {
      needs.append(Need("The journal cannot be written: what happens now is not recorded.", Self.log))
    }
    if let trial = live.trial, trial.is_over {
      needs.append(Need("The trial is over: nothing is blocked any more.", "portsentry confirm"))
    }
    let lost = losses.filter { Self.matters($0.kind) && $0.count > 0 }
    if !lost.isEmpty {
      let list = lost.map { "\(Units.count($0.count)) \(EventText.lost($0.kind.name))" }.joined(separator: "; ")
      needs.append(Need("Not everything of the last 24 hours was recorded. Lost: \(list).", "portsentry status"))
    }
    let unwritten = [("lines of the history", live.dropped?.history), ("log lines", live.dropped?.log)].compactMap {
      what, count in count.flatMap { $0 > 0 ? "\(Units.count($0)) \(what)" : nil }
    }
    // What was lost a day ago is in `status`, and needs nobody any more.
    if !unwritten.isEmpty, let last = live.log?.last_lost.map({ Timestamp(seconds: $0) }), now - last < Self.day {
      let state =
        now - last < Self.calm
        ? "; the last just now" : "; the last at \(zone.minute(last)), and all lines since then are written"
      needs.append(Need("Lost: \(unwritten.joined(separator: ", "))\(state).", "portsentry status"))
    }
  }

  /// Sources are forgotten by design where there are too many: nothing that was seen is lost with them.
  package static func matters(_ kind: Event.Loss) -> Bool { kind != .sources }

  package var isWell: Bool { needs.isEmpty }

  /// The one line.
  package var headline: String {
    switch needs.count {
    case 0: isBlocking ? "Protected, nothing needs you." : "Watching, nothing needs you."
    case 1: needs[0].text
    default: "\(needs.count) things need you."
    }
  }
}
