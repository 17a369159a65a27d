/// Frames of any link type → packets, and why not. Time is kept from running back, as the packet ring does.
///
/// Two steps, as a span cannot be handed out of a function: `locate` finds the datagram, `decode` takes it apart.
package struct FrameDecoder: Sendable {
  /// Where in a frame the datagram begins, and who sent it, as far as the link layer or the file tells.
  package struct Place: Sendable, BitwiseCopyable {
    package var offset: Int
    package var direction: LinkLayer.Direction
  }

  private var decoder = PacketDecoder()
  private var lastTime = Timestamp.distantPast
  private var outcomes = InlineArray<16, UInt64>(repeating: 0)
  private var notIP: UInt64 = 0
  private var truncated: UInt64 = 0
  private var unsupported: UInt64 = 0

  package init() {}

  /// Finds the IP datagram in a frame; nil, and counted by reason, where there is none.
  @inline(__always)
  package mutating func locate(_ frame: RawSpan, linkType: UInt32, direction: LinkLayer.Direction) -> Place? {
    // Untagged Ethernet with IP is nearly everything.
    if linkType == 1, frame.byteCount >= 14 {
      let type = frame.u16(at: 12)
      if type == 0x0800 || type == 0x86dd { return Place(offset: 14, direction: direction) }
    }
    return locateElsewhere(frame, linkType, direction)
  }

  private mutating func locateElsewhere(
    _ frame: RawSpan, _ linkType: UInt32, _ direction: LinkLayer.Direction
  ) -> Place? {
    switch LinkLayer.locate(frame, linkType: linkType) {
    case .ip(let offset, let found):
      return Place(offset: offset, direction: found == .unknown ? direction : found)
    case .notIP: notIP &+= 1
    case .truncated: truncated &+= 1
    case .unsupportedLink: unsupported &+= 1
    }
    return nil
  }

  /// Takes the datagram in `bytes` apart.
  ///
  /// - Parameters:
  ///   - isVouched: the host itself sent it, so that it may have been captured before the network card filled in the
  ///     checksums.
  ///   - packet: filled in as `PacketDecoder.decode` says, with its time.
  package mutating func decode(
    _ bytes: RawSpan, time: Timestamp, isVouched: Bool, into packet: inout Packet
  ) -> DecodeOutcome {
    // Two queues of a network card may be stamped a little out of order; more than a second back is believed.
    let back = lastTime.nanoseconds &- time.nanoseconds
    packet.time = back > 0 && back < 1_000_000_000 ? lastTime : time
    lastTime = packet.time
    let outcome = decoder.decode(bytes, checksumVouched: isVouched, into: &packet)
    if !outcome.isDecoded { outcomes[Int(outcome.rawValue)] &+= 1 }
    return outcome
  }

  /// Takes a datagram apart once more that had a wrong header checksum: its source turned out to be this host.
  package mutating func decodeOwn(_ bytes: RawSpan, into packet: inout Packet) -> DecodeOutcome {
    outcomes[Int(DecodeOutcome.wrongHeaderChecksum.rawValue)] &-= 1
    return decode(bytes, time: packet.time, isVouched: true, into: &packet)
  }

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
