import CLinux
import Wire

/// The classic BPF program that lets only packets through which may matter, so that the sentry sleeps while
/// legitimate traffic flows.
///
/// It reads from the network header (`SOCK_DGRAM`), and knows no more than what is wanted of the packets. It may let too much through, never
/// too little: the detector decides.
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

  /// SO_MARK of the decoys' listeners, which the kernel puts on each of their SYN/ACKs: of those only the bare headers are copied, by
  /// which `Sensor` knows them. Test packets to decoys have it as well, and are not looked at. Nobody's rule for routing or filtering is likely to ask for it.
  package static let decoyMark: UInt32 = 0x7073_0dec
  /// How much of a packet is copied: the headers with all options, and a probe's payload.
  package static let snapLength: UInt32 = 176
  /// More addresses than this are not tested in the kernel, one after another, for each packet.
  static let addressLimit = 24

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
    dropTagged(&code, drop: drop)
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

  /// The same for packets of one family in one direction, on whatever interface.
  func part(isV4: Bool, isOutgoing: Bool, ranges limit: Int) -> [sock_filter] {
    var code = Assembler()
    let accept = code.label()
    let drop = code.label()
    dropTagged(&code, drop: drop)
    if !isOutgoing {
      code.load(.word, Self.ancillary(SKF_AD_PKTTYPE))
      code.jump(.greater, UInt32(PACKET_HOST), to: drop)
    }
    switch (isV4, isOutgoing) {
    case (true, false): incomingV4(&code, limit, accept: accept, drop: drop)
    case (false, false): incomingV6(&code, limit, accept: accept, drop: drop)
    case (true, true): sentV4(&code, limit, accept: accept, drop: drop)
    case (false, true): sentV6(&code, limit, accept: accept, drop: drop)
    }
    code.place(accept)
    code.returns(Self.snapLength)
    code.place(drop)
    code.returns(0)
    return code.assemble()
  }

  /// A tagged frame passes once more on its VLAN interface, where the tag is off. One tagged with VLAN 0 bears only a
  /// priority (IEEE 802.1Q section 9.6): the host takes it, and it passes here and nowhere else.
  private func dropTagged(_ code: inout Assembler, drop: Label) {
    let untagged = code.label()
    code.load(.word, Self.ancillary(SKF_AD_VLAN_TAG_PRESENT))
    code.jump(.equal, 0, to: untagged)
    code.load(.word, Self.ancillary(SKF_AD_VLAN_TAG))
    code.jump(.set, 0x0fff, to: drop)
    code.place(untagged)
  }

  static func ancillary(_ offset: Int32) -> UInt32 { UInt32(bitPattern: SKF_AD_OFF + offset) }

  /// Where the fields of a transport header are, and how they are loaded: IPv4 has a header of some length, IPv6 here a fixed one.
  struct Transport {
    let isV4: Bool
    /// Where the addresses are.
    var source: UInt32 { isV4 ? 12 : 8 }
    var target: UInt32 { isV4 ? 16 : 24 }

    func load(_ code: inout Assembler, _ size: Assembler.Size, _ offset: UInt32) {
      if isV4 { code.loadIndexed(size, offset) } else { code.load(size, 40 + offset) }
    }

    func prepare(_ code: inout Assembler) { if isV4 { code.loadHeaderLength(at: 0) } }
  }

  func incomingV4(_ code: inout Assembler, _ limit: Int, accept: Label, drop: Label) {
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

  func incomingV6(_ code: inout Assembler, _ limit: Int, accept: Label, drop: Label) {
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

  func incomingTCP(
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
    bareACK(&code, header, drop: drop)
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

  /// Falls through for an ACK without data and options, to a port that none of our own connections comes from.
  private func bareACK(_ code: inout Assembler, _ header: Transport, drop: Label) {
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
  }

  func incomingUDP(
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
  static let carriers: [UInt32] = [2, 4, 41, 47, 50, 51, 88, 89, 103, 112, 115]

  /// What is neither TCP nor UDP; the protocol number is loaded.
  func others(_ code: inout Assembler, _ header: Transport, accept: Label, sampled: Sampled, drop: Label) {
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
  struct Sampled {
    let connections: Label
    let others: Label
  }

  /// - Parameter offset: where the address of the other end is.
  func sample(
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
}
