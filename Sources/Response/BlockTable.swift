import Wire

/// What should be blocked, whatever the kernel holds. Bounded by the policy's maximum.
package struct BlockTable: Sendable {
  private var blocks: [IPNetwork: Block] = [:]
  /// How many blocked networks are not single addresses, by prefix length; look-ups try only lengths that occur.
  private var lengths: [Int: Int] = [:]
  /// How much of `BLOCK_MAX` is used up, and by whom.
  package private(set) var budget = BlockBudget()
  /// Ends to come, soonest first: a binary heap. Entries of blocks since released or replaced are skipped.
  private var ends: [(at: Timestamp, network: IPNetwork)] = []

  package init() {}

  /// Makes room for as many, before they are restored.
  package mutating func reserve(_ count: Int) {
    blocks.reserveCapacity(count)
    ends.reserveCapacity(count)
  }

  package var count: Int { blocks.count }
  /// All blocks, the newest first.
  package var all: [Block] { blocks.values.sorted(by: Self.isBefore) }
  /// The newest first.
  static func isBefore(_ a: Block, _ b: Block) -> Bool {
    (a.record.since, a.network) > (b.record.since, b.network)
  }
  /// All blocks in no order.
  package var unordered: some Collection<Block> { blocks.values }

  package subscript(network: IPNetwork) -> Block? { blocks[network] }

  /// The block that covers an address.
  package func block(covering address: IPAddress) -> Block? {
    if let exact = blocks[IPNetwork(address)] { return exact }
    for length in lengths.keys {
      if (length >= 1000) == address.isV4, let network = IPNetwork(address, length: length % 1000),
        let block = blocks[network]
      {
        return block
      }
    }
    return nil
  }

  /// Adds a block, in place of one for the same network.
  package mutating func insert(_ block: Block) {
    let former = blocks.updateValue(block, forKey: block.network)
    if let former { budget.remove(former.record.source) }
    budget.insert(block.record.source)
    if former == nil, !block.network.isHost {
      lengths[Self.lengthKey(block.network), default: 0] += 1
    }
    if let until = block.until { push((until, block.network)) }
    trimEnds()
  }

  @discardableResult
  package mutating func remove(_ network: IPNetwork) -> Block? {
    guard let block = blocks.removeValue(forKey: network) else { return nil }
    budget.remove(block.record.source)
    if !network.isHost {
      let key = Self.lengthKey(network)
      lengths[key] = lengths[key]! == 1 ? nil : lengths[key]! - 1
    }
    trimEnds()
    return block
  }

  /// The moment of the next end.
  package var nextEnd: Timestamp? { ends.first?.at }

  /// Removes the blocks whose time is over, and returns them.
  package mutating func removeExpired(at now: Timestamp) -> [Block] {
    var result: [Block] = []
    while let first = ends.first, first.at <= now {
      pop()
      if let block = blocks[first.network], block.until == first.at, let removed = remove(first.network) {
        result.append(removed)
      }
    }
    return result
  }

  private static func lengthKey(_ network: IPNetwork) -> Int { network.length + (network.isV4 ? 1000 : 0) }

  /// Released and replaced blocks leave their ends behind; when those outnumber the blocks the heap is made anew.
  private mutating func trimEnds() {
    guard ends.count > 1024, ends.count > 2 * blocks.count else { return }
    ends = []
    for block in blocks.values {
      if let until = block.until { push((until, block.network)) }
    }
  }

  private mutating func push(_ end: (at: Timestamp, network: IPNetwork)) {
    ends.append(end)
    var index = ends.count - 1
    while index > 0, ends[index].at < ends[(index - 1) / 2].at {
      ends.swapAt(index, (index - 1) / 2)
      index = (index - 1) / 2
    }
  }

  private mutating func pop() {
    ends.swapAt(0, ends.count - 1)
    ends.removeLast()
    var index = 0
    while true {
      var least = index
      for child in [2 * index + 1, 2 * index + 2] where child < ends.count && ends[child].at < ends[least].at {
        least = child
      }
      if least == index { return }
      ends.swapAt(index, least)
      index = least
    }
  }
}
