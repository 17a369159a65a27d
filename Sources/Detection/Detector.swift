import Wire

/// The classic rule: turns packets into probes. Holds all detection state, bounded; reads no clock and does no I/O.
package struct Detector: Sendable {
  /// What `consider` found out.
  package enum Judgement: Sendable, BitwiseCopyable {
    case dismissed(Dismissal)
    /// A probe, if nothing serves the port at this moment. The caller asks the kernel and calls `accuse` or
    /// `learnService`.
    case candidate
  }

  package private(set) var settings: Settings
  /// What this host is and serves; replaced whenever the kernel says so.
  package var exposure: Exposure
  /// How many packets were dismissed, by `Dismissal.rawValue`.
  private var dismissals = InlineArray<16, UInt64>(repeating: 0)
  private var flows: FlowMemory
  private var triggers: TriggerTable
  /// When each TCP port was last seen served, in seconds; 0: never. For stragglers only.
  private var lastServed: [UInt32]

  /// - Parameter key: random, secret, and new for each process: it seeds the hashes of every table.
  package init(_ settings: Settings, exposure: Exposure = Exposure(), key: (UInt64, UInt64)) {
    self.settings = settings
    self.exposure = exposure
    flows = FlowMemory(key: key)
    triggers = TriggerTable(key: (key.1, key.0))
    lastServed = Array(repeating: 0, count: 65536)
  }

  /// Takes new settings; what is known of sources and flows stays.
  package mutating func reconfigure(_ settings: Settings) { self.settings = settings }

  package func dismissals(_ reason: Dismissal) -> UInt64 { dismissals[Int(reason.rawValue)] }
  /// Sources forgotten because the trigger table was full.
  package var evictions: UInt64 { triggers.evictions }

  /// Judges a packet by all that is known here.
  package mutating func consider(_ packet: Packet) -> Judgement {
    if let dismissal = dismissal(of: packet) {
      dismissals[Int(dismissal.rawValue)] &+= 1
      return .dismissed(dismissal)
    }
    return .candidate
  }

  private mutating func dismissal(of packet: Packet) -> Dismissal? {
    if packet.isOutgoing {
      if exposure.isLocal(packet.source) {
        flows.insert(packet.transport, localPort: packet.sourcePort, peer: packet.target, at: packet.time)
      }
      return .outgoing
    }
    if packet.checksum == .wrong { return .wrongChecksum }
    guard let watch = settings.watch(packet.transport) else { return .notWatched }
    let isTCP = packet.transport == .tcp
    if isTCP {
      // Every answer to a packet of ours carries one of these (RFC 9293 section 3.10.7.1); so does backscatter.
      if packet.flags.contains(.rst) || packet.flags.isSuperset(of: .synAck) { return .answer }
    }
    if !watch.ports.contains(packet.targetPort) { return .notWatched }
    if !exposure.isLocal(packet.target) { return .notOurs }
    if packet.source.isUnspecified || packet.source.isMulticast || packet.source.isLimitedBroadcast
      || (packet.source.isLoopback && !packet.target.isLoopback)
      || (packet.target.isLoopback && !packet.source.isLoopback && !exposure.isLocal(packet.source))
    {
      return .impossibleSource
    }
    if settings.checksServices, exposure.serves(packet.transport, packet.target, packet.targetPort) {
      if isTCP { noteService(packet.targetPort, packet.time) }
      return .served
    }
    if isTCP, packet.flags.contains(.ack) {
      // A scanner's bare ACK comes from no connection: no data, no options. A real stack's last words mostly carry
      // timestamps (RFC 7323), and go to a port that was served or was ours a moment ago.
      if packet.payloadLength > 0 || packet.tcpOptionsLength > 0 { return .straggler }
      if settings.ephemeralPorts.contains(packet.targetPort) { return .straggler }
      let seen = lastServed[Int(packet.targetPort)]
      if seen > 0, UInt32(truncatingIfNeeded: packet.time.seconds) &- seen <= FlowMemory.lifetime { return .straggler }
    }
    if !isTCP || packet.flags.contains(.ack),
      flows.contains(packet.transport, localPort: packet.targetPort, peer: packet.source, at: packet.time)
    {
      return .ownFlow
    }
    return nil
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

  private mutating func noteService(_ port: UInt16, _ time: Timestamp) {
    lastServed[Int(port)] = UInt32(truncatingIfNeeded: time.seconds)
  }

  /// Makes a candidate that nothing serves into a probe, and counts it against its source.
  package mutating func accuse(_ packet: Packet) -> Probe {
    let technique: Technique = packet.transport == .udp ? .udp : Technique(flags: packet.flags)
    return probe(
      Probe(
        time: packet.time, source: packet.source, sourcePort: packet.sourcePort, target: packet.target,
        targetPort: packet.targetPort, transport: packet.transport,
        mode: settings.watch(packet.transport)?.mode ?? .stealth, technique: technique, flags: packet.flags,
        hasIPOptions: packet.hasIPOptions))
  }

  /// Counts an event against its source: whether it is our own, and has reached SCAN_TRIGGER. Also for what connect mode
  /// accepts.
  package mutating func probe(_ event: Probe) -> Probe {
    var probe = event
    probe.isOwnAddress = event.source == event.target || exposure.isLocal(event.source)
    // 2.x: one count for all; 1.2: one process, and so one count, for each protocol.
    let scope: UInt8 = settings.countsModesApart ? event.transport.rawValue : 0
    probe.isTriggered = triggers.count(event.source, scope: scope, at: event.time) >= max(settings.scanTrigger, 1)
    return probe
  }
}
