import Configuration
import Detection
import EventLog
import Platform
import Report
import Response
import Wire

/// What there is to tell: `status`, `blocked`, and what pages ask every second.
extension Sentry {
  func term(_ block: Block) -> String {
    block.until.map { "for \(Term.text($0 - Clock.now)) more" } ?? "until released"
  }

  private func modeText(_ transport: TransportProtocol) -> String {
    guard let mode = transport == .tcp ? plan.tcpMode : plan.udpMode else { return "off" }
    let ports = plan.ports(transport)
    let all = ports.description
    let shown = all.count > 60 ? "\(all.prefix(57))..." : all
    return "\(mode.classicName(transport)), \(ports.count) ports (\(shown))"
  }

  func statusText() -> String {
    let s = link.currentStatistics()
    let c = decisions.counters
    let dropped = s.ringDropped + intake.refused
    var rows: [(String, String)] = [
      ("version", version),
      ("running", "\(Term.text(Clock.now - started)), process \(Version.processID)"),
      ("configuration", plan.configurationPath ?? "built-in settings"),
      ("TCP", modeText(.tcp)),
      ("UDP", modeText(.udp)),
      ("interfaces", s.interfaces.isEmpty ? "NONE IS UP: nothing is seen" : s.interfaces.joined(separator: ", ")),
      ("capture", s.sight.text),
      ("services now", "TCP \(s.servedTCP), UDP \(s.servedUDP)"),
      ("response", responseText()),
      ("deception", deceptionText()),
      (
        "origin",
        "\(c.proven) sources proven, \(c.contacts) connections to decoys, \(decisions.suspects.count) suspects"
      ),
      ("probes", "\(c.probes) seen: \(c.alerts) alerts, \(c.untriggered) below SCAN_TRIGGER, \(c.ignored) ignored"),
      ("lost", dropped == 0 ? "nothing" : "\(s.ringDropped) in the kernel, \(intake.refused) in the queue"),
      (
        "blocks",
        "\(decisions.table.count) in force, \(c.blocks) made, \(c.releases) released, \(c.refused) refused, \(c.failed) failed"
      ),
      ("ignored", "\(ignoring.file.count) networks of the ignore file"),
    ]
    rows += allowedRows
    rows += fleetRows
    if let trial = decisions.trial {
      rows.append(
        (
          "trial",
          trial.isOver
            ? "OVER, nothing is blocked: portsentry confirm"
            : "for \(Term.text(trial.end - Clock.now)) more, unless: portsentry confirm"
        ))
    }
    if !unconfined.isEmpty {
      rows.append(("confinement", "LESS THAN IT SHOULD BE: \(unconfined.joined(separator: "; "))"))
    }
    let safe = decisions.policy.safe.entries
    for (index, entry) in safe.prefix(24).enumerated() {
      rows.append((index == 0 ? "never blocked" : "", "\(entry.network) (\(entry.reason))"))
    }
    if safe.count > 24 { rows.append(("", "and \(safe.count - 24) more, all in --json")) }
    rows.append(("", "and hosts in conversation with a service here when they were noticed"))
    let width = rows.map(\.0.count).max() ?? 0
    return rows.map { name, value in
      name + String(repeating: " ", count: width - name.count + 2) + value + "\n"
    }.joined()
  }

  /// The sensor is not asked anew for it: its counts are a second old at most.
  func pulse() -> JSON {
    let s = link.shared.withLock { $0.statistics }
    return .object([
      "version": .string(version), "started": JSON(started.seconds), "seen": JSON(decisions.counters.probes),
      "alerts": JSON(decisions.counters.alerts), "ignored": JSON(decisions.counters.ignored),
      "blocks": JSON(decisions.table.count),
      "blocks_made": JSON(decisions.counters.blocks), "lost": JSON(s.ringDropped + intake.refused),
      "journal_lost": JSON(recorder?.statistics.lost ?? 0),
      "journal_failing": .bool(recorder?.statistics.isFailing ?? false),
      "interfaces": .array(s.interfaces.map(JSON.string)), "tcp_mode": JSON(plan.tcpMode?.classicName(.tcp)),
      "udp_mode": JSON(plan.udpMode?.classicName(.udp)), "response": .string(responseText()),
    ])
  }

