/// How well it is known that the address on a packet is the one that sent it. Evidence of *who*, kept apart from evidence
/// of *what* (`Evidence`): a ban needs both.
package enum Origin: UInt8, Sendable, BitwiseCopyable, CaseIterable, Comparable {
  /// One-way packets only. Anybody can write any address on those.
  case unproven
  /// The address answered a challenge that only a host at that address receives. A bystander in whose name another
  /// forges packets answers too (RFC 9293 section 3.10.7.1), so this weeds out invented addresses and justifies nothing.
  /// We send no challenge, since it would tell decoys from services; the word is there for evidence from elsewhere.
  case alive
  /// It completed a TCP handshake with us: it acknowledged a number of ours that it can know only by receiving it.
  case proven

  package static func < (a: Origin, b: Origin) -> Bool { a.rawValue < b.rawValue }

  /// The word in `--json`, the journal and the log.
  package var name: String {
    switch self {
    case .unproven: "unproven"
    case .alive: "alive"
    case .proven: "proven"
    }
  }
}

/// How a source proved that it is where it says.
package enum Proof: UInt8, Sendable, BitwiseCopyable, CaseIterable {
  /// A connection to a decoy was completed.
  case decoy
  /// A connection to a listener of connect mode was completed.
  case listener
  /// An acknowledgment that only a receiver of ours could send was seen on the wire.
  case handshake

  package var name: String {
    switch self {
    case .decoy: "decoy"
    case .listener: "listener"
    case .handshake: "handshake"
    }
  }
}
