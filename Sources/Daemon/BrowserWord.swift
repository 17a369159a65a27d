import Wire

/// What the decoys' thread tells of a client, for a fleet.
package struct DecoyWord: Sendable, BitwiseCopyable, Equatable {
  package var source: IPAddress
  /// It speaks as a browser; else it has closed its last connection without a word.
  package var isBrowsers: Bool
}

/// Whether what a client says first is what a browser says.
///
/// A web page can make the browsers of its visitors connect to any host and port, so that a visitor seems to have touched decoys of
/// several hosts. Whoever speaks as a browser is therefore no witness's subject in a fleet. The test is generous: a scanner that speaks
/// as a browser is missed by the fleet, not by this host.
package enum BrowserWord {
  /// As much of it as is looked at.
  package static let most = 4_096
  /// A request of which so much has come, and not the end, is taken for a browser's.
  private static let longBegin = 500

  package static func isBrowsers(_ bytes: ArraySlice<UInt8>) -> Bool {
    isHello(bytes) || isRequest(bytes) || isSTUN(bytes)
  }

  /// A ClientHello as browsers send it: with values that mean nothing (GREASE, RFC 8701), or asking for HTTP/2, or with a key that
  /// outlives quantum computers, which makes it long.
  private static func isHello(_ bytes: ArraySlice<UInt8>) -> Bool {
    let b = Array(bytes)
    // A record of a handshake, and in it a ClientHello; then version 2, random 32, a session of up to 32 bytes, ciphers.
    guard b.count > 46, b[0] == 0x16, b[1] == 3, b[5] == 1 else { return false }
    if Int(b[3]) << 8 | Int(b[4]) > 600 { return true }
    let ciphers = 44 + Int(b[43])
    if b.count > ciphers + 3, b[ciphers + 2] & 0x0f == 0x0a, b[ciphers + 2] == b[ciphers + 3] { return true }
    // Length 2 and name, within the extension 16 (RFC 7301).
    return contains(b, [0x02, 0x68, 0x32])
  }

  /// A request with what only browsers add (Fetch Metadata), or with all of what they always have.
  private static func isRequest(_ bytes: ArraySlice<UInt8>) -> Bool {
    guard bytes.first.map({ (0x41...0x5a).contains($0) }) ?? false else { return false }
    let lower = bytes.map { (0x41...0x5a).contains($0) ? $0 | 0x20 : $0 }
    // A page may choose a path so long that the rest of the request comes in another segment.
    if bytes.count >= Self.longBegin, contains(Array(lower.prefix(8)), [0x20, 0x2f]),
      !contains(lower, [0x0a, 0x0d, 0x0a])
    {
      return true
    }
    guard contains(lower, Array(" http/1.".utf8)) else { return false }
    return contains(lower, Array("\nsec-fetch-".utf8)) || contains(lower, Array("\nsec-websocket-key:".utf8))
      || contains(lower, Array("\nuser-agent: mozilla/".utf8)) && contains(lower, Array("\naccept-language:".utf8))
  }

  /// What WebRTC asks a relay, by itself or framed (RFC 8489, RFC 4571).
  private static func isSTUN(_ bytes: ArraySlice<UInt8>) -> Bool {
    let cookie: [UInt8] = [0x21, 0x12, 0xa4, 0x42]
    return [4, 6].contains { bytes.dropFirst($0).prefix(4).elementsEqual(cookie) }
  }

  private static func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
    guard bytes.count >= part.count else { return false }
    return (0...(bytes.count - part.count)).contains { bytes[$0] == part[0] && bytes[$0...].starts(with: part) }
  }
}
