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

  struct Bucket: BitwiseCopyable {
    var entries = InlineArray<4, Entry>(repeating: Entry())
  }

  /// How long a peer may take over an answer: longer than any retransmission (RFC 9293 section 3.8.3, R2 is 100 s;
  /// Linux gives up after 15 minutes) is useless, as nobody waits for it.
  static let lifetime: UInt32 = 600
  private static let bucketCount = 1 << 14
  private var buckets: Slab<Bucket>
  private let hash: KeyedHash

  init(key: (UInt64, UInt64)) {
    hash = KeyedHash(key: key)
    buckets = Slab(count: Self.bucketCount)
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

  private static let friends: UInt64 = 1 << 32

  private static func scope(_ transport: TransportProtocol, _ port: UInt16) -> UInt64 {
    UInt64(port) << 8 | UInt64(transport.rawValue)
  }

  private mutating func insert(_ peer: IPAddress, _ scope: UInt64, _ time: Timestamp) {
    let h = hash(peer, scope)
    let tag = UInt32(truncatingIfNeeded: h >> 32) | 1
    let now = UInt32(truncatingIfNeeded: time.seconds)
    let index = Int(truncatingIfNeeded: h) & (Self.bucketCount - 1)
    var victim = 0
    for way in 0..<4 {
      if buckets[index].entries[way].tag == tag {
        buckets[index].entries[way].seen = now
        return
      }
      if buckets[index].entries[way].seen < buckets[index].entries[victim].seen { victim = way }
    }
    buckets[index].entries[victim] = Entry(tag: tag, seen: now)
  }

  private func contains(_ peer: IPAddress, _ scope: UInt64, _ time: Timestamp) -> Bool {
    let h = hash(peer, scope)
    let tag = UInt32(truncatingIfNeeded: h >> 32) | 1
    let index = Int(truncatingIfNeeded: h) & (Self.bucketCount - 1)
    for way in 0..<4 where buckets[index].entries[way].tag == tag {
      // A clock set back makes the difference huge: then the flow is taken as forgotten at worst.
      return UInt32(truncatingIfNeeded: time.seconds) &- buckets[index].entries[way].seen <= Self.lifetime
    }
    return false
  }
}
