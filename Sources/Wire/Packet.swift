/// The flags byte of a TCP header (RFC 9293 section 3.1).
package struct TCPFlags: OptionSet, Hashable, Sendable, BitwiseCopyable {
  package let rawValue: UInt8
  @inlinable
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  package static let fin = TCPFlags(rawValue: 0x01)
  package static let syn = TCPFlags(rawValue: 0x02)
  package static let rst = TCPFlags(rawValue: 0x04)
  package static let psh = TCPFlags(rawValue: 0x08)
  package static let ack = TCPFlags(rawValue: 0x10)
  package static let urg = TCPFlags(rawValue: 0x20)
  package static let ece = TCPFlags(rawValue: 0x40)
  package static let cwr = TCPFlags(rawValue: 0x80)
  // Combinations by name: a set literal would make an array for each packet.
  package static let synAck = TCPFlags(rawValue: 0x12)
  package static let finAck = TCPFlags(rawValue: 0x11)
  package static let xmas = TCPFlags(rawValue: 0x29)
  package static let congestion = TCPFlags(rawValue: 0xc0)
}

/// The transports we tell apart, by their number in the IANA protocol registry.
package enum TransportProtocol: UInt8, Sendable, BitwiseCopyable, Hashable, CaseIterable {
  case tcp = 6
  case udp = 17

  /// `TCP` or `UDP`.
  package var name: String { self == .tcp ? "TCP" : "UDP" }
}

/// What is known of a transport checksum.
package enum ChecksumState: UInt8, Sendable, BitwiseCopyable {
  /// Computed over the whole segment and right, or vouched for by the kernel or the device.
  case valid
  /// Computed and wrong: the host's own stack will drop this packet, so it is evidence of nothing.
  case wrong
  /// Not computable, because not the whole packet was captured.
  case unknown
}

/// One decoded TCP segment or UDP datagram as a fixed-size value: no arrays, no strings, nothing that points
/// into the frame.
package struct Packet: Sendable, BitwiseCopyable {
  /// When the kernel received it.
  package var time = Timestamp.distantPast
  package var source = IPAddress.unspecified
  package var target = IPAddress.unspecified
  package var sourcePort: UInt16 = 0
  package var targetPort: UInt16 = 0
  package var transport = TransportProtocol.tcp
  /// TCP only; empty for UDP.
  package var flags: TCPFlags = []
  /// Bytes of the TCP options; 0 for UDP.
  package var tcpOptionsLength: UInt8 = 0
  /// IPv4 TTL or IPv6 hop limit.
  package var hopLimit: UInt8 = 0
  package var checksum = ChecksumState.unknown
  /// The IPv4 header carries options, or the IPv6 packet a hop-by-hop, routing or destination options header.
  package var hasIPOptions = false
  /// Put together from fragments that were each too short for a transport header (`nmap -f`).
  package var wasFragmented = false
  /// Sent by this host.
  package var isOutgoing = false
  package var window: UInt16 = 0
  package var sequence: UInt32 = 0
  package var acknowledgment: UInt32 = 0
  /// Bytes of transport payload, by the headers' lengths.
  package var payloadLength: UInt16 = 0
  /// The interface it came in by, as the kernel numbers them; 0 when unknown.
  package var interface: Int32 = 0

  @inlinable
  package init() {}
}
