import Detection
import Platform
import Response
import Wire

/// What one probe was and what came of it: the event line of PortSentry 2.x.
package struct ScanEvent: Equatable, Sendable {
  package var source: IPAddress
  /// A forward-confirmed host name; nil shows the address in its place.
  package var name: String?
  package var transport: TransportProtocol
  package var port: UInt16
  /// The text of `type:`, e.g. `TCP SYN/Normal scan`.
  package private(set) var type: String
  /// Whether the packet had IP options; nil where that is not known (IPv6, connections).
  package var hasIPOptions: Bool?
  /// Whether the ignore file names the source.
  package var isIgnored: Bool?
  /// Whether the source has reached SCAN_TRIGGER; nil when that was not asked.
  package var isTriggered: Bool?
  /// Whether the settings keep us from responding; nil when that was not asked.
  package var isNotBlocking: Bool?
  /// Whether the source is shut out; nil when that was not asked.
  package var isBlocked: Bool?
  /// For logs that keep fields beside the text.
  package private(set) var fields: LogFields

  package typealias Result = ScanResult

  /// - Parameter result: nil while or where nothing was decided; looked at for a triggered probe only.
  package init(_ probe: Probe, name: String? = nil, result: Result? = nil) {
    source = probe.source
    self.name = name
    transport = probe.transport
    port = probe.targetPort
    type = probe.typeText
    fields = LogFields(probe)
    hasIPOptions = probe.isConnection || !probe.source.isV4 ? nil : probe.hasIPOptions
    isIgnored = probe.isIgnored
    if probe.isIgnored { return }
    isTriggered = probe.isTriggered
    guard probe.isTriggered, let result else { return }
    // The one combination of 2.x that calls something ignored and triggered at once.
    if result == .ownAddress { isIgnored = true }
    isNotBlocking = result == .logged || result == .ownAddress
    isBlocked = result == .blocked
  }

  /// The line without a date. Printable ASCII, as its parts are.
  package var text: String {
    var bytes: [UInt8] = []
    append(to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Adds the line without a date. A flood calls this for each packet, hence no interpolation.
  ///
  /// - Parameter isHistory: fail2ban's filter of 2.x reads the history and bans whoever follows `Scan from:`, whatever the
  ///   flags say. There an ignored source, or one below SCAN_TRIGGER, has other first words.
  func append(to text: inout [UInt8], isHistory: Bool = false) {
    let isInnocent = isHistory && isTriggered != true
    text += (isInnocent ? isIgnored == true ? "Ignored scan from: [" : "Untriggered scan from: [" : "Scan from: [").utf8
    let start = text.count
    AddressText.append(source, to: &text)
    let address = start..<text.count
    text += "] (".utf8
    if let name = name.flatMap({ SafeText.hostName($0) }) {
      text += name.utf8
    } else {
      // Copied first: appending a slice of an array to itself copies the whole array.
      text += Array(text[address])
    }
    text += ") protocol: [".utf8
    text += transport.name.utf8
    text += "] port: [".utf8
    AddressText.append(Int(port), to: &text)
    text += "] type: [".utf8
    text += type.utf8
    text += "] IP opts: [".utf8
    text += (hasIPOptions.map { $0 ? "set" : "not set" } ?? "unknown").utf8
    text += "] ignored: [".utf8
    text += Self.word(isIgnored).utf8
    text += "] triggered: [".utf8
    text += Self.word(isTriggered).utf8
    text += "] noblock: [".utf8
    text += Self.word(isNotBlocking).utf8
    text += "] blocked: [".utf8
    text += Self.word(isBlocked).utf8
    text.append(UInt8(ascii: "]"))
  }

  private static func word(_ value: Bool?) -> String { value.map { $0 ? "true" : "false" } ?? "unset" }
}

extension Probe {
  /// Whether it came through a socket of ours, where 1.2 and 2.x say only `Connect`, over UDP too.
  var isConnection: Bool { mode == .connect || technique == .connect }

  /// The words for the technique that both predecessors use, and in the same form those that they never saw.
  var typeText: String {
    if isConnection { return "Connect" }
    switch technique {
    case .connect: return "Connect"
    case .syn: return "TCP SYN/Normal scan"
    case .fin: return "TCP FIN scan"
    case .null: return "TCP NULL scan"
    case .xmas: return "TCP XMAS scan"
    case .maimon: return "TCP Maimon scan"
    case .ack: return "TCP ACK scan"
    case .udp: return "UDP"
    // No mode of the predecessors watches these; the words are in the form of theirs all the same.
    case .sctpInit: return "SCTP INIT scan"
    case .sctpCookieEcho: return "SCTP COOKIE ECHO scan"
    case .ipProtocol: return "IP protocol scan"
    case .icmp: return "ICMP sweep"
    // Names of verdicts; a single packet is never called so.
    case .ftpBounce, .osDetection, .versionProbe: return "TCP \(technique.name) scan"
    case .oddFlags:
      func bit(_ flag: TCPFlags) -> Int { flags.contains(flag) ? 1 : 0 }
      return "Unknown Type: TCP Packet Flags: SYN: \(bit(.syn)) FIN: \(bit(.fin)) ACK: \(bit(.ack))"
        + " PSH: \(bit(.psh)) URG: \(bit(.urg)) RST: \(bit(.rst))"
    }
  }
}
