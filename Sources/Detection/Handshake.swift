/// How far a connection has come, by the packets that were seen of it.
struct Handshake: BitwiseCopyable {
  /// The sequence number of the SYN, and that of the SYN/ACK.
  var sequence: UInt32 = 0
  var answer: UInt32 = 0
  var knowsAnswer = false
  /// The client has acknowledged something.
  var isComplete = false
  /// The server has said something, by what the client acknowledges: who only listens (FTP data) is not silent.
  var hasHeard = false
  /// The client has acknowledged `answer`: of 4,294,967,296 numbers one is right, so it has received it.
  var isProven = false

  /// What a packet of the client makes of it.
  enum Step {
    case open
    /// Something was said.
    case spoke
    /// It ended without a word.
    case silent
    /// The client heard something to its end, and said nothing. Who hangs up (RST) in the midst of it is silent: connect scanners do.
    case listened
  }

  /// Takes a packet of the client: an ACK, data, FIN or RST.
  @inline(__always)
  mutating func follow(_ segment: Segment) -> Step {
    if !isComplete {
      if knowsAnswer, segment.flags.contains(.ack), segment.acknowledgment == answer &+ 1 { isProven = true }
      isComplete = true
    }
    if knowsAnswer, segment.flags.contains(.ack) {
      // The server's FIN counts one.
      let heard = segment.acknowledgment &- answer &- 1
      if heard > 1, heard < 1 << 30 { hasHeard = true }
    }
    let said = segment.sequence &- sequence &- 1
    if segment.payloadLength > 0 || (said > 0 && said < 1 << 30) { return .spoke }
    guard segment.flags.rawValue & 0x05 != 0, said == 0 else { return .open }
    return hasHeard && !segment.flags.contains(.rst) ? .listened : .silent
  }
}
