/// What became of one IP datagram.
package enum DecodeOutcome: UInt8, Sendable, CaseIterable {
  /// A TCP segment or UDP datagram; the packet is filled in.
  case packet
  /// A fragment that is held until the rest of its transport header arrives, or that adds nothing.
  case fragment
  /// Neither TCP nor UDP.
  case otherProtocol
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
    case .fragment: "fragment"
    case .otherProtocol: "neither TCP nor UDP"
    case .notIP: "not IP"
    case .truncated: "truncated"
    case .malformed: "malformed header"
    case .wrongHeaderChecksum: "wrong IP header checksum"
    }
  }
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
  ///   - packet: filled in when the outcome is `.packet`; `time`, `interface` and `isOutgoing` are the caller's.
  package mutating func decode(_ bytes: RawSpan, checksumVouched: Bool, into packet: inout Packet) -> DecodeOutcome {
    guard bytes.byteCount >= 1 else { return .truncated }
    switch bytes.u8(at: 0) >> 4 {
    case 4: return decodeV4(bytes, checksumVouched, &packet)
    case 6: return decodeV6(bytes, checksumVouched, &packet)
    default: return .notIP
    }
  }

  // RFC 791 section 3.1.
  private mutating func decodeV4(_ bytes: RawSpan, _ vouched: Bool, _ packet: inout Packet) -> DecodeOutcome {
    guard bytes.byteCount >= 20 else { return .truncated }
    let headerLength = Int(bytes.u8(at: 0) & 0xf) &* 4
    let totalLength = Int(bytes.u16(at: 2))
    guard headerLength >= 20 else { return .malformed }
    // A total length of 0 is a giant segment that the device is still to cut up (TSO): take what is there.
    let length = totalLength == 0 ? bytes.byteCount : totalLength
    guard length >= headerLength else { return .malformed }
    guard bytes.byteCount >= headerLength else { return .truncated }
    packet.source = IPAddress(v4: bytes.u32(at: 12))
    packet.target = IPAddress(v4: bytes.u32(at: 16))
    packet.hopLimit = bytes.u8(at: 8)
    packet.hasIPOptions = headerLength > 20
    packet.wasFragmented = false
    if !vouched {
      var checksum = InternetChecksum()
      checksum.add(bytes.extracting(0..<headerLength))
      guard checksum.folded == 0xffff else { return .wrongHeaderChecksum }
    }
    let captured = min(bytes.byteCount, length)
    let fragment = bytes.u16(at: 6)
    let payload = bytes.extracting(headerLength..<captured)
    if fragment & 0x3fff == 0 {
      return decodeTransport(payload, bytes.u8(at: 9), length &- headerLength, vouched, &packet)
    }
    return reassemble(
      payload, protocol: bytes.u8(at: 9), identification: UInt32(bytes.u16(at: 4)),
      offset: Int(fragment & 0x1fff) &* 8, more: fragment & 0x2000 != 0, length: length &- headerLength, &packet)
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
    packet.hasIPOptions = false
    packet.wasFragmented = false
    let payloadLength = Int(bytes.u16(at: 4))
    let end = payloadLength == 0 ? bytes.byteCount : 40 &+ payloadLength
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
        return decodeTransport(bytes.extracting(offset..<captured), next, end &- offset, vouched, &packet)
      }
    }
    return .malformed
  }

  private mutating func reassemble(
    _ payload: RawSpan, protocol number: UInt8, identification: UInt32, offset: Int, more: Bool, length: Int,
    _ packet: inout Packet
  ) -> DecodeOutcome {
    guard number == 6 || number == 17 else { return .otherProtocol }
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
    return unsafe decodeTransport(
      header.bytes.span.extracting(0..<header.count).bytes, number, header.length ?? header.count, false, &packet,
      isWhole: header.length != nil)
  }

  private func decodeTransport(
    _ payload: RawSpan, _ number: UInt8, _ length: Int, _ vouched: Bool, _ packet: inout Packet, isWhole: Bool = true
  ) -> DecodeOutcome {
    switch number {
    case 6:  // RFC 9293 section 3.1
      guard payload.byteCount >= 20 else { return .truncated }
      let headerLength = Int(payload.u8(at: 12) >> 4) &* 4
      guard headerLength >= 20, headerLength <= length || !isWhole else { return .malformed }
      packet.transport = .tcp
      packet.flags = TCPFlags(rawValue: payload.u8(at: 13))
      packet.tcpOptionsLength = UInt8(headerLength &- 20)
      packet.window = payload.u16(at: 14)
      packet.sequence = payload.u32(at: 4)
      packet.acknowledgment = payload.u32(at: 8)
      packet.payloadLength = UInt16(clamping: length &- headerLength)
    case 17:  // RFC 768
      guard payload.byteCount >= 8 else { return .truncated }
      packet.transport = .udp
      packet.flags = []
      packet.tcpOptionsLength = 0
      packet.window = 0
      packet.sequence = 0
      packet.acknowledgment = 0
      // The datagram may end before the IP packet does (surplus area, RFC 9868), never after it. A length of 0 is a
      // jumbogram over IPv6 (RFC 2675 section 4), and nothing over IPv4.
      let own = Int(payload.u16(at: 4))
      let datagram = own == 0 && !packet.source.isV4 ? length : own
      guard datagram >= 8, datagram <= length || !isWhole else { return .malformed }
      packet.payloadLength = UInt16(clamping: datagram &- 8)
    default:
      return .otherProtocol
    }
    packet.sourcePort = payload.u16(at: 0)
    packet.targetPort = payload.u16(at: 2)
    packet.checksum = vouched ? .valid : checksum(of: payload, number, length, isWhole, packet)
    return .packet
  }

  private func checksum(
    of payload: RawSpan, _ number: UInt8, _ length: Int, _ isWhole: Bool, _ packet: Packet
  ) -> ChecksumState {
    // A UDP checksum covers what UDP says is its own.
    let length = number == 17 ? Int(packet.payloadLength) &+ 8 : length
    guard isWhole, payload.byteCount >= length else { return .unknown }
    // A UDP checksum of zero means "none" over IPv4 (RFC 768) and is forbidden over IPv6 (RFC 8200 section 8.1).
    if number == 17, payload.u16(at: 6) == 0 { return packet.source.isV4 ? .valid : .wrong }
    var sum = InternetChecksum()
    sum.add(packet.source)
    sum.add(packet.target)
    sum.sum &+= UInt64(number) &+ UInt64(length)
    sum.add(payload.extracting(0..<length))
    return sum.folded == 0xffff ? .valid : .wrong
  }
}
