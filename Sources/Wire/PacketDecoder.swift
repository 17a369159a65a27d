/// What became of one IP datagram.
public enum DecodeOutcome: UInt8, Sendable, CaseIterable {
  /// A TCP segment or UDP datagram; the packet is filled in.
  case packet
  /// An ICMP or ICMPv6 message; type, code and for errors what it is about are filled in.
  case icmp
  /// An SCTP packet; ports and the type of the first chunk are filled in.
  case sctp
  /// Another protocol; its number is filled in.
  case otherProtocol
  /// A fragment that is held until the rest of its transport header arrives, or that adds nothing.
  case fragment
  /// Neither IPv4 nor IPv6.
  case notIP
  /// Shorter than its headers say.
  case truncated
  /// A length field that contradicts itself: IHL under 5, data offset under 5, a total length below the header.
  case malformed
  /// A wrong IPv4 header checksum (RFC 1122 section 3.2.1.2: discarded silently by every host).
  case wrongHeaderChecksum

  package var reason: String {
    switch self {
    case .packet: "decoded"
    case .icmp: "ICMP"
    case .sctp: "SCTP"
    case .otherProtocol: "another protocol"
    case .fragment: "fragment"
    case .notIP: "not IP"
    case .truncated: "truncated"
    case .malformed: "malformed header"
    case .wrongHeaderChecksum: "wrong IP header checksum"
    }
  }

  @inlinable @inline(__always)
  public static func == (a: DecodeOutcome, b: DecodeOutcome) -> Bool { a.rawValue == b.rawValue }

  /// Whether there is a packet to judge.
  @inlinable @inline(__always)
  public var isDecoded: Bool { rawValue <= DecodeOutcome.otherProtocol.rawValue }
}

