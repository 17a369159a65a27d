import Wire

/// What the state of a connection depends on in a packet: ends, numbers, and whether it says anything.
package struct Segment: Sendable, BitwiseCopyable {
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

  /// The client's first packet.
  package init(
    _ source: IPAddress, _ sourcePort: UInt16, _ target: IPAddress, _ targetPort: UInt16, _ time: Timestamp,
    sequence: UInt32 = 0, flags: TCPFlags = .syn
  ) {
    (self.source, self.sourcePort, self.target, self.targetPort) = (source, sourcePort, target, targetPort)
    (self.sequence, self.acknowledgment, self.flags, self.payloadLength, self.time) = (sequence, 0, flags, 0, time)
  }

  /// Names the connection that it is the client's packet of.
  @inline(__always)
  func key(_ hash: KeyedHash) -> UInt64 { hash(source, sourcePort, target, targetPort, 6) }

  /// Names the connection that it is the server's packet of.
  @inline(__always)
  func reverseKey(_ hash: KeyedHash) -> UInt64 { hash(target, targetPort, source, sourcePort, 6) }

  /// For counting masses.
  @inline(__always)
  var point: FloodWatch.Point { FloodWatch.Point(source: source, target: target, port: targetPort, time: time) }
}
