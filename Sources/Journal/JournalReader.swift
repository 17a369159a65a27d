import Database
import Detection
import Platform
import Response
import Wire

/// Asks the journal, whether a sentry is writing to it or not. Changes nothing. Owned by one thread.
package final class JournalReader {
  let database: Database
  private let path: String
  private let inode: UInt64?

  /// - Throws: `.system` with ENOENT where there is no journal, EACCES where it may not be read.
  package init(path: String) throws(JournalError) {
    do throws(Errno) {
      // SQLite's word for both is the same.
      _ = try FileDescriptor.open(path, 0)
    } catch { throw .system(error) }
    self.path = path
    inode = Files.stamp(path)?.inode
    do throws(DatabaseError) { database = try Self.open(path) } catch { throw .database(error) }
    let version = try JournalWriter.checkVersion(database)
    if version < Schema.version { throw .older(path: path) }
  }

  /// Whether another file is in its place, or somebody writes to one that was opened as if nobody did: whoever stays should open it
  /// anew.
  package var isReplaced: Bool {
    if database.access == .unchanging, Files.stamp(path + "-wal") != nil { return true }
    return Files.stamp(path).map { $0.inode != inode } ?? false
  }

  private static func open(_ path: String) throws(DatabaseError) -> Database {
    do throws(DatabaseError) { return try prepare(Database(path, .readOnly)) } catch {
      // On a disk that is read-only, or for a page that may not write, nothing can be made beside the file. Where nothing lies there, it is whole by itself.
      guard error.kind == .cannotOpen, Files.stamp(path + "-shm") == nil, Files.stamp(path + "-wal") == nil else {
        throw error
      }
      return try prepare(Database(path, .unchanging))
    }
  }

  private static func prepare(_ database: Database) throws(DatabaseError) -> Database {
    // Whole reports are read from it; this much of it is kept in memory, where it is used.
    try database.pragma("cache_size", -32_768)
    return database
  }

  /// Answers of one moment, whatever is written meanwhile.
  package func snapshot<Result>(_ body: () throws(DatabaseError) -> Result) throws(DatabaseError) -> Result {
    try database.snapshot(body)
  }

  /// Changes with each commit of anybody else: nothing new has come while it stays the same.
  package func edition() throws(DatabaseError) -> Int64 { try database.number("PRAGMA data_version") ?? 0 }

  /// The newest sign of life of a writer.
  package func lastWritten() throws(DatabaseError) -> Timestamp? {
    try database.number("SELECT max(seen) FROM run").map(Timestamp.init(nanoseconds:))
  }

  /// The first hour of which there is anything, and the first of which there is detail.
  package func beginnings() throws(DatabaseError) -> (counts: Int64?, detail: Int64?) {
    (try database.number("SELECT min(hour) FROM hour"), try database.number("SELECT min(hour) FROM probe"))
  }

  /// Bytes in use and of the file.
  package func size() throws(DatabaseError) -> (used: Int, file: Int) {
    let pages = try database.number("PRAGMA page_count") ?? 0
    let free = try database.number("PRAGMA freelist_count") ?? 0
    return (Int(pages - free) * 4096, Int(pages) * 4096)
  }

  // MARK: Counts

  /// The hours of a window in which there was anything.
  package func hours(_ window: Window) throws(DatabaseError) -> [Hour] {
    let statement = try database.statement(
      "SELECT hour, probes, ignored, sources, newcomers, state FROM hour WHERE hour BETWEEN ?1 AND ?2 ORDER BY hour")
    statement.bind([.int(window.first), .int(window.last)])
    var hours: [Hour] = []
    var open: [Int] = []
    while try statement.step() {
      if statement.int(5) == 0 { open.append(hours.count) }
      hours.append(
        Hour(
          hour: statement.int(0), probes: UInt64(clamping: statement.int(1)),
          ignored: UInt64(clamping: statement.int(2)), sources: UInt64(clamping: statement.int(3)),
          newcomers: UInt64(clamping: statement.int(4))))
    }
    for index in open {
      hours[index].sources = UInt64(
        try database.number(
          "SELECT count(DISTINCT source) FROM probe WHERE hour = ?1 AND source > 0", .int(hours[index].hour)) ?? 0)
    }
    return hours
  }

  /// Hands out probes and sources by technique and port of each hour in a window. Of hours whose detail is gone, only
  /// the ports of the most probes come one by one.
  package func ports(
    _ window: Window, _ body: (_ hour: Int64, PortCounts.Key, PortCounts.Count) -> Void
  ) throws(DatabaseError) {
    let statement = try database.statement(
      "SELECT hour, state, ports FROM hour WHERE hour BETWEEN ?1 AND ?2 ORDER BY hour")
    statement.bind([.int(window.first), .int(window.last)])
    var open: [Int64] = []
    while try statement.step() {
      let hour = statement.int(0)
      if statement.int(1) == 0 {
        open.append(hour)
      } else {
        PortCounts.read(statement.blob(2)) { body(hour, $0, $1) }
      }
    }
    for hour in open {
      let statement = try database.statement(
        "SELECT technique, port, sum(count), sum(source > 0) FROM probe WHERE hour = ?1 GROUP BY technique, port")
      statement.bind([.int(hour)])
      while try statement.step() {
        guard let technique = Technique(rawValue: UInt8(clamping: statement.int(0))) else { continue }
        body(
          hour, PortCounts.Key(technique, UInt16(clamping: statement.int(1))),
          PortCounts.Count(
            probes: UInt64(clamping: statement.int(2)), sources: UInt64(clamping: statement.int(3))))
      }
    }
  }

  /// Distinct sources by technique and port on each whole day of a window, as far as those are closed.
  package func portsByDay(_ window: Window) throws(DatabaseError) -> [(day: Int64, ports: PortCounts)] {
    guard let days = window.parts.days else { return [] }
    return try database.rows(
      "SELECT day, ports FROM day WHERE day BETWEEN ?1 AND ?2 AND state > 0 ORDER BY day", .int(days.lowerBound),
      .int(days.upperBound)
    ) { ($0.int(0), PortCounts(bytes: $0.blob(1))) }
  }

  /// Distinct sources by port, exactly, of a short window: reads its whole detail.
  package func distinctSources(_ window: Window) throws(DatabaseError) -> [PortCounts.Key: UInt64] {
    let statement = try database.statement(
      """
      SELECT technique, port, count(DISTINCT source) FROM probe WHERE hour BETWEEN ?1 AND ?2 AND source > 0
        GROUP BY technique, port
      """)
    statement.bind([.int(window.first), .int(window.last)])
    var result: [PortCounts.Key: UInt64] = [:]
    while try statement.step() {
      guard let technique = Technique(rawValue: UInt8(clamping: statement.int(0))) else { continue }
      result[PortCounts.Key(technique, UInt16(clamping: statement.int(1)))] = UInt64(clamping: statement.int(2))
    }
    return result
  }

  /// Probes by source within a window: from the sums of whole days, and the detail of the rest.
  package func probesBySource(_ window: Window) throws(DatabaseError) -> [Int64: UInt64] {
    var result: [Int64: UInt64] = [:]
    func add(_ statement: Statement, _ values: [Value]) throws(DatabaseError) {
      statement.bind(values)
      while try statement.step() { result[statement.int(0), default: 0] += UInt64(clamping: statement.int(1)) }
    }
    let (days, ragged) = window.parts
    if let days {
      try add(
        database.statement("SELECT source, count FROM source_day WHERE day BETWEEN ?1 AND ?2"),
        [.int(days.lowerBound), .int(days.upperBound)])
      // Hours of these days that are not closed are in no sum yet.
      let open = try database.rows(
        "SELECT hour FROM hour WHERE state = 0 AND hour BETWEEN ?1 AND ?2", .int(days.lowerBound * 24),
        .int(days.upperBound * 24 + 23)
      ) { $0.int(0) }
      for hour in open { try addDetail(hour...hour) }
    }
    for range in ragged { try addDetail(range) }
    func addDetail(_ range: ClosedRange<Int64>) throws(DatabaseError) {
      try add(
        database.statement(
          "SELECT source, sum(count) FROM probe WHERE hour BETWEEN ?1 AND ?2 AND source > 0 GROUP BY hour, source"),
        [.int(range.lowerBound), .int(range.upperBound)])
    }
    return result
  }

  // MARK: Sources

  private static let sourceRows: SQL = """
    SELECT id, address, first, last, probes, techniques, port_bits, target, is_ignored, origin, proof, proven, class, tool,
      variant, name, source_port FROM source
    """
  private static let scanRows: SQL = """
    SELECT scan.id, address, scan.class, scan.origin, scan.techniques, kind, is_slow, scan.tool, scan.variant,
      scan.first, scan.last, scan.probes, ports, targets, score, threshold, port, transport, evidence,
      sources, doubts FROM scan JOIN source ON source.id = scan.source
    """
  private static let blockRows: SQL = """
    SELECT block.id, network, since, until, methods, port, transport, mode, reason, repeats, ended, because, source.last,
      grounds FROM block LEFT JOIN source ON source.address = block.network
    """

  /// Every source that was seen at `since` or later.
  package func forEachSource(since: Timestamp, _ body: (Source) -> Void) throws(DatabaseError) {
    let own = try ownAddresses()
    let statement = try database.statement(
      "\(Self.sourceRows) WHERE last >= ?1")
    statement.bind([.int(since.wholeSeconds)])
    while try statement.step() {
      if let source = Self.source(statement, own) { body(source) }
    }
  }

  /// Sources by their numbers.
  package func sources(_ ids: some Sequence<Int64>) throws(DatabaseError) -> [Int64: Source] {
    let own = try ownAddresses()
    var result: [Int64: Source] = [:]
    for id in ids {
      let statement = try database.statement(
        "\(Self.sourceRows) WHERE id = ?1")
      statement.bind([.int(id)])
      if try statement.step() { result[id] = Self.source(statement, own) }
      statement.reset()
    }
    return result
  }

  /// A source and the prefixes around it on which there is a verdict, the address itself first.
  package func sources(at address: IPAddress) throws(DatabaseError) -> [Source] {
    let own = try ownAddresses()
    var result: [Source] = []
    for length in stride(from: address.bitWidth, through: 8, by: -1) {
      guard let network = IPNetwork(address, length: length) else { continue }
      let statement = try database.statement(
        "\(Self.sourceRows) WHERE address = ?1")
      statement.bind([.blob(network.key)])
      if try statement.step(), let source = Self.source(statement, own) { result.append(source) }
      statement.reset()
    }
    return result
  }

  private static func source(_ row: Statement, _ own: [Int64: IPAddress]) -> Source? {
    guard let network = IPNetwork(key: row.blob(1)) else { return nil }
    return Source(
      id: row.int(0), network: network, first: Timestamp(seconds: row.int(2)), last: Timestamp(seconds: row.int(3)),
      probes: UInt64(clamping: row.int(4)), techniques: TechniqueSet(rawValue: UInt16(truncatingIfNeeded: row.int(5))),
      ports: min(PortBits(UInt64(bitPattern: row.int(6))).count, Int(clamping: max(row.int(4), 1))),
      target: row.optional(7).flatMap { own[$0] },
      isIgnored: row.int(8) != 0, origin: Origin(rawValue: UInt8(clamping: row.int(9))) ?? .unproven,
      proof: row.optional(10).flatMap { Event.Proof(rawValue: UInt8(clamping: $0)) },
      proven: row.optional(11).map(Timestamp.init(nanoseconds:)),
      verdict: row.optional(12).flatMap { Verdict.Class(rawValue: UInt8(clamping: $0)) },
      tool: tool(row.int(13), row.int(14)), name: row.isNull(15) ? nil : row.text(15),
      sourcePort: row.optional(16).flatMap { UInt16(exactly: $0) })
  }

  static func tool(_ family: Int64, _ variant: Int64) -> Tool {
    Tool(Tool.Family(rawValue: UInt8(clamping: family)) ?? .unknown, variant: UInt32(truncatingIfNeeded: variant))
  }

  private func ownAddresses() throws(DatabaseError) -> [Int64: IPAddress] {
    Dictionary(
      uniqueKeysWithValues: try database.rows("SELECT id, address FROM own") {
        ($0.int(0), IPAddress(bytes: $0.blob(1)) ?? .unspecified)
      })
  }

  /// What one source did in an hour.
  package struct Detail: Sendable, Equatable {
    package var hour: Int64
    package var technique: Technique
    package var port: UInt16
    package var probes: UInt64
  }

  /// All that is kept of what a source did in a window.
  package func detail(of source: Source, _ window: Window) throws(DatabaseError) -> [Detail] {
    guard source.id != 0 else { return [] }
    let first = max(window.first, try beginnings().detail ?? window.first, source.first.wholeSeconds.hour)
    let last = min(window.last, source.last.wholeSeconds.hour)
    guard first <= last else { return [] }
    var result: [Detail] = []
    // The table lies by hours; a look into each of them costs microseconds.
    let statement = try database.statement(
      "SELECT technique, port, count FROM probe WHERE hour = ?1 AND source = ?2")
    for hour in first...last {
      statement.bind(1, hour)
      statement.bind(2, source.id)
      while try statement.step() {
        guard let technique = Technique(rawValue: UInt8(clamping: statement.int(0))) else { continue }
        result.append(
          Detail(
            hour: hour, technique: technique, port: UInt16(clamping: statement.int(1)),
            probes: UInt64(clamping: statement.int(2))))
      }
    }
    return result
  }

  /// All detail of a window: by hour, then by source.
  package func forEachDetail(_ window: Window, _ body: (_ source: Int64, Detail) -> Bool) throws(DatabaseError) {
    let statement = try database.statement(
      "SELECT source, hour, technique, port, count FROM probe WHERE hour BETWEEN ?1 AND ?2 AND source > 0")
    statement.bind([.int(window.first), .int(window.last)])
    defer { statement.reset() }
    while try statement.step() {
      guard let technique = Technique(rawValue: UInt8(clamping: statement.int(2))) else { continue }
      let detail = Detail(
        hour: statement.int(1), technique: technique, port: UInt16(clamping: statement.int(3)),
        probes: UInt64(clamping: statement.int(4)))
      if !body(statement.int(0), detail) { return }
    }
  }

  // MARK: Scans, blocks, notes

  /// Scans that went on at `since` or later, the newest first.
  package func scans(since: Timestamp, limit: Int = .max) throws(DatabaseError) -> [Scan] {
    try database.rows(
      "\(Self.scanRows) WHERE scan.last >= ?1 ORDER BY scan.last DESC LIMIT ?2", .int(since.nanoseconds), Value(limit)
    ) { Self.scan($0) }.compactMap(\.self)
  }

  /// The scans of a source, the newest first; at most a thousand.
  package func scans(of source: Source) throws(DatabaseError) -> [Scan] {
    try database.rows(
      "\(Self.scanRows) WHERE scan.source = ?1 ORDER BY scan.id DESC LIMIT 1000", .int(source.id)
    ) { Self.scan($0) }.compactMap(\.self)
  }

  private static func scan(_ row: Statement, from column: Int = 0) -> Scan? {
    guard let network = IPNetwork(key: row.blob(column + 1)),
      let verdictClass = Verdict.Class(rawValue: UInt8(clamping: row.int(column + 2)))
    else { return nil }
    return Scan(
      id: row.int(column), source: network, verdictClass: verdictClass,
      origin: Origin(rawValue: UInt8(clamping: row.int(column + 3))) ?? .unproven,
      techniques: TechniqueSet(rawValue: UInt16(truncatingIfNeeded: row.int(column + 4))),
      kind: ScanKind(rawValue: UInt8(clamping: row.int(column + 5))) ?? .vertical, isSlow: row.int(column + 6) != 0,
      tool: tool(row.int(column + 7), row.int(column + 8)), first: Timestamp(nanoseconds: row.int(column + 9)),
      last: Timestamp(nanoseconds: row.int(column + 10)), probes: UInt64(clamping: row.int(column + 11)),
      ports: UInt64(clamping: row.int(column + 12)), targets: UInt64(clamping: row.int(column + 13)),
      score: row.int(column + 14), threshold: row.int(column + 15), port: UInt16(clamping: row.int(column + 16)),
      transport: TransportProtocol(rawValue: UInt8(clamping: row.int(column + 17))) ?? .tcp,
      evidence: Evidence.unpack(row.blob(column + 18)), sources: UInt64(clamping: row.int(column + 19)),
      mayBeZombie: row.int(column + 20) & 1 != 0, mayBeDecoy: row.int(column + 20) & 2 != 0)
  }

  /// Blocks that were made or in force at `since` or later, the newest first.
  package func blocks(since: Timestamp, limit: Int = .max) throws(DatabaseError) -> [PastBlock] {
    try database.rows(
      "\(Self.blockRows) WHERE ended IS NULL OR ended >= ?1 ORDER BY since DESC LIMIT ?2", .int(since.nanoseconds),
      Value(limit)
    ) { Self.block($0) }.compactMap(\.self)
  }

  /// The blocks of a network itself and of those around it, the newest first.
  package func blocks(covering network: IPNetwork) throws(DatabaseError) -> [PastBlock] {
    var result: [PastBlock] = []
    for length in stride(from: network.length, through: 0, by: -1) {
      guard let outer = IPNetwork(network.address, length: length) else { continue }
      result += try database.rows(
        "\(Self.blockRows) WHERE network = ?1 ORDER BY since DESC LIMIT 1000", .blob(outer.key)
      ) { Self.block($0) }.compactMap(\.self)
    }
    return result.sorted { $0.record.since > $1.record.since }
  }

  private static func block(_ row: Statement, from column: Int = 0) -> PastBlock? {
    guard let network = IPNetwork(key: row.blob(column + 1)) else { return nil }
    return PastBlock(
      id: row.int(column),
      record: PastBlock.BlockRecord(
        network: network, since: Timestamp(nanoseconds: row.int(column + 2)),
        until: row.optional(column + 3).map(Timestamp.init(nanoseconds:)), methods: row.text(column + 4),
        port: UInt16(clamping: row.int(column + 5)),
        transport: TransportProtocol(rawValue: UInt8(clamping: row.int(column + 6))) ?? .tcp,
        mode: row.text(column + 7), reason: row.text(column + 8), witnesses: witnesses(row, column + 13)),
      repeats: Int(row.int(column + 9)), ended: row.optional(column + 10).map(Timestamp.init(nanoseconds:)),
      because: row.isNull(column + 11) ? nil : row.text(column + 11),
      lastProbe: row.optional(column + 12).map { Timestamp(seconds: $0) })
  }

  /// The hosts of the fleet that a block rests on.
  private static func witnesses(_ row: Statement, _ column: Int) -> [FleetCause.Witness] {
    guard !row.isNull(column), case .fleet(let cause)? = Grounds(line: row.text(column))?.accusation else { return [] }
    return cause.witnesses
  }

  /// Notes of a window, the newest `limit` of them in the order in which they were made.
  package func notes(since: Timestamp, limit: Int) throws(DatabaseError) -> [Note] {
    let ids = try database.rows(
      "SELECT id FROM note WHERE time >= ?1 ORDER BY id DESC LIMIT ?2", .int(since.nanoseconds), Value(limit)
    ) { $0.int(0) }
    return try notes(ids.reversed())
  }

  /// Notes that were made after the one with this number, at most `limit`.
  package func notes(after id: Int64, limit: Int) throws(DatabaseError) -> [Note] {
    try notes(
      try database.rows("SELECT id FROM note WHERE id > ?1 ORDER BY id LIMIT ?2", .int(id), Value(limit)) { $0.int(0) })
  }

  /// Notes on a network, the newest first; at most a thousand.
  package func notes(on network: IPNetwork) throws(DatabaseError) -> [Note] {
    try notes(
      try database.rows(
        "SELECT id FROM note WHERE subject = ?1 ORDER BY id DESC LIMIT 1000", .blob(network.key)
      ) { $0.int(0) })
  }

  /// The number of the newest note.
  package func lastNote() throws(DatabaseError) -> Int64 { try database.number("SELECT max(id) FROM note") ?? 0 }

  func notes(_ ids: [Int64]) throws(DatabaseError) -> [Note] {
    var result: [Note] = []
    result.reserveCapacity(ids.count)
    for id in ids {
      let row = try database.statement(
        "SELECT id, time, kind, subject, reference, number, text FROM note WHERE id = ?1")
      row.bind([.int(id)])
      guard try row.step(), let kind = NoteKind(rawValue: UInt8(clamping: row.int(2))) else { continue }
      var note = Note(
        id: id, time: Timestamp(nanoseconds: row.int(1)), kind: kind,
        subject: row.isNull(3) ? nil : IPNetwork(key: row.blob(3)), number: row.optional(5),
        text: row.isNull(6) ? nil : row.text(6))
      let reference = row.optional(4)
      row.reset()
      switch (kind, reference) {
      case (.verdict, let scan?):
        note.scan =
          try database.rows(
            "\(Self.scanRows) WHERE scan.id = ?1", .int(scan)
          ) { Self.scan($0) }.first ?? nil
      case (.blocked, let block?), (.released, let block?):
        note.block =
          try database.rows(
            "\(Self.blockRows) WHERE block.id = ?1", .int(block)
          ) { Self.block($0) }.first ?? nil
      default: break
      }
      result.append(note)
    }
    return result
  }

  // MARK: Sight

  /// A span of time; `end` nil: it goes on.
  package struct Span: Sendable, Equatable {
    package var start: Timestamp
    package var end: Timestamp?
  }

  /// So long after its newest sign of life, which comes every minute, a run that did not say goodbye is over.
  private static let silence = Duration.seconds(300)

  /// When a sentry ran, from start to its end or last sign of life, in order. The run under way has no end.
  package func runs(since: Timestamp, now: Timestamp) throws(DatabaseError) -> [Span] {
    let rows = try database.rows(
      "SELECT started, seen, is_over, id FROM run WHERE seen >= ?1 ORDER BY id", .int(since.nanoseconds)
    ) { ($0.int(0), $0.int(1), $0.int(2) != 0, $0.int(3)) }
    let newest = try database.number("SELECT max(id) FROM run")
    return rows.map { started, seen, isOver, id in
      let last = Timestamp(nanoseconds: max(seen, started))
      let isUnderWay = !isOver && id == newest && last + Self.silence > now
      return Span(start: Timestamp(nanoseconds: started), end: isUnderWay ? nil : last)
    }
  }

  /// When a sentry ran and could see nothing.
  package func blindSpans(since: Timestamp) throws(DatabaseError) -> [Span] {
    try database.rows(
      "SELECT since, until FROM blind WHERE until IS NULL OR until >= ?1 ORDER BY id", .int(since.nanoseconds)
    ) {
      Span(
        start: Timestamp(nanoseconds: $0.int(0)), end: $0.optional(1).map(Timestamp.init(nanoseconds:)))
    }
  }

  /// What was lost in a window.
  package func losses(_ window: Window) throws(DatabaseError) -> [(kind: Event.Loss, count: UInt64)] {
    try database.rows(
      "SELECT kind, sum(count) FROM loss WHERE hour BETWEEN ?1 AND ?2 GROUP BY kind ORDER BY kind",
      .int(window.first), .int(window.last)
    ) { row in Event.Loss(rawValue: UInt8(clamping: row.int(0))).map { ($0, UInt64(clamping: row.int(1))) } }
    .compactMap(\.self)
  }
}
