import Detection

/// Probes and sources by technique and port, and the compact form in which an hour or a day of them is kept: some three
/// bytes for a port that was touched a few times.
package struct PortCounts: Sendable, Equatable {
  /// A port of a technique, or (nil) all ports of it that are not counted one by one.
  package struct Key: Sendable, Hashable, Comparable {
    package var technique: Technique
    package var port: UInt16?

    package init(_ technique: Technique, _ port: UInt16?) {
      self.technique = technique
      self.port = port
    }

    package static func < (a: Key, b: Key) -> Bool { a.number < b.number }

    fileprivate var number: UInt64 { UInt64(technique.rawValue) << 17 | (port.map(UInt64.init) ?? 1 << 16) }

    fileprivate init?(number: UInt64) {
      guard number >> 17 <= 255, let technique = Technique(rawValue: UInt8(number >> 17)), number & 0x1ffff <= 1 << 16
      else { return nil }
      self.technique = technique
      port = number & 0x10000 != 0 ? nil : UInt16(number & 0xffff)
    }
  }

  package struct Count: Sendable, Equatable {
    package var probes: UInt64
    /// Distinct ones within the hour or day; of several together the sum, so that it says "source-hours".
    package var sources: UInt64

    package init(probes: UInt64 = 0, sources: UInt64 = 0) {
      self.probes = probes
      self.sources = sources
    }

    package static func += (a: inout Count, b: Count) {
      a.probes &+= b.probes
      a.sources &+= b.sources
    }
  }

  package private(set) var counts: [Key: Count] = [:]

  package init() {}

  package var isEmpty: Bool { counts.isEmpty }
  package subscript(key: Key) -> Count? { counts[key] }

  package mutating func add(_ key: Key, _ count: Count) { counts[key, default: Count()] += count }

  package mutating func add(_ other: PortCounts) {
    if counts.isEmpty { counts = other.counts } else { for (key, count) in other.counts { add(key, count) } }
  }

  /// The same with all but the `most` ports of the most probes put together, by technique.
  package func trimmed(to most: Int) -> PortCounts {
    guard counts.count > most else { return self }
    var result = PortCounts()
    let sorted = counts.sorted { ($1.value.probes, $0.key) < ($0.value.probes, $1.key) }
    for (index, entry) in sorted.enumerated() {
      result.add(index < most ? entry.key : Key(entry.key.technique, nil), entry.value)
    }
    return result
  }

  // MARK: Packed

  /// For each port in rising order: how much its number is above the one before, probes, sources; each seven bits a
  /// byte, lowest first, as in LEB128.
  package var bytes: [UInt8] {
    var bytes: [UInt8] = []
    var last: UInt64 = 0
    for (key, count) in counts.sorted(by: { $0.key < $1.key }) {
      Self.append(key.number - last, to: &bytes)
      Self.append(count.probes, to: &bytes)
      Self.append(count.sources, to: &bytes)
      last = key.number
    }
    return bytes
  }

  /// Reads any bytes; from where they make no sense on, the rest is left out.
  package init(bytes: [UInt8]) {
    self.init()
    Self.read(bytes) { counts[$0] = $1 }
  }

  /// The same without a table, for whoever adds up many.
  package static func read(_ bytes: [UInt8], _ body: (Key, Count) -> Void) {
    var index = 0
    var last: UInt64 = 0
    while index < bytes.count {
      guard let step = number(bytes, &index), let probes = number(bytes, &index), let sources = number(bytes, &index),
        step <= 1 << 25, let key = Key(number: last + step)
      else { return }
      body(key, Count(probes: probes, sources: sources))
      last += step
    }
  }

  private static func append(_ value: UInt64, to bytes: inout [UInt8]) {
    var rest = value
    while rest > 0x7f {
      bytes.append(UInt8(rest & 0x7f) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private static func number(_ bytes: [UInt8], _ index: inout Int) -> UInt64? {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while index < bytes.count, shift < 63 {
      let byte = bytes[index]
      index += 1
      value |= UInt64(byte & 0x7f) << shift
      if byte & 0x80 == 0 { return value }
      shift += 7
    }
    return nil
  }
}
