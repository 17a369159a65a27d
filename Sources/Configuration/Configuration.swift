import CrowdSec
import Notify
import Response
import Wire

/// What portsentry.conf says, checked and in our own types.
package struct Configuration: Sendable, Equatable {
  /// Whose words, files and readings are in use.
  package var dialect = Dialect.classic
  /// Watched in the connect and stealth modes.
  package var tcpPorts = PortSet()
  package var udpPorts = PortSet()
  /// Mode atcp watches the ports 0 up to but not including this number; 0...65536.
  package var advancedPortsTCP = 1024
  /// Mode audp likewise.
  package var advancedPortsUDP = 1024
  /// Never watched in mode atcp.
  package var advancedExcludeTCP = PortSet()
  /// Never watched in mode audp.
  package var advancedExcludeUDP = PortSet()
  /// Whether mode atcp answers on unused ports as if they were open.
  package var advancedDecoy = true
  /// Whether whoever connects to a decoy is held there.
  package var decoyTarpit = false
  /// nil: no ignore file.
  package var ignoreFile: String?
  /// nil: no history.
  package var historyFile: String?
  /// Whose lines go into the history; never empty.
  package var historyFormat: [Dialect] = [.classic]
  /// How large the history and each file of events may become (`FILE_SIZE`), and how much of each is written in a minute
  /// (`FILE_RATE`), in bytes; 0: no limit.
  package var fileSize = 64 << 20
  package var fileRate = 1 << 20
  /// In the classic dialect the stem to which `.tcp` and the like are added. nil: none is kept, and in the modern
  /// dialect every touch is then responded to.
  package var blockedFile: String?
  package var resolveHost = false
  /// Whose words the log has; nil: as the sentry was started, 1.2's or 2.x's.
  package var logFormat: LogDialect?
  /// Whether the log for people has a line for every probe too.
  package var logsProbes = false
  /// How many lines about probes one source may cause in a minute, in 1.2's and 2.x's words; 0: no limit.
  package var logLimit = 100
  /// The touch of a source that triggers; 0 and 1 both mean the first.
  package var scanTrigger = 0
  /// What the native rule asks for, in thousandths of a nat; 500 to 50,000.
  package var ruleThreshold: Int32 = 4595
  /// How many sources the native rule remembers; 1,024 to 16,777,216.
  package var ruleSources = 131_072
  /// Sent as it stands, without a newline, to whoever connects; nil: nothing in connect mode, and by a decoy what a
  /// service on its port would say.
  package var portBanner: String?
  package var response = ResponsePolicy.Settings()
  /// Where our own state lives; absolute.
  package var stateDirectory = Configuration.defaultStateDirectory
  /// Where the command line finds the running sentry; absolute, at most 107 bytes.
  package var controlSocket = Configuration.defaultControlSocket
  package var recording = Recording()
  package var fleet = Fleet()
  package var crowdSec = CrowdSecSettings()

  package init() {}

  /// Of many hosts that tell each other what they saw.
  package struct Fleet: Sendable, Equatable {
    /// The file of `portsentry fleet enrol` (`FLEET`); nil: this host is of none.
    package var file: String? = Configuration.defaultFleetFile
    /// Somebody has named the file: that it is not there is a fault.
    package var isNamed = false
    /// How many hosts must have seen a source before it is banned here (`FLEET_QUORUM`), 2...8. More is safer against hosts that were
    /// broken into, and slower.
    package var quorum = 3
    /// In how many zones they must be (`FLEET_ZONES`), 1...8, never more than the quorum.
    package var zones = 1
    /// How long a ban lasts after its last witness (`FLEET_TIME`), a minute to a year.
    package var time = Duration.seconds(86_400)
    /// The largest number of bans of the fleet (`FLEET_MAX`). `BLOCK_MAX` holds beside it.
    package var most = 100_000

    package init() {}
  }

  /// What is kept of what was seen, where it is shown, and who is told.
  package struct Recording: Sendable, Equatable {
    /// Whether there is a journal (`JOURNAL`): `STATE_DIR`/journal.db.
    package var keepsJournal = true
    /// How long it keeps what every single source did (`JOURNAL_KEEP`), a day and up. Longer needs more space; counts of
    /// hours and days stay in any case.
    package var keep = Duration.seconds(30 * 86_400)
    /// Its largest size in bytes (`JOURNAL_SIZE`), 16 MiB and up. At it the oldest detail goes before its time.
    package var size = 512 << 20
    /// nil: no such file; likewise the next two.
    package var eventsFile: String?
    package var eveFile: String?
    package var metricsFile: String?
    /// Databases of countries and networks, asked in this order.
    package var geoIPFiles: [String] = []
    /// nil: there is no page.
    package var consoleListen: ListenAddress?
    package var notify = NotifySettings()

    package init() {}
  }

  package static let defaultIgnoreFile = "/etc/portsentry/portsentry.ignore"
  package static let defaultHistoryFile = "/var/lib/portsentry/portsentry.history"
  package static let defaultBlockedFile = "/var/lib/portsentry/portsentry.blocked"
  package static let defaultStateDirectory = "/var/lib/portsentry"
  /// Where there is no such file, there is no fleet.
  package static let defaultFleetFile = "/etc/portsentry/fleet.node"
  package static let defaultControlSocket = "/run/portsentry/control.sock"

  /// What holds when there is no configuration file at all: everything is watched for, nothing is done.
  package static let embedded: Configuration = {
    var configuration = Configuration()
    configuration.tcpPorts = currentTCPPorts
    configuration.udpPorts = currentUDPPorts
    configuration.advancedExcludeTCP = defaultExcludeTCP
    configuration.advancedExcludeUDP = defaultExcludeUDP
    // Nobody asked for it.
    configuration.advancedDecoy = false
    configuration.logFormat = .native
    configuration.ignoreFile = defaultIgnoreFile
    configuration.historyFile = defaultHistoryFile
    configuration.blockedFile = defaultBlockedFile
    return configuration
  }()

  // MARK: Trigger ports
  //
  // A good trigger port is one that scanners ask for and that nobody else touches by mistake. Ports that a service of
  // this host uses are left out by themselves, so lists may name any port.

  /// What is asked for today: the low ports that a sweep in order meets first, remote shells and desktops, databases
  /// and caches without a password, container and management interfaces, routers and cameras, old back doors.
  package static let currentTCPPorts = PortSet(
    [
      1, 7, 11, 15, 23, 79, 111, 119, 445, 512, 513, 514, 540, 873, 1080, 1433, 1521, 2323, 2375, 2376, 3128, 3389,
      4444,
      5038, 5555, 5900, 5985, 6379, 6667, 7547, 8291, 8545, 9200, 11211, 12345, 27017, 31337, 37215, 52869, 60001,
    ] as [UInt16])

  /// Likewise: services misused as reflectors, management interfaces, telephony, routers and cameras.
  package static let currentUDPPorts = PortSet(
    [
      1, 7, 13, 17, 19, 69, 111, 161, 177, 389, 513, 623, 1434, 3283, 5060, 5683, 11211, 31337, 37810, 47808, 53413,
    ] as [UInt16])

  /// The list that Debian's PortSentry 1.2 came with.
  package static let classicTCPPorts = PortSet(
    [
      1, 11, 15, 79, 111, 119, 143, 540, 635, 1080, 1524, 2000, 5742, 6667, 12345, 12346, 20034, 27665, 31337, 32771,
      32772, 32773, 32774, 40421, 49724, 54320,
    ] as [UInt16])

  package static let classicUDPPorts = PortSet(
    [
      1, 7, 9, 69, 161, 162, 513, 635, 640, 641, 700, 31335, 31337, 32770, 32771, 32772, 32773, 32774, 34555, 37444,
      54321,
    ] as [UInt16])

  /// 113: mail and IRC servers ask ident of whoever connects to them. 139: Windows hosts look for NetBIOS sessions.
  package static let defaultExcludeTCP = PortSet([113, 139] as [UInt16])

  /// What hosts of a local network send to everyone: 67 and 68 DHCP, 137 and 138 NetBIOS, 520 and 521 routing (RIP),
  /// 546 and 547 DHCPv6, 631 printers that announce themselves.
  package static let defaultExcludeUDP = PortSet([67, 68, 137, 138, 520, 521, 546, 547, 631] as [UInt16])
}
