import Wire

/// What is asked of each block again by whoever puts it into force, and what is in force by that. Who orders a block may have been taken
/// over, and a proof does not cross a pipe: `Permit` rests on nothing but what its owner found out by itself. Pure: time is passed in.
package struct Permit: Sendable {
  /// In whose name a block is ordered. No more than a claim.
  package enum Claim: UInt8, Sendable, CaseIterable {
    /// Of a scan that this host has seen.
    case scan = 1
    /// By an operator of this host.
    case order
    case fleet
  }

  /// How a network is shut out.
  package struct Ways: OptionSet, Sendable, Hashable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let sets = Ways(rawValue: 1)
    package static let blackhole = Ways(rawValue: 2)
    package static let unreachable = Ways(rawValue: 4)
    package static let routes: Ways = [.blackhole, .unreachable]
    package static let all: Ways = [.sets, .blackhole, .unreachable]
  }

  /// A network in force.
  package struct Entry: Sendable, Equatable {
    package var claim: Claim
    package var ways: Ways
    /// Monotonic nanoseconds; `.max` for ever.
    package var end: Int64
    /// Found in force: in whose name, nobody has said yet.
    package var isRecalled = false

    /// How long it lasts still; nil for ever.
    package func remaining(at now: Int64) -> Duration? {
      end == .max ? nil : .nanoseconds(max(end &- now, 1_000_000))
    }
  }

  /// The limits of the site.
  package struct Limits: Sendable, Equatable {
    /// `BLOCK_MAX`.
    package var maximum: Int
    /// `BLOCK_RATE`; 0 for no limit.
    package var perMinute: Int
    /// `FLEET_MAX`; 0 where this host is of no fleet.
    package var fleetMaximum: Int
    /// `BLOCK_PREFIX_IPV6`.
    package var widestPrefix: Int

    package init(_ settings: ResponsePolicy.Settings, isOfFleet: Bool) {
      maximum = settings.maximum
      perMinute = settings.perMinute
      fleetMaximum = isOfFleet ? settings.fleetMaximum : 0
      widestPrefix = settings.widestPrefix
    }

    private init() { (maximum, perMinute, fleetMaximum, widestPrefix) = (.max / 16, 0, .max / 16, 0) }

    /// For whoever orders and judges in one process: nothing is asked again.
    package static let none = Limits()
  }

  /// Why a block is refused.
  package enum Refusal: Error, Equatable, Sendable, CustomStringConvertible {
    case policy(ResponsePolicy.Refusal)
    /// Wider than anything of its kind may be.
    case tooWide(IPNetwork)
    /// So many networks wider than `wide` are in force.
    case tooManyWide(Int)
    /// This host is of no fleet.
    case noFleet
    /// Addresses and gateways could not be found out yet.
    case blind

    package var description: String {
      switch self {
      case .policy(let refusal): "\(refusal)"
      case .tooWide(let network): "\(network) is wider than what may be blocked at once; block parts of it"
      case .tooManyWide(let most): "\(most) networks wider than /16 (IPv6: /32) are blocked, and no more may be"
      case .noFleet: "this host is of no fleet"
      case .blind: "it is not known yet which addresses must stay reachable"
      }
    }
  }

  /// Orders of operators in a minute, where BLOCK_RATE is no higher: more than a shell's loop makes.
  package static let ordersPerMinute = 6_000
  /// The widest network that may be ordered at all: /8, IPv6 /16.
  static let widest = (v4: 8, v6: 16)
  /// Wider than this there may be `mostWide` in force.
  static let wide = (v4: 16, v6: 32)
  package static let mostWide = 64

  package var limits: Limits
  /// nil before they were found out: then nobody is shut out.
  package var safe: SafeNetworks?
  package var ignored = IPNetworkSet()
  package private(set) var table: [IPNetwork: Entry] = [:]
  /// The same of all entries, in whatever order they came: whoever has the same table has the same.
  package private(set) var digest = Digest()
  private var budget = BlockBudget()
  private var wideCount = 0
  private var scans = BlockRate()
  private var orders = BlockRate()
  private var lastSweep = Int64.min

  package init(_ limits: Limits, safe: SafeNetworks? = nil) {
    self.limits = limits
    self.safe = safe
  }

  /// How many entries there may ever be: those of before may be more than new ones would.
  package var most: Int { max(limits.maximum + limits.fleetMaximum, 1 << 20) }

  /// Takes a block into the table, or throws.
  ///
  /// - Parameters:
  ///   - end: monotonic; `.max` for ever.
  ///   - isRestored: it was in force before: number and rate do not hold.
  package mutating func admit(
    _ network: IPNetwork, _ claim: Claim, _ ways: Ways, until end: Int64, isRestored: Bool = false, at now: Int64
  ) throws(Refusal) {
    try checkKind(network, claim)
    let known = table[network]
    if known?.claim != claim {
      if let known { count(network, known.claim, -1) }
      do throws(Refusal) {
        // What was in force is no more than there was, whatever the limits are now.
        if !isRestored, known?.isRecalled != true {
          try checkRoom(network, claim, now)
          try spend(network, claim, now)
        }
      } catch {
        if let known { count(network, known.claim, 1) }
        throw error
      }
      count(network, claim, 1)
    }
    let entry = Entry(claim: claim, ways: ways.union(known?.ways ?? []), end: end)
    if let known { digest.remove(network, known.ways) }
    digest.insert(network, entry.ways)
    table[network] = entry
  }

  /// What the kernel has of before, put there by the one whose place this takes: in the table without a question.
  package mutating func recall(_ network: IPNetwork, _ ways: Ways, until end: Int64) {
    remove(network)
    count(network, .order, 1)
    digest.insert(network, ways)
    table[network] = Entry(claim: .order, ways: ways, end: end, isRecalled: true)
  }

  /// - Returns: how it was shut out; nil where it was not.
  @discardableResult
  package mutating func remove(_ network: IPNetwork, _ ways: Ways = .all) -> Ways? {
    guard var entry = table[network] else { return nil }
    let before = entry.ways
    guard !before.isDisjoint(with: ways) else { return before }
    digest.remove(network, before)
    entry.ways.subtract(ways)
    if entry.ways.isEmpty {
      table[network] = nil
      count(network, entry.claim, -1)
    } else {
      table[network] = entry
      digest.insert(network, entry.ways)
    }
    return before
  }

  /// Whether a network must stay reachable, as far as is known now.
  package func isForbidden(_ network: IPNetwork) -> Bool {
    safe?.reason(protecting: network) != nil || ignored.network(overlapping: network) != nil
  }

  private func checkKind(_ network: IPNetwork, _ claim: Claim) throws(Refusal) {
    guard let safe else { throw .blind }
    if let what = safe.reason(protecting: network) { throw .policy(.safe(what)) }
    if ignored.network(overlapping: network) != nil { throw .policy(.ignored) }
    if network.isHost || limits.widestPrefix == 0 { return }
    switch claim {
    case .scan: if network.isV4 || network.length < limits.widestPrefix { throw .tooWide(network) }
    case .order, .fleet:
      if network.length < (network.isV4 ? Self.widest.v4 : Self.widest.v6) { throw .tooWide(network) }
    }
  }

  private mutating func checkRoom(_ network: IPNetwork, _ claim: Claim, _ now: Int64) throws(Refusal) {
    do throws(Refusal) { try checkCounts(network, claim) } catch {
      // Those whose time is over are lifted by whoever ordered them; where they are not, they are no reason to refuse.
      guard now >= lastSweep &+ 1_000_000_000 else { throw error }
      lastSweep = now
      for (network, entry) in table where entry.end <= now { remove(network) }
      try checkCounts(network, claim)
    }
  }

  private func checkCounts(_ network: IPNetwork, _ claim: Claim) throws(Refusal) {
    if claim == .fleet, limits.fleetMaximum == 0 { throw .noFleet }
    if Self.isWide(network), wideCount >= Self.mostWide, limits.widestPrefix > 0 { throw .tooManyWide(Self.mostWide) }
    do throws(BlockBudget.Exhausted) {
      try budget.check(
        Self.source(network, claim), limit: claim == .fleet ? limits.fleetMaximum : limits.maximum)
    } catch { throw .policy(.tableFull(error)) }
  }

  private mutating func spend(_ network: IPNetwork, _ claim: Claim, _ now: Int64) throws(Refusal) {
    guard limits.perMinute > 0 else { return }
    // A minute of 59 seconds: what was decided in time may come a moment late.
    let time = Timestamp(nanoseconds: now / 59 * 60)
    do throws(BlockBudget.Exhausted) {
      switch claim {
      case .scan: try scans.spend(Self.source(network, claim), limit: limits.perMinute, at: time)
      case .order:
        try orders.spend(.order, limit: max(limits.perMinute, Self.ordersPerMinute), at: time)
      // A snapshot brings a hundred thousand at once; their number is what bounds them.
      case .fleet: break
      }
    } catch { throw .policy(.tooFast(error)) }
  }

  private mutating func count(_ network: IPNetwork, _ claim: Claim, _ change: Int) {
    if change > 0 { budget.insert(Self.source(network, claim)) } else { budget.remove(Self.source(network, claim)) }
    if Self.isWide(network) { wideCount += change }
  }

  private static func isWide(_ network: IPNetwork) -> Bool {
    network.length < (network.isV4 ? wide.v4 : wide.v6)
  }

  /// What it uses up. That a scanner was proven is claimed, too: the share of those is the widest.
  private static func source(_ network: IPNetwork, _ claim: Claim) -> BlockBudget.Source {
    switch claim {
    case .scan: BlockBudget.Source(network, isProven: true)
    case .order: .order
    case .fleet: .fleet
    }
  }

  /// A sum over the entries of a table.
  package struct Digest: Sendable, Equatable {
    package private(set) var count: UInt32
    package private(set) var sum: UInt64

    package init(count: UInt32 = 0, sum: UInt64 = 0) { (self.count, self.sum) = (count, sum) }

    package mutating func insert(_ network: IPNetwork, _ ways: Ways) {
      count &+= 1
      sum &+= Self.mixed(network, ways)
    }

    package mutating func remove(_ network: IPNetwork, _ ways: Ways) {
      count &-= 1
      sum &-= Self.mixed(network, ways)
    }

    /// The finisher of MurmurHash3 (public domain), in turn: nobody gains by two tables that look alike.
    private static func mixed(_ network: IPNetwork, _ ways: Ways) -> UInt64 {
      var hash: UInt64 = 0
      for part in [
        network.address.high, network.address.low,
        UInt64(network.length) << 9 | UInt64(ways.rawValue) << 1
          | (network.isV4 ? 1 : 0),
      ] {
        hash ^= part
        hash = (hash ^ hash >> 33) &* 0xff51_afd7_ed55_8ccd
        hash = (hash ^ hash >> 33) &* 0xc4ce_b9fe_1a85_ec53
        hash ^= hash >> 33
      }
      return hash
    }
  }
}

extension Block.Record {
  /// In whose name it is in force.
  package var claim: Permit.Claim { isByHand ? .order : fleetBasis != nil ? .fleet : .scan }
}
