import Detection
import EventLog
import Platform
import Response
import Wire

/// What the command line asks for; what it leaves open the configuration decides.
package struct RunOptions: Sendable, Equatable {
  package static let defaultConfigurationPath = "/etc/portsentry/portsentry.conf"

  /// `-c`; nil: the usual path, and built-in settings when nothing is there.
  package var configurationPath: String?
  /// `--dialect`: how the file is to be read; nil: found out.
  package var dialect: Dialect?
  /// 1.2's arguments (`-tcp … -audp`).
  package var tcpMode: Mode?
  package var udpMode: Mode?
  /// 2.x's `--stealth` or `--connect`.
  package var modernMode: Mode?
  package var interfaces: InterfaceSelection?
  /// `-l`; nil: standard output in the foreground, the system log in the background.
  package var outputs: [LogSink.Output]?
  package var level = Severity.notice
  package var goesToBackground = false
  /// `-L`.
  package var actsOnOwnAddress = false
  /// Not `-S`.
  package var checksServices = true
  /// `--log-format`.
  package var logFormat: LogDialect?
  /// `--trial`: blocks made are lifted, and no more are made, unless confirmed within this time.
  package var trial: Duration?
  package var stateDirectory: String?
  package var controlSocket: String?
  package var defaultsPath = "/etc/default/portsentry"
  /// As whom commands of the configuration would run, where that is known not to be root; nil otherwise.
  package var commandUser: String?
  /// Whose folders are the sentry's own.
  package var trust = FolderTrust.sentry
  /// What a running sentry watches, whatever told it to: the files are judged by that.
  package var running: RunningModes?

  package init() {}

  /// Whether 1.2's arguments were given.
  package var isClassicCall: Bool { tcpMode != nil || udpMode != nil }
}

/// The modes of a running sentry.
package struct RunningModes: Sendable, Equatable {
  package var tcp: Mode?
  package var udp: Mode?

  /// - Parameters: names as 1.2 has them; nil: not watched.
  package init(tcp: String?, udp: String?) {
    func mode(_ name: String?, _ transport: TransportProtocol) -> Mode? {
      Mode.allCases.first { $0.classicName(transport) == name }
    }
    self.tcp = mode(tcp, .tcp)
    self.udp = mode(udp, .udp)
  }
}
