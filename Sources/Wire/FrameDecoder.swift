/// Frames of any link type → packets, and why not. Time is kept from running back, as the packet ring does.
package struct FrameDecoder: Sendable {
  private var decoder = PacketDecoder()
  private var lastTime = Timestamp.distantPast
  private var outcomes = InlineArray<16, UInt64>(repeating: 0)
  private var notIP: UInt64 = 0
  private var truncated: UInt64 = 0
  private var unsupported: UInt64 = 0

  package init() {}

  /// Fills in `packet` and lends it with the datagram's bytes; does nothing where there is no packet.
  ///
  /// - Parameters:
  ///   - isLocal: whether an address is one of the host that captured. What such a one sends may be captured before the network
  ///     card has filled in the checksums.
  ///   - body: gets what the packet is (`DecodeOutcome.isDecoded`), the datagram from its IP header on, and who sent it, as
  ///     far as the link layer tells.
  @inline(__always)
  package mutating func decode(
    _ frame: RawSpan, linkType: UInt32, direction: LinkLayer.Direction, time: Timestamp, into packet: inout Packet,
    isLocal: (IPAddress) -> Bool, _ body: (inout Packet, RawSpan, DecodeOutcome, LinkLayer.Direction) -> Void
  ) {
    var offset = 14
    var found = direction
    // Untagged Ethernet with IP is nearly everything.
    if linkType != 1 || frame.byteCount < 14 || !Self.isIP(frame.u16(at: 12)) {
      switch LinkLayer.locate(frame, linkType: linkType) {
      case .ip(let place, let linkDirection):
        offset = place
        if linkDirection != .unknown { found = linkDirection }
      case .notIP:
        notIP &+= 1
        return
      case .truncated:
        truncated &+= 1
        return
      case .unsupportedLink:
        unsupported &+= 1
        return
      }
    }
    let bytes = frame.extracting(offset..<frame.byteCount)
    // Two queues of a network card may be stamped a little out of order; more than a second back is believed.
    let back = lastTime.nanoseconds &- time.nanoseconds
    packet.time = back > 0 && back < 1_000_000_000 ? lastTime : time
    lastTime = packet.time
    var outcome = decoder.decode(bytes, checksumVouched: found == .outgoing, into: &packet)
    if outcome == .wrongHeaderChecksum, isLocal(packet.source) {
      outcome = decoder.decode(bytes, checksumVouched: true, into: &packet)
    }
    if outcome.isDecoded { return body(&packet, bytes, outcome, found) }
    outcomes[Int(outcome.rawValue)] &+= 1
  }

  @inline(__always)
  private static func isIP(_ type: UInt16) -> Bool { type == 0x0800 || type == 0x86dd }

  /// What held no packet, by reason.
  package var undecoded: [(reason: String, count: UInt64)] {
    var result: [(String, UInt64)] = [("unsupported link type", unsupported)]
    for outcome in DecodeOutcome.allCases where !outcome.isDecoded {
      let more = outcome == .notIP ? notIP : outcome == .truncated ? truncated : 0
      result.append((outcome.reason, outcomes[Int(outcome.rawValue)] &+ more))
    }
    return result.filter { $0.1 > 0 }
  }
}
