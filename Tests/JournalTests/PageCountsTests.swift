import Detection
import Response
import Testing
import TestSupport
import Wire

@testable import Journal

/// What the page counts.
@Suite struct PageCountsTests {
  private func block(_ source: String, at time: Timestamp) -> Event {
    .blocked(
      Block.Record(
        network: IPNetwork(source)!, since: time, until: nil, methods: [.nftables], port: 23, transport: .tcp,
        modeName: "atcp", reason: "scan"), repeats: 0)
  }

  @Test func `Blocks by hour, and notes of a kind and of a window`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      try book.write([
        block("10.0.0.1", at: at(1)), block("10.0.0.2", at: at(1.9)), block("10.0.0.3", at: at(3)),
        .refused(IPAddress("10.0.0.4")!, because: "gateway", at: at(3.5)),
      ])
      let reader = try book.reader()
      let hour = monday.seconds / 3600
      #expect(try reader.blocksByHour(since: at(0)) == [hour + 1: 2, hour + 3: 1])
      #expect(try reader.blocksByHour(since: at(2)) == [hour + 3: 1])
      #expect(try reader.notes(of: .refused, since: at(0), limit: 9).map(\.subject) == [IPNetwork("10.0.0.4")])
      #expect(try reader.notes(of: .refused, since: at(4), limit: 9).isEmpty)
      let window = Window(first: hour + 1, last: hour + 1)
      #expect(try reader.notes(in: window, limit: 9).map(\.subject) == [IPNetwork("10.0.0.2"), IPNetwork("10.0.0.1")])
    }
  }

  @Test func `Sources of a port, by its protocol`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      try book.write([
        probe("10.0.0.1", 53, at: at(1)), probe("10.0.0.1", 53, at: at(1), .fin), probe("10.0.0.2", 53, at: at(1)),
        probe("10.0.0.3", 53, at: at(1), .udp), probe("10.0.0.4", 54, at: at(1)),
      ])
      let reader = try book.reader()
      let window = Window(from: at(0), to: at(2))
      let (tcp, count) = try reader.sources(of: PortName(PortName.Family.tcp, 53), window, limit: 1)
      #expect(count == 2 && tcp.map(\.source.network) == [IPNetwork("10.0.0.1")] && tcp.first?.probes == 2)
      let udp = try reader.sources(of: PortName(PortName.Family.udp, 53), window, limit: 9).lines
      #expect(udp.map(\.source.network) == [IPNetwork("10.0.0.3")])
    }
  }

  @Test func `The addresses of a network, and of no other`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      try book.write(
        ["10.0.0.255", "10.0.1.0", "10.0.1.255", "10.0.2.0", "a00:100::"].map { probe($0, 23, at: at(1)) }
          + [
            probe("10.0.1.255", 24, at: at(1)), probe("2001:db8:1:ffff::1", 23, at: at(1)),
            probe("2001:db8:2::", 23, at: at(1)),
          ])
      let reader = try book.reader()
      let v4 = try reader.sources(in: #require(IPNetwork("10.0.1.0/24")), limit: 9)
      #expect(v4.lines.map(\.network) == [IPNetwork("10.0.1.255"), IPNetwork("10.0.1.0")] && v4.count == 2)
      #expect(try reader.sources(in: #require(IPNetwork("10.0.1.0/24")), limit: 1).lines.count == 1)
      let v6 = try reader.sources(in: #require(IPNetwork("2001:db8:1::/48")), limit: 9)
      #expect(v6.lines.map(\.network) == [IPNetwork("2001:db8:1:ffff::1")])
    }
  }
}
