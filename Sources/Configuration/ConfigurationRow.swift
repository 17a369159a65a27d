import Detection
import Notify
import Platform
import Response
import Wire

/// A key: who knew it before, what holds without it, what it is in one line, and where its value goes. The man page and the example
/// file are held to these rows by a test.
struct ConfigurationRow: Sendable {
  typealias Apply = @Sendable (inout ConfigurationReader, ConfigurationKey, ConfigurationReader.Setting) -> Void

  /// Who knows a key.
  enum KnownTo {
    case both
    case classic
    case ours

    var dialects: [Dialect] {
      switch self {
      case .both: [.classic, .modern]
      case .classic: [.classic]
      case .ours: []
      }
    }
  }

  let key: ConfigurationKey
  let facts: ConfigurationKey.Facts
  /// Puts the value where it belongs; says what is wrong with one that is none, and leaves what is there.
  let apply: Apply

  private init(_ key: ConfigurationKey, _ known: KnownTo, _ value: String, _ summary: String, _ apply: @escaping Apply)
  {
    self.key = key
    facts = ConfigurationKey.Facts(dialects: known.dialects, defaultText: value, summary: summary)
    self.apply = apply
  }

  /// Of a key; every key has one.
  static func of(_ key: ConfigurationKey) -> ConfigurationRow { byKey[key]! }

  static let all = watching + writing + blocking + keeping
  private static let byKey = Dictionary(uniqueKeysWithValues: all.map { ($0.key, $0) })

  /// What is watched.
  private static let watching: [ConfigurationRow] = [
    ConfigurationRow(.tcpPorts, .both, "", "TCP trigger ports") { $0.configuration.tcpPorts = $0.ports($1, $2) },
    ConfigurationRow(.udpPorts, .both, "", "UDP trigger ports") { $0.configuration.udpPorts = $0.ports($1, $2) },
    ConfigurationRow(.advancedPortsTCP, .classic, "1024", "how many TCP ports, from 0, mode atcp watches") {
      $0.configuration.advancedPortsTCP = $0.portCount($1, $2)
    },
    ConfigurationRow(.advancedPortsUDP, .classic, "1024", "how many UDP ports, from 0, mode audp watches") {
      $0.configuration.advancedPortsUDP = $0.portCount($1, $2)
    },
    ConfigurationRow(.advancedExcludeTCP, .classic, "", "TCP ports that mode atcp leaves out") {
      $0.configuration.advancedExcludeTCP = $0.ports($1, $2)
    },
    ConfigurationRow(.advancedExcludeUDP, .classic, "", "UDP ports that mode audp leaves out") {
      $0.configuration.advancedExcludeUDP = $0.ports($1, $2)
    },
    ConfigurationRow(.advancedDecoy, .ours, "1", "whether mode atcp answers on unused ports as if they were open") {
      $0.configuration.advancedDecoy = $0.flag($1, $2)
    },
    ConfigurationRow(.decoyTarpit, .ours, "0", "whether connections to decoys are held open") {
      $0.configuration.decoyTarpit = $0.flag($1, $2)
    },
    ConfigurationRow(.scanTrigger, .both, "0", "which touch of a source counts as a scan") {
      $0.configuration.scanTrigger = $0.trigger($2)
    },
    ConfigurationRow(.ruleThreshold, .ours, "4.595", "how much evidence makes the native rule call a source a scanner")
    { $0.configuration.ruleThreshold = $0.nats($1, $2) ?? $0.configuration.ruleThreshold },
    ConfigurationRow(.ruleSources, .ours, "131072", "how many sources the native rule remembers") {
      $0.configuration.ruleSources = $0.number($1, $2, in: 1024...16_777_216) ?? $0.configuration.ruleSources
    },
  ]

  /// Who is left alone, and what is written.
  private static let writing: [ConfigurationRow] = [
    ConfigurationRow(
      .ignoreFile, .both, Configuration.defaultIgnoreFile,
      "file of the addresses and networks that nothing is ever done to"
    ) { $0.configuration.ignoreFile = $0.path($1, $2) },
    ConfigurationRow(.historyFile, .both, Configuration.defaultHistoryFile, "file that keeps a line for every scan") {
      $0.configuration.historyFile = $0.path($1, $2)
    },
    ConfigurationRow(.historyFormat, .ours, "1.2", "whose lines the history file gets") {
      $0.configuration.historyFormat = $0.historyFormat($2)
    },
    ConfigurationRow(.fileSize, .ours, "64M", "the largest size of the history and of each file of events") {
      $0.configuration.fileSize = $0.fileLimit($1, $2) ?? $0.configuration.fileSize
    },
    ConfigurationRow(.fileRate, .ours, "1M", "how much is written to each of these files in a minute") {
      $0.configuration.fileRate = $0.fileLimit($1, $2) ?? $0.configuration.fileRate
    },
    ConfigurationRow(
      .blockedFile, .both, Configuration.defaultBlockedFile, "file of the sources that were responded to"
    ) { $0.configuration.blockedFile = $0.path($1, $2) },
    ConfigurationRow(.resolveHost, .both, "0", "whether log lines show the source's host name") {
      $0.configuration.resolveHost = $0.flag($1, $2)
    },
    ConfigurationRow(.logFormat, .ours, "", "whose words the log has: for people, 1.2's or 2.x's") {
      $0.configuration.logFormat = $0.logFormat($2)
    },
    ConfigurationRow(.logProbes, .ours, "0", "whether the log for people has a line for every probe") {
      $0.configuration.logsProbes = $0.strictFlag($1, $2)
    },
    ConfigurationRow(
      .logLimit, .ours, "100", "how many lines one source may cause in a minute, in 1.2's and 2.x's words"
    ) { $0.configuration.logLimit = $0.number($1, $2, in: 0...1_000_000) ?? $0.configuration.logLimit },
    ConfigurationRow(.portBanner, .both, "", "text sent to whoever connects to a trigger port") {
      $0.configuration.portBanner = $2.value.isEmpty ? nil : $2.value
    },
  ]

