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

  private static func feed(
    _ replay: inout Replay, _ bytes: [UInt8], at second: Int64, linkType: UInt32 = 101
  ) {
    unsafe replay.observe(
      bytes.span.bytes, linkType: linkType, direction: .unknown, time: Timestamp(seconds: second))
  }

  @Test func `Each source has its probes, ports, techniques and times`() throws {
    var replay = Self.replay()
    let them: [UInt8] = [198, 51, 100, 7]
    for (index, port) in ([80, 23, 23, 22] as [UInt16]).enumerated() {
      Self.feed(&replay, Self.datagram(them, Self.us, port, 2), at: Int64(100 + index))
    }
    Self.feed(&replay, Self.datagram(them, Self.us, 69, nil), at: 200)
    Self.feed(&replay, Self.datagram([198, 51, 100, 8], Self.us, 80, 1), at: 50)
    Self.feed(&replay, Self.datagram(them, [10, 0, 0, 3], 80, 2), at: 201)
    Self.feed(&replay, Self.datagram(Self.us, them, 5000, 2), at: 202)
    Self.feed(&replay, [1, 2, 3], at: 203, linkType: 220)
    let rows = replay.sorted()
    #expect(rows.map(\.address.description) == ["198.51.100.7", "198.51.100.8"])
    let first = try #require(rows.first?.source)
    #expect(first.probes == 4)
    #expect(first.ports(.tcp).ports == [23, 80])
    #expect(first.ports(.udp).ports == [69])
    #expect(first.techniques == [.syn, .udp])
    #expect(first.first == Timestamp(seconds: 100))
    #expect(first.last == Timestamp(seconds: 200))
    #expect(replay.frames == 9)
    #expect(replay.probes == 5)
    #expect(replay.undecoded.map(\.reason) == ["unsupported link type"])
    #expect(replay.dismissed.map(\.count).reduce(0, +) == 3)
  }

  @Test func `Sources of the ignore file are counted and not listed`() {
    var replay = Self.replay(ignored: ["198.51.100.0/24"])
    Self.feed(&replay, Self.datagram([198, 51, 100, 7], Self.us, 80, 2), at: 1)
    #expect(replay.sources.isEmpty)
    #expect(replay.ignoredProbes == 1)
  }

  @Test func `All ports of a full scan are known`() throws {
    var replay = Self.replay()
    for port: UInt16 in 100...1099 { Self.feed(&replay, Self.datagram([198, 51, 100, 7], Self.us, port, 2), at: 1) }
    let source = try #require(replay.sorted().first?.source)
    #expect(source.ports(.tcp).ranges == [100...1099])
    #expect(!source.hasMorePorts)
    #expect(ReplayReport.ports(source) == "1000: 100-1099")
  }

  @Test func `A JSON line has what scripts want`() {
    var replay = Self.replay()
    Self.feed(&replay, Self.datagram([198, 51, 100, 7], Self.us, 80, 2), at: 1_700_000_000)
    var text = ""
    ReplayReport.json(replay) { text += $0 }
    #expect(
      text == """
        {"class":"scan","source":"198.51.100.7","origin":"unproven","first":1700000000.000000,"last":1700000000.000000,\
        "techniques":["syn"],"ports":{"tcp":"80"},"hasMorePorts":false,"probes":1}

        """)
  }

  @Test func `The table cuts long lists of ports after a whole range`() {
    var replay = Self.replay()
    for port in stride(from: UInt16(1000), to: 1400, by: 2) {
      Self.feed(&replay, Self.datagram([198, 51, 100, 7], Self.us, port, 2), at: 1)
    }
    let text = ReplayReport.ports(replay.sorted()[0].source)
    #expect(text == "200: 1000,1002,1004,1006,1008,1010,1012,...")
  }
}
