import Wire

/// What is never shut out, whatever the evidence, with the reason for each. A value; `discover` makes it from what the
/// kernel and the resolver's files say.
package struct SafeNetworks: Sendable, Equatable {
  private var reasons: [IPNetwork: String] = [:]
  private var networks = IPNetworkSet()

  /// - Parameter entries: networks and why; of one that repeats the first reason stays.
  package init(_ entries: [(network: IPNetwork, reason: String)] = []) {
    reasons = Dictionary(entries.map { ($0.network, $0.reason) }, uniquingKeysWith: { first, _ in first })
    networks = IPNetworkSet(reasons.keys)
  }

  /// What no source address can be, or nobody but this host.
  private static let always: [(network: IPNetwork, reason: String)] = [
    (IPNetwork(IPAddress(v4: 0x7f00_0000), length: 8)!, "loopback"),
    (IPNetwork(IPAddress(high: 0, low: 1)), "loopback"),
    (IPNetwork(IPAddress(v4: 0), length: 8)!, "the unspecified address"),
    (IPNetwork(IPAddress.unspecified), "the unspecified address"),
    (IPNetwork(IPAddress(v4: 0xe000_0000), length: 4)!, "a multicast address"),
    (IPNetwork(IPAddress(high: 0xff00_0000_0000_0000, low: 0), length: 8)!, "a multicast address"),
    (IPNetwork(IPAddress(v4: .max)), "the broadcast address"),
  ]

  /// Why a network may not be shut out, e.g. `the default gateway`; nil when nothing speaks against it. A network that
  /// only overlaps a safe one is protected, too.
  package func reason(protecting network: IPNetwork) -> String? {
    if let entry = Self.always.first(where: { $0.network.overlaps(network) }) {
      return Self.reason(entry.reason, of: entry.network, protecting: network)
    }
    return networks.network(overlapping: network).flatMap { safe in
      reasons[safe].map { Self.reason($0, of: safe, protecting: network) }
    }
  }

  private static func reason(_ reason: String, of safe: IPNetwork, protecting network: IPNetwork) -> String {
    safe.contains(network) ? reason : "a network that contains \(safe) (\(reason))"
  }

  package func reason(protecting address: IPAddress) -> String? { reason(protecting: IPNetwork(address)) }

  /// Everything but what is always safe, in address order.
  package var entries: [(network: IPNetwork, reason: String)] {
    networks.sorted.map { ($0, reasons[$0] ?? "") }
  }

  /// The name servers in the text of a resolv.conf(5), without their zones.
  package static func resolvers(in text: String) -> [IPAddress] {
    text.byteLines.compactMap { line in
      let words = line.splitBytes(" \t")
      guard words.count >= 2, words[0].isSameBytes(as: "nameserver") else { return nil }
      return IPAddress(words[1].splitBytes("%", omittingEmptySubsequences: false)[0])
    }
  }
}
