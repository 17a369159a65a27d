/// Finds the IP header in a frame of a capture file, by the file's link type (the LINKTYPE_ registry of tcpdump.org).
public enum LinkLayer {
  /// Who sent a frame, by the word of the link layer or of the file around it.
  public enum Direction: UInt8, Sendable, BitwiseCopyable {
    case unknown
    case incoming
    /// Sent by the host that captured.
    case outgoing

    @inlinable @inline(__always)
    public static func == (a: Direction, b: Direction) -> Bool { a.rawValue == b.rawValue }
  }

  /// What a frame carries.
  package enum Content: Sendable, Equatable, BitwiseCopyable {
    /// An IPv4 or IPv6 header is due at `offset`, which is at most the frame's length.
    case ip(offset: Int, Direction)
    /// Something else: ARP, LLDP, spanning tree, an encrypted frame.
    case notIP
    /// Shorter than its own headers say.
    case truncated
    /// A link type that is not known here.
    case unsupportedLink
  }

  /// Finds the IP header in `frame`.
  ///
  /// - Parameter linkType: the LINKTYPE_ number of the file or interface.
  package static func locate(_ frame: RawSpan, linkType: UInt32) -> Content {
    switch linkType {
    case 1: ethernet(frame, typeAt: 12)
    case 0, 108: loopback(frame)  // NULL, LOOP
    case 12, 14, 101, 228, 229: .ip(offset: 0, .unknown)  // RAW as BSD, OpenBSD and all others number it, IPV4, IPV6
    case 113: linuxCooked(frame)
    case 276: linuxCooked2(frame)
    case 9, 50: ppp(frame, at: 0, .unknown)
    case 51: pppoe(frame, at: 0)  // PPP_ETHER
    case 204: pppWithDirection(frame)
    case 8: slip(frame)
    case 104: typed(frame, at: 2, .unknown)  // C_HDLC: address, control, EtherType
    case 107: frameRelay(frame)
    case 100: llc(frame, at: 0, .unknown)  // ATM_RFC1483
    case 105: wireless(frame, at: 0)
    case 127: radiotap(frame)
    case 239: netfilterLog(frame)
    default: .unsupportedLink
    }
  }

  private static func ethernet(_ frame: RawSpan, typeAt offset: Int) -> Content { typed(frame, at: offset, .unknown) }

  /// From an EtherType on, through any number of tags; a number below 1536 is a length (IEEE 802.3), and LLC follows.
  private static func typed(_ frame: RawSpan, at start: Int, _ direction: Direction) -> Content {
    var offset = start
    while offset &+ 2 <= frame.byteCount {
      let type = frame.u16(at: offset)
      offset &+= 2
      switch type {
      case 0x0800, 0x86dd: return .ip(offset: offset, direction)
      case 0x8100, 0x88a8, 0x9100: offset &+= 2  // 802.1Q, 802.1ad, and QinQ before it had a number
      case 0x8864: return pppoe(frame, at: offset, direction)
      case 0..<1536: return llc(frame, at: offset, direction)
      default: return .notIP
      }
    }
    return .truncated
  }

  /// LLC with SNAP (RFC 1042), or with the rare SAP of IP itself.
  private static func llc(_ frame: RawSpan, at offset: Int, _ direction: Direction) -> Content {
    guard frame.byteCount >= offset &+ 3 else { return .truncated }
    switch (frame.u16(at: offset), frame.u8(at: offset &+ 2)) {
    case (0x0606, 3): return .ip(offset: offset &+ 3, direction)
    case (0xaaaa, 3):
      guard frame.byteCount >= offset &+ 8 else { return .truncated }
      // Only organisation 0 numbers its protocols by EtherType.
      guard frame.u16(at: offset &+ 3) == 0, frame.u8(at: offset &+ 5) == 0 else { return .notIP }
      let type = frame.u16(at: offset &+ 6)
      return type == 0x0800 || type == 0x86dd ? .ip(offset: offset &+ 8, direction) : .notIP
    default: return .notIP
    }
  }

