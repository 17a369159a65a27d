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
  /// Not computed yet (`Packet.verify`): most packets are of no interest, and the sum is most of the work.
  case pending
}

/// One decoded datagram as a fixed-size value: no arrays, no strings, nothing that points into the frame. What is in it
/// besides the fields of IP depends on the `DecodeOutcome`.
package struct Packet: Sendable, BitwiseCopyable {
  /// When the kernel received it.
  package var time = Timestamp.distantPast
  package var source = IPAddress.unspecified
  package var target = IPAddress.unspecified
  /// Of TCP, UDP and SCTP. Of an ICMP error: of the packet it is about, as that one has them.
  package var sourcePort: UInt16 = 0
  package var targetPort: UInt16 = 0
  /// The protocol number of the payload (IANA): 6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6, 132 SCTP.
  package var protocolNumber: UInt8 = 0
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
  /// The identification field of IPv4; 0 for IPv6.
  package var identification: UInt16 = 0
  /// DF of IPv4.
  package var dontFragment = false
  /// Bytes of the whole datagram by its IP header.
  package var length: UInt16 = 0
  /// Where in the captured bytes the transport header begins; 0 when it was put together from fragments.
  package var transportOffset: UInt16 = 0
  /// The type of an ICMP message, or of an SCTP packet's first chunk; and the code of the former.
  package var messageType: UInt8 = 0
  package var messageCode: UInt8 = 0
  /// The TCP options of a SYN.
  package var synOptions = SYNOptions()
  /// The first four bytes of a UDP payload, in network order; 0 where there are fewer.
  package var payloadStart: UInt32 = 0
  /// Of an ICMP error: the protocol and the target of the packet it is about.
  package var quotedProtocol: UInt8 = 0
  package var quotedTarget = IPAddress.unspecified

  @inlinable
  package init() {}
}

/// What the options of a SYN say of the program or system that made it.
package struct SYNOptions: Sendable, BitwiseCopyable, Hashable {
  /// The kinds in their order, four bits each, the first in the lowest: 0 to 8 as they are numbered (RFC 9293 section
  /// 3.2: 0 end, 1 no-op, 2 MSS, 3 window scale, 4 SACK permitted, 8 timestamps), 15 for any other. At most 12; preceded
  /// by a 1 bit, so that an end-of-list can be told from none.
  package var kinds: UInt64 = 1
  /// 0 when absent.
  package var maximumSegmentSize: UInt16 = 0
  /// 0 when absent.
  package var windowScale: UInt8 = 0

  @inlinable
  package init() {}

  /// Reads the options in `bytes`, a TCP header's from its 20th byte on. Damaged ones are read as far as they go.
  package init(_ bytes: RawSpan) {
    var offset = 0
    var count: UInt64 = 0
    var list: UInt64 = 0
    while offset < bytes.byteCount, count < 12 {
      let kind = bytes.u8(at: offset)
      list |= UInt64(kind <= 8 ? kind : 15) << (count &* 4)
      count &+= 1
      if kind == 0 { break }
      if kind == 1 {
        offset &+= 1
        continue
      }
      guard offset &+ 2 <= bytes.byteCount else { break }
      let length = Int(bytes.u8(at: offset &+ 1))
      guard length >= 2, offset &+ length <= bytes.byteCount else { break }
      if kind == 2, length == 4 { maximumSegmentSize = bytes.u16(at: offset &+ 2) }
      if kind == 3, length == 3 { windowScale = bytes.u8(at: offset &+ 2) }
      offset &+= length
    }
    kinds = list | 1 << (count &* 4)
  }
}
