import Database
import Platform

/// Why the journal cannot be written or read.
package enum JournalError: Error, Sendable, CustomStringConvertible {
  case database(DatabaseError)
  /// Another version of us wrote it; ours knows tables up to `known`.
  case newer(path: String, version: Int64, known: Int64)
  /// To be brought up to date by the sentry, which writes it; who only reads cannot.
  case older(path: String)
  /// A database, but no journal.
  case foreign(path: String)
  case system(Errno)

  package var description: String {
    switch self {
    case .database(let error): "\(error)"
    case .newer(let path, let version, let known):
      "\(path) is of a newer version of PortSentry (its tables are version \(version), this program knows \(known))"
    case .older(let path):
      "\(path) is of an older version of PortSentry: start the sentry once, it brings it up to date"
    case .foreign(let path): "\(path) is a database of another program"
    case .system(let error): "\(error)"
    }
  }

  /// What is in the file cannot be relied on.
  package var isDamage: Bool {
    if case .database(let error) = self { error.kind == .damaged } else { false }
  }
}
