import Wire

/// Makes IP datagrams for tests, right in every field unless told otherwise.
///
/// Shares no code with the decoder: lengths and checksums are computed here by other means.
package struct PacketBuilder: Sendable {
  package enum Checksum: Sendable {
    case right
    case wrong
    /// This number, whatever the right one is.
    case written(UInt16)
  }

  package var source: IPAddress
  package var target: IPAddress
  package var transport: TransportProtocol
  package var sourcePort: UInt16
  package var targetPort: UInt16
  package var flags: TCPFlags = .syn
  package var sequence: UInt32 = 0x0102_0304
  package var acknowledgment: UInt32 = 0
  package var window: UInt16 = 1024
  /// A multiple of 4 bytes, at most 40.
  package var tcpOptions: [UInt8] = []
  package var payload: [UInt8] = []
  package var hopLimit: UInt8 = 64
  package var identification: UInt16 = 0x4d2
  /// A multiple of 4 bytes, at most 40.
  package var ipOptions: [UInt8] = []
  /// IPv6 extension headers in order; the first two bytes of each are filled in.
  package var extensions: [(number: UInt8, bytes: [UInt8])] = []
  package var transportChecksum = Checksum.right
  package var headerChecksum = Checksum.right

  package init(
    _ transport: TransportProtocol = .tcp, from source: String = "203.0.113.7", _ sourcePort: UInt16 = 40_000,
    to target: String = "192.0.2.10", _ targetPort: UInt16 = 23, flags: TCPFlags = .syn
  ) {
    self.transport = transport
    self.source = IPAddress(source)!
    self.target = IPAddress(target)!
    self.sourcePort = sourcePort
    self.targetPort = targetPort
    self.flags = flags
  }

  /// The same with other fields: `builder.with { $0.flags = .fin }`.
  package func with(_ change: (inout PacketBuilder) -> Void) -> PacketBuilder {
    var copy = self
    change(&copy)
    return copy
  }

  /// 10 bytes of timestamps and two of padding, as every real stack sends them after the handshake (RFC 7323).
  package static let timestamps: [UInt8] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]

  /// TCP or UDP header with payload.
  package var segment: [UInt8] {
    var bytes = Self.big(sourcePort) + Self.big(targetPort)
    let checksumOffset: Int
    switch transport {
    case .tcp:
      bytes += Self.big(sequence) + Self.big(acknowledgment)
      bytes += [UInt8(5 + tcpOptions.count / 4) << 4, flags.rawValue] + Self.big(window) + [0, 0, 0, 0]
      bytes += tcpOptions
      checksumOffset = 16
    case .udp:
      bytes += Self.big(UInt16(8 + payload.count)) + [0, 0]
      checksumOffset = 6
    }
    bytes += payload
    let addresses = Self.pseudoAddress(source) + Self.pseudoAddress(target)
    var right = Self.checksum(addresses + [0, transport.rawValue] + Self.big(UInt16(bytes.count)) + bytes)
    if transport == .udp, right == 0 { right = 0xffff }
    let value = Self.value(transportChecksum, right)
    bytes[checksumOffset] = UInt8(value >> 8)
    bytes[checksumOffset + 1] = UInt8(value & 255)
    return bytes
  }

  private static func pseudoAddress(_ address: IPAddress) -> [UInt8] { address.bytes }

  /// The whole datagram.
  package var datagram: [UInt8] {
    source.isV4 ? v4(segment) : v6(segment)
  }

  /// The datagram cut into fragments that carry `size` bytes each (a multiple of 8).
  package func fragments(of size: Int) -> [[UInt8]] { fragments(cut: segment, size: size) }

  package func fragments(cut whole: [UInt8], size: Int) -> [[UInt8]] {
    stride(from: 0, to: whole.count, by: size).map { offset in
      let end = min(offset + size, whole.count)
      return fragment(Array(whole[offset..<end]), at: offset, more: end < whole.count)
    }
  }

  /// One fragment with any content at any place.
  package func fragment(_ bytes: [UInt8], at offset: Int, more: Bool) -> [UInt8] {
    if source.isV4 { return v4(bytes, fragment: UInt16(offset / 8) | (more ? 0x2000 : 0)) }
    let field = UInt16(offset & 0xfff8) | (more ? 1 : 0)
    let header = [0, 0] + Self.big(field) + Self.big(UInt32(identification))
    return with { $0.extensions.append((44, header)) }.v6(bytes)
  }

  private func v4(_ content: [UInt8], fragment: UInt16 = 0) -> [UInt8] {
    var bytes: [UInt8] = [0x40 | UInt8(5 + ipOptions.count / 4), 0]
    bytes += Self.big(UInt16(20 + ipOptions.count + content.count)) + Self.big(identification) + Self.big(fragment)
    bytes += [hopLimit, transport.rawValue, 0, 0] + source.bytes + target.bytes + ipOptions
    let value = Self.value(headerChecksum, Self.checksum(bytes))
    bytes[10] = UInt8(value >> 8)
    bytes[11] = UInt8(value & 255)
    return bytes + content
  }

  private func v6(_ content: [UInt8]) -> [UInt8] {
    var chain: [UInt8] = []
    for (index, header) in extensions.enumerated() {
      var bytes = header.bytes
      bytes[0] = index + 1 < extensions.count ? extensions[index + 1].number : transport.rawValue
      switch header.number {
      case 44: bytes[1] = 0
      case 51: bytes[1] = UInt8(bytes.count / 4 - 2)
      default: bytes[1] = UInt8(bytes.count / 8 - 1)
      }
      chain += bytes
    }
    let next = extensions.first?.number ?? transport.rawValue
    return [0x60, 0, 0, 0] + Self.big(UInt16(chain.count + content.count)) + [next, hopLimit] + source.bytes
      + target.bytes + chain + content
  }

  /// Sets the IPv4 header checksum right after a test has changed the header by hand.
  package static func mendHeader(_ datagram: [UInt8]) -> [UInt8] {
    var bytes = datagram
    let length = Int(bytes[0] & 15) * 4
    guard length <= bytes.count, length >= 12 else { return bytes }
    bytes[10] = 0
    bytes[11] = 0
    let value = checksum(Array(bytes[..<length]))
    bytes[10] = UInt8(value >> 8)
    bytes[11] = UInt8(value & 255)
    return bytes
  }

  /// The checksum field for these bytes, computed the slow way: one 16-bit word after another with end-around carry.
  package static func checksum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
      sum += UInt32(bytes[index]) << 8 + (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
      if sum > 0xffff { sum -= 0xffff }
    }
    return ~UInt16(sum)
  }

  private static func value(_ checksum: Checksum, _ right: UInt16) -> UInt16 {
    switch checksum {
    case .right: right
    case .wrong: right ^ 0x0101
    case .written(let value): value
    }
  }

  package static func big(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
  package static func big(_ value: UInt32) -> [UInt8] { big(UInt16(value >> 16)) + big(UInt16(value & 0xffff)) }
}

extension PacketDecoder {
  /// Decodes a datagram in an array and computes its checksum; `packet` is as it was unless the outcome is `.packet`.
  package mutating func decode(
    _ bytes: [UInt8], at time: Timestamp = Timestamp(seconds: 1_700_000_000), vouched: Bool = false
  ) -> (outcome: DecodeOutcome, packet: Packet) {
    var packet = Packet()
    packet.time = time
    let outcome = unsafe decode(bytes.span.bytes, checksumVouched: vouched, into: &packet)
    if outcome == .packet { unsafe packet.verify(in: bytes.span.bytes) }
    return (outcome, packet)
  }
}
