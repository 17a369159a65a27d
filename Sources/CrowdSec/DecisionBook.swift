import Wire

/// Which decisions are in force at the local API. Several may be about one address, each with an id of its own; deletions are repeated, and a
/// list of all comes now and then. Pure, bounded.
package struct DecisionBook: Sendable {
  /// What is new about a network.
  package enum Change: Equatable, Sendable {
    /// It is banned there until then, or until then instead of before.
    case begins(IPNetwork, until: Timestamp, scenario: String)
    case ends(IPNetwork)
  }

  struct Entry: Sendable {
    var network: IPNetwork
    var until: Timestamp
    var scenario: String
    /// In which list of all it was last.
    var round: UInt32
  }

  /// As many as are watched. At the end further ones are not taken, and counted.
  package static let capacity = 65_536

  private var entries: [Int64: Entry] = [:]
  private var ids: [IPNetwork: [Int64]] = [:]
  private var round: UInt32 = 0
  /// Decisions of the list at hand for which there was no room.
  package private(set) var refused: UInt64 = 0

  package init() {}

  package var count: Int { entries.count }
  /// Networks with a decision in force.
  package var networks: Dictionary<IPNetwork, [Int64]>.Keys { ids.keys }

  /// Until when a network is banned, and for what; nil where it is not any more.
  package func ban(on network: IPNetwork) -> (until: Timestamp, scenario: String)? {
    end(of: network).map { ($0.until, $0.scenario) }
  }

  package mutating func take(_ item: DecisionStream.Item, at now: Timestamp) -> Change? {
    switch item {
    case .new(let decision) where decision.duration > .zero: return add(decision, now)
    case .new(let decision), .deleted(let decision): return remove(decision.id, now)
    }
  }

  private mutating func add(_ decision: CrowdSecDecision, _ now: Timestamp) -> Change? {
    guard !decision.origin.isSameBytes(as: CrowdSecDecision.ownOrigin) else { return nil }
    let before = end(of: decision.network)
    if entries[decision.id] == nil {
      guard entries.count < Self.capacity else {
        refused += 1
        return nil
      }
      ids[decision.network, default: []].append(decision.id)
    } else if entries[decision.id]?.network != decision.network {
      // No id changes its meaning; what says so is not believed.
      return nil
    }
    // Whole seconds: the same decision, read again, ends when it did.
    let until = Timestamp(seconds: (now + decision.duration).seconds)
    if let known = entries[decision.id], abs((known.until - until).components.seconds) <= 2 {
      entries[decision.id]?.round = round
      return nil
    }
    entries[decision.id] = Entry(
      network: decision.network, until: until, scenario: decision.scenario, round: round)
    let after = end(of: decision.network)
    guard let after, after.until != before?.until else { return nil }
    return .begins(decision.network, until: after.until, scenario: after.scenario)
  }

  private mutating func remove(_ id: Int64, _ now: Timestamp) -> Change? {
    guard let entry = entries.removeValue(forKey: id) else { return nil }
    ids[entry.network]?.removeAll { $0 == id }
    guard let rest = end(of: entry.network) else {
      ids[entry.network] = nil
      return .ends(entry.network)
    }
    return rest.until < entry.until ? .begins(entry.network, until: rest.until, scenario: rest.scenario) : nil
  }

  /// The decision about a network that lasts longest.
  private func end(of network: IPNetwork) -> Entry? {
    ids[network]?.compactMap { entries[$0] }.max { $0.until < $1.until }
  }

  /// A list of all begins.
  package mutating func beginRound() {
    round &+= 1
    refused = 0
  }

  /// It is over: what was not in it is gone.
  package mutating func endRound(at now: Timestamp) -> [Change] {
    let gone = entries.filter { $0.value.round != round }.keys.sorted()
    return gone.compactMap { remove($0, now) }
  }

  /// What has ended by itself. Nothing follows: blocks and watches end by themselves as well.
  package mutating func trim(at now: Timestamp) {
    for (id, entry) in entries where entry.until <= now { _ = remove(id, now) }
  }
}
