import CLinux
import Detection
import Host
import Platform
import TestSupport
import Testing
import Wire

@testable import Capture

/// A program with its ring, run by the kernel over frames that it is given.
private struct TriedProgram: ~Copyable {
  private var ring: BPFRing
  private let lost: BPFMap
  private let program: FileDescriptor
  let instructions: Int

  init(_ filter: KernelFilter, isOutgoing: Bool, ranges: Int = 80) throws {
    let ring = try BPFRing(records: 256, recordSize: TapProgram.Record.size)
    let lost = try BPFMap(BPF_MAP_TYPE_ARRAY, key: 4, value: 8, entries: 1, name: "lost")
    let code = try #require(
      TapProgram.make(
        filter, isOutgoing: isOutgoing, ring: ring.descriptor, lost: lost.descriptor, ranges: ranges))
    let program = try BPF.load(BPF_PROG_TYPE_SCHED_CLS, BPF_CGROUP_INET_INGRESS, code, name: "tap")
    instructions = code.count
    self.ring = ring
    self.lost = lost
    self.program = program
  }

  /// How much of a frame was written; 0 for nothing.
  mutating func run(_ frame: FilterFrame) throws -> UInt32 {
    // Its own interface has the address 0: whatever is sent there is for this host.
    let target = [UInt8](repeating: frame.type == UInt32(PACKET_MULTICAST) ? 1 : 0, count: 6)
    let type: [UInt8] = frame.isV6 ? [0x86, 0xdd] : [8, 0]
    var context = [UInt8](repeating: 0, count: 12)
    context.replaceSubrange(8..<12, with: frame.mark.hostBytes)
    let bytes = target + [2, 0, 0, 0, 0, 9] + type + frame.datagram
    #expect(try BPF.run(program, on: bytes, context) == -1, "it goes on")
    var captured: UInt32 = 0
    while ring.next({ record in
      captured = record.word(at: TapProgram.Record.captured)
      #expect(record.word(at: TapProgram.Record.length) == UInt32(frame.datagram.count))
      let copy = (0..<Int(captured)).map { record.u8(at: TapProgram.Record.packet + $0) }
      #expect(copy == Array(frame.datagram.prefix(Int(captured))))
    }) {}
    return captured
  }

  func lostOnes() -> [UInt8]? { lost.value(Int32(0).hostBytes) }
}

extension RawSpan {
  fileprivate func word(at offset: Int) -> UInt32 { u32(at: offset).byteSwapped }
}

