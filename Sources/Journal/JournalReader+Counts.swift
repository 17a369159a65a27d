import Database
import Detection
import Wire

// What the page counts besides the lists.
extension JournalReader {
  /// How many blocks were made in each hour since 1970 from `since` on.
  package func blocksByHour(since: Timestamp) throws(DatabaseError) -> [Int64: Int] {
    let rows = try database.rows(
      "SELECT since / 3600000000000, count(*) FROM block WHERE since >= ?1 GROUP BY 1", .int(since.nanoseconds)
    ) { ($0.int(0), Int($0.int(1))) }
    return Dictionary(rows, uniquingKeysWith: +)
  }

  /// The sources that touched a port most in a window, as far as there is detail: reads all of it, so the window should be short.
  package func sources(
    of port: PortName, _ window: Window, limit: Int
  ) throws(DatabaseError) -> (lines: [SourceLine], count: Int) {
    let rows = try database.rows(
      """
      SELECT source, technique, sum(count) FROM probe WHERE hour BETWEEN ?1 AND ?2 AND port = ?3 AND source > 0
        GROUP BY source, technique
      """, .int(window.first), .int(window.last), Value(port.port ?? 0)
    ) { ($0.int(0), Technique(rawValue: UInt8(clamping: $0.int(1))), UInt64(clamping: $0.int(2))) }
    var sums: [Int64: UInt64] = [:]
    for (source, technique, count) in rows {
      guard let technique, PortName(technique, port.port) == port else { continue }
      sums[source, default: 0] += count
    }
    let top = sums.map { (id: $0.key, probes: $0.value) }.largest(limit) { ($1.probes, $0.id) < ($0.probes, $1.id) }
    let found = try sources(top.map(\.id))
    return (
      top.compactMap { one in found[one.id].map { SourceLine(source: $0, probes: one.probes) } }, sums.count
    )
  }

  /// The addresses of a network that are known, those of the most probes first; at most a thousand are looked at.
  package func sources(in network: IPNetwork, limit: Int) throws(DatabaseError) -> (lines: [Source], count: Int) {
    let first = network.address.bytes
    var last = first
    let bits = first.count * 8
    for bit in network.length..<max(bits, network.length) { last[bit / 8] |= 0x80 >> UInt8(bit % 8) }
    let ids = try database.rows(
      """
      SELECT id FROM source WHERE address BETWEEN ?1 AND ?2 AND length(address) = ?3 ORDER BY probes DESC LIMIT 1000
      """, .blob(first), .blob(last), Value(first.count)
    ) { $0.int(0) }
    let found = try sources(ids.prefix(limit))
    return (ids.prefix(limit).compactMap { found[$0] }, ids.count)
  }

  /// Notes of one kind since a moment, the newest first.
  package func notes(of kind: NoteKind, since: Timestamp, limit: Int) throws(DatabaseError) -> [Note] {
    try notes(
      try database.rows(
        "SELECT id FROM note WHERE time >= ?1 AND kind = ?2 ORDER BY id DESC LIMIT ?3", .int(since.nanoseconds),
        Value(kind.rawValue), Value(limit)
      ) { $0.int(0) })
  }

  /// Notes of a window, the newest first.
  package func notes(in window: Window, limit: Int) throws(DatabaseError) -> [Note] {
    try notes(
      try database.rows(
        "SELECT id FROM note WHERE time >= ?1 AND time < ?2 ORDER BY id DESC LIMIT ?3", .int(window.start.nanoseconds),
        .int(window.end.nanoseconds), Value(limit)
      ) { $0.int(0) })
  }
}
