import Wire

/// Which predecessor's words, files and reading of ambiguous settings are in use.
package enum Dialect: String, Sendable, CaseIterable {
  /// PortSentry 1.2: syslog, `attackalert:`, one blocked file for each mode, the first of a repeated key.
  case classic = "1.2"
  /// PortSentry 2.x: `Scan from:`, one binary blocked file, the last of a repeated key.
  case modern = "2"
}

/// Whose words the log has (`LOG_FORMAT`).
package enum LogDialect: String, Sendable, CaseIterable {
  case classic = "1.2"
  case modern = "2"
  /// For people: a line when a scan begins and ends, for each block, refusal and loss; not for each probe.
  case native

  package init(_ dialect: Dialect) { self = dialect == .classic ? .classic : .modern }
}

/// `BLOCK_TCP`, `BLOCK_UDP`.
package enum BlockAction: Int, Sendable {
  case logOnly = 0
  case block = 1
  /// Only `KILL_RUN_CMD`.
  case runCommand = 2
}

/// One way of shutting a source out (`BLOCK_METHOD`). Several may be in force together.
package enum BlockMethod: String, Sendable, CaseIterable, Codable {
  /// Sets with timeouts in our own table `inet portsentry`.
  case nftables
  /// A blackhole route to the source, by netlink.
  case route
  /// A line in /etc/hosts.deny (`KILL_HOSTS_DENY`).
  case hostsDeny = "hosts.deny"
  /// The administrator's own command (`KILL_ROUTE`).
  case command
}

/// `PROOF`: what a block asks for beside a verdict.
package enum ProofDemand: String, Sendable, CaseIterable {
  /// That the source completed a TCP handshake with us.
  case handshake
  /// Nothing: whatever address is written on a packet is blocked.
  case none
}

/// `RULE`: whose verdict a block asks for.
package enum VerdictRule: String, Sendable, CaseIterable {
  /// That of sequential evidence: one wrong port makes no scanner.
  case native
  /// A touch of a trigger port, by SCAN_TRIGGER.
  case classic
}

extension ResponsePolicy {
  /// What to do about a triggered source, and what never to do.
  package struct Settings: Sendable, Equatable {
    package var tcp = BlockAction.logOnly
    package var udp = BlockAction.logOnly
    /// `BLOCK_METHOD`; nftables unless the classic keys imply others.
    package var methods: [BlockMethod] = [.nftables]
    /// `PROOF`.
    package var proof = ProofDemand.handshake
    /// `RULE`.
    package var rule = VerdictRule.native
    /// `DOUBT_TIME`: how long an unproven scanner is lied to after its last probe; nil: nobody is. Longer hides services
    /// from slower scans, and keeps more addresses in the kernel's set.
    package var doubtTime: Duration? = .seconds(30)
    /// How long a block lasts (`BLOCK_TIME`); nil: until it is released. Longer gives a scanner fewer tries and a
    /// wrongly accused address a longer wait.
    package var duration: Duration? = .seconds(86_400)
    /// How long the block of a repeat offender lasts at most (`BLOCK_TIME_MAX`). Each repeat doubles the time.
    package var longest = Duration.seconds(30 * 86_400)
    /// The largest number of blocks in force (`BLOCK_MAX`), 1 and up, shared out as `BlockBudget` says. At the end of a share no
    /// more of its sources are blocked, and that is said.
    package var maximum = 131_072
    /// The largest number of new blocks in a minute (`BLOCK_RATE`), shared out likewise; 0 for no limit.
    package var perMinute = 1_000
    /// The largest number of bans of the fleet in force (`FLEET_MAX`), beside those of `maximum`. At the end no more are, and that is
    /// said.
    package var fleetMaximum = 100_000
    /// The length of the widest IPv6 prefix that is blocked as a whole (`BLOCK_PREFIX_IPV6`): 64, 56, 48, or 128 for none.
    /// Wider stops somebody who owns many networks sooner, and shuts out neighbours who have nothing to do with him.
    package var widestPrefix = 64
    /// `KILL_ROUTE`: a shell command with `$TARGET$`.
    package var killRoute: String?
    /// `UNKILL_ROUTE`: what undoes `KILL_ROUTE`; nil where it is to be derived from a line we know.
    package var unkillRoute: String?
    /// `KILL_HOSTS_DENY`: the line for hosts.deny with `$TARGET$`.
    package var killHostsDeny: String?
    /// `KILL_RUN_CMD`.
    package var killRunCommand: String?
    /// `KILL_RUN_CMD_FIRST`.
    package var runCommandFirst = false
    /// `COMMAND_TIMEOUT`: how long a command may run before it is ended and counts as failed.
    package var commandTimeout = Duration.seconds(60)
    /// `HOSTS_DENY_FILE`.
    package var hostsDenyFile = "/etc/hosts.deny"
    /// `-L` of 2.x: also act when a probe's source is its target.
    package var actsOnOwnAddress = false

    package init() {}

    /// Whether sources that may be forged are lied to until they prove themselves. However they are shut out then: without
    /// the lie a scanner who completes no connection of his own would never prove anything.
    package var doubts: Bool { doubtTime != nil && tcp == .block && proof == .handshake }

    package func action(for transport: TransportProtocol) -> BlockAction { transport == .tcp ? tcp : udp }
  }
}
