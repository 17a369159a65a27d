import Wire

/// How much of a limit each kind of source may use, so that nobody uses up what others need. Pure.
///
/// Sources are in four classes, each of which leaves something to those after it: IPv6 without proof, IPv4 without proof, IPv6
/// with proof, IPv4 with proof. Addresses of IPv6 cost nothing, those of IPv4 do; an address without proof costs nothing
/// at all. An operator's orders come after all of them. Besides, no IPv6 /32 or /48 and no IPv4 /16 may use it all: that is
/// what one party gets. At the end of a share the block is refused, logged and counted, and asked for again by the next probe.
///
/// Bans of the fleet have a limit of their own (FLEET_MAX), and use up nothing of this one.
///
/// Limits below 16 are not shared out: there is too little of them.
package struct BlockBudget: Sendable {
  /// What is counted apart.
  enum Account: Hashable, Sendable {
    /// All of this class and those before it.
    case upTo(SourceClass)
    /// What the fleet bans.
    case fleet
    case prefix(IPNetwork)
  }

  /// The later, the dearer for whoever would use it up.
  enum SourceClass: Int, Sendable, CaseIterable, Comparable {
    case unprovenIPv6
    case unprovenIPv4
    case provenIPv6
    case provenIPv4
    /// Ordered by an operator.
    case ordered

    static func < (a: SourceClass, b: SourceClass) -> Bool { a.rawValue < b.rawValue }

    /// Sixteenths of the limit that this class and those before it may use together.
    var sixteenths: Int {
      switch self {
      case .unprovenIPv6: 8
      case .unprovenIPv4: 12
      case .provenIPv6: 14
      case .provenIPv4: 15
      case .ordered: 16
      }
    }

    var text: String {
      switch self {
      case .unprovenIPv6: "IPv6 sources without proof"
      case .unprovenIPv4: "sources without proof"
      case .provenIPv6: "IPv6 sources"
      case .provenIPv4: "scanners; the rest is for orders of operators"
      case .ordered: "all"
      }
    }
  }

  /// The share that is used up.
  package struct Exhausted: Error, Equatable, Sendable, CustomStringConvertible {
    package init(limit: Int, share: String?) {
      self.limit = limit
      self.share = share
    }

    /// How many there may be.
    package let limit: Int
    /// Whose share it is, in words; nil where the limit is not shared out.
    package let share: String?

    var isFleet: Bool { share == "the fleet" }
    package var description: String { "\(limit)\(whose)" }
    /// Behind the number of blocks.
    var whose: String { share.map { ", the share of \($0)," } ?? "" }
  }

  /// Blocks by account. At most five for each block.
  private var counts: [Account: Int] = [:]
  package private(set) var count = 0
  /// Bans of the fleet, beside those counted.
  package var fleetCount: Int { counts[.fleet, default: 0] }

  package init() {}

  package mutating func insert(_ source: Source) {
    if !source.isFleet { count += 1 }
    for account in source.accounts { counts[account, default: 0] += 1 }
  }

  package mutating func remove(_ source: Source) {
    if !source.isFleet { count -= 1 }
    for account in source.accounts {
      let left = counts[account, default: 1] - 1
      counts[account] = left > 0 ? left : nil
    }
  }

  /// Throws when a source's share of the limit is used up. The class of an operator's orders has all of it.
  package func check(_ source: Source, limit: Int) throws(Exhausted) {
    guard limit >= Self.leastShared || source.isFleet else {
      if count >= limit { throw Exhausted(limit: limit, share: nil) }
      return
    }
    for account in source.accounts {
      let (most, text) = share(of: account, limit)
      if counts[account, default: 0] >= most { throw Exhausted(limit: most, share: text) }
    }
  }

  private static let leastShared = 16

  private func share(of account: Account, _ limit: Int) -> (most: Int, text: String?) {
    switch account {
    case .upTo(.ordered): (limit, nil)
    case .fleet: (limit, "the fleet")
    case .upTo(let sourceClass): (limit * sourceClass.sixteenths / 16, sourceClass.text)
    case .prefix(let network):
      // A quarter for what a provider or a company has, a sixteenth for what a customer has.
      (max(limit / (network.isV4 || network.length == 32 ? 4 : 16), 4), "\(network)")
    }
  }

  /// What of a source decides about its share.
  package struct Source: Sendable {
    fileprivate let accounts: [Account]

    /// - Parameter isProven: whether it has shown to be where it says.
    package init(_ network: IPNetwork, isProven: Bool) {
      let sourceClass: SourceClass =
        switch (isProven, network.isV4) {
        case (false, false): .unprovenIPv6
        case (false, true): .unprovenIPv4
        case (true, false): .provenIPv6
        case (true, true): .provenIPv4
        }
      let prefixes = (network.isV4 ? [16] : [32, 48]).filter { $0 <= network.length }.compactMap {
        IPNetwork(network.address, length: $0).map(Account.prefix)
      }
      accounts = SourceClass.allCases.filter { $0 >= sourceClass }.map(Account.upTo) + prefixes
    }

    /// What the fleet bans.
    package static var fleet: Source { Source(accounts: [.fleet]) }
    fileprivate var isFleet: Bool { accounts == [.fleet] }

    /// An operator's order.
    package static var order: Source { Source(accounts: [.upTo(.ordered)]) }

    private init(accounts: [Account]) { self.accounts = accounts }
  }
}

/// The budget of the last minute. Never longer than the limit.
package struct BlockRate: Sendable {
  private var budget = BlockBudget()
  private var recent: [(time: Timestamp, source: BlockBudget.Source)] = []
  private var oldest = 0

  package init() {}

  /// Takes one of `limit` blocks in a minute, or throws.
  package mutating func spend(
    _ source: BlockBudget.Source, limit: Int, at now: Timestamp
  ) throws(BlockBudget.Exhausted) {
    // Those of the future were made before the clock was set back.
    while oldest < recent.count, now - recent[oldest].time > .seconds(60) || recent[oldest].time > now {
      budget.remove(recent[oldest].source)
      oldest += 1
    }
    if oldest > 1024 {
      recent.removeFirst(oldest)
      oldest = 0
    }
    try budget.check(source, limit: limit)
    recent.append((now, source))
    budget.insert(source)
  }
}
