import Memory
import Wire

/// All sources that something speaks against, in fixed memory: 124 bytes each.
///
/// Eight places for each hash. When all are taken, the source that is cheapest to forget goes (`SourceRecord.rank`), one of
/// equals by chance: so a flood of invented sources, which have one probe each, pushes out its own kind, and never
/// one that is proven. A newcomer is always let in, or a flood could close the table.
struct SourceTable: ~Copyable {
  private static let ways = 8
  /// For each place 24 bits of the hash, and the rank in the low byte. 0 is empty: no record has rank 0.
  private var tags: Slab<SIMD8<UInt32>>
  private var records: Slab<SourceRecord>
  private let mask: Int
  private let hash: KeyedHash
  private var chance: UInt64
  private(set) var count = 0
  /// Sources forgotten to make room.
  private(set) var evictions: UInt64 = 0

  /// - Parameter capacity: how many sources are held; rounded up to a power of two, at least 1,024.
  init(capacity: Int, key: (UInt64, UInt64)) {
    var buckets = 128
    while buckets * Self.ways < capacity { buckets *= 2 }
    mask = buckets - 1
    tags = Slab(count: buckets)
    records = Slab(count: buckets * Self.ways)
    hash = KeyedHash(key: key)
    chance = key.0 | 1
  }

  var capacity: Int { records.count }

  subscript(index: Int) -> SourceRecord {
    get { records[index] }
    _modify { yield &records[index] }
  }

  /// Begins to fetch the tags and the first record of a source's bucket.
  func prefetch(_ address: IPAddress) {
    let bucket = Int(truncatingIfNeeded: hash(address, 0)) & mask
    tags.prefetch(bucket)
    records.prefetch(bucket &* Self.ways)
  }

  /// Where a source is; nil when it is not known.
  func find(_ address: IPAddress) -> Int? {
    let h = hash(address, 0)
    let bucket = Int(truncatingIfNeeded: h) & mask
    let tag = UInt32(truncatingIfNeeded: h >> 32) & 0xffff_ff00
    let row = tags[bucket]
    for way in 0..<Self.ways where row[way] & 0xffff_ff00 == tag && row[way] != 0 {
      let index = bucket &* Self.ways &+ way
      if records[index].address == address { return index }
    }
    return nil
  }

  /// Where a source is, after making room for it where it is new.
  mutating func claim(_ address: IPAddress, at time: Timestamp) -> Int {
    let h = hash(address, 0)
    let bucket = Int(truncatingIfNeeded: h) & mask
    let tag = UInt32(truncatingIfNeeded: h >> 32) & 0xffff_ff00
    let row = tags[bucket]
    var cheapest = UInt32.max
    var equals = 0
    for way in 0..<Self.ways {
      if row[way] & 0xffff_ff00 == tag, row[way] != 0 {
        let index = bucket &* Self.ways &+ way
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
    if cheapest == 0 { count &+= 1 } else { evictions &+= 1 }
    let index = bucket &* Self.ways &+ place
    records[index] = SourceRecord(address: address, at: time)
    tags[bucket][place] = tag | UInt32(records[index].rank)
    return index
  }

  /// Takes a changed rank over; to be called when score or origin of a source have changed.
  mutating func rerank(_ index: Int) {
    let (bucket, way) = (index / Self.ways, index % Self.ways)
    tags[bucket][way] = tags[bucket][way] & 0xffff_ff00 | UInt32(records[index].rank)
  }

  /// Calls `body` for every source, in no order.
  func forEach(_ body: (Int, SourceRecord) -> Void) {
    for bucket in 0...mask {
      let row = tags[bucket]
      for way in 0..<Self.ways where row[way] != 0 {
        let index = bucket &* Self.ways &+ way
        body(index, records[index])
      }
    }
  }

  /// Where the sources are that it would cost most to forget, at most `most`; of the cheapest of them some that chance chose.
  func dearest(_ most: Int) -> [Int] {
    var counts = InlineArray<256, Int>(repeating: 0)
    for bucket in 0...mask {
      let row = tags[bucket]
      for way in 0..<Self.ways where row[way] != 0 { counts[Int(row[way] & 0xff)] &+= 1 }
    }
    var room = most
    var least = 256
    while least > 1, counts[least - 1] <= room {
      least -= 1
      room -= counts[least]
    }
    var result: [Int] = []
    result.reserveCapacity(min(most, count))
    for bucket in 0...mask {
      let row = tags[bucket]
      for way in 0..<Self.ways where row[way] != 0 {
        let rank = Int(row[way] & 0xff)
        if rank == least - 1, room > 0 { room -= 1 } else if rank < least { continue }
        result.append(bucket &* Self.ways &+ way)
      }
    }
    return result
  }

  /// What has to hold at any moment; for tests.
  func checkInvariants() {
    var found = 0
    for bucket in 0...mask {
      for way in 0..<Self.ways where tags[bucket][way] != 0 {
        found += 1
        let record = records[bucket * Self.ways + way]
        let h = hash(record.address, 0)
        precondition(Int(truncatingIfNeeded: h) & mask == bucket, "in its bucket")
        precondition(UInt32(truncatingIfNeeded: h >> 32) & 0xffff_ff00 == tags[bucket][way] & 0xffff_ff00, "its tag")
        precondition(UInt32(record.rank) == tags[bucket][way] & 0xff, "its rank")
        precondition(
          record.reasons.reduce(0) { $0 + Int32($1.weight) } == record.score, "its reasons add up to its score")
      }
    }
    precondition(found == count, "as many as counted")
  }
}
