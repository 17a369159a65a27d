import CSQLite

/// A value for a statement.
package enum Value: Sendable, ExpressibleByIntegerLiteral {
  case null
  case int(Int64)
  case text(String)
  case blob([UInt8])

  package init(integerLiteral value: Int64) { self = .int(value) }
  package init(_ value: some BinaryInteger) { self = .int(Int64(clamping: value)) }
  package init(_ value: Int64?) { self = value.map(Value.int) ?? .null }
  package init(_ value: String?) { self = value.map(Value.text) ?? .null }
}

/// A compiled statement. After `run`, or once `step` has said that there is no further row, it can be used again.
// Holds its C handle from `init` to `deinit`; the database it belongs to outlives it, as SQLite closes a connection only
// after its statements.
@safe
package final class Statement {
  private let handle: OpaquePointer
  private unowned let database: Database
  private let sql: String

  @unsafe
  init(_ handle: OpaquePointer, of database: Database, sql: String) {
    unsafe self.handle = handle
    self.database = database
    self.sql = sql
  }

  deinit { unsafe sqlite3_finalize(handle) }

  // MARK: Values in

  /// Binds all parameters, the first to `?1`.
  package func bind(_ values: [Value]) {
    for (index, value) in values.enumerated() {
      switch value {
      case .null: unsafe sqlite3_bind_null(handle, Int32(index + 1))
      case .int(let number): bind(index + 1, number)
      case .text(let text): bind(index + 1, text)
      case .blob(let bytes): bind(index + 1, bytes)
      }
    }
  }

  package func bind(_ index: Int, _ number: Int64) { unsafe sqlite3_bind_int64(handle, Int32(index), number) }

  package func bind(_ index: Int, _ text: String) {
    unsafe CSQLite_bind_text(handle, Int32(index), text, Int32(text.utf8.count))
  }

  package func bind(_ index: Int, _ bytes: [UInt8]) {
    unsafe bytes.withUnsafeBytes { _ = unsafe CSQLite_bind_blob(handle, Int32(index), $0.baseAddress, Int32($0.count)) }
  }

  // MARK: Running

  /// Goes to the next row; false when there is none, and the statement is ready to be used again.
  package func step() throws(DatabaseError) -> Bool {
    switch unsafe sqlite3_step(handle) {
    case SQLITE_ROW: return true
    case SQLITE_DONE:
      reset()
      return false
    case let code:
      let error = database.error(code, sql)
      reset()
      throw error
    }
  }

  /// Runs a statement that gives no rows.
  package func run() throws(DatabaseError) {
    while try step() {}
  }

  /// Forgets what is left of the rows.
  package func reset() { unsafe sqlite3_reset(handle) }

  // MARK: Values out

  package func int(_ column: Int) -> Int64 { unsafe sqlite3_column_int64(handle, Int32(column)) }
  package func isNull(_ column: Int) -> Bool { unsafe sqlite3_column_type(handle, Int32(column)) == SQLITE_NULL }
  package func optional(_ column: Int) -> Int64? { isNull(column) ? nil : int(column) }

  package func text(_ column: Int) -> String {
    guard let bytes = unsafe sqlite3_column_text(handle, Int32(column)) else { return "" }
    let count = unsafe Int(sqlite3_column_bytes(handle, Int32(column)))
    return unsafe String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
  }

  package func blob(_ column: Int) -> [UInt8] {
    guard let bytes = unsafe sqlite3_column_blob(handle, Int32(column)) else { return [] }
    let count = unsafe Int(sqlite3_column_bytes(handle, Int32(column)))
    return unsafe Array(UnsafeRawBufferPointer(start: bytes, count: count))
  }
}
