import Memory
import Wire

/// Connections to services that begin as any other does, until something is said or they end.
///
/// Fixed capacity, four places for each hash, of which the one that began first makes room: its end then tells nothing. Nobody
/// is accused by what is here alone, so nothing has to be settled when its time is over.
struct ConnectionTable: ~Copyable {
  struct Entry: BitwiseCopyable {
    var began = Timestamp.distantPast
    /// Part of the hash that is not its place; 0 is empty.
    var tag: UInt32 = 0
    var handshake = Handshake()
    /// Where its end is counted until the handshake is complete (`HandshakeEnds`).
    var end: UInt16 = 0
    var isCounted = false
  }

  private static let ways = 4
  private var entries: Slab<Entry>
  private let mask: Int

  /// - Parameter capacity: a power of two, at least 4.
  init(capacity: Int) {
    entries = Slab(count: capacity)
    mask = capacity - Self.ways
  }

  /// A connection, by its place.
  subscript(place: Int) -> Entry {
    @inline(__always) get { entries[place] }
    @inline(__always) _modify { yield &entries[place] }
  }

  @inline(__always)
  private static func tag(_ key: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: key >> 32) | 1 }

  /// The place of a connection; nil where it is not known.
  ///
  /// - Parameter key: as `Segment.key` gives it.
  @inline(__always)
  func find(_ key: UInt64) -> Int? {
    let start = Int(truncatingIfNeeded: key) & mask
    let tag = Self.tag(key)
    for place in start..<start &+ Self.ways where entries[place].tag == tag { return place }
    return nil
  }

  /// Remembers a connection by its SYN; one that is there already stays as it is.
  mutating func begin(_ key: UInt64, _ segment: Segment, _ ends: inout HandshakeEnds) {
    begin(
      key, HandshakeEnds.index(segment.source.low, segment.sourcePort), segment.sequence, segment.time, &ends)
  }

  /// - Parameters:
  ///   - end: the client's end, as `HandshakeEnds.index` numbers it.
  ///   - sequence: that of the SYN.
  mutating func begin(
    _ key: UInt64, _ end: UInt16, _ sequence: UInt32, _ time: Timestamp, _ ends: inout HandshakeEnds
  ) {
    let start = Int(truncatingIfNeeded: key) & mask
    let tag = Self.tag(key)
    var victim = start
    for place in start..<start &+ Self.ways {
      if entries[place].tag == tag { return }
      // An empty one is the oldest of all.
      if entries[place].began < entries[victim].began { victim = place }
    }
    uncount(victim, &ends)
    entries[victim] = Entry()
    entries[victim].began = time
    entries[victim].tag = tag
    entries[victim].handshake.sequence = sequence
    entries[victim].end = end
    entries[victim].isCounted = true
    ends.add(end, isAnswered: true)
  }

  /// Its handshake is complete.
  @inline(__always)
  mutating func uncount(_ place: Int, _ ends: inout HandshakeEnds) {
    guard entries[place].isCounted else { return }
    entries[place].isCounted = false
    ends.remove(entries[place].end, isAnswered: true)
  }

  /// Forgets a connection.
  mutating func remove(_ place: Int, _ ends: inout HandshakeEnds) {
    uncount(place, &ends)
    entries[place].tag = 0
    entries[place].began = .distantPast
  }
}

/// How many connections whose handshake is not complete have their end here, by a hash of it: what has none need not be
/// looked for. Apart those to services, and those that nothing has answered.
///
/// 65,536 counts for each. One that has reached 255 stays: then that is looked for in vain.
struct HandshakeEnds: ~Copyable {
  private var counts = Slab<UInt8>(count: 2 << 16)

  @inline(__always)
  static func index(_ address: UInt64, _ port: UInt16) -> UInt16 {
    UInt16(truncatingIfNeeded: ((address ^ UInt64(port) << 20) &* 0x9e37_79b9_7f4a_7c15) >> 48)
  }

  /// False where no connection from there to a service can be waiting for its handshake to be completed.
  ///
  /// - Parameter source: the lower half of the address.
  @inline(__always)
  func mayComplete(_ source: UInt64, _ port: UInt16) -> Bool { counts[Int(Self.index(source, port))] != 0 }

  /// False where no connection from there can be one that nothing has answered.
  @inline(__always)
  func mayAsk(_ source: UInt64, _ port: UInt16) -> Bool { counts[65_536 &+ Int(Self.index(source, port))] != 0 }

  @inline(__always)
  mutating func add(_ index: UInt16, isAnswered: Bool) { change(index, isAnswered, 1) }

  @inline(__always)
  mutating func remove(_ index: UInt16, isAnswered: Bool) { change(index, isAnswered, 255) }

  @inline(__always)
  private mutating func change(_ index: UInt16, _ isAnswered: Bool, _ by: UInt8) {
    let place = Int(index) &+ (isAnswered ? 0 : 65_536)
    if counts[place] < 255 { counts[place] = counts[place] &+ by }
  }
}
