import TestSupport
import Testing
import Wire

/// One of each kind that is decoded whole.
private let kinds: [(name: String, builder: PacketBuilder)] = [
  ("TCP over IPv4", PacketBuilder()),
  (
    "TCP with options and payload",
    PacketBuilder().with {
      $0.tcpOptions = PacketBuilder.timestamps
      $0.payload = [1, 2, 3]
      $0.flags = [.psh, .ack]
      $0.acknowledgment = 9
    }
  ),
  ("TCP over IPv4 with IP options", PacketBuilder().with { $0.ipOptions = [0x94, 4, 0, 0] }),
  ("UDP over IPv4", PacketBuilder(.udp, 53, 69).with { $0.payload = Array("query".utf8) }),
  ("empty UDP over IPv4", PacketBuilder(.udp)),
  ("TCP over IPv6", PacketBuilder(from: "2001:db8::7", to: "2001:db8::10")),
  ("UDP over IPv6", PacketBuilder(.udp, from: "2001:db8::7", to: "2001:db8::10").with { $0.payload = [1] }),
  ("TCP behind a hop-by-hop header", extended([(0, 8)])),
  (
    "TCP behind routing, destination options, mobility, HIP and shim6",
    extended([(43, 24), (60, 16), (135, 8), (139, 40), (140, 8)])
  ),
  ("TCP behind an authentication header", extended([(51, 24)])),
  ("TCP in an atomic fragment", extended([(44, 8)])),
  ("UDP behind options in an atomic fragment", extended([(0, 8), (44, 8), (60, 8)]).with { $0.transport = .udp }),
]

private func extended(_ headers: [(UInt8, Int)]) -> PacketBuilder {
  PacketBuilder(from: "2001:db8::7", to: "2001:db8::10").with {
    $0.extensions = headers.map { ($0.0, [UInt8](repeating: 0, count: $0.1)) }
  }
}

@Suite struct PacketDecoderTests {
  private static func decode(_ bytes: [UInt8], vouched: Bool = false) -> (outcome: DecodeOutcome, packet: Packet) {
    var decoder = PacketDecoder()
    return decoder.decode(bytes, vouched: vouched)
  }

