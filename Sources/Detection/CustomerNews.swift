import Wire

/// Who has used a service properly, for whoever decides about blocks of whole prefixes.
///
/// IPv6 only: no IPv4 prefix is ever blocked. Holds 256 addresses that nobody has taken yet, each once while it has its place
/// among 1,024 (by a hash of its lower half); when full further ones are left out until their next conversation.
struct CustomerNews {
  private static let capacity = 256
  private(set) var addresses: [IPAddress] = []
  /// The address told last at each place, and the second.
  private var told: [(address: IPAddress, second: Int64)]
  /// An address is told once in so many seconds.
  private static let interval: Int64 = 60

  init() {
    addresses.reserveCapacity(Self.capacity)
    told = Array(repeating: (.unspecified, 0), count: 1024)
  }

  var isEmpty: Bool { addresses.isEmpty }

  /// A conversation with a service has ended.
  mutating func note(_ address: IPAddress, at time: Timestamp) {
    guard !address.isV4, addresses.count < Self.capacity else { return }
    let place = Int(truncatingIfNeeded: ((address.low ^ address.high) &* 0x9e37_79b9_7f4a_7c15) >> 54)
    let second = time.seconds
    if told[place].address == address, (0..<Self.interval).contains(second &- told[place].second) { return }
    told[place] = (address, second)
    addresses.append(address)
  }

  mutating func removeAll() { addresses.removeAll(keepingCapacity: true) }
}

extension Detector {
  package var hasCustomers: Bool { !native.customers.isEmpty }

  /// Lends the IPv6 addresses that used a service properly since the last call. Nothing proves that it was they; whoever
  /// forges a conversation gains no more than by having one: his prefix is not blocked as a whole.
  package mutating func takeCustomers(_ body: (IPAddress) -> Void) {
    for address in native.customers.addresses { body(address) }
    native.customers.removeAll()
  }
}
