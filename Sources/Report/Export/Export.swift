import Detection
import Journal
import Platform
import Wire

/// Sources in the forms that others read. Pure; what is written out goes through a closure, piece by piece.
package struct Export: Sendable {
  package enum Format: String, Sendable, CaseIterable {
    case csv, json, stix, abuseipdb, dshield, xarf, crowdsec

    /// Whether it is a complaint about somebody, which needs proof that it was he.
    package var accuses: Bool { [.abuseipdb, .xarf, .stix, .crowdsec].contains(self) }
  }

  /// What becomes of our own addresses.
  package enum Own: String, Sendable, CaseIterable {
    case keep
    /// The first part is replaced, as DShield advises: 10.x.x.x, 2001:db8::x.
    case mask
    case omit
  }

  /// Who reports, for XARF.
  package struct Reporter: Sendable {
    package var organisation: String
    package var contact: String
    package var domain: String

    package init(organisation: String, contact: String, domain: String) {
      self.organisation = organisation
      self.contact = contact
      self.domain = domain
    }
  }

  package var own = Own.keep
  /// Also sources of private and other special networks.
  package var withPrivate = false
  /// In complaints, also sources that have not proven where they are.
  package var withUnproven = false
  package var reporter: Reporter?
  /// The number of a DShield account.
  package var account = "0"
  package var version = ""
  package var now: Timestamp

  package init(now: Timestamp) { self.now = now }

  /// Whether a source belongs into a format at all.
  package func accepts(_ source: Source, _ format: Format) -> Bool {
    guard !source.isIgnored, source.network.isHost, withPrivate || source.network.address.isPublic else { return false }
    guard format.accuses else { return true }
    return source.verdict == .scan && (withUnproven || source.origin == .proven)
  }

  func ownText(_ address: IPAddress?) -> String? {
    guard let address else { return nil }
    switch own {
    case .keep: return "\(address)"
    case .mask:
      return address.isV4
        ? "\(IPAddress(v4: 10 << 24 | address.v4Bits & 0x00ff_ffff))"
        : "\(IPAddress(high: 0x2001_0db8_0000_0000, low: address.low & 0xffff))"
    case .omit: return nil
    }
  }

  // MARK: CSV, JSON

  package static let csvHead =
    "address,first_seen,last_seen,probes,ports,techniques,origin,verdict,tool,target,name\r\n"

  package func csv(_ line: SourceLine) -> String {
    let s = line.source
    return Self.row([
      "\(s.network)", LocalTime.rfc3339(s.first), LocalTime.rfc3339(s.last), String(line.probes),
      s.ports >= PortBits.mostCounted ? "" : String(s.ports),
      s.techniques.techniques.map(\.name).joined(separator: " "), s.origin.name, s.verdict?.name ?? "",
      s.tool == .unknown ? "" : s.tool.name, ownText(s.target) ?? "", s.name ?? "",
    ])
  }

  /// RFC 4180; a cell that a spreadsheet would take for a formula gets an apostrophe in front.
  static func row(_ cells: [String]) -> String {
    cells.map { cell in
      var text = SafeText.line(cell)
      if let first = text.first, "=+-@".contains(first) { text = "'" + text }
      return text.contains(where: { ",\"'\n".contains($0) })
        ? "\"" + text.map { $0 == "\"" ? "\"\"" : String($0) }.joined() + "\"" : text
    }.joined(separator: ",") + "\r\n"
  }

  package func json(_ line: SourceLine) -> String {
    guard case .members(var members) = SourceList.json(line) else { return "" }
    members = members.map { $0.0 == "target" ? ("target", JSON(ownText(line.source.target))) : $0 }
    return JSON.members(members).text + "\n"
  }

  // MARK: AbuseIPDB

  package static let abuseIPDBHead = "IP,Categories,ReportDate,Comment\r\n"
  /// What its bulk form takes, the head included.
  package static let abuseIPDBLines = 10_000

  /// 14 is "Port Scan". Our own address is in none of it.
  package func abuseIPDB(_ line: SourceLine) -> String {
    Self.row(["\(line.source.network)", "14", LocalTime.rfc3339(line.source.last), comment(line)])
  }

  private func comment(_ line: SourceLine) -> String {
    let s = line.source
    var text = "Port scan: \(Units.plural(line.probes, "probe")) of \(Self.ports(s))"
    text += " (\(s.techniques.techniques.map(\.name).joined(separator: " ")))"
    if s.tool != .unknown { text += ", tool \(s.tool.name)" }
    if s.origin == .proven {
      text += ", source address proven by "
      text += s.proof == .handshake ? "an acknowledgment that only its owner could send" : "a completed connection"
    }
    return text
  }

  /// Beyond some ten their number is an estimate, and who is accused is told so.
  private static func ports(_ source: Source) -> String {
    if source.ports >= PortBits.mostCounted { return "more than 250 ports" }
    return (source.ports > 8 ? "about " : "") + Units.plural(source.ports, "port")
  }

  // MARK: CrowdSec

  /// What `cscli decisions import` takes as CSV.
  package static let crowdsecHead = "duration,origin,reason,scope,type,value\n"

  /// A decision: to ban the source for `time`.
  package func crowdsec(_ line: SourceLine, for time: Duration) -> String {
    "\(time.components.seconds)s,portsentry,portsentry/port-scan,Ip,ban,\(line.source.network)\n"
  }

  // MARK: DShield

  /// Its own form: date, account, count, source, source port, target, target port, protocol, flags, parted by tabs.
  package func dshield(_ source: Source, _ detail: JournalReader.Detail) -> String? {
    let name = PortName(detail.technique, detail.port)
    let protocolName: String
    switch name.family {
    case .tcp: protocolName = "TCP"
    case .udp: protocolName = "UDP"
    case .icmp: protocolName = "ICMP"
    case .sctp, .ip: return nil
    }
    let flags: String =
      switch detail.technique {
      case .syn, .connect: "S"
      case .fin: "F"
      case .xmas: "FPU"
      case .maimon: "AF"
      case .ack: "A"
      default: ""
      }
    let date = "\(Zone.utc.text(Timestamp(seconds: detail.hour * 3600))) +00:00"
    // A line without a target is none: where ours is left out, the masked form stands.
    var masked = self
    if own == .omit { masked.own = .mask }
    guard let target = masked.ownText(source.target) else { return nil }
    return [
      date, account, String(detail.probes), "\(source.network)", source.sourcePort.map(String.init) ?? "???", target,
      String(detail.port), protocolName, flags,
    ].joined(separator: "\t") + "\n"
  }

  // MARK: XARF

  /// One report (XARF 4): nil without a reporter, or without what a report has to have.
  ///
  /// - Parameter use: the port it asked for most; `id`: 128 random bits.
  package func xarf(_ line: SourceLine, _ use: (technique: Technique, port: UInt16)?, id: (UInt64, UInt64)) -> String? {
    guard let reporter, let use, use.port > 0, let sourcePort = line.source.sourcePort, sourcePort > 0 else {
      return nil
    }
    let family = PortName(use.technique, use.port).family
    guard family != .ip else { return nil }
    let s = line.source
    let contact: JSON = .object([
      "org": .string(reporter.organisation), "contact": .string(reporter.contact), "domain": .string(reporter.domain),
    ])
    let evidence = comment(line) + ", from \(LocalTime.rfc3339(s.first)) to \(LocalTime.rfc3339(s.last))\n"
    var members: [(String, JSON)] = [
      ("xarf_version", "4.0.0"), ("report_id", .string(UUID5.random(id))),
      ("timestamp", .string(LocalTime.rfc3339(s.last))), ("reporter", contact), ("sender", contact),
      ("source_identifier", .string("\(s.network)")), ("source_port", JSON(sourcePort)), ("category", "connection"),
      ("type", "port_scan"), ("protocol", .string("\(family)")), ("first_seen", .string(LocalTime.rfc3339(s.first))),
      ("last_seen", .string(LocalTime.rfc3339(s.last))), ("destination_port", JSON(use.port)),
    ]
    if let target = ownText(s.target) { members.append(("destination_ip", .string(target))) }
    members += [
      ("evidence_source", "honeypot"), ("description", .string(comment(line))),
      (
        "evidence",
        .array([
          .object([
            "content_type": "text/plain", "description": "What was counted",
            "payload": .string(Base64.text(Array(evidence.utf8))),
            "hash": .string("sha1:" + UUID5.hex(UUID5.sha1(Array(evidence.utf8)))), "size": JSON(evidence.utf8.count),
          ])
        ])
      ),
      // No `confidence`: the standard wants a fraction, and readers made with its own library take whole numbers only.
    ]
    return JSON.members(members).text + "\n"
  }

  // MARK: STIX

  /// STIX 2.1's own namespace for what is named by its value (section 2.9).
  private static let stixNamespace: [UInt8] = [
    0x00, 0xab, 0xed, 0xb4, 0xaa, 0x42, 0x46, 0x6c, 0x9c, 0x01, 0xfe, 0xd2, 0x33, 0x15, 0xa9, 0xb7,
  ]
  /// Ours, for objects that another export of the same finding has to update, not to double.
  private static let ourNamespace: [UInt8] = [
    0x70, 0x6f, 0x72, 0x74, 0x73, 0x65, 0x4e, 0x54, 0x92, 0x79, 0x73, 0x77, 0x69, 0x66, 0x74, 0x21,
  ]

  package var stixIdentity: String { "identity--\(UUID5.text("PortSentry", in: Self.ourNamespace))" }

  /// What a bundle begins with, up to the first object.
  package func stixHead(id: (UInt64, UInt64)) -> String {
    let stamp = LocalTime.rfc3339(Timestamp(seconds: 1_767_225_600))
    let identity: JSON = .object([
      "type": "identity", "spec_version": "2.1", "id": .string(stixIdentity), "created": .string(stamp),
      "modified": .string(stamp), "name": "PortSentry", "identity_class": "system",
    ])
    return "{\"type\":\"bundle\",\"id\":\"bundle--\(UUID5.random(id))\",\"objects\":[\(identity.text)"
  }

  package static let stixTail = "]}\n"

  /// The address, what was observed of it, and an indicator; each begins with a comma.
  package func stix(_ line: SourceLine) -> String {
    let s = line.source
    let kind = s.network.isV4 ? "ipv4-addr" : "ipv6-addr"
    let value = "\(s.network)"
    let address = "\(kind)--\(UUID5.text("{\"value\":\"\(value)\"}", in: Self.stixNamespace))"
    let first = LocalTime.rfc3339(s.first)
    // An observation has a beginning and an end, not the same.
    let last = LocalTime.rfc3339(max(s.last, s.first))
    let name = "\(value) \(first)"
    let objects: [JSON] = [
      .object(["type": .string(kind), "spec_version": "2.1", "id": .string(address), "value": .string(value)]),
      .object([
        "type": "observed-data", "spec_version": "2.1",
        "id": .string("observed-data--\(UUID5.text("observed \(name)", in: Self.ourNamespace))"),
        "created_by_ref": .string(stixIdentity), "created": .string(first), "modified": .string(last),
        "first_observed": .string(first), "last_observed": .string(last),
        "number_observed": JSON(min(max(line.probes, 1), 999_999_999)), "object_refs": .array([.string(address)]),
      ]),
      .object([
        "type": "indicator", "spec_version": "2.1",
        "id": .string("indicator--\(UUID5.text("indicator \(name)", in: Self.ourNamespace))"),
        "created_by_ref": .string(stixIdentity), "created": .string(first), "modified": .string(last),
        "name": .string("Port scan from \(value)"), "description": .string(comment(line)),
        "indicator_types": .array(["anomalous-activity"]), "pattern": .string("[\(kind):value = '\(value)']"),
        "pattern_type": "stix", "valid_from": .string(first), "confidence": s.origin == .proven ? 85 : 40,
      ]),
    ]
    return objects.map { ",\($0.text)" }.joined()
  }
}
