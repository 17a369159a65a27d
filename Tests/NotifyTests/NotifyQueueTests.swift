import Notify
import Testing
import Wire

@Suite struct NotifyQueueTests {
  private static let second: Int64 = 1_000_000_000
  private static let hour = 3600 * second

  private static func queue(_ perHour: Int, _ kinds: [NotifyKind] = NotifyKind.allCases) -> NotifyQueue {
    var settings = NotifySettings()
    settings.perHour = perHour
    settings.kinds = kinds
    return NotifyQueue(settings)
  }

  private static func notice(_ number: Int, _ kind: NotifyKind = .block, key: String? = nil) -> Notice {
    Notice(kind, at: Timestamp(seconds: Int64(number)), key: key, "\(number)")
  }

  @Test func `Of a flood the first are sent, and the rest are counted`() {
    var queue = Self.queue(8)
    for number in 0..<1000 { queue.add(Self.notice(number), now: Int64(number)) }
    var sent: [NotifyMessage] = []
    while let message = queue.next(now: Self.second, time: Timestamp(seconds: 1)) { sent.append(message) }
    // A quarter is kept for what is urgent.
    #expect(sent.map(\.text).prefix(6) == ["0\nand 994 more events not sent (994 block)", "1", "2", "3", "4", "5"])
    #expect(sent.count == 6)
    for number in 0..<10 { queue.add(Self.notice(number, .loss), now: 2 * Self.second) }
    var urgent = 0
    while queue.next(now: 2 * Self.second, time: Timestamp(seconds: 2)) != nil { urgent += 1 }
    #expect(urgent == 2)
  }

  /// An hour's window at every moment, not an hour of the clock.
  @Test(arguments: [1, 2, 3, 4, 12, 100])
  func `Never more than so many in any hour`(_ perHour: Int) {
    var queue = Self.queue(perHour)
    var times: [Int64] = []
    var others: UInt64 = 0
    var state: UInt64 = 88_172_645_463_325_252
    var now: Int64 = 0
    let count = 20_000
    for number in 0..<count {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      now += Int64(state % UInt64(20 * Self.second))
      let kind = NotifyKind.allCases[Int(state >> 32) % NotifyKind.allCases.count]
      queue.add(Self.notice(number, kind), now: now)
      // The client is away for a while now and then.
      if state % 5 != 0, let message = queue.next(now: now, time: Timestamp(seconds: 0)) {
        times.append(now)
        others += message.others.values.reduce(0, +)
      }
    }
    for (index, time) in times.enumerated() where index >= perHour {
      #expect(time - times[index - perHour] >= Self.hour)
    }
    #expect(times.count >= Int(now / Self.hour) * max(1, perHour - perHour / 4) / 2)
    // Nothing is silently left out.
    var left: UInt64 = 0
    var later = now
    while let due = queue.due {
      later = max(later, due)
      guard let message = queue.next(now: later, time: Timestamp(seconds: 0)) else { break }
      left += message.others.values.reduce(0, +) + (message.notice == nil ? 0 : 1)
    }
    #expect(UInt64(times.count) + others + left == UInt64(count))
  }

  @Test func `What was only counted is said after an hour`() {
    var queue = Self.queue(1)
    queue.add(Self.notice(1), now: 0)
    #expect(queue.due == 0)
    #expect(queue.next(now: 0, time: Timestamp(seconds: 0))?.text == "1")
    #expect(queue.due == nil)
    queue.add(Self.notice(2), now: Self.second)
    queue.add(Self.notice(3, .flood), now: 2 * Self.second)
    #expect(queue.due == Self.hour + Self.second)
    #expect(queue.next(now: Self.hour, time: Timestamp(seconds: 9)) == nil)
    let summary = queue.next(now: Self.hour + Self.second, time: Timestamp(seconds: 9))
    #expect(summary?.text == "2 events not sent within the last hour (NOTIFY_PER_HOUR)\n1 block, 1 flood")
    #expect(queue.due == nil)
  }

  @Test func `The same is told once an hour`() {
    var queue = Self.queue(100)
    for second in [0, 10, 3599, 3600] {
      queue.add(Self.notice(second, .loss, key: "k"), now: Int64(second) * Self.second)
    }
    queue.add(Self.notice(4, .loss, key: "other"), now: 3600 * Self.second)
    let texts = (0..<3).compactMap { _ in queue.next(now: 3600 * Self.second, time: Timestamp(seconds: 0))?.text }
    #expect(texts == ["0", "3600", "4"])
  }

  @Test func `Only kinds that are wanted count`() {
    var queue = Self.queue(10, [.loss])
    queue.add(Self.notice(1), now: 0)
    #expect(queue.due == nil)
    queue.add(Self.notice(2, .loss), now: 0)
    #expect(queue.waitingCount == 1)
  }

  @Test func `What could not be sent is counted`() throws {
    var queue = Self.queue(4)
    queue.add(Self.notice(1), now: 0)
    let next = queue.next(now: 0, time: Timestamp(seconds: 0))
    let message = try #require(next)
    queue.giveUp(message, now: Self.second)
    queue.add(Self.notice(2), now: 2 * Self.second)
    #expect(
      queue.next(now: 2 * Self.second, time: Timestamp(seconds: 0))?.text
        == "2\nand 1 more event not sent (1 block)")
  }

  @Test func `The queue is bounded`() {
    var queue = Self.queue(1000)
    for number in 0..<5000 { queue.add(Self.notice(number, .loss, key: "\(number)"), now: 0) }
    #expect(queue.waitingCount == NotifyQueue.mostWaiting)
  }
}
