import Memory
import Wire

/// All sources that something speaks against, in fixed memory: 128 bytes each, of which only those are touched that are used.
///
/// Eight places for each hash. When all are taken, the source that is cheapest to forget goes (`SourceRecord.rank`), one of
/// equals by chance: so a flood of invented sources, which have one probe each, pushes out its own kind, and never
/// one that is proven. A newcomer is always let in, or a flood could close the table.
struct SourceTable: ~Copyable {
  private static let ways = 8
  /// A cache line for each hash. The first eight numbers: 24 bits of the hash, and the rank in the low byte; 0 is empty, as no
  /// record has rank 0. The others: where their records are.
  private var buckets: Slab<SIMD16<UInt32>>
  /// In the order in which they came first; one that is forgotten leaves its place to whoever pushes it out.
  private var records: Slab<SourceRecord>
  /// A bit for each hash that ever came: most of those asked for never did, and this much stays in a near cache. When all bits are set
  /// it spares nothing.
  private var traces = Slab<UInt64>(count: 16_384)
  private let mask: Int
  private let hash: KeyedHash
  private var chance: UInt64
  private(set) var count = 0
  /// Sources forgotten to make room.
  private(set) var evictions: UInt64 = 0

  /// - Parameter capacity: how many sources are held; rounded up to a power of two, at least 1,024.
  init(capacity: Int, key: (UInt64, UInt64)) {
    var number = 128
    while number * Self.ways < capacity { number *= 2 }
    mask = number - 1
    buckets = Slab(count: number)
    records = Slab(count: number * Self.ways)
    hash = KeyedHash(key: key)
    chance = key.0 | 1
  }

  var capacity: Int { records.count }

  subscript(index: Int) -> SourceRecord {
    get { records[index] }
    _modify { yield &records[index] }
  }

  private static func trace(_ h: UInt64) -> (word: Int, bit: UInt64) {
    (Int(truncatingIfNeeded: h >> 44) & 16_383, 1 << (h >> 58))
  }

  /// Begins to fetch the bucket of a source.
  func prefetch(_ address: IPAddress) { buckets.prefetch(Int(truncatingIfNeeded: hash(address, 0)) & mask) }

  /// Where a source is; nil when it is not known.
  func find(_ address: IPAddress) -> Int? {
    let h = hash(address, 0)
    let trace = Self.trace(h)
    guard traces[trace.word] & trace.bit != 0 else { return nil }
    let row = buckets[Int(truncatingIfNeeded: h) & mask]
    let tag = UInt32(truncatingIfNeeded: h >> 32) & 0xffff_ff00
    for way in 0..<Self.ways where row[way] & 0xffff_ff00 == tag && row[way] != 0 {
      let index = Int(row[way &+ 8])
      if records[index].address == address { return index }
    }
    return nil
  }

  /// Where a source is, after making room for it where it is new.
  mutating func claim(_ address: IPAddress, at time: Timestamp) -> Int {
    let h = hash(address, 0)
    let bucket = Int(truncatingIfNeeded: h) & mask
    let tag = UInt32(truncatingIfNeeded: h >> 32) & 0xffff_ff00
    let row = buckets[bucket]
    var cheapest = UInt32.max
    var equals = 0
    for way in 0..<Self.ways {
      if row[way] & 0xffff_ff00 == tag, row[way] != 0 {
        let index = Int(row[way &+ 8])
        if records[index].address == address { return index }
      }
      let rank = row[way] & 0xff
      if rank < cheapest {
        cheapest = rank
        equals = 1
      } else if rank == cheapest {
        equals &+= 1
      }
    }
    // xorshift (Marsaglia 2003), seeded with the secret: a stranger cannot know who goes.
    chance ^= chance << 13
    chance ^= chance >> 7
    chance ^= chance << 17
    var skip = cheapest == 0 ? 0 : Int(truncatingIfNeeded: chance >> 33) % equals
    var place = 0
    for way in 0..<Self.ways where row[way] & 0xff == cheapest {
      place = way
      if skip == 0 { break }
      skip &-= 1
    }
    let trace = Self.trace(h)
    traces[trace.word] |= trace.bit
    var index = Int(row[place &+ 8])
    if cheapest == 0 {
      index = count
      count &+= 1
    } else {
      evictions &+= 1
    }
    records[index] = SourceRecord(address: address, at: time)
    buckets[bucket][place] = tag | UInt32(records[index].rank)
    buckets[bucket][place &+ 8] = UInt32(truncatingIfNeeded: index)
    return index
  }

  /// Takes a changed rank over; to be called when score or origin of a source have changed.
  mutating func rerank(_ index: Int) {
    let bucket = Int(truncatingIfNeeded: hash(records[index].address, 0)) & mask
    let wanted = UInt32(truncatingIfNeeded: index)
    for way in 0..<Self.ways where buckets[bucket][way &+ 8] == wanted && buckets[bucket][way] != 0 {
      buckets[bucket][way] = buckets[bucket][way] & 0xffff_ff00 | UInt32(records[index].rank)
      return
    }
  }

  /// Calls `body` for every source, in the order in which their places were taken first.
  func forEach(_ body: (Int, SourceRecord) -> Void) {
    for index in 0..<count { body(index, records[index]) }
  }

  /// Where the sources are that it would cost most to forget, at most `most`; of the cheapest of them those that came first.
  func dearest(_ most: Int) -> [Int] {
    var counts = InlineArray<256, Int>(repeating: 0)
    for index in 0..<count { counts[Int(records[index].rank)] &+= 1 }
    var room = most
    var least = 256
    while least > 1, counts[least - 1] <= room {
      least -= 1
      room -= counts[least]
    }
    var result: [Int] = []
    result.reserveCapacity(min(most, count))
    for index in 0..<count {
      let rank = Int(records[index].rank)
      if rank == least - 1, room > 0 { room -= 1 } else if rank < least { continue }
      result.append(index)
    }
    return result
  }

  /// What has to hold at any moment; for tests.
  func checkInvariants() {
    var found = Set<Int>()
    for bucket in 0...mask {
      for way in 0..<Self.ways where buckets[bucket][way] != 0 {
        let index = Int(buckets[bucket][way &+ 8])
        precondition(index < count && found.insert(index).inserted, "a record of its own")
        let record = records[index]
        let h = hash(record.address, 0)
        precondition(Int(truncatingIfNeeded: h) & mask == bucket, "in its bucket")
        precondition(
          UInt32(truncatingIfNeeded: h >> 32) & 0xffff_ff00 == buckets[bucket][way] & 0xffff_ff00, "its tag")
        precondition(UInt32(record.rank) == buckets[bucket][way] & 0xff, "its rank")
        precondition(record.furtherWeight >= 0, "its reasons add up to its score, or what has no place is more")
      }
    }
    precondition(found.count == count, "as many as counted")
  }
}
