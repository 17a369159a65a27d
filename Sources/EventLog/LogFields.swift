import Detection
import Wire

/// What a line is about, for logs that keep fields beside the text.
package struct LogFields: Equatable, Sendable {
  package enum Event: String, Sendable {
    case probe, blocked, released, refused, scan
    case scanEnded = "scan_ended"
  }

  package var event: Event
  package var source: IPNetwork
  package var target: IPAddress?
  package var port: UInt16?
  package var protocolName: String?
  package var technique: Technique?

  init(_ event: Event, _ source: IPNetwork) {
    self.event = event
    self.source = source
  }

  init(_ probe: Probe) {
    self.init(.probe, IPNetwork(probe.source))
    target = probe.target
    port = probe.targetPort
    protocolName = probe.protocolName
    technique = probe.technique
  }

  /// Names and values; none of the values has a line end.
  var list: [(name: StaticString, value: String)] {
    [
      ("PORTSENTRY_EVENT", event.rawValue), ("PORTSENTRY_SOURCE", "\(source)"),
      ("PORTSENTRY_TARGET", target.map { "\($0)" }), ("PORTSENTRY_PORT", port.map { "\($0)" }),
      ("PORTSENTRY_PROTOCOL", protocolName), ("PORTSENTRY_TECHNIQUE", technique?.name),
    ].compactMap { (name: StaticString, value: String?) in value.map { (name, $0) } }
  }
}
