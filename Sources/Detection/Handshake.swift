/// How far a connection has come, by the packets that were seen of it.
struct Handshake: BitwiseCopyable {
  /// The sequence number of the SYN, and that of the SYN/ACK.
  var sequence: UInt32 = 0
  var answer: UInt32 = 0
  var knowsAnswer = false
  /// The client has acknowledged something.
  var isComplete = false
  /// The client has acknowledged `answer`: of 4,294,967,296 numbers one is right, so it has received it.
  var isProven = false

  /// What a packet of the client makes of it.
  enum Step {
    case open
    /// Something was said.
    case spoke
    /// It ended without a word.
    case silent
  }

  /// Takes a packet of the client: an ACK, data, FIN or RST.
  @inline(__always)
  mutating func take(_ segment: Segment) -> Step {
    if !isComplete {
      if knowsAnswer, segment.flags.contains(.ack), segment.acknowledgment == answer &+ 1 { isProven = true }
      isComplete = true
    }
    let said = segment.sequence &- sequence &- 1
    if segment.payloadLength > 0 || (said > 0 && said < 1 << 30) { return .spoke }
    return segment.flags.rawValue & 0x05 != 0 && said == 0 ? .silent : .open
  }
}
