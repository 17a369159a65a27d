/// An address prefix: 10.0.0.0/8, 2001:db8::/32, or one address as /32 or /128. Host bits are always clear.
package struct IPNetwork: Hashable, Sendable, BitwiseCopyable {
  /// The first address of the network.
  package let address: IPAddress
  /// The prefix length within 128 bits: an IPv4 /24 is 120 here.
  let length128: UInt8

  /// The network of `length` bits (0...32 or 0...128 by family) that `address` is in; nil when the length is out of range.
  package init?(_ address: IPAddress, length: Int) {
    guard (0...address.bitWidth).contains(length) else { return nil }
    self.init(masking: address, length128: UInt8(address.isV4 ? length + 96 : length))
  }

  /// The network that holds just `address`.
  package init(_ address: IPAddress) {
    self.address = address
    length128 = 128
  }

  private init(masking address: IPAddress, length128: UInt8) {
    self.length128 = length128
    let (high, low) = Self.mask(length128)
    self.address = IPAddress(high: address.high & high, low: address.low & low)
  }

  static func mask(_ length: UInt8) -> (high: UInt64, low: UInt64) {
    let high: UInt64 = length == 0 ? 0 : length >= 64 ? .max : .max << (64 - UInt64(length))
    let low: UInt64 = length <= 64 ? 0 : .max << (128 - UInt64(length))
    return (high, low)
  }

  /// The prefix length as people write it: 0...32 for IPv4, 0...128 for IPv6.
  package var length: Int { isV4 ? Int(length128) - 96 : Int(length128) }
  package var isV4: Bool { length128 >= 96 && address.isV4 }
  /// Whether this holds one address only.
  package var isHost: Bool { length128 == 128 }

  package func contains(_ other: IPAddress) -> Bool {
    let (high, low) = Self.mask(length128)
    return other.high & high == address.high && other.low & low == address.low && other.isV4 == isV4
  }

  /// Whether every address of `other` is in this network.
  package func contains(_ other: IPNetwork) -> Bool { length128 <= other.length128 && contains(other.address) }

  package func overlaps(_ other: IPNetwork) -> Bool { contains(other) || other.contains(self) }
}

extension IPNetwork: LosslessStringConvertible {
  /// Reads `ADDRESS` or `ADDRESS/LENGTH`; host bits are cleared.
  package init?(_ text: some StringProtocol) {
    guard let slash = text.firstByte("/") else {
      guard let address = IPAddress(text) else { return nil }
      self.init(address)
      return
    }
    let digits = text[text.utf8.index(after: slash)...]
    guard let address = IPAddress(text[..<slash]), (1...3).contains(digits.utf8.count),
      digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = Int(digits)
    else { return nil }
    self.init(address, length: length)
  }
}

extension IPNetwork: CustomStringConvertible {
  /// The bare address for a single host, `ADDRESS/LENGTH` otherwise.
  package var description: String { isHost ? address.description : "\(address)/\(length)" }
}

extension IPNetwork: Comparable {
  package static func < (a: IPNetwork, b: IPNetwork) -> Bool {
    (a.address, a.length128) < (b.address, b.length128)
  }
}

/// A set of networks that answers "is this address in it" in time that does not grow with the number of entries:
/// one hashed look-up for each distinct prefix length present (at most 161).
package struct IPNetworkSet: Sendable, Equatable {
  private var networks: Set<IPNetwork> = []
  /// The distinct lengths present by family, longest first.
  private var lengthsV4: [Int] = []
  private var lengthsV6: [Int] = []

  package init(_ networks: some Sequence<IPNetwork> = []) {
    self.networks = Set(networks)
    lengthsV4 = Set(self.networks.lazy.filter(\.isV4).map(\.length)).sorted(by: >)
    lengthsV6 = Set(self.networks.lazy.filter { !$0.isV4 }.map(\.length)).sorted(by: >)
  }

  package var isEmpty: Bool { networks.isEmpty }
  package var count: Int { networks.count }
  /// All networks in address order.
  package var sorted: [IPNetwork] { networks.sorted() }

  /// The longest network of the set that holds `address`.
  package func network(containing address: IPAddress) -> IPNetwork? {
    for length in address.isV4 ? lengthsV4 : lengthsV6 {
      if let network = IPNetwork(address, length: length), networks.contains(network) { return network }
    }
    return nil
  }

  package func contains(_ address: IPAddress) -> Bool { network(containing: address) != nil }

  /// A network of the set that shares an address with `other`.
  package func network(overlapping other: IPNetwork) -> IPNetwork? {
    if let holder = network(containing: other.address), holder.overlaps(other) { return holder }
    return other.isHost ? nil : networks.first { other.overlaps($0) }
  }
}
