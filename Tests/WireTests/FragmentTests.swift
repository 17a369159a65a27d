import TestSupport
import Testing
import Wire

/// Tiny fragments, as `nmap -f` and `--mtu` make them.
@Suite struct FragmentTests {
  private static let start = Timestamp(seconds: 1_700_000_000)
  static let families = ["IPv4", "IPv6"]

  private static func builder(_ family: String, options: [UInt8] = []) -> PacketBuilder {
    (family == "IPv4" ? PacketBuilder() : PacketBuilder(from: "2001:db8::7", to: "2001:db8::10"))
      .with { $0.tcpOptions = options }
  }

  /// What comes of the fragments in this order: the packets found.
  private static func packets(
    _ fragments: [[UInt8]], decoder: inout PacketDecoder, at time: Timestamp = start
  ) -> [Packet] {
    fragments.compactMap {
      let (outcome, packet) = decoder.decode($0, at: time)
      return outcome == .packet ? packet : nil
    }
  }

  private static func packets(_ fragments: [[UInt8]]) -> [Packet] {
    var decoder = PacketDecoder()
    return packets(fragments, decoder: &decoder)
  }

  private static func permutations<T>(_ items: [T]) -> [[T]] {
    guard items.count > 1 else { return [items] }
    return items.indices.flatMap { index in
      var rest = items
      let first = rest.remove(at: index)
      return permutations(rest).map { [first] + $0 }
    }
  }

