import Memory
import Wire

/// Live: what this host answers says whether something serves a port.
extension Detector {
  /// Live: a candidate waits for what this host answers. A RST or a decoy's SYN/ACK make it a probe at once, a service's
  /// SYN/ACK or datagram makes it none; of those that nothing answers `takeUnanswered` asks.
  ///
  /// - Returns: false where no answer says anything, and where there is no room: the caller looks who serves it.
  package mutating func awaitAnswer(_ packet: inout Packet) -> Bool {
    guard settings.asksForConnections, packet.transport == .udp || packet.flags.subtracting(.congestion) == .syn else {
      return false
    }
    return ask(&packet, packet.transport.rawValue)
  }

  mutating func ask(_ packet: inout Packet, _ number: UInt8) -> Bool {
    let segment = Segment(packet)
    let key = flowHash(segment.source, segment.sourcePort, segment.target, segment.targetPort, number)
    if let position = asking.find(key) {
      asking[position].repeats &+= asking[position].repeats == .max ? 0 : 1
      return true
    }
    guard !asking.isFull, let position = asking.insert(key, segment, packet.transport, .asked, &ends) else {
      return false
    }
    asking[position].mark = ToolMark(packet)
    asking[position].flags = packet.flags
    asking[position].hasIPOptions = packet.hasIPOptions
    asking[position].interface = packet.interface
    asking[position].isSCTP = number == 132
    guard number != 132 else { return true }
    asking[position].isWeightless = packet.transport == .udp && Reflection.isAnswer(packet)
    asking[position].isWatched = interests[packet.transport, packet.targetPort].contains(.watched)
    return true
  }

  mutating func settleAsUnused(_ position: Int, _ answer: Probe.Answer) {
    let flow = asking[position]
    asking.settle(position, &ends)
    makeProbe(of: flow, answer)
  }

  /// Something served it: a listener that is newer than what is known or gone again, or another host to which it was translated.
  mutating func settleAsServed(_ position: Int) {
    let flow = asking[position]
    asking.settle(position, &ends)
    if flow.transport == .tcp, !flow.isSCTP { landscape.isIncomplete = true }
    learnService(flow)
  }

  /// Whether a TCP port has answered as a service, since this was asked last, that `exposure` does not show: the socket tables may.
  package mutating func takeIncompleteness() -> Bool {
    defer { landscape.isIncomplete = false }
    return landscape.isIncomplete
  }

  mutating func learnService(_ flow: PendingFlows.Flow) {
    dismissals[Int(Dismissal.served.rawValue)] &+= 1
    if flow.isSCTP { return }
    if flow.transport == .tcp { noteService(flow.targetPort, flow.time) }
    flows.insert(flow.transport, localPort: flow.targetPort, peer: flow.source, at: flow.time)
  }

  /// When the oldest question without an answer is due, in nanoseconds since 1970; `max` when there is none.
  package var answersDue: Int64 { asking.due }

  /// Judges the questions that nothing has answered in time.
  ///
  /// - Parameters:
  ///   - time: up to when all packets have been seen.
  ///   - isServed: whether the kernel would hand it to a socket; nil where it is not to be held against anybody.
  /// - Returns: whether one was served.
  package mutating func takeUnanswered(at time: Timestamp, _ isServed: (Question) -> Bool?) -> Bool {
    var found = false
    while time.nanoseconds >= asking.due, let flow = asking.takeOldest(&ends) {
      guard flow.state == .asked else { continue }
      let answer = flow.isSCTP ? false : isServed(Question(flow))
      if answer == false {
        if !waitsOn(flow) { makeProbe(of: flow, .silence) }
      } else {
        learnService(flow)
        if answer == true { found = true }
      }
    }
    return found
  }

  /// A port that answered lately with no socket of ours on it is translated to somebody who may be far away.
  mutating func waitsOn(_ flow: PendingFlows.Flow) -> Bool {
    guard flow.transport == .tcp, !flow.isSCTP, lastServed[Int(flow.targetPort)] > 0,
      isServedLately(flow.targetPort, flow.time, within: FlowMemory.lifetime)
    else { return false }
    let segment = Segment(
      flow.source, flow.sourcePort, flow.target, flow.targetPort, flow.time, sequence: flow.handshake.sequence,
      flags: flow.flags)
    let key = segment.key(flowHash)
    while pending.isFull { settleOldest() }
    guard let position = pending.insert(key, segment, .tcp, .asked, &ends) else { return false }
    due = min(due, pending.due)
    pending[position].mark = flow.mark
    pending[position].flags = flow.flags
    pending[position].hasIPOptions = flow.hasIPOptions
    pending[position].isWatched = flow.isWatched
    pending[position].repeats = flow.repeats
    return true
  }
}
