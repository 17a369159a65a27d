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
  /// How many ports each has.
  private var counts: Slab<UInt32>
  /// Which sixteenths of its words are not all 0: the lower half for TCP, the upper for UDP. Most sources have few ports.
  private var parts: Slab<UInt32>
  private var next = 0

  init() {
    bits = Slab(count: Self.capacity * Self.words)
    owners = Slab(count: Self.capacity)
    counts = Slab(count: Self.capacity)
    parts = Slab(count: Self.capacity)
  }

  /// A place for a source: its number plus one.
  mutating func open(for source: IPAddress) -> UInt16 {
    let place = next
    next = (next + 1) % Self.capacity
    // Fresh pages are empty, and stay untouched until a port is written.
    if owners[place] != .unspecified { bits.clear(place * Self.words..<(place + 1) * Self.words) }
    owners[place] = source
    counts[place] = 0
    parts[place] = 0
    return UInt16(place + 1)
  }

  /// Whether a place is still this source's.
  private func isOwned(_ place: UInt16, _ source: IPAddress) -> Bool {
    place > 0 && owners[Int(place) - 1] == source
  }

  mutating func insert(_ transport: TransportProtocol, _ port: UInt16, _ place: UInt16, of source: IPAddress) {
    guard isOwned(place, source) else { return }
    let word = (Int(place) - 1) * Self.words + (transport == .udp ? 1024 : 0) + Int(port >> 6)
    let bit = UInt64(1) << UInt64(port & 63)
    if bits[word] & bit == 0 { counts[Int(place) - 1] += 1 }
    bits[word] |= bit
    parts[Int(place) - 1] |= 1 << (UInt32(port >> 12) + (transport == .udp ? 16 : 0))
  }

  /// How many ports a source has touched, of both protocols; nil when the place has another owner by now.
  func count(_ place: UInt16, of source: IPAddress) -> UInt32? {
    isOwned(place, source) ? counts[Int(place) - 1] : nil
  }

  /// The ports of one protocol; nil when the place has another owner by now.
  func ports(_ transport: TransportProtocol, _ place: UInt16, of source: IPAddress) -> PortRanges? {
    guard isOwned(place, source) else { return nil }
    let start = (Int(place) - 1) * Self.words + (transport == .udp ? 1024 : 0)
    var ranges = PortRanges.Builder()
    var rest = UInt16(truncatingIfNeeded: parts[Int(place) - 1] >> (transport == .udp ? 16 : 0))
    while rest != 0 {
      let first = rest.trailingZeroBitCount << 6
      for index in first..<first &+ 64 {
        let word = bits[start &+ index]
        if word != 0 { ranges.add(word, at: index) }
      }
      rest &= rest &- 1
    }
    return ranges.finish()
  }
}
