import CrowdSec
import Detection
import Response
import Wire

/// Says in plain words what a configuration makes the sentry do.
package enum Explanation {
  /// A few short lines, each ending in a newline: what is watched, who is left alone, what is done, what is written.
  ///
  /// - Parameters:
  ///   - tcpMode: nil where TCP is not watched.
  ///   - ignoredNetworks: how many addresses and networks the ignore file names.
  package static func explain(
    _ configuration: Configuration, tcpMode: Mode?, udpMode: Mode?, ignoredNetworks: Int
  ) -> String {
    var lines = [
      watched(.tcp, tcpMode, configuration),
      watched(.udp, udpMode, configuration),
    ]
    if tcpMode != nil || udpMode != nil {
      lines.append(trigger(configuration.scanTrigger))
      lines.append(left(configuration, ignoredNetworks))
      lines += done(tcpMode, udpMode, configuration)
      lines += written(configuration)
    } else {
      lines.append("Both protocols are off: nothing is watched. Set TCP_MODE or UDP_MODE in /etc/default/portsentry.")
    }
    return lines.map { $0 + "\n" }.joined()
  }

  // MARK: What is watched

  private static func watched(_ transport: TransportProtocol, _ mode: Mode?, _ c: Configuration) -> String {
    let name = transport == .tcp ? "TCP" : "UDP"
    guard let mode else { return "\(name): off." }
    let listed = transport == .tcp ? c.tcpPorts : c.udpPorts
    let title = "\(name), mode \(mode.classicName(transport)):"
    switch mode {
    case .connect:
      guard !listed.isEmpty else { return "\(title) nothing is watched, because \(name)_PORTS names no port." }
      let banner = c.portBanner == nil ? "" : " Whoever connects is sent PORT_BANNER."
      return "\(title) listens on \(ports(listed)). Scanners see these ports as open.\(banner)"
    case .stealth:
      guard !listed.isEmpty else { return "\(title) nothing is watched, because \(name)_PORTS names no port." }
      return "\(title) watches packets to \(ports(listed)), as long as no service uses the port."
    case .advanced:
      let count = transport == .tcp ? c.advancedPortsTCP : c.advancedPortsUDP
      let excluded = transport == .tcp ? c.advancedExcludeTCP : c.advancedExcludeUDP
      guard count > 0 else { return "\(title) nothing is watched, because ADVANCED_PORTS_\(name) is 0." }
      let except = excluded.isEmpty ? "" : ", but not \(excluded)"
      let decoys =
        transport == .tcp && c.advancedDecoy
        ? " To scanners all of these look open, like services (ADVANCED_DECOY)." : ""
      return "\(title) watches packets to every port from 0 to \(count - 1) that no service uses\(except).\(decoys)"
    }
  }

  private static func ports(_ set: PortSet) -> String {
    set.count == 1 ? "port \(set)" : "\(set.count) ports (\(set))"
  }

  private static func trigger(_ count: Int) -> String {
    guard count > 1 else { return "Trigger: the first touch of a watched port counts as a scan." }
    return "Trigger: a source is a scanner from its touch number \(count) of watched ports on."
  }

  private static func left(_ c: Configuration, _ networks: Int) -> String {
    let own = "this host's own addresses, its gateways and resolvers, peers of connections that this host opened"
    guard let file = c.ignoreFile else { return "Never acted on: \(own). There is no ignore file." }
    let count = networks == 1 ? "1 address or network" : "\(networks) addresses and networks"
    return "Never acted on: \(own), and \(count) named in \(quoted(file))."
  }

  // MARK: What is done

  /// How much of a command is shown.
  private static let commandLimit = 300

  private static func done(_ tcpMode: Mode?, _ udpMode: Mode?, _ c: Configuration) -> [String] {
    var groups: [(names: [String], action: BlockAction)] = []
    for (name, mode, action) in [("TCP", tcpMode, c.response.tcp), ("UDP", udpMode, c.response.udp)] where mode != nil {
      if let index = groups.firstIndex(where: { $0.action == action }) {
        groups[index].names.append(name)
      } else {
        groups.append(([name], action))
      }
    }
    var lines: [String] = []
    for (names, action) in groups {
      let scan = "On a \(names.joined(separator: " or ")) scan:"
      let keys = names.map { "BLOCK_\($0)=\"\(action.rawValue)\"" }.joined(separator: ", ")
      switch action {
      case .logOnly: lines.append("\(scan) it is logged. Nobody is blocked (\(keys)).")
      case .runCommand:
        let command =
          c.response.killRunCommand.map { "runs \(quoted($0, limit: commandLimit))" }
          ?? "does nothing, because KILL_RUN_CMD is not set"
        lines.append("\(scan) \(command). Nobody is blocked (\(keys)).")
      case .block: lines += block(scan, keys, c.response)
      }
    }
    return lines
  }

  private static func block(_ scan: String, _ keys: String, _ settings: ResponsePolicy.Settings) -> [String] {
    var steps: [String] = []
    for method in settings.methods {
      switch method {
      case .nftables: steps.append("drops everything from it in the nftables table inet portsentry")
      case .route: steps.append("routes every answer to it into nowhere")
      case .hostsDeny:
        steps.append(
          "adds \(quoted(settings.killHostsDeny ?? "", limit: commandLimit)) to \(quoted(settings.hostsDenyFile))")
      case .command: steps.append("runs \(quoted(settings.killRoute ?? "", limit: commandLimit))")
      }
    }
    if let command = settings.killRunCommand {
      steps.insert("runs \(quoted(command, limit: commandLimit))", at: settings.runCommandFirst ? 0 : steps.count)
    }
    let rate = settings.perMinute == 0 ? "" : ", at most \(settings.perMinute) new ones in a minute"
    return [
      "\(scan) the source is BLOCKED (\(keys)): \(steps.joined(separator: "; then "))."
    ] + evidence(settings) + [
      "A block lasts \(settings.duration.map(words) ?? "until you lift it with: portsentry unblock ADDRESS")."
        + " At most \(settings.maximum) blocks\(rate)."
    ]
  }

  /// What a block asks for.
  private static func evidence(_ settings: ResponsePolicy.Settings) -> [String] {
    let scan =
      switch settings.rule {
      case .native: "evidence beyond one wrong port (RULE=\"native\")"
      case .classic: "that trigger (RULE=\"classic\")"
      }
    guard settings.proof == .handshake else {
      return ["A block takes \(scan), and NO PROOF that the address is not forged (PROOF=\"none\")."]
    }
    let lie =
      settings.doubts
      ? " Until then every unused port looks open to it, for \(words(settings.doubtTime ?? .zero)) after its last probe."
      : ""
    return [
      "A block takes \(scan), and a TCP connection by which the source proves its address (PROOF=\"handshake\").\(lie)"
    ]
  }

  // MARK: What is written

  private static func written(_ c: Configuration) -> [String] {
    let forms = c.historyFormat.map(\.rawValue).joined(separator: " and ")
    let history = c.historyFile.map { "\(quoted($0)) (the form of \(forms))" } ?? "none"
    let blocked = c.blockedFile.map { quoted($0) } ?? "none"
    return [
      "Files: history \(history), blocked \(blocked), state \(quoted(c.stateDirectory))."
        + (c.resolveHost ? " Host names are looked up." : ""),
      recorded(c),
    ] + shown(c)
  }

  private static func recorded(_ c: Configuration) -> String {
    let recording = c.recording
    guard recording.keepsJournal else {
      return "Journal: none is kept, so sources, show and report have nothing to tell."
    }
    return "Journal: \(quoted("\(c.stateDirectory)/journal.db")) keeps what every source did for"
      + " \(words(recording.keep)), counts for good, \(size(recording.size)) at most."
  }

  private static func shown(_ c: Configuration) -> [String] {
    let recording = c.recording
    var lines: [String] = []
    let files = [
      recording.eventsFile.map { "events \(quoted($0)) (ECS)" }, recording.eveFile.map { "events \(quoted($0)) (EVE)" },
      recording.metricsFile.map { "metrics \(quoted($0))" },
    ].compactMap(\.self)
    if !files.isEmpty { lines.append("For other programs: \(files.joined(separator: ", ")).") }
    if let listen = recording.consoleListen {
      lines.append(
        "Page: served on \(listen) to whoever has the token in \(quoted("\(c.stateDirectory)/console.token")).")
    }
    if let target = recording.notify.target {
      let kinds = recording.notify.kinds.map(\.rawValue).joined(separator: ", ")
      lines.append(
        "Notifications: by \(target.summary), of \(kinds); at most \(recording.notify.perHour) messages an hour.")
    }
    if let file = c.fleet.file, c.fleet.isNamed {
      let zones = c.fleet.zones == 1 ? "" : " in \(c.fleet.zones) zones"
      lines.append(
        "Fleet: by \(quoted(file)) this host tells others who connects to its decoys, and bans for \(words(c.fleet.time)) whom"
          + " \(c.fleet.quorum) hosts\(zones) have seen; at most \(c.fleet.most) at a time.")
    }
    return lines + crowdSec(c.crowdSec)
  }

  private static func crowdSec(_ settings: CrowdSecSettings) -> [String] {
    guard settings.isOn else { return [] }
    var parts: [String] = []
    if let file = settings.machineFile {
      parts.append("it is told of our bans and scans, by the login in \(quoted(file))")
    }
    if let file = settings.keyFile {
      parts.append(
        (settings.use == .watch
          ? "one connection with a decoy is enough to block whom it bans" : "whom it bans is blocked here as well")
          + ", by the key in \(quoted(file))")
    }
    return ["CrowdSec: \(parts.joined(separator: "; "))."]
  }

  /// `512 MB`, `2 GB`, in the units that JOURNAL_SIZE is written in.
  private static func size(_ bytes: Int) -> String {
    bytes >= 1 << 30 && bytes % (1 << 30) == 0 ? "\(bytes >> 30) GB" : "\(bytes >> 20) MB"
  }

  /// `24 hours`, `90 seconds`: in the largest unit that fits evenly.
  static func words(_ duration: Duration) -> String {
    let seconds = duration.components.seconds
    let units: [(Int64, String)] = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")]
    for (size, unit) in units where seconds >= size && seconds % size == 0 {
      let count = seconds / size
      // 24 hours say more about when it ends than 1 day.
      if unit == "day", count == 1 { continue }
      return "\(count) \(unit)\(count == 1 ? "" : "s")"
    }
    return "\(seconds) seconds"
  }
}
