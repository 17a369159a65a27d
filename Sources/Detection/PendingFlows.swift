import Memory
import Wire

/// First packets whose outcome is not known yet, in the order in which they came: a capture tells only afterwards whether a
/// service answered, and a service only at the end of a connection whether a word was said.
///
/// Fixed capacity: when it is full, the oldest is settled before its time.
struct PendingFlows: ~Copyable {
  enum State: UInt8, BitwiseCopyable {
    /// Settled, or never used.
    case empty
    /// Nothing has answered yet.
    case asked
    /// A service answered: TCP has a SYN/ACK, or the port is known to be served.
    case answered
  }

  /// The first packet of a flow, as far as it is needed to judge it later.
  struct Flow: BitwiseCopyable {
    /// Keyed hash of both ends.
    var key: UInt64 = 0
    var time = Timestamp.distantPast
    var source = IPAddress.unspecified
    var target = IPAddress.unspecified
    var sourcePort: UInt16 = 0
    var targetPort: UInt16 = 0
    /// The sequence number of the first packet, and that of the SYN/ACK.
    var sequence: UInt32 = 0
    var answerSequence: UInt32 = 0
    /// Further packets like the first.
    var repeats: UInt16 = 0
    var state = State.empty
    var transport = TransportProtocol.tcp
    var flags: TCPFlags = []
    var hasIPOptions = false
    var isWatched = false
    var isWeightless = false
    /// `answerSequence` is known.
    var knowsAnswer = false
    /// Its handshake is complete.
    var isComplete = false
    /// The client has acknowledged `answerSequence`.
    var isProven = false
    var mark = ToolMark()
  }

  private let capacity: Int
  private let bucketMask: Int
  /// How long a host may take over an answer.
  static let patience: Int64 = 3_000_000_000

  /// A ring: `head` is the oldest, `tail` where the next goes.
  private var ring: Slab<Flow>
  private(set) var head = 0
  private(set) var tail = 0
  /// Ring positions by hash: the lower 16 bits are the position, the upper 16 a tag. 0 is empty (its tag is never 0).
  private var index: Slab<SIMD4<UInt32>>
  private let hash: KeyedHash
  /// How many pending flows whose handshake is not complete have their end here, by a hash of it: what has none need not be
  /// looked for. First those to services, then those that nothing has answered. A count that has reached 255 stays: then
  /// that is looked for in vain.
  private var ends: Slab<UInt8>
  private static let endCount = 1 << 16
  /// When the oldest is due; `max` when there is none.
  private(set) var due = Int64.max

  /// - Parameter capacity: a power of two from 4 to 65,536.
  init(capacity: Int, key: (UInt64, UInt64)) {
    precondition(capacity.nonzeroBitCount == 1 && (4...65_536).contains(capacity))
    self.capacity = capacity
    bucketMask = capacity / 4 - 1
    hash = KeyedHash(key: key)
    ring = Slab(count: capacity)
    index = Slab(count: capacity / 4)
    ends = Slab(count: 2 * Self.endCount)
  }

  @inline(__always)
  private static func end(_ address: UInt64, _ port: UInt16) -> Int {
    Int(truncatingIfNeeded: ((address ^ UInt64(port) << 20) &* 0x9e37_79b9_7f4a_7c15) >> 48)
  }

  /// False where no flow from there to a service can be waiting for its handshake to be completed.
  ///
  /// - Parameter source: the lower half of the address.
  @inline(__always)
  func mayComplete(_ source: UInt64, _ port: UInt16) -> Bool { ends[Self.end(source, port)] != 0 }

  /// False where no flow from there can be one that nothing has answered.
  @inline(__always)
  func mayAsk(_ source: UInt64, _ port: UInt16) -> Bool { ends[Self.endCount &+ Self.end(source, port)] != 0 }

  private mutating func count(_ flow: Flow, _ change: Int) {
    let end = Self.end(flow.source.low, flow.sourcePort) &+ (flow.state == .asked ? Self.endCount : 0)
    if ends[end] < 255 { ends[end] = UInt8(truncatingIfNeeded: Int(ends[end]) &+ change) }
  }

