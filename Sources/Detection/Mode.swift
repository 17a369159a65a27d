import Wire

/// How one protocol is watched.
package enum Mode: UInt8, Sendable, BitwiseCopyable, CaseIterable {
  /// Real sockets on the trigger ports; an accepted connection or a datagram is an event.
  case connect
  /// Packets to the trigger ports.
  case stealth
  /// Packets to every unused port below a bound.
  case advanced

  /// The name in PortSentry 1.2: `tcp stcp atcp udp sudp audp`; also its `$MODE$`.
  package func classicName(_ transport: TransportProtocol) -> String {
    let base = transport == .tcp ? "tcp" : "udp"
    return switch self {
    case .connect: base
    case .stealth: "s" + base
    case .advanced: "a" + base
    }
  }

  /// The name in PortSentry 2.x, which knows two: `connect` and `stealth`; also its `$MODE$`.
  package var modernName: String { self == .connect ? "connect" : "stealth" }
}
