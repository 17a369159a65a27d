/// How often something may still wake us at once, before we begin to doze: a hundred times, and a hundred times a second.
struct WakeCredit {
  private static let most: Int64 = 100
  /// Nanoseconds for one.
  private static let price: Int64 = 10_000_000

  private var left = Self.most
  private var time: Int64

  /// - Parameter now: monotonic nanoseconds, as of each other call.
  init(at now: Int64) { time = now }

  /// Takes one; false when there is none: then a moment's sleep lets more come together.
  mutating func spend(at now: Int64) -> Bool {
    let earned = (now - time) / Self.price
    time += earned * Self.price
    left = min(Self.most, left + earned)
    guard left > 0 else { return false }
    left -= 1
    return true
  }
}
