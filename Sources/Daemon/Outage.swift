/// What an owner has to say: whoever holds it knows no log.
struct News: Equatable, Sendable {
  let text: String
  var isError = false

  init(_ text: String, isError: Bool = false) {
    self.text = text
    self.isError = isError
  }
}

/// A count of losses of which only the news are told.
struct Growth: Equatable {
  private(set) var told: UInt64 = 0

  /// - Returns: what has come since; a count that is smaller than before began anew.
  mutating func advance(to count: UInt64) -> UInt64 {
    defer { told = count }
    return count >= told ? count - told : count
  }
}

/// Something that fails again and again: it is said once, and once more when it works again.
struct Outage: Equatable {
  private(set) var isOn = false

  /// It has failed.
  ///
  /// - Returns: whether that is news.
  mutating func begins() -> Bool {
    defer { isOn = true }
    return !isOn
  }

  /// It has worked.
  ///
  /// - Returns: whether that is news.
  mutating func ends() -> Bool {
    defer { isOn = false }
    return isOn
  }
}
