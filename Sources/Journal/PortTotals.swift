import Detection

/// Probes by port, for adding up months of hours: a flat table, so that three million additions take a moment.
package struct PortTotals: Sendable {
  /// By family, 65,536 ports each and one place for those not counted one by one.
  private var probes: [UInt64]
  private var techniques: [UInt16]

  private static let places = 65_537

  package init() {
    let count = PortName.Family.allCases.count * Self.places
    probes = Array(repeating: 0, count: count)
    techniques = Array(repeating: 0, count: count)
  }

  private static func place(_ name: PortName) -> Int {
    Int(name.family.rawValue) * places + (name.port.map(Int.init) ?? 65_536)
  }

  package mutating func add(_ key: PortCounts.Key, _ count: UInt64) {
    let place = Self.place(PortName(key.technique, key.port))
    probes[place] &+= count
    techniques[place] |= TechniqueSet(key.technique).rawValue
  }

  package subscript(name: PortName) -> UInt64 { probes[Self.place(name)] }

  /// Every port that was touched.
  package var lines: [PortLine] {
    var lines: [PortLine] = []
    for (family, base) in zip(PortName.Family.allCases, stride(from: 0, to: probes.count, by: Self.places)) {
      for offset in 0..<Self.places where probes[base + offset] > 0 {
        lines.append(
          PortLine(
            port: PortName(family, offset == 65_536 ? nil : UInt16(offset)), probes: probes[base + offset],
            techniques: TechniqueSet(rawValue: techniques[base + offset])))
      }
    }
    return lines
  }

  /// The ports of the most probes.
  package func top(_ count: Int) -> [PortLine] {
    lines.largest(count) { ($1.probes, $0.port) < ($0.probes, $1.port) }
  }
}
