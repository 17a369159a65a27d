import Detection
import Wire

/// Datagrams one after the other (a byte of options, a byte of length, the datagram) through decoder and detector, whose state
/// stays from one input to the next.
func fuzzFrame(_ bytes: [UInt8]) {
  var rest = bytes[...]
  while let options = rest.popFirst(), let length = rest.popFirst() {
    let datagram = Array(rest.prefix(Int(length)))
    rest = rest.dropFirst(Int(length))
    packet.time = packet.time + .seconds(Int64(options >> 4) * 8)
    packet.isOutgoing = options & 1 != 0
    let outcome = unsafe decoder.decode(datagram.span.bytes, checksumVouched: options & 2 != 0, into: &packet)
    guard outcome == .packet else {
      if outcome.isDecoded { detector.considerOther(&packet, outcome) }
      continue
    }
    precondition(Int(packet.payloadLength) <= Int(UInt16.max))
    precondition(packet.transport == .tcp || packet.flags.isEmpty)
    precondition(packet.tcpOptionsLength <= 40 && packet.tcpOptionsLength % 4 == 0)
    guard case .candidate = unsafe detector.consider(&packet, in: datagram.span.bytes) else { continue }
    precondition(!packet.isOutgoing && packet.checksum != .wrong)
    precondition(!packet.flags.contains(.rst) && !packet.source.isMulticast && !packet.source.isUnspecified)
    switch options & 12 {
    case 0: detector.makeProbe(of: &packet)
    case 4: detector.learnService(packet)
    default: detector.wait(&packet)
    }
    detector.takeProbes { _ in }
    detector.takeVerdicts { verdict in precondition(verdict.evidence.count <= Verdict.evidenceCapacity) }
  }
}

nonisolated(unsafe) private var packet = Packet()
nonisolated(unsafe) private var decoder = PacketDecoder()
nonisolated(unsafe) private var detector: Detector = {
  packet.time = Timestamp(seconds: 1_700_000_000)
  var settings = Detector.Settings()
  settings.tcp = Detector.Watch(mode: .advanced, ports: PortSet(ranges: [0...65535]))
  settings.udp = settings.tcp
  var exposure = Exposure()
  exposure.setLocal([IPNetwork("192.0.2.0/24")!, IPNetwork("2001:db8::10")!])
  exposure.serveEverywhere(.tcp, 22, v4: true, v6: true)
  return Detector(settings, exposure: exposure, key: (1, 2))
}()
