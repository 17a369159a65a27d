import Memory
import Wire

/// A candidate becomes a probe, and evidence against its source.
extension Detector {
  mutating func makeProbe(of flow: PendingFlows.Flow, _ answer: Probe.Answer = .unknown) {
    // Another flow may have shown in the meantime that the port is served.
    if settings.checksServices,
      flow.isSCTP
        ? landscape.servesSCTP(flow.targetPort) : landscape.serves(flow.transport, flow.target, flow.targetPort)
    {
      dismissals[Int(Dismissal.served.rawValue)] &+= 1
      return
    }
    if flow.isSCTP { return makeSCTPProbe(of: flow) }
    if flow.transport == .tcp, isForgiven(flow.source, flow.targetPort, flow.time) {
      dismissals[Int(Dismissal.straggler.rawValue)] &+= 1
      return
    }
    let technique: Technique = flow.transport == .udp ? .udp : Technique(flags: flow.flags)
    var event = Probe(
      time: flow.time, source: flow.source, sourcePort: flow.sourcePort, target: flow.target,
      targetPort: flow.targetPort, transport: flow.transport,
      mode: settings.watch(flow.transport)?.mode ?? .stealth, technique: technique, flags: flow.flags,
      hasIPOptions: flow.hasIPOptions)
    event.answer = answer
    for _ in 0...Int(flow.repeats) { add(event, isWatched: flow.isWatched) }
    var touch = NativeRule.Touch(
      source: flow.source, target: flow.target, time: flow.time, technique: technique,
      kind: PackedEvidence.Kind(technique), port: flow.targetPort)
    touch.transport = flow.transport
    touch.sourcePort = flow.sourcePort
    touch.mark = flow.mark
    touch.count = UInt32(flow.repeats) &+ 1
    touch.isWeightless = flow.isWeightless
    charge(touch)
  }

  /// Makes a candidate that nothing serves into a probe, and counts it against its source.
  package mutating func makeProbe(of packet: inout Packet) {
    if packet.transport == .tcp, packet.flags.subtracting(.congestion) == .syn,
      isForgiven(packet.source, packet.targetPort, packet.time)
    {
      dismissals[Int(Dismissal.straggler.rawValue)] &+= 1
      return
    }
    let technique: Technique = packet.transport == .udp ? .udp : Technique(flags: packet.flags)
    add(
      Probe(
        time: packet.time, source: packet.source, sourcePort: packet.sourcePort, target: packet.target,
        targetPort: packet.targetPort, transport: packet.transport,
        mode: settings.watch(packet.transport)?.mode ?? .stealth, technique: technique, flags: packet.flags,
        hasIPOptions: packet.hasIPOptions),
      isWatched: interests[packet.transport, packet.targetPort].contains(.watched))
    charge(&packet)
  }

  /// Counts an event against its source: whether it is our own, and has reached SCAN_TRIGGER. Also for what connect mode
  /// accepts.
  package mutating func add(connection event: Probe) {
    add(event, isWatched: true)
    var touch = NativeRule.Touch(
      source: event.source, target: event.target, time: event.time, technique: event.technique,
      kind: event.transport == .udp ? .udp : .connect, port: event.targetPort)
    touch.transport = event.transport
    touch.sourcePort = event.sourcePort
    touch.isProven = event.transport == .tcp && !event.isGuessable
    charge(touch)
    if touch.isProven { native.prove(event.source) }
  }

  /// A connection that a decoy took, told by its listener. It is evidence whatever was seen of it, and proves its source unless
  /// it may have been guessed.
  package mutating func noteContact(_ contact: Segment, isGuessable: Bool = false) {
    if let position = asking.find(contact.key(flowHash)) { settleAsUnused(position, .decoy) }
    if !native.hasCounted(contact), !delayed.holds(contact),
      !isForgiven(contact.source, contact.targetPort, contact.time)
    {
      add(
        Probe(
          time: contact.time, source: contact.source, sourcePort: contact.sourcePort, target: contact.target,
          targetPort: contact.targetPort, transport: .tcp, mode: settings.watch(.tcp)?.mode ?? .stealth,
          technique: .syn, flags: .syn),
        isWatched: interests[.tcp, contact.targetPort].contains(.watched))
      var touch = NativeRule.Touch(
        source: contact.source, target: contact.target, time: contact.time, technique: .syn, kind: .syn,
        port: contact.targetPort)
      touch.sourcePort = contact.sourcePort
      touch.isProven = !isGuessable
      charge(touch)
    }
    guard !isGuessable else { return }
    delayed.prove(contact.source)
    native.prove(contact.source)
  }

