import Wire

/// What this node believes of what the fleet says: records and time in, changes out. No clock, no descriptor, no key.
///
/// What is banned is a function of the testimonies, orders and certificates taken, and of the time, in whatever order and however often
/// they came: so all nodes come to the same after a partition, and a replay changes nothing.
package struct FleetLedger<Crypto: Verifier>: ~Copyable {
  package let settings: FleetSettings
  package let fleet: FleetID
  let verifier: Crypto
  package internal(set) var roster: Roster
  package internal(set) var orders = OrderBook()
  package internal(set) var refusals = RefusalCounts()
  /// By certified node; for `status`.
  package internal(set) var refusalsByNode: [NodeNumber: UInt64] = [:]
  /// Of certified nodes: how far the last record was ahead of this node's clock, where that is 60 s or more.
  package internal(set) var skews: [NodeNumber: Duration] = [:]
  /// Bans of the fleet in force, those by order included, and addresses watched.
  package internal(set) var bans = 0
  package internal(set) var watches = 0
  var store: WitnessStore
  /// What nodes took back, which older testimonies must not bring again.
  var retractions: [Retraction: UInt32] = [:]
  /// Watches that rest on one node alone, by its slot.
  var lone: [UInt16: Int] = [:]
  /// When an address of a member was last told of.
  var alarms: [IPAddress: Timestamp] = [:]
  /// When a campaign from an address was last told of.
  var campaigns: [IPAddress: Timestamp] = [:]
  /// Bans by order that were said.
  var ordered: Set<IPNetwork> = []
  var changes: [FleetChange] = []
  /// Where the sweep goes on.
  private var hand = 0
  private let hash: SpreadHash

  struct Retraction: Hashable {
    var address: IPAddress
    var slot: UInt16
  }

  package static var mostRetractions: Int { 16_384 }
  static var mostAlarms: Int { 256 }

  /// - Parameter secret: this node's own, and the same after a restart: when bans end depends on it.
  package init(_ settings: FleetSettings, fleet: FleetID, verifier: Crypto, secret: (UInt64, UInt64)) {
    self.settings = settings
    self.fleet = fleet
    self.verifier = verifier
    roster = Roster(of: fleet, in: settings.zone)
    hash = SpreadHash(secret.0, secret.1)
    // The last quorum, and what is on the way to the next.
    store = WitnessStore(
      capacity: min(settings.maximum, FleetSettings.mostBans) + FleetSettings.mostWatches,
      width: 2 * settings.quorum - 1,
      hash: hash)
  }

  // MARK: What comes

  /// What was taken and not told yet; to be asked for after each record, or a number of them.
  package mutating func drain() -> [FleetChange] {
    defer { changes = [] }
    return changes
  }

  /// A certificate of `EngineKeys.certificates`, or of this node's own file.
  package mutating func take(_ certificate: Certificate, at now: Timestamp) {
    do throws(Refusal) {
      switch try roster.take(certificate, verifier, at: now) {
      case .known: return
      case .joined: break
      case .replaced(let former): recertify(former, certificate.body, at: now)
      }
      spareMembers(at: certificate.body.addresses, of: certificate.body.number, at: now)
      changes.append(.resync)
    } catch {
      refuse(error, of: nil)
    }
  }

  /// A proof of the stream, the channel or a snapshot. What of it counts is counted.
  package mutating func take(_ proof: Proof, at now: Timestamp) {
    guard proof.accuses else { return takeCampaign(proof, at: now) }
    let isComplete = proof.testimonies.count >= settings.quorum
    let life = isComplete ? FleetSettings.window + settings.time : FleetSettings.window
    var sightings: [Sighting] = []
    for testimony in proof.testimonies {
      do throws(Refusal) {
        if let sighting = try heard(testimony, oldest: life, at: now) { sightings.append(sighting) }
      } catch {
        refuse(error, of: testimony.body.node)
      }
    }
    if !sightings.isEmpty { add(sightings, of: proof.address, at: now) }
  }

  /// What anybody can have sent: it is told of, and changes nothing.
  private mutating func takeCampaign(_ proof: Proof, at now: Timestamp) {
    guard proof.testimonies.count >= settings.quorum, campaigns[proof.address] == nil,
      campaigns.count < Self.mostAlarms
    else { return }
    var sightings: [Sighting] = []
    for testimony in proof.testimonies {
      do throws(Refusal) {
        _ = try heard(testimony, oldest: FleetSettings.campaignWindow, at: now)
        guard let slot = roster.slot(of: testimony.body.node) else { continue }
        sightings.append(Sighting(slot: slot, second: UInt32(clamping: testimony.body.time.seconds)))
      } catch {
        refuse(error, of: testimony.body.node)
      }
    }
    guard sightings.count >= settings.quorum else { return }
    campaigns[proof.address] = now
    changes.append(.campaign(proof.address, witnesses: witnesses(sightings)))
  }

  /// One testimony: this node's own too.
  package mutating func take(_ testimony: Testimony, at now: Timestamp) {
    do throws(Refusal) {
      if let sighting = try heard(testimony, oldest: FleetSettings.window, at: now) {
        add([sighting], of: testimony.body.address, at: now)
      }
    } catch {
      refuse(error, of: testimony.body.node)
    }
  }

  /// Counts what could not be read.
  package mutating func noteMalformed() { refuse(.malformed, of: nil) }

  /// Once a second or so: what is over is forgotten, little by little.
  package mutating func tick(at now: Timestamp) {
    // All rows within a minute.
    var left = min(store.count / 60 + 64, store.count)
    while left > 0, store.count > 0 {
      if hand >= store.count { hand = 0 }
      if sweep(store.place(at: hand), at: now) { hand += 1 }
      left -= 1
    }
    orders.prune(at: now, keeping: FleetSettings.window + settings.time + FleetSettings.mostAhead)
    for network in ordered where orders.ban(of: network).map({ $0.body.until <= now }) ?? true {
      ordered.remove(network)
      bans -= 1
    }
    let oldest = now.seconds - settings.timeSeconds - 2 * FleetSettings.windowSeconds
    retractions = retractions.filter { Int64($0.value) >= oldest }
    alarms = alarms.filter { now - $0.value < .seconds(3600) }
    campaigns = campaigns.filter { now - $0.value < .seconds(3600) }
  }

  // MARK: One testimony

  /// Checks a testimony, the cheap questions first.
  ///
  /// - Returns: what it says; nil where that is known, or nothing.
  private mutating func heard(
    _ testimony: Testimony, oldest: Duration, at now: Timestamp
  ) throws(Refusal) -> Sighting? {
    let body = testimony.body
    let slot = try roster.holder(body.node, .node, at: body.time)
    if body.time - now > FleetSettings.mostAhead { throw .ahead }
    if now - body.time >= oldest { throw .old }
    let sighting = Sighting(slot: slot, second: UInt32(clamping: body.time.seconds))
    if body.kind != .alive {
      guard body.address.isPossiblePeer else { throw .noSource }
      if body.address.isBoundToZone, roster.member(at: slot).body.zone != settings.zone { throw .otherZone }
      if orders.overrules(body.address, at: body.time) != nil { throw .overruled }
      // A replay costs no signature.
      if body.kind.accuses, knows(sighting, of: body.address, alone: oldest <= FleetSettings.window) { return nil }
    }
    guard testimony.isSigned(by: roster.member(at: slot).body.key, in: fleet, verifier) else { throw .badSignature }
    let skew = body.time - now
    skews[body.node] = skew >= FleetSettings.shownSkew ? skew : nil
    switch body.kind {
    case .alive, .probe: return nil
    case .retraction:
      try retract(sighting, of: body.address, at: now)
      return nil
    case .contact, .verdict:
      if let member = roster.member(at: body.address) {
        alarm(body.address, member, by: body.node, at: now)
        throw .member
      }
      if let taken = retractions[Retraction(address: body.address, slot: slot)], taken >= sighting.second { return nil }
      return sighting
    }
  }

  /// - Parameter alone: what is older than another of the same node adds nothing, unless it is part of a quorum.
  private func knows(_ sighting: Sighting, of address: IPAddress, alone: Bool) -> Bool {
    guard let place = store.place(of: address) else { return false }
    return store.sightings(of: place).contains {
      $0 == sighting || alone && $0.slot == sighting.slot && $0.second > sighting.second
    }
  }

  private mutating func alarm(_ address: IPAddress, _ member: NodeNumber, by node: NodeNumber, at now: Timestamp) {
    if alarms[address] != nil || alarms.count >= Self.mostAlarms { return }
    alarms[address] = now
    changes.append(.alarm(address, member: member, by: node))
  }

  private mutating func retract(_ sighting: Sighting, of address: IPAddress, at now: Timestamp) throws(Refusal) {
    let key = Retraction(address: address, slot: sighting.slot)
    if let former = retractions[key] {
      if former >= sighting.second { return }
    } else if retractions.count >= Self.mostRetractions {
      throw .noRoom
    }
    retractions[key] = sighting.second
    guard let place = store.place(of: address) else { return }
    let node = roster.member(at: sighting.slot).body.number
    keep(at: place, because: .retracted(node), at: now) { $0.slot != sighting.slot || $0.second > sighting.second }
  }

  mutating func refuse(_ refusal: Refusal, of node: NodeNumber?) {
    refusals.note(refusal)
    // Only of numbers that have a certificate: those are bounded.
    if let node, roster.slot(of: node) != nil { refusalsByNode[node, default: 0] &+= 1 }
  }

  // MARK: The quorum

  func quorum(of address: IPAddress) -> Quorum {
    Quorum(nodes: settings.quorum, zones: address.isBoundToZone ? 1 : settings.zones)
  }

  /// When a ban ends whose quorum was complete in a second: earlier by up to the spread, the same for an address at all times, so that a
  /// renewed ban never ends before the former would have.
  package func end(of address: IPAddress, completeAt second: UInt32) -> Timestamp {
    let spread = UInt64(max(settings.spread.wholeNanoseconds, 1))
    let earlier = Duration.nanoseconds(Int64(hash(address, 2) % spread))
    return Timestamp(seconds: Int64(second)) + (settings.time - earlier)
  }
}
