import Wire

/// How a probe was made, by nmap's names.
package enum Technique: UInt8, Sendable, BitwiseCopyable, CaseIterable {
  /// A connection that was accepted (connect modes).
  case connect
  case syn
  case fin
  case null
  case xmas
  /// FIN and ACK (Uriel Maimon, Phrack 49): both predecessors miss it.
  case maimon
  /// A bare ACK. nmap's Window scan sends the same packet and differs only in how it reads the answer.
  case ack
  /// Any other set of flags.
  case oddFlags
  case udp
  /// An SCTP INIT chunk (nmap -sY).
  case sctpInit
  /// An SCTP COOKIE ECHO chunk without an association (nmap -sZ).
  case sctpCookieEcho
  /// An IP protocol number tried (nmap -sO).
  case ipProtocol
  /// An ICMP request: echo, timestamp, address mask (nmap -PE -PP -PM).
  case icmp
  /// A connection that an FTP server was made to open (nmap -b): from port 20, by an ordinary kernel.
  case ftpBounce
  /// Packets made to see how a stack answers (nmap -O).
  case osDetection
  /// Words to services found in the same scan (nmap -sV, banner grabbers).
  case versionProbe

  /// The technique of a segment's flags. The order of the tests is that of PortSentry 1.2.
  package init(flags: TCPFlags) {
    // ECE and CWR are congestion signals (RFC 3168) and no part of the test.
    let f = flags.subtracting(.congestion)
    if f.isEmpty {
      self = .null
    } else if f.isSuperset(of: .xmas), !f.contains(.ack), !f.contains(.rst) {
      self = .xmas
    } else if f == .fin {
      self = .fin
    } else if f == .syn {
      self = .syn
    } else if f == .ack {
      self = .ack
    } else if f == .finAck {
      self = .maimon
    } else {
      self = .oddFlags
    }
  }

  /// A short lower-case name for `--json`.
  package var name: String {
    switch self {
    case .connect: "connect"
    case .syn: "syn"
    case .fin: "fin"
    case .null: "null"
    case .xmas: "xmas"
    case .maimon: "maimon"
    case .ack: "ack"
    case .oddFlags: "odd-flags"
    case .udp: "udp"
    case .sctpInit: "sctp-init"
    case .sctpCookieEcho: "sctp-cookie-echo"
    case .ipProtocol: "ip-protocol"
    case .icmp: "icmp"
    case .ftpBounce: "ftp-bounce"
    case .osDetection: "os-detection"
    case .versionProbe: "version-probe"
    }
  }
}

/// Several techniques.
package struct TechniqueSet: OptionSet, Hashable, Sendable, BitwiseCopyable {
  package var rawValue: UInt16
  package init(rawValue: UInt16) { self.rawValue = rawValue }
  package init(_ technique: Technique) { rawValue = 1 << UInt16(technique.rawValue) }

  /// The members in the order of `Technique`.
  package var techniques: [Technique] { Technique.allCases.filter { contains(TechniqueSet($0)) } }
}
