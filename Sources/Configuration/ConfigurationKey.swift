import Response

/// Every key of portsentry.conf.
package enum ConfigurationKey: String, Sendable, CaseIterable {
  case tcpPorts = "TCP_PORTS"
  case udpPorts = "UDP_PORTS"
  case advancedPortsTCP = "ADVANCED_PORTS_TCP"
  case advancedPortsUDP = "ADVANCED_PORTS_UDP"
  case advancedExcludeTCP = "ADVANCED_EXCLUDE_TCP"
  case advancedExcludeUDP = "ADVANCED_EXCLUDE_UDP"
  case advancedDecoy = "ADVANCED_DECOY"
  case decoyTarpit = "DECOY_TARPIT"
  case scanTrigger = "SCAN_TRIGGER"
  case ruleThreshold = "RULE_THRESHOLD"
  case ruleSources = "RULE_SOURCES"
  case ignoreFile = "IGNORE_FILE"
  case historyFile = "HISTORY_FILE"
  case historyFormat = "HISTORY_FORMAT"
  case fileSize = "FILE_SIZE"
  case fileRate = "FILE_RATE"
  case blockedFile = "BLOCKED_FILE"
  case resolveHost = "RESOLVE_HOST"
  case logFormat = "LOG_FORMAT"
  case logProbes = "LOG_PROBES"
  case logLimit = "LOG_LIMIT"
  case portBanner = "PORT_BANNER"
  case blockTCP = "BLOCK_TCP"
  case blockUDP = "BLOCK_UDP"
  case proof = "PROOF"
  case rule = "RULE"
  case doubtTime = "DOUBT_TIME"
  case blockMethod = "BLOCK_METHOD"
  case blockTime = "BLOCK_TIME"
  case blockTimeMax = "BLOCK_TIME_MAX"
  case blockMax = "BLOCK_MAX"
  case blockRate = "BLOCK_RATE"
  case blockPrefixIPv6 = "BLOCK_PREFIX_IPV6"
  case killRoute = "KILL_ROUTE"
  case unkillRoute = "UNKILL_ROUTE"
  case killHostsDeny = "KILL_HOSTS_DENY"
  case hostsDenyFile = "HOSTS_DENY_FILE"
  case killRunCommand = "KILL_RUN_CMD"
  case killRunCommandFirst = "KILL_RUN_CMD_FIRST"
  case commandTimeout = "COMMAND_TIMEOUT"
  case stateDirectory = "STATE_DIR"
  case controlSocket = "CONTROL_SOCKET"
  case journal = "JOURNAL"
  case journalKeep = "JOURNAL_KEEP"
  case journalSize = "JOURNAL_SIZE"
  case eventsFile = "EVENTS_FILE"
  case eveFile = "EVE_FILE"
  case metricsFile = "METRICS_FILE"
  case geoIPFile = "GEOIP_FILE"
  case consoleListen = "CONSOLE_LISTEN"
  case notify = "NOTIFY"
  case notifyEvents = "NOTIFY_EVENTS"
  case notifyPerHour = "NOTIFY_PER_HOUR"

  /// What the manual, the example file and messages say of a key.
  package struct Facts: Sendable {
    /// The predecessors that know the key; none for a key of ours.
    package var dialects: [Dialect]
    /// What holds when the key is absent from a file in 1.2's dialect, as it would be written; empty for none.
    package var defaultText: String
    /// One line.
    package var summary: String
  }

  package var facts: Facts {
    switch self {
    case .tcpPorts: Facts(dialects: [.classic, .modern], defaultText: "", summary: "TCP trigger ports")
    case .udpPorts: Facts(dialects: [.classic, .modern], defaultText: "", summary: "UDP trigger ports")
    case .advancedPortsTCP:
      Facts(dialects: [.classic], defaultText: "1024", summary: "how many TCP ports, from 0, mode atcp watches")
    case .advancedPortsUDP:
      Facts(dialects: [.classic], defaultText: "1024", summary: "how many UDP ports, from 0, mode audp watches")
    case .advancedExcludeTCP:
      Facts(dialects: [.classic], defaultText: "", summary: "TCP ports that mode atcp leaves out")
    case .advancedExcludeUDP:
      Facts(dialects: [.classic], defaultText: "", summary: "UDP ports that mode audp leaves out")
    case .advancedDecoy:
      Facts(dialects: [], defaultText: "1", summary: "whether mode atcp answers on unused ports as if they were open")
    case .decoyTarpit:
      Facts(dialects: [], defaultText: "0", summary: "whether whoever connects to a decoy is held there")
    case .scanTrigger:
      Facts(dialects: [.classic, .modern], defaultText: "0", summary: "which touch of a source counts as a scan")
    case .ruleThreshold:
      Facts(
        dialects: [], defaultText: "4.595", summary: "how much evidence makes the native rule call a source a scanner")
    case .ruleSources:
      Facts(dialects: [], defaultText: "131072", summary: "how many sources the native rule remembers")
    case .ignoreFile:
      Facts(
        dialects: [.classic, .modern], defaultText: Configuration.defaultIgnoreFile,
        summary: "file of the addresses and networks that nothing is ever done to")
    case .historyFile:
      Facts(
        dialects: [.classic, .modern], defaultText: Configuration.defaultHistoryFile,
        summary: "file that keeps a line for every scan")
    case .historyFormat: Facts(dialects: [], defaultText: "1.2", summary: "whose lines the history file gets")
    case .fileSize:
      Facts(dialects: [], defaultText: "64M", summary: "the largest size of the history and of each file of events")
    case .fileRate:
      Facts(dialects: [], defaultText: "1M", summary: "how much is written to each of these files in a minute")
    case .blockedFile:
      Facts(
        dialects: [.classic, .modern], defaultText: Configuration.defaultBlockedFile,
        summary: "file of the sources that were responded to")
    case .resolveHost:
      Facts(dialects: [.classic, .modern], defaultText: "0", summary: "whether log lines show the source's host name")
    case .logFormat:
      Facts(dialects: [], defaultText: "", summary: "whose words the log has: for people, 1.2's or 2.x's")
    case .logProbes:
      Facts(dialects: [], defaultText: "0", summary: "whether the log for people has a line for every probe")
    case .logLimit:
      Facts(
        dialects: [], defaultText: "100",
        summary: "how many lines one source may cause in a minute, in 1.2's and 2.x's words")
    case .portBanner:
      Facts(dialects: [.classic, .modern], defaultText: "", summary: "text sent to whoever connects to a trigger port")
    case .blockTCP: Facts(dialects: [.classic, .modern], defaultText: "0", summary: "what is done about a TCP scan")
    case .blockUDP: Facts(dialects: [.classic, .modern], defaultText: "0", summary: "what is done about a UDP scan")
    case .proof:
      Facts(dialects: [], defaultText: "handshake", summary: "what proves that a source is not forged")
    case .rule: Facts(dialects: [], defaultText: "native", summary: "what counts as a scan for a block")
    case .doubtTime:
      Facts(dialects: [], defaultText: "30s", summary: "how long a source that may be forged is lied to")
    case .blockMethod: Facts(dialects: [], defaultText: "nftables", summary: "how a source is shut out")
    case .blockTime: Facts(dialects: [], defaultText: "24h", summary: "how long a block lasts")
    case .blockTimeMax:
      Facts(dialects: [], defaultText: "30d", summary: "how long the block of a repeat offender lasts at most")
    case .blockMax: Facts(dialects: [], defaultText: "131072", summary: "the largest number of blocks in force")
    case .blockRate: Facts(dialects: [], defaultText: "1000", summary: "the largest number of new blocks in a minute")
    case .blockPrefixIPv6:
      Facts(dialects: [], defaultText: "64", summary: "the widest IPv6 prefix that is blocked as a whole")
    case .killRoute:
      Facts(dialects: [.classic, .modern], defaultText: "", summary: "command that shuts a source out")
    case .unkillRoute: Facts(dialects: [], defaultText: "", summary: "command that undoes KILL_ROUTE")
    case .killHostsDeny:
      Facts(dialects: [.classic, .modern], defaultText: "", summary: "line added to hosts.deny")
    case .hostsDenyFile: Facts(dialects: [], defaultText: "/etc/hosts.deny", summary: "where KILL_HOSTS_DENY goes")
    case .killRunCommand:
      Facts(dialects: [.classic, .modern], defaultText: "", summary: "command run for every source responded to")
    case .killRunCommandFirst:
      Facts(dialects: [.classic, .modern], defaultText: "0", summary: "whether KILL_RUN_CMD runs before the block")
    case .commandTimeout: Facts(dialects: [], defaultText: "60s", summary: "how long a command may run")
    case .stateDirectory:
      Facts(dialects: [], defaultText: Configuration.defaultStateDirectory, summary: "directory of our state")
    case .controlSocket:
      Facts(
        dialects: [], defaultText: Configuration.defaultControlSocket,
        summary: "socket on which the command line asks us")
    case .journal: Facts(dialects: [], defaultText: "1", summary: "whether a database of what was seen is kept")
    case .journalKeep:
      Facts(dialects: [], defaultText: "30d", summary: "how long the journal keeps what every single source did")
    case .journalSize: Facts(dialects: [], defaultText: "512M", summary: "the largest size of the journal")
    case .eventsFile: Facts(dialects: [], defaultText: "", summary: "file of events as JSON, in Elastic Common Schema")
    case .eveFile: Facts(dialects: [], defaultText: "", summary: "file of events as JSON, as Suricata's eve.json")
    case .metricsFile:
      Facts(dialects: [], defaultText: "", summary: "file of metrics for Prometheus' textfile collector")
    case .geoIPFile:
      Facts(dialects: [], defaultText: "", summary: "MaxMind-format files that tell countries and networks")
    case .consoleListen:
      Facts(dialects: [], defaultText: "", summary: "where the web page is served: loopback or a socket")
    case .notify: Facts(dialects: [], defaultText: "", summary: "who is told of blocks, losses and the like, and how")
    case .notifyEvents:
      Facts(dialects: [], defaultText: "block loss hidden-decoys flood", summary: "what somebody is told of")
    case .notifyPerHour: Facts(dialects: [], defaultText: "12", summary: "the largest number of messages in an hour")
    }
  }

  /// The key a misspelt one was most likely meant to be.
  package static func nearest(to name: String) -> ConfigurationKey? {
    nearestName(to: name, among: allCases.map(\.rawValue)).flatMap(ConfigurationKey.init(rawValue:))
  }
}
