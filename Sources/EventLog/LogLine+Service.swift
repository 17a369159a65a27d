import Detection
import Platform
import Response
import Wire

extension LogLine {
  /// Something the administrator should know that has no words of its own.
  package static func notice(_ text: String, in dialect: LogDialect) -> LogLine { admin(text, in: dialect) }

  /// Something went wrong that has no words of its own: what is lost and how to mend it.
  package static func error(_ text: String, in dialect: LogDialect) -> LogLine {
    admin("ERROR: \(text)", .error, in: dialect)
  }

  /// With 1.2's tag, which 2.x dropped.
  static func admin(
    _ text: String, _ severity: Severity = .notice, in dialect: LogDialect, about fields: LogFields? = nil
  ) -> LogLine {
    LogLine(dialect == .classic ? "adminalert: \(text)" : text, severity, in: dialect, about: fields)
  }

  // MARK: Start and stop

  /// - Parameter version: e.g. `1.2`.
  package static func starting(version: String, in dialect: LogDialect) -> LogLine {
    dialect == .classic
      ? admin("PortSentry \(version) is starting.", in: dialect) : LogLine("Portsentry \(version)", in: dialect)
  }

  /// A trigger port is being listened on (connect) or watched (stealth).
  package static func listening(
    _ mode: Mode, _ transport: TransportProtocol, port: UInt16, in dialect: LogDialect
  ) -> LogLine {
    if dialect == .modern, mode == .connect {
      return LogLine("Listen on AF_INET6: \(transport.name) port: \(port)", in: dialect)
    }
    let how = mode == .connect ? "listen" : "stealth listen"
    return admin("Going into \(how) mode on \(transport.name) port: \(port)", in: dialect)
  }

  /// - Parameter count: `ADVANCED_PORTS_TCP` or `_UDP`.
  package static func advancedMonitors(first count: Int, in dialect: LogDialect) -> LogLine {
    admin("Advanced mode will monitor first \(count) ports", in: dialect)
  }

  /// - Parameter port: one of `ADVANCED_EXCLUDE_*`; nil when there is none.
  package static func advancedExcludes(port: UInt16?, in dialect: LogDialect) -> LogLine {
    // 1.2's line ends in a blank.
    port.map { admin("Advanced mode will manually exclude port: \($0) ", in: dialect) }
      ?? admin("Advanced mode will manually exclude no ports", in: dialect)
  }

  /// A port below the bound is in use or excluded.
  package static func advancedIgnores(
    _ transport: TransportProtocol, port: UInt16, in dialect: LogDialect
  ) -> LogLine {
    admin(
      "Advanced Stealth scan detection mode activated. Ignored \(transport.name) port: \(port)", in: dialect)
  }

  package static func active(in dialect: LogDialect) -> LogLine {
    dialect == .classic
      ? admin("PortSentry is now active and listening.", in: dialect)
      : LogLine("Portsentry is now active and listening.", in: dialect)
  }

  /// The last words: two lines in 1.2, one in 2.x.
  package static func shuttingDown(in dialect: LogDialect) -> [LogLine] {
    dialect == .classic
      ? ["securityalert", "adminalert"].map { LogLine("\($0): PortSentry is shutting down", in: dialect) }
      : [LogLine("Portsentry is shutting down", in: dialect)]
  }

  // MARK: What is wrong at the start

  /// Connect mode: a trigger port could not be bound.
  package static func couldNotBind(_ transport: TransportProtocol, port: UInt16, in dialect: LogDialect) -> LogLine {
    dialect == .classic
      ? admin("ERROR: could not bind \(transport.name) socket: \(port). Attempting to continue", .error, in: dialect)
      : LogLine("Could not bind \(transport.name) socket on port \(port). Attempting to continue", .error, in: dialect)
  }

  // MARK: What is wrong while running

  package static func cannotOpenIgnoreFile(in dialect: LogDialect) -> LogLine {
    LogLine("attackalert: ERROR: cannot open ignore file. Blocking host anyway.", .error, in: dialect)
  }

  /// - Parameter change: what `HistoryFile.flush` returned.
  package static func history(_ path: String, _ change: HistoryFile.Change, in dialect: LogDialect) -> LogLine {
    switch change {
    case .failed(let error):
      return dialect == .classic
        ? admin("ERROR: Cannot open history file: \(path). (\(error.call): \(error.reason))", .error, in: dialect)
        : LogLine("Unable to open history log file: \(path) (\(error.call): \(error.reason))", .error, in: dialect)
    case .recovered(let lost):
      return admin(
        "History file \(path) can be written again; \(lost == 0 ? "nothing was" : "\(lost) lines were") lost",
        in: dialect)
    case .overflowed(let lost):
      return admin("ERROR: \(lost) lines of history were lost: more came than could be kept", .error, in: dialect)
    case .limited(let lost):
      return self.error(
        "\(lost) lines for \(path) were left out: more than FILE_RATE allows came within a minute", in: dialect)
    case .putAside(let lost):
      return notice(
        "\(path) has reached FILE_SIZE and is now \(path).old; \(lost) older lines are gone", in: dialect)
    }
  }

  /// - Parameter change: what `LineFile.flush` returned for a file of events.
  package static func eventFile(_ path: String, _ change: LineFile.Change, in dialect: LogDialect) -> LogLine {
    switch change {
    case .failed(let error):
      return self.error("cannot write \(path): \(error.reason); events are missing in it", in: dialect)
    case .recovered(let lost):
      return notice("\(path) is written again; \(lost == 0 ? "nothing was" : "\(lost) lines were") lost", in: dialect)
    case .overflowed(let lost):
      return self.error("\(lost) lines for \(path) were lost: more came than could be kept", in: dialect)
    case .limited(let lost):
      return self.error(
        "\(lost) lines for \(path) were left out: more than FILE_RATE allows came within a minute", in: dialect)
    case .putAside(let lost):
      return notice(
        "\(path) has reached FILE_SIZE and is now \(path).old; \(lost) older lines are gone", in: dialect)
    }
  }
}
