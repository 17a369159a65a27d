import CLinux
import Platform
import Response
import TestSupport
import Testing
import Wire

@Suite("Test packets to decoys")
struct TestPacketTests {
  @Test(
    "a test packet is an ordinary SYN with right checksums",
    arguments: ["198.51.100.7 192.0.2.1", "2001:db8::7 2001:db8::1"])
  func frame(_ ends: String) throws {
    let addresses = ends.split(separator: " ").map { IPAddress($0)! }
    let packet = TestPacket(
      from: addresses[0], 40_000, to: addresses[1], 594, number: 0xdead_beef, hardware: [2, 0, 0, 0, 0, 9])
    let frame = packet.frame
    #expect(Array(frame[..<6]) == [2, 0, 0, 0, 0, 9])
    let datagram = Array(frame[14...])
    var decoder = PacketDecoder()
    var decoded = Packet()
    let outcome = unsafe decoder.decode(datagram.span.bytes, checksumVouched: false, into: &decoded)
    #expect(outcome == .packet)
    unsafe decoded.verify(in: datagram.span.bytes)
    #expect(decoded.checksum == .valid)
    #expect(decoded.source == addresses[0] && decoded.target == addresses[1])
    #expect(decoded.sourcePort == 40_000 && decoded.targetPort == 594)
    #expect(decoded.flags == .syn && decoded.sequence == 0xdead_beef && decoded.tcpOptionsLength == 20)
    if addresses[0].isV4 {
      // RFC 1071: the sum of a header with its checksum is all ones.
      var sum = stride(from: 0, to: 20, by: 2).reduce(0) { $0 + Int(datagram[$1]) << 8 + Int(datagram[$1 + 1]) }
      while sum >> 16 != 0 { sum = sum & 0xffff + sum >> 16 }
      #expect(sum == 0xffff)
    }
  }
}

@Suite(
  "Test packets in the kernel", .serialized, .enabled(if: NetworkNamespace.isPossible, "\(NetworkNamespace.skipped)"))
struct DecoyTestTests {
  private func listener(_ family: Int32) throws -> FileDescriptor {
    let file = try FileDescriptor.socket(family, CLinux_SOCK_STREAM, 0)
    if family == AF_INET6 { try file.setOption(Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
    if family == AF_INET {
      var address = sockaddr_in()
      (address.sin_family, address.sin_port) = (sa_family_t(family), UInt16(594).bigEndian)
      try check("bind") { unsafe CLinux_bind(file.raw, &address, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    } else {
      var address = sockaddr_in6()
      (address.sin6_family, address.sin6_port) = (sa_family_t(family), UInt16(594).bigEndian)
      try check("bind") { unsafe CLinux_bind(file.raw, &address, socklen_t(MemoryLayout<sockaddr_in6>.size)) }
    }
    try check("listen") { listen(file.raw, 8) }
    return file
  }

  private func cable(_ more: String...) {
    for words in ["link add lan0 type veth peer name lan1", "link set lan0 up", "link set lan1 up"] + more {
      #expect(shell("ip \(words)").status == 0, "\(words)")
    }
  }

  /// Whether a packet arrives by each way there is, after the rules have been changed.
  private func arrivals(_ test: borrowing DecoyTest, _ rules: String) throws -> [String: Bool] {
    #expect(shell("nft flush ruleset").status == 0)
    let status = shell("printf '\(rules)' | nft -f -")
    #expect(status.status == 0, "\(rules): \(status.output)")
    var result: [String: Bool] = [:]
    for way in try DecoyWay.discover() {
      let network = try #require(way.neighbours)
      let packet = TestPacket(
        from: IPAddress(high: network.address.high, low: network.address.low | 77), 40_000, to: way.address, 594,
        number: .random(in: 1 ... .max), hardware: way.hardware)
      try test.send(packet, on: way.entrance, mark: 7)
      for _ in 0..<50 where !test.hasArrived(packet) { Clock.sleep(.milliseconds(1)) }
      result["\(way.way.interface) \(way.way.isV4 ? 4 : 6)"] = test.hasArrived(packet)
      test.forget(packet)
      let isThere = test.hasArrived(packet)
      #expect(!isThere)
    }
    return result
  }

  @Test("a packet arrives by the way that strangers take, and nothing answers it")
  func arrives() throws {
    try inNamespace {
      cable("addr add 192.0.2.1/24 dev lan0", "addr add 2001:db8::1/64 dev lan0 nodad")
      let v4 = try listener(AF_INET)
      let v6 = try listener(AF_INET6)
      let test = try DecoyTest.open(listeners: [v4.raw, v6.raw])
      func drop(_ place: String, _ what: String) -> String {
        "table inet f {\\n chain c {\\n type filter hook \(place); \(what)\\n }\\n}\\n"
      }
      for (rules, isThere) in [
        ("", true), (drop("input priority 0; policy drop", ""), false),
        (drop("input priority 0; policy drop", "tcp dport 594 accept"), true),
        (drop("prerouting priority -300", "tcp flags syn drop"), false),
        (drop("input priority 0", "meta mark 7 drop"), false),
      ] {
        let found = try arrivals(test, rules)
        #expect(found == ["lan0 4": isThere, "lan0 6": isThere], "\(rules)")
      }
      let answers = drop("output priority 0", "tcp flags syn,ack / syn,ack counter")
      let found = try arrivals(test, answers)
      #expect(found == ["lan0 4": true, "lan0 6": true])
      #expect(shell("nft list ruleset").output.contains("packets 0"))
      #expect(shell("ss -Htn state syn-recv").output.isEmpty)
    }
  }

  @Test("of a bridge a packet comes in by a port")
  func bridge() throws {
    try inNamespace {
      cable(
        "link add br0 type bridge", "link set lan0 master br0", "link set br0 up", "addr add 192.0.2.1/24 dev br0")
      let ways = try DecoyWay.discover()
      #expect(ways.map(\.way.interface) == ["br0"])
      #expect(ways.map(\.isBridged) == [true])
      // A new port of a bridge does not forward at once.
      let file = try listener(AF_INET)
      let test = try DecoyTest.open(listeners: [file.raw])
      let open = try arrivals(test, "")
      #expect(open == ["br0 4": true])
      let closed = try arrivals(
        test,
        "table bridge f {\\n chain c {\\n type filter hook prerouting priority 0; iifname lan0 drop\\n }\\n}\\n")
      #expect(closed == ["br0 4": false])
    }
  }

  @Test("where there is a default route, only that way counts")
  func outward() throws {
    try inNamespace {
      cable(
        "addr add 192.0.2.1/24 dev lan0", "addr add 198.51.100.1/24 dev lan1", "route add default via 198.51.100.9")
      let ways = try DecoyWay.discover()
      #expect(ways.map(\.way) == [DecoySight.Way("lan1", isV4: true)])
      #expect(ways.map(\.neighbours) == [nil])
    }
  }
}