/// Takes IP datagrams apart. Keeps the first bytes of tiny fragments for a moment, nothing else.
package struct PacketDecoder: Sendable {
  private var fragments = FragmentTable()

  package init() {}

  /// Decodes the datagram in `bytes`, which starts at its IP header.
  ///
  /// - Parameters:
  ///   - bytes: what was captured; may be less than the datagram.
  ///   - checksumVouched: the kernel or device says the transport checksum is right, or is still to be filled in by
  ///     offload, so it must not be computed.
  ///   - packet: filled in as the outcome says; `time`, `interface` and `isOutgoing` are the caller's. The checksum of
  ///     TCP and UDP is `.pending` where it can be computed: see `Packet.verify(in:)`.
  package mutating func decode(_ bytes: RawSpan, checksumVouched: Bool, into packet: inout Packet) -> DecodeOutcome {
    guard bytes.byteCount >= 1 else { return .truncated }
    switch bytes.u8(at: 0) >> 4 {
    case 4: return decodeV4(bytes, checksumVouched, &packet)
    case 6: return decodeV6(bytes, checksumVouched, &packet)
    default: return .notIP
    }
  }

  // RFC 791 section 3.1. The header is read in three words: this runs for every packet of a capture.
  @inline(__always)
  private mutating func decodeV4(_ bytes: RawSpan, _ vouched: Bool, _ packet: inout Packet) -> DecodeOutcome {
    guard bytes.byteCount >= 20 else { return .truncated }
    let first = bytes.u64(at: 0)
    let second = bytes.u64(at: 8)
    let third = bytes.u32(at: 16)
    let headerLength = Int(truncatingIfNeeded: first >> 54) & 0x3c
    let totalLength = Int(truncatingIfNeeded: first >> 32) & 0xffff
    guard headerLength >= 20 else { return .malformed }
    // A total length of 0 is a giant segment that the device is still to cut up (TSO): take what is there.
    let length = totalLength == 0 ? bytes.byteCount : totalLength
    guard length >= headerLength else { return .malformed }
    guard bytes.byteCount >= headerLength else { return .truncated }
    packet.source = IPAddress(v4: UInt32(truncatingIfNeeded: second))
    packet.target = IPAddress(v4: third)
    packet.hopLimit = UInt8(truncatingIfNeeded: second >> 56)
    packet.identification = UInt16(truncatingIfNeeded: first >> 16)
    packet.dontFragment = first & 0x4000 != 0
    packet.length = UInt16(clamping: length)
    packet.hasIPOptions = headerLength > 20
    packet.wasFragmented = false
    if !vouched {
      var checksum = InternetChecksum()
      checksum.sum = (first >> 32) &+ (first & 0xffff_ffff) &+ (second >> 32) &+ (second & 0xffff_ffff)
      checksum.sum &+= UInt64(third)
      if headerLength > 20 { checksum.add(bytes.extracting(20..<headerLength)) }
      guard checksum.folded == 0xffff else { return .wrongHeaderChecksum }
    }
    let captured = min(bytes.byteCount, length)
    let payload = bytes.extracting(headerLength..<captured)
    let number = UInt8(truncatingIfNeeded: second >> 48)
    packet.transportOffset = UInt16(truncatingIfNeeded: headerLength)
    if first & 0x3fff == 0 {
      return decodeTransport(payload, number, length &- headerLength, vouched, &packet)
    }
    return reassemble(
      payload, protocol: number, identification: UInt32(packet.identification),
      offset: Int(truncatingIfNeeded: first & 0x1fff) &* 8, more: first & 0x2000 != 0, length: length &- headerLength,
      &packet)
  }

  // RFC 8200 sections 3 and 4.
  private mutating func decodeV6(_ bytes: RawSpan, _ vouched: Bool, _ packet: inout Packet) -> DecodeOutcome {
    guard bytes.byteCount >= 40 else { return .truncated }
    packet.source = IPAddress(high: bytes.u64(at: 8), low: bytes.u64(at: 16))
    packet.target = IPAddress(high: bytes.u64(at: 24), low: bytes.u64(at: 32))
    // IPv4-mapped addresses belong to the programming interface (RFC 4291 section 2.5.5.2). On the wire Linux drops
    // them; here one would accuse an IPv4 host that sent nothing.
    guard !packet.source.isV4, !packet.target.isV4 else { return .malformed }
    packet.hopLimit = bytes.u8(at: 7)
    packet.identification = 0
    packet.dontFragment = false
    packet.hasIPOptions = false
    packet.wasFragmented = false
    let payloadLength = Int(bytes.u16(at: 4))
    let end = payloadLength == 0 ? bytes.byteCount : 40 &+ payloadLength
    packet.length = UInt16(clamping: end)
    let captured = min(bytes.byteCount, end)
    var next = bytes.u8(at: 6)
    var offset = 40
    // RFC 8200 sets no limit on extension headers; ours is what a host may refuse beyond (RFC 9098 section 4).
    for _ in 0..<16 {
      switch next {
      case 0, 43, 60, 135, 139, 140:  // hop-by-hop, routing, destination options, mobility, HIP, shim6
        guard captured >= offset &+ 8 else { return .truncated }
        packet.hasIPOptions = true
        next = bytes.u8(at: offset)
        offset &+= (Int(bytes.u8(at: offset &+ 1)) &+ 1) &* 8
      case 51:  // authentication header, whose length counts 4-byte units less 2 (RFC 4302 section 2.2)
        guard captured >= offset &+ 8 else { return .truncated }
        next = bytes.u8(at: offset)
        offset &+= (Int(bytes.u8(at: offset &+ 1)) &+ 2) &* 4
      case 44:
        guard captured >= offset &+ 8 else { return .truncated }
        let field = bytes.u16(at: offset &+ 2)
        let identification = bytes.u32(at: offset &+ 4)
        next = bytes.u8(at: offset)
        offset &+= 8
        // An atomic fragment is a whole datagram (RFC 6946).
        guard field & 0xfff9 != 0 else { continue }
        guard captured >= offset, end >= offset else { return .truncated }
        return reassemble(
          bytes.extracting(offset..<captured), protocol: next, identification: identification,
          offset: Int(field & 0xfff8), more: field & 1 != 0, length: end &- offset, &packet)
      default:
        guard captured >= offset, end >= offset else { return .truncated }
        packet.transportOffset = UInt16(clamping: offset)
        return decodeTransport(bytes.extracting(offset..<captured), next, end &- offset, vouched, &packet)
      }
    }
    return .malformed
  }

  private mutating func reassemble(
    _ payload: RawSpan, protocol number: UInt8, identification: UInt32, offset: Int, more: Bool, length: Int,
    _ packet: inout Packet
  ) -> DecodeOutcome {
    packet.transportOffset = 0
    guard number == 6 || number == 17 else {
      // Of other protocols the first fragment says enough.
      return offset == 0 ? decodeTransport(payload, number, length, false, &packet, isWhole: false) : .fragment
    }
    let headerLength = number == 6 ? 20 : 8
    if offset == 0, payload.byteCount >= headerLength {
      // The whole header is in the first fragment: judge that one; its checksum covers what is not here.
      packet.wasFragmented = true
      return decodeTransport(payload, number, length, false, &packet, isWhole: false)
    }
    let key = FragmentTable.Key(
      source: packet.source, target: packet.target, identification: identification, protocol: number)
    guard
      let header = fragments.add(
        payload, at: offset, length: length, isLast: !more, key: key, wanted: headerLength, time: packet.time)
    else { return .fragment }
    packet.wasFragmented = true
    let whole = unsafe header.bytes.span.extracting(0..<header.count).bytes
    let outcome = decodeTransport(
      whole, number, header.length ?? header.count, false, &packet, isWhole: header.length != nil)
    // What was put together is gone after this call, so all is read of it now.
    if outcome == .packet {
      packet.checksum = packet.checksum(of: whole)
      packet.readOptions(of: whole)
    }
    return outcome
  }

  @inline(__always)
  private func decodeTransport(
    _ payload: RawSpan, _ number: UInt8, _ length: Int, _ vouched: Bool, _ packet: inout Packet, isWhole: Bool = true
  ) -> DecodeOutcome {
    packet.protocolNumber = number
    switch number {
    case 6:  // RFC 9293 section 3.1
      guard payload.byteCount >= 20 else { return .truncated }
      let first = payload.u64(at: 0)
      let second = payload.u64(at: 8)
      let headerLength = Int(truncatingIfNeeded: second >> 26) & 0x3c
      guard headerLength >= 20, headerLength <= length || !isWhole else { return .malformed }
      packet.sourcePort = UInt16(truncatingIfNeeded: first >> 48)
      packet.targetPort = UInt16(truncatingIfNeeded: first >> 32)
      packet.sequence = UInt32(truncatingIfNeeded: first)
      packet.acknowledgment = UInt32(truncatingIfNeeded: second >> 32)
      packet.transport = .tcp
      packet.flags = TCPFlags(rawValue: UInt8(truncatingIfNeeded: second >> 16))
      packet.window = UInt16(truncatingIfNeeded: second)
      packet.tcpOptionsLength = UInt8(truncatingIfNeeded: headerLength &- 20)
      packet.payloadLength = UInt16(clamping: length &- headerLength)
    case 17:  // RFC 768
      guard payload.byteCount >= 8 else { return .truncated }
      let first = payload.u64(at: 0)
      packet.sourcePort = UInt16(truncatingIfNeeded: first >> 48)
      packet.targetPort = UInt16(truncatingIfNeeded: first >> 32)
      packet.transport = .udp
      packet.flags = []
      packet.tcpOptionsLength = 0
      packet.window = 0
      packet.sequence = 0
      packet.acknowledgment = 0
      // The datagram may end before the IP packet does (surplus area, RFC 9868), never after it. A length of 0 is a
      // jumbogram over IPv6 (RFC 2675 section 4), and nothing over IPv4.
      let own = Int(truncatingIfNeeded: first >> 16) & 0xffff
      let datagram = own == 0 && !packet.source.isV4 ? length : own
      guard datagram >= 8, datagram <= length || !isWhole else { return .malformed }
      packet.payloadLength = UInt16(clamping: datagram &- 8)
      packet.payloadStart = datagram >= 12 && payload.byteCount >= 12 ? payload.u32(at: 8) : 0
    // Each in its own family; crosswise they are protocols tried (nmap -sO).
    case 1 where packet.source.isV4, 58 where !packet.source.isV4: return decodeICMP(payload, number, &packet)
    case 132:  // RFC 9260 section 3
      guard payload.byteCount >= 12 else { return .truncated }
      packet.sourcePort = payload.u16(at: 0)
      packet.targetPort = payload.u16(at: 2)
      packet.messageType = payload.byteCount > 12 ? payload.u8(at: 12) : .max
      return .sctp
    default:
      packet.payloadLength = UInt16(clamping: length)
      return .otherProtocol
    }
    packet.checksum = vouched ? .valid : !isWhole || payload.byteCount < length ? .unknown : .pending
    return .packet
  }

  /// RFC 792, RFC 4443. Of an error the start of the packet it is about is read, as far as it is there.
  private func decodeICMP(_ payload: RawSpan, _ number: UInt8, _ packet: inout Packet) -> DecodeOutcome {
    guard payload.byteCount >= 8 else { return .truncated }
    packet.messageType = payload.u8(at: 0)
    packet.messageCode = payload.u8(at: 1)
    packet.quotedProtocol = 0
    packet.sourcePort = 0
    packet.targetPort = 0
    let isError = number == 1 ? [3, 4, 5, 11, 12].contains(packet.messageType) : packet.messageType < 128
    guard isError else { return .icmp }
    let quoted = payload.extracting(8..<payload.byteCount)
    var offset: Int
    if number == 1 {
      guard quoted.byteCount >= 20, quoted.u8(at: 0) >> 4 == 4 else { return .icmp }
      packet.quotedProtocol = quoted.u8(at: 9)
      packet.quotedTarget = IPAddress(v4: quoted.u32(at: 16))
      offset = Int(quoted.u8(at: 0) & 0xf) &* 4
    } else {
      guard quoted.byteCount >= 40, quoted.u8(at: 0) >> 4 == 6 else { return .icmp }
      packet.quotedProtocol = quoted.u8(at: 6)
      packet.quotedTarget = IPAddress(high: quoted.u64(at: 24), low: quoted.u64(at: 32))
      offset = 40
    }
    guard quoted.byteCount >= offset &+ 4 else { return .icmp }
    packet.sourcePort = quoted.u16(at: offset)
    packet.targetPort = quoted.u16(at: offset &+ 2)
    return .icmp
  }
}

