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
  case fleet = "FLEET"
  case fleetQuorum = "FLEET_QUORUM"
  case fleetZones = "FLEET_ZONES"
  case fleetTime = "FLEET_TIME"
  case fleetMax = "FLEET_MAX"
  case crowdSecMachine = "CROWDSEC_MACHINE"
  case crowdSecKey = "CROWDSEC_KEY"
  case crowdSecDecisions = "CROWDSEC_DECISIONS"
  case crowdSecURL = "CROWDSEC_URL"

  /// What the manual, the example file and messages say of a key.
  package struct Facts: Sendable {
    /// The predecessors that know the key; none for a key of ours.
    package var dialects: [Dialect]
    /// What holds when the key is absent from a file in 1.2's dialect, as it would be written; empty for none.
    package var defaultText: String
    /// One line.
    package var summary: String
  }

  package var facts: Facts { ConfigurationRow.of(self).facts }

  /// The key a misspelt one was most likely meant to be.
  package static func nearest(to name: String) -> ConfigurationKey? {
    nearestName(to: name, among: allCases.map(\.rawValue)).flatMap(ConfigurationKey.init(rawValue:))
  }
}
