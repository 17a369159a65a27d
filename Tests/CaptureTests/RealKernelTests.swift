import CLinux
import Capture
import Detection
import Host
import Platform
import TestSupport
import Testing
import Wire

/// A socket address of either family.
private struct SocketAddress {
  private var storage = sockaddr_in6()
  private var length: socklen_t

  init(_ address: IPAddress, _ port: UInt16) {
    var bytes = [UInt8](repeating: 0, count: MemoryLayout<sockaddr_in6>.size)
    let family = UInt16(address.isV4 ? AF_INET : AF_INET6)
    (bytes[0], bytes[1]) = (UInt8(family & 255), UInt8(family >> 8))
    (bytes[2], bytes[3]) = (UInt8(port >> 8), UInt8(port & 255))
    bytes.replaceSubrange((address.isV4 ? 4 : 8)..<(address.isV4 ? 8 : 24), with: address.bytes)
    unsafe withUnsafeMutableBytes(of: &storage) { unsafe $0.copyBytes(from: bytes) }
    length = socklen_t(address.isV4 ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size)
  }

  func bind(_ socket: borrowing FileDescriptor) throws {
    let raw = socket.raw
    var copy = storage
    try check("bind") { unsafe CLinux_bind(raw, &copy, length) }
  }

  func connect(_ socket: borrowing FileDescriptor) throws {
    let raw = socket.raw
    var copy = storage
    try check("connect") { unsafe CLinux_connect(raw, &copy, length) }
  }
}

private func open(_ transport: TransportProtocol, _ address: String, _ port: UInt16, v6Only: Bool = false) throws
  -> FileDescriptor
{
  let address = IPAddress(address)!
  let socket = try FileDescriptor.socket(
    address.isV4 ? AF_INET : AF_INET6, transport == .tcp ? CLinux_SOCK_STREAM : CLinux_SOCK_DGRAM, 0)
  if !address.isV4 { try socket.setOption(Int32(IPPROTO_IPV6), IPV6_V6ONLY, v6Only ? 1 : 0) }
  try SocketAddress(address, port).bind(socket)
  if transport == .tcp { try check("listen") { listen(socket.raw, 8) } }
  return socket
}

// `#expect` copies what it looks at, which these are not made for.
extension Owned where Value == SocketTable {
  fileprivate func serves(_ packet: Packet) -> Bool { value.serves(packet) }
  fileprivate func connections() throws -> [(localPort: UInt16, peer: IPAddress)] { try value.connections() }
  fileprivate func failures() -> UInt64 { value.failures }
}

extension Owned where Value == SocketMonitor {
  fileprivate func drain() -> Bool { value.drain { _ in true } }
  fileprivate var descriptor: Int32 { value.descriptor }
}

extension Owned where Value == Interfaces {
  fileprivate func drain() -> Bool { value.drain() }
  fileprivate func list() throws -> [Interface] { try value.list() }
  fileprivate func localNetworks() throws -> [IPNetwork] { try value.localNetworks() }
  fileprivate var descriptor: Int32 { value.descriptor }
}

/// A packet as it would come in on loopback.
private func packet(
  _ transport: TransportProtocol, from source: String, _ sourcePort: UInt16, to target: String, _ targetPort: UInt16
) -> Packet {
  var packet = Packet()
  packet.transport = transport
  (packet.source, packet.sourcePort) = (IPAddress(source)!, sourcePort)
  (packet.target, packet.targetPort) = (IPAddress(target)!, targetPort)
  packet.flags = transport == .tcp ? .syn : []
  packet.interface = 1
  return packet
}

