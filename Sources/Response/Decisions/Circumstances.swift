import Wire

/// What an event finds: the time by both clocks, and with whom this host is in conversation. Made by whoever has clocks and a
/// kernel to ask; a decision has neither.
package struct Circumstances {
  /// The wall clock, which people and packets carry.
  package let time: Timestamp
  /// A clock that never jumps, in nanoseconds: for deadlines.
  package let monotonic: Int64
  private let ask: () -> Conversations

  /// - Parameter conversations: asked only where it decides something, as the kernel takes a while to answer.
  package init(at time: Timestamp, monotonic: Int64, conversations: @escaping () -> Conversations) {
    self.time = time
    self.monotonic = monotonic
    ask = conversations
  }

  /// Before the first event.
  static var none: Circumstances { Circumstances(at: .distantPast, monotonic: 0) { Conversations() } }

  var conversations: Conversations { ask() }
}

/// The peers of established TCP connections in which both sides have said something.
package struct Conversations: Equatable, Sendable {
  /// Whom a service of this host serves at this moment.
  package var served: Set<IPAddress>
  /// Whom this host has asked itself.
  package var asked: Set<IPAddress>

  package init(served: Set<IPAddress> = [], asked: Set<IPAddress> = []) {
    self.served = served
    self.asked = asked
  }
}
