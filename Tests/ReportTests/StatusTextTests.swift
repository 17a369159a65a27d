import Foundation
import Report
import Testing
import Wire

@testable import Journal

@Suite struct StatusTextTests {
  private static let now = Timestamp(seconds: 1_793_577_600)

  private func status(_ more: String) throws -> LiveStatus {
    try JSONDecoder().decode(
      LiveStatus.self,
      from: Data(
        #"{"version":"3.0.0","pid":7,"started":1793570000,"interfaces":["eth0"],"tcp_mode":"atcp","tcp_ports":"0-112,114-138,140-65535","tcp_port_count":65534,"served_tcp":"22,80,443,8080","served_udp":"53","response":"block by nftables who scans (native rule) and has proven its address","never_blocked":[{"network":"2001:db8:1234:5678:9abc:def0:1234:5678/128","reason":"default gateway of this host"}]\#(more)}"#
          .utf8))
  }

  private func glance(_ source: String) throws -> Glance {
    var line = SourceLine(
      source: Source(id: 1, network: try #require(IPNetwork(source)), first: Self.now, last: Self.now), probes: 65_536)
    line.source.name = "a-very-long-name-that-somebody-chose-for-his-host.example.net"
    return Glance(
      hours: [], newest: [Note(id: 1, time: Self.now, kind: .released, text: String(repeating: "word ", count: 30))],
      top: [line], used: 4096)
  }

  private func render(_ layout: TextLayout, _ more: String = "") throws -> String {
    StatusText.render(
      try status(more), try glance("2001:db8:1234:5678:9abc:def0:1234:5678"), now: Self.now, .utc, layout)
  }

  @Test(arguments: [60, 80, 132]) func `No line is longer than the terminal`(_ width: Int) throws {
    let more =
      #","deception":{"state":"active","text":"HIDDEN by the firewall of this host on lan0 (IPv4, IPv6): strangers do not reach the decoys; run `portsentry firewall`; 65534 unused ports look open to everybody","hidden":["lan0 IPv4"]}"#
    let text = try render(TextLayout(width: width), more)
    for line in text.split(separator: "\n") { #expect(line.count <= width, "\(line)") }
    #expect(text.contains("2001:db8:1234:5678:9abc:def0:1234:5678") && text.contains("65,536"))
    // Nothing is lost by breaking lines.
    let words = Set(text.split(whereSeparator: \.isWhitespace))
    for word in ["`portsentry", "firewall`;", "everybody", "(default", "nftables"] {
      #expect(words.contains(Substring(word)), "\(word)")
    }
  }

  @Test(arguments: [40, 80, 132])
  func `Rows go on below their last column, and lose nothing`(_ width: Int) {
    let rows = """
      why       it completed a TCP handshake with the decoy on port 143, 2026-11-30 07:11:18, and after that with others

        10.77.0.101  nftables  vertical scan by connect (syn); proven by decoy port 143, and so blocked for a day
      ports     \((1...60).map { "\($0 * 3)" }.joined(separator: ","))

      """
    let folded = TextLayout(width: width).folded(rows)
    for line in folded.split(separator: "\n") { #expect(line.count <= width, "\(line)") }
    #expect(folded.filter { !$0.isWhitespace } == rows.filter { !$0.isWhitespace })
    #expect(folded.contains("\n          "))
    #expect(folded.hasSuffix("\n") && folded.contains("\n\n"))
    #expect(TextLayout().folded(rows) == rows)
  }

  @Test func `Programs get whole lines`() throws {
    let text = try render(TextLayout())
    #expect(text.contains("block by nftables who scans (native rule) and has proven its address\n"))
    #expect(!text.contains("\u{1b}"))
  }

  @Test func `Colours say what needs somebody, and only where they are wanted`() throws {
    func coloured(_ more: String) throws -> String { try render(TextLayout(width: 100, isColoured: true), more) }
    let well = try coloured("")
    #expect(well.hasPrefix("\u{1b}[32mPortSentry 3.0.0 watching"))
    #expect(!well.contains("\u{1b}[33m") && !well.contains("\u{1b}[1;31m"))
    #expect(try coloured(#","dropped":{"ring_full":9}"#).contains("\u{1b}[33m9 packets in the kernel\u{1b}[0m"))
    #expect(try coloured(#","journal":{"failing":true}"#).contains("\u{1b}[1;31m"))
    let text = StatusText.render(nil, nil, now: Self.now, .utc, TextLayout(width: 80, isColoured: true))
    #expect(text.hasPrefix("\u{1b}[1;31mPortSentry is NOT running"))
  }
}
