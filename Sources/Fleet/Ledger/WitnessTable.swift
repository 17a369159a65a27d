import Memory
import Wire

/// A key of a `WitnessTable`.
protocol WitnessKey: BitwiseCopyable, Sendable, Equatable {
  init(_ address: IPAddress)
  var address: IPAddress { get }
}

extension UInt32: WitnessKey {
  init(_ address: IPAddress) { self = address.v4Bits }
  var address: IPAddress { IPAddress(v4: self) }
}

extension IPAddress: WitnessKey {
  init(_ address: IPAddress) { self = address }
  var address: IPAddress { self }
}

/// A keyed 64-bit hash, so that a stranger cannot choose addresses that collide in a table or end at one moment. Two rounds of multiply
/// and fold (wyhash's mixing step): no MAC, but not to be foreseen without the key.
package struct SpreadHash: Sendable {
  private let a: UInt64
  private let b: UInt64

  package init(_ a: UInt64, _ b: UInt64) {
    self.a = a | 1
    self.b = b | 1
  }

  func callAsFunction(_ address: IPAddress, _ purpose: UInt64) -> UInt64 {
    let first = Self.fold(address.high ^ a, address.low ^ b)
    return Self.fold(first ^ purpose ^ b, a ^ 0x9e37_79b9_7f4a_7c15)
  }

  private static func fold(_ x: UInt64, _ y: UInt64) -> UInt64 {
    let product = x.multipliedFullWidth(by: y)
    return product.high ^ product.low
  }
}

/// Who saw an address, and when, in whole seconds.
struct Sighting: Equatable {
  var slot: UInt16
  var second: UInt32
}

/// Sightings by address: 43 bytes for each IPv4 address with five places, the index included. Rows are dense, so that memory is what is in
/// use; a row that goes leaves its place to the last one.
struct WitnessTable<Key: WitnessKey>: ~Copyable {
  /// How many sightings a row keeps.
  let width: Int
  let capacity: Int
  private(set) var count = 0
  private var keys: Slab<Key>
  private var slots: Slab<UInt16>
  /// 0: no sighting.
  private var seconds: Slab<UInt32>
  /// What was said of the row: 0 nothing, 1 watched, else the second in which its quorum was complete.
  private var said: Slab<UInt32>
  /// Row + 1 by hash, or 0. At most two thirds full.
  private var index: Slab<UInt32>
  private let mask: Int
  private let hash: SpreadHash

  init(capacity: Int, width: Int, hash: SpreadHash) {
    self.capacity = capacity
    self.width = width
    self.hash = hash
    keys = Slab(count: capacity)
    slots = Slab(count: capacity * width)
    seconds = Slab(count: capacity * width)
    said = Slab(count: capacity)
    var places = 16
    while places * 2 < capacity * 3 { places *= 2 }
    index = Slab(count: places)
    mask = places - 1
  }

  private func home(_ key: Key) -> Int { Int(truncatingIfNeeded: hash(key.address, 1)) & mask }

  func row(of key: Key) -> Int? {
    var place = home(key)
    while index[place] != 0 {
      let row = Int(index[place]) - 1
      if keys[row] == key { return row }
      place = (place + 1) & mask
    }
    return nil
  }

  /// A new row; nil when full.
  mutating func insert(_ key: Key) -> Int? {
    guard count < capacity else { return nil }
    let row = count
    count += 1
    keys[row] = key
    said[row] = 0
    for place in row * width..<(row + 1) * width { seconds[place] = 0 }
    var place = home(key)
    while index[place] != 0 { place = (place + 1) & mask }
    index[place] = UInt32(row + 1)
    return row
  }

  mutating func remove(_ row: Int) {
    unlink(keys[row])
    count -= 1
    guard row != count else { return }
    // The last one moves here.
    var place = home(keys[count])
    while Int(index[place]) != count + 1 { place = (place + 1) & mask }
    index[place] = UInt32(row + 1)
    keys[row] = keys[count]
    said[row] = said[count]
    for offset in 0..<width {
      slots[row * width + offset] = slots[count * width + offset]
      seconds[row * width + offset] = seconds[count * width + offset]
    }
  }

  /// Takes a key from the index, and closes the gap: the rows behind it move up where that brings them nearer home.
  private mutating func unlink(_ key: Key) {
    var gap = home(key)
    while keys[Int(index[gap]) - 1] != key { gap = (gap + 1) & mask }
    var place = gap
    while true {
      place = (place + 1) & mask
      if index[place] == 0 { break }
      let distance = (place - home(keys[Int(index[place]) - 1])) & mask
      if distance >= (place - gap) & mask {
        index[gap] = index[place]
        gap = place
      }
    }
    index[gap] = 0
  }

  func address(of row: Int) -> IPAddress { keys[row].address }

  func sightings(of row: Int) -> [Sighting] {
    (row * width..<(row + 1) * width).compactMap {
      seconds[$0] == 0 ? nil : Sighting(slot: slots[$0], second: seconds[$0])
    }
  }

  /// - Parameter sightings: at most `width`.
  mutating func set(_ sightings: [Sighting], of row: Int) {
    for offset in 0..<width {
      let place = row * width + offset
      seconds[place] = offset < sightings.count ? sightings[offset].second : 0
      slots[place] = offset < sightings.count ? sightings[offset].slot : 0
    }
  }

  func said(of row: Int) -> UInt32 { said[row] }
  mutating func say(_ value: UInt32, of row: Int) { said[row] = value }
}

/// The tables of both families as one.
struct WitnessStore: ~Copyable {
  struct Place: Equatable {
    var isV4: Bool
    var row: Int
  }

  private var v4: WitnessTable<UInt32>
  private var v6: WitnessTable<IPAddress>

  /// - Parameter capacity: of each family. Address space; memory is what is in use.
  init(capacity: Int, width: Int, hash: SpreadHash) {
    v4 = WitnessTable(capacity: capacity, width: width, hash: hash)
    v6 = WitnessTable(capacity: capacity, width: width, hash: hash)
  }

  var count: Int { v4.count + v6.count }
  var width: Int { v4.width }

  func place(of address: IPAddress) -> Place? {
    let row = address.isV4 ? v4.row(of: UInt32(address)) : v6.row(of: address)
    return row.map { Place(isV4: address.isV4, row: $0) }
  }

  mutating func insert(_ address: IPAddress) -> Place? {
    let row = address.isV4 ? v4.insert(UInt32(address)) : v6.insert(address)
    return row.map { Place(isV4: address.isV4, row: $0) }
  }

  mutating func remove(_ place: Place) {
    if place.isV4 { v4.remove(place.row) } else { v6.remove(place.row) }
  }

  func address(of place: Place) -> IPAddress { place.isV4 ? v4.address(of: place.row) : v6.address(of: place.row) }
  func sightings(of place: Place) -> [Sighting] {
    place.isV4 ? v4.sightings(of: place.row) : v6.sightings(of: place.row)
  }
  mutating func set(_ sightings: [Sighting], of place: Place) {
    if place.isV4 { v4.set(sightings, of: place.row) } else { v6.set(sightings, of: place.row) }
  }
  func said(of place: Place) -> UInt32 { place.isV4 ? v4.said(of: place.row) : v6.said(of: place.row) }
  mutating func say(_ value: UInt32, of place: Place) {
    if place.isV4 { v4.say(value, of: place.row) } else { v6.say(value, of: place.row) }
  }

  /// Rows by number, 0..<count: those of IPv4 first.
  func place(at number: Int) -> Place {
    number < v4.count ? Place(isV4: true, row: number) : Place(isV4: false, row: number - v4.count)
  }
}
