import Memory
import Wire

/// Connections to services, followed for their ends; who has used which service.
extension Detector {
  /// Remembers the first packet of a flow until it is known what came of it.
  mutating func begin(_ packet: inout Packet, _ state: PendingFlows.State) {
    guard let position = begin(Segment(packet), packet.transport, state) else { return }
    pending[position].interface = packet.interface
    pending[position].mark = ToolMark(packet)
    guard state == .asked else { return }
    pending[position].flags = packet.flags
    pending[position].hasIPOptions = packet.hasIPOptions
    pending[position].isWeightless = packet.transport == .udp && Reflection.isAnswer(packet)
    pending[position].isDoubtful = packet.checksum == .unfinished
    pending[position].isWatched = interests[packet.transport, packet.targetPort].contains(.watched)
  }

  /// - Returns: where the flow is; nil for one that is there already, and where there is no room.
  mutating func begin(
    _ segment: Segment, _ transport: TransportProtocol, _ state: PendingFlows.State
  ) -> Int? {
    let key = flowHash(
      segment.source, segment.sourcePort, segment.target, segment.targetPort, transport.rawValue)
    if let position = pending.find(key) {
      pending[position].repeats &+= pending[position].repeats == .max ? 0 : 1
      return nil
    }
    while pending.isFull { settleOldest() }
    defer { due = min(due, pending.due) }
    return pending.insert(key, segment, transport, state, &ends)
  }

  /// An ACK, data, FIN or RST of a connection that is not settled.
  ///
  /// - Returns: whether there is such a connection.
  @discardableResult
  mutating func progress(_ segment: Segment) -> Bool {
    let key = segment.key(flowHash)
    if let place = connections.find(key) {
      connections.uncount(place, &ends)
      let wasProven = connections[place].handshake.isProven
      let step = connections[place].handshake.follow(segment)
      let (began, isProven) = (connections[place].began, connections[place].handshake.isProven)
      if isProven, !wasProven { noteProof(segment) }
      if step == .open, !segment.flags.contains(.rst) { return true }
      connections.remove(place, &ends)
      noteUse(segment, step, began: began)
      if step == .spoke {
        native.credit(segment.source, port: segment.targetPort, at: segment.time)
      } else if step == .silent, segment.time.nanoseconds &- began.nanoseconds <= PendingFlows.patience {
        native.noteSilence(segment, began: began, isProven: isProven)
      }
      return true
    }
    guard let position = pending.find(key) else { return false }
    if pending[position].state == .asked {
      // Only this direction was captured: a client goes on only where it was answered.
      if segment.flags.contains(.rst) { return true }
      guard segment.sequence == pending[position].handshake.sequence &+ 1 else { return true }
      pending.answer(position, &ends)
      serve(.tcp, segment.target, segment.targetPort)
    }
    let wasProven = pending[position].handshake.isProven
    let step = pending.follow(segment, position, &ends)
    if pending[position].handshake.isProven, !wasProven { noteProof(segment) }
    if step == .open, !segment.flags.contains(.rst) { return true }
    let flow = pending[position]
    pending.settle(position, &ends)
    if !flow.mark.isRaw { noteUse(segment, step, began: flow.time, isAnswered: flow.handshake.knowsAnswer) }
    switch step {
    case .spoke: native.credit(segment.source, port: segment.targetPort, at: segment.time)
    case .silent where flow.mark.isRaw: chargeHalfOpen(flow)
    case .silent: native.noteSilence(segment, began: flow.time, isProven: flow.handshake.isProven)
    case .open, .listened: break
    }
    return true
  }

  /// A source has shown that it receives what we send.
  mutating func noteProof(_ segment: Segment) {
    native.prove(segment.source)
    floods.uncount(.syn, segment.target, segment.targetPort)
  }

  /// RST or SYN/ACK from outside.
  mutating func noteAnswer(_ packet: inout Packet, isServed: Bool) {
    if packet.flags.contains(.rst) {
      let hasAsked = native.noteReset(packet.source, identification: packet.identification)
      if progress(Segment(packet)) || hasAsked { return }
      if isServed { return noteFlood(.stray, &packet, isSampled: true) }
    }
    if flows.contains(.tcp, localPort: packet.targetPort, peer: packet.source, at: packet.time) { return }
    let seen = lastServed[Int(packet.targetPort)]
    if seen > 0, UInt32(truncatingIfNeeded: packet.time.seconds) &- seen <= FlowMemory.lifetime { return }
    noteFlood(.stray, &packet, isSampled: true)
    tell(oddities.count(packet.flags.contains(.rst) ? .reset : .synAck, Segment(packet)))
  }

  mutating func chargeHalfOpen(_ flow: PendingFlows.Flow) {
    var touch = NativeRule.Touch(
      source: flow.source, target: flow.target, time: flow.time, technique: .syn, kind: .halfOpen,
      port: flow.targetPort)
    touch.sourcePort = flow.sourcePort
    touch.mark = flow.mark
    touch.isProven = flow.handshake.isProven
    charge(touch)
  }

  /// A connection to a service has ended: whoever was answered by it is its user, unless he left without a word.
  mutating func noteUse(_ segment: Segment, _ step: Handshake.Step, began: Timestamp, isAnswered: Bool = true) {
    switch step {
    case .silent:
      flows.removeUser(segment.source, port: segment.targetPort, since: began)
      flows.insertCustomer(segment.source, port: segment.targetPort, at: segment.time)
    // It was answered long ago, or only its side is seen.
    case .spoke, .listened:
      if !isAnswered || segment.time.nanoseconds &- began.nanoseconds > 3_600_000_000_000 {
        flows.insertUser(segment.source, port: segment.targetPort, at: segment.time)
      }
    case .open: break
    }
  }

  func isServedLately(_ port: UInt16, _ time: Timestamp, within seconds: UInt32) -> Bool {
    let seen = lastServed[Int(port)]
    return seen > 0 && UInt32(truncatingIfNeeded: time.seconds) &- seen <= seconds
  }

  /// How long after its service has stopped a port is not held against those who used it: ten minutes, and twelve hours for what was
  /// served for two days.
  static let (grace, longGrace): (UInt32, UInt32) = (600, 43_200)

  /// Whether a source asks again for a service that it used, and that has stopped a while ago.
  func isForgiven(_ source: IPAddress, _ port: UInt16, _ time: Timestamp) -> Bool {
    let seen = lastServed[Int(port)]
    guard seen > 0 else { return false }
    let grace = seen &- servedSince[Int(port)] >= 172_800 ? Self.longGrace : Self.grace
    return isServedLately(port, time, within: grace)
      && (flows.isCustomer(source, port: port, at: time, within: Self.longGrace)
        || flows.isUser(source, port: port, at: time, within: Self.longGrace))
  }

  /// Whether somebody who used a service lately asks for another of its family.
  mutating func isNeighbour(_ port: UInt16, _ source: IPAddress, _ time: Timestamp) -> Bool {
    for family in ServiceFamily.allCases where family.isNear(port) {
      for service in family.services where service != port {
        if flows.isUser(source, port: service, at: time, within: Self.longGrace) { return true }
      }
    }
    return false
  }
}
