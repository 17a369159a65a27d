import CLinux
import Wire

/// What all ways through the filter share: whose packet it is, whether something serves it, which ports are meant.
extension KernelFilter {
  func localV4(_ code: inout Assembler, at offset: UInt32, drop: Label) {
    let own = addresses.filter(\.isV4)
    guard !addresses.isEmpty, addresses.count <= Self.addressLimit else { return }
    let local = code.label()
    code.load(.word, offset)
    for address in own { code.jump(.equal, address.v4Bits, to: local) }
    code.jump(to: drop)
    code.place(local)
  }

  func localV6(_ code: inout Assembler, at offset: UInt32, drop: Label) {
    let own = addresses.filter { !$0.isV4 }
    guard !addresses.isEmpty, addresses.count <= Self.addressLimit else { return }
    let local = code.label()
    for address in own {
      let next = code.label()
      compareV6(&code, address, at: offset, otherwise: next)
      code.jump(to: local)
      code.place(next)
    }
    code.jump(to: drop)
    code.place(local)
  }

  /// Goes on with the next instruction unless a socket bound to this very address has the port.
  ///
  /// - Parameter offset: where the address of ours stands in the packet.
  func unlessServedThere(
    _ code: inout Assembler, _ specific: [IPAddress: PortSet], v4: Bool, at offset: UInt32,
    port: (inout Assembler) -> Void, served: Label
  ) {
    let entries = specific.filter { $0.key.isV4 == v4 && !$0.key.isLoopback }.sorted { $0.key < $1.key }.prefix(8)
    guard !entries.isEmpty else { return }
    let goOn = code.label()
    for (address, ports) in entries {
      let next = code.label()
      if v4 {
        code.load(.word, offset)
        code.jump(.unequal, address.v4Bits, to: next)
      } else {
        compareV6(&code, address, at: offset, otherwise: next)
      }
      port(&code)
      tree(&code, Self.largest(ports.ranges, 16), inside: served, outside: goOn)
      code.place(next)
    }
    code.place(goOn)
  }

  func compareV6(_ code: inout Assembler, _ address: IPAddress, at offset: UInt32, otherwise: Label) {
    let words = [address.low, address.low >> 32, address.high, address.high >> 32]
    for (index, word) in words.enumerated() {
      code.load(.word, offset + 12 - 4 * UInt32(index))
      code.jump(.unequal, UInt32(truncatingIfNeeded: word), to: otherwise)
    }
  }

  /// A binary search for the port in the accumulator.
  func tree(_ code: inout Assembler, _ ranges: [ClosedRange<UInt16>], inside: Label, outside: Label) {
    var edges: [UInt32] = []
    for range in ranges {
      edges.append(UInt32(range.lowerBound))
      edges.append(UInt32(range.upperBound) + 1)
    }
    branch(&code, edges, 0..<edges.count, inside, outside)
  }

  /// `span`: the edges still in question; an odd number of edges at or below the port means it is inside.
  func branch(
    _ code: inout Assembler, _ edges: [UInt32], _ span: Range<Int>, _ inside: Label, _ outside: Label
  ) {
    if span.isEmpty {
      code.jump(to: span.lowerBound % 2 == 1 ? inside : outside)
      return
    }
    let middle = (span.lowerBound + span.upperBound) / 2
    let right = code.label()
    code.jump(.greaterOrEqual, edges[middle], to: right)
    branch(&code, edges, span.lowerBound..<middle, inside, outside)
    code.place(right)
    branch(&code, edges, middle + 1..<span.upperBound, inside, outside)
  }

  /// The largest `limit` ranges in rising order: for what is dropped, where a gap must never be closed.
  static func largest(_ ranges: [ClosedRange<UInt16>], _ limit: Int) -> [ClosedRange<UInt16>] {
    guard ranges.count > limit else { return ranges }
    return ranges.sorted { $0.count > $1.count }.prefix(limit).sorted { $0.lowerBound < $1.lowerBound }
  }

  /// At most `limit` ranges that hold all of `ranges`: the smallest gaps are closed.
  static func coarsened(_ ranges: [ClosedRange<UInt16>], to limit: Int) -> [ClosedRange<UInt16>] {
    guard ranges.count > limit, limit > 0 else { return ranges }
    let gaps = (1..<ranges.count).map { (gap: Int(ranges[$0].lowerBound) - Int(ranges[$0 - 1].upperBound), index: $0) }
    let kept = Set(gaps.sorted { $0.gap > $1.gap }.prefix(limit - 1).map(\.index))
    var result: [ClosedRange<UInt16>] = []
    for (index, range) in ranges.enumerated() {
      if index == 0 || kept.contains(index) {
        result.append(range)
      } else {
        result[result.count - 1] = result[result.count - 1].lowerBound...range.upperBound
      }
    }
    return result
  }
}