extension Packet {
  /// Reads the TCP options; of a packet that was put together from fragments they are there already.
  ///
  /// - Parameter bytes: the datagram from its IP header on, as it was decoded.
  package mutating func readOptions(in bytes: RawSpan) {
    let start = Int(transportOffset)
    if start > 0, start < bytes.byteCount { readOptions(of: bytes.extracting(start..<bytes.byteCount)) }
  }

  mutating func readOptions(of segment: RawSpan) {
    let end = min(20 &+ Int(tcpOptionsLength), segment.byteCount)
    synOptions = transport == .tcp && end > 20 ? SYNOptions(segment.extracting(20..<end)) : SYNOptions()
  }

  /// Computes a checksum that is still `.pending`.
  ///
  /// - Parameter bytes: the datagram from its IP header on, as it was decoded.
  package mutating func verify(in bytes: RawSpan) {
    guard checksum == .pending else { return }
    let start = Int(transportOffset)
    guard start > 0, start < bytes.byteCount else {
      checksum = .unknown
      return
    }
    let end = min(bytes.byteCount, Int(length))
    checksum = checksum(of: bytes.extracting(start..<max(start, end)))
  }

  /// Computes a checksum that is still `.pending`, where one that is not filled in yet may be and the kernel does not say so: it is right.
  package mutating func believeUnfinished(in bytes: RawSpan) {
    verify(in: bytes)
    if checksum == .unfinished { checksum = .valid }
  }

  /// The state of the checksum over `segment`, a TCP or UDP header and what follows it.
  func checksum(of segment: RawSpan) -> ChecksumState {
    guard checksum == .pending else { return checksum }
    // A UDP checksum covers what UDP says is its own.
    let length =
      transport == .udp ? Int(payloadLength) &+ 8 : Int(payloadLength) &+ Int(tcpOptionsLength) &+ 20
    guard segment.byteCount >= length, payloadLength < .max else { return .unknown }
    // A UDP checksum of zero means "none" over IPv4 (RFC 768) and is forbidden over IPv6 (RFC 8200 section 8.1).
    if transport == .udp, segment.u16(at: 6) == 0 { return source.isV4 ? .valid : .wrong }
    var sum = InternetChecksum()
    sum.add(source)
    sum.add(target)
    sum.sum &+= UInt64(protocolNumber) &+ UInt64(length)
    let unfinished = sum.folded
    sum.add(segment.extracting(0..<length))
    if sum.folded == 0xffff { return .valid }
    return segment.u16(at: transport == .udp ? 6 : 16) == unfinished ? .unfinished : .wrong
  }
}
