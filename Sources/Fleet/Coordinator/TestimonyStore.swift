import Memory
import Wire

/// Testimonies by address, at most `capacity` of at most `sources` addresses: 99 bytes each, and 35 for an address. Memory is what has been
/// in use at one time.
struct TestimonyStore: ~Copyable {
  /// What is kept of a testimony: all but its address, and its node as a slot.
  static let packed = 93

  let capacity: Int
  let sourceCapacity: Int
  private(set) var count = 0
  private(set) var sourceCount = 0
  private var bytes: Slab<UInt8>
  /// The next testimony of the same address, or the next free one, + 1.
  private var next: Slab<UInt32>
  private var owners: Slab<UInt16>
  private var free: UInt32 = 0
  private var fresh = 0

  private var addresses: Slab<IPAddress>
  private var zones: Slab<UInt16>
  private var heads: Slab<UInt32>
  /// The second of the last quorum passed on; 0 for none.
  private var passed: Slab<UInt32>
  /// How many witnesses were passed on.
  private var told: Slab<UInt8>
  private var index: Slab<UInt32>
  private let mask: Int
  private let hash: SpreadHash

  init(capacity: Int, sources: Int, hash: SpreadHash) {
    self.capacity = capacity
    sourceCapacity = sources
    self.hash = hash
    bytes = Slab(count: capacity * Self.packed)
    next = Slab(count: capacity)
    owners = Slab(count: capacity)
    addresses = Slab(count: sources)
    zones = Slab(count: sources)
    heads = Slab(count: sources)
    passed = Slab(count: sources)
    told = Slab(count: sources)
    var places = 16
    while places * 2 < sources * 3 { places *= 2 }
    index = Slab(count: places)
    mask = places - 1
  }

  // MARK: Addresses

  /// An address, and its zone where it is another host's elsewhere; otherwise 0.
  struct Key: Hashable {
    var address: IPAddress
    var zone: UInt16
  }

  private func home(_ key: Key) -> Int { Int(truncatingIfNeeded: hash(key.address, UInt64(key.zone) << 8 | 3)) & mask }

  func source(of key: Key) -> Int? {
    var place = home(key)
    while index[place] != 0 {
      let source = Int(index[place]) - 1
      if self.key(of: source) == key { return source }
      place = (place + 1) & mask
    }
    return nil
  }

  mutating func insert(_ key: Key) -> Int? {
    guard sourceCount < sourceCapacity else { return nil }
    let source = sourceCount
    sourceCount += 1
    addresses[source] = key.address
    zones[source] = key.zone
    heads[source] = 0
    passed[source] = 0
    told[source] = 0
    var place = home(key)
    while index[place] != 0 { place = (place + 1) & mask }
    index[place] = UInt32(source + 1)
    return source
  }

  /// Takes an address out, and all that was said of it. The last one gets its place.
  mutating func remove(_ source: Int) {
    while heads[source] != 0 { removeFirst(of: source) }
    unlink(key(of: source))
    sourceCount -= 1
    guard source != sourceCount else { return }
    var place = home(key(of: sourceCount))
    while Int(index[place]) != sourceCount + 1 { place = (place + 1) & mask }
    index[place] = UInt32(source + 1)
    addresses[source] = addresses[sourceCount]
    zones[source] = zones[sourceCount]
    heads[source] = heads[sourceCount]
    passed[source] = passed[sourceCount]
    told[source] = told[sourceCount]
  }

  private mutating func unlink(_ key: Key) {
    var gap = home(key)
    while self.key(of: Int(index[gap]) - 1) != key { gap = (gap + 1) & mask }
    var place = gap
    while true {
      place = (place + 1) & mask
      if index[place] == 0 { break }
      let distance = (place - home(self.key(of: Int(index[place]) - 1))) & mask
      if distance >= (place - gap) & mask {
        index[gap] = index[place]
        gap = place
      }
    }
    index[gap] = 0
  }

  func key(of source: Int) -> Key { Key(address: addresses[source], zone: zones[source]) }
  func address(of source: Int) -> IPAddress { addresses[source] }
  func passed(of source: Int) -> UInt32 { passed[source] }
  mutating func pass(_ second: UInt32, of source: Int) { passed[source] = second }
  func told(of source: Int) -> UInt8 { told[source] }
  mutating func tell(_ count: UInt8, of source: Int) { told[source] = count }

  // MARK: Testimonies

  /// The places of what was said of an address, the newest first.
  func places(of source: Int) -> [Int] {
    var places: [Int] = []
    var place = heads[source]
    while place != 0 {
      places.append(Int(place) - 1)
      place = next[Int(place) - 1]
    }
    return places
  }

  func owner(of place: Int) -> UInt16 { owners[place] }
  func kind(of place: Int) -> Testimony.Kind { Testimony.Kind(rawValue: bytes[place * Self.packed])! }

  func microseconds(of place: Int) -> UInt64 {
    (1...8).reduce(0) { $0 << 8 | UInt64(bytes[place * Self.packed + $1]) }
  }

  /// - Returns: whether there was room.
  mutating func add(_ testimony: Testimony, from slot: UInt16, to source: Int) -> Bool {
    let place: Int
    if free != 0 {
      place = Int(free) - 1
      free = next[place]
    } else if fresh < capacity {
      place = fresh
      fresh += 1
    } else {
      return false
    }
    count += 1
    next[place] = heads[source]
    heads[source] = UInt32(place + 1)
    write(testimony, from: slot, at: place)
    return true
  }

  mutating func write(_ testimony: Testimony, from slot: UInt16, at place: Int) {
    owners[place] = slot
    let encoded = testimony.encoded
    var to = place * Self.packed
    // version 1 · kind 1 · node 4 · time 8 · address 16 · prefix 1 · the rest
    for index in [1..<2, 6..<14, 31..<Testimony.size].joined() {
      bytes[to] = encoded[index]
      to += 1
    }
  }

  func testimony(at place: Int, of address: IPAddress, by node: NodeNumber) -> Testimony? {
    var encoded: [UInt8] = [Testimony.version]
    encoded.reserveCapacity(Testimony.size)
    let from = place * Self.packed
    encoded.append(bytes[from])
    encoded.put(node)
    for offset in 1..<9 { encoded.append(bytes[from + offset]) }
    encoded.put(address)
    encoded.append(128)
    for offset in 9..<Self.packed { encoded.append(bytes[from + offset]) }
    return try? Testimony(encoded)
  }

  mutating func removeFirst(of source: Int) {
    let place = Int(heads[source]) - 1
    heads[source] = next[place]
    release(place)
  }

  /// Takes some testimonies of an address out.
  mutating func remove(of source: Int, where isOver: (Int) -> Bool) {
    var kept: [Int] = []
    for place in places(of: source) {
      if isOver(place) { release(place) } else { kept.append(place) }
    }
    heads[source] = 0
    for place in kept.reversed() {
      next[place] = heads[source]
      heads[source] = UInt32(place + 1)
    }
  }

  private mutating func release(_ place: Int) {
    next[place] = free
    free = UInt32(place + 1)
    count -= 1
  }
}
