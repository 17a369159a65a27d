import Memory
import Wire

/// ICMP, SCTP and the other protocols.
extension Detector {
  /// Judges an ICMP message, an SCTP packet or one of another protocol.
  package mutating func considerOther(_ packet: inout Packet, _ outcome: DecodeOutcome) {
    guard settings.judgesOtherProtocols else { return dismissOther() }
    if packet.isOutgoing {
      noteOtherOutgoing(&packet, outcome)
      dismissals[Int(Dismissal.outgoing.rawValue)] &+= 1
      return
    }
    guard landscape.isLocal(packet.target), !isImpossible(&packet) else {
      dismissals[Int(Dismissal.notOurs.rawValue)] &+= 1
      return
    }
    switch outcome {
    case .icmp: considerICMP(&packet)
    case .sctp: considerSCTP(&packet)
    default:
      charge(&packet, .ipProtocol, port: UInt16(packet.protocolNumber))
    }
  }

  mutating func dismissOther() { dismissals[Int(Dismissal.otherProtocol.rawValue)] &+= 1 }

  mutating func noteOtherOutgoing(_ packet: inout Packet, _ outcome: DecodeOutcome) {
    if outcome == .sctp {
      let key = flowHash(packet.target, packet.targetPort, packet.source, packet.sourcePort, 132)
      if packet.messageType == 2 {  // INIT ACK
        landscape.learnSCTP(packet.sourcePort)
        if !asking.isEmpty, let position = asking.find(key) { return settleAsServed(position) }
        if !pending.isEmpty, let position = pending.find(key) { pending.settle(position, &ends) }
      } else if packet.messageType == 6 {  // ABORT
        if !asking.isEmpty, let position = asking.find(key) { return settleAsUnused(position, .reset) }
        if !pending.isEmpty, let position = pending.find(key) { settle(position) }
      }
      return
    }
    // "Port unreachable" from us: what is asked for is not served. Its quoted source is whoever asked.
    guard outcome == .icmp, packet.quotedProtocol == 17, !pending.isEmpty else { return }
    let key = flowHash(packet.target, packet.sourcePort, packet.quotedTarget, packet.targetPort, 17)
    if let position = pending.find(key), pending[position].state == .asked { settle(position) }
  }

  mutating func considerICMP(_ packet: inout Packet) {
    let isV4 = packet.source.isV4
    switch packet.messageType {
    case 8 where isV4, 128 where !isV4:
      noteFlood(.icmp, &packet, isSampled: true)
      charge(&packet, .icmp, port: UInt16(packet.messageType))
    case 13 where isV4, 15 where isV4, 17 where isV4:
      charge(&packet, .icmp, port: UInt16(packet.messageType))
    case 3 where isV4, 11 where isV4, 1 where !isV4, 3 where !isV4:
      // An error about something that we never sent: somebody else sent it in our name.
      let transport: TransportProtocol? =
        packet.quotedProtocol == 6 ? .tcp : packet.quotedProtocol == 17 ? .udp : nil
      guard let transport, packet.sourcePort != 0,
        !flows.contains(transport, localPort: packet.sourcePort, peer: packet.quotedTarget, at: packet.time),
        !landscape.serves(transport, packet.target, packet.sourcePort)
      else { return dismissOther() }
      tell(oddities.count(.icmpError, Segment(packet)))
      dismissals[Int(Dismissal.answer.rawValue)] &+= 1
    default: dismissOther()
    }
  }

  mutating func considerSCTP(_ packet: inout Packet) {
    guard !landscape.servesSCTP(packet.targetPort) else {
      dismissals[Int(Dismissal.served.rawValue)] &+= 1
      return
    }
    switch packet.messageType {
    case 1:  // INIT: what this host answers says whether something serves it.
      if settings.asksForConnections {
        if !ask(&packet, 132) { charge(&packet, .sctpInit, port: packet.targetPort) }
        return
      }
      let segment = Segment(packet)
      let key = flowHash(segment.source, segment.sourcePort, segment.target, segment.targetPort, 132)
      if let position = pending.find(key) {
        pending[position].repeats &+= pending[position].repeats == .max ? 0 : 1
        return
      }
      while pending.isFull { settleOldest() }
      guard let position = pending.insert(key, segment, .tcp, .asked, &ends) else { return }
      due = min(due, pending.due)
      pending[position].isSCTP = true
      pending[position].hasIPOptions = packet.hasIPOptions
      pending[position].mark = ToolMark(packet)
    case 10: charge(&packet, .sctpCookieEcho, port: packet.targetPort)
    default: dismissOther()
    }
  }

  mutating func makeSCTPProbe(of flow: PendingFlows.Flow) {
    let probe = Probe(
      time: flow.time, source: flow.source, sourcePort: flow.sourcePort, target: flow.target,
      targetPort: flow.targetPort, transport: .tcp, mode: .stealth, technique: .sctpInit,
      hasIPOptions: flow.hasIPOptions)
    for _ in 0...Int(flow.repeats) { add(probe, isWatched: false) }
    var touch = NativeRule.Touch(
      source: flow.source, target: flow.target, time: flow.time, technique: .sctpInit,
      kind: PackedEvidence.Kind(.sctpInit), port: flow.targetPort)
    touch.mark = flow.mark
    touch.count = UInt32(flow.repeats) &+ 1
    native.charge(touch)
  }

  mutating func charge(_ packet: inout Packet, _ technique: Technique, port: UInt16) {
    add(
      Probe(
        time: packet.time, source: packet.source, sourcePort: packet.sourcePort, target: packet.target,
        targetPort: port, transport: .tcp, mode: .stealth, technique: technique, hasIPOptions: packet.hasIPOptions),
      isWatched: false)
    var touch = NativeRule.Touch(
      source: packet.source, target: packet.target, time: packet.time, technique: technique,
      kind: PackedEvidence.Kind(technique), port: port)
    touch.mark = ToolMark(packet)
    touch.isWeightless =
      technique == .icmp && floods.isFlooded(.icmp, packet.target, 0, at: packet.time)
    native.charge(touch)
  }
}
