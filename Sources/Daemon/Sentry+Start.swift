import Detection
import EventLog
import Platform
import Wire

/// What is said at the start of the modes and their ports.
extension Sentry {
  func announce(_ transport: TransportProtocol, _ failed: [Endpoint]) throws(StartError) {
    guard let mode = transport == .tcp ? plan.tcpMode : plan.udpMode else { return }
    let statistics = link.shared.withLock { $0.statistics }
    let served = transport == .tcp ? statistics.servedTCP : statistics.servedUDP
    let ports = plan.ports(transport)
    if dialect == .native { announceInOneLine(mode, transport, ports, served, failed) }
    switch mode {
    case .connect:
      let closed = PortSet(failed.filter { $0.transport == transport }.map(\.port))
      let open = ports.subtracting(closed)
      if dialect != .native { for port in open.ports { say(.listening(mode, transport, port: port, in: dialect)) } }
      if open.isEmpty { throw .noPort(transport) }
    case .stealth:
      for port in ports.ports {
        // 1.2 forgot a port in use for ever; here it is watched again as soon as nothing serves it.
        if served.contains(port) {
          if dialect == .native { continue }
          say("\(transport.name) port \(port) is in use and will not be monitored while it is")
        } else if dialect == .classic {
          say(.listening(mode, transport, port: port, in: dialect))
        }
      }
    case .advanced:
      if dialect == .native { break }
      let configuration = plan.configuration
      say(
        .advancedMonitors(
          first: transport == .tcp ? configuration.advancedPortsTCP : configuration.advancedPortsUDP, in: dialect))
      let excluded = transport == .tcp ? configuration.advancedExcludeTCP : configuration.advancedExcludeUDP
      for port in excluded.ports { say(.advancedExcludes(port: port, in: dialect)) }
      if excluded.isEmpty { say(.advancedExcludes(port: nil, in: dialect)) }
      var ignored = PortSet(ranges: [0...(ports.ports.last ?? 0)])
      ignored.subtract(ports.subtracting(served))
      for port in ignored.ports.prefix(4096) { say(.advancedIgnores(transport, port: port, in: dialect)) }
    }
  }

  private func announceInOneLine(
    _ mode: Mode, _ transport: TransportProtocol, _ ports: PortSet, _ served: PortSet, _ failed: [Endpoint]
  ) {
    let configuration = plan.configuration
    let out = mode == .connect ? PortSet(failed.filter { $0.transport == transport }.map(\.port)) : served
    let open = ports.subtracting(out)
    say(
      .watching(
        mode, transport, ports: open.count, served: ports.count - open.count,
        excluded: mode != .advanced
          ? PortSet() : transport == .tcp ? configuration.advancedExcludeTCP : configuration.advancedExcludeUDP))
  }

  func announceTrial() {
    guard let trial = decisions.trial else { return }
    say(
      "TRIAL: every block made from now on is lifted in \(Term.text(trial.duration)), and none is made after, unless you say: portsentry confirm"
    )
  }
}
