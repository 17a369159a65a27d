import Database
import Detection
import Wire

extension JournalWriter {
  /// How many ports of an hour are kept one by one when its detail is thrown away, and how many of a day.
  static let portsOfOldHour = 32
  static let portsOfDay = 512
  /// A day of more rows than this (a flood) is added up without the number of sources for each port, which would take
  /// minutes and much memory.
  static let mostRowsForDistinct = 1_000_000

  /// Does one piece of what is due: adds up an hour or a day that is over, or throws away what is too old or too much.
  /// A piece takes a fraction of a second, whatever was written.
  ///
  /// - Parameter mayExpire: whether the clock can be believed enough to throw something away by it.
  /// - Returns: whether there was something to do; there may be more then.
  package func maintain(now: Timestamp, mayExpire: Bool) throws(DatabaseError) -> Bool {
    let seconds = now.wholeSeconds
    // Some seconds of grace for what is under way.
    if let hour = try database.number(
      "SELECT min(hour) FROM hour WHERE state = 0 AND hour < ?1", .int((seconds - 5).hour))
    {
      try database.transaction { () throws(DatabaseError) in try close(hour: hour) }
      return true
    }
    if let day = try database.number(
      "SELECT min(day) FROM day WHERE state = 0 AND day < ?1", .int((seconds - 5).hour.dayOfHour))
    {
      try database.transaction { () throws(DatabaseError) in try close(day: day) }
      return true
    }
    if mayExpire {
      let end = (seconds - settings.keep.components.seconds).hour
      if let hour = try database.number("SELECT min(hour) FROM probe"), hour < end {
        try throwAway(hour: hour)
        return true
      }
      let swept = try database.number("SELECT value FROM meta WHERE key = 'swept'") ?? 0
      if swept < end - 24 || swept > end {
        try sweep(before: end)
        return true
      }
    }
    return try keepSize()
  }

  private func close(hour: Int64) throws(DatabaseError) {
    var ports = PortCounts()
    let statement = try database.statement(
      "SELECT technique, port, sum(count), sum(source > 0) FROM probe WHERE hour = ?1 GROUP BY technique, port")
    statement.bind(1, hour)
    while try statement.step() { ports.add(row: statement) }
    try database.run(
      """
      UPDATE hour SET state = 1, ports = ?2,
        sources = (SELECT count(DISTINCT source) FROM probe WHERE hour = ?1 AND source > 0) WHERE hour = ?1
      """, .int(hour), .blob(ports.bytes))
    try database.run(
      """
      INSERT INTO source_day(day, source, count)
        SELECT ?2, source, sum(count) FROM probe WHERE hour = ?1 AND source > 0 GROUP BY source
        ON CONFLICT DO UPDATE SET count = count + excluded.count
      """, .int(hour), .int(hour.dayOfHour))
  }

  private func close(day: Int64) throws(DatabaseError) {
    let (first, last) = (Value.int(day * 24), Value.int(day * 24 + 23))
    var ports = PortCounts()
    let rows = try database.number("SELECT count(*) FROM probe WHERE hour BETWEEN ?1 AND ?2", first, last) ?? 0
    let statement =
      rows > Self.mostRowsForDistinct
      ? try database.statement(
        "SELECT technique, port, sum(count), 0 FROM probe WHERE hour BETWEEN ?1 AND ?2 GROUP BY technique, port")
      : try database.statement(
        """
        SELECT technique, port, sum(count), count(DISTINCT nullif(source, 0)) FROM probe WHERE hour BETWEEN ?1 AND ?2
          GROUP BY technique, port
        """)
    statement.bind([first, last])
    while try statement.step() { ports.add(row: statement) }
    try database.run(
      """
      UPDATE day SET state = 1, ports = ?2, sources = (SELECT count(*) FROM source_day WHERE day = ?1) WHERE day = ?1
      """, .int(day), .blob(ports.trimmed(to: Self.portsOfDay).bytes))
  }

  // MARK: What is too old

