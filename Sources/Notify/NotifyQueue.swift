import Wire

/// Which events become messages, and when: at most so many in any hour, the rest counted. No clock: times are monotonic
/// nanoseconds that the owner gives.
package struct NotifyQueue: Sendable {
  /// Messages that wait for the client. Beyond, events are counted.
  package static let mostWaiting = 64
  /// Keys that are remembered; when full all are forgotten, which costs a message more for each.
  package static let mostKeys = 1_024
  private static let hour: Int64 = 3_600_000_000_000

  package private(set) var settings: NotifySettings
  private var waiting: [Notice] = []
  /// When messages of the last hour were taken, the oldest first. With those that wait never more than `perHour`.
  private var taken: [Int64] = []
  private var keys: [String: Int64] = [:]
  private var others: [NotifyKind: UInt64] = [:]
  /// When the first of `others` came.
  private var othersSince: Int64 = 0

  package init(_ settings: NotifySettings) { self.settings = settings }

  /// Takes other settings. What was sent within the last hour still counts.
  package mutating func update(_ settings: NotifySettings) { self.settings = settings }

  package var waitingCount: Int { waiting.count }

  /// Lets an event wait for its message, or counts it. One with the key of another of the last hour is no news.
  package mutating func add(_ notice: Notice, now: Int64) {
    guard settings.kinds.contains(notice.kind) else { return }
    forget(now)
    if let key = notice.key {
      if let before = keys[key], now - before < Self.hour { return }
      if keys.count >= Self.mostKeys { keys = [:] }
      keys[key] = now
    }
    guard waiting.count < Self.mostWaiting, taken.count + waiting.count < room(for: notice.kind) else {
      return leave(notice.kind, 1, now)
    }
    waiting.append(notice)
  }

  /// A quarter of the messages is kept for losses and hidden decoys.
  private func room(for kind: NotifyKind?) -> Int {
    kind?.isUrgent == true ? settings.perHour : settings.perHour - settings.perHour / 4
  }

  private mutating func leave(_ kind: NotifyKind, _ count: UInt64, _ now: Int64) {
    if others.isEmpty { othersSince = now }
    others[kind, default: 0] &+= count
  }

  private mutating func forget(_ now: Int64) {
    if let index = taken.firstIndex(where: { now - $0 < Self.hour }) {
      taken.removeFirst(index)
    } else {
      taken = []
    }
  }

  /// The next message; nil when there is none to send now.
  ///
  /// - Parameter time: the wall clock, for the message.
  package mutating func next(now: Int64, time: Timestamp) -> NotifyMessage? {
    forget(now)
    if waiting.isEmpty {
      // What was only counted is said after an hour, if no message has said it before.
      guard !others.isEmpty, now - othersSince >= Self.hour, taken.count < room(for: nil) else { return nil }
    }
    defer { others = [:] }
    taken.append(now)
    let notice = waiting.isEmpty ? nil : waiting.removeFirst()
    return NotifyMessage(notice, at: notice?.time ?? time, others: others)
  }

  /// Counts what could not be sent among the events that were not.
  package mutating func giveUp(_ message: NotifyMessage, now: Int64) {
    if let notice = message.notice { leave(notice.kind, 1, now) }
    for (kind, count) in message.others { leave(kind, count, now) }
  }

  /// When `next` may have something; nil for not before the next event.
  package var due: Int64? {
    if !waiting.isEmpty { return 0 }
    guard !others.isEmpty else { return nil }
    let room = room(for: nil)
    let isFree = taken.count < room ? Int64.min : taken[taken.count - room] + Self.hour
    return max(othersSince + Self.hour, isFree)
  }
}
