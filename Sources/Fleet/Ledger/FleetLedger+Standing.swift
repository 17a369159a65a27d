import Wire

/// What is said of an address, and what is counted.
extension FleetLedger {
  /// How an address stands by what was seen of it.
  enum Standing: Equatable {
    case none
    /// How many saw it within a day, and until when that lasts.
    case watched(count: Int, until: Timestamp)
    /// The quorum was complete in that second.
    case banned(UInt32)
  }

  func judge(_ sightings: [Sighting], of address: IPAddress, at now: Timestamp) -> Standing {
    if let second = quorum(of: address).complete(sightings, zone: roster.zone),
      end(of: address, completeAt: second) > now
    {
      return .banned(second)
    }
    var latest: [UInt16: UInt32] = [:]
    for sighting in sightings where isRecent(sighting, at: now) {
      latest[sighting.slot] = max(latest[sighting.slot] ?? 0, sighting.second)
    }
    // Of several it lasts as long as there are two.
    guard let last = latest.values.sorted(by: >).prefix(2).last else { return .none }
    return .watched(count: latest.count, until: Timestamp(seconds: Int64(last)) + FleetSettings.window)
  }

  private func isRecent(_ sighting: Sighting, at now: Timestamp) -> Bool {
    now.seconds - Int64(sighting.second) < FleetSettings.windowSeconds
  }

  /// Counts a row in or out, by what is said of it.
  private mutating func account(_ place: WitnessStore.Place, _ step: Int) {
    switch store.said(of: place) {
    case 0: break
    case 1:
      watches += step
      let sightings = store.sightings(of: place)
      guard sightings.count == 1 else { return }
      let left = lone[sightings[0].slot, default: 0] + step
      lone[sightings[0].slot] = left > 0 ? left : nil
    default: bans += step
    }
  }

  /// Takes new sightings of an address.
  mutating func add(_ sightings: [Sighting], of address: IPAddress, at now: Timestamp) {
    guard let place = store.place(of: address) ?? store.insert(address) else { return refuse(.full, of: nil) }
    var all = store.sightings(of: place)
    for sighting in sightings where !all.contains(sighting) { all.append(sighting) }
    account(place, -1)
    store.set(quorum(of: address).kept(all, width: store.width, zone: roster.zone), of: place)
    rise(place, at: now)
  }

  /// Says of a row, which is counted out, what is new, and counts it in; one for which there is no room goes.
  private mutating func rise(_ place: WitnessStore.Place, at now: Timestamp) {
    let address = store.address(of: place)
    let sightings = store.sightings(of: place)
    let said = store.said(of: place)
    switch judge(sightings, of: address, at: now) {
    case .none:
      // A ban that was over before it came.
      if said == 0 { return store.remove(place) }
    case .banned where said <= 1 && bans >= settings.maximum:
      refuse(.full, of: nil)
      if said == 0 { return store.remove(place) }
    case .banned(let second):
      if second != said {
        store.say(second, of: place)
        sayBan(address, sightings, second)
      }
    case .watched(_, let until):
      if said == 0, let refusal = watchRefusal(sightings) {
        refuse(refusal, of: nil)
        return store.remove(place)
      }
      store.say(1, of: place)
      sayWatch(address, sightings, until, at: now)
    }
    account(place, 1)
  }

  private func watchRefusal(_ sightings: [Sighting]) -> Refusal? {
    if watches >= FleetSettings.mostWatches { return .watchesFull }
    if sightings.count == 1, lone[sightings[0].slot, default: 0] >= FleetSettings.mostWatchesOfOne {
      return .watchesFull
    }
    return nil
  }

  /// Drops sightings of a row, and says what follows.
  ///
  /// - Returns: whether the row is still there.
  @discardableResult
  mutating func keep(
    at place: WitnessStore.Place, because reason: LiftReason, at now: Timestamp, where keeps: (Sighting) -> Bool
  ) -> Bool {
    let all = store.sightings(of: place)
    let kept = all.filter(keeps)
    guard kept.count < all.count else { return true }
    let address = store.address(of: place)
    let said = store.said(of: place)
    account(place, -1)
    store.set(kept, of: place)
    switch judge(kept, of: address, at: now) {
    case .banned(let second):
      if second != said {
        store.say(second, of: place)
        sayBan(address, kept, second)
      }
    case .watched(_, let until):
      if said > 1 { sayLift(address, reason, at: now) }
      store.say(1, of: place)
      sayWatch(address, kept, until, at: now)
    case .none:
      if said != 0 { sayLift(address, reason, at: now) }
      store.remove(place)
      return false
    }
    account(place, 1)
    return true
  }

  /// Drops sightings of all rows.
  mutating func keepEverywhere(
    because reason: LiftReason, at now: Timestamp, where keeps: (IPAddress, Sighting) -> Bool
  ) {
    var number = 0
    while number < store.count {
      let place = store.place(at: number)
      let address = store.address(of: place)
      if keep(at: place, because: reason, at: now, where: { keeps(address, $0) }) { number += 1 }
    }
  }

