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

  func entry(for address: IPAddress, at now: Timestamp) -> Entry? {
    watched[address].flatMap { $0.until > now ? $0 : nil }
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
    return waiting.keys.sorted()
  }
}
