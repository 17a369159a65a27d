import Wire

/// What operators order, and what certificates change.
extension FleetLedger {
  package mutating func take(_ order: Order, at now: Timestamp) {
    do throws(Refusal) { try obey(order, at: now) } catch { refuse(error, of: nil) }
  }

  private mutating func obey(_ order: Order, at now: Timestamp) throws(Refusal) {
    let body = order.body
    let slot = try roster.holder(body.issuer, .operator_, at: body.time)
    if body.time - now > FleetSettings.mostAhead { throw .ahead }
    switch body.verb {
    case .ban:
      if body.until <= now { throw .old }
      // A private network is another one elsewhere.
      if body.network.address.isBoundToZone { throw .otherZone }
      if roster.member(overlapping: body.network) != nil { throw .member }
    case .unban:
      if body.time + FleetSettings.window + settings.time < now { throw .old }
    case .allow, .revoke: break
    }
    guard order.isSigned(by: roster.member(at: slot).body.key, in: fleet, verifier) else { throw .badSignature }
    guard body.verb != .revoke else {
      if try roster.revoke(order) { revoked(body.node, at: now) }
      return
    }
    let endOfBefore = body.verb == .allow ? orders.allowance(of: body.network) : nil
    guard try orders.take(order) else { return }
    switch body.verb {
    case .ban: try ban(order, at: now)
    case .unban:
      // First, as it ends all there is; what was seen since is said after it.
      changes.append(.unban(body.network, operator: body.issuer))
      overrule(body.network, by: body.issuer, at: now)
      repeatBans(in: body.network, at: now)
    case .allow:
      overrule(body.network, by: body.issuer, at: now)
      let end = OrderBook.end(order)
      changes.append(.allow(body.network, until: end == .distantFuture ? nil : end, operator: body.issuer))
      // What was refused because of the longer one may count now.
      if let endOfBefore, endOfBefore > end { changes.append(.resync) }
    case .revoke: break
    }
  }

  private mutating func ban(_ order: Order, at now: Timestamp) throws(Refusal) {
    guard orders.stands(order, at: now) else { throw .overruled }
    if !ordered.contains(order.body.network) {
      if bans >= settings.maximum { throw .full }
      ordered.insert(order.body.network)
      bans += 1
    }
    sayOrder(order)
  }

  /// Ends what an unban or an allowance speaks against.
  private mutating func overrule(_ network: IPNetwork, by issuer: NodeNumber, at now: Timestamp) {
    let book = orders
    keep(in: network, because: .overruled(operator: issuer), at: now) { address, sighting in
      book.overrules(address, at: Timestamp(seconds: Int64(sighting.second))) == nil
    }
    liftOrders(because: .overruled(operator: issuer), at: now)
  }

  /// Ends bans by order that stand no more.
  private mutating func liftOrders(because reason: LiftReason, at now: Timestamp) {
    for network in ordered.sorted() {
      if let order = orders.ban(of: network), orders.stands(order, at: now) { continue }
      ordered.remove(network)
      bans -= 1
      changes.append(.liftOrder(network, reason))
      repeatBan(of: network)
    }
  }

  /// A member's certificate counts no more.
  private mutating func revoked(_ node: NodeNumber, at now: Timestamp) {
    guard let slot = roster.slot(of: node), roster.isRevoked(slot: slot) else { return }
    keepEverywhere(because: .revoked(node), at: now) { _, sighting in sighting.slot != slot }
    retractions = retractions.filter { $0.key.slot != slot }
    if !orders.drop(by: node).isEmpty { liftOrders(because: .revoked(node), at: now) }
    _ = roster.dropRevocations(by: node)
    // Witnesses for whom a row had no room, and what an operator overruled, may count now.
    changes.append(.resync)
  }

  /// A number has another certificate, which begins later: what was said before does not count.
  mutating func recertify(_ former: Certificate, _ new: Certificate.Body, at now: Timestamp) {
    guard let slot = roster.slot(of: new.number), new.from > former.body.from else { return }
    keepEverywhere(because: .recertified(new.number), at: now) { _, sighting in
      sighting.slot != slot || Int64(sighting.second) >= new.from.seconds
    }
  }

  /// Nobody is banned where a member is.
  mutating func spareMembers(at networks: [IPNetwork], of member: NodeNumber, at now: Timestamp) {
    for network in networks where roster.member(overlapping: network) != nil {
      keep(in: network, because: .member(member), at: now) { _, _ in false }
      for order in orders.bans.values.values where order.body.network.overlaps(network) {
        guard ordered.remove(order.body.network) != nil else { continue }
        bans -= 1
        changes.append(.liftOrder(order.body.network, .member(member)))
      }
    }
  }
}
