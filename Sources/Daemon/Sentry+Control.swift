import Configuration
import Detection
import EventLog
import Platform
import Report
import Response
import Wire

extension Sentry {
  /// Answers the command line.
  func answer(_ message: ControlMessage) -> ControlReply {
    switch message {
    case .status(let json):
      testHiddenDecoys()
      return ControlReply(json ? statusJSON().text + "\n" : statusText())
    case .health(let json): return ControlReply(json ? health.json.text + "\n" : health.text)
    case .blocked: return ControlReply(blockedJSON().text + "\n")
    case .pulse: return ControlReply(pulse().text + "\n")
    case .metrics: return ControlReply(Metrics.text(metrics()))
    case .block(let target, let seconds, let reason): return order(target, seconds, reason)
    case .unblock(let target): return letIn(target)
    case .unblockAll: return letAllIn()
    case .allow(let target, let seconds): return allow(target, seconds)
    case .endAllowance(let target): return endAllowance(target)
    case .why(let target, let json): return why(target, json: json)
    case .confirm: return confirmTrial()
    case .watch(let mode): return watch(mode)
    }
  }

  private func order(_ target: String, _ seconds: Int64?, _ reason: String) -> ControlReply {
    guard let network = IPNetwork(target) else {
      return .usage(AddressText.fault(target, shown: SafeText.line(target)))
    }
    let known =
      decisions.table[network] ?? (network.isHost ? decisions.table.block(covering: network.address) : nil)
    if let known, seconds == nil { return ControlReply("\(network) is blocked already (\(term(known)))\n") }
    let duration: Duration? =
      seconds.map { $0 == 0 ? nil : .seconds($0) } ?? plan.configuration.response.duration
    let reason = reason.isEmpty ? "by operator" : SafeText.line(reason)
    switch decide(.order(network, duration: duration, reason: reason)) {
    case .running:
      return ControlReply("\(network): the command is running; see `portsentry blocked` for what comes of it\n")
    case .failed(let reasons):
      return ControlReply(exitCode: 1, "\(network) could not be blocked: \(reasons.joined(separator: "; "))\n")
    case .blocked(let block): return ControlReply("\(network) is blocked (\(term(block)))\n")
    case .refused(let refusal): return ControlReply(exitCode: 1, "\(network) is not blocked: \(refusal)\n")
    case .letIn, .allLetIn, .noTrial, .confirmed, nil: return ControlReply(exitCode: 1, "")
    }
  }

  private func letIn(_ target: String) -> ControlReply {
    guard let network = IPNetwork(target) else {
      return .usage(AddressText.fault(target, shown: SafeText.line(target)))
    }
    guard case .letIn(let what, let opened) = decide(.letIn(network)) else { return ControlReply(exitCode: 1, "") }
    switch what {
    case .released:
      let names = opened.map { "\($0)" }.joined(separator: ", ")
      let tail = opened.isEmpty ? "" : "; so is \(names), but for its other scanners"
      return ControlReply("\(network) is released\(tail)\n")
    case .partOf(let whole):
      return .notFound("\(network) is not blocked by itself, but as part of \(whole): unblock that")
    case .unlisted:
      return ControlReply("\(network) was recorded, not blocked; its next probe is answered anew\n")
    case .unknown: return .notFound("\(network) is not blocked")
    }
  }

  private func letAllIn() -> ControlReply {
    guard case .allLetIn(let count) = decide(.letAllIn) else { return ControlReply(exitCode: 1, "") }
    return ControlReply("\(count) released\n")
  }

  /// `portsentry confirm`.
  private func confirmTrial() -> ControlReply {
    guard case .confirmed(let kept) = decide(.confirmTrial) else {
      return ControlReply(exitCode: 1, "there is no trial to confirm\n")
    }
    say("The trial was confirmed: \(kept) blocks stay in force, and blocking goes on")
    return ControlReply("confirmed: \(kept) blocks stay in force, and blocking goes on\n")
  }

  /// What a second call with another of 1.2's arguments asks for: one process watches both protocols.
  private func watch(_ name: String) -> ControlReply {
    for transport in TransportProtocol.allCases {
      for mode in Mode.allCases where mode.classicName(transport) == name {
        let current = transport == .tcp ? plan.tcpMode : plan.udpMode
        if let current {
          return ControlReply(
            exitCode: 1,
            "\(transport.name) is watched already, in mode \(current.classicName(transport)); stop that sentry first\n")
        }
        if transport == .tcp { plan.tcpMode = mode } else { plan.udpMode = mode }
        if mode != .advanced, plan.ports(transport).isEmpty {
          if transport == .tcp { plan.tcpMode = nil } else { plan.udpMode = nil }
          return ControlReply(exitCode: 78, "mode \(name) needs \(transport.name)_PORTS, and there is none\n")
        }
        applyPlan()
        let settings = plan.sensorSettings(options)
        link.update { $0.settings = settings }
        refreshTrap()
        say("Watching \(transport.name) too, in mode \(name), by a second call")
        return ControlReply(
          "the running sentry (process \(Version.processID)) watches \(transport.name) too, in mode \(name)\n")
      }
    }
    return .usage("\(name) is no mode")
  }
}
