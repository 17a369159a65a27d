import Detection

/// A port as people speak of it: with its protocol, whatever the technique by which it was touched.
package struct PortName: Sendable, Hashable, Comparable {
  package enum Family: UInt8, Sendable, CaseIterable {
    case tcp, udp, sctp, icmp, ip
  }

  package var family: Family
  /// For ICMP the message type, for IP the protocol number. nil: all that are not counted one by one.
  package var port: UInt16?

  package init(_ family: Family, _ port: UInt16?) {
    self.family = family
    self.port = port
  }

  package init(_ technique: Technique, _ port: UInt16?) {
    family =
      switch technique {
      case .udp: .udp
      case .sctpInit, .sctpCookieEcho: .sctp
      case .icmp: .icmp
      case .ipProtocol: .ip
      case .connect, .syn, .fin, .null, .xmas, .maimon, .ack, .oddFlags, .ftpBounce, .osDetection, .versionProbe: .tcp
      }
    self.port = port
  }

  package static func < (a: PortName, b: PortName) -> Bool {
    (a.family.rawValue, a.port ?? .max) < (b.family.rawValue, b.port ?? .max)
  }
}

extension PortName: CustomStringConvertible {
  /// `23/tcp`, `others/udp`; for ICMP `icmp type 8`, for IP `protocol 47`.
  package var description: String {
    let number = port.map { "\($0)" } ?? "others"
    return switch family {
    case .icmp: "icmp type \(number)"
    case .ip: "protocol \(number)"
    default: "\(number)/\(family)"
    }
  }
}
