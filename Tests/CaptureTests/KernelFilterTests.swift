import CLinux
import Detection
import Host
import TestSupport
import Testing
import Wire

@testable import Capture

private let host = "192.0.2.10"
private let host6 = "2001:db8::10"

/// Watches TCP and UDP 20 to 30 and 7000, all but 22 served.
private func filter(_ change: (inout KernelFilter) -> Void = { _ in }) -> KernelFilter {
  var filter = KernelFilter()
  let wanted = PortSet(ranges: [20...21, 23...30, 7000...7000, 40000...40000])
  (filter.tcpV4, filter.tcpV6, filter.udpV4, filter.udpV6) = (wanted, wanted, wanted, wanted)
  (filter.watchesTCP, filter.watchesUDP) = (true, true)
  filter.servedUDPv4 = PortSet([53] as [UInt16])
  filter.servedUDPv6 = PortSet([53] as [UInt16])
  filter.addresses = [IPAddress(host)!, IPAddress(host6)!, IPAddress("127.0.0.1")!]
  change(&filter)
  return filter
}

private func tcp(_ flags: TCPFlags = .syn, to port: UInt16 = 23, _ change: (inout PacketBuilder) -> Void = { _ in })
  -> PacketBuilder
{
  PacketBuilder(to: host, port, flags: flags).with(change)
}

private func udp(to port: UInt16 = 23) -> PacketBuilder { PacketBuilder(.udp, to: host, port) }

extension PacketBuilder {
  /// The same over IPv6.
  fileprivate var overV6: PacketBuilder {
    with { ($0.source, $0.target) = (IPAddress("2001:db8::7")!, IPAddress(host6)!) }
  }

  /// The same as sent by this host.
  fileprivate var reversed: PacketBuilder {
    with {
      ($0.source, $0.target) = ($0.target, $0.source)
      ($0.sourcePort, $0.targetPort) = ($0.targetPort, $0.sourcePort)
    }
  }
}

@Suite struct KernelFilterTests {
  private static func passes(_ filter: KernelFilter, _ frame: FilterFrame) -> Bool? {
    FilterMachine.run(filter.program(), frame).map { $0 > 0 }
  }

  private static let both: [(sentence: String, builder: PacketBuilder, passes: Bool)] = [
    ("a SYN to a watched port", tcp(), true),
    ("a SYN to a served port", tcp(to: 22), false),
    ("a SYN below the first range", tcp(to: 19), false),
    ("a SYN beyond the last range", tcp(to: 40_001), false),
    ("the lowest port of a range", tcp(to: 20), true),
    ("the highest port of a range", tcp(to: 30), true),
    ("the port after a range", tcp(to: 31), false),
    ("a single port", tcp(to: 7000), true),
    ("its neighbour", tcp(to: 7001), false),
    ("port 65535", tcp(to: 65535), false),
    ("port 0", tcp(to: 0), false),
    ("FIN", tcp(.fin), true),
    ("no flags", tcp([]), true),
    ("all flags but ACK and RST", tcp([.fin, .syn, .psh, .urg, .ece, .cwr]), true),
    ("RST", tcp(.rst), false),
    ("RST and ACK", tcp([.rst, .ack]), false),
    ("SYN and ACK", tcp([.syn, .ack]), false),
    ("a bare ACK", tcp(.ack), true),
    ("FIN and ACK", tcp([.fin, .ack]), true),
    ("a bare ACK to a served port", tcp(.ack, to: 22), false),
    ("a bare ACK to an ephemeral port", tcp(.ack, to: 40_000), false),
    ("a SYN to an ephemeral port that is watched", tcp(to: 40_000), true),
    ("an ACK with timestamps", tcp(.ack) { $0.tcpOptions = PacketBuilder.timestamps }, false),
    ("an ACK with data", tcp(.ack) { $0.payload = [1] }, false),
    ("a SYN with options and data", tcp { ($0.tcpOptions, $0.payload) = (PacketBuilder.timestamps, [1]) }, true),
    ("UDP to a watched port", udp(), true),
    ("UDP to a served port", udp(to: 22), false),
  ]

