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
    _ packets: [(Packet, LinkLayer.Direction)]
  ) -> CaptureSurvey {
    var survey = CaptureSurvey(key: (1, 2))
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
    #expect(found?.networks == [IPNetwork("10.0.0.2")!])
    #expect(found?.evidence == .mostFlowsOpened)
  }

  @Test func `Repeats of one flow count once`() {
    var packets = (0..<9).map { _ in (Self.packet("10.0.0.1", 5000, "10.0.0.3", 80), LinkLayer.Direction.unknown) }
    packets += [80, 81].map { (Self.packet("10.0.0.1", 5001, "10.0.0.2", $0), .unknown) }
    #expect(Self.survey(packets).inferredLocal()?.networks == [IPNetwork("10.0.0.2")!])
  }

  @Test func `Backscatter is opened to the host it falls on`() {
    let packets = (1...20).map {
      (Self.packet("203.0.113.\($0)", 80, "10.0.0.2", UInt16(1000 + $0), .synAck), LinkLayer.Direction.unknown)
    }
    #expect(Self.survey(packets).inferredLocal()?.networks == [IPNetwork("10.0.0.2")!])
  }

  @Test func `Where the capture marks what was sent, its senders are local`() {
    let packets: [(Packet, LinkLayer.Direction)] = [
      (Self.packet("10.0.0.2", 5000, "198.51.100.1", 80), .outgoing),
      (Self.packet("198.51.100.1", 80, "10.0.0.2", 5000, .synAck), .incoming),
      (Self.packet("2001:db8::2", 5000, "2001:db8::1", 53, nil), .outgoing),
    ]
    let found = Self.survey(packets).inferredLocal()
    #expect(found?.networks == [IPNetwork("10.0.0.2")!, IPNetwork("2001:db8::2")!].sorted())
    #expect(found?.evidence == .sentFrames)
  }

  @Test func `What a router passes on does not make its sender local`() {
    var packets: [(Packet, LinkLayer.Direction)] = [(Self.packet("10.0.0.254", 1, "10.0.0.9", 2), .outgoing)]
    for port: UInt16 in 1...9 {
      packets.append((Self.packet("10.0.0.2", port, "198.51.100.1", 80), .incoming))
      packets.append((Self.packet("10.0.0.2", port, "198.51.100.1", 80), .outgoing))
    }
    #expect(Self.survey(packets).inferredLocal()?.networks == [IPNetwork("10.0.0.254")!])
  }

  @Test func `Nothing, or only broadcasts, tells nothing`() {
    #expect(Self.survey([]).inferredLocal() == nil)
    #expect(Self.survey([(Self.packet("10.0.0.1", 68, "255.255.255.255", 67, nil), .unknown)]).inferredLocal() == nil)
  }

  @Test func `A network of which many addresses are called is local as a whole`() {
    var packets: [(Packet, LinkLayer.Direction)] = []
    for number in 1...200 {
      packets.append((Self.packet("198.51.100.9", 40_000, "10.7.\(number / 50).\(number)", 23), .unknown))
    }
    // Replies to one of its hosts from elsewhere do not make elsewhere local.
    packets.append((Self.packet("10.7.0.9", 5000, "203.0.113.1", 80), .unknown))
    let found = Self.survey(packets).inferredLocal()
    #expect(found?.networks == [IPNetwork("10.7.0.0/16")!])
    #expect(found?.evidence == .manyTargets)
  }
}
