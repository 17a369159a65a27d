import Wire

/// Addresses that used a service of this host properly within a day: a connection in which something was said and that came
/// to its end. Each speaks against a block of a whole prefix. Pure: time is passed in.
///
/// Holds `capacity` addresses. When full the one that used a service the longest ago is forgotten: then a prefix may be
/// blocked around it, and opened again when it ends its next conversation.
package struct ServiceUsers: Sendable {
  /// How long a use counts: longer than people sleep, shorter than addresses of a home last.
  package static let window = Duration.seconds(86_400)

  private let capacity: Int
  private var last: [IPAddress: Timestamp] = [:]
  /// Uses, the oldest first; of an address only the newest counts.
  private var order: [(address: IPAddress, time: Timestamp)] = []
  private var head = 0

  package init(capacity: Int = 16_384) { self.capacity = capacity }

  package var count: Int { last.count }

  /// Takes note of a use.
  package mutating func note(_ address: IPAddress, at time: Timestamp) {
    if let before = last[address], before >= time { return }
    if last[address] == nil, last.count >= capacity { forgetOldest() }
    last[address] = time
    order.append((address, time))
    // Repeated uses leave old places behind: they are swept out before there are as many of them as of addresses.
    if order.count - head > 2 * capacity {
      order = order[head...].filter { last[$0.address] == $0.time }
      head = 0
    } else if head > 1024, head * 2 > order.count {
      order.removeFirst(head)
      head = 0
    }
  }

  /// The first address within a network that used a service lately and is `honest`; looks at all of them.
  package func user(
    in network: IPNetwork, at now: Timestamp, where isHonest: (IPAddress) -> Bool
  ) -> IPAddress? {
    last.filter { network.contains($0.key) && now - $0.value <= Self.window && isHonest($0.key) }.keys.min()
  }

  private mutating func forgetOldest() {
    while head < order.count {
      let (address, time) = order[head]
      head += 1
      if last[address] == time {
        last[address] = nil
        return
      }
    }
  }
}