  /// Throws the detail of an hour away, and of its day what stands in the way of nothing any more.
  private func throwAway(hour: Int64) throws(DatabaseError) {
    try database.transaction { () throws(DatabaseError) in
      if try database.number("SELECT state FROM hour WHERE hour = ?1", .int(hour)) == 0 { try close(hour: hour) }
      let statement = try database.statement("SELECT ports FROM hour WHERE hour = ?1")
      statement.bind(1, hour)
      let ports = try statement.step() ? PortCounts(bytes: statement.blob(0)) : PortCounts()
      statement.reset()
      try database.run(
        "UPDATE hour SET state = 2, ports = ?2 WHERE hour = ?1", .int(hour),
        .blob(ports.trimmed(to: Self.portsOfOldHour).bytes))
      try database.run("DELETE FROM probe WHERE hour <= ?1", .int(hour))
      try database.run("DELETE FROM source_day WHERE day < ?1", .int((hour + 1).dayOfHour))
      try database.run("UPDATE day SET state = 2 WHERE day < ?1 AND state = 1", .int((hour + 1).dayOfHour))
    }
  }

  /// Throws away everything else that ended before an hour: sources, scans, notes, blocks that are over.
  private func sweep(before hour: Int64) throws(DatabaseError) {
    let seconds = Value.int(hour * 3600)
    let nanoseconds = Value.int(Timestamp(seconds: hour * 3600).nanoseconds)
    try database.transaction { () throws(DatabaseError) in
      try database.run("DELETE FROM source WHERE last < ?1", seconds)
      try database.run("DELETE FROM scan WHERE last < ?1", nanoseconds)
      try database.run("DELETE FROM note WHERE time < ?1", nanoseconds)
      try database.run("DELETE FROM block WHERE ended < ?1", nanoseconds)
      try database.run("DELETE FROM run WHERE seen < ?1 AND is_over = 1", nanoseconds)
      try database.run("DELETE FROM blind WHERE until < ?1", nanoseconds)
      try database.run(
        "INSERT INTO meta(key, value) VALUES('swept', ?1) ON CONFLICT DO UPDATE SET value = ?1", .int(hour))
    }
    // Their numbers may be given to others.
    forgetSources()
  }

  // MARK: What is too much

  /// Bytes in use, without pages that are free.
  package func bytesInUse() throws(DatabaseError) -> Int {
    let pages = try database.number("PRAGMA page_count") ?? 0
    return Int(pages - (try database.number("PRAGMA freelist_count") ?? 0)) * Self.pageSize
  }

  /// Keeps below the limit: the oldest detail goes first, an hour at a time. Room is left for what comes meanwhile, and
  /// for the file beside the database.
  private func keepSize() throws(DatabaseError) -> Bool {
    let limit = max(settings.size, Self.smallestSize)
    if try bytesInUse() > limit / 10 * 9 {
      // All but the hour under way can go.
      let hours = try database.number("SELECT count(*) FROM (SELECT DISTINCT hour FROM probe LIMIT 2)") ?? 0
      if hours > 1, let hour = try database.number("SELECT min(hour) FROM probe") {
        try throwAway(hour: hour)
        try sweep(before: hour + 1)
        return true
      }
    }
    // Pages that are free stay in the file for what comes, unless it is larger than it may be: the limit was lowered.
    if try database.number("PRAGMA page_count") ?? 0 > Int64(limit / Self.pageSize),
      try database.number("PRAGMA freelist_count") ?? 0 > 0
    {
      _ = try database.rows("PRAGMA incremental_vacuum(2000)") { _ in () }
      try Self.limit(database, settings)
      return true
    }
    return false
  }
}

extension PortCounts {
  /// Adds technique, port, probes, sources.
  mutating func add(row: Statement) {
    guard let technique = Technique(rawValue: UInt8(clamping: row.int(0))) else { return }
    add(
      Key(technique, UInt16(clamping: row.int(1))),
      Count(probes: UInt64(clamping: row.int(2)), sources: UInt64(clamping: row.int(3))))
  }
}
