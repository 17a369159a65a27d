/// How much a message matters, by its number in RFC 5424 section 6.2.1 (the same as in syslog(3)).
package enum Severity: UInt8, Sendable, Comparable {
  case error = 3
  case warning = 4
  case notice = 5
  case info = 6
  case debug = 7

  /// The more it matters the smaller the number.
  package static func < (a: Severity, b: Severity) -> Bool { a.rawValue > b.rawValue }
}