  /// Evidence for the native rule alone.
  mutating func charge(_ packet: inout Packet) {
    let technique: Technique = packet.transport == .udp ? .udp : Technique(flags: packet.flags)
    var touch = NativeRule.Touch(
      source: packet.source, target: packet.target, time: packet.time,
      technique: ToolMarks.isOSDetection(packet) ? .osDetection : technique,
      kind: PackedEvidence.Kind(technique), port: packet.targetPort)
    touch.transport = packet.transport
    touch.sourcePort = packet.sourcePort
    touch.mark = ToolMark(packet)
    touch.isWeightless = packet.transport == .udp && Reflection.isAnswer(packet)
    charge(touch)
  }

  mutating func charge(_ touch: NativeRule.Touch) {
    // `-S`: the classic rule counts touches of services too.
    if !settings.checksServices, touch.kind == .syn || touch.kind == .udp,
      landscape.serves(touch.transport, touch.target, touch.port)
    {
      return
    }
    guard mayBeSetup(touch) else { return count(touch) }
    if delayed.isFull, let oldest = delayed.takeOldest() { count(oldest) }
    delayed.append(touch)
    due = min(due, delayed.due)
  }

  /// Counts a touch against its source.
  mutating func count(_ touch: NativeRule.Touch) {
    var touch = touch
    touch.isFriend = flows.isFriend(touch.source, at: touch.time)
    if touch.kind == .syn || touch.kind == .connect {
      touch.isNeighbour =
        touch.isFriend && ServiceFamily.isAskedBack(touch.port) || isNeighbour(touch.port, touch.source, touch.time)
    }
    let kind: FloodWatch.Kind =
      touch.transport == .udp ? .udp : touch.kind == .syn || touch.kind == .halfOpen ? .syn : .stray
    if floods.isFlooded(kind, touch.target, touch.port, at: touch.time) { touch.isWeightless = true }
    native.charge(touch)
    if let crowd = native.crowd {
      native.crowd = nil
      if let flood = floods.noteCrowd(crowd.target, crowd.source, at: crowd.time) {
        others.append(Self.verdict(floods[flood]))
      }
    }
  }

  mutating func add(_ event: Probe, isWatched: Bool) {
    // Nobody reads a hundred thousand lines of invented sources; what a mode watches must not be lost among them.
    if !isWatched, isPartOfFlood(event) {
      dismissals[Int(Dismissal.flood.rawValue)] &+= 1
      return
    }
    var probe = event
    probe.isWatched = isWatched
    probe.isOwnAddress = event.source == event.target || landscape.isLocal(event.source)
    // 2.x: one count for all; 1.2: one process, and so one count, for each protocol.
    let scope: UInt8 = settings.countsModesApart ? event.transport.rawValue : 0
    probe.isTriggered =
      isWatched && triggers.count(event.source, scope: scope, at: event.time) >= max(settings.scanTrigger, 1)
    if isWatched, event.transport == .tcp, event.technique == .syn || event.technique == .connect {
      noteSetup(&probe)
    }
    probes.append(probe)
  }

  mutating func isPartOfFlood(_ event: Probe) -> Bool {
    let kind: FloodWatch.Kind =
      switch event.technique {
      case .udp: .udp
      case .syn, .connect: .syn
      case .icmp: .icmp
      default: .stray
      }
    return native.isCrowded(at: event.time)
      || floods.isFlooded(kind, event.target, kind == .icmp ? 0 : event.targetPort, at: event.time)
  }

  /// The kernel says that a socket is there after all: remembered, so that the tail of its connections accuses nobody.
  package mutating func learnService(_ packet: Packet) {
    dismissals[Int(Dismissal.served.rawValue)] &+= 1
    if packet.transport == .tcp { noteService(packet.targetPort, packet.time) }
    flows.insert(packet.transport, localPort: packet.targetPort, peer: packet.source, at: packet.time)
  }

  /// A flow that was there before we were.
  package mutating func learnFlow(
    _ transport: TransportProtocol, localPort: UInt16, peer: IPAddress, at time: Timestamp
  ) {
    flows.insert(transport, localPort: localPort, peer: peer, at: time)
  }

  /// Ports that are or were served until `time`.
  package mutating func noteServices(_ ports: PortSet, at time: Timestamp) {
    for range in ports.ranges {
      for port in range { noteService(port, time) }
    }
  }

  @inline(__always)
  mutating func noteService(_ port: UInt16, _ time: Timestamp) {
    let now = UInt32(truncatingIfNeeded: time.seconds)
    if now &- lastServed[Int(port)] > 172_800 { servedSince[Int(port)] = now }
    lastServed[Int(port)] = now
  }
}
