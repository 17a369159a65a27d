import Detection
import EventLog
import Journal
import Platform
import Response
import Wire

/// Events as lines of JSON in the Elastic Common Schema. What has no field there is under `portsentry`.
package struct ECSLines: Sendable {
  private let observer: JSON
  private let host: JSON
  private let process: (String, JSON)

  /// - Parameters:
  ///   - host: what this host is called.
  ///   - process: the number of the sentry's process.
  package init(version: String, host: String, process: Int) {
    self.host = .object(["name": .string(host)])
    observer = .object([
      "hostname": .string(host), "vendor": "PortSentry", "product": "PortSentry", "type": "ids",
      "version": .string(version),
    ])
    self.process = ("process", .object(["name": "portsentry", "pid": JSON(process)]))
  }

  /// Adds an event to a file; names are none.
  package func append(_ event: Event, to file: inout LineFile) {
    guard let object = object(event) else { return }
    file.append(isImportant: !event.isProbe) { text in
      text += object.text.utf8
      text.append(0x0a)
    }
  }

  /// Says that so many probes have no line, because they were too many.
  package func append(unlisted count: UInt64, at time: Timestamp, to file: inout LineFile) {
    let object = event(
      time, "event", ["network"], ["info"], "probes-not-listed",
      "\(count) more probes, which came too fast to be listed",
      [("portsentry", .object(["count": JSON(count)]))])
    file.append(isImportant: true) { text in
      text += object.text.utf8
      text.append(0x0a)
    }
  }

  func object(_ event: Event) -> JSON? {
    let time = event.time
    switch event {
    case .probe(let probe):
      func end(_ address: IPAddress, _ port: UInt16) -> JSON {
        let members: [(String, JSON)] = [("address", .string("\(address)")), ("ip", .string("\(address)"))]
        return .members(probe.hasPorts ? members + [("port", JSON(port))] : members)
      }
      return self.event(
        time, "event", ["network"], ["connection"], "probe",
        "\(probe.technique.name) to \(probe.protocolName) port \(probe.targetPort) from \(probe.source)",
        [
          ("source", end(probe.source, probe.sourcePort)), ("destination", end(probe.target, probe.targetPort)),
          (
            "network",
            .object([
              "transport": .string(probe.protocolName.lowercased()), "type": probe.source.isV4 ? "ipv4" : "ipv6",
              "direction": "inbound",
            ])
          ),
          (
            "portsentry",
            .object([
              "technique": .string(probe.technique.name), "triggered": .bool(probe.isTriggered),
              "ignored": .bool(probe.isIgnored),
            ])
          ),
        ])
    case .verdict(let verdict):
      return self.event(
        time, "alert", ["intrusion_detection", "network"], ["info"], "verdict",
        "\(verdict.verdictClass.name) by \(verdict.source): \(verdict.probes) probes to \(verdict.ports) ports",
        [
          ("event.start", .string(LocalTime.rfc3339(verdict.first))),
          ("event.end", .string(LocalTime.rfc3339(verdict.last))),
          ("event.severity", verdict.origin == .proven ? 3 : 2),
          source(verdict.source),
        ]
          + (verdict.hasPorts ? [("destination", .object(["port": JSON(verdict.port)]))] : [])
          + [
            network(verdict),
            ("rule", .object(["name": .string("\(verdict.kind.name) \(verdict.verdictClass.name)")])),
            (
              "portsentry",
              .object([
                "class": .string(verdict.verdictClass.name), "origin": .string(verdict.origin.name),
                "kind": .string(verdict.kind.name), "slow": .bool(verdict.isSlow), "tool": .string(verdict.tool.name),
                "techniques": .array(verdict.techniques.techniques.map { .string($0.name) }),
                "probes": JSON(verdict.probes), "ports": JSON(verdict.ports), "targets": JSON(verdict.targets),
                "score": .points(verdict.score), "threshold": .points(verdict.threshold),
                "evidence": .array(
                  verdict.evidence.map {
                    .object([
                      "kind": .string($0.kind.name), "technique": .string($0.technique.name), "port": JSON($0.port),
                      "weight": .points($0.weight),
                    ])
                  }),
              ])
            ),
          ])
    case .proven(let address, let proof, let port, _):
      return self.event(
        time, "event", ["intrusion_detection", "network"], ["info"], "origin-proven",
        "\(address) is verified: \(proof.name), port \(port)",
        [
          source(IPNetwork(address)), ("destination", .object(["port": JSON(port)])), network(address, "tcp"),
          ("portsentry", .object(["proof": .string(proof.name)])),
        ])
    case .blocked(let record, let repeats):
      return self.event(
        time, "event", ["intrusion_detection"], ["denied"], "blocked",
        "\(record.network) is blocked: \(record.fullReason)",
        [
          ("event.reason", .string(record.fullReason)), source(record.network),
        ]
          // Whoever is blocked by hand touched nothing.
          + (record.isWithoutProbe ? [] : [("destination", .object(["port": JSON(record.port)]))])
          + [
            network(record.network.address, record.isWithoutProbe ? nil : record.transport.name.lowercased()),
            (
              "portsentry",
              .members(
                [
                  ("until", record.until.map { .string(LocalTime.rfc3339($0)) } ?? .null),
                  ("methods", .array(record.methods.map { .string($0.rawValue) })), ("repeats", JSON(repeats)),
                ] + (record.fleetCause.map { [("fleet", Self.json($0))] } ?? []))
            ),
          ])
    case .refused(let address, let because, _):
      return self.event(
        time, "event", ["intrusion_detection"], ["info"], "block-refused", "\(address) is not blocked: \(because)",
        [("event.reason", .string(because)), source(IPNetwork(address)), network(address, nil)])
    case .released(let network, let because, _):
      return self.event(
        time, "event", ["intrusion_detection"], ["allowed"], "released", "\(network) is released: \(because)",
        [("event.reason", .string(because)), source(network), self.network(network.address, nil)])
    case .lost(let kind, let count, _):
      return self.event(
        time, "event", ["process"], ["info"], "lost", "\(count) lost: \(kind.name)",
        [process, ("portsentry", .object(["lost": .string(kind.name), "count": JSON(count)]))])
    case .started: return self.event(time, "event", ["process"], ["start"], "started", "PortSentry watches", [process])
    case .stopped: return self.event(time, "event", ["process"], ["end"], "stopped", "PortSentry has ended", [process])
    case .blind: return self.event(time, "event", ["process"], ["info"], "blind", "nothing can be seen", [process])
    case .seeing: return self.event(time, "event", ["process"], ["info"], "seeing", "seeing again", [process])
    case .named: return nil
    }
  }

  /// What others saw, of a block that rests on it.
  private static func json(_ cause: FleetCause) -> JSON {
    .object([
      "basis": .string(cause.basisName),
      "witnesses": .array(
        cause.witnesses.map {
          .object(["host": .string($0.shownName), "time": .string(LocalTime.rfc3339($0.time))])
        }),
    ])
  }

  /// The network's part of an event about an address.
  private func network(_ address: IPAddress, _ transport: String?) -> (String, JSON) {
    (
      "network",
      .members(
        (transport.map { [("transport", .string($0))] } ?? [])
          + [("type", address.isV4 ? "ipv4" : "ipv6"), ("direction", "inbound")])
    )
  }

  /// The same for a verdict; of ICMP and other protocols there is no port.
  private func network(_ verdict: Verdict) -> (String, JSON) {
    guard verdict.hasPorts else {
      let isICMP = verdict.techniques == TechniqueSet(.icmp)
      return network(verdict.source.address, isICMP ? verdict.source.isV4 ? "icmp" : "ipv6-icmp" : nil)
    }
    return network(verdict.source.address, verdict.transport.name.lowercased())
  }

  private func source(_ network: IPNetwork) -> (String, JSON) {
    // `source.ip` takes one address only.
    (
      "source",
      .members([("address", .string("\(network)"))] + (network.isHost ? [("ip", .string("\(network)"))] : []))
    )
  }

  /// The fields in nested form; members named `event.…` go into `event`.
  private func event(
    _ time: Timestamp, _ kind: String, _ category: [String], _ type: [String], _ action: String, _ message: String,
    _ more: [(String, JSON)]
  ) -> JSON {
    var event: [(String, JSON)] = [
      ("kind", .string(kind)), ("category", .array(category.map(JSON.string))), ("type", .array(type.map(JSON.string))),
      ("action", .string(action)), ("module", "portsentry"), ("dataset", "portsentry.events"),
    ]
    var members: [(String, JSON)] = []
    for (name, value) in more {
      if name.startsWithBytes("event.") {
        event.append((String(name.dropFirst(6)), value))
      } else {
        members.append((name, value))
      }
    }
    let related: [(String, JSON)] =
      more.first { $0.0 == "source" }.flatMap { entry -> JSON? in
        guard case .members(let fields) = entry.1 else { return nil }
        return fields.first { $0.0 == "ip" }?.1
      }.map { [("related", .object(["ip": .array([$0])]))] } ?? []
    return .members(
      [
        ("@timestamp", .string(LocalTime.rfc3339(time))), ("ecs", .object(["version": "8.11.0"])),
        ("message", .string(message)), ("event", .members(event)),
      ] + members + related + [("host", host), ("observer", observer)])
  }
}

extension Probe {
  /// Whether its numbers are ports.
  var hasPorts: Bool { technique != .icmp && technique != .ipProtocol }
}

extension Verdict {
  /// Whether any of its probes was to a port.
  fileprivate var hasPorts: Bool {
    techniques.isEmpty || !techniques.subtracting([TechniqueSet(.icmp), TechniqueSet(.ipProtocol)]).isEmpty
  }
}

extension Event {
  /// One of the many: of a flood, these are left out of a file first.
  var isProbe: Bool { if case .probe = self { true } else { false } }
}
