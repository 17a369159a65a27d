import Wire

/// Whom fewer hosts of the fleet than a quorum speak against, and bans of the fleet that wait. Pure, bounded.
struct FleetWatch: Sendable {
  struct Entry: Sendable {
    var weight: Int32
    var until: Timestamp
    var witnesses: [FleetCause.Witness]
  }

  struct Waiting: Sendable {
    var until: Timestamp
    var cause: FleetCause
  }

  /// As many as a ledger watches. At the end the new one is not: it is banned by what it does here, as without a fleet.
  static let mostWatched = 65_536
  /// Bans that wait for a block of this host's own to end, or for a conversation. At the end the new one is dropped; the fleet's next
  /// snapshot brings it again.
  static let mostWaiting = 4_096

  private(set) var watched: [IPAddress: Entry] = [:]
  private(set) var waiting: [IPNetwork: Waiting] = [:]
  /// Whom CrowdSec bans, until when, and since when that is known; as many as of the fleet's.
  private(set) var decided: [IPNetwork: (until: Timestamp, since: Timestamp)] = [:]
  /// Of how many networks of each length: the way from an address to them.
  private var lengths: [Int: Int] = [:]
  /// Whom a quorum speaks against and this host does not ban for that, because it bans them itself, or nobody. For `why` only. As many as
  /// wait; at the end further ones are not known.
  private(set) var seen: [IPAddress: Waiting] = [:]
  /// When those that wait are tried again, by the monotonic clock.
  private var next: Int64 = 0

  mutating func watch(_ address: IPAddress, _ entry: Entry?) {
    guard let entry else {
      watched[address] = nil
      return
    }
    if watched[address] == nil, watched.count >= Self.mostWatched { return }
    watched[address] = entry
  }

  /// What the fleet and CrowdSec say, of which the graver counts: more than `FleetCause.mostHearsay` it never is.
  func entry(for address: IPAddress, at now: Timestamp) -> Entry? {
    let entry = watched[address].flatMap { $0.until > now ? $0 : nil }
    guard let decided = decision(on: address, at: now) else { return entry }
    return Entry(
      weight: FleetCause.mostHearsay, until: max(decided.until, entry?.until ?? decided.until),
      witnesses: (entry?.witnesses ?? []) + [.crowdSec(at: decided.since)])
  }

  private func decision(on address: IPAddress, at now: Timestamp) -> (until: Timestamp, since: Timestamp)? {
    for (length, _) in lengths where (length > 128) == address.isV4 {
      guard let network = IPNetwork(address, length: address.isV4 ? length - 129 : length),
        let found = decided[network], found.until > now
      else { continue }
      return found
    }
    return nil
  }

  /// CrowdSec bans it, or not any more.
  mutating func decide(_ network: IPNetwork, until: Timestamp?, at now: Timestamp) {
    // IPv4's lengths lie above those of IPv6.
    let length = network.isV4 ? network.length + 129 : network.length
    guard let until else {
      guard decided.removeValue(forKey: network) != nil else { return }
      let left = lengths[length, default: 1] - 1
      lengths[length] = left > 0 ? left : nil
      return
    }
    if decided[network] == nil {
      if decided.count >= Self.mostWatched { return }
      lengths[length, default: 0] += 1
    }
    decided[network] = (until, decided[network]?.since ?? now)
  }

  mutating func note(_ network: IPNetwork, _ ban: Waiting) {
    guard network.isHost, !ban.cause.witnesses.isEmpty else { return }
    if seen[network.address] == nil, seen.count >= Self.mostWaiting { return }
    seen[network.address] = ban
  }

  mutating func wait(_ network: IPNetwork, _ ban: Waiting) {
    if waiting[network] == nil, waiting.count >= Self.mostWaiting { return }
    waiting[network] = ban
  }

  mutating func forget(within network: IPNetwork) {
    if network.isHost {
      watched[network.address] = nil
      waiting[network] = nil
      seen[network.address] = nil
    } else {
      watched = watched.filter { !network.contains($0.key) }
      waiting = waiting.filter { !network.contains($0.key) }
      seen = seen.filter { !network.contains($0.key) }
    }
  }

  mutating func forgetSeen(_ address: IPAddress) { seen[address] = nil }

  mutating func stopWaiting(_ network: IPNetwork) -> Waiting? { waiting.removeValue(forKey: network) }

  /// Once a minute, those that wait, in their order; what is over is forgotten.
  mutating func due(at now: Timestamp, monotonic: Int64) -> [IPNetwork] {
    guard monotonic >= next else { return [] }
    next = monotonic + Decisions.minute
    watched = watched.filter { $0.value.until > now }
    waiting = waiting.filter { $0.value.until > now }
    seen = seen.filter { $0.value.until > now }
    for (network, entry) in decided where entry.until <= now { decide(network, until: nil, at: now) }
    return waiting.keys.sorted()
  }
}