  private func responseText() -> String {
    func text(_ action: BlockAction) -> String {
      switch action {
      case .logOnly: "log only"
      case .runCommand: "run KILL_RUN_CMD"
      case .block:
        "block by " + plan.configuration.response.methods.map(\.rawValue).joined(separator: ", ")
          + (plan.configuration.response.proof == .handshake
            ? " who scans (\(plan.configuration.response.rule.rawValue) rule) and has proven its address"
            : " whatever address is written on the packets of a scan (\(plan.configuration.response.rule.rawValue) rule)")
      }
    }
    let (tcp, udp) = (text(plan.configuration.response.tcp), text(plan.configuration.response.udp))
    return tcp == udp ? tcp : "TCP: \(tcp); UDP: \(udp)"
  }

  /// Who is lied to, and how.
  private func deceptionText() -> String {
    switch deception.state {
    case .off: return "none: unused ports answer as closed"
    case .failed(let reason): return "NONE, \(reason)"
    case .active: break
    }
    guard let trap = deception.trap else { return "none" }
    var parts = [hiddenText].compactMap(\.self)
    if !trap.decoy.isEmpty { parts.append("\(trap.decoy.count) unused ports look open to everybody") }
    if let doubt = trap.doubt {
      parts.append("a source that touches a watched port sees every port open for \(Term.text(doubt))")
      parts.append(
        deception.gate == nil ? "blocks begin a moment after the proof" : "blocks begin with the packet that proves")
    }
    let held = deception.link.shared.withLock { $0.statistics.held }
    if held > 0 { parts.append("\(held) connections held") }
    return parts.joined(separator: "; ")
  }

  private func deceptionJSON() -> JSON {
    let statistics = deception.link.shared.withLock { $0.statistics }
    var members: [(String, JSON)] = []
    switch deception.state {
    case .off: members.append(("state", "off"))
    case .active: members.append(("state", "active"))
    case .failed(let reason): members += [("state", "failed"), ("reason", .string(reason))]
    }
    members.append(("text", .string(deceptionText())))
    if let trap = deception.trap {
      members += [
        ("decoy_ports", .string(trap.decoy.description)),
        ("doubt_seconds", trap.doubt.map { JSON(Int($0.components.seconds)) } ?? .null),
        ("gate", .bool(deception.gate != nil)), ("hidden", .array(hiddenWays.map(JSON.string))),
        ("spared_networks", JSON(trap.spared.count)),
      ]
    }
    members += [
      ("connections", JSON(statistics.completed)), ("held", JSON(statistics.held)),
      ("displaced", JSON(statistics.displaced)),
      ("queue_full", JSON(deception.contacts.value.refused)),
      ("doubts_without_room", JSON(deception.doubtsLost.told)),
    ]
    return .members(members)
  }

  private func blocksJSON() -> JSON {
    let c = decisions.counters
    let sorted = intake.latencies.sorted()
    func percentile(_ p: Int) -> JSON {
      sorted.isEmpty ? .null : JSON(Int(sorted[min(sorted.count - 1, sorted.count * p / 100)]))
    }
    return .object([
      "in_force": JSON(decisions.table.count), "made": JSON(c.blocks), "released": JSON(c.releases),
      "refused": JSON(c.refused), "failed": JSON(c.failed), "enforced": .bool(!comparison.outage.isOn),
      "latency_ns_p50": percentile(50), "latency_ns_p99": percentile(99),
    ])
  }

