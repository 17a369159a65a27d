import Detection
import Wire

/// Sources that were responded to, as the predecessors' blocked files list them: blocked ones, and those of BLOCK 0 in the words of 1.2
/// and of BLOCK 2. Pure.
///
/// Holds `capacity` sources; when full a further one is told anew at each probe.
package struct Responded: Sendable {
  package static let capacity = 100_000

  package struct Key: Hashable, Sendable {
    package let address: IPAddress
    /// 1.2 keeps its protocols apart; 2.x does not (nil).
    package let transport: TransportProtocol?
  }

  package struct Entry: Equatable, Sendable {
    package var address: IPAddress
    package var time: Timestamp
    package var port: UInt16
    package var transport: TransportProtocol
  }

  private var byKey: [Key: Entry] = [:]

  package init() {}

  package var count: Int { byKey.count }
  package var entries: some Collection<Entry> { byKey.values }
  package func contains(_ key: Key) -> Bool { byKey[key] != nil }

  /// - Returns: false when there is no room.
  package mutating func insert(_ entry: Entry, as key: Key) -> Bool {
    guard byKey.count < Self.capacity else { return false }
    byKey[key] = entry
    return true
  }

  /// Makes room for as many, before they are restored.
  mutating func reserve(_ count: Int) { byKey.reserveCapacity(min(count, Self.capacity)) }

  /// Knows again what was in force before a restart, whatever the room.
  mutating func restore(_ entry: Entry, as key: Key) { byKey[key] = entry }

  /// - Returns: whether there was one.
  @discardableResult
  mutating func remove(_ address: IPAddress) -> Bool {
    var isFound = false
    for transport in [TransportProtocol.tcp, .udp, nil] {
      if byKey.removeValue(forKey: Key(address: address, transport: transport)) != nil { isFound = true }
    }
    return isFound
  }

  /// Removes those of one protocol that are not among `addresses`.
  ///
  /// - Returns: what was removed.
  mutating func keepOnly(_ addresses: Set<IPAddress>, of transport: TransportProtocol) -> [IPAddress] {
    let gone = byKey.filter { $0.value.transport == transport && !addresses.contains($0.key.address) }.keys
    for key in gone { byKey[key] = nil }
    return gone.map(\.address)
  }
}
