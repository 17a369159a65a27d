import Wire

/// Counts the probes of each source for SCAN_TRIGGER.
///
/// No time window: two probes a month apart count as two, as with 1.2. Fixed capacity of 65,536 sources, eight places
/// for each hash; when all eight are taken the source with the fewest probes, the oldest of those, is forgotten, so
/// a flood of invented sources (one probe each) pushes out its own kind before a source that has shown persistence.
struct TriggerTable: Sendable {
  private struct Entry: Sendable, BitwiseCopyable {
    var address = IPAddress.unspecified
    var count: UInt32 = 0
    var scope: UInt8 = 0
    var seen: Int64 = 0
  }

  private static let ways = 8
  private static let buckets = 8192
  private var entries: [Entry]
  private let hash: KeyedHash
  /// Sources forgotten to make room.
  private(set) var evictions: UInt64 = 0

  init(key: (UInt64, UInt64)) {
    hash = KeyedHash(key: key)
    entries = Array(repeating: Entry(), count: Self.buckets * Self.ways)
  }

  /// Counts one probe and returns how many there have been, this one included.
  ///
  /// - Parameter scope: sources are counted apart by this number (1.2 counts by mode, 2.x all together).
  mutating func count(_ source: IPAddress, scope: UInt8, at time: Timestamp) -> UInt32 {
    let start = Int(truncatingIfNeeded: hash(source, UInt64(scope))) & (Self.buckets - 1)
    let range = start &* Self.ways..<(start &+ 1) &* Self.ways
    var victim = range.lowerBound
    for index in range {
      if entries[index].count > 0, entries[index].address == source, entries[index].scope == scope {
        entries[index].count &+= entries[index].count == .max ? 0 : 1
        entries[index].seen = time.nanoseconds
        return entries[index].count
      }
      if (entries[index].count, entries[index].seen) < (entries[victim].count, entries[victim].seen) { victim = index }
    }
    if entries[victim].count > 0 { evictions &+= 1 }
    entries[victim] = Entry(address: source, count: 1, scope: scope, seen: time.nanoseconds)
    return 1
  }
}