  /// What is done.
  private static let blocking: [ConfigurationRow] = [
    ConfigurationRow(.blockTCP, .both, "0", "what is done about a TCP scan") {
      $0.configuration.response.tcp = $0.action($1, $2)
    },
    ConfigurationRow(.blockUDP, .both, "0", "what is done about a UDP scan") {
      $0.configuration.response.udp = $0.action($1, $2)
    },
    ConfigurationRow(.proof, .ours, "handshake", "what proves that a source is not forged") {
      $0.configuration.response.proof = $0.choice($1, $2) ?? $0.configuration.response.proof
    },
    ConfigurationRow(.rule, .ours, "native", "what counts as a scan for a block") {
      $0.configuration.response.rule = $0.choice($1, $2) ?? $0.configuration.response.rule
    },
    ConfigurationRow(.doubtTime, .ours, "30s", "how long a source with an unverified address is shown decoys") {
      $0.configuration.response.doubtTime = $0.doubtTime($2)
    },
    ConfigurationRow(.blockMethod, .ours, "nftables", "how a source is blocked") {
      $0.configuration.response.methods = $0.words($1, $2) ?? $0.configuration.response.methods
    },
    ConfigurationRow(.blockTime, .ours, "24h", "how long a block lasts") {
      $0.configuration.response.duration = $0.blockTime($2)
    },
    ConfigurationRow(.blockTimeMax, .ours, "30d", "how long the block of a repeat offender lasts at most") {
      $0.configuration.response.longest = $0.longest($2)
    },
    ConfigurationRow(.blockMax, .ours, "131072", "the largest number of blocks in force") {
      $0.configuration.response.maximum = $0.number($1, $2, in: 1...1_000_000) ?? $0.configuration.response.maximum
    },
    ConfigurationRow(.blockRate, .ours, "1000", "the largest number of new blocks in a minute") {
      $0.configuration.response.perMinute = $0.number($1, $2, in: 0...1_000_000) ?? $0.configuration.response.perMinute
    },
    ConfigurationRow(.blockPrefixIPv6, .ours, "64", "the widest IPv6 prefix that is blocked as a whole") {
      $0.configuration.response.widestPrefix = $0.prefix($2) ?? $0.configuration.response.widestPrefix
    },
    ConfigurationRow(.killRoute, .both, "", "command that shuts a source out") {
      $0.configuration.response.killRoute = $0.template($1, $2, needsTarget: true)
    },
    ConfigurationRow(.unkillRoute, .ours, "", "command that undoes KILL_ROUTE") {
      $0.configuration.response.unkillRoute = $0.template($1, $2, needsTarget: true)
    },
    ConfigurationRow(.killHostsDeny, .both, "", "line added to hosts.deny") {
      $0.configuration.response.killHostsDeny = $0.template($1, $2, needsTarget: true)
    },
    ConfigurationRow(.hostsDenyFile, .ours, "/etc/hosts.deny", "where KILL_HOSTS_DENY goes") {
      $0.configuration.response.hostsDenyFile = $0.absolutePath($1, $2) ?? $0.configuration.response.hostsDenyFile
    },
    ConfigurationRow(.killRunCommand, .both, "", "command run for every source responded to") {
      $0.configuration.response.killRunCommand = $0.template($1, $2, needsTarget: false)
    },
    ConfigurationRow(.killRunCommandFirst, .both, "0", "whether KILL_RUN_CMD runs before the block") {
      $0.configuration.response.runCommandFirst = $0.flag($1, $2)
    },
    ConfigurationRow(.commandTimeout, .ours, "60s", "how long a command may run") {
      $0.configuration.response.commandTimeout =
        $0.time($1, $2, in: 1...3600, "from 1s to 1h, as 30s or 5m") ?? $0.configuration.response.commandTimeout
    },
  ]