  /// Drops sightings of the rows in a network.
  mutating func keep(
    in network: IPNetwork, because reason: LiftReason, at now: Timestamp, where keeps: (IPAddress, Sighting) -> Bool
  ) {
    guard network.isHost else {
      return keepEverywhere(because: reason, at: now) { !network.contains($0) || keeps($0, $1) }
    }
    guard let place = store.place(of: network.address) else { return }
    keep(at: place, because: reason, at: now) { keeps(network.address, $0) }
  }

  /// Looks whether a row is over. A ban ends by itself wherever it is in force: nothing is said.
  ///
  /// - Returns: whether the row is still there.
  mutating func sweep(_ place: WitnessStore.Place, at now: Timestamp) -> Bool {
    let address = store.address(of: place)
    let sightings = store.sightings(of: place)
    let said = store.said(of: place)
    switch judge(sightings, of: address, at: now) {
    case .none:
      account(place, -1)
      store.remove(place)
      return false
    case .banned(let second):
      // There was no room for it, and now there is.
      guard said <= 1, bans < settings.maximum else { return true }
      account(place, -1)
      store.say(second, of: place)
      sayBan(address, sightings, second)
    case .watched(let count, let until):
      guard said > 1 || count < sightings.count else { return true }
      account(place, -1)
      let recent = Quorum.newest(sightings.filter { isRecent($0, at: now) })
      store.set(recent, of: place)
      store.say(0, of: place)
      if watchRefusal(recent) != nil {
        store.remove(place)
        return false
      }
      store.say(1, of: place)
      sayWatch(address, recent, until, at: now)
    }
    account(place, 1)
    return true
  }

  // MARK: Saying

  func witnesses(_ sightings: [Sighting]) -> [Witness] {
    sightings.map { sighting in
      let body = roster.member(at: sighting.slot).body
      return Witness(
        node: body.number, zone: body.zone, name: body.name, time: Timestamp(seconds: Int64(sighting.second)))
    }
  }

  private mutating func sayBan(_ address: IPAddress, _ sightings: [Sighting], _ second: UInt32) {
    changes.append(
      .ban(address, until: end(of: address, completeAt: second), witnesses: witnesses(sightings)))
  }

  /// Of what others saw. What this node saw itself it has weighed already, and would count twice.
  private mutating func sayWatch(_ address: IPAddress, _ sightings: [Sighting], _ until: Timestamp, at now: Timestamp) {
    let others = sightings.filter {
      roster.member(at: $0.slot).body.number != settings.node && isRecent($0, at: now)
    }
    changes.append(
      .watch(
        address, weight: Hearsay.weight(witnesses: others.count), until: until, witnesses: witnesses(others)))
  }

  private mutating func sayLift(_ address: IPAddress, _ reason: LiftReason, at now: Timestamp) {
    changes.append(.lift(address, reason))
    // What an operator ordered stays.
    if let order = orders.ban(around: address, at: now), ordered.contains(order.body.network) { sayOrder(order) }
  }

  mutating func sayOrder(_ order: Order) {
    changes.append(
      .banByOrder(
        order.body.network, until: order.body.until, operator: order.body.issuer, reason: order.body.reason))
  }

  /// Of an address whose ban by order has ended: what witnesses say of it stays.
  mutating func repeatBan(of network: IPNetwork) {
    guard network.isHost, let place = store.place(of: network.address), store.said(of: place) > 1 else { return }
    sayBan(network.address, store.sightings(of: place), store.said(of: place))
  }

  /// What stands in a network although an operator let all of it in: it has been seen since, or ordered since.
  mutating func repeatBans(in network: IPNetwork, at now: Timestamp) {
    if network.isHost {
      repeatBan(of: network)
    } else {
      for number in 0..<store.count {
        let address = store.address(of: store.place(at: number))
        if network.contains(address) { repeatBan(of: IPNetwork(address)) }
      }
    }
    for network in ordered.sorted().filter({ network.contains($0) }) {
      if let order = orders.ban(of: network), orders.stands(order, at: now) { sayOrder(order) }
    }
  }

  // MARK: Asking

  /// What is known of an address; nil for nothing.
  package struct View: Sendable, Equatable {
    /// nil where it is only watched.
    package var until: Timestamp?
    package var witnesses: [Witness]
    /// The ban by order around it.
    package var order: Order?
    /// The operator who allows it.
    package var allowedBy: NodeNumber?
  }

  package func view(of address: IPAddress, at now: Timestamp) -> View? {
    let sightings = store.place(of: address).map { store.sightings(of: $0) } ?? []
    var view = View(
      until: nil, witnesses: witnesses(sightings), order: orders.ban(around: address, at: now),
      allowedBy: orders.allows(IPNetwork(address), at: now))
    if case .banned(let second) = judge(sightings, of: address, at: now) {
      view.until = end(of: address, completeAt: second)
    }
    return view.witnesses.isEmpty && view.order == nil && view.allowedBy == nil ? nil : view
  }

  /// Every address that a quorum speaks against at this moment.
  package func banned(at now: Timestamp) -> [IPAddress] {
    (0..<store.count).compactMap { number in
      let place = store.place(at: number)
      guard store.said(of: place) > 1 else { return nil }
      let address = store.address(of: place)
      if case .banned = judge(store.sightings(of: place), of: address, at: now) { return address }
      return nil
    }
  }
}
