import Wire

/// For each address until when something need not be said or tried again. Pure: time is passed in.
///
/// Holds `capacity` addresses and whatever comes within a second: when there are more all are forgotten, which costs a line or a try
/// more.
package struct Lately: Sendable {
  package static let capacity = 10_000

  private var until: [IPAddress: Int64] = [:]

  package init() {}

  package var count: Int { until.count }

  /// Whether the time of an address is not over.
  package func holds(_ address: IPAddress, at now: Int64) -> Bool { until[address].map { $0 > now } ?? false }

  /// - Parameter duration: nanoseconds from `now`.
  package mutating func note(_ address: IPAddress, for duration: Int64, at now: Int64) {
    until[address] = now + duration
  }

  /// The same, where there is room.
  package mutating func noteIfRoom(_ address: IPAddress, for duration: Int64, at now: Int64) {
    if until.count < Self.capacity { note(address, for: duration, at: now) }
  }

  /// Call it about once a second.
  package mutating func trim() {
    if until.count > Self.capacity { until = [:] }
  }
}
