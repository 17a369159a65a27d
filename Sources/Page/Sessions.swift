import Daemon
import Wire

/// Who may see the page: whoever came with a ticket. The token is for programs, which ask for /metrics only. Pure; times and random bits are given.
package struct Sessions: Sendable {
  package struct Session: Sendable, Equatable {
    /// What the forms of this session carry, so that no foreign page can send one.
    package var formKey: String
    package var until: Timestamp
  }

  /// Sessions at a time. When they are that many, the one that ends first makes room.
  package static let capacity = 32
  package static let lifetime = Duration.seconds(12 * 3600)
  package static let cookie = "portsentry"

  private let token: String
  private var sessions: [String: Session] = [:]

  package init(token: String) { self.token = token }

  package var count: Int { sessions.count }

  /// Whether this is the token. Takes as long for a near miss as for any other text of the same length.
  package func accepts(_ offered: String) -> Bool {
    LoginTickets.isSame(token, offered)
  }

  /// - Parameter bits: two random numbers of 128 bits, one for the session's name and one for its forms.
  /// - Returns: the session's name, to be kept in a cookie.
  package mutating func open(bits: ((UInt64, UInt64), (UInt64, UInt64)), now: Timestamp) -> String {
    sessions = sessions.filter { $0.value.until > now }
    if sessions.count >= Self.capacity, let first = sessions.min(by: { $0.value.until < $1.value.until }) {
      sessions[first.key] = nil
    }
    let name = Self.hex(bits.0)
    sessions[name] = Session(formKey: Self.hex(bits.1), until: now + Self.lifetime)
    return name
  }

  package func session(_ name: String?, now: Timestamp) -> Session? {
    guard let name, let session = sessions[name], session.until > now else { return nil }
    return session
  }

  package mutating func close(_ name: String?) { if let name { sessions[name] = nil } }

  package static func hex(_ bits: (UInt64, UInt64)) -> String { LoginTickets.hex(bits) }
}