  /// Four bytes of address family: NULL in the byte order of the host that captured, LOOP in network order.
  private static func loopback(_ frame: RawSpan) -> Content {
    guard frame.byteCount >= 4 else { return .truncated }
    let number = frame.u32(at: 0)
    // IPv4 is 2 everywhere; IPv6 is 10 (Linux), 24 (NetBSD, OpenBSD), 28 (FreeBSD), 30 (Darwin), 23 (Windows).
    switch number <= 0xffff ? number : number.byteSwapped {
    case 2, 10, 23, 24, 28, 30: return .ip(offset: 4, .unknown)
    default: return .notIP
    }
  }

  /// LINUX_SLL: packet type, hardware, address length, address, protocol.
  private static func linuxCooked(_ frame: RawSpan) -> Content {
    guard frame.byteCount >= 16 else { return .truncated }
    return cooked(frame, protocolAt: 14, offset: 16, packetType: frame.u16(at: 0), hardware: frame.u16(at: 2))
  }

  /// LINUX_SLL2: protocol, 2 reserved, interface, hardware, packet type, address length, address.
  private static func linuxCooked2(_ frame: RawSpan) -> Content {
    guard frame.byteCount >= 20 else { return .truncated }
    return cooked(frame, protocolAt: 0, offset: 20, packetType: UInt16(frame.u8(at: 10)), hardware: frame.u16(at: 8))
  }

  private static func cooked(
    _ frame: RawSpan, protocolAt: Int, offset: Int, packetType: UInt16, hardware: UInt16
  ) -> Content {
    // Types 1 to 3 are broadcast, multicast and other hosts' (promiscuous): not sent by us, at least.
    let direction: Direction = packetType == 4 ? .outgoing : .incoming
    // Netlink messages come in the same clothes (ARPHRD_NETLINK), with the netlink family for a protocol.
    if hardware == 824 { return .notIP }
    switch frame.u16(at: protocolAt) {
    case 0x0800, 0x86dd: return .ip(offset: offset, direction)
    // Tags the kernel left in: two bytes of tag, then as on Ethernet.
    case 0x8100, 0x88a8, 0x9100: return typed(frame, at: offset &+ 2, direction)
    case 0x8864: return pppoe(frame, at: offset, direction)
    case 4: return llc(frame, at: offset, direction)  // LINUX_SLL_P_802_2
    default: return .notIP
    }
  }

  /// PPPoE session (RFC 2516 section 4): version and type, code, session, length; then PPP without address and control.
  private static func pppoe(_ frame: RawSpan, at offset: Int, _ direction: Direction = .unknown) -> Content {
    guard frame.byteCount >= offset &+ 6 else { return .truncated }
    guard frame.u8(at: offset) == 0x11, frame.u8(at: offset &+ 1) == 0 else { return .notIP }
    return ppp(frame, at: offset &+ 6, direction)
  }

  /// PPP (RFC 1661), with or without the address and control of RFC 1662, its protocol of two bytes or one.
  private static func ppp(_ frame: RawSpan, at start: Int, _ direction: Direction) -> Content {
    var offset = start
    // PPP in HDLC-like framing; Cisco's own begins with 0f 00 or 8f 00 and has an EtherType.
    if frame.byteCount >= offset &+ 2 {
      let head = frame.u16(at: offset)
      if head == 0xff03 {
        offset &+= 2
      } else if head == 0x0f00 || head == 0x8f00 {
        return typed(frame, at: offset &+ 2, direction)
      }
    }
    guard frame.byteCount >= offset &+ 1 else { return .truncated }
    // An odd first byte ends the number (RFC 1661 section 6.5).
    let first = UInt16(frame.u8(at: offset))
    var number = first
    offset &+= 1
    if first & 1 == 0 {
      guard frame.byteCount >= offset &+ 1 else { return .truncated }
      number = first << 8 | UInt16(frame.u8(at: offset))
      offset &+= 1
    }
    return number == 0x21 || number == 0x57 ? .ip(offset: offset, direction) : .notIP
  }

