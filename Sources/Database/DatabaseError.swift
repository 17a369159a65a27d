import CSQLite

/// A failed call of SQLite: what kind of failure, its own words, and what was being done.
package struct DatabaseError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What can be done about it, as far as it differs.
  package enum Kind: Sendable {
    /// The disk, or the largest size of the database, is reached.
    case full
    /// It may not be written: permissions, or the file system.
    case readOnly
    /// The file cannot be opened, or is not there.
    case cannotOpen
    /// What is in the file is not what was written, or no database at all.
    case damaged
    /// Another connection is writing.
    case busy
    /// Reading or writing the file failed.
    case io
    case other
  }

  /// SQLite's extended result code.
  package let code: Int32
  /// SQLite's words.
  package let message: String
  /// The statement, or the file.
  package let subject: String

  package init(code: Int32, message: String, subject: String) {
    self.code = code
    self.message = message
    self.subject = subject
  }

  package var kind: Kind {
    switch code & 0xff {
    case SQLITE_FULL: .full
    case SQLITE_READONLY, SQLITE_PERM, SQLITE_AUTH: .readOnly
    case SQLITE_CANTOPEN: .cannotOpen
    case SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_FORMAT: .damaged
    case SQLITE_BUSY, SQLITE_LOCKED: .busy
    // A truncated file: pages that should be there are not.
    case SQLITE_IOERR where code == SQLITE_IOERR | 2 << 8: .damaged
    case SQLITE_IOERR: .io
    default: .other
    }
  }

  package var description: String { "\(message) (\(subject))" }
}
