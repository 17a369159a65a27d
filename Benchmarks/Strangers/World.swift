import Detection
import Wire

/// A simulated host before which sources act, with the detector of `replay` behind it.
package struct World: ~Copyable {
  package var detector: Detector
  /// Nanoseconds.
  package var now: Int64 = 1_780_000_000_000_000_000
  package private(set) var verdicts: [Verdict] = []
  /// Probes since the last `forgetProbes`, where they are kept.
  package private(set) var probes: [Probe] = []
  private let keepsProbes: Bool

  package static let us = IPAddress("192.0.2.10")!
  package static let services: [UInt16] = [22, 25, 80, 443, 465, 587, 993]

  /// - Parameter isAdvanced: all unused ports are watched as in mode `atcp`, and probes are kept.
  package init(sources: Int = 1 << 20, isAdvanced: Bool = false) {
    keepsProbes = isAdvanced
    var settings = Detector.Settings()
    if isAdvanced {
      settings.tcp = Detector.Watch(mode: .advanced, ports: PortSet(ranges: [1...65_535]))
      settings.udp = Detector.Watch(mode: .advanced, ports: PortSet(ranges: [1...65_535]))
    }
    settings.nativeTCP = PortSet(ranges: [0...65_535])
    settings.nativeUDP = PortSet(ranges: [0...65_535])
    settings.judgesOtherProtocols = true
    settings.sourceCapacity = sources
    settings.flowCapacity = 1 << 16
    var exposure = Exposure()
    exposure.setLocal([IPNetwork(Self.us)])
    for port in Self.services { exposure.serveEverywhere(.tcp, port, v4: true, v6: true) }
    exposure.serveEverywhere(.udp, 53, v4: true, v6: true)
    detector = Detector(settings, exposure: exposure, key: (0x1234_5678_9abc_def1, 0x0fed_cba9_8765_4321))
  }

  package mutating func wait(seconds: Double) { now += Int64(seconds * 1e9) }

  /// Has the detector see a packet at this moment.
  package mutating func send(_ packet: Packet, _ outcome: DecodeOutcome = .packet, isOurs: Bool = false) {
    var packet = packet
    packet.time = Timestamp(nanoseconds: now)
    packet.checksum = .valid
    let none: [UInt8] = []
    let found = unsafe detector.observe(&packet, outcome, isOurs ? .outgoing : .incoming, in: none.span.bytes)
    if found { take() }
  }

  package mutating func take() {
    var touches: [Probe] = []
    detector.takeProbes { touches.append($0) }
    if keepsProbes { probes += touches }
    var new: [Verdict] = []
    detector.takeVerdicts { new.append($0) }
    verdicts += new
  }

  package mutating func finish() {
    detector.finish()
    take()
  }

  /// Sources of verdicts that call them scanners.
  package var accused: [IPNetwork] { verdicts.filter { $0.verdictClass == .scan }.map(\.source) }
  package var hasVerdicts: Bool { !verdicts.isEmpty }
  package mutating func forgetVerdicts() { verdicts = [] }
  package mutating func forgetProbes() { probes = [] }

  // MARK: What sources do

  package static func tcp(_ source: IPAddress, _ sourcePort: UInt16, _ port: UInt16, _ flags: TCPFlags) -> Packet {
    var packet = Packet()
    packet.protocolNumber = 6
    (packet.source, packet.sourcePort) = (source, sourcePort)
    (packet.target, packet.targetPort) = (us, port)
    packet.flags = flags
    packet.hopLimit = 52
    packet.dontFragment = true
    packet.window = 64_240
    packet.length = 60
    return packet
  }

  /// The SYN of an ordinary Linux.
  package static func syn(_ source: IPAddress, _ sourcePort: UInt16, _ port: UInt16, _ sequence: UInt32) -> Packet {
    var packet = tcp(source, sourcePort, port, .syn)
    packet.sequence = sequence
    packet.tcpOptionsLength = 20
    packet.synOptions.kinds = 0x13_1842  // 2-4-8-1-3
    packet.synOptions.maximumSegmentSize = 1460
    packet.synOptions.windowScale = 7
    return packet
  }

  package static func udp(_ source: IPAddress, _ sourcePort: UInt16, _ port: UInt16, _ length: UInt16) -> Packet {
    var packet = tcp(source, sourcePort, port, [])
    packet.transport = .udp
    packet.protocolNumber = 17
    packet.payloadLength = length
    return packet
  }

  /// The other direction of a packet.
  package static func reply(to packet: Packet, _ flags: TCPFlags) -> Packet {
    var reply = packet
    (reply.source, reply.target) = (packet.target, packet.source)
    (reply.sourcePort, reply.targetPort) = (packet.targetPort, packet.sourcePort)
    reply.flags = flags
    return reply
  }

  /// Asks a port that nothing serves, and is refused.
  package mutating func knock(_ source: IPAddress, _ sourcePort: UInt16, _ port: UInt16, _ sequence: UInt32) {
    let packet = Self.syn(source, sourcePort, port, sequence)
    send(packet)
    var refusal = Self.reply(to: packet, TCPFlags(rawValue: 0x14))
    refusal.acknowledgment = sequence &+ 1
    send(refusal, isOurs: true)
  }

  /// A connection to a service.
  ///
  /// - Parameter says: bytes that the client sends.
  package mutating func connect(
    _ source: IPAddress, _ sourcePort: UInt16, _ port: UInt16, _ sequence: UInt32, says: UInt16
  ) {
    let opening = Self.syn(source, sourcePort, port, sequence)
    send(opening)
    var answer = Self.reply(to: opening, .synAck)
    answer.sequence = sequence ^ 0x5555_5555
    send(answer, isOurs: true)
    var packet = Self.tcp(source, sourcePort, port, .ack)
    (packet.sequence, packet.acknowledgment) = (sequence &+ 1, answer.sequence &+ 1)
    packet.tcpOptionsLength = 12
    send(packet)
    if says > 0 {
      packet.payloadLength = says
      packet.flags = TCPFlags(rawValue: 0x18)
      send(packet)
      packet.payloadLength = 0
      packet.sequence &+= UInt32(says)
    }
    wait(seconds: 0.05)
    packet.flags = .finAck
    send(packet)
  }
}

