import CSQLite

/// One connection to an SQLite database, and the thin layer over its C interface that we need.
///
/// Statements are made of literals only (`SQL`), values are bound.
// Holds the C handle from `init` to `deinit` and lends it to nobody outside this module. Not Sendable: the connection
// is opened without SQLite's own lock, so one thread at a time may use it.
@safe
package final class Database {
  package enum Access: Sendable {
    /// Makes the file when it is not there.
    case readWrite
    /// Never changes the file.
    case readOnly
    /// Never changes the file, and nobody else does: it lies on a disk that is read-only, where no lock can be had.
    case unchanging
  }

  package let path: String
  package let access: Access
  private let handle: OpaquePointer
  /// Compiled statements. There are as many as there are literals.
  private var statements: [SQL: Statement] = [:]

  package init(_ path: String, _ access: Access) throws(DatabaseError) {
    self.path = path
    self.access = access
    let mode =
      switch access {
      case .readWrite: SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
      case .readOnly: SQLITE_OPEN_READONLY
      case .unchanging: SQLITE_OPEN_READONLY | SQLITE_OPEN_URI
      }
    let name = access == .unchanging ? "file:\(Self.escaped(path))?immutable=1" : path
    var handle: OpaquePointer?
    let code = unsafe sqlite3_open_v2(name, &handle, mode | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nil)
    guard let handle = unsafe handle, code == SQLITE_OK else {
      let message = unsafe String(cString: sqlite3_errstr(code))
      unsafe sqlite3_close_v2(handle)
      throw DatabaseError(code: code, message: message, subject: path)
    }
    unsafe self.handle = handle
    unsafe sqlite3_busy_timeout(handle, 2000)
    // A file that somebody else prepared must not make us run its triggers and views as if they were ours, nor be read
    // beyond its pages.
    unsafe CSQLite_set(handle, SQLITE_DBCONFIG_DEFENSIVE, 1)
    unsafe CSQLite_set(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    unsafe CSQLite_set(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    unsafe CSQLite_set(handle, SQLITE_DBCONFIG_ENABLE_VIEW, 0)
    try execute("PRAGMA cell_size_check = ON")
  }

  /// A path as part of a URI: each byte but those that mean themselves by its number.
  private static func escaped(_ path: String) -> String {
    path.utf8.map { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "-"), UInt8(ascii: "."),
        UInt8(ascii: "_"):
        return String(UnicodeScalar(byte))
      default:
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "%0\(digits)" : "%\(digits)"
      }
    }.joined()
  }

  deinit {
    statements = [:]
    // Waits for statements that somebody still holds.
    unsafe sqlite3_close_v2(handle)
  }

  /// The newest failure on this connection.
  func error(_ code: Int32, _ subject: String) -> DatabaseError {
    DatabaseError(code: code, message: unsafe String(cString: sqlite3_errmsg(handle)), subject: subject)
  }

  // MARK: Statements

  /// A compiled statement, kept for the next time. It must not be in use when it is asked for again.
  package func statement(_ sql: SQL) throws(DatabaseError) -> Statement {
    if let known = statements[sql] {
      known.reset()
      return known
    }
    let statement = try prepare(sql.text)
    statements[sql] = statement
    return statement
  }

  private func prepare(_ sql: String) throws(DatabaseError) -> Statement {
    var raw: OpaquePointer?
    let code = unsafe sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &raw, nil)
    guard code == SQLITE_OK, let raw = unsafe raw else { throw error(code, sql) }
    return unsafe Statement(raw, of: self, sql: sql)
  }

  /// Runs statements without values; several are parted by semicolons.
  package func execute(_ sql: SQL) throws(DatabaseError) { try execute(text: sql.text) }

  /// Sets a PRAGMA to a number.
  package func pragma(_ name: StaticString, _ value: Int) throws(DatabaseError) {
    try execute(text: "PRAGMA \(name) = \(value)")
  }

  private func execute(text: String) throws(DatabaseError) {
    let code = unsafe sqlite3_exec(handle, text, nil, nil, nil)
    guard code == SQLITE_OK else { throw error(code, text) }
  }

  /// The number that a statement gives.
  package func number(_ sql: SQL, _ values: Value...) throws(DatabaseError) -> Int64? {
    let statement = try statement(sql)
    statement.bind(values)
    defer { statement.reset() }
    return try statement.step() && !statement.isNull(0) ? statement.int(0) : nil
  }

  /// Runs a statement that gives nothing.
  package func run(_ sql: SQL, _ values: Value...) throws(DatabaseError) {
    let statement = try statement(sql)
    statement.bind(values)
    try statement.run()
  }

  /// All rows of a statement, each made into a value.
  package func rows<Result>(
    _ sql: SQL, _ values: Value..., as make: (Statement) -> Result
  ) throws(DatabaseError) -> [Result] {
    let statement = try statement(sql)
    statement.bind(values)
    var result: [Result] = []
    while try statement.step() { result.append(make(statement)) }
    return result
  }

  /// Rows that the newest INSERT, UPDATE or DELETE changed.
  package var changes: Int { unsafe Int(sqlite3_changes(handle)) }
  /// The key of the row that was inserted last.
  package var lastRow: Int64 { unsafe sqlite3_last_insert_rowid(handle) }

  // MARK: The whole

  /// Does all of `body`, or, when it throws, nothing of it.
  package func transaction<Result>(_ body: () throws(DatabaseError) -> Result) throws(DatabaseError) -> Result {
    try execute("BEGIN IMMEDIATE")
    return try ending(body)
  }

  /// Reads that see one state of the database, whatever is written meanwhile.
  package func snapshot<Result>(_ body: () throws(DatabaseError) -> Result) throws(DatabaseError) -> Result {
    try execute("BEGIN")
    return try ending(body)
  }

  private func ending<Result>(_ body: () throws(DatabaseError) -> Result) throws(DatabaseError) -> Result {
    do throws(DatabaseError) {
      let result = try body()
      try execute("COMMIT")
      return result
    } catch {
      for (_, statement) in statements { statement.reset() }
      // Some failures have ended the transaction already.
      if unsafe sqlite3_get_autocommit(handle) == 0 { try? execute("ROLLBACK") }
      throw error
    }
  }

  /// Writes the whole database, as it is at one moment, into another file, which is replaced.
  package func backup(to path: String) throws(DatabaseError) {
    let copy = try Database(path, .readWrite)
    guard let backup = unsafe sqlite3_backup_init(copy.handle, "main", handle, "main") else {
      throw unsafe copy.error(sqlite3_errcode(copy.handle), path)
    }
    let code = unsafe sqlite3_backup_step(backup, -1)
    unsafe sqlite3_backup_finish(backup)
    guard code == SQLITE_DONE else { throw copy.error(code, path) }
    // A copy is one file: without this it would want a journal beside it.
    try copy.execute("PRAGMA journal_mode = DELETE")
  }
}
