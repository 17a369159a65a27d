import CLinux
import Detection
import Wire

/// The classic BPF program that lets only packets through which may matter, so that the sentry sleeps while
/// legitimate traffic flows.
///
/// It reads from the network header (`SOCK_DGRAM`). It may let too much through, never too little: `Detector` decides.
package struct KernelFilter: Sendable, Equatable {
  /// Which interfaces are listened to, by index.
  package enum Interfaces: Sendable, Equatable {
    case except([Int32])
    case only([Int32])
  }

  package var interfaces = Interfaces.except([])
  /// Ports on which a packet without connection matters: watched and not served, by transport and family.
  package var tcpV4 = PortSet()
  package var tcpV6 = PortSet()
  package var udpV4 = PortSet()
  package var udpV6 = PortSet()
  /// UDP ports with long-lived sockets: what we send from them need not be remembered.
  package var servedUDPv4 = PortSet()
  package var servedUDPv6 = PortSet()
  /// Ports served on one address only (connected UDP sockets among them), by address: at most eight addresses are tested.
  package var specificTCP: [IPAddress: PortSet] = [:]
  package var specificUDP: [IPAddress: PortSet] = [:]
  package var watchesTCP = false
  package var watchesUDP = false
  /// Bare ACKs to these ports are the tails of our own connections.
  package var ephemeralPorts: ClosedRange<UInt16> = 32768...60999
  /// Whether openings and ends of connections to services pass, and answers to nothing: what the native rule judges.
  package var judgesConnections = false
  /// Whether ICMP, SCTP and protocols that are not in daily use pass.
  package var judgesOtherProtocols = false
  /// Which sources pass of those that touch services or answer, where there are too many to look at all.
  package var sampling = Sampling()
  /// This host's addresses; packets for others (a router's) are left alone. Empty: not tested here.
  package var addresses: [IPAddress] = []

  /// One source in 2^n passes: all its packets or none. 0: everybody passes; at most 16.
  package struct Sampling: Sendable, Equatable {
    /// Of connections to services that look like any other: a SYN with the options of an ordinary system, and a FIN.
    package var connections: UInt8 = 0
    /// Of everything else that concerns services, answers to nothing, and protocols other than TCP and UDP.
    package var others: UInt8 = 0
    /// Random and secret, so that nobody can choose an address that does not pass; odd.
    package var multiplier: UInt32 = 1

    package init() {}
  }

  package init() {}

  /// What a detector with these settings wants to see on a host that is and serves this.
  package init(_ settings: Detector.Settings, _ exposure: Exposure) {
    func wanted(_ transport: TransportProtocol, v4: Bool) -> PortSet {
      let native = transport == .tcp ? settings.nativeTCP : settings.nativeUDP
      let watched = settings.watch(transport)?.ports ?? PortSet()
      let served = exposure.wildcard(transport, v4: v4)
      return settings.checksServices
        ? watched.union(native).subtracting(served) : watched.union(native.subtracting(served))
    }
    tcpV4 = wanted(.tcp, v4: true)
    tcpV6 = wanted(.tcp, v4: false)
    udpV4 = wanted(.udp, v4: true)
    udpV6 = wanted(.udp, v4: false)
    servedUDPv4 = exposure.wildcard(.udp, v4: true)
    servedUDPv6 = exposure.wildcard(.udp, v4: false)
    if settings.checksServices {
      specificTCP = exposure.specific(.tcp)
      specificUDP = exposure.specific(.udp)
    }
    watchesTCP = settings.tcp != nil || !settings.nativeTCP.isEmpty
    watchesUDP = settings.udp != nil || !settings.nativeUDP.isEmpty
    judgesConnections = !settings.nativeTCP.isEmpty
    judgesOtherProtocols = settings.judgesOtherProtocols
    ephemeralPorts = settings.ephemeralPorts
    // Networks that are local as a whole are left to the detector.
    addresses = exposure.localNetworks.allSatisfy(\.address.isLoopback) ? exposure.addresses : []
  }

  /// SO_MARK of the decoys' listeners, which the kernel puts on each of their SYN/ACKs: of those only the bare headers are copied, by
  /// which `Sensor` knows them. Test packets to decoys have it as well, and are not looked at. Nobody's rule for routing or filtering is likely to ask for it.
  package static let decoyMark: UInt32 = 0x7073_0dec
  /// How much of a packet is copied: the headers with all options, and a probe's payload.
  package static let snapLength: UInt32 = 176
  /// More addresses than this are not tested in the kernel, one after another, for each packet.
  private static let addressLimit = 24

  /// Whether the settings of a program fit in the kernel's memory for socket options varies; `ranges` says how finely
  /// the port sets are cut, at most that many ranges each (a coarser one lets more through).
  package func program(ranges limit: Int = 80) -> [sock_filter] {
    var code = Assembler()
    let accept = code.label()
    let drop = code.label()
    switch interfaces {
    case .except(let indexes) where indexes.isEmpty:
      break
    case .except(let indexes):
      code.load(.word, Self.ancillary(SKF_AD_IFINDEX))
      for index in indexes { code.jump(.equal, UInt32(bitPattern: index), to: drop) }
    case .only(let indexes):
      let known = code.label()
      code.load(.word, Self.ancillary(SKF_AD_IFINDEX))
      for index in indexes { code.jump(.equal, UInt32(bitPattern: index), to: known) }
      code.jump(to: drop)
      code.place(known)
    }
    // A tagged frame passes once more on its VLAN interface, where the tag is off. One tagged with VLAN 0 bears only a
    // priority (IEEE 802.1Q section 9.6): the host takes it, and it passes here and nowhere else.
    let untagged = code.label()
    code.load(.word, Self.ancillary(SKF_AD_VLAN_TAG_PRESENT))
    code.jump(.equal, 0, to: untagged)
    code.load(.word, Self.ancillary(SKF_AD_VLAN_TAG))
    code.jump(.set, 0x0fff, to: drop)
    code.place(untagged)
    let outgoing = code.label()
    code.load(.word, Self.ancillary(SKF_AD_PKTTYPE))
    code.jump(.equal, UInt32(PACKET_OUTGOING), to: outgoing)
    // Broadcast, multicast and frames for other hosts accuse nobody.
    code.jump(.greater, UInt32(PACKET_HOST), to: drop)
    let v4 = code.label()
    let v6 = code.label()
    code.load(.word, Self.ancillary(SKF_AD_PROTOCOL))
    code.jump(.equal, UInt32(ETH_P_IP), to: v4)
    code.jump(.equal, UInt32(ETH_P_IPV6), to: v6)
    code.jump(to: drop)
    code.place(v4)
    incomingV4(&code, limit, accept: accept, drop: drop)
    code.place(v6)
    incomingV6(&code, limit, accept: accept, drop: drop)
    code.place(outgoing)
    let outgoingV4 = code.label()
    let outgoingV6 = code.label()
    code.load(.word, Self.ancillary(SKF_AD_PROTOCOL))
    code.jump(.equal, UInt32(ETH_P_IP), to: outgoingV4)
    code.jump(.equal, UInt32(ETH_P_IPV6), to: outgoingV6)
    code.jump(to: drop)
    code.place(outgoingV4)
    sentV4(&code, limit, accept: accept, drop: drop)
    code.place(outgoingV6)
    sentV6(&code, limit, accept: accept, drop: drop)
    code.place(accept)
    code.returns(Self.snapLength)
    code.place(drop)
    code.returns(0)
    return code.assemble()
  }

  private static func ancillary(_ offset: Int32) -> UInt32 { UInt32(bitPattern: SKF_AD_OFF + offset) }

  /// Where the fields of a transport header are, and how they are loaded: IPv4 has a header of some length, IPv6 here a fixed one.
  private struct Transport {
    let isV4: Bool
    /// Where the addresses are.
    var source: UInt32 { isV4 ? 12 : 8 }
    var target: UInt32 { isV4 ? 16 : 24 }

    func load(_ code: inout Assembler, _ size: Assembler.Size, _ offset: UInt32) {
      if isV4 { code.loadIndexed(size, offset) } else { code.load(size, 40 + offset) }
    }

    func prepare(_ code: inout Assembler) { if isV4 { code.loadHeaderLength(at: 0) } }
  }

  private func incomingV4(_ code: inout Assembler, _ limit: Int, accept: Label, drop: Label) {
    let header = Transport(isV4: true)
    let tcp = code.label()
    let udp = code.label()
    let fragment = code.label()
    let sampled = Sampled(connections: code.label(), others: code.label())
    localV4(&code, at: header.target, drop: drop)
    code.load(.half, 6)
    code.jump(.set, 0x3fff, to: fragment)
    code.load(.byte, 9)
    if watchesTCP { code.jump(.equal, 6, to: tcp) }
    if watchesUDP { code.jump(.equal, 17, to: udp) }
    others(&code, header, accept: accept, sampled: sampled, drop: drop)
    code.place(fragment)
    // Only what lies in the first 64 bytes of a datagram can be part of a transport header; the bulk of honest
    // fragments begins far beyond.
    let first = code.label()
    code.load(.half, 6)
    code.and(0x1fff)
    code.jump(.equal, 0, to: first)
    code.jump(.greater, 7, to: drop)
    code.load(.byte, 9)
    code.jump(.equal, 6, to: watchesTCP ? accept : drop)
    code.jump(.equal, 17, to: watchesUDP ? accept : drop)
    code.jump(to: drop)
    code.place(first)
    code.load(.byte, 9)
    if watchesTCP { code.jump(.equal, 6, to: accept) }
    if watchesUDP { code.jump(.equal, 17, to: udp) }
    code.jump(to: drop)
    code.place(tcp)
    incomingTCP(&code, header, tcpV4, limit, accept: accept, sampled: sampled, drop: drop)
    code.place(udp)
    incomingUDP(&code, header, udpV4, limit, accept: accept, drop: drop)
    sample(&code, sampled, accept: accept, drop: drop)
  }

  private func incomingV6(_ code: inout Assembler, _ limit: Int, accept: Label, drop: Label) {
    let header = Transport(isV4: false)
    let tcp = code.label()
    let udp = code.label()
    let sampled = Sampled(connections: code.label(), others: code.label())
    localV6(&code, at: header.target, drop: drop)
    code.load(.byte, 6)
    if watchesTCP { code.jump(.equal, 6, to: tcp) }
    if watchesUDP { code.jump(.equal, 17, to: udp) }
    // Extension headers and fragments are rare in honest traffic, and are walked in user space.
    for next: UInt32 in [0, 43, 44, 51, 60, 135, 139, 140] { code.jump(.equal, next, to: accept) }
    others(&code, header, accept: accept, sampled: sampled, drop: drop)
    code.place(tcp)
    incomingTCP(&code, header, tcpV6, limit, accept: accept, sampled: sampled, drop: drop)
    code.place(udp)
    incomingUDP(&code, header, udpV6, limit, accept: accept, drop: drop)
    sample(&code, sampled, accept: accept, drop: drop)
  }

  private func incomingTCP(
    _ code: inout Assembler, _ header: Transport, _ ports: PortSet, _ limit: Int, accept: Label, sampled: Sampled,
    drop: Label
  ) {
    guard watchesTCP else { return code.jump(to: drop) }
    let opening = code.label()
    let bare = code.label()
    let answer = code.label()
    let notWanted = code.label()
    let end = code.label()
    header.prepare(&code)
    header.load(&code, .byte, 13)
    code.jump(.set, 0x04, to: judgesConnections ? answer : drop)
    code.jump(.set, 0x10, to: bare)
    code.jump(to: opening)
    code.place(bare)
    code.jump(.set, 0x02, to: judgesConnections ? answer : drop)
    if judgesConnections { code.jump(.set, 0x01, to: end) }
    header.load(&code, .byte, 12)
    code.and(0xf0)
    code.jump(.unequal, 0x50, to: drop)
    if header.isV4 {
      code.load(.half, 2)
      code.subtractIndex()
    } else {
      code.load(.half, 4)
    }
    code.jump(.unequal, 20, to: drop)
    header.load(&code, .half, 2)
    notEphemeral(&code, drop: drop)
    code.place(opening)
    unlessServedThere(
      &code, specificTCP, v4: header.isV4, at: header.target, port: { header.load(&$0, .half, 2) }, served: notWanted)
    // A test of our own, whether decoys are reached.
    code.load(.word, Self.ancillary(SKF_AD_MARK))
    code.jump(.equal, Self.decoyMark, to: drop)
    header.load(&code, .half, 2)
    tree(&code, Self.coarsened(ports.ranges, to: limit), inside: accept, outside: notWanted)
    code.place(notWanted)
    guard judgesConnections else { return code.jump(to: drop) }
    // What an open connection never carries: SYN, FIN alone, NULL, Xmas.
    header.load(&code, .byte, 13)
    code.jump(.set, 0x10, to: drop)
    code.and(0x3f)
    code.jump(.unequal, 0x02, to: sampled.others)
    // A SYN with at most one option is hardly an ordinary system's.
    header.load(&code, .byte, 12)
    code.jump(.lessOrEqual, 0x6f, to: sampled.others)
    code.jump(to: sampled.connections)
    code.place(end)
    // A FIN with options is the end of a connection; one without may be a probe (Maimon) as well.
    header.load(&code, .half, 2)
    notEphemeral(&code, drop: drop)
    header.load(&code, .byte, 12)
    code.jump(.lessOrEqual, 0x5f, to: sampled.others)
    code.jump(to: sampled.connections)
    code.place(answer)
    // Answers to what we ask go to ports for outgoing connections.
    header.load(&code, .half, 2)
    notEphemeral(&code, drop: drop)
    code.jump(to: sampled.others)
  }

  private func incomingUDP(
    _ code: inout Assembler, _ header: Transport, _ ports: PortSet, _ limit: Int, accept: Label, drop: Label
  ) {
    guard watchesUDP else { return code.jump(to: drop) }
    header.prepare(&code)
    unlessServedThere(
      &code, specificUDP, v4: header.isV4, at: header.target, port: { header.load(&$0, .half, 2) }, served: drop)
    header.load(&code, .half, 2)
    tree(&code, Self.coarsened(ports.ranges, to: limit), inside: accept, outside: drop)
  }

  /// IP protocols that pass by the million where a host uses them at all, and say nothing where it does not: IGMP, IPIP, IPv6 in
  /// IPv4, GRE, ESP, AH, EIGRP, OSPF, PIM, VRRP, L2TP.
  private static let carriers: [UInt32] = [2, 4, 41, 47, 50, 51, 88, 89, 103, 112, 115]

  /// What is neither TCP nor UDP; the protocol number is loaded.
  private func others(_ code: inout Assembler, _ header: Transport, accept: Label, sampled: Sampled, drop: Label) {
    guard judgesOtherProtocols else { return code.jump(to: drop) }
    let icmp = code.label()
    let sctp = code.label()
    code.jump(.equal, header.isV4 ? 1 : 58, to: icmp)
    code.jump(.equal, 132, to: sctp)
    for number in [6, 17, header.isV4 ? 58 : 1, 59] + Self.carriers { code.jump(.equal, number, to: drop) }
    code.jump(to: sampled.others)
    code.place(icmp)
    header.prepare(&code)
    header.load(&code, .byte, 0)
    // Requests, and errors that may be about what others sent in our name.
    for type: UInt32 in header.isV4 ? [3, 8, 11, 13, 15, 17] : [1, 3, 128] {
      code.jump(.equal, type, to: sampled.others)
    }
    code.jump(to: drop)
    code.place(sctp)
    header.prepare(&code)
    // The type of the first chunk: INIT and COOKIE ECHO (RFC 9260 section 3.2).
    header.load(&code, .byte, 12)
    code.jump(.equal, 1, to: sampled.others)
    code.jump(.equal, 10, to: sampled.others)
    code.jump(to: drop)
  }

  /// Where to jump with what may be too much.
  private struct Sampled {
    let connections: Label
    let others: Label
  }

  /// - Parameter offset: where the address of the other end is.
  private func sample(
    _ code: inout Assembler, _ sampled: Sampled, by offset: UInt32 = 12, accept: Label, drop: Label
  ) {
    for (label, shift) in [(sampled.connections, sampling.connections), (sampled.others, sampling.others)] {
      code.place(label)
      if shift > 0 {
        // Of IPv6 the part that has the subnet, as a host there may have any address below it.
        code.load(.word, offset)
        code.multiply(sampling.multiplier)
        code.shiftRight(32 - UInt32(shift))
        code.jump(.unequal, 0, to: drop)
      }
      code.jump(to: accept)
    }
  }

  /// Connections that we open and datagrams that we send from ports of the moment: remembered as flows. Answers of services.
  private func sentV4(_ code: inout Assembler, _ limit: Int, accept: Label, drop: Label) {
    let header = Transport(isV4: true)
    localV4(&code, at: header.source, drop: drop)
    code.load(.half, 6)
    code.jump(.set, 0x1fff, to: drop)
    code.load(.byte, 9)
    sent(&code, header, servedUDPv4, tcpV4, limit, accept: accept, drop: drop)
  }

  private func sentV6(_ code: inout Assembler, _ limit: Int, accept: Label, drop: Label) {
    let header = Transport(isV4: false)
    localV6(&code, at: header.source, drop: drop)
    code.load(.byte, 6)
    sent(&code, header, servedUDPv6, tcpV6, limit, accept: accept, drop: drop)
  }

  /// The protocol number is loaded.
  ///
  /// - Parameter judged: ports of which it is wanted what this host answers: whether something serves them is known by that.
  private func sent(
    _ code: inout Assembler, _ header: Transport, _ served: PortSet, _ judged: PortSet, _ limit: Int, accept: Label,
    drop: Label
  ) {
    let tcp = code.label()
    let udp = code.label()
    let sctp = code.label()
    let sampled = Sampled(connections: code.label(), others: code.label())
    header.prepare(&code)
    if watchesUDP { code.jump(.equal, 17, to: udp) }
    if watchesTCP { code.jump(.equal, 6, to: tcp) }
    if judgesOtherProtocols { code.jump(.equal, 132, to: sctp) }
    code.jump(to: drop)
    code.place(tcp)
    header.load(&code, .byte, 13)
    code.and(0x16)
    code.jump(.equal, 0x02, to: accept)
    let accepts = code.label()
    let refuses = code.label()
    let isDecoys = code.label()
    let answers = code.label()
    code.jump(.equal, 0x12, to: accepts)
    code.jump(.equal, 0x14, to: refuses)
    code.jump(to: drop)
    code.place(accepts)
    code.load(.word, Self.ancillary(SKF_AD_MARK))
    code.jump(.equal, Self.decoyMark, to: isDecoys)
    // Whoever acknowledges the number in a SYN/ACK has received it.
    code.jump(to: answers)
    code.place(refuses)
    // The RST that answers a SYN has the sequence number 0 (RFC 9293 section 3.10.7.1); that of a connection has not.
    header.load(&code, .word, 4)
    code.jump(.unequal, 0, to: drop)
    code.place(answers)
    // Coarse, as what passes too much is a service's SYN/ACK.
    header.load(&code, .half, 0)
    tree(
      &code, Self.coarsened(judged.ranges, to: max(limit / 8, 2)), inside: accept,
      outside: judgesConnections ? sampled.connections : drop)
    code.place(isDecoys)
    if header.isV4 { code.returnsIndex(plus: 20) } else { code.returns(60) }
    sample(&code, sampled, by: header.isV4 ? 16 : 28, accept: accept, drop: drop)
    code.place(sctp)
    // INIT ACK: something serves that port; ABORT: nothing does.
    header.load(&code, .byte, 12)
    code.jump(.equal, 2, to: accept)
    code.jump(.equal, 6, to: accept)
    code.jump(to: drop)
    code.place(udp)
    unlessServedThere(
      &code, sending(specificUDP), v4: header.isV4, at: header.source, port: { header.load(&$0, .half, 0) },
      served: drop)
    header.load(&code, .half, 0)
    tree(&code, Self.largest(sending(served).ranges, limit), inside: drop, outside: accept)
  }

  /// Of the ports with sockets those that servers have. A socket on a port of the moment is mostly a client's: what it
  /// asks must be remembered, for the answer may come when it is closed.
  private func sending(_ ports: PortSet) -> PortSet { ports.subtracting(PortSet(ranges: [ephemeralPorts])) }
  private func sending(_ ports: [IPAddress: PortSet]) -> [IPAddress: PortSet] {
    ports.mapValues { sending($0) }.filter { !$0.value.isEmpty }
  }

  private func notEphemeral(_ code: inout Assembler, drop: Label) {
    let below = code.label()
    code.jump(.less, UInt32(ephemeralPorts.lowerBound), to: below)
    code.jump(.lessOrEqual, UInt32(ephemeralPorts.upperBound), to: drop)
    code.place(below)
  }

  private func localV4(_ code: inout Assembler, at offset: UInt32, drop: Label) {
    let own = addresses.filter(\.isV4)
    guard !addresses.isEmpty, addresses.count <= Self.addressLimit else { return }
    let local = code.label()
    code.load(.word, offset)
    for address in own { code.jump(.equal, address.v4Bits, to: local) }
    code.jump(to: drop)
    code.place(local)
  }

  private func localV6(_ code: inout Assembler, at offset: UInt32, drop: Label) {
    let own = addresses.filter { !$0.isV4 }
    guard !addresses.isEmpty, addresses.count <= Self.addressLimit else { return }
    let local = code.label()
    for address in own {
      let next = code.label()
      compareV6(&code, address, at: offset, otherwise: next)
      code.jump(to: local)
      code.place(next)
    }
    code.jump(to: drop)
    code.place(local)
  }

  /// Goes on with the next instruction unless a socket bound to this very address has the port.
  ///
  /// - Parameter offset: where the address of ours stands in the packet.
  private func unlessServedThere(
    _ code: inout Assembler, _ specific: [IPAddress: PortSet], v4: Bool, at offset: UInt32,
    port: (inout Assembler) -> Void, served: Label
  ) {
    let entries = specific.filter { $0.key.isV4 == v4 && !$0.key.isLoopback }.sorted { $0.key < $1.key }.prefix(8)
    guard !entries.isEmpty else { return }
    let goOn = code.label()
    for (address, ports) in entries {
      let next = code.label()
      if v4 {
        code.load(.word, offset)
        code.jump(.unequal, address.v4Bits, to: next)
      } else {
        compareV6(&code, address, at: offset, otherwise: next)
      }
      port(&code)
      tree(&code, Self.largest(ports.ranges, 16), inside: served, outside: goOn)
      code.place(next)
    }
    code.place(goOn)
  }

  private func compareV6(_ code: inout Assembler, _ address: IPAddress, at offset: UInt32, otherwise: Label) {
    let words = [address.low, address.low >> 32, address.high, address.high >> 32]
    for (index, word) in words.enumerated() {
      code.load(.word, offset + 12 - 4 * UInt32(index))
      code.jump(.unequal, UInt32(truncatingIfNeeded: word), to: otherwise)
    }
  }

  /// A binary search for the port in the accumulator.
  private func tree(_ code: inout Assembler, _ ranges: [ClosedRange<UInt16>], inside: Label, outside: Label) {
    var edges: [UInt32] = []
    for range in ranges {
      edges.append(UInt32(range.lowerBound))
      edges.append(UInt32(range.upperBound) + 1)
    }
    branch(&code, edges, 0..<edges.count, inside, outside)
  }

  /// `span`: the edges still in question; an odd number of edges at or below the port means it is inside.
  private func branch(
    _ code: inout Assembler, _ edges: [UInt32], _ span: Range<Int>, _ inside: Label, _ outside: Label
  ) {
    if span.isEmpty {
      code.jump(to: span.lowerBound % 2 == 1 ? inside : outside)
      return
    }
    let middle = (span.lowerBound + span.upperBound) / 2
    let right = code.label()
    code.jump(.greaterOrEqual, edges[middle], to: right)
    branch(&code, edges, span.lowerBound..<middle, inside, outside)
    code.place(right)
    branch(&code, edges, middle + 1..<span.upperBound, inside, outside)
  }

  /// The largest `limit` ranges in rising order: for what is dropped, where a gap must never be closed.
  static func largest(_ ranges: [ClosedRange<UInt16>], _ limit: Int) -> [ClosedRange<UInt16>] {
    guard ranges.count > limit else { return ranges }
    return ranges.sorted { $0.count > $1.count }.prefix(limit).sorted { $0.lowerBound < $1.lowerBound }
  }

  /// At most `limit` ranges that hold all of `ranges`: the smallest gaps are closed.
  static func coarsened(_ ranges: [ClosedRange<UInt16>], to limit: Int) -> [ClosedRange<UInt16>] {
    guard ranges.count > limit, limit > 0 else { return ranges }
    let gaps = (1..<ranges.count).map { (gap: Int(ranges[$0].lowerBound) - Int(ranges[$0 - 1].upperBound), index: $0) }
    let kept = Set(gaps.sorted { $0.gap > $1.gap }.prefix(limit - 1).map(\.index))
    var result: [ClosedRange<UInt16>] = []
    for (index, range) in ranges.enumerated() {
      if index == 0 || kept.contains(index) {
        result.append(range)
      } else {
        result[result.count - 1] = result[result.count - 1].lowerBound...range.upperBound
      }
    }
    return result
  }
}