/// The same numbers each time (xorshift64*, Vigna 2016).
package struct Dice {
  private var state: UInt64

  package init(_ seed: UInt64) { state = seed | 1 }

  package mutating func next() -> UInt64 {
    state ^= state >> 12
    state ^= state << 25
    state ^= state >> 27
    return state &* 0x2545_f491_4f6c_dd1d
  }

  package mutating func below(_ bound: Int) -> Int { Int(next() >> 33) % bound }
  package mutating func chance(_ part: Double) -> Bool { Double(next() >> 11) < part * 9_007_199_254_740_992 }
  package mutating func word() -> UInt32 { UInt32(truncatingIfNeeded: next() >> 32) }
  package mutating func port() -> UInt16 { UInt16(truncatingIfNeeded: next() >> 40) }
  package mutating func ephemeral() -> UInt16 { UInt16(32_768 + below(28_000)) }
  /// An address of the open Internet.
  package mutating func address() -> IPAddress {
    while true {
      let bits = UInt32(0x0100_0000 + below(0xde00_0000))
      // Loopback is believed only of loopback.
      if bits >> 24 != 127 { return IPAddress(v4: bits) }
    }
  }
  package mutating func pick<Element>(_ list: [Element]) -> Element { list[below(list.count)] }
  /// A port that nothing serves.
  package mutating func unused() -> UInt16 {
    while true {
      let port = UInt16(1 + below(65_535))
      if !World.services.contains(port) { return port }
    }
  }
}

extension Array {
  package func shuffled(_ dice: inout Dice) -> [Element] {
    var result = self
    for index in stride(from: count - 1, to: 0, by: -1) { result.swapAt(index, dice.below(index + 1)) }
    return result
  }
}
