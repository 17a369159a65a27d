import Wire

/// The pure half of a coordinator: reads what nodes write into their streams, and passes on what belongs together. It has no authority:
/// whatever it passes on proves itself to each node, and what it keeps back another coordinator passes on.
package struct Coordinator<Crypto: Verifier>: ~Copyable {
  package struct Settings: Sendable, Equatable {
    /// The least any node of the fleet asks for.
    package var quorum = 3
    package var zones = 1
    /// The longest FLEET_TIME of the fleet.
    package var time = Duration.seconds(86_400)
    package var capacity = 1_250_000
    package var sources = 1_000_000
    /// How long it waits whether another coordinator is first. Of two, one 0 and one 100 ms.
    package var delay = Duration.zero
    /// Testimonies a node may write a second, and how many at once (after an outage). Beyond these they are not read, and its stream
    /// is trimmed.
    package var rate = Pace(perSecond: 20, burst: 4096)
    /// Of one node alone, to be watched. Beyond these they count for a quorum but are not passed on.
    package var watchRate = Pace(perSecond: 1, burst: 256)
    /// Campaigns, which anybody can forge, and which each node is told of.
    package var campaignRate = Pace(perSecond: 0.1, burst: 64)

    package init() {}
  }

  package struct Pace: Sendable, Equatable {
    package var perSecond: Double
    package var burst: Double

    package init(perSecond: Double, burst: Double) {
      self.perSecond = perSecond
      self.burst = burst
    }
  }

  /// What is known of a node, for `fleet status`.
  package struct Health: Sendable, Equatable {
    package var lastSeen = Timestamp.distantPast
    /// How far its clock is ahead, by its last heartbeat; negative: behind, or that much was on the way.
    package var skew = Duration.zero
    package var testimonies: UInt64 = 0
    package var refused: UInt64 = 0
    /// Testimonies that are kept.
    package internal(set) var held = 0
    /// When it was last told that the clock is wrong.
    var clockTold = Timestamp.distantPast
    var tokens = Tokens()
    var watchTokens = Tokens()
  }

  /// How much of an address was passed on: how many witnesses, and the second of the last quorum; 0 for none.
  struct Said: Sendable {
    var told: UInt8 = 0
    var passed: UInt32 = 0
    /// How many of these witnesses were not read yet.
    var unread: UInt8 = 0
  }

  /// A token bucket.
  struct Tokens: Sendable, Equatable {
    private var left: Double?
    private var at = Timestamp.distantPast

    mutating func take(_ pace: Pace, at now: Timestamp) -> Bool {
      let gained = max(Double((now - at).wholeNanoseconds), 0) / 1e9 * pace.perSecond
      at = max(at, now)
      let tokens = min((left ?? pace.burst) + gained, pace.burst)
      left = tokens >= 1 ? tokens - 1 : tokens
      return tokens >= 1
    }
  }

  package let settings: Settings
  package let fleet: FleetID
  let verifier: Crypto
  package internal(set) var roster: Roster
  package internal(set) var orders = OrderBook()
  package internal(set) var refusals = RefusalCounts()
  /// By slot.
  var health: [Health] = []
  var store: TestimonyStore
  var probes = ProbeTable()
  var campaignTokens = Tokens()
  /// What is to be passed on, the oldest first, and from when on.
  var pending: [(due: Timestamp, proof: Proof)] = []
  var floods: Set<NodeNumber> = []
  /// Those of whom `drainFlooders` has not told.
  var flooders: Set<NodeNumber> = []
  /// Nodes whose clocks are so wrong that what they say is refused, and by how much.
  var clocks: [NodeNumber: Duration] = [:]
  /// What was passed on before this coordinator began, of addresses of which not all of that was read yet.
  var said: [TestimonyStore.Key: Said] = [:]
  private var hand = 0
  /// Where making room goes on.
  var evictionHand = 0

  /// Proofs that wait for the engine. Beyond these those of one node alone are dropped first; the snapshot has all.
  package static var mostPending: Int { 65_536 }
  /// Addresses of `said`. What is beyond is passed on once more.
  static var mostSaid: Int { 262_144 }
  /// Of one address.
  static var mostWitnesses: Int { 32 }

  package init(_ settings: Settings, fleet: FleetID, verifier: Crypto, secret: (UInt64, UInt64)) {
    self.settings = settings
    self.fleet = fleet
    self.verifier = verifier
    roster = Roster(of: fleet, in: nil)
    store = TestimonyStore(
      capacity: settings.capacity, sources: settings.sources, hash: SpreadHash(secret.0, secret.1))
  }

  package var testimonies: Int { store.count }
  package var sources: Int { store.sourceCount }

  package func health(of number: NodeNumber) -> Health? { roster.slot(of: number).map { health[Int($0)] } }

  // MARK: What comes

  package mutating func take(_ certificate: Certificate, at now: Timestamp) {
    do throws(Refusal) {
      guard case .known = try roster.take(certificate, verifier, at: now) else {
        while health.count < roster.count { health.append(Health()) }
        return
      }
    } catch { refusals.note(error) }
  }

  package mutating func take(_ order: Order, at now: Timestamp) {
    do throws(Refusal) {
      let slot = try roster.holder(order.body.issuer, .operator_, at: order.body.time)
      if order.body.time - now > FleetSettings.mostAhead { throw .ahead }
      guard order.isSigned(by: roster.member(at: slot).body.key, in: fleet, verifier) else { throw .badSignature }
      if order.body.verb == .revoke {
        if try roster.revoke(order) {
          _ = orders.drop(by: order.body.node)
          _ = roster.dropRevocations(by: order.body.node)
        }
      } else {
        _ = try orders.take(order)
      }
    } catch { refusals.note(error) }
  }

  /// An entry of a node's stream.
  package mutating func take(_ testimony: Testimony, from stream: NodeNumber, at now: Timestamp) {
    do throws(Refusal) { try hear(testimony, from: stream, at: now) } catch {
      refusals.note(error)
      if let slot = roster.slot(of: stream) { health[Int(slot)].refused &+= 1 }
    }
  }

  package mutating func noteMalformed(from stream: NodeNumber) {
    refusals.note(.malformed)
    if let slot = roster.slot(of: stream) { health[Int(slot)].refused &+= 1 }
  }

  /// Another coordinator has passed this on, or this one has before it began anew.
  package mutating func saw(_ proof: Proof) {
    if !pending.isEmpty { pending.removeAll { $0.proof == proof } }
    let key = TestimonyStore.Key(
      address: proof.address,
      zone: proof.address.isBoundToZone
        ? roster.slot(of: proof.testimonies[0].body.node).map { roster.zone($0) } ?? 0 : 0)
    // Of what is known here this coordinator has kept account by itself.
    guard store.source(of: key) == nil, said[key] != nil || said.count < Self.mostSaid else { return }
    var entry = said[key] ?? Said()
    if proof.testimonies.count >= settings.quorum {
      let second = proof.testimonies.lazy.map { UInt32(clamping: $0.body.time.seconds) }.max() ?? 0
      (entry.passed, entry.told) = (max(entry.passed, second), max(entry.told, UInt8(proof.testimonies.count)))
    } else if proof.testimonies[0].body.kind.accuses {
      entry.told = UInt8(clamping: Int(entry.told) + proof.testimonies.count)
    }
    entry.unread = entry.told
    said[key] = entry
  }

  /// Orders and revocations that have an effect.
  package var allOrders: [Order] { orders.orders + roster.revokingOrders }

  /// A node fills the engine with what is no record.
  package mutating func noteFlood(by node: NodeNumber) {
    refusals.note(.tooFast)
    flooders.insert(node)
    if let slot = roster.slot(of: node) { health[Int(slot)].refused &+= 1 }
  }

  /// Nodes that wrote more than they may since this was asked last.
  package mutating func drainFlooders() -> [NodeNumber] {
    defer { flooders = [] }
    return flooders.sorted()
  }

  /// Nodes whose clocks are too wrong for what they say to count, each once an hour; how far they are ahead.
  package mutating func drainClocks() -> [(node: NodeNumber, ahead: Duration)] {
    defer { clocks = [:] }
    return clocks.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// What is to be appended to the stream of proofs and announced now, at most so many.
  package mutating func drain(_ most: Int, at now: Timestamp) -> [Proof] {
    let due = pending.prefix(most).prefix { $0.due <= now }.map(\.proof)
    pending.removeFirst(due.count)
    return due
  }

  /// Nodes whose streams are to be cut to their last entries.
  package mutating func drainFloods() -> [NodeNumber] {
    defer { floods = [] }
    return floods.sorted()
  }

  /// Once a second or so: what is over is forgotten, little by little.
  package mutating func tick(at now: Timestamp) {
    var left = min(store.sourceCount / 60 + 64, store.sourceCount)
    while left > 0, store.sourceCount > 0 {
      if hand >= store.sourceCount { hand = 0 }
      if sweep(hand, at: now) { hand += 1 }
      left -= 1
    }
    orders.prune(at: now, keeping: FleetSettings.window + settings.time + FleetSettings.mostAhead)
  }

  private mutating func sweep(_ source: Int, at now: Timestamp) -> Bool {
    let address = store.address(of: source)
    let life = complete(source) == nil ? FleetSettings.window : FleetSettings.window + settings.time
    forget(of: source) { place, coordinator in
      let time = coordinator.time(of: place)
      return now - time >= life || !coordinator.roster.speaks(coordinator.store.owner(of: place), at: time)
        || coordinator.orders.overrules(address, at: time) != nil
    }
    guard store.places(of: source).isEmpty else { return true }
    store.remove(source)
    return false
  }
}
