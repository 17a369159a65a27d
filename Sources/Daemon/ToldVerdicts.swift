import Detection
import Wire

/// Which verdicts the log of 1.2's and 2.x's words has told: of one source once an hour, and no more than 60 in a minute. Pure: time is
/// passed in.
struct ToldVerdicts {
  static let mostPerMinute = 60
  /// When full all are forgotten, which costs a line more for each.
  static let capacity = 10_000
  private static let minute: Int64 = 60_000_000_000
  private static let hour: Int64 = 3_600_000_000_000

  private struct Key: Hashable {
    let source: IPNetwork
    let verdictClass: Verdict.Class
  }

  private var times: [Key: Int64] = [:]
  private var until: Int64 = 0
  private var count = 0
  private var left = 0

  /// - Returns: whether a verdict is to be told, and how many of the minute before were left out.
  mutating func add(_ verdict: Verdict, at now: Int64) -> (isTold: Bool, leftOut: Int) {
    var leftOut = 0
    if now >= until {
      leftOut = left
      until = now + Self.minute
      (count, left) = (0, 0)
    }
    let key = Key(source: verdict.source, verdictClass: verdict.verdictClass)
    if let before = times[key], now - before < Self.hour { return (false, leftOut) }
    guard count < Self.mostPerMinute else {
      left += 1
      return (false, leftOut)
    }
    if times.count >= Self.capacity { times = [:] }
    times[key] = now
    count += 1
    return (true, leftOut)
  }
}
