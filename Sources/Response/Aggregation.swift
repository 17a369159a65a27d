import Wire

/// When the block of an IPv6 address becomes that of its prefix: whoever has one address has many. Pure.
///
/// Counts proven members in force. A /64 is one link (RFC 7421): four of its addresses, each of which completed a scan's
/// handshake, are one party that changes its address; an honest host with privacy addresses (RFC 8981) has a new one each
/// day. A /56 is what a home is given (RFC 6177), but a telephone network gives each telephone a /64 of its own: sixteen of
/// its 256 links. A /48 may be 256 homes: sixty-four of them. These two are blocked only where `BLOCK_PREFIX_IPV6` says so:
/// neighbours who have nothing to do with the scanner may live there.
///
/// Members stay blocked beside their prefix, so that it can be undone alone. IPv4 addresses are blocked one by one.
package struct Aggregation: Sendable {
  /// The prefixes, and how many members of the next smaller kind make one.
  package static let steps: [(length: Int, members: Int)] = [(64, 4), (56, 16), (48, 64)]

  /// For each prefix the number of its parts in which something is blocked. As bounded as the blocks are.
  private var counts: [IPNetwork: Int] = [:]
  private var members: Set<IPNetwork> = []
  /// Who speaks against blocking a whole prefix.
  package var users = ServiceUsers()

  package init() {}

  /// A proven block is in force: of an address, or of a prefix.
  package mutating func insert(_ network: IPNetwork) {
    guard !network.isV4, members.insert(network).inserted else { return }
    for prefix in Self.prefixes(from: network) {
      counts[prefix, default: 0] += 1
      // This prefix was a member of the next one before.
      if counts[prefix]! > 1 { return }
    }
  }

  /// A block has ended; one that was not inserted changes nothing.
  package mutating func remove(_ network: IPNetwork) {
    guard members.remove(network) != nil else { return }
    for prefix in Self.prefixes(from: network) {
      guard let count = counts[prefix] else { return }
      counts[prefix] = count > 1 ? count - 1 : nil
      if count > 1 { return }
    }
  }

  /// The smallest prefix above a blocked network that has enough members and is not blocked yet.
  ///
  /// - Parameter widest: the length of the widest prefix to block; 128 for none.
  package func prefix(for network: IPNetwork, widest: Int = 64) -> IPNetwork? {
    Self.prefixes(above: network).first { prefix in
      prefix.length >= widest && !members.contains(prefix)
        && Self.steps.contains { $0.length == prefix.length && (counts[prefix] ?? 0) >= $0.members }
    }
  }

  /// The blocks within a prefix.
  package func members(of prefix: IPNetwork) -> [IPNetwork] {
    members.filter { prefix.contains($0) && $0 != prefix }.sorted()
  }

  /// The prefixes blocked as a whole that hold an address, the smallest first.
  package func blocked(above address: IPAddress) -> [IPNetwork] {
    Self.prefixes(above: IPNetwork(address)).filter { members.contains($0) }
  }

  /// The prefixes by which somebody who changes his IPv6 address is judged, the smallest first; none of an IPv4 network.
  static func prefixes(above network: IPNetwork) -> [IPNetwork] {
    prefixes(from: network).filter { $0 != network }
  }

  /// The same, and the network itself where it is one of them.
  private static func prefixes(from network: IPNetwork) -> [IPNetwork] {
    if network.isV4 { return [] }
    return steps.filter { $0.length <= network.length }.compactMap { IPNetwork(network.address, length: $0.length) }
  }
}
