import Wire

/// Scanners that are not blocked for want of proof alone, until that is said. Pure: time is passed in.
///
/// Whoever has proven nothing after `patience` is named as not blocked; a connect scan has by then. At most `capacity` wait, of more
/// their number is said; and at most `mostNamed` are named at a time.
package struct Unproven: Sendable {
  package static let capacity = 4_096
  package static let mostNamed = 10
  package static let patience: Int64 = 2_000_000_000

  /// What there is to say.
  package struct News: Equatable, Sendable {
    /// Whom to name.
    package var named: [IPAddress]
    /// Whose time is over, the named among them.
    package var due: [IPAddress]
    /// How many others there are.
    package var further: Int
  }

  private var due: [IPAddress: Int64] = [:]
  private var further = 0

  package init() {}

  package var count: Int { due.count }
  package func contains(_ source: IPAddress) -> Bool { due[source] != nil }

  package mutating func wait(for source: IPAddress, at now: Int64) {
    if due.count < Self.capacity { due[source] = now + Self.patience } else { further += 1 }
  }

  /// Something came of it.
  package mutating func remove(_ source: IPAddress) { due[source] = nil }

  /// What is to be said by now; each source once.
  package mutating func take(at now: Int64) -> News {
    let over = due.filter { $0.value <= now }.map(\.key).sorted()
    for source in over { due[source] = nil }
    further += max(over.count - Self.mostNamed, 0)
    var news = News(named: Array(over.prefix(Self.mostNamed)), due: over, further: 0)
    if further > 0, due.isEmpty || over.count > Self.mostNamed { (news.further, further) = (further, 0) }
    return news
  }
}
