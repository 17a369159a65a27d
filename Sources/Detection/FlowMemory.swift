import Wire

/// Remembers to whom this host spoke and from which port, so that a late answer or the tail of a closed connection
/// accuses nobody.
///
/// Fixed capacity, four places for each hash: when all four hold younger flows the oldest is replaced. What that can
/// cost is one late answer taken for a probe on a host that opens tens of thousands of flows in ten minutes.
struct FlowMemory: Sendable {
  private struct Entry: Sendable, BitwiseCopyable {
    /// Part of the hash that is not its place; 0 is empty.
    var tag: UInt32 = 0
    /// Seconds since the epoch, cut to 32 bits.
    var seen: UInt32 = 0
  }

  /// How long a peer may take over an answer: longer than any retransmission (RFC 9293 section 3.8.3, R2 is 100 s;
  /// Linux gives up after 15 minutes) is useless, as nobody waits for it.
  static let lifetime: UInt32 = 600
  private static let buckets = 1 << 14
  private var entries: [Entry]
  private let hash: KeyedHash

  init(key: (UInt64, UInt64)) {
    hash = KeyedHash(key: key)
    entries = Array(repeating: Entry(), count: Self.buckets * 4)
  }

  mutating func insert(_ transport: TransportProtocol, localPort: UInt16, peer: IPAddress, at time: Timestamp) {
    let (start, tag, now) = place(transport, localPort, peer, time)
    var victim = start
    for index in start..<start &+ 4 {
      if entries[index].tag == tag {
        entries[index].seen = now
        return
      }
      if entries[index].seen < entries[victim].seen { victim = index }
    }
    entries[victim] = Entry(tag: tag, seen: now)
  }

  func contains(_ transport: TransportProtocol, localPort: UInt16, peer: IPAddress, at time: Timestamp) -> Bool {
    let (start, tag, now) = place(transport, localPort, peer, time)
    for index in start..<start &+ 4 where entries[index].tag == tag {
      // A clock set back makes the difference huge: then the flow is taken as forgotten at worst.
      return now &- entries[index].seen <= Self.lifetime
    }
    return false
  }

  private func place(
    _ transport: TransportProtocol, _ port: UInt16, _ peer: IPAddress, _ time: Timestamp
  ) -> (start: Int, tag: UInt32, now: UInt32) {
    let h = hash(peer, UInt64(port) << 8 | UInt64(transport.rawValue))
    let bucket = Int(truncatingIfNeeded: h) & (Self.buckets - 1)
    return (bucket &* 4, UInt32(truncatingIfNeeded: h >> 32) | 1, UInt32(truncatingIfNeeded: time.seconds))
  }
}
