import Wire

/// How far the journal has been delivered, which is the outbox of this node: what the engine has not confirmed goes out later. A record
/// that went out and whose confirmation was lost goes out twice; it counts once, as it is the same to the byte.
package struct Outbox: Sendable, Equatable {
  /// All rows up to here are delivered; to be kept over a restart.
  package private(set) var delivered: Int64
  /// All rows up to here are on their way.
  package private(set) var sent: Int64

  /// So many rows are on their way at most.
  package static let mostInFlight: Int64 = 512

  package init(delivered: Int64) {
    self.delivered = delivered
    sent = delivered
  }

  /// Rows to send now; nil for none.
  ///
  /// - Parameter newest: the last row there is.
  package mutating func next(upTo newest: Int64) -> ClosedRange<Int64>? {
    let last = min(newest, delivered + Self.mostInFlight)
    guard last > sent else { return nil }
    defer { sent = last }
    return sent + 1...last
  }

  /// The engine has confirmed all rows up to this one. Of those that never went out it cannot.
  package mutating func confirmed(upTo row: Int64) { delivered = max(delivered, min(row, sent)) }

  /// The connection is gone: what was not confirmed goes out again.
  package mutating func disconnected() { sent = delivered }

  /// Rows up to this one are too old to count, or deleted.
  package mutating func skip(upTo row: Int64) {
    delivered = max(delivered, row)
    sent = max(sent, delivered)
  }
}

/// When a node tells anew what it knows: the epoch of the manifest is another, so the engine has lost its contents. All nodes see it at
/// once, and spread over a minute.
package struct EpochWatch: Sendable, Equatable {
  /// The epoch in which this node has told everything; to be kept over a restart.
  package private(set) var known: UInt64?
  private var seen: UInt64?
  private var due: Timestamp?
  private var last: Timestamp?

  package static let spread = Duration.seconds(60)
  /// A coordinator that lies about epochs gets no more than this.
  package static let rest = Duration.seconds(600)

  package init(known: UInt64?) { self.known = known }

  /// - Parameter chance: at random.
  package mutating func saw(_ epoch: UInt64, chance: UInt64, at now: Timestamp) {
    if epoch == known {
      due = nil
      return
    }
    seen = epoch
    if due != nil { return }
    due = now + .nanoseconds(Int64(chance % UInt64(Self.spread.wholeNanoseconds)))
    if let last { due = max(due!, last + Self.rest) }
  }

  /// Whether everything is to be told now: own testimonies that still count, the own certificate, the orders known. Asking is telling.
  package mutating func isDue(at now: Timestamp) -> Bool {
    guard let due, due <= now else { return false }
    self.due = nil
    last = now
    known = seen
    return true
  }
}

/// Which of the contacts with decoys become testimonies: the first of an address, one when the node's own rule has come to a verdict, and one
/// an hour. Whoever knocks a thousand times a second makes no more of them.
package struct TestimonyPace: Sendable {
  package static let again = Duration.seconds(3600)
  /// Addresses it remembers. The oldest goes first, and may be told of again too soon.
  package static let capacity = 16_384

  private var last: [IPAddress: (time: Timestamp, kind: Testimony.Kind)] = [:]
  private var queue: [IPAddress] = []
  private var head = 0

  package init() {}

  /// Whether a contact is worth a testimony. Asking is telling.
  package mutating func admits(_ kind: Testimony.Kind, of address: IPAddress, at now: Timestamp) -> Bool {
    if let former = last[address], now - former.time < Self.again, former.time <= now,
      former.kind == kind || former.kind == .verdict && kind == .contact
    {
      return false
    }
    if last.updateValue((now, kind), forKey: address) == nil { queue.append(address) }
    while last.count > Self.capacity {
      last[queue[head]] = nil
      head += 1
    }
    if head > 1024, head * 2 > queue.count {
      queue.removeFirst(head)
      head = 0
    }
    return true
  }
}
