import Wire

/// Lines that wait for the name of their source, in the order of each. Beyond `capacity` none waits: it is written with the address
/// alone.
struct HeldLines {
  static let capacity = 4_096

  private var waiting: [IPAddress: [(String?) -> Void]] = [:]
  private(set) var count = 0

  /// Whether the name of a source is being looked up.
  func isAwaited(_ source: IPAddress) -> Bool { waiting[source] != nil }

  /// The name of a source is looked up from now on.
  mutating func beginAwaiting(_ source: IPAddress) { waiting[source] = [] }

  /// - Returns: false when there is no room.
  mutating func hold(for source: IPAddress, _ line: @escaping (String?) -> Void) -> Bool {
    guard count < Self.capacity else { return false }
    waiting[source, default: []].append(line)
    count += 1
    return true
  }

  /// The lines of a source, whose name is known now.
  mutating func take(_ source: IPAddress) -> [(String?) -> Void] {
    guard let lines = waiting.removeValue(forKey: source) else { return [] }
    count -= lines.count
    return lines
  }

  /// All lines: nobody will tell a name any more.
  mutating func takeAll() -> [(String?) -> Void] {
    defer { (waiting, count) = ([:], 0) }
    return waiting.values.flatMap(\.self)
  }
}
