import Platform
import Response
import Wire

/// The enforcer without its process: takes an order, asks `Permit` again, and does it. No clock, no descriptor; a test gives both.
package final class EnforcerDesk {
  /// What comes of an order.
  package enum Outcome: Equatable, Sendable {
    case reply(EnforcerReply)
    /// A part of more to come.
    case silence
    /// No sentry says this: nothing more is taken from it.
    case end
  }

  package var permit: Permit
  let rules: any Ruleset
  /// Blocks of before may come into force at once until the sentry has told all of them.
  package private(set) var isSealed: Bool
  /// Parts of what is not whole yet.
  private var whole: [EnforcerOrder.Ban] = []
  private var lifted: [IPNetwork] = []
  /// Of the last whole: what cannot be in force yet, which is nobody's doing; how many were refused, and the first.
  private var fresh: Set<IPNetwork> = []
  private var refusals: (count: Int, first: String?) = (0, nil)
  private var trap = NFTablesTrap()
  private var spared: [IPNetwork] = []
  private var parts: Set<EnforcerOrder.TrapPorts> = []
  /// More networks that nobody may be doubted of than an ignore file of its largest size names.
  private static let mostSpared = 1 << 21
  private static let mostNames = 256

  package init(_ permit: Permit, _ rules: any Ruleset, isSealed: Bool = false) {
    self.permit = permit
    self.rules = rules
    self.isSealed = isSealed
  }

  /// Readable when somebody else changed the table.
  package var watched: [Int32] { rules.monitorDescriptor.map { [$0] } ?? [] }

  /// Takes the place of one that has ended: what is in the kernel's sets was put there by it.
  package func recall(at now: Int64) throws(ResponderError) {
    do throws(ResponderError) {
      for (network, time) in try rules.contents() {
        permit.recall(network, .sets, until: Self.end(time.map(\.wholeNanoseconds) ?? 0, now))
      }
    } catch .missing {
      // There is no table.
    } catch { throw error }
  }

  /// - Parameters:
  ///   - now: monotonic.
  ///   - reread: reads configuration and ignore file again.
  package func answer(_ order: EnforcerOrder, at now: Int64, reread: () -> Void = {}) -> Outcome {
    do throws(ResponderError) {
      switch order {
      case .ban(let ban): return .reply(try put(ban, now))
      case .whole(let bans, let before, let isLast): return take(bans, before, isLast, now)
      case .mend(let digest, let needsTable):
        if let digest, permit.digest != digest { return .reply(.differs) }
        return .reply(.mended(try mend(needsTable, now), refused: 0, because: ""))
      case .lift(let networks, let before, let isLast): return try lift(networks, before, isLast)
      case .removeRoute(let network):
        try rules.removeRoute(network)
        permit.remove(network, .routes)
      case .watch: rules.watch()
      case .removeTable:
        guard permit.table.isEmpty else { return .reply(.refused("blocks are in force")) }
        try rules.removeTable()
      case .trapPorts, .trapSpared, .trapNames, .trap, .noTrap: return try deceive(order)
      case .doubtsLost: return .reply(.number(try rules.doubtsLost()))
      case .doubt(let address): return .reply(.remaining(try rules.doubt(of: address).map(\.wholeNanoseconds)))
      case .endDoubts(let addresses): try rules.endDoubts(of: addresses)
      case .inputChains: return .reply(.chains(try rules.inputChains()))
      case .reread: reread()
      case .seal: isSealed = true
      // Of the process, not of this.
      case .health: return .end
      }
    } catch { return .reply(.failed(error)) }
    return .reply(.done(false))
  }

  private static func end(_ remaining: Int64, _ now: Int64) -> Int64 {
    if remaining <= 0 { return .max }
    let (end, isOver) = now.addingReportingOverflow(remaining)
    return isOver ? .max - 1 : end
  }

  // MARK: Blocks

  private func put(_ ban: EnforcerOrder.Ban, _ now: Int64) throws(ResponderError) -> EnforcerReply {
    let before = permit.table[ban.network]?.ways ?? []
    do throws(Permit.Refusal) {
      try permit.admit(ban.network, ban.claim, ban.ways, until: Self.end(ban.remaining, now), at: now)
    } catch { return .refused("\(error)") }
    do throws(ResponderError) {
      if ban.ways.contains(.sets) {
        try rules.add([(ban.network, ban.remaining == 0 ? nil : .nanoseconds(ban.remaining))])
      }
      if let kind = ban.ways.route { try rules.addRoute(ban.network, kind) }
    } catch {
      permit.remove(ban.network, ban.ways.subtracting(before))
      throw error
    }
    return .done(true)
  }

  private func take(_ bans: [EnforcerOrder.Ban], _ before: UInt32, _ isLast: Bool, _ now: Int64) -> Outcome {
    if before == 0 { whole = [] }
    guard whole.count == before else { return isLast ? Self.torn : .silence }
    whole += bans
    guard whole.count <= permit.most + EnforcerOrder.Part.bans else { return .end }
    guard isLast else { return .silence }
    adopt(Dictionary(whole.map { ($0.network, $0) }, uniquingKeysWith: { _, last in last }), now)
    whole = []
    return .reply(.mended(0, refused: UInt32(clamping: refusals.count), because: refusals.first ?? ""))
  }

  /// Takes the whole for what is to be in force; what comes of it is for `mend` to do.
  private func adopt(_ wanted: [IPNetwork: EnforcerOrder.Ban], _ now: Int64) {
    for (network, entry) in permit.table {
      permit.remove(network, wanted[network].map { entry.ways.subtracting($0.ways) } ?? .all)
    }
    (fresh, refusals) = ([], (0, nil))
    for ban in wanted.values {
      let isKnown = permit.table[ban.network]?.ways == ban.ways
      do throws(Permit.Refusal) {
        try permit.admit(
          ban.network, ban.claim, ban.ways, until: Self.end(ban.remaining, now), isRestored: !isSealed, at: now)
        if !isKnown { fresh.insert(ban.network) }
      } catch {
        refusals = (refusals.count + 1, refusals.first ?? "\(ban.network): \(error)")
        if permit.isForbidden(ban.network) { permit.remove(ban.network) }
      }
    }
  }

  /// Compares what should be in force with what the kernel has, and mends the difference.
  ///
  /// - Returns: how many somebody else had lifted or added.
  private func mend(_ needsTable: Bool, _ now: Int64) throws(ResponderError) -> UInt32 {
    var mended = 0
    if needsTable { mended += try mendSets(now) }
    let wanted = permit.table.filter { $0.value.ways.route != nil }
    if !wanted.isEmpty {
      let inForce = try rules.routes()
      for (network, entry) in wanted where !inForce.contains(network) {
        if permit.isForbidden(network) { continue }
        try rules.addRoute(network, entry.ways.route!)
        if !fresh.contains(network) { mended += 1 }
      }
    }
    fresh = []
    return UInt32(clamping: mended)
  }

  private func mendSets(_ now: Int64) throws(ResponderError) -> Int {
    // A table made this moment is empty; reading a large one takes the kernel a while.
    let isEmpty = try rules.prepare() && !isSealed
    let inForce = isEmpty ? [:] : try rules.contents()
    var missing: [(IPNetwork, Duration?)] = []
    for (network, entry) in permit.table
    where entry.ways.contains(.sets) && inForce[network] == nil && entry.end > now {
      // What has become safe meanwhile will be lifted; until then it is not made anew.
      if fresh.contains(network) || !permit.isForbidden(network) { missing.append((network, entry.remaining(at: now))) }
    }
    let extra = inForce.keys.filter { permit.table[$0]?.ways.contains(.sets) != true }
    if !extra.isEmpty { try rules.remove(extra) }
    if !missing.isEmpty { try rules.add(missing) }
    return missing.count { !fresh.contains($0.0) } + extra.count
  }

  /// The parts before it went to an enforcer that has ended.
  private static let torn = Outcome.reply(.failed(.missing("a part of the order")))

  private func lift(_ networks: [IPNetwork], _ before: UInt32, _ isLast: Bool) throws(ResponderError) -> Outcome {
    if before == 0 { lifted = [] }
    guard lifted.count == before else { return isLast ? Self.torn : .silence }
    lifted += networks
    guard lifted.count <= permit.most + EnforcerOrder.Part.networks else { return .end }
    guard isLast else { return .silence }
    let all = lifted
    lifted = []
    try rules.remove(all)
    for network in all { permit.remove(network, .sets) }
    return .reply(.done(true))
  }

  // MARK: The trap

  /// What deceives shuts nobody out: of what has a socket it touches nothing. So its parts are bounded, and no more is asked of them.
  private func deceive(_ order: EnforcerOrder) throws(ResponderError) -> Outcome {
    switch order {
    case .trapPorts(let which, let ports):
      if which == .decoy { startTrap() }
      parts.insert(which)
      switch which {
      case .decoy: trap.decoy = ports
      case .tcp: trap.tcp = ports
      case .udp: trap.udp = ports
      case .closed4: trap.closed4 = ports
      case .closed6: trap.closed6 = ports
      }
    case .trapSpared(let networks):
      guard spared.count + networks.count <= Self.mostSpared else { return .end }
      spared += networks
    case .trapNames(let isBridges, let names):
      guard trap.interfaces.count + trap.bridges.count + names.count <= Self.mostNames else { return .end }
      if isBridges { trap.bridges += names } else { trap.interfaces += names }
    case .trap(let head):
      guard parts.count == EnforcerOrder.TrapPorts.allCases.count else { return Self.torn }
      var made = trap
      (made.v4, made.v6, made.mayMeetCookies) = (head.v4, head.v6, head.mayMeetCookies)
      made.doubt = head.doubt > 0 ? .nanoseconds(head.doubt) : nil
      made.spared = IPNetworkSet(spared)
      startTrap()
      try rules.setTrap(made)
      return .reply(.done(true))
    default:
      startTrap()
      try rules.setTrap(nil)
      return .reply(.done(true))
    }
    return .silence
  }

  private func startTrap() { (trap, spared, parts) = (NFTablesTrap(), [], []) }
}

extension Permit.Ways {
  /// The route of these ways.
  package var route: RouteTable.Kind? {
    contains(.blackhole) ? .blackhole : contains(.unreachable) ? .unreachable : nil
  }
}
