import Detection
import Wire

/// Decides what is done about a source. Pure: no clock, no I/O.
package struct ResponsePolicy: Sendable {
  package var settings: Settings
  /// What must stay reachable whatever it did; found on this host, not configured.
  package var safe: SafeNetworks
  /// The administrator's ignore file, and whom an operator allowed.
  package var ignored: IPNetworkSet
  /// The blocks of the last minute.
  private var rate = BlockRate()

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
    /// As many blocks are in force as BLOCK_MAX allows for such a source.
    case tableFull(BlockBudget.Exhausted)
    /// As many new blocks were made within a minute as BLOCK_RATE allows for such a source.
    case tooFast(BlockBudget.Exhausted)
    /// Somebody within the prefix uses a service of this host properly.
    case hasUser(IPAddress)
    /// `--trial` ended without `portsentry confirm`.
    case trialOver

    package var description: String {
      switch self {
      case .safe(let what): "it is \(what)"
      case .ignored: "the ignore file or `portsentry allow` names it"
      case .tableFull(let end) where end.isFleet: "\(end.limit) bans of the fleet are in force (FLEET_MAX)"
      case .tableFull(let end): "\(end.limit) blocks\(end.whose) are in force (BLOCK_MAX)"
      case .tooFast(let end): "\(end.limit) blocks\(end.whose) were made within a minute (BLOCK_RATE)"
      case .hasUser(let address): "\(address) in it uses, or used within a day, a service of this host"
      case .trialOver: "the trial was not confirmed (`portsentry confirm`)"
      }
    }
  }

  /// A block for the source of a probe, or why there is none.
  ///
  /// - Parameters:
  ///   - repeats: how often the source was blocked before: each doubles the time.
  ///   - inForce: the blocks there are.
  package mutating func decide(
    _ probe: Probe, _ grounds: Grounds, modeName: String, repeats: Int, inForce: BlockBudget, now: Timestamp
  ) throws(Refusal) -> Block {
    let network = IPNetwork(probe.source)
    let source = BlockBudget.Source(network, isProven: grounds.origin != nil)
    try check(network)
    try checkRoom(source, inForce)
    if settings.perMinute > 0 {
      do throws(BlockBudget.Exhausted) { try rate.spend(source, limit: settings.perMinute, at: now) } catch {
        throw .tooFast(error)
      }
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

  /// A block for a whole prefix, beside those for its members; nil where no method in use knows networks.
  ///
  /// - Parameters:
  ///   - members: the blocks on which it rests, the newest last. All of them proven.
  ///   - user: somebody in it who used a service properly: then there is no such block.
  package func widen(
    to network: IPNetwork, members: [Block], user: IPAddress?, repeats: Int, now: Timestamp
  ) throws(Refusal) -> Block? {
    guard let last = members.last, network.length >= settings.widestPrefix else { return nil }
    try check(network)
    if let user { throw .hasUser(user) }
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
    _ network: IPNetwork, duration: Duration?, reason: String, inForce: BlockBudget, now: Timestamp
  ) throws(Refusal) -> Block {
    try check(network)
    try checkRoom(.order, inForce)
    // A network cannot be a line of hosts.deny or a classic command's $TARGET$ in every case; nftables takes all.
    let methods = settings.methods.filter { network.isHost || $0 == .nftables || $0 == .route }
    return Block(
      Block.Record(
        network: network, since: now, until: duration.map { now + $0 },
        methods: methods.isEmpty ? [.nftables] : methods, port: 0, transport: .tcp, modeName: Block.Record.operatorMode,
        reason: reason
      ))
  }

  /// A block because of what the fleet says. `BLOCK_RATE` is not for it: a snapshot brings a hundred thousand at once, each of them proven.
  ///
  /// - Parameters:
  ///   - end: as its node has computed it; no longer than the longest block of this host's own.
  ///   - inForce: nil where one of the fleet is in force already, and gets another end.
  package func fleet(
    _ network: IPNetwork, until end: Timestamp, _ grounds: Grounds, inForce: BlockBudget?, now: Timestamp
  ) throws(Refusal) -> Block {
    try check(network)
    if let inForce {
      do throws(BlockBudget.Exhausted) { try inForce.check(.fleet, limit: settings.fleetMaximum) } catch {
        throw .tableFull(error)
      }
    }
    // No command is run, and no line of hosts.deny written, for a hundred thousand of them.
    let methods = settings.methods.filter { $0 == .nftables || $0 == .route }
    return Block(
      Block.Record(
        network: network, since: now, until: min(end, now + settings.longest),
        methods: methods.isEmpty ? [.nftables] : methods, port: 0, transport: .tcp,
        modeName: grounds.isCrowdSec ? Block.Record.crowdSecMode : Block.Record.fleetMode, reason: grounds.fleetReason,
        evidence: grounds.line))
  }

  /// A block that was in force before a restart; nil when it must not be any more.
  package func restore(_ record: Block.Record, now: Timestamp) -> Block? {
    if let until = record.until, until <= now { return nil }
    guard (try? check(record.network)) != nil, !isTooWide(record) else { return nil }
    return Block(record)
  }

  /// Whether a block is that of a whole prefix which was found by its members and is wider than the settings allow.
  package func isTooWide(_ record: Block.Record) -> Bool {
    !record.network.isV4 && record.network.length < settings.widestPrefix && record.grounds?.origin != nil
  }

  private func check(_ network: IPNetwork) throws(Refusal) {
    if let what = safe.reason(protecting: network) { throw .safe(what) }
    if ignored.network(overlapping: network) != nil { throw .ignored }
  }

  private func checkRoom(_ source: BlockBudget.Source, _ inForce: BlockBudget) throws(Refusal) {
    do throws(BlockBudget.Exhausted) { try inForce.check(source, limit: settings.maximum) } catch {
      throw .tableFull(error)
    }
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

    /// `modeName` of an operator's order.
    package static let operatorMode = "operator"
    package var isByHand: Bool { modeName.isSameBytes(as: Self.operatorMode) }
    /// `modeName` of a ban of the fleet.
    package static let fleetMode = "fleet"
    /// `modeName` of a ban that follows CrowdSec.
    package static let crowdSecMode = "crowdsec"

    /// Whether it rests on what others saw: the fleet, or CrowdSec.
    package var isFleets: Bool { [Self.fleetMode, Self.crowdSecMode].contains { modeName.isSameBytes(as: $0) } }
    /// Whether CrowdSec is told of it: not of what came from there.
    package var isNewsForCrowdSec: Bool { fleetBasis != .crowdSec }
    /// By hand, or by the fleet: no probe led to it.
    package var isWithoutProbe: Bool { isByHand || isFleets }

    package enum FleetBasis { case quorum, order, crowdSec }

    /// Of a ban of the fleet what it rests on, without reading all of it. One by hearsay is of this host's own.
    package var fleetBasis: FleetBasis? {
      guard isFleets else { return nil }
      if evidence.startsWithBytes("fleet crowdsec") { return .crowdSec }
      return evidence.startsWithBytes("fleet order") ? .order : .quorum
    }

    package var grounds: Grounds? { Grounds(line: evidence) }

    /// What hosts of the fleet saw, of a block that rests on it; nil for all others, whose evidence is not read for that.
    package var fleetCause: FleetCause? {
      guard evidence.startsWithBytes("fleet "), case .fleet(let cause)? = grounds?.accusation else { return nil }
      return cause
    }

    /// The evidence in words, with the names of the fleet's hosts, which `reason` leaves out.
    package var fullReason: String {
      guard isFleets, let grounds, case .fleet = grounds.accusation else { return reason }
      return grounds.description
    }

    /// Whether its source had shown that it is where it says (`grounds.origin`), without reading all of the evidence: a hundred
    /// thousand are asked at a start.
    package var isProven: Bool { evidence.containsBytes(" origin ") }

    /// What it uses up.
    var source: BlockBudget.Source {
      if evidence.isEmpty { return .order }
      return fleetBasis != nil ? .fleet : BlockBudget.Source(network, isProven: isProven)
    }

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
