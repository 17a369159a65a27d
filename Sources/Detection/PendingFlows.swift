import Memory
import Wire

/// First packets that may be held against their source, in the order in which they came, until it is known what became of
/// them: a capture tells only afterwards whether something answered, and whether more followed than a lone SYN.
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
    /// `Segment.key` of its first packet.
    var key: UInt64 = 0
    var time = Timestamp.distantPast
    var source = IPAddress.unspecified
    var target = IPAddress.unspecified
    var sourcePort: UInt16 = 0
    var targetPort: UInt16 = 0
    var handshake = Handshake()
    /// Further packets like the first.
    var repeats: UInt16 = 0
    var state = State.empty
    var transport = TransportProtocol.tcp
    var flags: TCPFlags = []
    var hasIPOptions = false
    var isWatched = false
    var isWeightless = false
    /// Its checksum waits for a network card: it counts if this host answers.
    var isDoubtful = false
    /// An INIT of SCTP; `transport` says nothing then.
    var isSCTP = false
    /// By which it came in; 0 when unknown.
    var interface: Int32 = 0
    var mark = ToolMark()
  }

  private let capacity: Int
  private let bucketMask: Int
  /// How long a host may take over an answer.
  static let patience: Int64 = 3_000_000_000
  /// How long one waits here, in nanoseconds.
  private let patience: Int64

  /// A ring: `head` is the oldest, `tail` where the next goes.
  private var ring: Slab<Flow>
  private(set) var head = 0
  private(set) var tail = 0
  /// Where flows are, by hash: the lower 20 bits are the number under which a flow came, the others a tag. 0 is empty (its tag
  /// is never 0).
  private var index: Slab<SIMD4<UInt32>>
  /// When the oldest is due; `max` when there is none.
  private(set) var due = Int64.max

  /// - Parameters:
  ///   - capacity: a power of two from 8 to 65,536.
  ///   - patience: in nanoseconds.
  init(capacity: Int, patience: Int64 = PendingFlows.patience) {
    precondition(capacity.nonzeroBitCount == 1 && (8...65_536).contains(capacity))
    self.patience = patience
    self.capacity = capacity
    bucketMask = capacity / 2 - 1
    ring = Slab(count: capacity)
    index = Slab(count: capacity / 2)
  }

  var isEmpty: Bool { tail == head }
  var isFull: Bool { tail &- head == capacity }

  private static let numberMask: UInt32 = 0xf_ffff

  private static func tag(_ key: UInt64) -> UInt32 {
    let tag = UInt32(truncatingIfNeeded: key >> 32) & ~numberMask
    return tag == 0 ? numberMask + 1 : tag
  }

  /// How many flows came after the one of a number, itself included, modulo the numbers: more than there are means that it has
  /// gone.
  private func age(_ value: UInt32) -> Int {
    Int((UInt32(truncatingIfNeeded: tail) &- value) & Self.numberMask)
  }

  private func isGone(_ value: UInt32) -> Bool {
    let age = age(value)
    return age == 0 || age > tail &- head
  }

  /// The ring position of a flow that is not settled; nil when there is none.
  func find(_ key: UInt64) -> Int? {
    guard !isEmpty else { return nil }
    let row = index[Int(truncatingIfNeeded: key) & bucketMask]
    let tag = Self.tag(key)
    for way in 0..<4 where row[way] & ~Self.numberMask == tag && !isGone(row[way]) {
      let position = Int(row[way]) & (capacity - 1)
      if ring[position].key == key, ring[position].state != .empty { return position }
    }
    return nil
  }

  subscript(position: Int) -> Flow {
    get { ring[position] }
    _modify { yield &ring[position] }
  }

  /// Adds a flow; the ring must not be full.
  ///
  /// - Returns: its position; nil when its place in the index is crowded: it is not remembered then, and accuses nobody.
  mutating func insert(
    _ key: UInt64, _ segment: Segment, _ transport: TransportProtocol, _ state: State, _ ends: inout HandshakeEnds
  ) -> Int? {
    let position = tail & (capacity - 1)
    let bucket = Int(truncatingIfNeeded: key) & bucketMask
    let row = index[bucket]
    var place: Int?
    for way in 0..<4 where row[way] == 0 || isGone(row[way]) { place = way }
    guard let place else { return nil }
    ring[position] = Flow()
    ring[position].key = key
    ring[position].time = segment.time
    ring[position].source = segment.source
    ring[position].target = segment.target
    ring[position].sourcePort = segment.sourcePort
    ring[position].targetPort = segment.targetPort
    ring[position].handshake.sequence = segment.sequence
    ring[position].transport = transport
    ring[position].state = state
    count(position, &ends)
    index[bucket][place] = Self.tag(key) | UInt32(truncatingIfNeeded: tail) & Self.numberMask
    if isEmpty { due = segment.time.nanoseconds &+ patience }
    tail &+= 1
    return position
  }

  private func end(_ position: Int) -> UInt16 {
    HandshakeEnds.index(ring[position].source.low, ring[position].sourcePort)
  }

  private func count(_ position: Int, _ ends: inout HandshakeEnds) {
    ends.add(end(position), isAnswered: ring[position].state == .answered)
  }

  private func uncount(_ position: Int, _ ends: inout HandshakeEnds) {
    ends.remove(end(position), isAnswered: ring[position].state == .answered)
  }

  /// A flow that nothing had answered is answered.
  mutating func answer(_ position: Int, _ ends: inout HandshakeEnds) {
    guard ring[position].state == .asked else { return }
    uncount(position, &ends)
    ring[position].state = .answered
    count(position, &ends)
  }

  /// A packet of the client.
  mutating func follow(_ segment: Segment, _ position: Int, _ ends: inout HandshakeEnds) -> Handshake.Step {
    if !ring[position].handshake.isComplete { uncount(position, &ends) }
    return ring[position].handshake.follow(segment)
  }

  /// Marks a flow as settled.
  mutating func settle(_ position: Int, _ ends: inout HandshakeEnds) {
    if !ring[position].handshake.isComplete { uncount(position, &ends) }
    ring[position].state = .empty
    // Nobody need wake for what is settled.
    if position == head & (capacity - 1) { skipSettled() }
  }

  private mutating func skipSettled() {
    while head != tail, ring[head & (capacity - 1)].state == .empty { head &+= 1 }
    due = isEmpty ? .max : ring[head & (capacity - 1)].time.nanoseconds &+ patience
  }

  /// The source of the flow that is to be taken after `count` others; nil where there are not so many.
  func upcoming(_ count: Int) -> IPAddress? {
    guard tail &- head > count else { return nil }
    let position = (head &+ count) & (capacity - 1)
    return ring[position].state == .asked ? ring[position].source : nil
  }

  /// Takes the oldest flow; nil when there is none.
  mutating func takeOldest(_ ends: inout HandshakeEnds) -> Flow? {
    guard !isEmpty else { return nil }
    let flow = ring[head & (capacity - 1)]
    settle(head & (capacity - 1), &ends)
    return flow
  }
}
