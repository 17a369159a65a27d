import Detection
import Wire

/// Decides what is done about a source. Pure: no clock, no I/O.
package struct ResponsePolicy: Sendable {
  package var settings: Settings
  /// What must stay reachable whatever it did; found on this host, not configured.
  package var safe: SafeNetworks
  /// The administrator's ignore file.
  package var ignored: IPNetworkSet
  /// When the newest blocks were made: a window of one minute, never longer than `settings.perMinute`.
  private var recent: [Timestamp] = []
  private var oldest = 0

  package init(_ settings: Settings, safe: SafeNetworks = SafeNetworks(), ignored: IPNetworkSet = IPNetworkSet()) {
    self.settings = settings
    self.safe = safe
    self.ignored = ignored
  }

  /// Why a source is not blocked although something asks for it.
  package enum Refusal: Error, Equatable, Sendable, CustomStringConvertible {
    /// It must stay reachable; the text says what it is, e.g. "the default gateway".
    case safe(String)
    case ignored
    /// BLOCK_MAX blocks are in force.
    case tableFull(Int)
    /// BLOCK_RATE new blocks were made within a minute.
    case tooFast(Int)
    /// `--trial` ended without `portsentry confirm`.
    case trialOver

    package var description: String {
      switch self {
      case .safe(let what): "it is \(what)"
      case .ignored: "the ignore file names it"
      case .tableFull(let limit): "\(limit) blocks are in force (BLOCK_MAX)"
      case .tooFast(let limit): "\(limit) blocks were made within a minute (BLOCK_RATE)"
      case .trialOver: "the trial was not confirmed (`portsentry confirm`)"
      }
    }
  }

  /// A block for the source of a probe, or why there is none.
  ///
  /// - Parameters:
  ///   - repeats: how often the source was blocked before: each doubles the time.
  ///   - inForce: how many blocks there are.
  package mutating func decide(
    _ probe: Probe, _ grounds: Grounds, modeName: String, repeats: Int, inForce: Int, now: Timestamp
  ) throws(Refusal) -> Block {
    let network = IPNetwork(probe.source)
    try check(network, inForce: inForce)
    if settings.perMinute > 0 {
      // Those of the future were made before the clock was set back.
      while oldest < recent.count, now - recent[oldest] > .seconds(60) || recent[oldest] > now { oldest += 1 }
      if oldest > 1024 {
        recent.removeFirst(oldest)
        oldest = 0
      }
      guard recent.count - oldest < settings.perMinute else { throw .tooFast(settings.perMinute) }
      recent.append(now)
    }
    return Block(
      Block.Record(
        network: network, since: now, until: duration(repeats: repeats).map { now + $0 },
        methods: settings.action(for: probe.transport) == .runCommand ? [] : settings.methods, port: probe.targetPort,
        transport: probe.transport, modeName: modeName, reason: "\(grounds)", evidence: grounds.line))
  }

  /// How long a block lasts after so many before it; nil: for ever.
  package func duration(repeats: Int) -> Duration? {
    guard let base = settings.duration else { return nil }
    var duration = base
    for _ in 0..<max(repeats, 0) where duration < settings.longest { duration *= 2 }
    return min(duration, max(settings.longest, base))
  }

  /// A block that was made for a trial, for its whole time.
  package func prolong(_ block: Block, repeats: Int) -> Block {
    var record = block.record
    record.until = duration(repeats: repeats).map { record.since + $0 }
    return Block(record)
  }

  /// A block for a whole prefix, in place of those for its members; nil where something safe or ignored is in it.
  ///
  /// - Parameter members: the blocks that it takes the place of, the newest last. All of them proven.
  package func widen(
    to network: IPNetwork, members: [Block], repeats: Int, now: Timestamp
  ) -> Block? {
    guard let last = members.last, (try? check(network, inForce: 0)) != nil else { return nil }
    var until = duration(repeats: repeats).map { now + $0 }
    for member in members {
      guard let end = until, let theirs = member.until else {
        until = nil
        break
      }
      until = max(end, theirs)
    }
    var record = last.record
    record.network = network
    record.since = now
    record.until = until
    // Neither a line of hosts.deny nor a command of the administrator's need know networks.
    record.methods = record.methods.filter { $0 == .nftables || $0 == .route }
    if record.methods.isEmpty { return nil }
    record.reason = "\(members.count) proven members, the last \(last.network): \(last.record.reason)"
    return Block(record)
  }

  /// A block by an operator's order: the safe list holds for it, the rate does not.
  ///
  /// - Parameter duration: nil for ever.
  package func order(
    _ network: IPNetwork, duration: Duration?, reason: String, inForce: Int, now: Timestamp
  ) throws(Refusal) -> Block {
    try check(network, inForce: inForce)
    // A network cannot be a line of hosts.deny or a classic command's $TARGET$ in every case; nftables takes all.
    let methods = settings.methods.filter { network.isHost || $0 == .nftables || $0 == .route }
    return Block(
      Block.Record(
        network: network, since: now, until: duration.map { now + $0 },
        methods: methods.isEmpty ? [.nftables] : methods, port: 0, transport: .tcp, modeName: "operator", reason: reason
      ))
  }

  /// A block that was in force before a restart; nil when it must not be any more.
  package func restore(_ record: Block.Record, now: Timestamp) -> Block? {
    if let until = record.until, until <= now { return nil }
    guard (try? check(record.network, inForce: 0)) != nil else { return nil }
    return Block(record)
  }

  private func check(_ network: IPNetwork, inForce: Int) throws(Refusal) {
    if let what = safe.reason(protecting: network) { throw .safe(what) }
    if ignored.network(overlapping: network) != nil { throw .ignored }
    guard inForce < settings.maximum else { throw .tableFull(settings.maximum) }
  }
}