@Suite(.enabled(if: NetworkNamespace.isPossible), .serialized) struct TapProgramTests {
  private static let host = IPAddress("192.0.2.10")!
  private static let host6 = IPAddress("2001:db8::10")!

  /// All kinds of settings.
  private static func filter(_ random: inout SeededGenerator) -> KernelFilter {
    func ports() -> PortSet {
      PortSet(
        ranges: (0..<Int.random(in: 1...120, using: &random)).map { _ in
          let start = UInt16.random(in: 0...400, using: &random)
          return start...start + UInt16.random(in: 0...3, using: &random)
        })
    }
    var filter = KernelFilter()
    (filter.tcpV4, filter.tcpV6, filter.udpV4, filter.udpV6) = (ports(), ports(), ports(), ports())
    (filter.servedUDPv4, filter.servedUDPv6) = (ports(), ports())
    filter.watchesTCP = random.chance(85)
    filter.watchesUDP = random.chance(85)
    filter.judgesConnections = random.chance(60)
    filter.judgesOtherProtocols = random.chance(60)
    if random.chance(30) { filter.specificTCP = [host: ports(), host6: ports()] }
    if random.chance(30) { filter.specificUDP = [host: ports(), host6: ports()] }
    filter.ephemeralPorts = 200...250
    if random.chance(70) { filter.addresses = [IPAddress("127.0.0.1")!, host, host6] }
    if random.chance(30) {
      filter.sampling.connections = UInt8.random(in: 0...3, using: &random)
      filter.sampling.others = UInt8.random(in: 0...3, using: &random)
      filter.sampling.multiplier = UInt32.random(in: 0...UInt32.max, using: &random) | 1
    }
    return filter
  }

  /// Anything that may come or go; its headers whole.
  private static func frame(_ random: inout SeededGenerator) -> FilterFrame {
    let isV6 = random.chance(40)
    let isOutgoing = random.chance(40)
    var builder = PacketBuilder(
      random.chance(60) ? .tcp : .udp, to: "192.0.2.10", UInt16.random(in: 0...420, using: &random))
    if isV6 { (builder.source, builder.target) = (IPAddress("2001:db8::7")!, host6) }
    builder.sourcePort = UInt16.random(in: 0...420, using: &random)
    if random.chance(5) { builder.target = isV6 ? IPAddress("2001:db8::11")! : IPAddress("192.0.2.11")! }
    if isOutgoing { (builder.source, builder.target) = (builder.target, builder.source) }
    builder.flags = TCPFlags(rawValue: UInt8.random(in: 0...255, using: &random))
    if random.chance(70) {
      builder.flags = [.syn, [.syn, .ack], [.rst, .ack], .ack, [.psh, .ack], [.fin, .ack], .fin, .rst].randomElement(
        using: &random)!
    }
    if random.chance(50) { builder.tcpOptions = PacketBuilder.timestamps }
    var bytes = builder.datagram
    // Sequence number 0 is what a refusal has.
    if random.chance(50), builder.transport == .tcp {
      bytes.replaceSubrange((isV6 ? 44 : 24)..<(isV6 ? 48 : 28), with: [0, 0, 0, 0])
    }
    if random.chance(15) { bytes[isV6 ? 6 : 9] = UInt8.random(in: 0...140, using: &random) }
    if random.chance(15), !isV6 {
      bytes[6] = UInt8.random(in: 0...63, using: &random) & (random.chance(50) ? 0x20 : 0xff)
      bytes[7] = UInt8.random(in: 0...9, using: &random)
    }
    // IPv4 options.
    if random.chance(25), !isV6 {
      let words = Int.random(in: 1...10, using: &random)
      bytes.insert(contentsOf: [UInt8](repeating: 1, count: 4 * words), at: 20)
      bytes[0] = 0x45 + UInt8(words)
      let length = bytes.count
      (bytes[2], bytes[3]) = (UInt8(length >> 8), UInt8(length & 255))
    }
    if random.chance(40) { bytes += (0..<Int.random(in: 1...300, using: &random)).map { UInt8($0 & 255) } }
    return FilterFrame(
      datagram: bytes, isV6: isV6,
      type: UInt32(isOutgoing ? PACKET_OUTGOING : random.chance(5) ? PACKET_MULTICAST : PACKET_HOST),
      mark: random.chance(10) ? KernelFilter.decoyMark : 0)
  }

  @Test func itWantsWhatTheClassicFilterWants() throws {
    try inNamespace {
      shell("ip link set lo up")
      var random = SeededGenerator(seed: 21)
      var (wanted, cut, all) = (0, 0, 0)
      for round in 0..<40 {
        let filter = Self.filter(&random)
        let ranges = random.chance(50) ? 80 : 8
        let classic = filter.program(ranges: ranges)
        var incoming = try TriedProgram(filter, isOutgoing: false, ranges: ranges)
        var outgoing = try TriedProgram(filter, isOutgoing: true, ranges: ranges)
        for _ in 0..<250 {
          let frame = Self.frame(&random)
          let isOutgoing = frame.type == UInt32(PACKET_OUTGOING)
          let expected = min(FilterMachine.run(classic, frame)!, UInt32(frame.datagram.count))
          let found = isOutgoing ? try outgoing.run(frame) : try incoming.run(frame)
          #expect(found == expected, "round \(round), \(frame)")
          all += 1
          if found > 0 { wanted += 1 }
          if found > 0, found < frame.datagram.count { cut += 1 }
        }
      }
      #expect(wanted > all / 6 && wanted < all / 2 && cut > 100, "\(wanted) and \(cut) of \(all)")
    }
  }

  /// A cut packet is never more than the classic filter wants, and what has its headers is never less.
  @Test func cutPackets() throws {
    try inNamespace {
      shell("ip link set lo up")
      for isV6 in [false, true] {
        for transport in [TransportProtocol.tcp, .udp] {
          var filter = KernelFilter()
          let every = PortSet(ranges: [0...65535])
          (filter.tcpV4, filter.tcpV6, filter.udpV4, filter.udpV6) = (every, every, every, every)
          (filter.watchesTCP, filter.watchesUDP) = (true, true)
          var program = try TriedProgram(filter, isOutgoing: false)
          var builder = PacketBuilder(transport, to: "192.0.2.10", 23)
          if isV6 { (builder.source, builder.target) = (IPAddress("2001:db8::7")!, Self.host6) }
          let whole = builder.datagram
          // Shorter frames the kernel does not put in.
          for length in (isV6 ? 40 : 20)...whole.count {
            let frame = FilterFrame(datagram: Array(whole[..<length]), isV6: isV6)
            let classic = FilterMachine.run(filter.program(), frame)! > 0
            let found = try program.run(frame) > 0
            #expect(!found || classic)
            if length >= (isV6 ? 40 : 20) + (transport == .tcp ? 16 : 8) { #expect(found == classic, "\(length)") }
          }
        }
      }
    }
  }

  @Test func theKernelTakesTheLargestProgram() throws {
    try inNamespace {
      var filter = KernelFilter()
      let scattered = PortSet((0..<20_000).map { UInt16($0 * 3) })
      (filter.tcpV4, filter.tcpV6, filter.udpV4, filter.udpV6) = (scattered, scattered, scattered, scattered)
      (filter.servedUDPv4, filter.servedUDPv6) = (scattered, scattered)
      (filter.watchesTCP, filter.watchesUDP) = (true, true)
      (filter.judgesConnections, filter.judgesOtherProtocols) = (true, true)
      for host: UInt64 in 0..<8 {
        let address = IPAddress(high: 0x2001_0db8 << 32, low: host + 1)
        (filter.specificTCP[address], filter.specificUDP[address]) = (scattered, scattered)
      }
      filter.addresses = (0..<24).map { IPAddress(high: 0x2001_0db8 << 32, low: $0) }
      for isOutgoing in [false, true] {
        let program = try TriedProgram(filter, isOutgoing: isOutgoing)
        #expect(program.instructions > 2_000)
      }
      // Nothing is wanted: neither may anything stand in it that is never reached.
      _ = try TriedProgram(KernelFilter(), isOutgoing: false)
      _ = try TriedProgram(KernelFilter(), isOutgoing: true)
    }
  }
}
