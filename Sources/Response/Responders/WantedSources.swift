import Wire

/// Sources whose proof is all that is missing, and since when. Pure: time is passed in.
///
/// Holds `capacity`: for one more the one that came first goes, at a cost that does not depend on how many there are: a flood of invented
/// sources brings a new one with each packet.
struct WantedSources {
  private let capacity: Int
  private var since: [IPAddress: Int64] = [:]
  private var order = ArrivalOrder<IPAddress>()

  /// - Parameter capacity: at least 1.
  init(capacity: Int) { self.capacity = capacity }

  var isEmpty: Bool { since.isEmpty }
  var count: Int { since.count }
  /// Places in the order, those passed over included; at most twice the capacity and 1,024.
  var places: Int { order.count }

  func contains(_ source: IPAddress) -> Bool { since[source] != nil }

  /// Takes a source, or renews its time.
  mutating func insert(_ source: IPAddress, at now: Int64) {
    if since.updateValue(now, forKey: source) != nil { return }
    while since.count > capacity, let oldest = order.takeOldest(where: { since[$0] != nil && $0 != source }) {
      since[oldest] = nil
    }
    order.append(source, bound: 2 * capacity + 1024) { since[$0] != nil }
  }

  mutating func remove(_ source: IPAddress) { since[source] = nil }

  /// Takes those that came more than `age` nanoseconds ago.
  mutating func takeOlder(than age: Int64, at now: Int64) -> [IPAddress] {
    let old = since.filter { now - $0.value > age }.map(\.key)
    for source in old { since[source] = nil }
    return old
  }
}