/// An order to shut a network out. Only `ResponsePolicy` makes one: that it exists proves that it is not ourselves,
/// nothing we need, nothing ignored, and within the bounds.
package struct Block: Sendable, Equatable {
  /// What is written down of a block: the same fields, with nothing proven.
  package struct Record: Sendable, Equatable {
    package var network: IPNetwork
    package var since: Timestamp
    /// nil: until it is released.
    package var until: Timestamp?
    package var methods: [BlockMethod]
    /// The port whose probe led to it; 0 for an operator's order.
    package var port: UInt16
    package var transport: TransportProtocol
    /// `$MODE$` of the commands run for it.
    package var modeName: String
    /// The evidence, in words.
    package var reason: String
    /// The evidence, as `Grounds.line`; empty for an operator's order.
    package var evidence: String

    package var grounds: Grounds? { Grounds(line: evidence) }

    package init(
      network: IPNetwork, since: Timestamp, until: Timestamp?, methods: [BlockMethod], port: UInt16,
      transport: TransportProtocol, modeName: String, reason: String, evidence: String = ""
    ) {
      self.network = network
      self.since = since
      self.until = until
      self.methods = methods
      self.port = port
      self.transport = transport
      self.modeName = modeName
      self.reason = reason
      self.evidence = evidence
    }
  }

  package let record: Record
  package var network: IPNetwork { record.network }
  package var until: Timestamp? { record.until }
  package var methods: [BlockMethod] { record.methods }

  fileprivate init(_ record: Record) { self.record = record }

  /// How long it still lasts; nil for ever.
  package func remaining(at now: Timestamp) -> Duration? { until.map { max($0 - now, .milliseconds(1)) } }

  /// The same block, ending at the latest then.
  package func limited(until end: Timestamp) -> Block {
    var record = record
    record.until = min(record.until ?? end, end)
    return Block(record)
  }

  /// The same block with only those of its methods that took effect.
  package func limited(to methods: [BlockMethod]) -> Block {
    var record = record
    record.methods = methods
    return Block(record)
  }
}
