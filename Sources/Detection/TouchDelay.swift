import Wire

/// Touches beside services of this host that wait for a moment, as whoever makes them may turn out to use such a service: a mail program
/// that sets up an account asks for all ports of mail at once, in any order.
///
/// Holds `capacity`; when it is full the oldest is judged before its time, as if nobody waited.
struct TouchDelay {
  static let capacity = 256
  /// All ports are asked for at once; a session begins within a round trip or two.
  static let patience: Int64 = 1_000_000_000

  private var ring: [NativeRule.Touch?] = Array(repeating: nil, count: capacity)
  private var head = 0
  private var tail = 0
  /// When the oldest is due, in nanoseconds; `max` when there is none.
  private(set) var due = Int64.max

  var isFull: Bool { tail &- head == Self.capacity }

  /// There must be room.
  mutating func append(_ touch: NativeRule.Touch) {
    if head == tail { due = touch.time.nanoseconds &+ Self.patience }
    ring[tail & (Self.capacity - 1)] = touch
    tail &+= 1
  }

  mutating func takeOldest() -> NativeRule.Touch? {
    guard head != tail else { return nil }
    let touch = ring[head & (Self.capacity - 1)]
    head &+= 1
    due = head == tail ? .max : (ring[head & (Self.capacity - 1)]!.time.nanoseconds &+ Self.patience)
    return touch
  }

  /// The source has shown that it receives what we send.
  mutating func prove(_ source: IPAddress) {
    for place in head..<tail where ring[place & (Self.capacity - 1)]?.source == source {
      ring[place & (Self.capacity - 1)]?.isProven = true
    }
  }

  /// Whether a touch of this port by this source waits.
  func holds(_ segment: Segment) -> Bool {
    (head..<tail).contains {
      let touch = ring[$0 & (Self.capacity - 1)]
      return touch?.source == segment.source && touch?.port == segment.targetPort
    }
  }
}
