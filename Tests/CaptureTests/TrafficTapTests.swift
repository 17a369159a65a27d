import CLinux
import Platform
import TestSupport
import Testing
import Wire

@testable import Capture

/// The tap in a network of its own: two joined interfaces, `va` and `vb`.
@Suite(.enabled(if: NetworkNamespace.isPossible), .serialized) struct TrafficTapTests {
  private static let host = IPAddress("192.0.2.10")!

  private static func filter(_ ports: ClosedRange<UInt16>) -> KernelFilter {
    var filter = KernelFilter()
    filter.tcpV4 = PortSet(ranges: [ports])
    filter.tcpV6 = PortSet(ranges: [ports])
    filter.watchesTCP = true
    filter.addresses = [host, IPAddress("2001:db8::10")!]
    return filter
  }

  private static func interfaces(_ names: [String], withEthernet: Bool = true) throws -> [Interface] {
    var list = try Interfaces()
    return try list.list().filter { names.contains($0.name) }.map {
      Interface(
        index: $0.index, name: $0.name, isUp: $0.isUp, isLoopback: $0.isLoopback, master: $0.master,
        hasEthernetHeader: withEthernet && $0.hasEthernetHeader)
    }
  }

  /// All packets that come, waited for at most 100 ms.
  private static func drain(_ tap: inout TrafficTap) throws -> [Packet] {
    var found: [Packet] = []
    var decoder = PacketDecoder()
    while true {
      let ready = Poll.readable(tap.descriptors, milliseconds: 100)
      if ready.isEmpty { return found }
      try tap.settle(ready)
      while tap.next({ bytes, frame in
        if let packet = Cable.packet(bytes, frame, &decoder) { found.append(packet) }
      }) {}
    }
  }

  /// Takes what comes until the interfaces with programs are these.
  private static func settle(_ tap: inout TrafficTap, programs: [String], socket: [String] = []) throws -> [Packet] {
    var found: [Packet] = []
    let end = Clock.monotonic + 20_000_000_000
    while tap.sight.programs.sorted() != programs || tap.sight.socket.sorted() != socket, Clock.monotonic < end {
      found += try drain(&tap)
    }
    #expect(tap.sight.programs.sorted() == programs && tap.sight.socket.sorted() == socket, "\(tap.sight)")
    return found
  }

  @Test func theSocketFirstThenPrograms() throws {
    try inNamespace {
      Cable.make()
      var tap = try TrafficTap(frames: 1024)
      try tap.fit(Self.filter(20...30), watched: try Self.interfaces(["vb"]))
      try tap.start()
      let syn = PacketBuilder()
      try Cable.inject(syn.datagram)
      #expect(try Self.drain(&tap).map(\.targetPort) == [23])
      #expect(tap.sight.socket == ["vb"] && tap.sight.programs.isEmpty)
      // What is there when programs take over, and what comes meanwhile, is seen once.
      try Cable.inject(syn.with { $0.targetPort = 28 }.datagram)
      try tap.attachPrograms()
      try Cable.inject(syn.with { $0.targetPort = 29 }.datagram)
      #expect(try Self.settle(&tap, programs: ["vb"]).map(\.targetPort) == [28, 29])
      #expect(tap.sight.reason == nil && tap.sight.text == "programs at the interfaces")
      _ = try Self.drain(&tap)
      #expect(tap.descriptors.count == 2, "the socket has ended")

      let before = Clock.now
      let six = PacketBuilder(from: "2001:db8::7", 41_000, to: "2001:db8::10", 21)
      try Cable.inject(syn.datagram)
      try Cable.inject(syn.with { $0.targetPort = 80 }.datagram)
      try Cable.inject(six.datagram)
      try Cable.inject(syn.with { $0.target = IPAddress("192.0.2.11")! }.datagram)
      try Cable.inject(syn.with { $0.targetPort = 22 }.datagram, toGroup: true)
      try Cable.inject(syn.with { $0.targetPort = 24 }.datagram, tag: [0x81, 0, 0, 5])
      try Cable.inject(syn.with { $0.targetPort = 25 }.datagram, tag: [0x81, 0, 0x60, 0])
      for fragment in syn.with({ $0.targetPort = 26 }).fragments(of: 8) { try Cable.inject(fragment) }
      try Cable.inject(syn.with { ($0.targetPort, $0.transportChecksum) = (27, .wrong) }.datagram)
      let seen = try Self.drain(&tap)
      #expect(seen.map(\.targetPort) == [23, 21, 25, 26, 27], "as by the packet socket")
      #expect(seen.map(\.checksum) == [.valid, .valid, .valid, .valid, .wrong])
      let first = try #require(seen.first)
      #expect(first.source == syn.source && first.sourcePort == syn.sourcePort && first.target == syn.target)
      #expect(first.interface == Int32(bitPattern: unsafe if_nametoindex("vb")) && !first.isOutgoing)
      #expect(first.time >= before && first.time <= Clock.now)
      tap.updateStatistics()
      #expect(tap.statistics.dropped == 0 && tap.statistics.received == UInt64(3 + seen.count + 2), "and two fragments")
    }
  }

  @Test func whatThisHostSendsIsSeen() throws {
    try inNamespace {
      Cable.make()
      var tap = try TrafficTap(frames: 256)
      try tap.fit(Self.filter(20...30), watched: try Self.interfaces(["lo", "vb"]))
      try tap.start()
      try tap.attachPrograms()
      shell("ip link set lo up")
      try tap.fit(Self.filter(20...30), watched: try Self.interfaces(["lo", "vb"]))
      _ = try Self.settle(&tap, programs: ["lo", "vb"])
      // To itself: a checksum that nobody fills in.
      shell("timeout 1 bash -c '</dev/tcp/192.0.2.10/25'")
      let seen = try Self.drain(&tap)
      #expect(seen.map(\.isOutgoing) == [true, false, true])
      #expect(seen.prefix(2).allSatisfy { $0.targetPort == 25 && $0.flags.contains(.syn) && $0.checksum == .valid })
      #expect(seen.last?.sourcePort == 25 && seen.last?.flags == [.rst, .ack])
    }
  }

  @Test func filtersAreExchangedAndInterfacesComeAndGo() throws {
    try inNamespace {
      Cable.make()
      var tap = try TrafficTap(frames: 256)
      try tap.fit(Self.filter(20...30), watched: try Self.interfaces(["vb"]))
      try tap.start()
      try tap.attachPrograms()
      _ = try Self.settle(&tap, programs: ["vb"])
      try tap.fit(Self.filter(40...50), watched: try Self.interfaces(["vb"]))
      try Cable.inject(PacketBuilder().datagram)
      try Cable.inject(PacketBuilder().with { $0.targetPort = 45 }.datagram)
      #expect(try Self.drain(&tap).map(\.targetPort) == [45])

      // The same name again is another interface.
      shell("ip link del vb")
      Cable.make()
      try tap.fit(Self.filter(40...50), watched: try Self.interfaces(["vb"]))
      _ = try Self.drain(&tap)
      try tap.fit(Self.filter(40...50), watched: try Self.interfaces(["vb"]))
      try Cable.inject(PacketBuilder().with { $0.targetPort = 46 }.datagram)
      #expect(try Self.drain(&tap).map(\.targetPort) == [46])

      try tap.fit(Self.filter(40...50), watched: [])
      _ = try Self.drain(&tap)
      try Cable.inject(PacketBuilder().with { $0.targetPort = 47 }.datagram)
      #expect(try Self.drain(&tap).isEmpty)
    }
  }

  @Test func withoutAnEthernetHeaderItIsThePacketSocket() throws {
    try inNamespace {
      Cable.make()
      shell("ip link add wa type veth peer name wb; ip link set wa up; ip link set wb up")
      var tap = try TrafficTap(frames: 256)
      let watched = try Self.interfaces(["wb"]) + Self.interfaces(["vb"], withEthernet: false)
      try tap.fit(Self.filter(20...30), watched: watched)
      try tap.start()
      try tap.attachPrograms()
      _ = try Self.settle(&tap, programs: ["wb"], socket: ["vb"])
      #expect(tap.sight.text == "programs; at vb a packet socket (no Ethernet header)")
      try Cable.inject(PacketBuilder().datagram)
      #expect(try Self.drain(&tap).map(\.targetPort) == [23])
    }
  }

  @Test func withoutProgramsItIsThePacketSocketAsWell() throws {
    try inNamespace {
      Cable.make()
      var tap = try TrafficTap(frames: 256, usesPrograms: false)
      try tap.fit(Self.filter(20...30), watched: try Self.interfaces(["vb"]))
      try tap.start()
      try tap.attachPrograms()
      try Cable.inject(PacketBuilder().datagram)
      #expect(try Self.drain(&tap).map(\.targetPort) == [23])
      #expect(tap.sight.socket == ["vb"] && tap.sight.text == "a packet socket (as asked for)")
    }
  }

  @Test func aFullRingCountsWhatIsLost() throws {
    try inNamespace {
      Cable.make()
      var tap = try TrafficTap(frames: 256)
      var filter = Self.filter(20...30)
      filter.udpV4 = PortSet(ranges: [0...65535])
      filter.watchesUDP = true
      try tap.fit(filter, watched: try Self.interfaces(["vb"]))
      try tap.start()
      try tap.attachPrograms()
      _ = try Self.settle(&tap, programs: ["vb"])
      _ = try Self.drain(&tap)
      tap.updateStatistics()
      let before = tap.statistics.received
      for port in 1...300 as ClosedRange<UInt16> { try Cable.inject(PacketBuilder(.udp, 9, port).datagram) }
      Clock.sleep(.milliseconds(50))
      let seen = try Self.drain(&tap)
      tap.updateStatistics()
      #expect(seen.count >= 250 && seen.count < 300)
      #expect(Int(tap.statistics.dropped) == 300 - seen.count && tap.statistics.received - before == 300)
    }
  }
}
