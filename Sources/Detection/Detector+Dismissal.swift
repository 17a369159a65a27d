import Memory
import Wire

/// Why a packet might be no probe, in order.
extension Detector {
  @inline(__always)
  mutating func dismissal(of packet: inout Packet, _ bytes: RawSpan) -> Dismissal? {
    if packet.isOutgoing {
      if landscape.isLocal(packet.source) { noteOutgoing(&packet) }
      return .outgoing
    }
    // Whatever is called local: what goes to many was not meant for us.
    if !landscape.isLocal(packet.target) || packet.target.isMulticast || packet.target.isLimitedBroadcast {
      return .notOurs
    }
    return packet.transport == .tcp ? tcpDismissal(&packet, bytes) : udpDismissal(&packet, bytes)
  }

  @inline(__always)
  mutating func tcpDismissal(_ packet: inout Packet, _ bytes: RawSpan) -> Dismissal? {
    let flags = packet.flags
    let isServed = settings.checksServices && landscape.serves(.tcp, packet.target, packet.targetPort)
    if flags.contains(.ack), !flags.contains(.rst), !flags.contains(.syn) {
      // Nearly all packets of nearly all captures end here.
      if isServed {
        if flags.contains(.fin)
          || (packet.payloadLength == 0 && ends.mayComplete(packet.source.low, packet.sourcePort))
        {
          progress(Segment(packet))
        }
        return .served
      }
      return acknowledgmentDismissal(&packet, bytes)
    }
    // Every answer to a packet of ours carries one of these (RFC 9293 section 3.10.7.1); so does backscatter.
    if flags.contains(.rst) || flags.isSuperset(of: .synAck) {
      noteAnswer(&packet, isServed: isServed)
      return .answer
    }
    if isServed { noteService(packet.targetPort, packet.time) }
    if isServed, flags.subtracting(.congestion) == .syn {
      let mayBeRaw = ToolMark.mayBeRaw(packet)
      if mayBeRaw { packet.readOptions(in: bytes) }
      noteFlood(.syn, &packet, isSampled: true)
      // Whoever connects to a trap is told of by its listener.
      if mayBeRaw {
        begin(&packet, .answered)
      } else if !settings.traps.contains(packet.targetPort) {
        let segment = Segment(packet)
        connections.begin(segment.key(flowHash), segment, &ends)
      }
      return .served
    }
    let interest = interests[.tcp, packet.targetPort]
    if interest.isEmpty { return .notWatched }
    if isImpossible(&packet) { return .impossibleSource }
    verify(&packet, bytes)
    if packet.checksum == .wrong { return dismissWrong(&packet) }
    packet.readOptions(in: bytes)
    // Pieces that could not be put together whole may have been made to mean one thing here and another elsewhere.
    if packet.wasFragmented, packet.checksum == .unknown, !flags.contains(.syn) { return .straggler }
    if isServed {
      // FIN, NULL, Xmas and the like are no probe in the classic sense where there is a service, but no accident either.
      charge(&packet)
      return .served
    }
    if flags.contains(.syn) { noteFlood(.syn, &packet) } else { noteFlood(.stray, &packet) }
    return nil
  }

  /// An ACK or FIN/ACK to a port that nothing serves.
  mutating func acknowledgmentDismissal(_ packet: inout Packet, _ bytes: RawSpan) -> Dismissal? {
    // The end of a connection, or what completes its handshake; to a service that is translated, or that has stopped.
    if packet.flags.contains(.fin) || ends.mayAsk(packet.source.low, packet.sourcePort)
      || ends.mayComplete(packet.source.low, packet.sourcePort),
      progress(Segment(packet))
    {
      return .served
    }
    // A scanner's bare ACK comes from no connection: no data, no options. A real stack's last words mostly carry
    // timestamps (RFC 7323), and go to a port that was served or was ours a moment ago.
    let isEphemeral = settings.ephemeralPorts.contains(packet.targetPort)
    if packet.payloadLength > 0 {
      // Data comes within a connection: perhaps only this direction of it is captured.
      if !isEphemeral { flows.insert(.tcp, localPort: packet.targetPort, peer: packet.source, at: packet.time) }
      return .straggler
    }
    packet.readOptions(in: bytes)
    let isOSProbe = ToolMarks.isOSDetection(packet)
    if packet.tcpOptionsLength > 0, !isOSProbe { return .straggler }
    let interest = interests[.tcp, packet.targetPort]
    if interest.isEmpty { return .notWatched }
    if isEphemeral { return .straggler }
    let seen = lastServed[Int(packet.targetPort)]
    if seen > 0, UInt32(truncatingIfNeeded: packet.time.seconds) &- seen <= FlowMemory.lifetime { return .straggler }
    if isImpossible(&packet) { return .impossibleSource }
    if flows.contains(.tcp, localPort: packet.targetPort, peer: packet.source, at: packet.time) { return .ownFlow }
    verify(&packet, bytes)
    if packet.checksum == .wrong { return dismissWrong(&packet) }
    noteFlood(.stray, &packet)
    return nil
  }

  @inline(__always)
  mutating func udpDismissal(_ packet: inout Packet, _ bytes: RawSpan) -> Dismissal? {
    if settings.checksServices, landscape.serves(.udp, packet.target, packet.targetPort) {
      noteFlood(.udp, &packet)
      return .served
    }
    let interest = interests[.udp, packet.targetPort]
    if interest.isEmpty { return .notWatched }
    if flows.contains(.udp, localPort: packet.targetPort, peer: packet.source, at: packet.time) { return .ownFlow }
    if flows.hasCalled(localPort: packet.targetPort, at: packet.time) { return .ownFlow }
    if isImpossible(&packet) { return .impossibleSource }
    if Reflection.isAnswer(packet) {
      tell(oddities.count(.udpAnswer, Segment(packet)))
      noteFlood(.udp, &packet)
      // The classic rule knows no answers: a datagram to a watched port is an alert.
      return interest.contains(.watched) ? nil : .answer
    }
    if isTraceroute(&packet) { return .traceroute }
    verify(&packet, bytes)
    if packet.checksum == .wrong { return dismissWrong(&packet) }
    noteFlood(.udp, &packet)
    return nil
  }

  // Mutating, as all that a mutating method of these types calls: for another, Swift 6.3.1 copies all of `self`.
  mutating func isImpossible(_ packet: inout Packet) -> Bool {
    packet.source.isUnspecified || packet.source.isMulticast || packet.source.isLimitedBroadcast
      || (packet.source.isLoopback && !packet.target.isLoopback)
      || (packet.target.isLoopback && !packet.source.isLoopback && !landscape.isLocal(packet.source))
  }

  mutating func verify(_ packet: inout Packet, _ bytes: RawSpan) {
    packet.verify(in: bytes)
    guard packet.checksum == .unfinished else { return }
    let isAnswered = packet.transport == .udp || packet.flags.subtracting(.congestion) == .syn
    if !settings.believesAnswered || !isAnswered { packet.checksum = .wrong }
  }

  mutating func dismissWrong(_ packet: inout Packet) -> Dismissal {
    tell(oddities.count(.wrongChecksum, Segment(packet)))
    return .wrongChecksum
  }

  /// traceroute counts its ports up from 33,434, and what reaches us has hardly any hops left.
  mutating func isTraceroute(_ packet: inout Packet) -> Bool {
    (33_434...33_689).contains(packet.targetPort) && packet.hopLimit < 32
  }
}