  @Test("Over IPv4 and IPv6", arguments: both.indices)
  func bothFamilies(index: Int) {
    let row = Self.both[index]
    for builder in [row.builder, row.builder.overV6] {
      let frame = FilterFrame(datagram: builder.datagram, isV6: !builder.source.isV4)
      #expect(Self.passes(filter(), frame) == row.passes, "\(row.sentence) from \(builder.source)")
    }
    let withOptions = row.builder.with { $0.ipOptions = [0x94, 4, 0, 0] }
    #expect(
      Self.passes(filter(), FilterFrame(datagram: withOptions.datagram)) == row.passes, "\(row.sentence), IP options")
  }

  @Test func whatIsNotToUs() {
    let syn = FilterFrame(datagram: tcp().datagram)
    for type in [PACKET_BROADCAST, PACKET_MULTICAST, PACKET_OTHERHOST] {
      var frame = syn
      frame.type = UInt32(type)
      #expect(Self.passes(filter(), frame) == false)
    }
    let others = [
      tcp { $0.target = IPAddress("192.0.2.11")! }, tcp().overV6.with { $0.target = IPAddress("2001:db8::11")! },
    ]
    for builder in others {
      let frame = FilterFrame(datagram: builder.datagram, isV6: !builder.source.isV4)
      #expect(Self.passes(filter(), frame) == false)
      // Without a list of addresses the detector decides.
      #expect(Self.passes(filter { $0.addresses = [] }, frame) == true)
      let many = (0..<25).map { IPAddress(v4: $0) }
      #expect(Self.passes(filter { $0.addresses = many }, frame) == true)
    }
  }

  @Test func interfaces() {
    var frame = FilterFrame(datagram: tcp().datagram)
    for (rule, passing) in [
      (KernelFilter.Interfaces.except([]), [1, 2, 3]), (.except([1]), [2, 3]), (.except([1, 3]), [2]),
      (.only([2]), [2]),
      (.only([1, 3]), [1, 3]), (.only([]), []),
    ] as [(KernelFilter.Interfaces, [UInt32])] {
      for index in 1...3 as ClosedRange<UInt32> {
        frame.interface = index
        #expect(Self.passes(filter { $0.interfaces = rule }, frame) == passing.contains(index), "\(rule) \(index)")
      }
    }
  }

  @Test func vlanTags() {
    var frame = FilterFrame(datagram: tcp().datagram)
    frame.vlan = 5
    #expect(Self.passes(filter(), frame) == false, "it comes once more on the VLAN's own interface")
    frame.vlan = 0xe005
    #expect(Self.passes(filter(), frame) == false)
    // A tag of VLAN 0 is only a priority (IEEE 802.1Q section 9.6): the host takes the packet, and it comes just once.
    frame.vlan = 0
    #expect(Self.passes(filter(), frame) == true)
    frame.vlan = 0xe000
    #expect(Self.passes(filter(), frame) == true)
  }

  @Test func fragments() {
    func passes(_ datagram: [UInt8], _ isV6: Bool = false) -> Bool? {
      Self.passes(filter(), FilterFrame(datagram: datagram, isV6: isV6))
    }
    #expect(
      tcp(to: 99).fragments(of: 8).map { passes($0) } == [true, true, true], "flags and port are in other pieces")
    #expect(passes(tcp().fragment([0, 0, 0, 0, 0, 0, 0, 0], at: 56, more: true)) == true)
    #expect(passes(tcp().fragment([0, 0, 0, 0, 0, 0, 0, 0], at: 64, more: true)) == false)
    #expect(passes(udp().fragments(of: 8)[0]) == true)
    #expect(passes(udp(to: 22).fragments(of: 8)[0]) == false)
    #expect(passes(tcp().overV6.fragments(of: 8)[0], true) == true)
    var icmp = tcp().fragments(of: 8)[0]
    icmp[9] = 1
    #expect(passes(icmp) == false)
  }

  @Test func otherProtocolsAndExtensionHeaders() {
    var datagram = tcp().datagram
    datagram[9] = 1
    #expect(Self.passes(filter(), FilterFrame(datagram: datagram)) == false)
    var v6 = tcp().overV6.datagram
    v6[6] = 58
    #expect(Self.passes(filter(), FilterFrame(datagram: v6, isV6: true)) == false)
    for next: UInt8 in [0, 43, 44, 51, 60, 135, 139, 140] {
      v6[6] = next
      #expect(Self.passes(filter(), FilterFrame(datagram: v6, isV6: true)) == true, "next header \(next)")
    }
  }

  @Test func whatWeSend() {
    func passes(_ builder: PacketBuilder, _ filter: KernelFilter = filter()) -> Bool? {
      Self.passes(
        filter, FilterFrame(datagram: builder.datagram, isV6: !builder.source.isV4, type: UInt32(PACKET_OUTGOING)))
    }
    for builder in [tcp().reversed, tcp().overV6.reversed] {
      #expect(passes(builder) == true)
      #expect(passes(builder.with { $0.flags = .ack }) == false)
      #expect(passes(builder.with { $0.flags = [.syn, .rst] }) == false)
      #expect(passes(builder.with { $0.source = builder.target }) == false, "forwarded")
      #expect(passes(builder, filter { $0.watchesTCP = false }) == false)
    }
    for builder in [udp(to: 45_000).reversed, udp(to: 45_000).overV6.reversed] {
      #expect(passes(builder) == true)
      #expect(passes(builder.with { $0.sourcePort = 53 }) == false, "answers of a service")
      #expect(passes(builder, filter { $0.watchesUDP = false }) == false)
    }
  }

  @Test func ourOwnTests() {
    for builder in [tcp(), tcp().overV6] {
      for (mark, isWanted) in [(0, true), (1, true), (KernelFilter.decoyMark, false)] as [(UInt32, Bool)] {
        var frame = FilterFrame(datagram: builder.datagram, isV6: !builder.source.isV4)
        frame.mark = mark
        #expect(Self.passes(filter(), frame) == isWanted)
      }
    }
  }

  @Test func whatWeAnswer() {
    func wanted(_ builder: PacketBuilder, mark: UInt32 = 0) -> UInt32? {
      var frame = FilterFrame(
        datagram: builder.datagram, isV6: !builder.source.isV4, type: UInt32(PACKET_OUTGOING))
      frame.mark = mark
      return FilterMachine.run(filter().program(), frame)
    }
    for builder in [tcp().reversed, tcp().overV6.reversed] {
      let accepts = builder.with { ($0.flags, $0.tcpOptions) = ([.syn, .ack], PacketBuilder.timestamps) }
      #expect(wanted(accepts) == KernelFilter.snapLength, "a SYN/ACK from a port that nothing is known to serve")
      #expect(wanted(accepts, mark: 1) == KernelFilter.snapLength)
      #expect(
        wanted(accepts, mark: KernelFilter.decoyMark) == (builder.source.isV4 ? 40 : 60), "a decoy's: headers alone")
      #expect(wanted(accepts.with { $0.sourcePort = 22 }) == 0, "a service's")
      let refuses = builder.with { ($0.flags, $0.sequence) = ([.rst, .ack], 0) }
      #expect(wanted(refuses) == KernelFilter.snapLength, "a RST that answers a SYN")
      #expect(wanted(refuses.with { $0.sequence = 7 }) == 0, "one that ends a connection")
      #expect(wanted(refuses.with { $0.flags = .rst }) == 0, "one that answers an ACK")
      #expect(wanted(refuses.with { $0.sourcePort = 22 }) == 0)
    }
  }

  @Test func oneProtocolAlone() {
    for builder in [tcp(), tcp().overV6] {
      let frame = FilterFrame(datagram: builder.datagram, isV6: !builder.source.isV4)
      #expect(Self.passes(filter { $0.watchesTCP = false }, frame) == false)
      #expect(Self.passes(filter { $0.watchesUDP = false }, frame) == true)
    }
    for builder in [udp(), udp().overV6] {
      let frame = FilterFrame(datagram: builder.datagram, isV6: !builder.source.isV4)
      #expect(Self.passes(filter { $0.watchesUDP = false }, frame) == false)
      #expect(Self.passes(filter { $0.watchesTCP = false }, frame) == true)
    }
  }

  private static func native(_ change: (inout KernelFilter) -> Void = { _ in }) -> KernelFilter {
    filter {
      $0.judgesConnections = true
      $0.judgesOtherProtocols = true
      change(&$0)
    }
  }

  /// What only the native rule wants to see; port 22 is served, those from 32768 on are for outgoing connections.
  private static let connections: [(sentence: String, builder: PacketBuilder)] = [
    ("a SYN to a service", tcp(to: 22) { $0.tcpOptions = PacketBuilder.timestamps }),
    ("a raw SYN to a service", tcp(to: 22)),
    ("the end of a connection", tcp([.fin, .ack], to: 22) { $0.tcpOptions = PacketBuilder.timestamps }),
    ("the end of one, with the last words", tcp([.fin, .ack, .psh], to: 22) { $0.payload = [1] }),
    ("FIN to a service", tcp(.fin, to: 22)),
    ("no flags to a service", tcp([], to: 22)),
    ("RST to a service", tcp(.rst, to: 22)),
    ("RST and ACK", tcp([.rst, .ack])),
    ("an answer to nothing", tcp([.syn, .ack])),
  ]

  @Test("Connections to services and answers to nothing", arguments: connections.indices)
  func connectionsForTheNativeRule(index: Int) {
    let row = Self.connections[index]
    for builder in [row.builder, row.builder.overV6] {
      let frame = FilterFrame(datagram: builder.datagram, isV6: !builder.source.isV4)
      #expect(Self.passes(filter(), frame) == false, "\(row.sentence), without the native rule")
      #expect(Self.passes(Self.native(), frame) == true, "\(row.sentence) from \(builder.source)")
      let toUs = FilterFrame(
        datagram: builder.with { $0.targetPort = 50_000 }.datagram, isV6: !builder.source.isV4)
      #expect(
        Self.passes(Self.native(), toUs) == row.builder.flags.isDisjoint(with: [.ack, .rst]),
        "\(row.sentence) to a port for outgoing connections")
    }
  }

  @Test func theMiddleOfConnectionsNeverPasses() {
    for builder in [tcp(.ack, to: 22), tcp([.ack, .psh], to: 22), tcp(.ack, to: 22) { $0.payload = [1, 2] }] {
      for each in [builder, builder.overV6, builder.with { $0.tcpOptions = PacketBuilder.timestamps }] {
        let frame = FilterFrame(datagram: each.datagram, isV6: !each.source.isV4)
        #expect(Self.passes(Self.native(), frame) == false)
      }
    }
  }

  @Test func whatOurServicesAnswer() {
    for builder in [tcp([.syn, .ack], to: 22).reversed, tcp([.syn, .ack], to: 22).overV6.reversed] {
      let frame = FilterFrame(datagram: builder.datagram, isV6: !builder.source.isV4, type: UInt32(PACKET_OUTGOING))
      #expect(Self.passes(filter(), frame) == false)
      #expect(Self.passes(Self.native(), frame) == true)
    }
  }

  @Test func messagesAndOtherProtocols() {
    let (classic, native) = (filter().program(), Self.native().program())
    func passes(_ program: [sock_filter], _ number: UInt8, at offset: Int, _ value: UInt8, isV6: Bool) -> Bool {
      var datagram = isV6 ? tcp().overV6.datagram : tcp().datagram
      datagram[isV6 ? 6 : 9] = number
      datagram[(isV6 ? 40 : 20) + offset] = value
      return FilterMachine.run(program, FilterFrame(datagram: datagram, isV6: isV6))! > 0
    }
    for type: UInt8 in 0...255 {
      #expect(passes(classic, 1, at: 0, type, isV6: false) == false)
      #expect(passes(native, 1, at: 0, type, isV6: false) == [3, 8, 11, 13, 15, 17].contains(type), "ICMP \(type)")
      #expect(passes(native, 58, at: 0, type, isV6: true) == [1, 3, 128].contains(type), "ICMPv6 \(type)")
      for isV6 in [false, true] {
        #expect(passes(native, 132, at: 12, type, isV6: isV6) == [1, 10].contains(type), "SCTP chunk \(type)")
      }
    }
    for number: UInt8 in [2, 4, 41, 47, 50, 88, 89, 103, 112] {
      #expect(passes(native, number, at: 0, 0, isV6: false) == false, "protocol \(number) carries others")
    }
    for number: UInt8 in [3, 9, 33, 108, 200, 254, 255] {
      #expect(passes(native, number, at: 0, 0, isV6: false) == true, "protocol \(number)")
      #expect(passes(native, number, at: 0, 0, isV6: true) == true, "next header \(number)")
    }
  }

  /// In a flood some sources are looked at and others not, each as a whole; what touches dead ports always is.
  @Test func samplingIsBySource() {
    let some = Self.native {
      $0.sampling.connections = 3
      $0.sampling.others = 5
      $0.sampling.multiplier = 0x9e37_79b1
    }.program()
    var passing = (connections: 0, others: 0)
    var random = SeededGenerator(seed: 13)
    for _ in 0..<4096 {
      let source = IPAddress(v4: UInt32.random(in: 1 << 24...223 << 24, using: &random))
      func passes(_ flags: TCPFlags, _ options: [UInt8], to port: UInt16 = 22) -> Bool {
        let builder = tcp(flags, to: port) { ($0.source, $0.tcpOptions) = (source, options) }
        return FilterMachine.run(some, FilterFrame(datagram: builder.datagram))! > 0
      }
      let opens = passes(.syn, PacketBuilder.timestamps)
      #expect(passes([.fin, .ack], PacketBuilder.timestamps) == opens)
      let answer = tcp([.syn, .ack], to: 22) { $0.source = source }.reversed
      let sent = FilterFrame(datagram: answer.datagram, type: UInt32(PACKET_OUTGOING))
      #expect((FilterMachine.run(some, sent)! > 0) == opens)
      let raw = passes(.syn, [])
      #expect(passes(.rst, []) == raw)
      #expect(passes(.syn, [], to: 23))
      if opens { passing.connections += 1 }
      if raw { passing.others += 1 }
    }
    // 4096/8 and 4096/32, give or take five standard deviations.
    #expect((405...619).contains(passing.connections))
    #expect((72...184).contains(passing.others))
  }

  @Test func cutPacketsNeverFailTheProgram() {
    for builder in [tcp(), udp(), tcp().overV6, udp().overV6] {
      let whole = builder.datagram
      for length in 0...whole.count {
        for type in [PACKET_HOST, PACKET_OUTGOING] {
          let frame = FilterFrame(datagram: Array(whole[..<length]), isV6: !builder.source.isV4, type: UInt32(type))
          #expect(FilterMachine.run(filter().program(), frame) != nil)
        }
      }
    }
  }

  @Test func coarserRangesHoldAllOfTheFiner() {
    var random = SeededGenerator(seed: 11)
    for _ in 0..<100 {
      let ports = PortSet(
        (0..<Int.random(in: 0...300, using: &random)).map { _ in UInt16.random(in: 0...2000, using: &random) })
      for limit in [1, 2, 16, 80] {
        let coarse = KernelFilter.coarsened(ports.ranges, to: limit)
        #expect(coarse.count == min(limit, ports.ranges.count))
        #expect(ports.subtracting(PortSet(ranges: coarse)).isEmpty)
        for (a, b) in zip(coarse, coarse.dropFirst()) { #expect(a.upperBound < b.lowerBound) }
      }
    }
  }

  @Test func theLargestProgramFits() {
    var worst = filter()
    let scattered = PortSet((0..<20_000).map { UInt16($0 * 3) })
    (worst.tcpV4, worst.tcpV6, worst.udpV4, worst.udpV6) = (scattered, scattered, scattered, scattered)
    (worst.servedUDPv4, worst.servedUDPv6) = (scattered, scattered)
    worst.interfaces = .except(Array(1...64))
    worst.addresses = (0..<24).map { IPAddress(high: 0x2001_0db8 << 32, low: $0) }
    #expect(FilterMachine.isAcceptable(worst.program()))
    #expect(worst.program(ranges: 16).count < worst.program().count)
    #expect(FilterMachine.isAcceptable(KernelFilter().program()))
  }

  /// The one promise: what the detector would call a candidate, or must remember as sent, passes.
  @Test func neverTooLittle() {
    var random = SeededGenerator(seed: 12)
    var candidates = 0
    var remembered = 0
    for round in 0..<30 {
      func ports() -> PortSet {
        PortSet(
          ranges: (0..<Int.random(in: 1...120, using: &random)).map { _ in
            let start = UInt16.random(in: 0...400, using: &random)
            return start...start + UInt16.random(in: 0...3, using: &random)
          })
      }
      var settings = Detector.Settings()
      if random.chance(85) { settings.tcp = Detector.Watch(mode: .advanced, ports: ports()) }
      if random.chance(85) { settings.udp = Detector.Watch(mode: .advanced, ports: ports()) }
      if random.chance(60) { settings.nativeTCP = ports() }
      if random.chance(60) { settings.nativeUDP = ports() }
      settings.ephemeralPorts = 200...250
      var exposure = Exposure()
      exposure.setLocal([IPNetwork(IPAddress(host)!), IPNetwork(IPAddress(host6)!)])
      for port in ports().ports {
        exposure.serveEverywhere(random.chance(50) ? .tcp : .udp, port, v4: random.chance(50), v6: random.chance(50))
      }
      var kernel = KernelFilter(settings, exposure)
      if random.chance(30) { kernel.addresses = [] }
      let program = kernel.program(ranges: random.chance(50) ? 80 : 8)
      #expect(FilterMachine.isAcceptable(program))
      for _ in 0..<400 {
        let (builder, datagrams, size, isOutgoing) = Self.randomPacket(&random)
        // A detector of its own for each: memory of flows makes it dismiss more.
        var detector = Detector(settings, exposure: exposure, key: (1, 2))
        var decoder = PacketDecoder()
        var isWanted = false
        for datagram in datagrams {
          var (outcome, packet) = decoder.decode(datagram)
          packet.isOutgoing = isOutgoing
          guard outcome == .packet else { continue }
          if case .candidate = unsafe detector.consider(&packet, in: datagram.span.bytes) { isWanted = true }
          if isOutgoing, !builder.flags.contains(.rst),
            builder.transport == .tcp ? kernel.watchesTCP : kernel.watchesUDP,
            exposure.isLocal(builder.source), builder.extensions.isEmpty, size == nil,
            builder.transport == .tcp
              ? builder.flags.intersection([.syn, .ack]) == .syn
              : !exposure.wildcard(.udp, v4: builder.source.isV4).contains(builder.sourcePort)
          {
            isWanted = true
            remembered += 1
          }
        }
        guard isWanted else { continue }
        candidates += 1
        // No header reaches beyond the first 64 bytes.
        for datagram in datagrams.prefix(size.map { 64 / $0 } ?? 1) {
          let frame = FilterFrame(
            datagram: datagram, isV6: !builder.source.isV4, type: UInt32(isOutgoing ? PACKET_OUTGOING : PACKET_HOST))
          #expect(FilterMachine.run(program, frame) == KernelFilter.snapLength, "round \(round): \(builder)")
        }
      }
    }
    #expect(candidates > 1_000 && remembered > 50)
  }

  private static func randomPacket(_ random: inout SeededGenerator) -> (
    PacketBuilder, datagrams: [[UInt8]], size: Int?, isOutgoing: Bool
  ) {
    var builder = PacketBuilder(random.chance(60) ? .tcp : .udp, to: random.chance(95) ? host : "192.0.2.11")
    if random.chance(40) { builder = builder.overV6 }
    builder.sourcePort = UInt16.random(in: 0...410, using: &random)
    builder.targetPort = UInt16.random(in: 0...410, using: &random)
    let usual: [TCPFlags] = [.syn, .ack, [.fin, .ack], .fin, [], [.syn, .ack]]
    builder.flags = random.chance(70) ? usual.randomElement(using: &random)! : TCPFlags(rawValue: random.bytes(1)[0])
    if random.chance(20) { builder.tcpOptions = PacketBuilder.timestamps }
    if random.chance(20) { builder.payload = random.bytes(Int.random(in: 1...60, using: &random)) }
    if random.chance(10) { builder.transportChecksum = .wrong }
    if builder.source.isV4 {
      if random.chance(15) {
        builder.ipOptions = [UInt8](repeating: 1, count: 4 * Int.random(in: 1...10, using: &random))
      }
    } else if random.chance(25) {
      builder.extensions = (0..<Int.random(in: 1...4, using: &random)).map { _ in
        (
          [0, 43, 51, 60, 135, 139, 140].randomElement(using: &random)!,
          [UInt8](repeating: 0, count: 8 * Int.random(in: 1...3, using: &random))
        )
      }
    }
    let isOutgoing = random.chance(20)
    if isOutgoing { builder = builder.reversed }
    guard random.chance(15) else { return (builder, [builder.datagram], nil, isOutgoing) }
    let size = 8 * Int.random(in: 1...3, using: &random)
    return (builder, builder.fragments(of: size), size, isOutgoing)
  }
}
