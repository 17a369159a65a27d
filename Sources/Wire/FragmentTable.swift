/// Puts transport headers together that were cut over several IP fragments (`nmap -f`, `--mtu 8`).
///
/// Only the first 64 bytes of a datagram are kept: enough for every TCP header, and for the whole of a probe. Fixed
/// capacity; when a slot is wanted for another datagram its old content is dropped, so a flood of first fragments
/// costs nothing but the scans that hide in it, and those show in the fragments counted.
struct FragmentTable: Sendable {
  struct Key: Hashable, Sendable, BitwiseCopyable {
    let source: IPAddress
    let target: IPAddress
    let identification: UInt32
    let `protocol`: UInt8
  }

  /// The start of a datagram's payload.
  struct Header {
    let bytes: InlineArray<64, UInt8>
    /// How many bytes from the start are there.
    let count: Int
    /// The whole payload's length, when all of it is in `bytes`.
    let length: Int?
  }

  private struct Slot: Sendable {
    var key: Key?
    var started = Timestamp.distantPast
    var bytes = InlineArray<64, UInt8>(repeating: 0)
    /// One bit for each 8-byte unit received.
    var units: UInt8 = 0
    /// The payload's length, once the last fragment came.
    var length: Int?
    var isDone = false
  }

  private static let capacity = 256
  /// What Linux gives a datagram to complete (`net.ipv4.ipfrag_time`).
  private static let lifetime: Int64 = 30_000_000_000

  /// Allocated at the first fragment: most hosts never see one.
  private var slots: [Slot] = []

  /// Adds a fragment; returns the header once its first `wanted` bytes are there, and then never again for the same datagram.
  ///
  /// - Parameters:
  ///   - payload: what was captured of it.
  ///   - length: how long it is by its IP header.
  mutating func add(
    _ payload: RawSpan, at offset: Int, length: Int, isLast: Bool, key: Key, wanted: Int, time: Timestamp
  ) -> Header? {
    guard offset < 64 else { return nil }
    if slots.isEmpty { slots = Array(repeating: Slot(), count: Self.capacity) }
    let index = Int(UInt(bitPattern: key.hashValue) % UInt(Self.capacity))
    if slots[index].key != key || time.nanoseconds &- slots[index].started.nanoseconds > Self.lifetime {
      slots[index] = Slot()
      slots[index].key = key
      slots[index].started = time
    }
    guard !slots[index].isDone else { return nil }
    let count = min(payload.byteCount, 64 - offset)
    for position in 0..<count { slots[index].bytes[offset + position] = payload.u8(at: position) }
    if isLast { slots[index].length = offset + length }
    // A last fragment's odd tail fills its unit; any other fragment is a multiple of 8 bytes (RFC 791 section 3.2).
    let units = isLast && payload.byteCount == length ? (count + 7) / 8 : count / 8
    for unit in 0..<units { slots[index].units |= 1 << UInt8(offset / 8 + unit) }
    let contiguous = min((~slots[index].units).trailingZeroBitCount, 8) * 8
    let available = min(contiguous, slots[index].length ?? contiguous)
    guard available >= wanted else { return nil }
    // A complete short datagram can have its checksum verified, so wait for its tail when options say there is one.
    let whole = slots[index].length == available
    let headerLength = key.protocol == 6 ? Int(slots[index].bytes[12] >> 4) * 4 : 8
    if !whole, available < min(headerLength, 64) { return nil }
    slots[index].isDone = true
    return Header(bytes: slots[index].bytes, count: available, length: whole ? available : nil)
  }
}
