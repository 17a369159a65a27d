import Testing
import Wire

/// Where the IP header of a frame is, for each link type.
@Suite struct LinkLayerTests {
  private static let macs = [UInt8](repeating: 0xaa, count: 12)
  private static func sll(_ type: UInt8, _ rest: [UInt8]) -> [UInt8] { [0, type, 0, 1, 0, 6] + macs.prefix(8) + rest }
  private static func sll2(_ type: UInt8, _ number: [UInt8]) -> [UInt8] {
    number + [0, 0, 0, 0, 0, 2, 0, 1, type, 6] + macs.prefix(8)
  }

  private static func locate(_ frame: [UInt8], _ linkType: UInt32) -> LinkLayer.Content {
    unsafe LinkLayer.locate(frame.span.bytes, linkType: linkType)
  }

  private static let rows: [(String, UInt32, [UInt8], LinkLayer.Content)] = [
    ("Ethernet with IPv4", 1, macs + [0x08, 0x00], .ip(offset: 14, .unknown)),
    ("Ethernet with IPv6", 1, macs + [0x86, 0xdd], .ip(offset: 14, .unknown)),
    ("Ethernet with ARP", 1, macs + [0x08, 0x06], .notIP),
    ("one VLAN tag", 1, macs + [0x81, 0, 0, 5, 0x08, 0], .ip(offset: 18, .unknown)),
    ("QinQ by 802.1ad", 1, macs + [0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x86, 0xdd], .ip(offset: 22, .unknown)),
    (
      "five tags, one of the old number", 1,
      macs + [0x91, 0, 0, 1] + [0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 0x81, 0, 0, 4] + [0x08, 0],
      .ip(offset: 34, .unknown)
    ),
    ("tags without end", 1, macs + (0..<50).flatMap { _ in [0x81, 0, 0, 1] as [UInt8] }, .truncated),
    ("802.3 with LLC and SNAP", 1, macs + [0, 46, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], .ip(offset: 22, .unknown)),
    ("SNAP of another organisation", 1, macs + [0, 46, 0xaa, 0xaa, 3, 0, 0, 12, 8, 0], .notIP),
    ("spanning tree", 1, macs + [0, 38, 0x42, 0x42, 3], .notIP),
    (
      "PPPoE session in Ethernet", 1, macs + [0x88, 0x64, 0x11, 0, 0, 1, 0, 40, 0, 0x21], .ip(offset: 22, .unknown)
    ),
    ("PPPoE discovery", 1, macs + [0x88, 0x63, 0x11, 9, 0, 0, 0, 0], .notIP),
    ("PPPoE of another code", 1, macs + [0x88, 0x64, 0x11, 7, 0, 1, 0, 40, 0, 0x21], .notIP),
    ("raw IP", 101, [0x45], .ip(offset: 0, .unknown)),
    ("raw IP of BSD", 12, [0x45], .ip(offset: 0, .unknown)),
    ("raw IP of OpenBSD", 14, [0x45], .ip(offset: 0, .unknown)),
    ("IPv4 only", 228, [0x45], .ip(offset: 0, .unknown)),
    ("IPv6 only", 229, [0x60], .ip(offset: 0, .unknown)),
    ("loopback from a little-endian host", 0, [2, 0, 0, 0], .ip(offset: 4, .unknown)),
    ("loopback from a big-endian host", 0, [0, 0, 0, 2], .ip(offset: 4, .unknown)),
    ("loopback with Darwin's IPv6", 0, [30, 0, 0, 0], .ip(offset: 4, .unknown)),
    ("loopback of OpenBSD, network order", 108, [0, 0, 0, 24], .ip(offset: 4, .unknown)),
    ("loopback with AppleTalk", 0, [16, 0, 0, 0], .notIP),
    ("cooked, to us", 113, sll(0, [8, 0]), .ip(offset: 16, .incoming)),
    ("cooked, sent by us", 113, sll(4, [8, 0]), .ip(offset: 16, .outgoing)),
    ("cooked, to somebody else", 113, sll(3, [0x86, 0xdd]), .ip(offset: 16, .incoming)),
    ("cooked with a tag left in", 113, sll(4, [0x81, 0, 0, 9, 8, 0]), .ip(offset: 20, .outgoing)),
    ("cooked netlink", 113, [0, 4, 0x03, 0x38] + macs + [0, 0], .notIP),
    ("cooked, second version, sent by us", 276, sll2(4, [8, 0]), .ip(offset: 20, .outgoing)),
    ("cooked, second version, to us", 276, sll2(0, [0x86, 0xdd]), .ip(offset: 20, .incoming)),
    ("PPP with address and control", 9, [0xff, 3, 0, 0x21], .ip(offset: 4, .unknown)),
    ("PPP without", 9, [0, 0x57], .ip(offset: 2, .unknown)),
    ("PPP with a short protocol number", 50, [0xff, 3, 0x21], .ip(offset: 3, .unknown)),
    ("PPP control", 9, [0xff, 3, 0xc0, 0x21], .notIP),
    ("Cisco HDLC in PPP", 50, [0x0f, 0, 8, 0], .ip(offset: 4, .unknown)),
    ("PPP with direction, sent", 204, [1, 0xff, 3, 0, 0x21], .ip(offset: 5, .outgoing)),
    ("PPPoE as link type", 51, [0x11, 0, 0, 1, 0, 4, 0, 0x21], .ip(offset: 8, .unknown)),
    ("SLIP, received", 8, [UInt8](repeating: 0, count: 17), .ip(offset: 16, .incoming)),
    ("Cisco HDLC", 104, [0x0f, 0, 8, 0], .ip(offset: 4, .unknown)),
    ("frame relay, NLPID of IPv4", 107, [0x18, 0x41, 3, 0xcc], .ip(offset: 4, .unknown)),
    ("frame relay, Cisco's form", 107, [0x18, 0x41, 8, 0], .ip(offset: 4, .unknown)),
    ("frame relay, SNAP", 107, [0x18, 0x41, 3, 0, 0x80, 0, 0, 0, 8, 0], .ip(offset: 10, .unknown)),
    ("classical IP over ATM", 100, [0xaa, 0xaa, 3, 0, 0, 0, 8, 0], .ip(offset: 8, .unknown)),
    (
      "802.11 data", 105, [8, 1] + [UInt8](repeating: 0, count: 22) + [0xaa, 0xaa, 3, 0, 0, 0, 8, 0],
      .ip(offset: 32, .unknown)
    ),
    ("802.11 data, encrypted", 105, [8, 0x41] + [UInt8](repeating: 0, count: 30), .notIP),
    ("802.11 beacon", 105, [0x80, 0] + [UInt8](repeating: 0, count: 30), .notIP),
    (
      "radiotap and 802.11 with QoS", 127,
      [0, 0, 9, 0, 0, 0, 0, 0, 0] + [0x88, 1] + [UInt8](repeating: 0, count: 24) + [0xaa, 0xaa, 3, 0, 0, 0, 8, 0],
      .ip(offset: 43, .unknown)
    ),
    ("NFLOG, little-endian", 239, [2, 0, 0, 0, 5, 0, 10, 0, 0, 0, 0, 0, 24, 0, 9, 0], .ip(offset: 16, .unknown)),
    ("NFLOG with an attribute of no length", 239, [2, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0], .notIP),
    ("USB", 220, [1, 2, 3], .unsupportedLink),
    ("an interface nobody described", .max, [1, 2, 3], .unsupportedLink),
  ]

  @Test(arguments: rows.indices) func `The IP header is found`(_ index: Int) {
    let (name, link, frame, expected) = Self.rows[index]
    #expect(Self.locate(frame, link) == expected, "\(name)")
  }

  @Test(arguments: rows.indices) func `A frame cut anywhere traps nowhere, and no offset is beyond it`(_ index: Int) {
    let (name, link, frame, _) = Self.rows[index]
    for length in 0..<frame.count {
      switch Self.locate(Array(frame.prefix(length)), link) {
      case .ip(let offset, _): #expect(offset <= length, "\(name) cut to \(length)")
      default: break
      }
    }
  }

  @Test func `Random frames of every link type trap nowhere`() {
    var state: UInt64 = 42
    func random() -> UInt8 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 56)
    }
    for link: UInt32 in 0...300 {
      for _ in 0..<200 {
        let frame = (0..<Int(random() % 64)).map { _ in random() }
        if case .ip(let offset, _) = Self.locate(frame, link) { #expect(offset <= frame.count) }
      }
    }
  }
}