/// A place in a program that jumps may name before it is known.
private struct Label {
  let index: Int
}

/// Assembles classic BPF (`filter.rst` of the kernel's documentation). All jumps go forward.
private struct Assembler {
  enum Size: UInt16 {
    case word = 0x00
    case half = 0x08
    case byte = 0x10
  }

  enum Test {
    case equal, unequal, greater, greaterOrEqual, less, lessOrEqual, set
  }

  private var code: [sock_filter] = []
  private var labels: [Int] = []
  private var fixups: [(instruction: Int, label: Int)] = []

  mutating func label() -> Label {
    labels.append(-1)
    return Label(index: labels.count - 1)
  }

  mutating func place(_ label: Label) { labels[label.index] = code.count }

  private mutating func emit(_ operation: UInt16, _ k: UInt32, jt: UInt8 = 0, jf: UInt8 = 0) {
    code.append(sock_filter(code: operation, jt: jt, jf: jf, k: k))
  }

  mutating func load(_ size: Size, _ offset: UInt32) { emit(0x20 | size.rawValue, offset) }  // LD ABS
  mutating func loadIndexed(_ size: Size, _ offset: UInt32) { emit(0x40 | size.rawValue, offset) }  // LD IND
  mutating func loadHeaderLength(at offset: UInt32) { emit(0xb1, offset) }  // LDX MSH
  mutating func and(_ mask: UInt32) { emit(0x54, mask) }
  mutating func subtractIndex() { emit(0x1c, 0) }
  mutating func multiply(_ factor: UInt32) { emit(0x24, factor) }
  mutating func shiftRight(_ bits: UInt32) { emit(0x74, bits) }
  mutating func returns(_ value: UInt32) { emit(0x06, value) }
  mutating func returnsIndex(plus value: UInt32) {
    emit(0x87, 0)  // TXA
    emit(0x04, value)  // ADD
    emit(0x16, 0)  // RET A
  }

  mutating func jump(to label: Label) {
    fixups.append((code.count, label.index))
    emit(0x05, 0)
  }

  /// Conditional jumps reach 255 instructions only, so each guards an unconditional one, which reaches everywhere.
  mutating func jump(_ test: Test, _ value: UInt32, to label: Label) {
    switch test {
    case .equal: emit(0x15, value, jt: 0, jf: 1)
    case .unequal: emit(0x15, value, jt: 1, jf: 0)
    case .greater: emit(0x25, value, jt: 0, jf: 1)
    case .lessOrEqual: emit(0x25, value, jt: 1, jf: 0)
    case .greaterOrEqual: emit(0x35, value, jt: 0, jf: 1)
    case .less: emit(0x35, value, jt: 1, jf: 0)
    case .set: emit(0x45, value, jt: 0, jf: 1)
    }
    jump(to: label)
  }

  consuming func assemble() -> [sock_filter] {
    for (instruction, label) in fixups { code[instruction].k = UInt32(labels[label] - instruction - 1) }
    return code
  }
}
