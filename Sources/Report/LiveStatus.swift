/// What a running sentry says of itself: `portsentry status --json`, read back. What an older one does not say is nil.
package struct LiveStatus: Sendable, Decodable {
  package struct Probes: Sendable, Decodable {
    package var seen: UInt64?
    package var alerts: UInt64?
    package var below_trigger: UInt64?
    package var ignored: UInt64?
    package var sources_forgotten: UInt64?
    package var sources_remembered: Int?
    package var connections_one_in: Int?
    package var others_one_in: Int?
  }

  package struct Blocks: Sendable, Decodable {
    package var in_force: Int?
    package var made: UInt64?
    package var released: UInt64?
    package var refused: UInt64?
    package var failed: UInt64?
    /// Whether they are known to be in force; false while they cannot be compared with what the kernel holds.
    package var enforced: Bool?
  }

  package struct Dropped: Sendable, Decodable {
    package var ring_full: UInt64?
    package var queue_full: UInt64?
    package var history: UInt64?
    package var log: UInt64?
    package var journal: UInt64?
  }

  package struct Log: Sendable, Decodable {
    package var written: UInt64?
    package var waiting: Int?
    /// When lines of the log or the history were last lost, in seconds since 1970; nil for never.
    package var last_lost: Int64?
  }

  package struct Safe: Sendable, Decodable {
    package var network: String
    package var reason: String
  }

  package struct Allowed: Sendable, Decodable {
    package var network: String
    package var until: Int64?
  }

  package struct Journal: Sendable, Decodable {
    package var path: String?
    package var limit: Int?
    package var keep_seconds: Int64?
    package var failing: Bool?
  }

  package struct Capture: Sendable, Decodable {
    /// In words.
    package var text: String?
  }

  package struct Deception: Sendable, Decodable {
    package var state: String?
    /// In words.
    package var text: String?
    package var connections: UInt64?
    /// Ways on which strangers do not reach the decoys: `lan0 IPv4`.
    package var hidden: [String]?
  }

  package struct ProofCounts: Sendable, Decodable {
    package var proven: UInt64?
    package var suspects: Int?
  }

  package struct Trial: Sendable, Decodable {
    package var ends: Int64
    package var is_over: Bool
  }

  /// This host's place in a fleet.
  package struct Fleet: Sendable, Decodable {
    package var name: String?
    package var zone: Int?
    package var connected: Bool?
    package var fault: String?
    package var members: Int?
    package var bans: Int?
    package var waiting: Int?
    package var spared: UInt64?
    /// What was not believed, by reason.
    package var refused: [String: UInt64]?
  }

  /// What is exchanged with CrowdSec's local API.
  package struct CrowdSec: Sendable, Decodable {
    package var failing: Bool?
    package var told: UInt64?
    package var waiting: Int?
    package var lost: UInt64?
    package var decisions: Int?
    package var use: String?
  }

  package var version: String?
  package var pid: Int32?
  package var started: Int64?
  package var configuration: String?
  package var tcp_mode: String?
  package var udp_mode: String?
  package var tcp_ports: String?
  package var tcp_port_count: Int?
  package var udp_ports: String?
  package var udp_port_count: Int?
  package var interfaces: [String]?
  package var capture: Capture?
  package var served_tcp: String?
  package var served_udp: String?
  package var response: String?
  package var deception: Deception?
  package var origin: ProofCounts?
  package var trial: Trial?
  package var probes: Probes?
  package var blocks: Blocks?
  package var dropped: Dropped?
  package var journal: Journal?
  package var log: Log?
  package var ignored_networks: Int?
  /// What `portsentry allow` named.
  package var allowed: [Allowed]?
  package var never_blocked: [Safe]?
  /// Why its processes have rights that they could do without.
  package var unconfined: [String]?
  /// nil where this host is of no fleet.
  package var fleet: Fleet?
  /// nil where nothing is exchanged with CrowdSec.
  package var crowdsec: CrowdSec?

  /// Of which nothing is known yet.
  package init() {}

  /// Everything that was lost, by what it was.
  package var losses: [(what: String, count: UInt64)] {
    [
      ("packets in the kernel", dropped?.ring_full), ("probes in the queue", dropped?.queue_full),
      ("lines of the history", dropped?.history), ("log lines", dropped?.log),
      ("records of the journal", dropped?.journal),
    ].compactMap { what, count in count.flatMap { $0 > 0 ? (what, $0) : nil } }
  }

  package var seesNothing: Bool { interfaces?.isEmpty ?? false }
}

/// A host of the fleet that saw somebody, read back.
package struct LiveWitness: Sendable, Decodable {
  package var host: String
  /// In seconds since 1970.
  package var time: Double

  package init(host: String, time: Double) {
    self.host = host
    self.time = time
  }
}

/// What a running sentry knows of an address, as far as we show it: the answer to `why`.
package struct LiveWhy: Sendable, Decodable {
  /// A name, empty where it goes on from the row before, and a sentence.
  package struct Row: Sendable, Decodable, Equatable {
    package var name: String
    package var text: String

    package init(name: String, text: String) { (self.name, self.text) = (name, text) }
  }

  /// Empty where nothing is known of it. Its address is not among them.
  package var rows: [Row]
  /// nil where nothing is known of it.
  package var known: [Row]? { rows.isEmpty ? nil : rows }

  /// In columns, as `portsentry why` prints them.
  package static func lines(_ rows: [Row]) -> [String] {
    let width = rows.map { $0.name.utf8.count }.max() ?? 0
    return rows.map { $0.name + String(repeating: " ", count: width - $0.name.utf8.count + 2) + $0.text }
  }
}

/// A block in force: `portsentry blocked --json`, read back.
package struct LiveBlock: Sendable, Decodable {
  package var network: String
  package var since: Int64
  package var until: Int64?
  package var methods: [String]
  package var port: Int?
  package var `protocol`: String?
  package var mode: String
  package var reason: String
  /// The hosts of the fleet that it rests on.
  package var witnesses: [LiveWitness]?

  package init(
    network: String, since: Int64, until: Int64?, methods: [String], port: Int, protocol: String, mode: String,
    reason: String
  ) {
    self.network = network
    self.since = since
    self.until = until
    self.methods = methods
    self.port = port
    self.protocol = `protocol`
    self.mode = mode
    self.reason = reason
  }
}