  func statusJSON() -> JSON {
    let s = link.currentStatistics()
    let c = decisions.counters
    func reasons(_ values: [UInt64], _ name: (Int) -> String) -> JSON {
      .members(values.enumerated().filter { $0.element > 0 }.map { (name($0.offset), JSON($0.element)) })
    }
    return .object([
      "shape": 1,
      "version": .string(version),
      "pid": JSON(Int(Version.processID)),
      "started": JSON(Int(started.seconds)),
      "configuration": JSON(plan.configurationPath),
      "tcp_mode": JSON(plan.tcpMode?.classicName(.tcp)),
      "udp_mode": JSON(plan.udpMode?.classicName(.udp)),
      "tcp_ports": .string(plan.ports(.tcp).description),
      "tcp_port_count": JSON(plan.ports(.tcp).count),
      "udp_ports": .string(plan.ports(.udp).description),
      "udp_port_count": JSON(plan.ports(.udp).count),
      "response": .string(responseText()),
      "interfaces": .array(s.interfaces.map(JSON.string)),
      "capture": .object([
        "text": .string(s.sight.text), "programs": .array(s.sight.programs.map(JSON.string)),
        "packet_socket": .array(s.sight.socket.map(JSON.string)), "reason": JSON(s.sight.reason),
      ]),
      "served_tcp": .string(s.servedTCP.description),
      "served_udp": .string(s.servedUDP.description),
      "packets": .object([
        "received": JSON(s.received),
        "undecoded": reasons(s.undecoded) { DecodeOutcome.allCases[$0].reason },
        "dismissed": reasons(s.dismissed) { Detector.Dismissal.allCases[$0].reason },
      ]),
      "dropped": .object([
        "ring_full": JSON(s.ringDropped), "queue_full": JSON(intake.refused), "history": JSON(scribe.historyLost),
        "log": JSON(scribe.lost), "journal": JSON(recorder?.statistics.lost ?? 0),
      ]),
      "log": .object([
        "format": .string(dialect.rawValue), "written": JSON(scribe.written), "waiting": JSON(scribe.waiting),
        "lost": JSON(scribe.lost), "last_lost": linesLost.at.map { JSON($0.seconds) } ?? .null,
      ]),
      "journal": journalJSON(),
      "probes": .object([
        "seen": JSON(c.probes), "alerts": JSON(c.alerts), "below_trigger": JSON(c.untriggered),
        "ignored": JSON(c.ignored), "waiting": JSON(intake.waiting), "sources_forgotten": JSON(s.evictions),
        "sources_remembered": JSON(s.sources),
        // Of so many sources one is looked at, where there is too much to see everything.
        "connections_one_in": JSON(1 << Int(s.connectionShift)), "others_one_in": JSON(1 << Int(s.otherShift)),
      ]),
      "blocks": blocksJSON(),
      "proof": .string(plan.configuration.response.proof.rawValue),
      "rule": .string(plan.configuration.response.rule.rawValue),
      "deception": deceptionJSON(),
      "origin": .object([
        "proven": JSON(c.proven), "contacts": JSON(c.contacts), "suspects": JSON(decisions.suspects.count),
        "suspects_forgotten": JSON(decisions.suspects.evictions), "repeat_offenders": JSON(decisions.offenders.count),
      ]),
      "trial": decisions.trial.map {
        .object(["ends": JSON(Int($0.end.seconds)), "is_over": .bool($0.isOver)])
      } ?? .null,
      "ignored_networks": JSON(ignoring.file.count), "allowed": ignoring.json, "fleet": fleetJSON,
      "crowdsec": crowdSecJSON,
      "unconfined": .array(unconfined.map(JSON.string)),
      "never_blocked": .array(
        decisions.policy.safe.entries.map {
          .object(["network": .string("\($0.network)"), "reason": .string($0.reason)])
        }),
    ])
  }

  private func journalJSON() -> JSON {
    guard let journal = plan.recorderSettings.journal, let recorder else { return .null }
    let statistics = recorder.statistics
    return .object([
      "path": .string(journal.path), "bytes": JSON(statistics.bytes), "limit": JSON(journal.size),
      "keep_seconds": JSON(journal.keep.components.seconds), "failing": .bool(statistics.isFailing),
      "written": statistics.writtenAt.map { JSON($0.seconds) } ?? .null,
    ])
  }

  func blockedJSON() -> JSON {
    .array(
      decisions.table.all.map { block in
        .object([
          "network": .string("\(block.network)"),
          "since": JSON(Int(block.record.since.seconds)),
          "until": block.until.map { JSON(Int($0.seconds)) } ?? .null,
          "methods": .array(block.methods.map { .string($0.rawValue) }),
          "port": block.record.isWithoutProbe ? .null : JSON(Int(block.record.port)),
          "protocol": block.record.isWithoutProbe ? .null : .string(block.record.transport.name),
          "mode": .string(block.record.modeName),
          "reason": .string(block.record.fullReason),
          "witnesses": .array((block.record.fleetCause?.witnesses ?? []).map(EventText.json)),
        ])
      })
  }
}
