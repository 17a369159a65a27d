import CLinux
import Journal
import Notify
import Platform
import Wire

/// Tells somebody what happened (NOTIFY): one message at a time, by a program beside the sentry. For the sentry's poll loop: no
/// call waits. Times are monotonic nanoseconds.
final class NotifyClient {
  /// Something to be said in the log: once for each change.
  enum News: Equatable {
    case failed(String)
    case worksAgain
  }

  /// Tries of one message, and the pause before the next.
  private static let mostTries = 3
  private static let pause: Int64 = 10_000_000_000

  private(set) var queue: NotifyQueue
  private var sending: (message: NotifyMessage, attempt: NotifyAttempt)?
  /// A message that could not be sent, how often it was tried, and when it is tried again.
  private var again: (message: NotifyMessage, tries: Int, at: Int64)?
  private var number: UInt64 = 0
  private var outage = Outage()
  private var watch = ProtectionWatch()
  /// Messages that the client took.
  private(set) var sent: UInt64 = 0
  /// Messages that were given up.
  private(set) var failed: UInt64 = 0

  /// Our own program, which takes a client's rights away.
  private let confiner: String?

  init(_ settings: NotifySettings, confiner: String? = nil) {
    queue = NotifyQueue(settings)
    self.confiner = confiner
  }

  /// Takes other settings; what waits is sent by them.
  func update(_ settings: NotifySettings) { queue.update(settings) }

  /// Takes an event of the stream.
  func add(_ event: Event, now: Int64) {
    if let notice = Notice(event) { queue.add(notice, now: now) }
  }

  /// Looks at the protections: to be called once a second.
  func observe(_ protection: Protection, now: Int64, time: Timestamp) {
    for notice in watch.changes(to: protection, at: time) { queue.add(notice, now: now) }
  }

  /// To be polled.
  var descriptors: [Int32] { sending?.attempt.child.descriptors ?? [] }

  /// When `advance` has something to do, whatever the descriptors say.
  var due: Int64? {
    if let sending { return sending.attempt.deadline }
    if queue.settings.target == nil { return nil }
    if let again { return again.at }
    return queue.due
  }

  /// Sends the next message, or sees what became of the last.
  func advance(now: Int64, time: Timestamp) -> News? {
    if sending != nil { return look(now) }
    guard let target = queue.settings.target else { return nil }
    let message: NotifyMessage
    if let waiting = again {
      guard now >= waiting.at else { return nil }
      message = waiting.message
    } else {
      guard let next = queue.next(now: now, time: time) else { return nil }
      message = next
    }
    number += 1
    do {
      let request = try NotifyRequest(
        message, to: target, host: Host.name, number: number, read: NotifyPrograms.secret)
      sending = (message, try NotifyAttempt(request, confiner: confiner, now: now))
      return nil
    } catch {
      return failedToSend(message, "\(error)", now)
    }
  }

  private func look(_ now: Int64) -> News? {
    guard let end = sending?.attempt.advance(now: now), let message = sending.take()?.message else { return nil }
    if case .failed(let fault) = end { return failedToSend(message, fault, now) }
    again = nil
    sent += 1
    return outage.ends() ? .worksAgain : nil
  }

  private func failedToSend(_ message: NotifyMessage, _ fault: String, _ now: Int64) -> News? {
    let tries = (again?.tries ?? 0) + 1
    if tries < Self.mostTries {
      again = (message, tries, now + Self.pause * Int64(tries))
    } else {
      again = nil
      failed += 1
      queue.giveUp(message, now: now)
    }
    return outage.begins() ? .failed(fault) : nil
  }

  /// Ends a client that runs.
  func stop() { sending?.attempt.child.terminate() }
}
