import Detection
import Platform
import Response
import Wire

/// The log for people: what happened to whom, in plain words.
extension LogLine {
  /// What is said of a scan that has ended.
  package struct EndedScan: Sendable {
    package var source: IPNetwork
    package var ports: Int
    package var probes: UInt64
    package var length: Duration
    /// It was not blocked, although sources are, because nothing proved its address.
    package var isUnverified = false
  }

  /// A source has become a scanner.
  package static func scanBegan(_ verdict: Verdict) -> LogLine {
    let slow = verdict.isSlow ? "slow " : ""
    // Any program connects; the technique says it already.
    let isNamed = verdict.tool != .unknown && verdict.tool.family != .connect
    let tool = isNamed ? " with \(verdict.tool.name)" : ""
    let techniques = verdict.techniques.techniques.map(\.name).joined(separator: ", ")
    let targets = verdict.targets > 1 ? " of about \(verdict.targets) addresses" : ""
    let who =
      verdict.kind == .distributed
      ? "\(verdict.sources) sources in \(verdict.source) scan together" : "\(verdict.source) is a scanner"
    let origin = verdict.origin == .proven ? "" : "; address not verified"
    let doubts =
      (verdict.mayBeZombie ? "; possibly an idle scan by another host" : "")
      + (verdict.mayBeDecoy ? "; possibly a forged address (others sent the same packets)" : "")
    return LogLine(
      "\(who): \(slow)\(verdict.kind.name) scan (\(techniques))\(tool), "
        + "\(counted(Int(verdict.ports), "port"))\(targets)\(origin)\(doubts)",
      in: .native, about: LogFields(.scan, verdict.source))
  }

  /// A scan has ended.
  package static func scanEnded(_ scan: EndedScan) -> LogLine {
    let seconds = max(scan.length.components.seconds, 1)
    let length =
      switch seconds {
      case ..<120: "\(seconds) s"
      case ..<7200: "\(seconds / 60) min"
      default: "\(seconds / 3600) h"
      }
    return LogLine(
      "\(scan.source) has stopped scanning: \(counted(scan.ports, "port")), "
        + "\(counted(Int(clamping: scan.probes), "probe")) in \(length)"
        + (scan.isUnverified ? "; not blocked, because its address was never verified (PROOF)" : ""),
      in: .native, about: LogFields(.scanEnded, scan.source))
  }

  /// Scanners without lines of their own.
  package static func furtherScanners(_ count: Int) -> LogLine {
    LogLine(
      "\(counted(count, "further scanner")) within the last hour without \(count == 1 ? "a line" : "lines"): "
        + "see `portsentry sources`", in: .native)
  }

  /// What one protocol is watched for, in one line.
  ///
  /// - Parameters:
  ///   - ports: how many are watched now.
  ///   - served: how many are left out because a service uses them.
  package static func watching(
    _ mode: Mode, _ transport: TransportProtocol, ports: Int, served: Int, excluded: PortSet
  ) -> LogLine {
    let used = served == 0 ? "" : "; \(counted(served, "port")) in use by services left out"
    let without = excluded.isEmpty ? "" : "; excluded: \(excluded)"
    return LogLine(
      "Watching \(counted(ports, "\(transport.name) port")) (mode \(mode.classicName(transport)))\(used)\(without)",
      in: .native)
  }

  /// Lines of one source that were left out within the last minute.
  ///
  /// logwatch's script skips what has "PortSentry is now active" in it, fail2ban's filters read neither form.
  package static func moreOfSource(_ source: IPAddress?, _ count: Int, in dialect: LogDialect) -> LogLine {
    let text =
      "and \(grouped(count)) more of \(source.map { "this source: \($0)" } ?? "many further sources") (LOG_LIMIT)"
    return dialect == .classic
      ? admin("PortSentry is now active in limiting lines: \(text)", in: dialect)
      : LogLine("Limit: \(text)", in: dialect)
  }

  /// `65,535 ports`, `1 port`.
  static func counted(_ count: Int, _ noun: String) -> String { "\(grouped(count)) \(noun)\(count == 1 ? "" : "s")" }

  /// `3,214`.
  static func grouped(_ count: Int) -> String {
    var text = String(count.magnitude)
    var place = text.count - 3
    while place > 0 {
      text.insert(",", at: text.index(text.startIndex, offsetBy: place))
      place -= 3
    }
    return count < 0 ? "-" + text : text
  }

  // MARK: Responses

  static func peopleBlocked(_ network: IPNetwork, by means: BlockedBy, because reason: String?) -> LogLine {
    let how =
      switch means {
      case .hostsDeny(let line): "by hosts.deny: \"\(line)\""
      case .command(let command): "by command: \"\(command)\""
      case .nftables(_, let duration): "\(term(duration)) by nftables"
      case .blackholeRoute(let duration): "\(term(duration)) by a blackhole route"
      }
    let why = reason.map { ": \($0)" } ?? ""
    return LogLine("Blocked \(network) \(how)\(why)", .warning, in: .native, about: LogFields(.blocked, network))
  }
}
