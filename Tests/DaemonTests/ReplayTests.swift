import Capture
import Detection
import Testing
import Wire

@testable import Daemon

/// Frames in, a summary out.
@Suite struct ReplayTests {
  /// An IPv4 datagram with TCP (flags) or UDP (nil), checksums left at zero and wrong.
  private static func datagram(_ source: [UInt8], _ target: [UInt8], _ port: UInt16, _ flags: UInt8?) -> [UInt8] {
    let length: UInt8 = flags == nil ? 28 : 44
    var ip: [UInt8] = [0x45, 0, 0, length, 0, 1, 0, 0, 64, flags == nil ? 17 : 6, 0, 0] + source + target
    var sum = 0
    for index in stride(from: 0, to: 20, by: 2) { sum += Int(ip[index]) << 8 | Int(ip[index + 1]) }
    while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
    (ip[10], ip[11]) = (UInt8(~sum >> 8 & 255), UInt8(~sum & 255))
    let ports: [UInt8] = [0x9c, 0x40, UInt8(port >> 8), UInt8(port & 255)]
    // No UDP checksum over IPv4 means none; TCP segments are cut, so theirs cannot be computed.
    if let flags { return ip + ports + [0, 0, 0, 1, 0, 0, 0, 0, 0x60, flags, 4, 0, 0, 0, 0, 0] }
    return ip + ports + [0, 8, 0, 0]
  }

  private static func replay(ignored: [String] = []) -> Replay {
    var exposure = Exposure()
    exposure.setLocal([IPNetwork("10.0.0.2")!])
    exposure.serveEverywhere(.tcp, 22, v4: true, v6: true)
    return Replay(
      ReplayRun.Settings().detector, exposure: exposure, ignored: IPNetworkSet(ignored.compactMap { IPNetwork($0) }),
      key: (1, 2))
  }

  private static let us: [UInt8] = [10, 0, 0, 2]
  private static let them: [UInt8] = [198, 51, 100, 7]

  private static func feed(
    _ replay: inout Replay, _ bytes: [UInt8], at second: Int64, linkType: UInt32 = 101
  ) {
    unsafe replay.observe(
      bytes.span.bytes,
      FrameRecord(
        time: Timestamp(seconds: second), linkType: linkType, originalLength: UInt32(bytes.count)))
  }

  @Test func `A scan has its ports, techniques and times`() throws {
    var replay = Self.replay()
    for (index, port) in ([80, 23, 23, 22, 24, 25] as [UInt16]).enumerated() {
      Self.feed(&replay, Self.datagram(Self.them, Self.us, port, 2), at: Int64(100 + index))
    }
    Self.feed(&replay, Self.datagram(Self.them, Self.us, 69, nil), at: 200)
    Self.feed(&replay, Self.datagram([198, 51, 100, 8], Self.us, 80, 2), at: 50)
    Self.feed(&replay, Self.datagram(Self.them, [10, 0, 0, 3], 80, 2), at: 201)
    Self.feed(&replay, Self.datagram(Self.us, Self.them, 5000, 2), at: 202)
    Self.feed(&replay, [1, 2, 3], at: 203, linkType: 220)
    replay.finish()
    let findings = replay.findings()
    try #require(findings.count == 1)
    let finding = findings[0]
    #expect(finding.verdict.source == IPNetwork("198.51.100.7")!)
    #expect(finding.verdict.verdictClass == .scan && finding.verdict.origin == .unproven)
    #expect(finding.tcp.ports == [23, 24, 25, 80])
    #expect(finding.udp.ports == [69])
    #expect(finding.verdict.techniques.techniques == [.syn, .udp])
    #expect(finding.verdict.first == Timestamp(seconds: 100))
    #expect(finding.verdict.last == Timestamp(seconds: 200))
    // The retransmission counts, the service does not.
    #expect(finding.verdict.probes == 6)
    #expect(replay.frames == 11)
    #expect(replay.probes == 7)
    #expect(replay.undecoded.map(\.reason) == ["unsupported link type"])
    let suspects = replay.findings(suspects: true)
    #expect(suspects.map(\.verdict.source.description) == ["198.51.100.8", "198.51.100.7"])
  }

  @Test func `Sources of the ignore file are not told of`() {
    var replay = Self.replay(ignored: ["198.51.100.0/24"])
    for port: UInt16 in 1...9 { Self.feed(&replay, Self.datagram(Self.them, Self.us, port, 2), at: 1) }
    replay.finish()
    #expect(replay.findings().isEmpty)
  }

  @Test func `All ports of a full scan are known`() throws {
    var replay = Self.replay()
    for port: UInt16 in 100...1099 { Self.feed(&replay, Self.datagram(Self.them, Self.us, port, 2), at: 1) }
    replay.finish()
    let finding = try #require(replay.findings().first)
    #expect(finding.tcp.ranges == [100...1099])
    #expect(ReplayReport.ports(finding) == "1000: 100-1099")
  }

  @Test func `A JSON line has what scripts want`() {
    var replay = Self.replay()
    for port: UInt16 in [7001, 7003, 7005] {
      Self.feed(&replay, Self.datagram(Self.them, Self.us, port, 2), at: 1_700_000_000)
    }
    replay.finish()
    var text = ""
    ReplayReport.json(replay.findings()) { text += $0 }
    // All bear the same sequence number, as within one run of nmap.
    let reasons = [
      ("unused port", 7001, "2.200"), ("unused port", 7003, "2.200"), ("unused port", 7005, "2.200"),
      ("tool marks", 7005, "1.000"),
    ].map {
      #"{"kind":"\#($0.0)","technique":"syn","port":\#($0.1),"weight":\#($0.2)}"#
    }
    #expect(
      text == """
        {"class":"scan","source":"198.51.100.7","origin":"unproven","technique":"syn","techniques":["syn"],\
        "kind":"vertical","slow":false,"tool":"nmap","first":1700000000.000000,"last":1700000000.000000,\
        "probes":3,"port_count":3,"target_count":1,"ports":{"tcp":"7001,7003,7005"},"score":7.600,"threshold":4.595,\
        "probes_until_verdict":3,\
        "evidence":[\(reasons.joined(separator: ","))]}

        """)
  }

  @Test func `The table cuts long lists of ports after a whole range`() throws {
    var replay = Self.replay()
    for port in stride(from: UInt16(1000), to: 1400, by: 2) {
      Self.feed(&replay, Self.datagram(Self.them, Self.us, port, 2), at: 1)
    }
    replay.finish()
    let text = ReplayReport.ports(try #require(replay.findings().first))
    #expect(text == "200: 1000,1002,1004,1006,1008,1010,1012,...")
  }

  @Test func `What a closed port answers settles at once, what nobody answers after three seconds, a service never`() {
    var replay = Self.replay()
    Self.feed(&replay, Self.datagram(Self.them, Self.us, 1, 2), at: 1)
    #expect(replay.probes == 0)
    // Three seconds later, with the next packet of whomever.
    Self.feed(&replay, Self.datagram([198, 51, 100, 8], Self.us, 22, 2), at: 4)
    #expect(replay.probes == 1)
  }
}
