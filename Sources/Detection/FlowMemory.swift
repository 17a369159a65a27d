import Memory
import Wire

/// Remembers to whom this host spoke and from which port, so that a late answer or the tail of a closed connection
/// accuses nobody; and which peers it spoke to first.
///
/// Fixed capacity, four places for each hash: when all four hold younger flows the oldest is replaced. What that can
/// cost is one late answer taken for a probe on a host that opens tens of thousands of flows in ten minutes.
struct FlowMemory: ~Copyable {
  struct Entry: BitwiseCopyable {
    /// Part of the hash that is not its place; 0 is empty.
    var tag: UInt32 = 0
    /// Seconds since the epoch, cut to 32 bits.
    var seen: UInt32 = 0
  }

  /// How long a peer may take over an answer: longer than any retransmission (RFC 9293 section 3.8.3, R2 is 100 s;
  /// Linux gives up after 15 minutes) is useless, as nobody waits for it.
  static let lifetime: UInt32 = 600
  private static let ways = 4
  private static let capacity = 1 << 16
  private var entries: Slab<Entry>
  private let hash: KeyedHash

  init(key: (UInt64, UInt64)) {
    hash = KeyedHash(key: key)
    entries = Slab(count: Self.capacity)
  }

  mutating func insert(_ transport: TransportProtocol, localPort: UInt16, peer: IPAddress, at time: Timestamp) {
    insert(peer, Self.scope(transport, localPort), time)
  }

  func contains(_ transport: TransportProtocol, localPort: UInt16, peer: IPAddress, at time: Timestamp) -> Bool {
    contains(peer, Self.scope(transport, localPort), time)
  }

  /// This host spoke first.
  mutating func insertFriend(_ peer: IPAddress, at time: Timestamp) { insert(peer, Self.friends, time) }

  func isFriend(_ peer: IPAddress, at time: Timestamp) -> Bool { contains(peer, Self.friends, time) }

  /// A peer used a service of this host.
  mutating func insertCustomer(_ peer: IPAddress, port: UInt16, at time: Timestamp) {
    insert(peer, Self.customers | UInt64(port), time)
  }

  /// Whether a peer used the service that was on this port, at most so many seconds ago.
  func isCustomer(_ peer: IPAddress, port: UInt16, at time: Timestamp, within seconds: UInt32) -> Bool {
    contains(peer, Self.customers | UInt64(port), time, seconds)
  }

  /// A service of this host answers a peer, who may use it. Told once an hour, so that it is known which connection made it a user.
  mutating func insertUser(_ peer: IPAddress, port: UInt16, at time: Timestamp) {
    insert(peer, Self.users | UInt64(port), time, unlessWithin: 3600)
  }

  /// It has left without a word: what was answered since then made no user of it.
  mutating func removeUser(_ peer: IPAddress, port: UInt16, since time: Timestamp) {
    let (tag, start) = place(peer, Self.users | UInt64(port))
    for place in start..<start &+ Self.ways
    where entries[place].tag == tag && entries[place].seen >= UInt32(truncatingIfNeeded: time.seconds) {
      entries[place] = Entry()
    }
  }

  /// Whether a peer uses a service, or used it at most so many seconds ago.
  func isUser(_ peer: IPAddress, port: UInt16, at time: Timestamp, within seconds: UInt32) -> Bool {
    contains(peer, Self.users | UInt64(port), time, seconds)
  }

  /// This host asked everybody (multicast, broadcast) from a port: answers come from anywhere.
  mutating func insertCall(localPort: UInt16, at time: Timestamp) { insert(.unspecified, UInt64(localPort), time) }

  func hasCalled(localPort: UInt16, at time: Timestamp) -> Bool { contains(.unspecified, UInt64(localPort), time) }

  private static let friends: UInt64 = 1 << 32
  private static let customers: UInt64 = 1 << 33
  private static let users: UInt64 = 1 << 34

  private static func scope(_ transport: TransportProtocol, _ port: UInt16) -> UInt64 {
    UInt64(port) << 8 | UInt64(transport.rawValue)
  }

  /// - Parameter recent: an entry that is not older than so many seconds stays as it is.
  @inline(__always)
  private mutating func insert(
    _ peer: IPAddress, _ scope: UInt64, _ time: Timestamp, unlessWithin recent: UInt32 = 0
  ) {
    let h = hash(peer, scope)
    let tag = UInt32(truncatingIfNeeded: h >> 32) | 1
    let now = UInt32(truncatingIfNeeded: time.seconds)
    let start = Self.start(h)
    var victim = start
    for place in start..<start &+ Self.ways {
      if entries[place].tag == tag {
        if now &- entries[place].seen > recent { entries[place].seen = now }
        return
      }
      if entries[place].seen < entries[victim].seen { victim = place }
    }
    entries[victim] = Entry(tag: tag, seen: now)
  }

  private func place(_ peer: IPAddress, _ scope: UInt64) -> (tag: UInt32, start: Int) {
    let h = hash(peer, scope)
    return (UInt32(truncatingIfNeeded: h >> 32) | 1, Self.start(h))
  }

  private static func start(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & (capacity - ways) }

  private func contains(
    _ peer: IPAddress, _ scope: UInt64, _ time: Timestamp, _ lifetime: UInt32 = FlowMemory.lifetime
  ) -> Bool {
    let h = hash(peer, scope)
    let tag = UInt32(truncatingIfNeeded: h >> 32) | 1
    let start = Self.start(h)
    for place in start..<start &+ Self.ways where entries[place].tag == tag {
      // A clock set back makes the difference huge: then the flow is taken as forgotten at worst.
      return UInt32(truncatingIfNeeded: time.seconds) &- entries[place].seen <= lifetime
    }
    return false
  }
}
