import Memory
import Wire

/// Who wants to know of a touch of each port: `Detector.Settings`, laid out for the packet path.
struct Interests: ~Copyable {
  struct Interest: OptionSet, BitwiseCopyable {
    var rawValue: UInt8 = 0
    /// The classic rule.
    static let watched = Interest(rawValue: 1)
    static let native = Interest(rawValue: 2)
  }

  private var table = Slab<UInt8>(count: 131_072)

  init(_ settings: Detector.Settings) {
    for transport in TransportProtocol.allCases {
      insert(transport, settings.watch(transport)?.ports ?? PortSet(), .watched)
      insert(transport, transport == .tcp ? settings.nativeTCP : settings.nativeUDP, .native)
    }
  }

  private static func index(_ transport: TransportProtocol, _ port: UInt16) -> Int {
    Int(port) | (transport == .udp ? 65_536 : 0)
  }

  private mutating func insert(_ transport: TransportProtocol, _ ports: PortSet, _ interest: Interest) {
    for range in ports.ranges {
      for port in range { table[Self.index(transport, port)] |= interest.rawValue }
    }
  }

  @inline(__always)
  subscript(transport: TransportProtocol, port: UInt16) -> Interest {
    Interest(rawValue: table[Self.index(transport, port)])
  }
}
