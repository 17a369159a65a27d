/// A set of TCP or UDP ports as a bitmap of 65,536 bits, so membership costs one load.
package struct PortSet: Sendable, Equatable {
  private var words: [UInt64]

  package init() { words = Array(repeating: 0, count: 1024) }

  package init(_ ports: some Sequence<UInt16>) {
    self.init()
    for port in ports { insert(port) }
  }

  /// The ports whose bits are set: bit 0 of the first word is port 0. Exactly 1,024 words.
  package init(words: [UInt64]) {
    precondition(words.count == 1024)
    self.words = words
  }

  package init(ranges: some Sequence<ClosedRange<UInt16>>) {
    self.init()
    for range in ranges { insert(range) }
  }

  /// What `init(words:)` takes.
  package var bitmap: [UInt64] { words }

  @inlinable
  package func contains(_ port: UInt16) -> Bool { word(Int(port >> 6)) >> UInt64(port & 63) & 1 == 1 }

  @usableFromInline
  func word(_ index: Int) -> UInt64 { words[index] }

  package mutating func insert(_ port: UInt16) { words[Int(port >> 6)] |= 1 << UInt64(port & 63) }
  package mutating func remove(_ port: UInt16) { words[Int(port >> 6)] &= ~(1 << UInt64(port & 63)) }

  package mutating func insert(_ range: ClosedRange<UInt16>) {
    for port in range { insert(port) }
  }

  package mutating func formUnion(_ other: PortSet) {
    for index in words.indices { words[index] |= other.words[index] }
  }

  package mutating func subtract(_ other: PortSet) {
    for index in words.indices { words[index] &= ~other.words[index] }
  }

  package func union(_ other: PortSet) -> PortSet {
    var result = self
    result.formUnion(other)
    return result
  }

  package func subtracting(_ other: PortSet) -> PortSet {
    var result = self
    result.subtract(other)
    return result
  }

  package var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }
  package var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

  /// All members in rising order.
  package var ports: [UInt16] { ranges.flatMap(Array.init) }

  /// The members as the fewest closed ranges in rising order.
  package var ranges: [ClosedRange<UInt16>] {
    var ranges = PortRanges.Builder()
    for (index, word) in words.enumerated() where word != 0 { ranges.add(word, at: index) }
    return ranges.finish().ranges
  }
}

extension PortSet: CustomStringConvertible {
  /// `1,11,15,512-515`; `none` when empty.
  package var description: String { PortRanges(self).description }
}

/// Some ports as the fewest closed ranges in rising order: where there are many such sets, and few ports in each.
package struct PortRanges: Sendable, Equatable, CustomStringConvertible {
  package let ranges: [ClosedRange<UInt16>]

  package init() { ranges = [] }
  package init(_ ports: PortSet) { ranges = ports.ranges }
  private init(ranges: [ClosedRange<UInt16>]) { self.ranges = ranges }

  /// Makes ranges of the words of a bitmap; those that are 0 may be left out.
  package struct Builder {
    private var ranges: [ClosedRange<UInt16>] = []
    private var start: UInt16?
    /// The word after the last that was added.
    private var next = 0

    package init() {}

    /// - Parameters:
    ///   - word: its bit 0 is port 64 × index.
    ///   - index: 0 to 1,023, rising from call to call.
    package mutating func add(_ word: UInt64, at index: Int) {
      if index != next { close(before: next) }
      next = index + 1
      // Turned around while a range is open, so that its end is the next bit that is set.
      var rest = start == nil ? word : ~word
      while rest != 0 {
        let bit = rest.trailingZeroBitCount
        if start != nil { close(before: index, bit) } else { start = UInt16(index << 6 | bit) }
        rest = (start == nil ? word : ~word) & ~(UInt64(2) << UInt64(bit) &- 1)
      }
    }

    private mutating func close(before index: Int, _ bit: Int = 0) {
      guard let first = start else { return }
      ranges.append(first...UInt16(index << 6 + bit - 1))
      start = nil
    }

    package mutating func finish() -> PortRanges {
      close(before: next)
      return PortRanges(ranges: ranges)
    }
  }

  package var isEmpty: Bool { ranges.isEmpty }
  package var count: Int { ranges.reduce(0) { $0 + $1.count } }
  /// All members in rising order.
  package var ports: [UInt16] { ranges.flatMap(Array.init) }

  /// `1,11,15,512-515`; `none` when empty.
  package var description: String {
    let parts = ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
    return parts.isEmpty ? "none" : parts.joined(separator: ",")
  }
}
