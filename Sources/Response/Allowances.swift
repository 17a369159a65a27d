import Wire

/// Whom an operator has allowed: nothing is done to these addresses and networks, as if the ignore file named them, for a
/// time or until it is taken back. Pure: no clock, no I/O.
package struct Allowances: Sendable, Equatable {
  /// How many there may be; more belong into the ignore file.
  package static let most = 1_024

  package struct Entry: Sendable, Equatable {
    package var network: IPNetwork
    package var since: Timestamp
    /// nil: until it is taken back.
    package var until: Timestamp?

    package init(network: IPNetwork, since: Timestamp, until: Timestamp?) {
      self.network = network
      self.since = since
      self.until = until
    }
  }

  /// In the order of addresses.
  package private(set) var entries: [Entry] = []

  package init() {}

  package var networks: [IPNetwork] { entries.map(\.network) }

  /// The allowance of exactly this network.
  package subscript(network: IPNetwork) -> Entry? { entries.first { $0.network == network } }

  /// Adds an allowance; one of the same network is replaced.
  ///
  /// - Returns: false when there are too many.
  package mutating func add(_ entry: Entry) -> Bool {
    if let index = entries.firstIndex(where: { $0.network == entry.network }) {
      entries[index] = entry
      return true
    }
    guard entries.count < Self.most else { return false }
    entries.append(entry)
    entries.sort { $0.network < $1.network }
    return true
  }

  /// Takes an allowance back; nil where there is none of exactly this network.
  package mutating func remove(_ network: IPNetwork) -> Entry? {
    entries.firstIndex { $0.network == network }.map { entries.remove(at: $0) }
  }

  /// Takes those back whose time is over.
  package mutating func removeExpired(at now: Timestamp) -> [Entry] {
    let over = entries.filter { $0.until.map { $0 <= now } ?? false }
    if !over.isEmpty { entries.removeAll { over.contains($0) } }
    return over
  }

  // MARK: The file

  private static let header = "portsentry-allowed 1"

  /// A line for each: `network TAB since TAB until`, times in nanoseconds since 1970, `-` for no end.
  package var text: String {
    var text = Self.header + "\n"
    for entry in entries {
      text += "\(entry.network)\t\(entry.since.nanoseconds)\t\(entry.until.map { String($0.nanoseconds) } ?? "-")\n"
    }
    return text
  }

  /// Reads the file; lines that cannot be read, and those whose time is over, are left out.
  package init(parsing bytes: [UInt8], now: Timestamp) {
    let lines = bytes.split(separator: 0x0a)
    guard let first = lines.first, first.elementsEqual(Self.header.utf8) else { return }
    for line in lines.dropFirst().prefix(Self.most) {
      let words = String(decoding: line, as: UTF8.self).splitBytes("\t", omittingEmptySubsequences: false)
      guard words.count == 3, let network = IPNetwork(words[0]), let since = Int64(words[1]) else { continue }
      var until: Timestamp?
      if !words[2].isSameBytes(as: "-") {
        guard let end = Int64(words[2]) else { continue }
        until = Timestamp(nanoseconds: end)
      }
      _ = add(Entry(network: network, since: Timestamp(nanoseconds: since), until: until))
    }
    _ = removeExpired(at: now)
  }
}
