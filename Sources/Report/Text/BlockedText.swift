import Journal
import Platform
import Wire

/// `portsentry blocked`.
package enum BlockedText {
  /// What is in force.
  ///
  /// - Parameter all: how many there are, of which these are the newest.
  package static func render(_ blocks: [LiveBlock], all: Int, now: Timestamp, _ zone: Zone) -> String {
    if blocks.isEmpty { return "nothing is blocked\n" }
    var columns = Columns([("ADDRESS", .left), ("SINCE", .left), ("ENDS", .left), ("BY", .left), ("BECAUSE", .left)])
    for block in blocks {
      columns.add([
        SafeText.line(block.network), zone.text(Timestamp(seconds: block.since)),
        block.until.map { "in \(Term.text(Timestamp(seconds: $0) - now))" } ?? "never",
        SafeText.line(block.methods.joined(separator: ",")), SafeText.line(block.reason),
      ])
    }
    return columns.text() + (all > blocks.count ? "and \(Units.count(all - blocks.count)) more\n" : "")
  }

  package static func json(_ block: LiveBlock) -> JSON {
    .object([
      "network": .string(block.network), "since": JSON(block.since), "until": block.until.map { JSON($0) } ?? .null,
      "methods": .array(block.methods.map(JSON.string)), "port": block.port.map { JSON($0) } ?? .null,
      "protocol": JSON(block.protocol), "mode": .string(block.mode), "reason": .string(block.reason),
      "witnesses": .array((block.witnesses ?? []).map { EventText.json($0.witness) }),
    ])
  }

  /// Blocks of the past too.
  package static func render(past blocks: [PastBlock], now: Timestamp, _ zone: Zone) -> String {
    if blocks.isEmpty { return "nothing was blocked\n" }
    var columns = Columns([
      ("ADDRESS", .left), ("SINCE", .left), ("ENDED", .left), ("AFTERWARDS", .left), ("BY", .left), ("BECAUSE", .left),
    ])
    for block in blocks {
      let record = block.record
      let end = block.ended.map { "\(zone.text($0)) (\(SafeText.line(block.because ?? "", limit: 60)))" } ?? "-"
      columns.add([
        "\(record.network)", zone.text(record.since), end,
        block.cameBack ? "came back" : block.ended == nil ? block.wentOn ? "goes on" : "silent" : "stayed away",
        SafeText.line(record.methods), SafeText.line(record.reason),
      ])
    }
    return columns.text()
  }
}
