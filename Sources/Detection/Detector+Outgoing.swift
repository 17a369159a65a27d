import Memory
import Wire

/// What this host itself sends: it says what is served, and with whom it speaks.
extension Detector {
  mutating func noteOutgoing(_ packet: inout Packet) {
    if packet.transport == .udp {
      let key = flowHash(packet.target, packet.targetPort, packet.source, packet.sourcePort, 17)
      if !asking.isEmpty, let position = asking.find(key) { return settleAsServed(position) }
      if !pending.isEmpty, let position = pending.find(key) {
        // That a datagram is answered speaks for nobody: scanners ask what services answer.
        serve(.udp, packet.source, packet.sourcePort)
        pending.settle(position, &ends)
      }
      guard !landscape.serves(.udp, packet.source, packet.sourcePort) else { return }
      if packet.target.isMulticast || Self.mayBeBroadcast(packet.target) {
        flows.insertCall(localPort: packet.sourcePort, at: packet.time)
      }
      flows.insert(.udp, localPort: packet.sourcePort, peer: packet.target, at: packet.time)
      flows.insertFriend(packet.target, at: packet.time)
      return
    }
    let flags = packet.flags
    if flags.contains(.rst) {
      let key = flowHash(packet.target, packet.targetPort, packet.source, packet.sourcePort, 6)
      if !asking.isEmpty, let position = asking.find(key) { return settleAsUnused(position, .reset) }
      guard !pending.isEmpty, let position = pending.find(key) else { return }
      if pending[position].state == .asked { settle(position) }
      return
    }
    if flags.isSuperset(of: .synAck) { return noteOurAnswer(Segment(packet), isOfDecoy: packet.isOfDecoy) }
    if flags.contains(.syn) { flows.insertFriend(packet.target, at: packet.time) }
    // What a service says need not be remembered: its port is known.
    guard !landscape.serves(.tcp, packet.source, packet.sourcePort) else { return }
    // Of a connection that goes on, now and then is often enough.
    if !flags.contains(.syn), settings.ephemeralPorts.contains(packet.sourcePort),
      (packet.sequence ^ packet.acknowledgment) & 7 != 0
    {
      return
    }
    flows.insert(.tcp, localPort: packet.sourcePort, peer: packet.target, at: packet.time)
  }

  /// Whether a datagram to there may go to everybody in a network: all ones in as many bits as even a small one has. Which
  /// networks there are is not known here.
  static func mayBeBroadcast(_ target: IPAddress) -> Bool { target.isV4 && target.v4Bits & 15 == 15 }

  /// A service of ours takes a connection, or a decoy.
  mutating func noteOurAnswer(_ segment: Segment, isOfDecoy: Bool = false) {
    let key = segment.reverseKey(flowHash)
    if !asking.isEmpty, let position = asking.find(key) {
      if isOfDecoy { return settleAsUnused(position, .decoy) }
      let flow = asking[position]
      settleAsServed(position)
      connections.begin(
        key, HandshakeEnds.index(flow.source.low, flow.sourcePort), flow.handshake.sequence, flow.time, &ends)
    }
    if isOfDecoy { return }
    if let place = connections.find(key) {
      connections[place].handshake.answer = segment.sequence
      connections[place].handshake.knowsAnswer = true
      noteUser(segment)
    } else if let position = pending.find(key) {
      pending.answer(position, &ends)
      pending[position].handshake.answer = segment.sequence
      pending[position].handshake.knowsAnswer = true
      if !pending[position].mark.isRaw { noteUser(segment) }
    }
    // On a live host the kernel says what is served, and a decoy answers likewise.
    if !settings.asksForConnections { serve(.tcp, segment.source, segment.sourcePort) }
  }

  /// A packet of ours shows that something serves this port.
  mutating func serve(_ transport: TransportProtocol, _ address: IPAddress, _ port: UInt16) {
    if transport == .tcp { noteService(port, Timestamp(seconds: Int64(lastServed[Int(port)]))) }
    landscape.learn(transport, address, port)
  }
}
