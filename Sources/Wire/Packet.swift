/// The flags byte of a TCP header (RFC 9293 section 3.1).
public struct TCPFlags: OptionSet, Hashable, Sendable, BitwiseCopyable {
  public let rawValue: UInt8
  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  @inlinable @inline(__always) public static var fin: TCPFlags { TCPFlags(rawValue: 0x01) }
  @inlinable @inline(__always) public static var syn: TCPFlags { TCPFlags(rawValue: 0x02) }
  @inlinable @inline(__always) public static var rst: TCPFlags { TCPFlags(rawValue: 0x04) }
  @inlinable @inline(__always) public static var psh: TCPFlags { TCPFlags(rawValue: 0x08) }
  @inlinable @inline(__always) public static var ack: TCPFlags { TCPFlags(rawValue: 0x10) }
  @inlinable @inline(__always) public static var urg: TCPFlags { TCPFlags(rawValue: 0x20) }
  @inlinable @inline(__always) public static var ece: TCPFlags { TCPFlags(rawValue: 0x40) }
  @inlinable @inline(__always) public static var cwr: TCPFlags { TCPFlags(rawValue: 0x80) }
  // Combinations by name: a set literal would make an array for each packet.
  @inlinable @inline(__always) public static var synAck: TCPFlags { TCPFlags(rawValue: 0x12) }
  @inlinable @inline(__always) public static var finAck: TCPFlags { TCPFlags(rawValue: 0x11) }
  @inlinable @inline(__always) public static var xmas: TCPFlags { TCPFlags(rawValue: 0x29) }
  @inlinable @inline(__always) public static var congestion: TCPFlags { TCPFlags(rawValue: 0xc0) }

  // The standard library's own go through witnesses that other modules cannot see through; these run for each packet.
  @inlinable @inline(__always)
  public func contains(_ flags: TCPFlags) -> Bool { rawValue & flags.rawValue == flags.rawValue }
  @inlinable @inline(__always)
  public func isSuperset(of flags: TCPFlags) -> Bool { rawValue & flags.rawValue == flags.rawValue }
  @inlinable @inline(__always)
  public func subtracting(_ flags: TCPFlags) -> TCPFlags { TCPFlags(rawValue: rawValue & ~flags.rawValue) }
  @inlinable @inline(__always)
  public static func == (a: TCPFlags, b: TCPFlags) -> Bool { a.rawValue == b.rawValue }
}

/// The transports we tell apart, by their number in the IANA protocol registry.
public enum TransportProtocol: UInt8, Sendable, BitwiseCopyable, Hashable, CaseIterable {
  case tcp = 6
  case udp = 17

  @inlinable @inline(__always)
  public static func == (a: TransportProtocol, b: TransportProtocol) -> Bool { a.rawValue == b.rawValue }

  /// `TCP` or `UDP`.
  public var name: String { self == .tcp ? "TCP" : "UDP" }
}

/// What is known of a transport checksum.
public enum ChecksumState: UInt8, Sendable, BitwiseCopyable {
  /// Computed over the whole segment and right, or vouched for by the kernel or the device.
  case valid
  /// Computed and wrong: the host's own stack will drop this packet, so it is evidence of nothing.
  case wrong
  /// The sum of the pseudo-header alone, as Linux leaves it to a network card that computes the rest. A capture between
  /// namespaces or virtual machines is full of these; from a wire it is wrong.
  case unfinished
  /// Not computable, because not the whole packet was captured.
  case unknown
  /// Not computed yet (`Packet.verify`): most packets are of no interest, and the sum is most of the work.
  case pending

  @inlinable @inline(__always)
  public static func == (a: ChecksumState, b: ChecksumState) -> Bool { a.rawValue == b.rawValue }
}

/// One decoded datagram as a fixed-size value: no arrays, no strings, nothing that points into the frame. What is in it
/// besides the fields of IP depends on the `DecodeOutcome`.
public struct Packet: Sendable, BitwiseCopyable {
  /// When the kernel received it.
  public var time = Timestamp.distantPast
  public var source = IPAddress.unspecified
  public var target = IPAddress.unspecified
  /// Of TCP, UDP and SCTP. Of an ICMP error: of the packet it is about, as that one has them.
  public var sourcePort: UInt16 = 0
  public var targetPort: UInt16 = 0
  /// The protocol number of the payload (IANA): 6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6, 132 SCTP.
  public var protocolNumber: UInt8 = 0
  public var transport = TransportProtocol.tcp
  /// TCP only; empty for UDP.
  public var flags: TCPFlags = []
  /// Bytes of the TCP options; 0 for UDP.
  public var tcpOptionsLength: UInt8 = 0
  /// IPv4 TTL or IPv6 hop limit.
  public var hopLimit: UInt8 = 0
  public var checksum = ChecksumState.unknown
  /// The IPv4 header carries options, or the IPv6 packet a hop-by-hop, routing or destination options header.
  public var hasIPOptions = false
  /// Put together from fragments that were each too short for a transport header (`nmap -f`).
  public var wasFragmented = false
  /// Sent by this host.
  public var isOutgoing = false
  /// A SYN/ACK of this host's that bears the mark of a decoy's listener; live only.
  public var isOfDecoy = false
  public var window: UInt16 = 0
  public var sequence: UInt32 = 0
  public var acknowledgment: UInt32 = 0
  /// Bytes of transport payload, by the headers' lengths.
  public var payloadLength: UInt16 = 0
  /// The interface it came in by, as the kernel numbers them; 0 when unknown.
  public var interface: Int32 = 0
  /// The identification field of IPv4; 0 for IPv6.
  public var identification: UInt16 = 0
  /// DF of IPv4.
  public var dontFragment = false
  /// Bytes of the whole datagram by its IP header.
  public var length: UInt16 = 0
  /// Where in the captured bytes the transport header begins; 0 when it was put together from fragments.
  public var transportOffset: UInt16 = 0
  /// The type of an ICMP message, or of an SCTP packet's first chunk; and the code of the former.
  public var messageType: UInt8 = 0
  public var messageCode: UInt8 = 0
  /// The TCP options, once they were read (`readOptions`): hardly any packet's are wanted.
  public var synOptions = SYNOptions()
  /// The first four bytes of a UDP payload, in network order; 0 where there are fewer.
  public var payloadStart: UInt32 = 0
  /// Of an ICMP error: the protocol and the target of the packet it is about.
  public var quotedProtocol: UInt8 = 0
  public var quotedTarget = IPAddress.unspecified

  @inlinable
  public init() {}
}

/// What the options of a SYN say of the program or system that made it.
public struct SYNOptions: Sendable, BitwiseCopyable, Hashable {
  /// The kinds in their order, four bits each, the first in the lowest: 0 to 8 as they are numbered (RFC 9293 section
  /// 3.2: 0 end, 1 no-op, 2 MSS, 3 window scale, 4 SACK permitted, 8 timestamps), 15 for any other. At most 12; preceded
  /// by a 1 bit, so that an end-of-list can be told from none.
  public var kinds: UInt64 = 1
  /// 0 when absent.
  public var maximumSegmentSize: UInt16 = 0
  /// 0 when absent.
  public var windowScale: UInt8 = 0

  @inlinable
  public init() {}

  /// Reads the options in `bytes`, a TCP header's from its 20th byte on. Damaged ones are read as far as they go.
  public init(_ bytes: RawSpan) {
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
