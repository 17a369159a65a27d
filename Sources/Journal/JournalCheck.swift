import Database

/// What a look at the whole journal finds.
package struct JournalCheck: Sendable {
  package var problems: [String] = []
  package var sources: Int64 = 0
  package var probes: Int64 = 0
  package var hours: Int64 = 0
  package var scans: Int64 = 0
  package var blocks: Int64 = 0
  package var bytes = 0

  /// Problems told. Of more, the file is in no better state than these say.
  private static let told = 100

  /// Reads every page, and adds up what must be equal.
  package static func run(_ reader: JournalReader) throws(DatabaseError) -> JournalCheck {
    let database = reader.database
    var check = JournalCheck()
    check.problems = try database.rows("PRAGMA integrity_check(100)", as: { $0.text(0) }).filter { $0 != "ok" }
    guard check.problems.isEmpty else { return check }
    // An hour's sum is that of its detail, for as long as there is any.
    check.problems += try database.rows(
      """
      SELECT hour.hour, hour.probes, ifnull(sum(count), 0) AS detail FROM hour LEFT JOIN probe ON probe.hour = hour.hour
        WHERE state < 2 GROUP BY hour.hour HAVING hour.probes <> detail LIMIT ?1
      """, Value(told)
    ) { "hour \($0.int(0)): its sum is \($0.int(1)), its detail \($0.int(2))" }
    check.problems += try database.rows(
      "SELECT hour FROM probe WHERE hour NOT IN (SELECT hour FROM hour) GROUP BY hour LIMIT ?1", Value(told)
    ) { "hour \($0.int(0)): there is detail, and no sum" }
    for hour in try reader.closedHours() where check.problems.count < told {
      let sum = hour.ports.counts.values.reduce(0) { $0 + $1.probes }
      if sum != hour.probes {
        check.problems.append("hour \(hour.hour): its sum is \(hour.probes), its ports add up to \(sum)")
      }
    }
    check.sources = try database.number("SELECT count(*) FROM source") ?? 0
    check.probes = try database.number("SELECT sum(probes) FROM hour") ?? 0
    check.hours = try database.number("SELECT count(*) FROM hour") ?? 0
    check.scans = try database.number("SELECT count(*) FROM scan") ?? 0
    check.blocks = try database.number("SELECT count(*) FROM block") ?? 0
    check.bytes = try reader.size().used
    return check
  }

  /// Writes the file anew. Others wait until it is done.
  package static func compact(_ path: String) throws(JournalError) {
    do throws(DatabaseError) {
      let database = try Database(path, .readWrite)
      try database.execute("VACUUM")
      _ = try database.rows("PRAGMA wal_checkpoint(TRUNCATE)") { _ in () }
    } catch { throw .database(error) }
  }
}

extension JournalReader {
  /// Writes the journal, as it is at one moment, into another file.
  package func backup(to path: String) throws(DatabaseError) { try database.backup(to: path) }

  /// Hours that are closed, with their ports.
  func closedHours() throws(DatabaseError) -> [(hour: Int64, probes: UInt64, ports: PortCounts)] {
    try database.rows("SELECT hour, probes, ports FROM hour WHERE state > 0") {
      ($0.int(0), UInt64(clamping: $0.int(1)), PortCounts(bytes: $0.blob(2)))
    }
  }
}
