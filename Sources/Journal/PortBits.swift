import Detection

/// How many ports a source has touched, in 64 bits: each port sets one of them, and the number of those left tells
/// (linear counting, Whang and others 1990). The standard error is about 1 for 10 ports and 2 for 20.
package struct PortBits: Sendable, Equatable {
  package var bits: UInt64

  package init(_ bits: UInt64 = 0) { self.bits = bits }

  package mutating func insert(_ technique: Technique, _ port: UInt16) {
    let family: UInt32 =
      switch technique {
      case .udp: 1
      case .sctpInit, .sctpCookieEcho: 2
      case .ipProtocol: 3
      case .icmp: 4
      default: 0
      }
    // Fibonacci hashing; the numbers are part of the file format.
    bits |= 1 << UInt64(((UInt32(port) | family << 16) &* 0x9e37_79b1) >> 26)
  }

  /// The estimate; `mostCounted` when all bits are set.
  package var count: Int { Self.estimates[bits.nonzeroBitCount] }

  /// Beyond this many there is no telling.
  package static let mostCounted = 266

  /// -64 ln(1 - n/64), rounded; the end is what one free bit would give.
  private static let estimates: [Int] = [
    0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 15, 16, 17, 18, 20, 21, 23, 24, 25, 27, 28, 30, 32, 33, 35, 37, 39, 40,
    42, 44, 46, 48, 51, 53, 55, 58, 60, 63, 65, 68, 71, 74, 78, 81, 85, 89, 93, 97, 102, 107, 113, 119, 126, 133, 142,
    151, 163, 177, 196, 222, 266, 266,
  ]
}
