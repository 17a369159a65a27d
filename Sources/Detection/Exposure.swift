import Wire

/// One local TCP or UDP port on one address.
package struct Endpoint: Hashable, Sendable {
  package let transport: TransportProtocol
  package let address: IPAddress
  package let port: UInt16

  package init(_ transport: TransportProtocol, _ address: IPAddress, _ port: UInt16) {
    self.transport = transport
    self.address = address
    self.port = port
  }
}

/// What this host shows the network at one moment: its addresses and the ports that something serves.
package struct Exposure: Sendable, Equatable {
  /// Ports served on every address of a family, by transport and family.
  package private(set) var wildcardTCPv4 = PortSet()
  package private(set) var wildcardTCPv6 = PortSet()
  package private(set) var wildcardUDPv4 = PortSet()
  package private(set) var wildcardUDPv6 = PortSet()
  private var specific: Set<Endpoint> = []
  /// Ports that are in `specific` with any address: spares most look-ups there.
  private var specificTCP = PortSet()
  private var specificUDP = PortSet()
  /// SCTP ports that answered.
  private var sctp = PortSet()
  /// This host's unicast addresses, sorted.
  package private(set) var addresses: [IPAddress] = []
  /// Local networks that are not single addresses (`ip route add local 198.51.100.0/24 dev lo`).
  package private(set) var localNetworks: [IPNetwork] = []

  package init() {}

  /// Replaces what is local.
  package mutating func setLocal(_ networks: some Sequence<IPNetwork>) {
    addresses = networks.filter(\.isHost).map(\.address).sorted()
    localNetworks = networks.filter { !$0.isHost }.sorted()
  }

  /// Forgets all served ports, before they are told anew.
  package mutating func removeServices() {
    wildcardTCPv4 = PortSet()
    wildcardTCPv6 = PortSet()
    wildcardUDPv4 = PortSet()
    wildcardUDPv6 = PortSet()
    specific.removeAll(keepingCapacity: true)
    specificTCP = PortSet()
    specificUDP = PortSet()
  }

  /// Adds a served port on all addresses of the families given.
  package mutating func serveEverywhere(_ transport: TransportProtocol, _ port: UInt16, v4: Bool, v6: Bool) {
    if v4 { if transport == .tcp { wildcardTCPv4.insert(port) } else { wildcardUDPv4.insert(port) } }
    if v6 { if transport == .tcp { wildcardTCPv6.insert(port) } else { wildcardUDPv6.insert(port) } }
  }

  /// Adds a port served on one address.
  package mutating func serve(_ endpoint: Endpoint) {
    guard specific.insert(endpoint).inserted else { return }
    if endpoint.transport == .tcp { specificTCP.insert(endpoint.port) } else { specificUDP.insert(endpoint.port) }
  }

  /// How many services learnt from a capture are kept apart by address; of more, the port counts as served everywhere.
  package static let maximumLearnt = 1_000_000

  /// Adds a service that showed itself by its answers. Where this host has one address of a family, that is everywhere.
  package mutating func learn(_ transport: TransportProtocol, _ address: IPAddress, _ port: UInt16) {
    let isV4 = address.isV4
    if hasOneAddress(isV4) || specific.count >= Self.maximumLearnt {
      serveEverywhere(transport, port, v4: isV4, v6: !isV4)
    } else {
      serve(Endpoint(transport, address, port))
    }
  }

  private func hasOneAddress(_ v4: Bool) -> Bool {
    !localNetworks.contains { $0.isV4 == v4 } && addresses.count { $0.isV4 == v4 } <= 1
  }

  package mutating func learnSCTP(_ port: UInt16) { sctp.insert(port) }
  package func servesSCTP(_ port: UInt16) -> Bool { sctp.contains(port) }

  /// The ports served on all addresses of a family.
  package func wildcard(_ transport: TransportProtocol, v4: Bool) -> PortSet {
    switch (transport, v4) {
    case (.tcp, true): wildcardTCPv4
    case (.tcp, false): wildcardTCPv6
    case (.udp, true): wildcardUDPv4
    case (.udp, false): wildcardUDPv6
    }
  }

  /// Whether anything serves this port, over either transport, on any address.
  package func servesAnywhere(_ port: UInt16) -> Bool {
    wildcardTCPv4.contains(port) || wildcardTCPv6.contains(port) || wildcardUDPv4.contains(port)
      || wildcardUDPv6.contains(port) || specific.contains { $0.port == port }
  }

  /// The ports served on one address only, whichever.
  func specificPorts(_ transport: TransportProtocol) -> PortSet { transport == .tcp ? specificTCP : specificUDP }

  /// The ports served on one address only, by address.
  package func specific(_ transport: TransportProtocol) -> [IPAddress: PortSet] {
    var result: [IPAddress: PortSet] = [:]
    for endpoint in specific where endpoint.transport == transport {
      result[endpoint.address, default: PortSet()].insert(endpoint.port)
    }
    return result
  }

  /// Every port served on any address of either family.
  package func servedAnywhere(_ transport: TransportProtocol) -> PortSet {
    var result = wildcard(transport, v4: true).union(wildcard(transport, v4: false))
    for endpoint in specific where endpoint.transport == transport && !endpoint.address.isLoopback {
      result.insert(endpoint.port)
    }
    return result
  }

  package func serves(_ transport: TransportProtocol, _ address: IPAddress, _ port: UInt16) -> Bool {
    let everywhere =
      switch (transport, address.isV4) {
      case (.tcp, true): wildcardTCPv4.contains(port)
      case (.tcp, false): wildcardTCPv6.contains(port)
      case (.udp, true): wildcardUDPv4.contains(port)
      case (.udp, false): wildcardUDPv6.contains(port)
      }
    if everywhere { return true }
    guard (transport == .tcp ? specificTCP : specificUDP).contains(port) else { return false }
    return specific.contains(Endpoint(transport, address, port))
  }

  /// Whether a packet to `address` is for this host.
  package func isLocal(_ address: IPAddress) -> Bool {
    var low = 0
    var high = addresses.count
    while low < high {
      let middle = (low + high) / 2
      if addresses[middle] < address { low = middle + 1 } else { high = middle }
    }
    if low < addresses.count, addresses[low] == address { return true }
    return localNetworks.contains { $0.contains(address) }
  }
}
