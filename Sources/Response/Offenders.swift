import Wire

/// Who was blocked before, and how often: a repeat offender is blocked longer. Pure; it outlives us as text.
///
/// Holds `capacity` networks. When full, the one whose last block is longest ago is forgotten, and begins anew as a first
/// offender. Only a proven block is remembered, so filling it takes as many proven addresses.
package struct Offenders: Sendable {
  package struct Entry: Sendable, Equatable {
    package var times: Int
    package var last: Timestamp
  }

  package static let capacity = 65_536
  /// A block longer ago than this counts no more: the address may be another's.
  package static let memory = Duration.seconds(90 * 86_400)

  private var entries: [IPNetwork: Entry] = [:]

  package init() {}

  package var count: Int { entries.count }

  /// How often a source was blocked, by its address or by a prefix it is in.
  package func repeats(of network: IPNetwork, at now: Timestamp) -> Int {
    ([network] + Aggregation.prefixes(above: network)).compactMap { entries[$0] }
      .filter { now - $0.last <= Self.memory }.map(\.times).max() ?? 0
  }

  /// Counts one more block.
  ///
  /// - Returns: the line to be kept.
  package mutating func note(_ network: IPNetwork, at now: Timestamp) -> String {
    let entry = Entry(times: min(repeats(of: network, at: now), 1_000) + 1, last: now)
    insert(network, entry)
    return Self.line(network, entry)
  }

  private mutating func insert(_ network: IPNetwork, _ entry: Entry) {
    entries[network] = entry
    guard entries.count > Self.capacity else { return }
    // A sixteenth at a time, so that a full table is not searched for each block.
    let oldest = entries.sorted { $0.value.last < $1.value.last }.prefix(Self.capacity / 16)
    for (network, _) in oldest { entries[network] = nil }
  }

  // MARK: Text

  package static let header = "portsentry-offenders 1\n"

  /// `network TAB times TAB time of the last block, in nanoseconds since the epoch`.
  private static func line(_ network: IPNetwork, _ entry: Entry) -> String {
    "\(network)\t\(entry.times)\t\(entry.last.nanoseconds)\n"
  }

  /// All of it, as a file.
  package var text: String { Self.header + entries.map { Self.line($0.key, $0.value) }.joined() }

  /// Reads a file of any content: of a network the last line counts, and what cannot be read is left out.
  package init(parsing bytes: [UInt8], now: Timestamp) {
    for line in bytes.split(separator: UInt8(ascii: "\n")) {
      let fields = String(decoding: line, as: UTF8.self).splitBytes("\t", omittingEmptySubsequences: false)
      guard fields.count == 3, let network = IPNetwork(fields[0]), let times = Int(fields[1]), times > 0,
        let last = Int64(fields[2]), last > 0
      else { continue }
      let entry = Entry(times: min(times, 1_001), last: min(Timestamp(nanoseconds: last), now))
      if now - entry.last <= Self.memory { insert(network, entry) }
    }
  }
}
