import Detection
import Response
import Wire

extension LogLine {
  /// What became clear about a source, by the native rule. Neither predecessor had words for it, and no filter made for those of
  /// 2.x reads it.
  package static func verdict(_ verdict: Verdict, in dialect: LogDialect = .modern) -> LogLine {
    let text =
      switch verdict.verdictClass {
      case .scan: scanText(verdict)
      case .backscatter:
        "Backscatter: \(source(verdict)) answers what others sent in our name; "
          + "port \(verdict.port) of it is being flooded or scanned, it is no scanner"
      case .flood:
        "Flood: \(verdict.probes) packets (\(techniques(verdict))) to \(verdict.transport.name) port \(verdict.port) "
          + (verdict.sources > 1 ? "from about \(verdict.sources) sources" : "from \(source(verdict))")
          + lasted(verdict)
          + "; their sources are not held to be scanners"
      case .anomaly:
        "Anomaly: \(source(verdict)) sends packets that no host takes (\(verdict.probes) so far); it is no scanner"
      }
    return remark(text, in: dialect)
  }

  /// Words beside those of the predecessors. logwatch skips lines with "PortSentry is now active" in them, and lists others as
  /// unmatched.
  private static func remark(_ text: String, in dialect: LogDialect) -> LogLine {
    switch dialect {
    case .classic: admin("PortSentry is now active. Verdict: \(text)", in: .classic)
    case .modern: LogLine("Verdict: \(text)", in: .modern)
    case .native: LogLine(text, in: .native)
    }
  }

  /// One line for many that would have said the same of ever other sources.
  package static func moreVerdicts(_ count: Int, in dialect: LogDialect = .modern) -> LogLine {
    remark("\(count) more within this minute are not written here", in: dialect)
  }

  private static func scanText(_ verdict: Verdict) -> String {
    let who =
      verdict.kind == .distributed
      ? "\(verdict.sources) sources in \(verdict.source) act as one: a" : "\(source(verdict)) is a scanner:"
    let slow = verdict.isSlow ? " slow" : ""
    let tool = verdict.tool == .unknown ? "" : " with \(verdict.tool.name)"
    let ports = verdict.ports == 1 ? "1 port" : "\(verdict.ports) ports"
    let probes = verdict.probes == 1 ? "1 probe" : "\(verdict.probes) probes"
    let targets = verdict.targets > 1 ? " of about \(verdict.targets) addresses" : ""
    let doubts =
      (verdict.mayBeZombie ? "; perhaps another scans in its name (idle scan)" : "")
      + (verdict.mayBeDecoy ? "; perhaps its name is only a decoy (others sent the same)" : "")
    return "\(who)\(slow) \(verdict.kind.name) scan (\(techniques(verdict)))\(tool), \(ports)\(targets)"
      + "\(lasted(verdict)); evidence \(nats(verdict.score)) of \(nats(verdict.threshold)) needed after \(probes), origin \(verdict.origin.name)"
      + doubts
  }

  private static func source(_ verdict: Verdict) -> String {
    verdict.source.isHost ? "\(verdict.source.address)" : "\(verdict.source)"
  }

  private static func techniques(_ verdict: Verdict) -> String {
    verdict.techniques.techniques.map(\.name).joined(separator: ", ")
  }

  private static func lasted(_ verdict: Verdict) -> String {
    let seconds = (verdict.last - verdict.first).components.seconds
    return switch seconds {
    case ..<1: ""
    case ..<120: " in \(seconds)s"
    case ..<7200: " in \(seconds / 60)m"
    default: " in \(seconds / 3600)h"
    }
  }

  /// Thousandths of a nat, to a tenth.
  private static func nats(_ thousandths: Int32) -> String {
    let tenths = (Int(thousandths) + 50) / 100
    return "\(tenths / 10).\(tenths % 10)"
  }
}
