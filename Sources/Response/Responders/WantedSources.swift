import Wire

/// Sources whose proof is all that is missing, and since when. Pure: time is passed in.
///
/// Holds `capacity`: for one more the one that came first goes, at a cost that does not depend on how many there are: a flood of invented
/// sources brings a new one with each packet.
struct WantedSources {
  private let capacity: Int
  private var since: [IPAddress: Int64] = [:]
  /// In the order in which they came; those that have since gone are passed over.
  private var order: [IPAddress] = []
  private var head = 0

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
    order.append(source)
    while since.count > capacity {
      let oldest = order[head]
      head += 1
      if oldest != source { since[oldest] = nil }
    }
    if order.count > 2 * capacity + 1024 { compact() }
  }

  mutating func remove(_ source: IPAddress) { since[source] = nil }

  /// Takes those that came more than `age` nanoseconds ago.
  mutating func takeOlder(than age: Int64, at now: Int64) -> [IPAddress] {
    let old = since.filter { now - $0.value > age }.map(\.key)
    for source in old { since[source] = nil }
    return old
  }

  private mutating func compact() {
    var seen: Set<IPAddress> = []
    order = order[head...].filter { since[$0] != nil && seen.insert($0).inserted }
    head = 0
  }
}
