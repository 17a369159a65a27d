import Detection
import Platform
import Response
import Wire

extension LogLine {
  /// `attackalert: Host IP has been blocked via …`
  ///
  /// - Parameter reason: said in the native dialect; the predecessors' line has no place for it, see `bannedByFleet`.
  package static func blocked(
    _ network: IPNetwork, by means: BlockedBy, because reason: String? = nil, in dialect: LogDialect
  ) -> LogLine {
    if dialect == .native { return peopleBlocked(network, by: means, because: reason) }
    let how =
      switch means {
      case .hostsDeny(let line): "wrappers with string: \"\(line)\""
      case .command(let command): "dropped route using command: \"\(command)\""
      case .nftables(let set, let duration): "nftables using set: \"\(set)\" (\(term(duration)))"
      case .blackholeRoute(let duration): "blackhole route (\(term(duration)))"
      }
    return LogLine(
      "attackalert: Host \(network) has been blocked via \(how)", in: dialect, about: LogFields(.blocked, network))
  }

  /// What hosts of the fleet saw, beside the line of a block in the words of a predecessor.
  package static func bannedByFleet(_ network: IPNetwork, because reason: String, in dialect: LogDialect) -> LogLine {
    admin("Host \(network) is blocked for the fleet: \(reason)", in: dialect, about: LogFields(.blocked, network))
  }

  /// `KILL_RUN_CMD` has been run.
  package static func commandRun(_ address: IPAddress, command: String, in dialect: LogDialect) -> LogLine {
    LogLine("attackalert: External command run for host: \(address) using command: \"\(command)\"", in: dialect)
  }

  /// The settings say not to respond (`BLOCK_TCP` or `BLOCK_UDP` is 0). 1.2 says it for the first probe of a source;
  /// 2.x has `noblock:` in its event line instead.
  package static func ignoringResponse(_ transport: TransportProtocol) -> LogLine {
    LogLine("attackalert: Ignoring \(transport.name) response per configuration file setting.", in: .classic)
  }

  /// The ignore file names the source (2.x, `-v`).
  package static func inIgnoreFile(_ address: IPAddress, _ path: String) -> LogLine {
    LogLine("Host: \(address) found in ignore file \(path), aborting actions", .info, in: .modern)
  }

  /// This host sent it to itself (2.x, `-d`).
  package static func sameAddress(_ probe: Probe) -> LogLine {
    LogLine(
      "debug: Source address \(probe.source) same as destination address \(probe.target), skipping", .debug, in: .modern
    )
  }

  /// The source is shut out already.
  package static func alreadyBlocked(_ probe: Probe, name: String? = nil, in dialect: LogDialect) -> LogLine {
    if dialect == .classic, probe.mode == .connect {
      return LogLine("attackalert: Host: \(probe.source) is already blocked. Ignoring", in: dialect)
    }
    return LogLine("attackalert: Host: \(host(probe.source, name)) is already blocked Ignoring", in: dialect)
  }

  /// The response failed, wholly or in part.
  package static func couldNotBlock(_ probe: Probe, name: String? = nil, in dialect: LogDialect) -> LogLine {
    let both = host(probe.source, name)
    if dialect == .native { return LogLine("\(both) could not be blocked", .error, in: dialect) }
    if dialect == .modern { return LogLine("attackalert: Error during target dispose \(both)!", .error, in: dialect) }
    let who =
      switch (probe.mode, probe.transport) {
      case (.connect, _): "\(probe.source) !!"
      case (.stealth, .tcp): "\(both) !!"
      default: "\(both)!!"
      }
    return LogLine("attackalert: ERROR: Could not block host \(who)", in: dialect)
  }

  /// A rule of ours kept an address from being blocked.
  ///
  /// - Parameter reason: e.g. `it is the default gateway`.
  package static func refused(_ address: IPAddress, because reason: String, in dialect: LogDialect) -> LogLine {
    if dialect == .native {
      return LogLine(
        "\(address) was not blocked: \(reason)", .warning, in: dialect, about: LogFields(.refused, IPNetwork(address)))
    }
    return admin(
      "Host \(address) is not blocked: \(reason)", in: dialect, about: LogFields(.refused, IPNetwork(address)))
  }

  /// A block has ended.
  package static func released(_ network: IPNetwork, _ reason: ReleaseReason, in dialect: LogDialect) -> LogLine {
    if dialect == .native {
      return LogLine(
        "Block of \(network) has ended (\(reason.text))", in: dialect, about: LogFields(.released, network))
    }
    return admin(
      "Host \(network) has been released (\(reason.text))", in: dialect, about: LogFields(.released, network))
  }

  /// An address could not be released and is still shut out.
  package static func couldNotRelease(_ network: IPNetwork, because reason: String, in dialect: LogDialect) -> LogLine {
    admin("ERROR: Could not release host \(network): \(reason)", .error, in: dialect)
  }

  /// A response command has no `$TARGET$`.
  ///
  /// - Parameter key: `KILL_ROUTE` or `KILL_HOSTS_DENY`.
  package static func noTarget(in key: String, _ dialect: LogDialect) -> LogLine {
    admin("No target variable specified in \(key) option. Skipping.", .error, in: dialect)
  }

  /// A response command could not be started, failed or took too long.
  ///
  /// - Parameters:
  ///   - runCommand: true for `KILL_RUN_CMD`, false for `KILL_ROUTE`.
  ///   - reason: what came of it, e.g. `exit status 127`; the predecessors knew only `exec fail` and `system fail`.
  package static func commandFailed(
    _ command: String, runCommand: Bool, reason: String, in dialect: LogDialect
  ) -> LogLine {
    let what = runCommand ? "run command" : "block host"
    let lead = dialect == .classic ? "ERROR: " : ""
    return admin("\(lead)There was an error trying to \(what) (\(reason)) \(command)", .error, in: dialect)
  }

  /// hosts.deny could not be written.
  package static func hostsDenyFailed(_ path: String, reason: String, in dialect: LogDialect) -> LogLine {
    dialect == .classic
      ? admin("cannot open hosts.deny file: \(path) for blocking. \(reason)", .error, in: dialect)
      : LogLine("Cannot write hosts.deny file \(path): \(reason)", .error, in: dialect)
  }

  /// The line is in hosts.deny already; 2.x says so, 1.2 wrote it again.
  package static func alreadyInHostsDeny(_ address: IPAddress, in dialect: LogDialect) -> LogLine {
    admin("Host \(address) already in hosts.deny file, skipping.", in: dialect)
  }

  /// `for 24h`, in the largest unit that gives a whole number and no more than two days in hours; nil: until released.
  static func term(_ duration: Duration?) -> String {
    guard let duration else { return "until released" }
    let seconds = duration.components.seconds
    if seconds > 172_800, seconds % 86_400 == 0 { return "for \(seconds / 86_400)d" }
    if seconds >= 3600, seconds % 3600 == 0 { return "for \(seconds / 3600)h" }
    if seconds >= 60, seconds % 60 == 0 { return "for \(seconds / 60)m" }
    return "for \(seconds)s"
  }
}
