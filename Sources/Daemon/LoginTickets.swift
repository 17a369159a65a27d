import Wire

/// Tickets to the page: each lets in once, and not for long. Pure; random bits and monotonic nanoseconds are given.
package struct LoginTickets: Sendable {
  /// Tickets at a time; of more, the oldest is void.
  package static let capacity = 16
  package static let lifetime: Int64 = 120_000_000_000

  private var open: [(ticket: String, until: Int64)] = []

  package init() {}

  package mutating func issue(bits: (UInt64, UInt64), now: Int64) -> String {
    open.removeAll { $0.until <= now }
    if open.count >= Self.capacity { open.removeFirst() }
    let ticket = Self.hex(bits)
    open.append((ticket, now + Self.lifetime))
    return ticket
  }

  /// Whether it lets in; from then on it does not.
  package mutating func redeem(_ offered: String, now: Int64) -> Bool {
    open.removeAll { $0.until <= now }
    // A near miss takes as long as any other of this length.
    let hits = open.indices.filter { Self.isSame(open[$0].ticket, offered) }
    guard let hit = hits.first else { return false }
    open.remove(at: hit)
    return true
  }

  /// In the same time for all texts of one length.
  package static func isSame(_ one: String, _ other: String) -> Bool {
    let (a, b) = (Array(one.utf8), Array(other.utf8))
    guard a.count == b.count, !a.isEmpty else { return false }
    return zip(a, b).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
  }

  /// 32 digits.
  package static func hex(_ bits: (UInt64, UInt64)) -> String {
    [bits.0, bits.1].map { number in
      let digits = String(number, radix: 16)
      return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }.joined()
  }
}

/// What is said over the control socket about the page's door, apart from what the sentry itself is asked.
package enum LoginMessage: Equatable, Sendable {
  /// Make a ticket; the answer is the ticket.
  case ticket
  /// Whether this ticket lets in: exit code 0, and never again.
  case redeem(String)

  /// The line without its newline.
  package var line: String {
    switch self {
    case .ticket: "login"
    case .redeem(let ticket): "redeem\t\(ticket)"
    }
  }

  /// Reads a line; nil for any other.
  package init?(line: [UInt8]) {
    if line.elementsEqual("login".utf8) {
      self = .ticket
      return
    }
    let word = Array("redeem\t".utf8)
    let ticket = line.dropFirst(word.count)
    guard line.starts(with: word), ticket.count == 32,
      ticket.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
    else { return nil }
    self = .redeem(String(decoding: ticket, as: UTF8.self))
  }
}
