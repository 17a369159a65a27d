import Memory
import Wire

/// Notices that different sources send the very same SYN: with decoys (nmap -D) each probe comes in several names, and at most one
/// of them is the scanner's.
///
/// 4,096 SYNs of the last two seconds; a newer one of the same hash takes the place.
struct EchoTable: ~Copyable {
  struct Slot: BitwiseCopyable {
    var key: UInt64 = 0
    var source = IPAddress.unspecified
    var time: Int64 = 0
  }

  private static let capacity = 4096
  private var slots: Slab<Slot>
  private let hash: KeyedHash

  init(key: (UInt64, UInt64)) {
    slots = Slab(count: Self.capacity)
    hash = KeyedHash(key: key)
  }

  /// Another source that has sent this within two seconds.
  mutating func echo(of touch: NativeRule.Touch) -> IPAddress? {
    // Of the numbers that a tool draws for itself, two sources share none by chance.
    guard touch.mark.sequence != 0 else { return nil }
    let ends = UInt64(touch.sourcePort) << 48 | UInt64(touch.port) << 32 | UInt64(touch.mark.sequence)
    let key = hash(touch.target, ends) | 1
    let place = Int(truncatingIfNeeded: key >> 1) & (Self.capacity - 1)
    let slot = slots[place]
    let isEcho =
      slot.key == key && slot.source != touch.source
      && abs(touch.time.nanoseconds &- slot.time) < 2_000_000_000
      // Mirai sends its target's address for a sequence number: all its bots the same.
      && touch.mark.family != Tool.Family.mirai.rawValue
    slots[place].key = key
    slots[place].source = touch.source
    slots[place].time = touch.time.nanoseconds
    return isEcho ? slot.source : nil
  }
}
