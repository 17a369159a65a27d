import Memory
import Wire

/// The ports that the newest scanners touched, one bit each: 16 KiB for a source.
///
/// 1,024 sources; the one that came first makes room for a further one, whose ports are then known from its evidence and
/// by estimate only.
struct PortLog: ~Copyable {
  static let capacity = 1024
  private static let words = 2048
  private var bits: Slab<UInt64>
  private var owners: Slab<IPAddress>
  private var next = 0

  init() {
    bits = Slab(count: Self.capacity * Self.words)
    owners = Slab(count: Self.capacity)
  }

  /// A place for a source: its number plus one.
  mutating func open(for source: IPAddress) -> UInt16 {
    let place = next
    next = (next + 1) % Self.capacity
    for word in place * Self.words..<(place + 1) * Self.words where bits[word] != 0 { bits[word] = 0 }
    owners[place] = source
    return UInt16(place + 1)
  }

  /// Whether a place is still this source's.
  private func isOwned(_ place: UInt16, _ source: IPAddress) -> Bool {
    place > 0 && owners[Int(place) - 1] == source
  }

  mutating func insert(_ transport: TransportProtocol, _ port: UInt16, _ place: UInt16, of source: IPAddress) {
    guard isOwned(place, source) else { return }
    let word = (Int(place) - 1) * Self.words + (transport == .udp ? 1024 : 0) + Int(port >> 6)
    bits[word] |= 1 << UInt64(port & 63)
  }

  /// The ports of one protocol; nil when the place has another owner by now.
  func ports(_ transport: TransportProtocol, _ place: UInt16, of source: IPAddress) -> PortSet? {
    guard isOwned(place, source) else { return nil }
    let start = (Int(place) - 1) * Self.words + (transport == .udp ? 1024 : 0)
    return PortSet(words: (0..<1024).map { bits[start + $0] })
  }
}
