import Wire

extension Detector {
  /// How one protocol is watched by packet capture.
  package struct Watch: Sendable, Equatable {
    /// `.stealth` or `.advanced`.
    package var mode: Mode
    /// The ports that raise an event where nothing serves them.
    package var ports: PortSet

    package init(mode: Mode, ports: PortSet) {
      self.mode = mode
      self.ports = ports
    }
  }

  package struct Settings: Sendable, Equatable {
    // MARK: The classic rule

    /// nil: TCP is left alone, or watched by real sockets.
    package var tcp: Watch?
    package var udp: Watch?
    /// SCAN_TRIGGER, 0 and up: the response begins at this probe of a source; 0 and 1 both mean the first. A higher value
    /// forgives a wrong port number and gives a scanner as many probes.
    package var scanTrigger = 0
    /// 1.2 ran a process for each mode and counted apart; 2.x counts TCP and UDP together.
    package var countsModesApart = false
    /// Whether a question whose checksum waits for a network card counts once this host has answered it. Live the kernel says which
    /// checksums are right; a capture file does not, and most such packets were sent by the host that captured.
    package var believesAnswered = false
    /// The kernel's ports for outgoing connections (`net.ipv4.ip_local_port_range`). A bare ACK or FIN/ACK there is
    /// the tail of a connection of ours far more often than a scan.
    package var ephemeralPorts: ClosedRange<UInt16> = 32768...60999
    /// Whether packets without any listener count although a service is there (`-S`, 2.x).
    package var checksServices = true

    // MARK: The native rule

    /// The ports that the native rule judges, besides those watched.
    package var nativeTCP = PortSet()
    package var nativeUDP = PortSet()
    /// Whether ICMP, SCTP and other protocols are judged.
    package var judgesOtherProtocols = false
    /// The sum of evidence that makes a verdict, in thousandths of a nat. 4,595 is ln 99: of a hundred sources that reach
    /// it one is honest, if the weights are right (Jung et al. 2004, P_D 0.99, P_F 0.01). Lower finds sooner and accuses more.
    package var threshold: Int32 = 4595
    /// How many sources are remembered, 128 bytes each. More sees slower scans through denser noise.
    package var sourceCapacity = 131_072

    /// How many first packets may wait for what becomes of them, about 150 bytes each; a power of two up to 65,536. In a
    /// capture all of three seconds; of a live host's only those to services.
    package var flowCapacity = 4096
    /// Whether the kernel can be asked if a connection to a service exists (`Detector.takeQuestions`), and what serves a port
    /// (`Detector.takeUnanswered`). Not of a capture.
    package var asksForConnections = false
    /// How long a live host may take over an answer before the kernel is asked, in nanoseconds. Its own TCP answers within
    /// microseconds; what is silent is a firewall, or a service behind a translation that is further away.
    package static let answerPatience: Int64 = 4_000_000
    /// How many questions may wait for that. Of more, each is looked into at once.
    package static let answerCapacity = 4096
    /// Ports that our own listeners hold open for scanners (connect mode): services that nobody has business with.
    package var traps = PortSet()

    package init() {}

    package func watch(_ transport: TransportProtocol) -> Watch? { transport == .tcp ? tcp : udp }
  }

  /// Why a packet that the kernel let through accused nobody.
  package enum Dismissal: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// Sent by us: remembered, not judged.
    case outgoing
    /// A wrong checksum: our own kernel drops it too.
    case wrongChecksum
    /// Not to an address of this host.
    case notOurs
    /// Carries RST, or SYN and ACK: an answer to something. Likewise a datagram that is one by its looks.
    case answer
    /// To a port that is not watched.
    case notWatched
    /// A service or a connection is there.
    case served
    /// Late answer to, or tail of, a flow of ours.
    case ownFlow
    /// A bare ACK or FIN/ACK that has the marks of a real connection: options, payload, a port served lately.
    case straggler
    /// From an address that cannot be anybody's: 0.0.0.0, multicast, broadcast, loopback from outside.
    case impossibleSource
    /// The last hop of a traceroute: a datagram to its ports that hardly got here.
    case traceroute
    /// ICMP, and other protocols that are in daily use.
    case otherProtocol
    /// One of a flood, to a port that no mode watches: told of as a whole.
    case flood

    package var reason: String {
      switch self {
      case .outgoing: "sent by this host"
      case .wrongChecksum: "wrong checksum"
      case .notOurs: "not to this host"
      case .answer: "an answer (RST, SYN/ACK, reflected datagram)"
      case .notWatched: "port not watched"
      case .served: "a service is there"
      case .ownFlow: "belongs to a flow of ours"
      case .straggler: "tail of a closed connection"
      case .impossibleSource: "impossible source address"
      case .traceroute: "traceroute"
      case .otherProtocol: "other protocols"
      case .flood: "part of a flood"
      }
    }
  }
}
