import CLinux
import Database
import Detection
import Platform
import Response
import Wire

/// Writes the journal. Owned by one thread, which may be made to wait by the disk; nothing else may.
///
/// What is committed is on the disk (WAL with `synchronous=FULL`), so a power cut costs at most the batch under way.
package final class JournalWriter {
  package struct Settings: Sendable, Equatable {
    /// `STATE_DIR`/journal.db.
    package var path: String
    /// How long the detail is kept (`JOURNAL_KEEP`). Counts of hours and days stay for good.
    package var keep = Duration.seconds(30 * 86_400)
    /// The largest size of the database in bytes (`JOURNAL_SIZE`), 16 MiB and up. At the limit the oldest detail goes first.
    package var size = 512 << 20
    /// Who may read it beside its owner: the page's group, where that is another user's.
    package var readers: gid_t?

    package init(path: String) { self.path = path }
  }

  /// Rows of detail that an hour may have, where a new source counts as `newSourceRows` of them: a flood of invented
  /// sources must not push out a month of others. Beyond it probes are counted by port, their sources are not kept.
  /// New sources may use half of the room, so that those known, and those that a verdict names, are still written down.
  package static let hourRoom = 262_144
  static let newSourceRows = 4
  /// Notes that an hour may have, and scans that may begin in it. Beyond it they are counted as lost; what is only by the
  /// way may use half.
  static let noteRoom = 10_000
  static let scanRoom = 65_536
  /// Sources whose numbers are remembered. When full all are forgotten, which costs a look-up each.
  static let cacheLimit = 16_384
  /// Our own addresses that are told apart; of more, probes say nothing of their target.
  static let ownLimit = 1_024

  let settings: Settings
  let database: Database
  var cache: [IPAddress: Known] = [:]
  var own: [IPAddress: Int64] = [:]
  /// Rows written in the hours in use: two as a rule, four at most.
  var room: [Int64: Room] = [:]
  var notes: (hour: Int64, count: Int) = (0, 0)
  var scans: (hour: Int64, count: Int) = (0, 0)
  var runID: Int64?
  /// Notes and verdicts of the batch under way that found no room.
  var refused: UInt64 = 0
  /// Sources that came new with the batch under way, by the hour of their first probe.
  var newcomers: [Int64: UInt64] = [:]

  /// What is remembered of a source.
  struct Known {
    var id: Int64
    /// Its newest scan, the second until which a further probe belongs to it, and the pause that ends it.
    var scan: (id: Int64, until: Int64, pause: Int64)?
  }

  struct Room {
    var rows: Int
    var newSourceRows = 0
  }

  // MARK: Opening

  /// Opens the journal, making or bringing up to date its tables.
  package init(_ settings: Settings) throws(JournalError) {
    self.settings = settings
    do throws(Errno) {
      if let slash = settings.path.lastByte("/"), slash > settings.path.startIndex {
        try Files.createFolder(String(settings.path[..<slash]))
      }
      // SQLite would make it readable for everybody. The files beside it get the same mode.
      let file = try FileDescriptor.open(settings.path, O_RDWR | O_CREAT, mode: 0o600)
      if let group = settings.readers { try Self.admit(group, to: file, besides: settings.path) }
    } catch { throw .system(error) }
    do throws(DatabaseError) { database = try Database(settings.path, .readWrite) } catch { throw .database(error) }
    // Before anything is changed in it.
    let version = try Self.checkVersion(database)
    do throws(DatabaseError) {
      try Self.prepare(database)
      try Self.limit(database, settings)
      try Self.migrate(database, from: version)
    } catch { throw .database(error) }
    do throws(DatabaseError) {
      if try database.number("SELECT 1 FROM run WHERE is_over = 0 LIMIT 1") != nil {
        // The writer before us was not told to end. What a torn file looks like SQLite knows best.
        guard try database.rows("PRAGMA quick_check(1)", as: { $0.text(0) }) == ["ok"] else {
          throw DatabaseError(code: 11, message: "its pages do not fit together", subject: settings.path)
        }
      }
      own = Dictionary(
        uniqueKeysWithValues: try database.rows("SELECT address, id FROM own") {
          (IPAddress(bytes: $0.blob(0)) ?? .unspecified, $0.int(1))
        })
    } catch { throw .database(error) }
  }

  /// Lets a group read the journal; what a crash has left beside it, too.
  private static func admit(_ group: gid_t, to file: borrowing FileDescriptor, besides path: String) throws(Errno) {
    func admit(_ file: borrowing FileDescriptor) throws(Errno) {
      var info = stat()
      // Another's is the page's own, or not ours to give.
      guard unsafe fstat(file.raw, &info) == 0, info.st_uid == geteuid() else { return }
      try check("fchown", path) { fchown(file.raw, uid_t.max, group) }
      try check("fchmod", path) { fchmod(file.raw, 0o640) }
    }
    try admit(file)
    for end in ["-wal", "-shm"] {
      if let other = try? FileDescriptor.open(path + end, O_RDONLY | O_NOFOLLOW) { try admit(other) }
    }
  }

  /// Drops what SQLite holds in memory to be faster next time.
  package func giveBackMemory() { try? database.execute("PRAGMA shrink_memory") }

  static func prepare(_ database: Database) throws(DatabaseError) {
    // Only has an effect before the first table.
    try database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    _ = try database.rows("PRAGMA journal_mode = WAL") { $0.text(0) }
    // FULL: each commit is waited for until it is on the disk. NORMAL would lose what came since the last checkpoint.
    try database.execute("PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY")
    try database.pragma("cache_size", -8192)
    // What a large transaction has made of the file beside the database is given back afterwards.
    try database.pragma("journal_size_limit", 8 << 20)
  }

  /// The last defence of the size; the oldest detail goes long before. Where the file is larger, because the limit was
  /// lowered, it gets some room to become smaller in.
  static func limit(_ database: Database, _ settings: Settings) throws(DatabaseError) {
    let pages = Int(try database.number("PRAGMA page_count") ?? 0)
    let most = max(settings.size, smallestSize) / pageSize
    try database.pragma("max_page_count", pages > most ? pages + 4096 : most)
  }

  static let pageSize = 4096
  static let smallestSize = 16 << 20

  static func migrate(_ database: Database, from version: Int64) throws(DatabaseError) {
    guard version < Schema.version else { return }
    try database.transaction { () throws(DatabaseError) in
      for migration in Schema.migrations[Int(version)...] { try database.execute(migration) }
      try database.pragma("user_version", Int(Schema.version))
      try database.pragma("application_id", Int(Schema.applicationID))
    }
  }

  /// The version of the tables, 0 for none; throws where they are not ours to read.
  static func checkVersion(_ database: Database) throws(JournalError) -> Int64 {
    let (application, version, tables): (Int64, Int64, Int64)
    do throws(DatabaseError) {
      application = try database.number("PRAGMA application_id") ?? 0
      version = try database.number("PRAGMA user_version") ?? 0
      tables = try database.number("SELECT count(*) FROM sqlite_schema") ?? 0
    } catch { throw .database(error) }
    guard application == Schema.applicationID || (application == 0 && tables == 0) else {
      throw .foreign(path: database.path)
    }
    if version > Schema.version { throw .newer(path: database.path, version: version, known: Schema.version) }
    return version
  }

  // MARK: Writing

  /// Writes a batch, all of it or, when it throws, nothing.
  ///
  /// - Returns: how many notes and verdicts found no room in their hour.
  @discardableResult
  package func write(_ batch: Batch, now: Timestamp) throws(DatabaseError) -> UInt64 {
    refused = 0
    newcomers = [:]
    do throws(DatabaseError) {
      try database.transaction { () throws(DatabaseError) in
        // Sources that a verdict or a response names have a place, whatever the flood.
        for event in batch.events {
          guard !event.isByTheWay, hasRoom(event), let subject = event.namedSource else { continue }
          _ = try known(subject, at: event.time.wholeSeconds)
        }
        try writeProbes(batch)
        for event in batch.events { try write(event) }
        if batch.lost > 0 { try write(.lost(.journal, count: batch.lost, at: now)) }
        if refused > 0 { try addLoss(.journal, refused, at: now.wholeSeconds.hour) }
        if let runID {
          try database.run("UPDATE run SET seen = ?1 WHERE id = ?2", .int(now.nanoseconds), .int(runID))
        }
      }
    } catch {
      // Numbers given out in what was taken back are nobody's.
      forgetSources()
      throw error
    }
    return refused
  }

  func forgetSources() {
    cache = [:]
    own = [:]
    room = [:]
  }

  /// A sign of life, so that a crash is dated.
  package func noteAlive(now: Timestamp) throws(DatabaseError) {
    guard let runID else { return }
    try database.run("UPDATE run SET seen = ?1 WHERE id = ?2", .int(now.nanoseconds), .int(runID))
  }

  func writeProbes(_ batch: Batch) throws(DatabaseError) {
    var sums: [Int64: UInt64] = [:]
    var ids: [IPAddress: Int64] = [:]
    ids.reserveCapacity(batch.sources.count)
    for (address, source) in batch.sources {
      let id = try place(address, source)
      ids[address] = id
      if id != 0 { try update(address, id, source) }
    }
    try writeRows(batch.probes.map { Row($0, ids[$0.source] ?? 0, $1) }, &sums)
    for hour in Set(sums.keys).union(batch.ignored.keys).union(newcomers.keys) {
      if sums[hour] != nil { try reopen(hour) }
      try database.run(
        """
        INSERT INTO hour(hour, probes, ignored, newcomers) VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET
          probes = probes + ?2, ignored = ignored + ?3, newcomers = newcomers + ?4
        """, .int(hour), Value(sums[hour] ?? 0), Value(batch.ignored[hour] ?? 0),
        Value(newcomers[hour] ?? 0))
      try database.run(
        "INSERT INTO day(day) VALUES(?1) ON CONFLICT DO UPDATE SET state = 0 WHERE state = 1", .int(hour.dayOfHour))
    }
  }

  /// A row of the table `probe`.
  struct Row {
    let hour: Int64
    let source: Int64
    /// Technique and port, in the order of the table's key.
    let detail: Int64
    let count: UInt64

    init(_ key: Batch.Key, _ source: Int64, _ count: UInt64) {
      hour = key.hour
      self.source = source
      detail = Int64(key.technique.rawValue) << 16 | Int64(key.port)
      self.count = count
    }
  }

  func writeRows(_ rows: [Row], _ sums: inout [Int64: UInt64]) throws(DatabaseError) {
    let insert = try database.statement(
      "INSERT INTO probe(hour, source, technique, port, count) VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING")
    let add = try database.statement(
      "UPDATE probe SET count = count + ?5 WHERE hour = ?1 AND source = ?2 AND technique = ?3 AND port = ?4")
    // In a flood of the same, or of what is new, all rows are of one kind: what the one before was is tried first.
    var order = [insert, add]
    // What lies together in the table is written together.
    for row in rows.sorted(by: { ($0.hour, $0.source, $0.detail) < ($1.hour, $1.source, $1.detail) }) {
      sums[row.hour, default: 0] += row.count
      let isFull = row.source != 0 ? try self.rows(row.hour) >= Self.hourRoom : false
      for (index, statement) in order.enumerated() {
        statement.bind(1, row.hour)
        statement.bind(2, isFull ? 0 : row.source)
        statement.bind(3, row.detail >> 16)
        statement.bind(4, row.detail & 0xffff)
        statement.bind(5, Int64(clamping: row.count))
        try statement.run()
        guard database.changes > 0 else { continue }
        if statement === insert { room[row.hour]?.rows += 1 }
        if index == 1 { order.swapAt(0, 1) }
        break
      }
    }
  }

  /// Makes an hour writable that was closed: a clock was set back, or a batch waited. Its day is added up anew.
  func reopen(_ hour: Int64) throws(DatabaseError) {
    guard try database.number("SELECT state FROM hour WHERE hour = ?1", .int(hour)) == 1 else { return }
    let first = hour.dayOfHour * 24
    try database.run(
      "UPDATE hour SET state = 0 WHERE hour BETWEEN ?1 AND ?2 AND state = 1", .int(first), .int(first + 23))
    try database.run("DELETE FROM source_day WHERE day = ?1", .int(hour.dayOfHour))
  }

  func rows(_ hour: Int64) throws(DatabaseError) -> Int {
    if let room = room[hour] { return room.rows }
    if room.count >= 4 { room = [:] }
    let rows = Int(try database.number("SELECT count(*) FROM probe WHERE hour = ?1", .int(hour)) ?? 0)
    room[hour] = Room(rows: rows)
    return rows
  }

  // MARK: Sources

  /// The number of a probe's source, 0 when there is no room for a new one.
  func place(_ address: IPAddress, _ source: Batch.Source) throws(DatabaseError) -> Int64 {
    if let known = try find(address) { return known.id }
    let hour = source.first.hour
    let rows = try rows(hour)
    let used = room[hour]?.newSourceRows ?? 0
    guard rows < Self.hourRoom, used < Self.hourRoom / 2 else { return 0 }
    room[hour]?.rows += Self.newSourceRows
    room[hour]?.newSourceRows += Self.newSourceRows
    return try insert(IPNetwork(address), at: source.first).id
  }

  func find(_ address: IPAddress) throws(DatabaseError) -> Known? {
    if let known = cache[address] { return known }
    guard let known = try look(IPNetwork(address)) else { return nil }
    remember(address, known)
    return known
  }

  func remember(_ address: IPAddress, _ known: Known) {
    if cache.count >= Self.cacheLimit { cache = [:] }
    cache[address] = known
  }

  func look(_ network: IPNetwork) throws(DatabaseError) -> Known? {
    let statement = try database.statement(
      """
      SELECT source.id, scan.id, scan.last, scan.is_slow FROM source LEFT JOIN scan ON scan.id = source.scan
        WHERE address = ?1
      """)
    statement.bind(1, network.key)
    defer { statement.reset() }
    guard try statement.step() else { return nil }
    var known = Known(id: statement.int(0))
    if let scan = statement.optional(1) {
      let pause = Scan.pause(isSlow: statement.int(3) != 0)
      known.scan = (scan, Timestamp(nanoseconds: statement.int(2)).wholeSeconds + pause, pause)
    }
    return known
  }

  func insert(_ network: IPNetwork, at seconds: Int64) throws(DatabaseError) -> Known {
    try database.run(
      "INSERT INTO source(address, first, last) VALUES(?1, ?2, ?2)", .blob(network.key), .int(seconds))
    let known = Known(id: database.lastRow)
    if network.isHost {
      remember(network.address, known)
      newcomers[seconds.hour, default: 0] += 1
    }
    return known
  }

  /// The number of a source that has to have one.
  func known(_ network: IPNetwork, at seconds: Int64) throws(DatabaseError) -> Known {
    if let known = try find(network) { return known }
    return try insert(network, at: seconds)
  }

  func find(_ network: IPNetwork) throws(DatabaseError) -> Known? {
    network.isHost ? try find(network.address) : try look(network)
  }

  func update(_ address: IPAddress, _ id: Int64, _ source: Batch.Source) throws(DatabaseError) {
    let statement = try database.statement(
      """
      UPDATE source SET first = min(first, ?2), last = max(last, ?3), probes = probes + ?4, techniques = techniques | ?5,
        port_bits = port_bits | ?6, target = ?7, is_ignored = ?8, source_port = ?9 WHERE id = ?1
      """)
    statement.bind(1, id)
    statement.bind(2, source.first)
    statement.bind(3, source.last)
    statement.bind(4, Int64(clamping: source.probes))
    statement.bind(5, Int64(source.techniques.rawValue))
    statement.bind(6, Int64(bitPattern: source.ports.bits))
    statement.bind(7, try ownID(source.target))
    statement.bind(8, source.isIgnored ? 1 : 0)
    statement.bind(9, Int64(source.sourcePort))
    try statement.run()
    // A scan goes on for as long as its source does.
    guard source.probes > 0, let scan = cache[address]?.scan, source.first <= scan.until else { return }
    let grow = try database.statement("UPDATE scan SET last = max(last, ?2), probes = probes + ?3 WHERE id = ?1")
    grow.bind(1, scan.id)
    grow.bind(2, Timestamp(seconds: source.last).nanoseconds)
    grow.bind(3, Int64(clamping: source.probes))
    try grow.run()
    cache[address]?.scan?.until = max(scan.until, source.last + scan.pause)
  }

  func ownID(_ address: IPAddress) throws(DatabaseError) -> Int64 {
    if let id = own[address] { return id }
    if let id = try database.number("SELECT id FROM own WHERE address = ?1", .blob(address.bytes)) {
      own[address] = id
      return id
    }
    guard try database.number("SELECT count(*) FROM own") ?? 0 < Self.ownLimit else { return 0 }
    try database.run("INSERT INTO own(address) VALUES(?1)", .blob(address.bytes))
    own[address] = database.lastRow
    return database.lastRow
  }
}
