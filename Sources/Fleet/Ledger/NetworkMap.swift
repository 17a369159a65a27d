import Wire

/// Values by network; asks for those around an address in as many look-ups as there are prefix lengths.
struct NetworkMap<Value: Sendable>: Sendable {
  private(set) var values: [IPNetwork: Value] = [:]
  /// How many networks of each length there are, IPv4 at 129 and beyond.
  private var lengths: [Int: Int] = [:]

  var count: Int { values.count }
  var isEmpty: Bool { values.isEmpty }

  subscript(network: IPNetwork) -> Value? {
    get { values[network] }
    set {
      let former = newValue.map { values.updateValue($0, forKey: network) } ?? values.removeValue(forKey: network)
      switch (former, newValue) {
      case (nil, .some): lengths[Self.key(network), default: 0] += 1
      case (.some, nil):
        lengths[Self.key(network)] = lengths[Self.key(network)]! == 1 ? nil : lengths[Self.key(network)]! - 1
      default: break
      }
    }
  }

  /// Whether something is kept of a network that holds the address, and passes.
  func first(around address: IPAddress, where passes: (Value) -> Bool = { _ in true }) -> (IPNetwork, Value)? {
    for key in lengths.keys where (key >= 129) == address.isV4 {
      guard let network = IPNetwork(address, length: key >= 129 ? key - 129 : key), let value = values[network],
        passes(value)
      else { continue }
      return (network, value)
    }
    return nil
  }

  func first(overlapping network: IPNetwork, where passes: (Value) -> Bool = { _ in true }) -> (IPNetwork, Value)? {
    if let around = first(around: network.address, where: passes), around.0.overlaps(network) { return around }
    if network.isHost { return nil }
    return values.first { network.overlaps($0.key) && passes($0.value) }.map { ($0.key, $0.value) }
  }

  private static func key(_ network: IPNetwork) -> Int { network.isV4 ? 129 + network.length : network.length }
}
