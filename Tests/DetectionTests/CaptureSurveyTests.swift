import Detection
import Testing
import Wire

/// Whose capture it is and what is served there, by the packets alone.
@Suite struct CaptureSurveyTests {
  private static func packet(
    _ source: String, _ sourcePort: UInt16, _ target: String, _ targetPort: UInt16, _ flags: TCPFlags? = .syn
  ) -> Packet {
    var packet = Packet()
    packet.source = IPAddress(source)!
    packet.target = IPAddress(target)!
    packet.sourcePort = sourcePort
    packet.targetPort = targetPort
    packet.transport = flags == nil ? .udp : .tcp
    packet.flags = flags ?? []
    return packet
  }

  private static func survey(
    _ packets: [(Packet, LinkLayer.Direction)], local: [String] = []
  ) -> CaptureSurvey {
    var survey = CaptureSurvey(local: local.compactMap { IPNetwork($0) }, key: (1, 2))
    for (packet, direction) in packets { survey.observe(packet, direction) }
    return survey
  }

  @Test func `The scanned host is local, not the scanner`() {
    var packets: [(Packet, LinkLayer.Direction)] = []
    for port: UInt16 in 1...50 {
      packets.append((Self.packet("198.51.100.9", 40_000, "10.0.0.2", port), .unknown))
      packets.append((Self.packet("10.0.0.2", port, "198.51.100.9", 40_000, [.rst, .ack]), .unknown))
    }
    let found = Self.survey(packets).inferredLocal()
    #expect(found?.addresses == [IPAddress("10.0.0.2")!])
    #expect(found?.evidence == .mostFlowsOpened)
  }

  @Test func `Repeats of one flow count once`() {
    var packets = (0..<9).map { _ in (Self.packet("10.0.0.1", 5000, "10.0.0.3", 80), LinkLayer.Direction.unknown) }
    packets += [80, 81].map { (Self.packet("10.0.0.1", 5001, "10.0.0.2", $0), .unknown) }
    #expect(Self.survey(packets).inferredLocal()?.addresses == [IPAddress("10.0.0.2")!])
  }

  @Test func `Backscatter is opened to the host it falls on`() {
    let packets = (1...20).map {
      (Self.packet("203.0.113.\($0)", 80, "10.0.0.2", UInt16(1000 + $0), .synAck), LinkLayer.Direction.unknown)
    }
    #expect(Self.survey(packets).inferredLocal()?.addresses == [IPAddress("10.0.0.2")!])
  }

  @Test func `Where the capture marks what was sent, its senders are local`() {
    let packets: [(Packet, LinkLayer.Direction)] = [
      (Self.packet("10.0.0.2", 5000, "198.51.100.1", 80), .outgoing),
      (Self.packet("198.51.100.1", 80, "10.0.0.2", 5000, .synAck), .incoming),
      (Self.packet("2001:db8::2", 5000, "2001:db8::1", 53, nil), .outgoing),
    ]
    let found = Self.survey(packets).inferredLocal()
    #expect(found?.addresses == [IPAddress("10.0.0.2")!, IPAddress("2001:db8::2")!].sorted())
    #expect(found?.evidence == .sentFrames)
  }

  @Test func `What a router passes on does not make its sender local`() {
    var packets: [(Packet, LinkLayer.Direction)] = [(Self.packet("10.0.0.254", 1, "10.0.0.9", 2), .outgoing)]
    for port: UInt16 in 1...9 {
      packets.append((Self.packet("10.0.0.2", port, "198.51.100.1", 80), .incoming))
      packets.append((Self.packet("10.0.0.2", port, "198.51.100.1", 80), .outgoing))
    }
    #expect(Self.survey(packets).inferredLocal()?.addresses == [IPAddress("10.0.0.254")!])
  }

  @Test func `Nothing, or only broadcasts, tells nothing`() {
    #expect(Self.survey([]).inferredLocal() == nil)
    #expect(Self.survey([(Self.packet("10.0.0.1", 68, "255.255.255.255", 67, nil), .unknown)]).inferredLocal() == nil)
  }

  @Test func `SYN/ACK and UDP answers show what is served, on local addresses only`() {
    let packets: [(Packet, LinkLayer.Direction)] = [
      (Self.packet("10.0.0.2", 22, "198.51.100.1", 4000, .synAck), .unknown),
      (Self.packet("198.51.100.1", 80, "10.0.0.2", 4001, .synAck), .unknown),
      (Self.packet("198.51.100.1", 4002, "10.0.0.2", 53, nil), .unknown),
      (Self.packet("10.0.0.2", 53, "198.51.100.1", 4002, nil), .unknown),
      // A question of ours and its answer make no service of ours.
      (Self.packet("10.0.0.2", 4003, "198.51.100.1", 53, nil), .unknown),
      (Self.packet("198.51.100.1", 53, "10.0.0.2", 4003, nil), .unknown),
      // Asked, never answered.
      (Self.packet("198.51.100.1", 4004, "10.0.0.2", 69, nil), .unknown),
      (Self.packet("10.0.0.2", 23, "198.51.100.1", 4000, [.rst, .ack]), .unknown),
    ]
    for local in [["10.0.0.2"], ["10.0.0.0/24"], ["10.0.0.2", "10.0.0.3"]] {
      let networks = local.compactMap { IPNetwork($0) }
      let exposure = Self.survey(packets, local: local).exposure(of: networks)
      #expect(exposure.servedAnywhere(.tcp).ports == [22])
      #expect(exposure.servedAnywhere(.udp).ports == [53])
      #expect(exposure.isLocal(IPAddress("10.0.0.2")!))
    }
    let other = Self.survey(packets, local: ["10.0.0.7"]).exposure(of: [IPNetwork("10.0.0.7")!])
    #expect(other.servedAnywhere(.tcp).isEmpty)
  }
}
