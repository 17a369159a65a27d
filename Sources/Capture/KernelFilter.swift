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
  /// This host's addresses; packets for others (a router's) are left alone. Empty: not tested here.
  package var addresses: [IPAddress] = []

  package init() {}

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

  private func incomingV4(_ code: inout Assembler, _ limit: Int, accept: Label, drop: Label) {
    let tcp = code.label()
    let udp = code.label()
    let fragment = code.label()
    localV4(&code, at: 16, drop: drop)
    code.load(.half, 6)
    code.jump(.set, 0x3fff, to: fragment)
    code.load(.byte, 9)
    if watchesTCP { code.jump(.equal, 6, to: tcp) }
    if watchesUDP { code.jump(.equal, 17, to: udp) }
    code.jump(to: drop)
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
    if watchesTCP {
      code.place(tcp)
      code.loadHeaderLength(at: 0)
      let opening = code.label()
      let bare = code.label()
      code.loadIndexed(.byte, 13)
      code.jump(.set, 0x04, to: drop)
      code.jump(.set, 0x10, to: bare)
      code.jump(to: opening)
      code.place(bare)
      code.jump(.set, 0x02, to: drop)
      code.loadIndexed(.byte, 12)
      code.and(0xf0)
      code.jump(.unequal, 0x50, to: drop)
      code.load(.half, 2)
      code.subtractIndex()
      code.jump(.unequal, 20, to: drop)
      code.loadIndexed(.half, 2)
      notEphemeral(&code, drop: drop)
      code.place(opening)
      unlessServedThere(&code, specificTCP, v4: true, at: 16, port: { $0.loadIndexed(.half, 2) }, served: drop)
      code.loadIndexed(.half, 2)
      tree(&code, Self.coarsened(tcpV4.ranges, to: limit), inside: accept, outside: drop)
    } else {
      code.place(tcp)
    }
    code.place(udp)
    if watchesUDP {
      code.loadHeaderLength(at: 0)
      unlessServedThere(&code, specificUDP, v4: true, at: 16, port: { $0.loadIndexed(.half, 2) }, served: drop)
      code.loadIndexed(.half, 2)
      tree(&code, Self.coarsened(udpV4.ranges, to: limit), inside: accept, outside: drop)
    } else {
      code.jump(to: drop)
    }
  }

  private func incomingV6(_ code: inout Assembler, _ limit: Int, accept: Label, drop: Label) {
    let tcp = code.label()
    let udp = code.label()
    localV6(&code, at: 24, drop: drop)
    code.load(.byte, 6)
    if watchesTCP { code.jump(.equal, 6, to: tcp) }
    if watchesUDP { code.jump(.equal, 17, to: udp) }
    // Extension headers and fragments are rare in honest traffic, and are walked in user space.
    for next: UInt32 in [0, 43, 44, 51, 60, 135, 139, 140] { code.jump(.equal, next, to: accept) }
    code.jump(to: drop)
    code.place(tcp)
    if watchesTCP {
      let opening = code.label()
      let bare = code.label()
      code.load(.byte, 53)
      code.jump(.set, 0x04, to: drop)
      code.jump(.set, 0x10, to: bare)
      code.jump(to: opening)
      code.place(bare)
      code.jump(.set, 0x02, to: drop)
      code.load(.byte, 52)
      code.and(0xf0)
      code.jump(.unequal, 0x50, to: drop)
      code.load(.half, 4)
      code.jump(.unequal, 20, to: drop)
      code.load(.half, 42)
      notEphemeral(&code, drop: drop)
      code.place(opening)
      unlessServedThere(&code, specificTCP, v4: false, at: 24, port: { $0.load(.half, 42) }, served: drop)
      code.load(.half, 42)
      tree(&code, Self.coarsened(tcpV6.ranges, to: limit), inside: accept, outside: drop)
    }
    code.place(udp)
    if watchesUDP {
      unlessServedThere(&code, specificUDP, v4: false, at: 24, port: { $0.load(.half, 42) }, served: drop)
      code.load(.half, 42)
      tree(&code, Self.coarsened(udpV6.ranges, to: limit), inside: accept, outside: drop)
    } else {
      code.jump(to: drop)
    }
  }

  /// Connections that we open and datagrams that we send from ports of the moment: remembered as flows.
  private func sentV4(_ code: inout Assembler, _ limit: Int, accept: Label, drop: Label) {
    let udp = code.label()
    localV4(&code, at: 12, drop: drop)
    code.load(.half, 6)
    code.jump(.set, 0x1fff, to: drop)
    code.loadHeaderLength(at: 0)
    code.load(.byte, 9)
    if watchesUDP { code.jump(.equal, 17, to: udp) }
    if watchesTCP {
      code.jump(.unequal, 6, to: drop)
      code.loadIndexed(.byte, 13)
      code.and(0x16)
      code.jump(.equal, 0x02, to: accept)
    }
    code.jump(to: drop)
    code.place(udp)
    if watchesUDP {
      unlessServedThere(&code, sending(specificUDP), v4: true, at: 12, port: { $0.loadIndexed(.half, 0) }, served: drop)
      code.loadIndexed(.half, 0)
      tree(&code, Self.largest(sending(servedUDPv4).ranges, limit), inside: drop, outside: accept)
    }
  }

  private func sentV6(_ code: inout Assembler, _ limit: Int, accept: Label, drop: Label) {
    let udp = code.label()
    localV6(&code, at: 8, drop: drop)
    code.load(.byte, 6)
    if watchesUDP { code.jump(.equal, 17, to: udp) }
    if watchesTCP {
      code.jump(.unequal, 6, to: drop)
      code.load(.byte, 53)
      code.and(0x16)
      code.jump(.equal, 0x02, to: accept)
    }
    code.jump(to: drop)
    code.place(udp)
    if watchesUDP {
      unlessServedThere(&code, sending(specificUDP), v4: false, at: 8, port: { $0.load(.half, 40) }, served: drop)
      code.load(.half, 40)
      tree(&code, Self.largest(sending(servedUDPv6).ranges, limit), inside: drop, outside: accept)
    }
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
  mutating func returns(_ value: UInt32) { emit(0x06, value) }

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