  @Test(
    "Pieces of 8 bytes in every order make one probe", arguments: families,
    [[], [2, 4, 5, 0xb4] + PacketBuilder.timestamps])
  func anyOrder(family: String, options: [UInt8]) throws {
    let builder = Self.builder(family, options: options)
    for fragments in Self.permutations(builder.fragments(of: 8)) {
      let found = Self.packets(fragments)
      #expect(found.count == 1)
      let packet = try #require(found.first)
      #expect(packet.wasFragmented)
      #expect(packet.flags == builder.flags)
      #expect(packet.targetPort == builder.targetPort)
      #expect(packet.sourcePort == builder.sourcePort)
      #expect(packet.source == builder.source)
      #expect(Int(packet.tcpOptionsLength) == options.count)
      // A header with options is judged as soon as it is there; its checksum counts when all of it is.
      #expect(packet.checksum != .wrong)
      if options.isEmpty { #expect(packet.checksum == .valid) }
    }
  }

  @Test("Wrong checksums are noticed in fragments too", arguments: families)
  func wrongChecksum(family: String) {
    let found = Self.packets(Self.builder(family).with { $0.transportChecksum = .wrong }.fragments(of: 8))
    #expect(found.map(\.checksum) == [.wrong])
  }

  @Test("Duplicates count once", arguments: families)
  func duplicates(family: String) {
    let fragments = Self.builder(family).fragments(of: 8)
    for order in Self.permutations(fragments + [fragments[1]]) { #expect(Self.packets(order).count == 1) }
    #expect(Self.packets(fragments + fragments).count == 1)
  }

  @Test("Overlapping pieces make one packet", arguments: families)
  func overlaps(family: String) {
    let builder = Self.builder(family)
    let whole = builder.segment
    let pieces = [
      builder.fragment(Array(whole[0..<16]), at: 0, more: true),
      builder.fragment(Array(whole[8..<16]), at: 8, more: true),
      builder.fragment(Array(whole[8...]), at: 8, more: false),
    ]
    for order in Self.permutations(pieces) {
      #expect(Self.packets(order).map(\.targetPort) == [builder.targetPort])
    }
  }

  @Test("Two datagrams may come interleaved", arguments: families)
  func interleaved(family: String) {
    let a = Self.builder(family)
    // The table has 256 places: of several second datagrams nearly all get a place of their own.
    var found = 0
    for identification in UInt16(1)...50 {
      let b = a.with {
        $0.identification = identification
        $0.targetPort = 99
      }
      let pieces = zip(a.fragments(of: 8), b.fragments(of: 8)).flatMap { [$0, $1] }
      let ports = Self.packets(pieces).map(\.targetPort)
      #expect(Set(ports).isSubset(of: [a.targetPort, 99]))
      if Set(ports) == [a.targetPort, 99] { found += 1 }
    }
    #expect(found >= 45)
  }

  @Test("Pieces 30 seconds apart belong together, later ones do not", arguments: families)
  func expiry(family: String) {
    let fragments = Self.builder(family).fragments(of: 8)
    for (delay, expected) in [(Duration.seconds(30), 1), (.seconds(30) + .nanoseconds(1), 0)] {
      var decoder = PacketDecoder()
      var found = Self.packets(Array(fragments[..<2]), decoder: &decoder)
      found += Self.packets(Array(fragments[2...]), decoder: &decoder, at: Self.start + delay)
      #expect(found.count == expected, "\(delay)")
    }
  }

  @Test("A first fragment that holds the header is judged at once", arguments: families, [24, 32, 64])
  func largeFirst(family: String, size: Int) {
    let builder = Self.builder(family).with { $0.payload = [UInt8](repeating: 7, count: 100) }
    let found = Self.packets(builder.fragments(of: size))
    #expect(found.count == 1)
    #expect(found.first?.checksum == .unknown)
    #expect(found.first?.flags == .syn)
  }

  @Test("A UDP datagram in fragments is judged by its first", arguments: families)
  func udp(family: String) {
    let builder = Self.builder(family).with {
      $0.transport = .udp
      $0.payload = [UInt8](repeating: 7, count: 100)
    }
    let found = Self.packets(builder.fragments(of: 8))
    #expect(found.map(\.targetPort) == [builder.targetPort])
    #expect(found.first?.checksum == .unknown)
  }

  @Test("Pieces that never make a header make no packet", arguments: families)
  func incomplete(family: String) {
    let builder = Self.builder(family)
    let fragments = builder.fragments(of: 8)
    for missing in fragments.indices {
      #expect(Self.packets(fragments.indices.filter { $0 != missing }.map { fragments[$0] }).isEmpty)
    }
    // Only the end of a long datagram, and a datagram shorter than a header.
    #expect(Self.packets([builder.fragment([1, 2, 3], at: 8_000, more: false)]).isEmpty)
    #expect(
      Self.packets([
        builder.fragment(Array(repeating: 1, count: 8), at: 0, more: true), builder.fragment([1], at: 8, more: false),
      ]).isEmpty)
    // Pieces that are not whole units hold no unit.
    #expect(Self.packets((0..<3).map { builder.fragment([1, 2, 3, 4, 5, 6, 7], at: $0 * 8, more: true) }).isEmpty)
    // Of other protocols the first fragment says enough, and the others nothing.
    var decoder = PacketDecoder()
    for (index, expected) in [(0, DecodeOutcome.otherProtocol), (1, .fragment)] {
      var other = fragments[index]
      if family == "IPv4" {
        other[9] = 200
        other = PacketBuilder.mendHeader(other)
      } else {
        other[40] = 200
      }
      #expect(decoder.decode(other).outcome == expected)
    }
  }

  @Test("The end of a datagram is where its header says, not where the capture ends", arguments: families)
  func truncatedCapture(family: String) {
    let builder = Self.builder(family).with { $0.payload = [UInt8](repeating: 7, count: 40) }
    let whole = builder.segment
    let first = builder.fragment(Array(whole[..<16]), at: 0, more: true)
    let last = builder.fragment(Array(whole[16...]), at: 16, more: false)
    // 8 of the last 44 bytes were captured: the header is complete, the checksum open.
    let found = Self.packets([first, Array(last.dropLast(36))])
    #expect(found.map(\.checksum) == [.unknown])
    #expect(found.map(\.targetPort) == [builder.targetPort])
  }

  @Test("A flood of first fragments costs no memory and only what hides in it")
  func flood() {
    var decoder = PacketDecoder()
    for number in 0..<10_000 as Range<UInt32> {
      let builder = PacketBuilder().with { $0.source = IPAddress(v4: 0x0a00_0000 | number) }
      _ = decoder.decode(builder.fragments(of: 8)[0])
    }
    #expect(Self.packets(Self.builder("IPv4").fragments(of: 8), decoder: &decoder).count == 1)
  }
}