  var isEmpty: Bool { tail == head }
  var isFull: Bool { tail &- head == capacity }

  /// The key of a flow whose first packet went from `source` to `target`.
  func key(
    _ source: IPAddress, _ sourcePort: UInt16, _ target: IPAddress, _ targetPort: UInt16, _ number: UInt8
  ) -> UInt64 {
    let first = hash(source, UInt64(sourcePort) << 24 | UInt64(targetPort) << 8 | UInt64(number))
    return hash(target, first) | 1
  }

  /// Starts fetching what `find` will look at.
  @inline(__always)
  func prefetch(_ key: UInt64) { index.prefetch(Int(truncatingIfNeeded: key) & bucketMask) }

  /// The ring position of a flow that is not settled; nil when there is none.
  func find(_ key: UInt64) -> Int? {
    let bucket = index[Int(truncatingIfNeeded: key) & bucketMask]
    let tag = Self.tag(key)
    for way in 0..<4 where bucket[way] & 0xffff_0000 == tag {
      let position = Int(bucket[way] & 0xffff)
      if ring[position].key == key, ring[position].state != .empty { return position }
    }
    return nil
  }

  private static func tag(_ key: UInt64) -> UInt32 {
    let tag = UInt32(truncatingIfNeeded: key >> 32) & 0xffff_0000
    return tag == 0 ? 0x0001_0000 : tag
  }

  subscript(position: Int) -> Flow {
    get { ring[position] }
    _modify { yield &ring[position] }
  }

  /// Adds a flow; the ring must not be full.
  ///
  /// - Returns: false when its place in the index is crowded: then it cannot be found again, and must be settled as
  ///   unknown.
  mutating func insert(_ flow: Flow) -> Bool {
    let position = tail & (capacity - 1)
    let bucket = Int(truncatingIfNeeded: flow.key) & bucketMask
    var place: Int?
    for way in 0..<4 {
      let value = index[bucket][way]
      if value == 0 {
        place = way
        break
      }
      // What points at a settled flow, or at another one that has taken its place, is free.
      let other = Int(value & 0xffff)
      if ring[other].state == .empty || Int(truncatingIfNeeded: ring[other].key) & bucketMask != bucket {
        place = way
        break
      }
    }
    guard let place else { return false }
    ring[position] = flow
    count(flow, 1)
    index[bucket][place] = Self.tag(flow.key) | UInt32(truncatingIfNeeded: position)
    if tail == head { due = flow.time.nanoseconds &+ Self.patience }
    tail &+= 1
    return true
  }

  /// A flow that nothing had answered is answered.
  mutating func answer(_ position: Int) {
    guard ring[position].state == .asked else { return }
    count(ring[position], -1)
    ring[position].state = .answered
    count(ring[position], 1)
  }

  /// The handshake of a flow is complete.
  mutating func complete(_ position: Int) {
    guard !ring[position].isComplete else { return }
    count(ring[position], -1)
    ring[position].isComplete = true
  }

  /// Marks a flow as settled.
  mutating func settle(_ position: Int) {
    complete(position)
    ring[position].state = .empty
  }

  /// The source of the flow that is to be taken after `count` others; nil where there are not so many.
  func upcoming(_ count: Int) -> IPAddress? {
    guard tail &- head > count else { return nil }
    let flow = ring[(head &+ count) & (capacity - 1)]
    return flow.state == .asked ? flow.source : nil
  }

  /// Takes the oldest flow, settled or not; nil when there is none.
  mutating func takeOldest() -> Flow? {
    guard head != tail else {
      due = .max
      return nil
    }
    let position = head & (capacity - 1)
    let flow = ring[position]
    if flow.state != .empty { settle(position) }
    head &+= 1
    due = head == tail ? .max : ring[head & (capacity - 1)].time.nanoseconds &+ Self.patience
    return flow
  }
}