  /// PPP_WITH_DIR: a byte before it, 0 for received.
  private static func pppWithDirection(_ frame: RawSpan) -> Content {
    guard frame.byteCount >= 1 else { return .truncated }
    return ppp(frame, at: 1, frame.u8(at: 0) == 0 ? .incoming : .outgoing)
  }

  /// SLIP as BSD captures it: direction (0 in, 1 out), then 15 bytes of the compressed header.
  private static func slip(_ frame: RawSpan) -> Content {
    guard frame.byteCount >= 16 else { return .truncated }
    return .ip(offset: 16, frame.u8(at: 0) == 0 ? .incoming : .outgoing)
  }

  /// Frame relay (RFC 2427): an address of 2 to 4 bytes whose last has bit 0 set, control, padding, NLPID.
  private static func frameRelay(_ frame: RawSpan) -> Content {
    var offset = 0
    repeat {
      guard offset < 4, frame.byteCount > offset else { return offset < 4 ? .truncated : .notIP }
      offset &+= 1
    } while frame.u8(at: offset &- 1) & 1 == 0
    guard frame.byteCount >= offset &+ 2 else { return .truncated }
    // Cisco's form has an EtherType instead of the control byte 3.
    guard frame.u8(at: offset) == 3 else { return typed(frame, at: offset, .unknown) }
    offset &+= 1
    if frame.u8(at: offset) == 0 { offset &+= 1 }
    guard frame.byteCount >= offset &+ 1 else { return .truncated }
    switch frame.u8(at: offset) {
    case 0xcc, 0x8e: return .ip(offset: offset &+ 1, .unknown)
    case 0x80:
      guard frame.byteCount >= offset &+ 6 else { return .truncated }
      let type = frame.u16(at: offset &+ 4)
      guard frame.u16(at: offset &+ 1) == 0, frame.u8(at: offset &+ 3) == 0 else { return .notIP }
      return type == 0x0800 || type == 0x86dd ? .ip(offset: offset &+ 6, .unknown) : .notIP
    default: return .notIP
    }
  }

  /// IEEE 802.11 data frames that are not encrypted.
  private static func wireless(_ frame: RawSpan, at start: Int) -> Content {
    guard frame.byteCount >= start &+ 24 else { return .truncated }
    let control = frame.u8(at: start)
    let flags = frame.u8(at: start &+ 1)
    // Type data, not a null function (bit 6 of the subtype), not protected.
    guard control & 0x0c == 0x08, control & 0x40 == 0, flags & 0x40 == 0 else { return .notIP }
    var length = 24
    if flags & 3 == 3 { length &+= 6 }
    if control & 0x80 != 0 { length &+= flags & 0x80 != 0 ? 6 : 2 }  // QoS, and HT control with it
    return llc(frame, at: start &+ length, .unknown)
  }

  /// A radiotap header (its length is little-endian), then 802.11; some drivers pad after QoS, which is not followed.
  private static func radiotap(_ frame: RawSpan) -> Content {
    guard frame.byteCount >= 8 else { return .truncated }
    let length = Int(frame.u16(at: 2).byteSwapped)
    guard length >= 8 else { return .notIP }
    return wireless(frame, at: length)
  }

  /// NFLOG: family, version, resource; then attributes in the order of the host that captured, of which number 9 is the packet.
  private static func netfilterLog(_ frame: RawSpan) -> Content {
    guard frame.byteCount >= 4 else { return .truncated }
    guard frame.u8(at: 1) == 0, frame.u8(at: 0) == 2 || frame.u8(at: 0) == 10 else { return .notIP }
    var offset = 4
    while offset &+ 4 <= frame.byteCount {
      var length = Int(frame.u16(at: offset))
      var type = frame.u16(at: offset &+ 2)
      // The type is a small number: that tells the order.
      if type > 0xff {
        length = Int(frame.u16(at: offset).byteSwapped)
        type = type.byteSwapped
      }
      if type == 9 { return .ip(offset: offset &+ 4, .unknown) }
      // Each step forward is 4 bytes at least.
      guard length >= 4 else { return .notIP }
      offset &+= (length &+ 3) & ~3
    }
    return .truncated
  }
}
