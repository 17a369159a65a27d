import Wire

/// Writes databases in MaxMind's format for tests. Shares no code with the reader.
package struct MaxMindWriter {
  package indirect enum Value {
    case text(String)
    case number(UInt64, type: Int)
    case map([(String, Value)])
    case array([Value])
    case boolean(Bool)
    /// Points at a value that was written before, by its number in order.
    case pointer(Int)
  }

  /// 24, 28 or 32.
  package var recordBits = 28
  package var ipVersion = 6
  package var type = "Test-Country"
  private var values: [UInt8] = []
  private var starts: [Int] = []
  private var networks: [(bits: [Int], value: Int)] = []

  package init() {}

  /// Adds a value; its number is for `pointer` and `add(_:value:)`.
  package mutating func write(_ value: Value) -> Int {
    starts.append(values.count)
    let bytes = encoded(value)
    values += bytes
    return starts.count - 1
  }

  package mutating func add(_ network: IPNetwork, value: Int) {
    var bits: [Int] = []
    let bytes = network.address.bytes
    for index in 0..<network.length { bits.append(Int(bytes[index / 8] >> (7 - UInt8(index % 8)) & 1)) }
    if network.isV4, ipVersion == 6 { bits = Array(repeating: 0, count: 96) + bits }
    networks.append((bits, value))
  }

  /// A country's record, as GeoLite2 has it.
  package static func country(_ code: String, _ name: String) -> Value {
    .map([
      ("continent", .map([("code", .text("EU")), ("geoname_id", .number(6_255_148, type: 6))])),
      (
        "country",
        .map([
          ("geoname_id", .number(2_921_044, type: 6)), ("iso_code", .text(code)),
          ("names", .map([("de", .text("?")), ("en", .text(name))])),
        ])
      ),
    ])
  }

  package static func system(_ number: UInt64, _ name: String) -> Value {
    .map([("autonomous_system_number", .number(number, type: 6)), ("autonomous_system_organization", .text(name))])
  }

  private func encoded(_ value: Value) -> [UInt8] {
    switch value {
    case .text(let text): return head(2, text.utf8.count) + Array(text.utf8)
    case .number(let number, let type):
      var bytes: [UInt8] = []
      var rest = number
      while rest > 0 {
        bytes.insert(UInt8(rest & 255), at: 0)
        rest >>= 8
      }
      return head(type, bytes.count) + bytes
    case .map(let members): return head(7, members.count) + members.flatMap { encoded(.text($0.0)) + encoded($0.1) }
    case .array(let members): return head(11, members.count) + members.flatMap { encoded($0) }
    case .boolean(let value): return head(14, value ? 1 : 0)
    case .pointer(let number):
      let offset = starts[number]
      return offset < 2048
        ? [0x20 | UInt8(offset >> 8), UInt8(offset & 255)]
        : [0x28 | UInt8((offset - 2048) >> 16), UInt8((offset - 2048) >> 8 & 255), UInt8((offset - 2048) & 255)]
    }
  }

  private func head(_ type: Int, _ size: Int) -> [UInt8] {
    let (low, more): (UInt8, [UInt8]) =
      size < 29
      ? (UInt8(size), [])
      : size < 285
        ? (29, [UInt8(size - 29)]) : (30, [UInt8((size - 285) >> 8), UInt8((size - 285) & 255)])
    return type <= 7 ? [UInt8(type) << 5 | low] + more : [low, UInt8(type - 7)] + more
  }

  /// The file.
  package var file: [UInt8] {
    // Nodes as pairs: nil for nothing, a child, or a value.
    enum Slot { case nothing, node(Int), value(Int) }
    var nodes: [(Slot, Slot)] = [(.nothing, .nothing)]
    // The longer networks come later, so that they are not overwritten by those around them.
    for (bits, value) in networks.sorted(by: { $0.bits.count < $1.bits.count }) {
      var node = 0
      for (index, bit) in bits.enumerated() {
        let slot = bit == 0 ? nodes[node].0 : nodes[node].1
        var next = slot
        if index == bits.count - 1 {
          next = .value(value)
        } else {
          switch slot {
          case .node: break
          case .nothing, .value:
            // A value around it is pushed down on both sides.
            nodes.append((slot, slot))
            next = .node(nodes.count - 1)
          }
        }
        if bit == 0 { nodes[node].0 = next } else { nodes[node].1 = next }
        if case .node(let child) = next { node = child }
      }
    }
    func number(_ slot: Slot) -> Int {
      switch slot {
      case .nothing: nodes.count
      case .node(let node): node
      case .value(let value): nodes.count + 16 + starts[value]
      }
    }
    var bytes: [UInt8] = []
    func big(_ value: Int, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(value >> (8 * (count - 1 - $0)) & 255) } }
    for (left, right) in nodes {
      let (l, r) = (number(left), number(right))
      switch recordBits {
      case 24: bytes += big(l, 3) + big(r, 3)
      case 28: bytes += big(l & 0xff_ffff, 3) + [UInt8((l >> 24) << 4 | r >> 24)] + big(r & 0xff_ffff, 3)
      default: bytes += big(l, 4) + big(r, 4)
      }
    }
    bytes += Array(repeating: 0, count: 16) + values
    bytes += [0xab, 0xcd, 0xef] + Array("MaxMind.com".utf8)
    bytes += encoded(
      .map([
        ("binary_format_major_version", .number(2, type: 5)), ("binary_format_minor_version", .number(0, type: 5)),
        ("build_epoch", .number(1_790_000_000, type: 9)), ("database_type", .text(type)),
        ("description", .map([("en", .text("made by a test"))])), ("ip_version", .number(UInt64(ipVersion), type: 5)),
        ("languages", .array([.text("en")])), ("node_count", .number(UInt64(nodes.count), type: 6)),
        ("record_size", .number(UInt64(recordBits), type: 5)),
      ]))
    return bytes
  }
}
