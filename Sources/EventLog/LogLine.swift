import Detection
import Platform
import Response
import Wire

/// One message of the sentry: one line of printable ASCII, in the words of PortSentry 1.2 or 2.x wherever they have
/// words for it, because logwatch, logcheck, fail2ban and people's own scripts read them.
///
/// The lines are made by static functions: of probes here, of responses in `LogLine+Response.swift`, of the service
/// and its errors in `LogLine+Service.swift`.
package struct LogLine: Equatable, Sendable {
  /// Printable ASCII without a line end: whatever came from outside has been escaped.
  package let text: String
  package let severity: Severity
  /// What it is about, for logs that keep more than text.
  package let fields: LogFields?

  /// - Parameter severity: as syslog is told in the modern dialect. 1.2 calls everything a notice.
  init(_ text: String, _ severity: Severity = .notice, in dialect: LogDialect, about fields: LogFields? = nil) {
    self.text = SafeText.line(text)
    self.severity = dialect == .classic ? .notice : severity
    self.fields = fields
  }
}

extension LogLine {
  /// A probe in the words of 1.2, e.g. `attackalert: TCP SYN/Normal scan from host: NAME/IP to TCP port: N`.
  ///
  /// - Parameter name: a forward-confirmed host name; nil repeats the address.
  package static func scan(_ probe: Probe, name: String? = nil) -> LogLine {
    // 1.2 wrote two blanks before this one, and rules written for it expect them.
    let lead = probe.technique == .null && !probe.isConnection ? "attackalert:  " : "attackalert: "
    let type =
      probe.isConnection ? "Connect" : probe.technique == .udp ? "UDP scan" : probe.typeText
    return LogLine(
      "\(lead)\(type) from host: \(host(probe.source, name)) to \(probe.transport.name) port: \(probe.targetPort)",
      in: .classic, about: LogFields(probe))
  }

  /// What 1.2 adds after the line of a probe whose packet had IP options.
  package static func ipOptions(_ probe: Probe, name: String? = nil) -> LogLine {
    LogLine(
      "attackalert: Packet from host: \(host(probe.source, name)) to \(probe.transport.name) port: \(probe.targetPort)"
        + " has IP options set (detection avoidance technique).",
      in: .classic)
  }

  /// A probe and what came of it in the words of 2.x.
  package static func event(_ event: ScanEvent, in dialect: LogDialect = .modern) -> LogLine {
    LogLine(event.text, in: dialect, about: event.fields)
  }

  /// `NAME/IP`, the address twice when there is no name that may be shown.
  static func host(_ address: IPAddress, _ name: String?) -> String {
    "\(name.flatMap { SafeText.hostName($0) } ?? address.description)/\(address)"
  }
}
