import Notify
import Platform
import Wire

/// Asks the local API for its decisions, as a bouncer does: all of them first, then what is new. Pure: time is passed in, and the owner asks.
package struct DecisionLane: Sendable {
  /// As often as CrowdSec's own bouncers ask by default.
  package static let pause: Int64 = 10_000_000_000
  /// All are asked for anew after this: what is new is told by windows of time, and one may be missed.
  static let resync: Int64 = 3_600_000_000_000

  private let url: String
  private let key: String
  private var isAsking = false
  /// What was told up to now is the whole.
  package private(set) var isWhole = false
  private var wholeAt: Int64 = 0
  private var nextAt: Int64 = 0
  private var backoff = Backoff()
  /// Up to a tenth of an hour, so that not all hosts ask for all at once.
  private let jitter: Int64
  private var stream: DecisionStream?
  package private(set) var book = DecisionBook()

  /// An answer is being gone through.
  package var isReading: Bool { stream != nil }

  package init(key: String, url: String, jitter: Int64 = .random(in: 0...360_000_000_000)) {
    self.key = key
    self.url = url
    self.jitter = jitter
  }

  package var due: Int64? {
    if stream != nil { return 0 }
    return isAsking ? nil : max(nextAt, backoff.until)
  }

  package mutating func next(at now: Int64) -> APICall? {
    guard !isAsking, stream == nil, now >= max(nextAt, backoff.until) else { return nil }
    isAsking = true
    if isWhole, now - wholeAt >= Self.resync + jitter { isWhole = false }
    return APICall(
      "GET", url + "/v1/decisions/stream?startup=\(!isWhole)&scopes=ip,range", headers: ["X-Api-Key: \(key)"],
      secrets: [key])
  }

  package mutating func answered(_ answer: APIAnswer, at now: Int64) throws(APIFault) {
    isAsking = false
    guard answer.isGood else {
      // What was new since the last question is told to nobody any more.
      isWhole = false
      backoff.failed(at: now, atLeast: answer.status == 403 ? 10 : 1)
      throw APIFault(
        answer.status == 403
          ? "its local API does not know the key of CROWDSEC_KEY: see `cscli bouncers list`"
          : "its local API does not tell its decisions (\(answer.message))")
    }
    if !isWhole { book.beginRound() }
    stream = DecisionStream(answer.body)
    nextAt = now + Self.pause
  }

  package mutating func failed(at now: Int64) {
    (isAsking, isWhole) = (false, false)
    backoff.failed(at: now)
  }

  /// Goes through the answer at hand, at most so many decisions at a time: the owner has other things to do.
  package mutating func advance(most: Int, at now: Timestamp, monotonic: Int64) throws(APIFault) -> [DecisionBook
    .Change]
  {
    guard stream != nil else { return [] }
    var changes: [DecisionBook.Change] = []
    do throws(JSONReader.Fault) {
      for _ in 0..<most {
        if let item = try stream?.next(), let change = book.take(item, at: now) { changes.append(change) }
        guard stream?.isOver == true else { continue }
        stream = nil
        if !isWhole {
          changes += book.endRound(at: now)
          (isWhole, wholeAt) = (true, monotonic)
        }
        book.trim(at: now)
        backoff.worked()
        break
      }
    } catch {
      stream = nil
      isWhole = false
      backoff.failed(at: monotonic)
      throw APIFault("its local API tells its decisions in what is no JSON")
    }
    return changes
  }
}