/// Everything here runs against the kernel, in a network namespace that ends with the test.
@Suite(.enabled(if: NetworkNamespace.isPossible), .serialized) struct RealKernelTests {
  /// All packets in the ring, waited for at most `milliseconds`.
  private static func drain(_ ring: inout PacketRing, milliseconds: Int32 = 100) -> [Packet] {
    var found: [Packet] = []
    var decoder = PacketDecoder()
    for _ in 0..<20 {
      guard Poll.readable([ring.descriptor], milliseconds: milliseconds).contains(ring.descriptor) else { break }
      while ring.next({ bytes, frame in
        if let packet = Cable.packet(bytes, frame, &decoder) { found.append(packet) }
      }) {}
    }
    return found
  }

  @Test func theRingSeesWhatTheFilterLetsThrough() throws {
    try inNamespace {
      Cable.make()
      var ring = try PacketRing(frames: 1024)
      var filter = KernelFilter()
      filter.tcpV4 = PortSet(ranges: [20...30])
      filter.tcpV6 = PortSet(ranges: [20...30])
      filter.watchesTCP = true
      filter.addresses = [IPAddress("192.0.2.10")!, IPAddress("2001:db8::10")!]
      try ring.attach(filter)
      try ring.start()
      let before = Clock.now
      let syn = PacketBuilder()
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
      let seen = Self.drain(&ring)
      #expect(
        seen.map(\.targetPort) == [23, 21, 25, 26, 27], "priority-tagged packets are ours, those of a VLAN are not")
      #expect(seen.map(\.checksum) == [.valid, .valid, .valid, .valid, .wrong])
      let first = try #require(seen.first)
      #expect(first.source == syn.source && first.sourcePort == syn.sourcePort && first.target == syn.target)
      #expect(first.interface == Int32(bitPattern: unsafe if_nametoindex("vb")) && !first.isOutgoing)
      #expect(first.time >= before && first.time <= Clock.now)
      ring.updateStatistics()
      #expect(ring.statistics.received >= 7 && ring.statistics.dropped == 0)
    }
  }

  @Test func aConnectionByThisHostIsSeenBothWays() throws {
    try inNamespace {
      var ring = try PacketRing(frames: 256)
      var filter = KernelFilter()
      filter.tcpV4 = PortSet([4321] as [UInt16])
      filter.watchesTCP = true
      try ring.attach(filter)
      try ring.start()
      let socket = try FileDescriptor.socket(AF_INET, CLinux_SOCK_STREAM, 0)
      #expect(throws: Errno.self) { try SocketAddress(IPAddress("127.0.0.1")!, 4321).connect(socket) }
      let seen = Self.drain(&ring)
      // The question, as it is sent and as it arrives, and our answer.
      #expect(seen.map(\.isOutgoing) == [true, false, true])
      #expect(seen.prefix(2).map(\.targetPort) == [4321, 4321])
      #expect(seen.prefix(2).allSatisfy { $0.flags.contains(.syn) && $0.checksum == .valid })
      #expect(seen.last?.sourcePort == 4321 && seen.last?.flags == [.rst, .ack])
    }
  }

  @Test func theKernelTakesTheLargestProgram() throws {
    try inNamespace {
      let ring = try PacketRing(frames: 256)
      var filter = KernelFilter()
      let scattered = PortSet((0..<20_000).map { UInt16($0 * 3) })
      (filter.tcpV4, filter.tcpV6, filter.udpV4, filter.udpV6) = (scattered, scattered, scattered, scattered)
      (filter.servedUDPv4, filter.servedUDPv6) = (scattered, scattered)
      (filter.watchesTCP, filter.watchesUDP) = (true, true)
      filter.interfaces = .except(Array(1...64))
      try ring.attach(filter)
    }
  }

  @Test func aFullRingCountsWhatIsLost() throws {
    try inNamespace {
      Cable.make()
      var ring = try PacketRing(frames: 256)
      var filter = KernelFilter()
      filter.udpV4 = PortSet(ranges: [0...65535])
      filter.watchesUDP = true
      filter.addresses = [IPAddress("192.0.2.10")!]
      try ring.attach(filter)
      try ring.start()
      for port in 1...300 as ClosedRange<UInt16> { try Cable.inject(PacketBuilder(.udp, 9, port).datagram) }
      Clock.sleep(.milliseconds(50))
      let seen = Self.drain(&ring)
      ring.updateStatistics()
      #expect(seen.count >= 250 && seen.count < 300)
      #expect(Int(ring.statistics.dropped) == 300 - seen.count)
    }
  }

  @Test func whoServesAPacket() throws {
    try inNamespace {
      shell("ip addr add 192.0.2.10/32 dev lo; ip addr add 2001:db8::10/128 dev lo nodad")
      let table = Owned(try SocketTable())
      let everywhere = try open(.tcp, "0.0.0.0", 1001)
      let local = try open(.tcp, "127.0.0.1", 1002)
      let dual = try open(.tcp, "::", 1003)
      let sixOnly = try open(.tcp, "::", 1004, v6Only: true)
      let datagrams = try open(.udp, "0.0.0.0", 1005)
      let dualDatagrams = try open(.udp, "::", 1006)
      let rows: [(String, Packet, Bool)] = [
        ("a listener on 0.0.0.0", packet(.tcp, from: "192.0.2.10", 5000, to: "192.0.2.10", 1001), true),
        ("nothing", packet(.tcp, from: "192.0.2.10", 5000, to: "192.0.2.10", 1000), false),
        ("UDP to a TCP listener", packet(.udp, from: "192.0.2.10", 5000, to: "192.0.2.10", 1001), false),
        ("IPv6 to a listener on 0.0.0.0", packet(.tcp, from: "2001:db8::10", 5000, to: "2001:db8::10", 1001), false),
        ("a listener on 127.0.0.1, there", packet(.tcp, from: "127.0.0.1", 5000, to: "127.0.0.1", 1002), true),
        ("a listener on 127.0.0.1, elsewhere", packet(.tcp, from: "192.0.2.10", 5000, to: "192.0.2.10", 1002), false),
        ("a dual-stack listener, IPv4", packet(.tcp, from: "192.0.2.10", 5000, to: "192.0.2.10", 1003), true),
        ("a dual-stack listener, IPv6", packet(.tcp, from: "2001:db8::10", 5000, to: "2001:db8::10", 1003), true),
        ("an IPv6 listener, IPv4", packet(.tcp, from: "192.0.2.10", 5000, to: "192.0.2.10", 1004), false),
        ("an IPv6 listener, IPv6", packet(.tcp, from: "2001:db8::10", 5000, to: "2001:db8::10", 1004), true),
        ("a UDP socket", packet(.udp, from: "192.0.2.10", 5000, to: "192.0.2.10", 1005), true),
        ("a dual-stack UDP socket, IPv4", packet(.udp, from: "192.0.2.10", 5000, to: "192.0.2.10", 1006), true),
        ("a dual-stack UDP socket, IPv6", packet(.udp, from: "2001:db8::10", 5000, to: "2001:db8::10", 1006), true),
      ]
      for (sentence, packet, expected) in rows { #expect(table.serves(packet) == expected, "\(sentence)") }
      // A UDP socket that is connected serves its peer only.
      try SocketAddress(IPAddress("127.0.0.1")!, 7777).connect(datagrams)
      #expect(table.serves(packet(.udp, from: "127.0.0.1", 7777, to: "127.0.0.1", 1005)))
      #expect(!table.serves(packet(.udp, from: "127.0.0.1", 7778, to: "127.0.0.1", 1005)))

      var exposure = Exposure()
      try table.value.readServices(into: &exposure)
      #expect(exposure.wildcardTCPv4.ports == [1001, 1003])
      #expect(exposure.wildcardTCPv6.ports == [1003, 1004])
      #expect(
        exposure.serves(.tcp, IPAddress("127.0.0.1")!, 1002) && !exposure.serves(.tcp, IPAddress("192.0.2.10")!, 1002))
      #expect(exposure.wildcardUDPv4.ports == [1006] && exposure.wildcardUDPv6.ports == [1006])
      #expect(table.failures() == 0)
      _ = (everywhere.raw, local.raw, dual.raw, sixOnly.raw, datagrams.raw, dualDatagrams.raw)
    }
  }

  @Test func theTailOfAConnectionIsServed() throws {
    try inNamespace {
      let table = Owned(try SocketTable())
      let monitor = Owned(try SocketMonitor())
      var listener: FileDescriptor? = try open(.tcp, "127.0.0.1", 1001)
      let client = try FileDescriptor.socket(AF_INET, CLinux_SOCK_STREAM, 0)
      try SocketAddress(IPAddress("127.0.0.1")!, 5001).bind(client)
      try SocketAddress(IPAddress("127.0.0.1")!, 1001).connect(client)
      let raw = listener?.raw ?? -1
      let accepted = FileDescriptor(owning: CLinux_accept(raw, nil, nil, CLinux_SOCK_CLOEXEC))
      let own = packet(.tcp, from: "127.0.0.1", 5001, to: "127.0.0.1", 1001)
      let strange = packet(.tcp, from: "127.0.0.1", 5002, to: "127.0.0.1", 1001)
      #expect(try table.connections().contains { $0.localPort == 1001 && $0.peer == IPAddress("127.0.0.1")! })
      #expect(table.serves(own) && table.serves(strange))

      // The server closes first, so that TIME_WAIT is on its side; a connection's end is no news.
      close(accepted)
      close(client)
      Clock.sleep(.milliseconds(50))
      #expect(table.serves(own), "TIME_WAIT")
      _ = monitor.drain()
      Clock.sleep(.milliseconds(100))
      #expect(!monitor.drain())

      listener = nil
      #expect(Poll.readable([monitor.descriptor], milliseconds: 30_000) == [monitor.descriptor])
      #expect(monitor.drain() && !monitor.drain())
      #expect(!table.serves(strange))
    }
  }

  private func close(_ file: consuming FileDescriptor) {}

  @Test func onlyTheEndOfAListenerIsNews() throws {
    try inNamespace {
      let monitor = Owned(try SocketMonitor())
      let listener = try open(.tcp, "::", 1001)
      for _ in 0..<5 {
        let client = try FileDescriptor.socket(AF_INET, CLinux_SOCK_STREAM, 0)
        try SocketAddress(IPAddress("127.0.0.1")!, 1001).connect(client)
        let raw = listener.raw
        let accepted = FileDescriptor(owning: CLinux_accept(raw, nil, nil, CLinux_SOCK_CLOEXEC))
        close(accepted)
        close(client)
      }
      #expect(Poll.readable([monitor.descriptor], milliseconds: 200).isEmpty)
      #expect(!monitor.drain())
      let datagrams = try open(.udp, "::", 1002)
      close(datagrams)
      #expect(Poll.readable([monitor.descriptor], milliseconds: 30_000) == [monitor.descriptor])
      _ = monitor.drain()
      close(listener)
      #expect(Poll.readable([monitor.descriptor], milliseconds: 30_000) == [monitor.descriptor])
    }
  }

  @Test func interfacesAndAddresses() throws {
    try inNamespace {
      let interfaces = Owned(try Interfaces())
      #expect(try interfaces.list().map(\.name) == ["lo"])
      let loopback = try #require(try interfaces.list().first)
      #expect(loopback.isLoopback && loopback.isUp && loopback.index == 1 && loopback.master == 0)
      #expect(try interfaces.localNetworks().contains(IPNetwork("127.0.0.0/8")!))
      _ = interfaces.drain()
      #expect(!interfaces.drain())

      Cable.make()
      #expect(Poll.readable([interfaces.descriptor], milliseconds: 30_000) == [interfaces.descriptor])
      #expect(interfaces.drain())
      #expect(Set(try interfaces.list().map(\.name)) == ["lo", "va", "vb"])
      let local = try interfaces.localNetworks()
      #expect(local.contains(IPNetwork("192.0.2.10")!) && local.contains(IPNetwork("2001:db8::10")!))
      #expect(!local.contains { $0.contains(IPAddress("192.0.2.255")!) }, "the broadcast address is not ours")

      Clock.sleep(.milliseconds(100))
      _ = interfaces.drain()
      shell("ip addr add 198.51.100.1/24 dev vb")
      #expect(Poll.readable([interfaces.descriptor], milliseconds: 30_000) == [interfaces.descriptor])
      #expect(interfaces.drain())
      #expect(try interfaces.localNetworks().contains(IPNetwork("198.51.100.1")!))
      shell("ip addr del 198.51.100.1/24 dev vb")
      #expect(try !interfaces.localNetworks().contains(IPNetwork("198.51.100.1")!))

      shell("ip link add br0 type bridge; ip link set va master br0; ip link set vb down")
      let list = try interfaces.list()
      let bridge = try #require(list.first { $0.name == "br0" })
      #expect(list.first { $0.name == "va" }?.master == bridge.index)
      #expect(list.first { $0.name == "vb" }?.isUp == false)
      shell("ip link add vrf1 type vrf table 10; ip link set vb master vrf1")
      #expect(try interfaces.list().first { $0.name == "vb" }?.master == 0, "a VRF shows packets on its members only")
    }
  }
}
