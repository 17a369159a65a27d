import Wire

/// What the state of a connection depends on in a packet: ends, numbers, and whether it says anything.
struct Segment: BitwiseCopyable {
  let source: IPAddress
  let target: IPAddress
  let sourcePort: UInt16
  let targetPort: UInt16
  let sequence: UInt32
  let acknowledgment: UInt32
  let flags: TCPFlags
  let payloadLength: Int
  let time: Timestamp

  @inline(__always)
  init(_ packet: borrowing Packet) {
    source = packet.source
    target = packet.target
    sourcePort = packet.sourcePort
    targetPort = packet.targetPort
    sequence = packet.sequence
    acknowledgment = packet.acknowledgment
    flags = packet.flags
    payloadLength = Int(packet.payloadLength)
    time = packet.time
  }

  @inline(__always)
  init(_ head: FrameHead, _ time: Timestamp) {
    source = IPAddress(v4: head.source)
    target = IPAddress(v4: head.target)
    sourcePort = head.sourcePort
    targetPort = head.targetPort
    sequence = head.sequence
    acknowledgment = head.acknowledgment
    flags = head.flags
    payloadLength = head.payloadLength
    self.time = time
  }

  /// For counting masses.
  @inline(__always)
  var point: FloodWatch.Point { FloodWatch.Point(source: source, target: target, port: targetPort, time: time) }
}
