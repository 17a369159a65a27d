import Memory
import Wire

/// What this host is and serves, laid out for the packet path: `Exposure` says the same to everybody else.
struct Landscape: ~Copyable {
  /// A bit for each port: served on all addresses, by transport and family; then served on some address, by transport.
  private var bits: Slab<UInt64>
  private var exposure = Exposure()
  /// The one address of each family, where there is but one and no network.
  private var only4: UInt32 = 0
  private var only6 = IPAddress.unspecified
  private var isPlain4 = false
  private var isPlain6 = false
  /// Something has answered as a service that is not shown here: it is new, or the kernel translates to it.
  var isIncomplete = false

  private static let words = 1024

  init(_ exposure: Exposure) {
    bits = Slab(count: 6 * Self.words)
    replace(with: exposure)
  }

  var value: Exposure { exposure }

  mutating func replace(with new: Exposure) {
    exposure = new
    bits.removeAll()
    for (place, set) in [new.wildcardTCPv4, new.wildcardTCPv6, new.wildcardUDPv4, new.wildcardUDPv6].enumerated() {
      for port in set.ports { insert(place, port) }
    }
    for (place, transport) in [(4, TransportProtocol.tcp), (5, .udp)] {
      for port in new.specificPorts(transport).ports { insert(place, port) }
    }
    let v4 = new.addresses.filter(\.isV4)
    let v6 = new.addresses.filter { !$0.isV4 }
    isPlain4 = v4.count == 1 && !new.localNetworks.contains(where: \.isV4)
    isPlain6 = v6.count == 1 && !new.localNetworks.contains { !$0.isV4 }
    only4 = v4.first?.v4Bits ?? 0
    only6 = v6.first ?? .unspecified
  }

  private mutating func insert(_ place: Int, _ port: UInt16) {
    bits[place * Self.words + Int(port >> 6)] |= 1 << UInt64(port & 63)
  }

  /// Whether a packet to `address` is for this host.
  @inline(__always)
  func isLocal(_ address: IPAddress) -> Bool {
    if address.isV4 {
      if isPlain4 { return address.v4Bits == only4 }
    } else if isPlain6 {
      return address == only6
    }
    return exposure.isLocal(address)
  }

  @inline(__always)
  func serves(_ transport: TransportProtocol, _ address: IPAddress, _ port: UInt16) -> Bool {
    let isUDP = transport == .udp ? 1 : 0
    let word = Int(port >> 6)
    let bit = UInt64(port & 63)
    if bits[(isUDP * 2 + (address.isV4 ? 0 : 1)) * Self.words + word] >> bit & 1 == 1 { return true }
    guard bits[(4 + isUDP) * Self.words + word] >> bit & 1 == 1 else { return false }
    return exposure.serves(transport, address, port)
  }

  /// The one IPv4 address of this host; nil where there are others, or networks.
  @inline(__always)
  var onlyV4: UInt32? { isPlain4 ? only4 : nil }

  /// Whether a TCP port is served on all IPv4 addresses.
  @inline(__always)
  func servesTCPv4(_ port: UInt16) -> Bool { bits[Int(port >> 6)] >> UInt64(port & 63) & 1 == 1 }

  /// Adds a service that showed itself by its answers.
  mutating func learn(_ transport: TransportProtocol, _ address: IPAddress, _ port: UInt16) {
    guard !serves(transport, address, port) else { return }
    exposure.learn(transport, address, port)
    let isUDP = transport == .udp ? 1 : 0
    if exposure.wildcard(transport, v4: address.isV4).contains(port) {
      insert(isUDP * 2 + (address.isV4 ? 0 : 1), port)
    } else {
      insert(4 + isUDP, port)
    }
  }

  mutating func learnSCTP(_ port: UInt16) { exposure.learnSCTP(port) }
  func servesSCTP(_ port: UInt16) -> Bool { exposure.servesSCTP(port) }
}