  /// What is kept and shown.
  private static let keeping: [ConfigurationRow] = [
    ConfigurationRow(.stateDirectory, .ours, Configuration.defaultStateDirectory, "directory of our state") {
      $0.configuration.stateDirectory = $0.absolutePath($1, $2) ?? $0.configuration.stateDirectory
    },
    ConfigurationRow(
      .controlSocket, .ours, Configuration.defaultControlSocket, "socket on which the command line asks us"
    ) { $0.configuration.controlSocket = $0.socketPath($1, $2) ?? $0.configuration.controlSocket },
    ConfigurationRow(.journal, .ours, "1", "whether a database of what was seen is kept") {
      $0.configuration.recording.keepsJournal = $0.strictFlag($1, $2)
    },
    ConfigurationRow(.journalKeep, .ours, "30d", "how long the journal keeps what every single source did") {
      $0.configuration.recording.keep =
        $0.time($1, $2, in: 86_400...315_360_000, "from 1d to 3650d, as 30d or 12w") ?? $0.configuration.recording.keep
    },
    ConfigurationRow(.journalSize, .ours, "512M", "the largest size of the journal") {
      $0.configuration.recording.size = $0.journalSize($2)
    },
    ConfigurationRow(.eventsFile, .ours, "", "file of events as JSON, in Elastic Common Schema") {
      $0.configuration.recording.eventsFile = $0.absolutePath($1, $2)
    },
    ConfigurationRow(.eveFile, .ours, "", "file of events as JSON, as Suricata's eve.json") {
      $0.configuration.recording.eveFile = $0.absolutePath($1, $2)
    },
    ConfigurationRow(.metricsFile, .ours, "", "file of metrics for Prometheus' textfile collector") {
      $0.configuration.recording.metricsFile = $0.absolutePath($1, $2)
    },
    ConfigurationRow(.geoIPFile, .ours, "", "MaxMind-format files that tell countries and networks") {
      $0.configuration.recording.geoIPFiles = $0.geoIPFiles($2)
    },
    ConfigurationRow(.consoleListen, .ours, "", "where the web page is served: loopback or a socket") {
      $0.configuration.recording.consoleListen = $0.consoleListen($2)
    },
    ConfigurationRow(.notify, .ours, "", "who gets messages about blocks, losses and other events, and how") {
      $0.configuration.recording.notify.target = $0.notifyTarget($2)
    },
    ConfigurationRow(.notifyEvents, .ours, "block loss hidden-decoys flood", "which events are sent") {
      $0.configuration.recording.notify.kinds = $0.words($1, $2) ?? $0.configuration.recording.notify.kinds
    },
    ConfigurationRow(.notifyPerHour, .ours, "12", "the largest number of messages in an hour") {
      $0.configuration.recording.notify.perHour =
        $0.number($1, $2, in: 1...1000) ?? $0.configuration.recording.notify.perHour
    },
    ConfigurationRow(.fleet, .ours, Configuration.defaultFleetFile, "file by which this host is of a fleet") {
      $0.configuration.fleet.file = $2.isEmpty ? nil : $0.absolutePath($1, $2)
      // Whoever writes the default down means no more than whoever does not.
      $0.configuration.fleet.isNamed = ![nil, Configuration.defaultFleetFile].contains($0.configuration.fleet.file)
    },
    ConfigurationRow(.fleetQuorum, .ours, "3", "how many hosts of the fleet must have seen a source to ban it here") {
      $0.configuration.fleet.quorum = $0.number($1, $2, in: 2...8) ?? $0.configuration.fleet.quorum
    },
    ConfigurationRow(.fleetZones, .ours, "1", "in how many zones these hosts must be") {
      $0.configuration.fleet.zones = $0.number($1, $2, in: 1...8) ?? $0.configuration.fleet.zones
    },
    ConfigurationRow(.fleetTime, .ours, "24h", "how long a ban of the fleet lasts") {
      $0.configuration.fleet.time =
        $0.time($1, $2, in: 60...31_536_000, "from 1m to 365d, as 12h or 7d") ?? $0.configuration.fleet.time
    },
    ConfigurationRow(.fleetMax, .ours, "100000", "the largest number of bans of the fleet in force here") {
      $0.configuration.fleet.most = $0.number($1, $2, in: 1...1_000_000) ?? $0.configuration.fleet.most
      $0.configuration.response.fleetMaximum = $0.configuration.fleet.most
    },
    ConfigurationRow(
      .crowdSecMachine, .ours, "", "file of a login by which CrowdSec's local API is told of our bans and scans"
    ) { $0.configuration.crowdSec.machineFile = $2.isEmpty ? nil : $0.absolutePath($1, $2) },
    ConfigurationRow(.crowdSecKey, .ours, "", "file of a bouncer's key by which CrowdSec is asked for its decisions") {
      $0.configuration.crowdSec.keyFile = $2.isEmpty ? nil : $0.absolutePath($1, $2)
    },
    ConfigurationRow(.crowdSecDecisions, .ours, "watch", "what becomes of CrowdSec's decisions here") {
      $0.configuration.crowdSec.use = $0.choice($1, $2) ?? $0.configuration.crowdSec.use
    },
    ConfigurationRow(.crowdSecURL, .ours, "", "where CrowdSec's local API is, if not where CROWDSEC_MACHINE says") {
      $0.configuration.crowdSec.url = $0.crowdSecURL($2)
    },
  ]
}
