import Wire

/// Datagrams that are answers by their looks: reflected floods and late replies.
enum Reflection {
  /// Services whose answers are larger than what asks for them, or are asked all the time: their replies come unasked
  /// when somebody else asks in our name.
  private static func isReflector(_ port: UInt16) -> Bool {
    switch port {
    case 17, 19, 53, 69, 111, 123, 137, 161, 177, 389, 427, 500, 520, 623, 1194, 1434, 1604, 1645, 1701, 1812, 1900,
      2123, 3283, 3478, 3659, 3702, 4500, 5060, 5093, 5351, 5353, 5683, 6881, 6889, 7001, 10001, 10074, 11211, 17185,
      20800, 26000, 27005, 27015, 27960, 28015, 30120, 30718, 32414, 33848, 37020, 37810, 47808:
      true
    default: false
    }
  }

  /// Ports that hosts ask, rather than ask from: an answer to one of these is none, whatever it comes from.
  static func isAnswer(_ packet: borrowing Packet) -> Bool {
    guard isReflector(packet.sourcePort), packet.payloadLength > 0 else { return false }
    // Nobody asks with so many bytes, and not a port that nothing is known to serve.
    if packet.targetPort >= 1024, packet.payloadLength >= 100 { return true }
    let start = packet.payloadStart
    switch packet.sourcePort {
    case 53, 5353: return start >> 8 & 0x80 != 0  // QR (RFC 1035 section 4.1.1)
    case 123:
      // Server, broadcast, and control or private messages with the response bit (RFC 5905 section 7.3).
      let first = UInt8(truncatingIfNeeded: start >> 24)
      return [4, 5].contains(first & 7) || (first & 7 == 6 && start >> 16 & 0x80 != 0)
        || (first & 7 == 7 && first & 0x80 != 0)
    case 1900: return start == 0x4854_5450  // HTTP
    default:
      // Without knowledge of the protocol: an answer goes back to a port that somebody asked from.
      return packet.targetPort >= 1024
    }
  }
}