  @Test("Taken apart", arguments: kinds.indices)
  func takenApart(index: Int) {
    let (name, builder) = kinds[index]
    let (outcome, packet) = Self.decode(builder.datagram)
    #expect(outcome == .packet, "\(name)")
    #expect(packet.source == builder.source)
    #expect(packet.target == builder.target)
    #expect(packet.sourcePort == builder.sourcePort)
    #expect(packet.targetPort == builder.targetPort)
    #expect(packet.transport == builder.transport)
    #expect(packet.hopLimit == builder.hopLimit)
    #expect(packet.checksum == .valid, "\(name)")
    #expect(
      packet.hasIPOptions
        == (!builder.ipOptions.isEmpty || builder.extensions.contains { ![44, 51].contains($0.number) }))
    #expect(!packet.wasFragmented)
    #expect(Int(packet.payloadLength) == builder.payload.count)
    if builder.transport == .tcp {
      #expect(packet.flags == builder.flags)
      #expect(Int(packet.tcpOptionsLength) == builder.tcpOptions.count)
      #expect(packet.window == builder.window)
      #expect(packet.sequence == builder.sequence)
      #expect(packet.acknowledgment == builder.acknowledgment)
    } else {
      #expect(packet.flags == [] && packet.window == 0 && packet.sequence == 0 && packet.tcpOptionsLength == 0)
    }
  }

  @Test("Cut at each length", arguments: kinds.indices)
  func cut(index: Int) {
    let (name, builder) = kinds[index]
    let whole = builder.datagram
    // As far as the transport header reaches, it can be judged; the checksum is then open.
    let judged = whole.count - builder.payload.count - builder.tcpOptions.count
    for length in 0..<whole.count {
      let (outcome, packet) = Self.decode(Array(whole[..<length]))
      if length < judged {
        #expect(outcome == .truncated, "\(name), \(length) of \(whole.count) bytes")
      } else {
        #expect(outcome == .packet && packet.checksum == .unknown, "\(name), \(length) of \(whole.count) bytes")
        #expect(Int(packet.payloadLength) == builder.payload.count)
      }
    }
  }

  @Test("Trailing bytes of a short Ethernet frame are not the packet's", arguments: kinds.indices)
  func padded(index: Int) {
    let (outcome, packet) = Self.decode(kinds[index].builder.datagram + [0xff, 0xff, 0xff])
    #expect(outcome == .packet && packet.checksum == .valid)
    #expect(Int(packet.payloadLength) == kinds[index].builder.payload.count)
  }

  @Test func wrongChecksums() {
    for (name, builder) in kinds {
      let (outcome, packet) = Self.decode(builder.with { $0.transportChecksum = .wrong }.datagram)
      #expect(outcome == .packet && packet.checksum == .wrong, "\(name)")
      let (_, vouched) = Self.decode(builder.with { $0.transportChecksum = .wrong }.datagram, vouched: true)
      #expect(vouched.checksum == .valid, "\(name): the device knows better")
    }
    #expect(Self.decode(PacketBuilder().with { $0.headerChecksum = .wrong }.datagram).outcome == .wrongHeaderChecksum)
    // An outgoing packet whose checksums the device is still to fill in.
    #expect(Self.decode(PacketBuilder().with { $0.headerChecksum = .wrong }.datagram, vouched: true).outcome == .packet)
  }

  /// A datagram changed by hand, its header checksum mended.
  private static func changed(_ builder: PacketBuilder, _ change: (inout [UInt8]) -> Void) -> [UInt8] {
    var bytes = builder.datagram
    change(&bytes)
    return builder.source.isV4 ? PacketBuilder.mendHeader(bytes) : bytes
  }

  @Test func oddIPv4Headers() {
    let tcp = PacketBuilder()
    for length: UInt8 in 0..<5 {
      #expect(Self.decode(Self.changed(tcp) { $0[0] = 0x40 | length }, vouched: true).outcome == .malformed)
    }
    #expect(Self.decode(Self.changed(tcp) { $0[0] = 0x4f }, vouched: true).outcome == .malformed)
    #expect(Self.decode(Self.changed(tcp) { ($0[0], $0[3]) = (0x4f, 60) }, vouched: true).outcome == .truncated)
    #expect(Self.decode(Self.changed(tcp) { ($0[2], $0[3]) = (0, 19) }).outcome == .malformed)
    // Nothing behind the header.
    #expect(Self.decode(Self.changed(tcp) { ($0[2], $0[3]) = (0, 20) }).outcome == .truncated)
    // The total length is 0 in a giant segment still to be cut up: what is there counts.
    let giant = Self.decode(Self.changed(tcp.with { $0.payload = [1, 2] }) { ($0[2], $0[3]) = (0, 0) })
    #expect(giant.outcome == .packet && giant.packet.payloadLength == 2)
    for version: UInt8 in 0..<16 where version != 4 && version != 6 {
      #expect(Self.decode(Self.changed(tcp) { $0[0] = version << 4 | 5 }).outcome == .notIP)
    }
    for number: UInt8 in [0, 2, 4, 41, 47, 50, 58, 255] {
      let (outcome, packet) = Self.decode(Self.changed(tcp) { $0[9] = number })
      #expect(outcome == .otherProtocol && packet.protocolNumber == number)
    }
    #expect(Self.decode(Self.changed(tcp) { $0[9] = 1 }).outcome == .icmp)
    #expect(Self.decode(Self.changed(tcp) { $0[9] = 132 }).outcome == .sctp)
    // Neither the reserved bit nor "don't fragment" makes a fragment.
    #expect(Self.decode(Self.changed(tcp) { $0[6] = 0xc0 }).outcome == .packet)
  }

  @Test func icmpSaysWhatItIsAbout() {
    // "Port unreachable" from 203.0.113.7 about a datagram that 192.0.2.10 sent to 198.51.100.9.
    let quoted = PacketBuilder(.udp, from: "192.0.2.10", 4321, to: "198.51.100.9", 53).datagram
    let error: [UInt8] = [3, 3, 0, 0, 0, 0, 0, 0] + quoted
    func packet(_ body: [UInt8], _ number: UInt8 = 1) -> (outcome: DecodeOutcome, packet: Packet) {
      var bytes = Array(PacketBuilder().datagram.prefix(20)) + body
      (bytes[2], bytes[3], bytes[9]) = (UInt8(bytes.count >> 8), UInt8(bytes.count & 255), number)
      return Self.decode(PacketBuilder.mendHeader(bytes))
    }
    let (outcome, whole) = packet(error)
    #expect(outcome == .icmp && whole.messageType == 3 && whole.messageCode == 3)
    #expect(whole.quotedProtocol == 17 && whole.quotedTarget == IPAddress("198.51.100.9")!)
    #expect(whole.sourcePort == 4321 && whole.targetPort == 53)
    // Cut short, it says as much as is there, and nothing of the packet before.
    for length in 8..<error.count {
      let cut = packet(Array(error.prefix(length))).packet
      #expect(cut.messageType == 3 && (length >= 28) == (cut.quotedProtocol == 17))
      #expect((length >= 32) == (cut.targetPort == 53))
    }
    #expect(packet([3, 3, 0, 0]).outcome == .truncated)
    // An echo is about nothing, whatever its data looks like.
    #expect(packet([8, 0] + error.dropFirst(2)).packet.quotedProtocol == 0)
    let sctp = packet([0x1f, 0x90, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 20], 132)
    #expect(sctp.outcome == .sctp && sctp.packet.sourcePort == 8080 && sctp.packet.targetPort == 80)
    #expect(sctp.packet.messageType == 1)
  }

  @Test(
    "The options of a SYN",
    arguments: [
      ([], 0x1, 0, 0), ([2, 4, 5, 180], 0x12, 1460, 0),
      ([2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7], 0x13_1842, 1460, 7),
      ([1, 1, 1, 0], 0x1_0111, 0, 0), ([254, 4, 0, 0], 0x1f, 0, 0), ([2, 4, 5], 0x12, 0, 0),
      ([2, 0, 5, 180], 0x12, 0, 0),
      ([UInt8](repeating: 1, count: 40), 0x1_1111_1111_1111, 0, 0),
    ] as [([UInt8], UInt64, UInt16, UInt8)])
  func options(bytes: [UInt8], kinds: UInt64, segment: UInt16, scale: UInt8) {
    let options = unsafe SYNOptions(bytes.span.bytes)
    #expect(options.kinds == kinds)
    #expect(options.maximumSegmentSize == segment && options.windowScale == scale)
  }

  @Test func oddTCPHeaders() {
    for length: UInt8 in 0..<16 {
      let (outcome, packet) = Self.decode(
        Self.changed(PacketBuilder().with { $0.payload = [0, 0, 0, 0] }) { $0[32] = length << 4 })
      // 24 bytes are there: a header of 5 or 6 words.
      #expect(outcome == (length == 5 || length == 6 ? .packet : .malformed), "data offset \(length)")
      if outcome == .packet { #expect(packet.tcpOptionsLength == length * 4 - 20) }
    }
  }

  @Test func aUDPChecksumOfZero() {
    let v4 = Self.decode(PacketBuilder(.udp).with { $0.transportChecksum = .written(0) }.datagram)
    #expect(v4.outcome == .packet && v4.packet.checksum == .valid)
    let v6 = PacketBuilder(.udp, from: "2001:db8::7", to: "2001:db8::10").with { $0.transportChecksum = .written(0) }
    #expect(Self.decode(v6.datagram).packet.checksum == .wrong)
  }

  @Test("A UDP length that the IP length contradicts", arguments: ["192.0.2.10", "2001:db8::10"])
  func udpLengths(target: String) {
    let builder = PacketBuilder(.udp, from: target.contains(":") ? "2001:db8::7" : "203.0.113.7", to: target)
      .with { $0.payload = [1, 2, 3, 4] }
    let at = target.contains(":") ? 44 : 24
    for length: UInt8 in [1, 7, 13, 255] {
      #expect(Self.decode(Self.changed(builder) { $0[at + 1] = length }).outcome == .malformed, "length \(length)")
    }
    // Bytes behind the datagram are no part of it (the surplus area of RFC 9868): every host takes it, so it counts.
    var bytes = builder.datagram + [9, 9, 9]
    if target.contains(":") { bytes[5] += 3 } else { bytes[3] += 3 }
    if !target.contains(":") { bytes = PacketBuilder.mendHeader(bytes) }
    let (outcome, packet) = Self.decode(bytes)
    #expect(outcome == .packet && packet.checksum == .valid && packet.payloadLength == 4)
  }

  @Test("An IPv6 header with an IPv4 address in it accuses no IPv4 host")
  func mappedAddresses() {
    // RFC 4291 section 2.5.5.2 addresses are for the programming interface; Linux drops them on the wire.
    let builder = PacketBuilder(from: "2001:db8::7", to: "2001:db8::10")
    let mapped = IPAddress(v4: 0xcb00_7107)
    var source = builder.datagram
    source.replaceSubrange(8..<24, with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] + mapped.bytes)
    #expect(Self.decode(source, vouched: true).outcome == .malformed)
    var target = builder.datagram
    target.replaceSubrange(24..<40, with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] + mapped.bytes)
    #expect(Self.decode(target, vouched: true).outcome == .malformed)
  }

  @Test func chainsOfExtensionHeaders() {
    let outcomes = [14, 15, 16, 17].map { count in
      Self.decode(extended(Array(repeating: (60, 8), count: count)).datagram).outcome
    }
    #expect(outcomes == [.packet, .packet, .malformed, .malformed])
    // An extension header that says it is longer than the packet.
    var bytes = extended([(60, 8)]).datagram
    bytes[41] = 200
    #expect(Self.decode(bytes).outcome == .truncated)
    // No next header (RFC 8200 section 4.7), the ICMP of the other family, one nobody knows, and ICMPv6.
    for (next, expected) in [
      (59, DecodeOutcome.otherProtocol), (1, .otherProtocol), (253, .otherProtocol), (58, .icmp),
    ] {
      var bytes = extended([(60, 8)]).datagram
      bytes[40] = UInt8(next)
      #expect(Self.decode(bytes).outcome == expected)
    }
  }

  @Test func randomBytesNeverTrap() {
    var random = SeededGenerator(seed: 7)
    var decoder = PacketDecoder()
    var seen: Set<DecodeOutcome> = []
    for _ in 0..<20_000 {
      var bytes = random.bytes(Int.random(in: 0...90, using: &random))
      if !bytes.isEmpty { bytes[0] = random.chance(50) ? 0x45 : 0x60 }
      if bytes.count > 9 {
        bytes[random.chance(50) ? 9 : 6] = [6, 17, 44, 0, 43, 51, 60].randomElement(using: &random)!
      }
      seen.insert(decoder.decode(bytes, vouched: true).outcome)
    }
    #expect(seen.isSuperset(of: [.packet, .fragment, .otherProtocol, .truncated, .malformed]))
  }
}
