import Memory
import Wire

/// How many sources touched each unused port of this host of late: a port that everybody asks for says little of the one
/// who asks (Leckie and Kotagiri 2002, with P(d) measured here).
///
/// 65,536 counters for each transport, halved once a day by the packets' own time.
struct PortRarity: ~Copyable {
  private var table: Slab<UInt16>
  /// Days since 1970; 0 before the first packet.
  var day: Int64 = 0

  /// Ports that honest people mistype or try because most hosts serve them. They start as if 12 sources had asked.
  private static let popular: [UInt16] = [
    20, 21, 22, 25, 53, 80, 110, 143, 443, 465, 587, 993, 995, 3306, 3389, 5432, 5900, 8000, 8080, 8443,
  ]
  private static let popularCount: UInt16 = 12

  init() {
    table = Slab(count: 131_072)
    for port in Self.popular { table[Int(port)] = Self.popularCount }
  }

  private static func index(_ transport: TransportProtocol, _ port: UInt16) -> Int {
    Int(port) | (transport == .udp ? 65_536 : 0)
  }

  /// One more source touched the port.
  mutating func note(_ transport: TransportProtocol, _ port: UInt16, at time: Timestamp) {
    let today = time.seconds / 86_400
    if today > day {
      // The first packet of all sets the calendar.
      if day > 0 { age(by: today &- day) }
      day = today
    }
    let index = Self.index(transport, port)
    if table[index] < .max { table[index] &+= 1 }
  }

  /// The counters that are not zero, with their numbers.
  var counts: [(index: Int, count: UInt16)] {
    (0..<table.count).compactMap { table[$0] == 0 ? nil : ($0, table[$0]) }
  }

  /// Takes a counter of before over; nothing where there is none of that number.
  mutating func set(_ index: Int, _ count: UInt16) {
    if (0..<table.count).contains(index) { table[index] = count }
  }

  private mutating func age(by days: Int64) {
    let shift = UInt16(min(days, 16))
    for index in 0..<131_072 where table[index] > 0 { table[index] = shift >= 16 ? 0 : table[index] >> shift }
    for port in Self.popular where table[Int(port)] < Self.popularCount { table[Int(port)] = Self.popularCount }
  }

  /// What a touch weighs: `base` for a port that hardly anybody asks for, 200 less for each doubling of those who do, and never
  /// less than `least`.
  func weight(_ transport: TransportProtocol, _ port: UInt16, base: Int, least: Int) -> Int {
    let count = UInt32(table[Self.index(transport, port)]) / 4 &+ 1
    let doublings = 31 &- count.leadingZeroBitCount
    return max(min(least, base), base &- 200 &* doublings)
  }
}
