import Memory
import Wire

/// Notices masses of packets at one point: more in a second than any scan or honest crowd sends, and nobody finishes what
/// was begun.
///
/// Fixed memory: 65,536 counters for address, port and kind, of the current second; 64 floods at a time, of which the one that
/// ended first makes room. Where all go on, further ports of an address are one flood of many ports (port 0).
struct FloodWatch: ~Copyable {
  enum Kind: UInt8, CaseIterable {
    case syn
    /// Packets to ever other ports from ever other sources.
    case scattered
    /// RST, ACK and the like without a connection.
    case stray
    case udp
    case icmp

    /// Packets in a second at one address and port.
    var limit: UInt16 {
      switch self {
      case .syn, .scattered: 200
      case .stray: 500
      case .udp, .icmp: 1000
      }
    }
  }

  /// Where a packet went, and when.
  struct Point {
    var source: IPAddress
    var target: IPAddress
    /// 0 for ICMP, and where no port is meant.
    var port: UInt16
    var time: Timestamp
  }

  struct Flood: BitwiseCopyable {
    var target = IPAddress.unspecified
    var first = Timestamp.distantPast
    var last = Timestamp.distantPast
    var packets: UInt64 = 0
    var port: UInt16 = 0
    var kind = Kind.syn
    var isUsed = false
    /// The first source; the only one while `registers` say so.
    var source = IPAddress.unspecified
    /// HyperLogLog (Flajolet 2007) with 64 registers: the sources within 13 %.
    var registers = InlineArray<64, UInt8>(repeating: 0)
    var hasMany = false

    var sources: UInt32 {
      if !hasMany { return 1 }
      var sum = 0.0
      var zeros = 0
      for index in 0..<64 {
        sum += 1 / Double(UInt64(1) << UInt64(min(registers[index], 62)))
        if registers[index] == 0 { zeros += 1 }
      }
      // Small counts by linear counting, as the paper has it.
      if zeros > 0 {
        var result = 0.0
        for index in 0..<(64 - zeros) { result += 64 / Double(64 - index) }
        if result < 160 { return UInt32(result + 0.5) }
      }
      return UInt32(0.709 * 64 * 64 / sum)
    }
  }

  struct Counter: BitwiseCopyable {
    /// The lower half of the number of the second.
    var second: UInt16 = 0
    /// Packets of it that nobody has finished.
    var count: UInt16 = 0
    var finished: UInt16 = 0
    /// Half of what was finished in the second before: where so much is honest, so much may be under way at any moment.
    var allowance: UInt16 = 0
  }

  private static let counterCount = 65_536
  private static let floodCapacity = 64
  /// A flood that is silent for so long is over.
  private static let rest: Int64 = 60_000_000_000
  private var counters: Slab<Counter>
  private var floods: Slab<Flood>
  private let hash: KeyedHash

  init(key: (UInt64, UInt64)) {
    counters = Slab(count: Self.counterCount)
    floods = Slab(count: Self.floodCapacity)
    hash = KeyedHash(key: key)
  }

  private func place(_ kind: Kind, _ target: IPAddress, _ port: UInt16) -> Int {
    Int(truncatingIfNeeded: hash(target, UInt64(port) << 8 | UInt64(kind.rawValue))) & (Self.counterCount - 1)
  }

  /// Counts a packet.
  ///
  /// - Parameter shift: it stands for 2^shift, as not all are seen.
  /// - Returns: where the flood is that it belongs to, the first time it is seen to be one.
  @inline(__always)
  mutating func count(_ kind: Kind, _ point: Point, shift: UInt8 = 0) -> Int? {
    let place = place(kind, point.target, point.port)
    let second = UInt16(truncatingIfNeeded: point.time.seconds)
    if counters[place].second != second {
      let isNext = counters[place].second &+ 1 == second
      counters[place] = Counter(second: second, allowance: isNext ? counters[place].finished / 2 : 0)
    }
    let before = counters[place].count
    let after = UInt16(clamping: UInt32(before) &+ 1 << UInt32(min(shift, 15)))
    counters[place].count = after
    let limit = limit(kind, place)
    guard after >= limit else { return nil }
    return note(kind, point, count: before < limit ? UInt64(after) : 1 << UInt64(shift))
  }

  @inline(__always)
  private func limit(_ kind: Kind, _ place: Int) -> UInt16 {
    let (limit, isOver) = kind.limit.addingReportingOverflow(counters[place].allowance)
    return isOver ? .max : limit
  }

  /// Takes note of a packet of a crowd of new sources, which others have counted.
  mutating func noteCrowd(_ target: IPAddress, _ source: IPAddress, at time: Timestamp) -> Int? {
    note(.scattered, Point(source: source, target: target, port: 0, time: time), count: 1)
  }

  /// Somebody finished what was begun: one packet of the crowd is honest.
  mutating func uncount(_ kind: Kind, _ target: IPAddress, _ port: UInt16) {
    let place = place(kind, target, port)
    if counters[place].count > 0 { counters[place].count &-= 1 }
    if counters[place].finished < .max { counters[place].finished &+= 1 }
  }

  @inline(never)
  private mutating func note(_ kind: Kind, _ packet: Point, count: UInt64) -> Int? {
    var port = packet.port
    var victim = 0
    var wide = -1
    for index in 0..<Self.floodCapacity {
      if floods[index].isUsed, floods[index].kind == kind, floods[index].target == packet.target,
        packet.time.nanoseconds &- floods[index].last.nanoseconds < Self.rest
      {
        if floods[index].port == port {
          observe(index, packet, count: count)
          return nil
        }
        if floods[index].port == 0 { wide = index }
      }
      if floods[index].last < floods[victim].last { victim = index }
    }
    // All are going on: more of them are one flood of many ports, or each would push out another again and again.
    if floods[victim].isUsed, packet.time.nanoseconds &- floods[victim].last.nanoseconds < Self.rest {
      if wide >= 0 {
        observe(wide, packet, count: count)
        return nil
      }
      if floods[victim].port == 0 { return nil }
      port = 0
    }
    floods[victim] = Flood()
    floods[victim].isUsed = true
    floods[victim].kind = kind
    floods[victim].target = packet.target
    floods[victim].port = port
    floods[victim].first = packet.time
    floods[victim].source = packet.source
    observe(victim, packet, count: max(count, UInt64(kind.limit)))
    return victim
  }

  subscript(index: Int) -> Flood { floods[index] }

  private mutating func observe(_ index: Int, _ packet: Point, count: UInt64) {
    floods[index].last = packet.time
    floods[index].packets &+= count
    if packet.source != floods[index].source { floods[index].hasMany = true }
    let h = hash(packet.source, 99)
    let register = Int(truncatingIfNeeded: h & 63)
    let rank = UInt8(min((h >> 6).trailingZeroBitCount, 50) + 1)
    if floods[index].registers[register] < rank { floods[index].registers[register] = rank }
  }

  /// Whether a flood of this kind is at this point now: then one more packet says nothing of its source.
  func isFlooded(_ kind: Kind, _ target: IPAddress, _ port: UInt16, at time: Timestamp) -> Bool {
    let place = place(kind, target, port)
    return counters[place].second == UInt16(truncatingIfNeeded: time.seconds)
      && counters[place].count >= limit(kind, place)
  }

  func forEach(_ body: (Flood) -> Void) {
    for index in 0..<Self.floodCapacity where floods[index].isUsed { body(floods[index]) }
  }
}
