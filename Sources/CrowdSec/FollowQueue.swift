import Wire

/// Networks whose bans are to be followed. So many in a minute as of blocks for probes (BLOCK_RATE), and counted apart from those: a list of
/// thousands takes nothing from what this host sees itself. The others wait, in no particular order, and never more than are decided there.
package struct FollowQueue: Sendable {
  private static let second: Int64 = 1_000_000_000

  private var waiting: Set<IPNetwork> = []
  /// How many were taken in each second of the last minute.
  private var recent: [(second: Int64, count: Int)] = []

  package init() {}

  package var count: Int { waiting.count }

  package mutating func add(_ network: IPNetwork) { waiting.insert(network) }

  package mutating func remove(_ network: IPNetwork) { waiting.remove(network) }

  /// Takes those whose turn it is.
  ///
  /// - Parameters:
  ///   - limit: as many in a minute; 0: as many as there are.
  ///   - most: as many in one call; the owner has other things to do.
  package mutating func take(limit: Int, most: Int, at now: Int64) -> [IPNetwork] {
    guard !waiting.isEmpty else { return [] }
    recent.removeAll { now >= ($0.second + 61) * Self.second }
    let left = limit > 0 ? limit - recent.reduce(0) { $0 + $1.count } : most
    var taken: [IPNetwork] = []
    while taken.count < min(left, most), let network = waiting.popFirst() { taken.append(network) }
    if limit > 0, !taken.isEmpty {
      if recent.last?.second == now / Self.second {
        recent[recent.count - 1].count += taken.count
      } else {
        recent.append((now / Self.second, taken.count))
      }
    }
    return taken
  }

  /// When the next may be taken; nil where none waits.
  package func due(limit: Int) -> Int64? {
    guard !waiting.isEmpty else { return nil }
    guard limit > 0, recent.reduce(0, { $0 + $1.count }) >= limit, let oldest = recent.first else { return 0 }
    return (oldest.second + 61) * Self.second
  }
}
