import Wire

/// A run of addresses that an interval set holds.
struct BlockedInterval: Equatable, Sendable {
  let first: UInt128
  let last: UInt128
  /// Milliseconds that remain; nil: for ever.
  let remaining: UInt64?
  /// The network that was blocked, when this is only a part of it.
  let owner: IPNetwork?

  init(first: UInt128, last: UInt128, remaining: UInt64?, owner: IPNetwork? = nil) {
    self.first = first
    self.last = last
    self.remaining = remaining
    self.owner = owner
  }

  /// The whole of a network.
  init(_ network: IPNetwork, remaining: UInt64?) {
    (first, last) = network.keys
    self.remaining = remaining
    owner = nil
  }

  /// Whether this is, or is a part of, what was put in for `network`.
  func belongs(to network: IPNetwork) -> Bool {
    if let owner { return owner == network }
    return (first, last) == network.keys
  }

  func overlaps(_ other: BlockedInterval) -> Bool { first <= other.last && other.first <= last }

  /// Whether this stays in force at least as long as `other`.
  func outlasts(_ other: BlockedInterval) -> Bool {
    guard let remaining else { return true }
    guard let theirs = other.remaining else { return false }
    return remaining >= theirs
  }

  /// A part of this, which remembers whose part it is.
  func part(_ first: UInt128, _ last: UInt128, of whole: IPNetwork) -> BlockedInterval {
    let isWhole = (first, last) == whole.keys
    return BlockedInterval(first: first, last: last, remaining: remaining, owner: isWhole ? nil : whole)
  }
}

extension IPNetwork {
  /// First and last address as numbers of the family's own width.
  var keys: (UInt128, UInt128) {
    let start = address.setKey
    let hostBits = (isV4 ? 32 : 128) - length
    let hostMask: UInt128 = hostBits == 128 ? .max : (1 << UInt128(hostBits)) - 1
    return (start, start | hostMask)
  }

  /// The network of one family from `first` to `last`; nil when that is not the whole of a network.
  init?(first: UInt128, last: UInt128, isV4: Bool) {
    let size = last &- first
    guard last >= first, size & (size &+ 1) == 0, first & size == 0 else { return nil }
    self.init(IPAddress(setKey: first, isV4: isV4), length: (isV4 ? 32 : 128) - (128 - size.leadingZeroBitCount))
  }

  /// The fewest networks that together are `first` to `last`.
  static func covering(first: UInt128, last: UInt128, isV4: Bool) -> [IPNetwork] {
    var result: [IPNetwork] = []
    var start = first
    while true {
      // The largest aligned network that starts here and does not go past the end.
      var size: UInt128 = start == 0 ? .max : (start & (~start &+ 1)) &- 1
      while size > last &- start { size >>= 1 }
      if let network = IPNetwork(first: start, last: start + size, isV4: isV4) { result.append(network) }
      if size == last &- start { return result }
      start += size + 1
    }
  }
}

extension IPAddress {
  /// The address as a number of its family's own width.
  var setKey: UInt128 { isV4 ? UInt128(v4Bits) : UInt128(high) << 64 | UInt128(low) }

  init(setKey key: UInt128, isV4: Bool) {
    if isV4 {
      self.init(v4: UInt32(truncatingIfNeeded: key))
    } else {
      self.init(high: UInt64(truncatingIfNeeded: key >> 64), low: UInt64(truncatingIfNeeded: key))
    }
  }
}

/// How an interval set has to change. The kernel takes no overlapping intervals, so where networks overlap each
/// address belongs to the block that lasts longest, and the others keep what is left of them.
struct IntervalChange: Equatable, Sendable {
  private(set) var deleted: [BlockedInterval] = []
  private(set) var added: [BlockedInterval] = []

  /// - Parameters:
  ///   - blocks: networks of the set's family; of one that repeats the last counts.
  ///   - present: what the set holds.
  static func adding(_ blocks: [BlockedInterval], of networks: [IPNetwork], to present: [BlockedInterval], isV4: Bool)
    -> IntervalChange
  {
    var after = present.sorted { $0.first < $1.first }
    for (block, network) in zip(blocks, networks) { after = insert(block, network, into: after, isV4: isV4) }
    return difference(from: present, to: after)
  }

  static func removing(_ networks: [IPNetwork], from present: [BlockedInterval]) -> IntervalChange {
    let gone = Set(networks)
    var change = IntervalChange()
    change.deleted = present.filter { interval in
      if let owner = interval.owner { return gone.contains(owner) }
      return networks.contains { interval.belongs(to: $0) }
    }
    return change
  }

  private static func insert(
    _ block: BlockedInterval, _ network: IPNetwork, into sorted: [BlockedInterval], isV4: Bool
  ) -> [BlockedInterval] {
    var result: [BlockedInterval] = []
    // The first address of the block that no longer-lasting interval has taken; nil once the block is used up.
    var next: UInt128? = block.first
    func take(upTo last: UInt128) {
      if let first = next, first <= last { result.append(block.part(first, last, of: network)) }
    }
    for old in sorted where !old.belongs(to: network) {
      guard old.overlaps(block) else {
        result.append(old)
        continue
      }
      if old.outlasts(block) {
        if old.first > block.first { take(upTo: old.first - 1) }
        result.append(old)
        next = old.last >= block.last ? nil : old.last + 1
      } else {
        // What the old one loses is ours; it keeps what sticks out on either side.
        let owner = old.owner ?? IPNetwork(first: old.first, last: old.last, isV4: isV4)
        func keep(_ first: UInt128, _ last: UInt128) {
          result.append(
            owner.map { old.part(first, last, of: $0) }
              ?? BlockedInterval(first: first, last: last, remaining: old.remaining))
        }
        if old.first < block.first { keep(old.first, block.first - 1) }
        if old.last > block.last { keep(block.last + 1, old.last) }
      }
    }
    take(upTo: block.last)
    return result.sorted { $0.first < $1.first }
  }

  private static func difference(from old: [BlockedInterval], to new: [BlockedInterval]) -> IntervalChange {
    var change = IntervalChange()
    let before = Dictionary(old.map { ($0.first, $0) }, uniquingKeysWith: { a, _ in a })
    let after = Dictionary(new.map { ($0.first, $0) }, uniquingKeysWith: { a, _ in a })
    change.deleted = old.filter { after[$0.first] != $0 }
    change.added = new.filter { before[$0.first] != $0 }
    return change
  }
}
