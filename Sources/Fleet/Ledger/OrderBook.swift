import Wire

/// What operators have ordered, but for revocations. The latest order for a network counts, in whatever order they come.
package struct OrderBook: Sendable {
  /// Of each kind. At the end the new order is refused, and counted.
  package static let most = 16_384

  private var unbans = NetworkMap<Order>()
  private var allowances = NetworkMap<Order>()
  private(set) var bans = NetworkMap<Order>()

  package var count: Int { unbans.count + allowances.count + bans.count }
  /// All that still has an effect.
  package var orders: [Order] { [unbans, allowances, bans].flatMap { $0.values.values } }

  /// Whether what was said of an address at that moment does not count: who says so.
  func overrules(_ address: IPAddress, at time: Timestamp) -> NodeNumber? {
    // In whole seconds, as the tables keep time.
    if let (_, order) = unbans.first(around: address, where: { $0.body.time.seconds >= time.seconds }) {
      return order.body.issuer
    }
    return allowances.first(around: address, where: { Self.end($0).seconds >= time.seconds })?.1.body.issuer
  }

  /// Whether the fleet bans nobody who is in a network.
  func allows(_ network: IPNetwork, at now: Timestamp) -> NodeNumber? {
    allowances.first(overlapping: network, where: { Self.end($0) > now })?.1.body.issuer
  }

  func ban(of network: IPNetwork) -> Order? { bans[network] }
  func allowance(of network: IPNetwork) -> Timestamp? { allowances[network].map(Self.end) }

  /// The ban by order around an address.
  func ban(around address: IPAddress, at now: Timestamp) -> Order? {
    bans.first(around: address, where: { $0.body.until > now })?.1
  }

  /// - Returns: whether it is news.
  mutating func take(_ order: Order) throws(Refusal) -> Bool {
    switch order.body.verb {
    case .unban: try Self.keep(order, in: &unbans)
    case .allow: try Self.keep(order, in: &allowances)
    case .ban: try Self.keep(order, in: &bans)
    case .revoke: false
    }
  }

  private static func keep(_ order: Order, in map: inout NetworkMap<Order>) throws(Refusal) -> Bool {
    if let former = map[order.body.network] {
      if former == order || !supersedes(order, former) { return false }
    } else if map.count >= most {
      throw .noRoom
    }
    map[order.body.network] = order
    return true
  }

  private static func supersedes(_ new: Order, _ old: Order) -> Bool {
    new.body.time != old.body.time
      ? new.body.time > old.body.time : old.encoded.lexicographicallyPrecedes(new.encoded)
  }

  /// Whether a ban by order stands against the other orders.
  func stands(_ order: Order, at now: Timestamp) -> Bool {
    let network = order.body.network
    if order.body.until <= now || allows(network, at: now) != nil { return false }
    return unbans.values.first { $0.key.contains(network) && $0.value.body.time >= order.body.time } == nil
  }

  /// Forgets what has no effect any more: nothing that it overrules could count.
  mutating func prune(at now: Timestamp, keeping life: Duration) {
    for (network, order) in unbans.values where order.body.time + life < now { unbans[network] = nil }
    for (network, order) in allowances.values where Self.end(order) != .distantFuture {
      // Also not before a later order about the same network can be replaced by an earlier one, replayed.
      if max(Self.end(order), order.body.time) + life < now { allowances[network] = nil }
    }
    for (network, order) in bans.values where order.body.until + life < now { bans[network] = nil }
  }

  /// Forgets the orders of an operator who is revoked.
  mutating func drop(by issuer: NodeNumber) -> [Order] {
    let dropped = orders.filter { $0.body.issuer == issuer }
    for order in dropped {
      switch order.body.verb {
      case .unban: unbans[order.body.network] = nil
      case .allow: allowances[order.body.network] = nil
      case .ban: bans[order.body.network] = nil
      case .revoke: break
      }
    }
    return dropped
  }

  static func end(_ allowance: Order) -> Timestamp {
    allowance.body.until == .distantPast ? .distantFuture : allowance.body.until
  }
}

extension Timestamp {
  static var distantFuture: Timestamp { Timestamp(nanoseconds: .max) }
}
