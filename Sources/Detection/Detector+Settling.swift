import Memory
import Wire

/// A capture: what came back says whether something serves a port. What has waited long enough is settled.
extension Detector {
  /// A candidate of which nobody can say yet whether something serves it: a capture tells by what came back.
  package mutating func wait(_ packet: inout Packet) {
    // Only a SYN and a datagram are answered by a service otherwise than by a closed port.
    if packet.transport == .udp || packet.flags.subtracting(.congestion) == .syn {
      begin(&packet, .asked)
    } else {
      makeProbe(of: &packet)
    }
  }

  /// Settles what has waited long enough at this moment. `consider` does so by itself; call it when no packets come.
  package mutating func advance(to time: Timestamp) {
    if time.nanoseconds >= due { settleDue(time) }
  }

  /// Settles everything that waits: the capture is at its end.
  package mutating func finish() {
    while !pending.isEmpty { settleOldest() }
    while let touch = delayed.takeOldest() { count(touch) }
  }

  mutating func settleDue(_ time: Timestamp) {
    while time.nanoseconds >= pending.due { settleOldest() }
    // What was settled just now may be due as well.
    while time.nanoseconds >= delayed.due, let touch = delayed.takeOldest() { count(touch) }
    due = min(pending.due, delayed.due)
  }

  mutating func settleOldest() {
    // By the time it is its turn, what is known of its source is there.
    if let source = pending.upcoming(8) { native.prefetch(source) }
    guard let flow = pending.takeOldest(&ends) else { return }
    switch flow.state {
    case .asked where flow.isDoubtful: dismissals[Int(Dismissal.wrongChecksum.rawValue)] &+= 1
    case .asked: makeProbe(of: flow)
    // An ordinary client may be slow to speak; a raw SYN that nothing followed was all there was to come.
    case .answered: if flow.mark.isRaw { settleHalfOpen(flow) }
    case .empty: break
    }
  }

  mutating func settleHalfOpen(_ flow: PendingFlows.Flow) {
    // What a connection says is seen in a capture; of a live host's only the ends are.
    guard settings.asksForConnections else { return chargeHalfOpen(flow) }
    if questions.count < Self.questionCapacity { questions.append(flow) }
  }

  /// What the kernel is asked about: the client's end of a flow, and ours.
  package struct Question: Sendable {
    package let transport: TransportProtocol
    package let source: IPAddress
    package let sourcePort: UInt16
    package let target: IPAddress
    package let targetPort: UInt16
    /// By which it came in; 0 when unknown.
    package let interface: Int32

    init(_ flow: PendingFlows.Flow) {
      (transport, interface) = (flow.transport, flow.interface)
      (source, sourcePort) = (flow.source, flow.sourcePort)
      (target, targetPort) = (flow.target, flow.targetPort)
    }
  }

  /// Asks about the half-open connections that are due.
  ///
  /// - Parameter isEstablished: whether the kernel has the connection.
  package mutating func takeQuestions(_ isEstablished: (Question) -> Bool) {
    guard !questions.isEmpty else { return }
    for flow in questions {
      if !isEstablished(Question(flow)) { chargeHalfOpen(flow) }
    }
    questions.removeAll(keepingCapacity: true)
  }

  mutating func settle(_ position: Int) {
    let flow = pending[position]
    pending.settle(position, &ends)
    makeProbe(of: flow)
  }
}
