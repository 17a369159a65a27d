import Wire

/// One packet or connection that touched what nothing serves. The classic rule counts those that `isWatched`; the journal
/// keeps them all.
package struct Probe: Sendable, BitwiseCopyable {
  package var time: Timestamp
  /// The address it came from: a claim, not a proof, unless `technique` is `.connect` over TCP.
  package var source: IPAddress
  package var sourcePort: UInt16
  package var target: IPAddress
  /// For `.ipProtocol` the protocol's number, for `.icmp` the message type.
  package var targetPort: UInt16
  /// Says nothing where the technique is of another protocol (`protocolName`).
  package var transport: TransportProtocol
  package var mode: Mode
  package var technique: Technique
  /// As received; for the text of `.oddFlags`.
  package var flags: TCPFlags
  package var hasIPOptions: Bool
  /// Whether its source has reached SCAN_TRIGGER with this probe.
  package var isTriggered: Bool
  /// Whether the ignore file names its source; set where that file is known, after detection.
  package var isIgnored: Bool
  /// Whether this host sent it to itself. Such a probe is never answered.
  package var isOwnAddress: Bool
  /// Whether the modes in force watch its port: then it is an alert in the words of the predecessors.
  package var isWatched = true
  /// Of `.connect`: it rests on a SYN cookie, which an ACK in somebody else's name may hit by chance.
  package var isGuessable = false
  /// What this host answered, as far as that was seen.
  package var answer = Answer.unknown
  /// Of which families its port is whose services are here, and of which of these its source uses one: for the classic rule.
  package var asked: ServiceFamilies = []
  package var used: ServiceFamilies = []

  package enum Answer: UInt8, Sendable, BitwiseCopyable {
    case unknown
    /// A decoy's SYN/ACK.
    case decoy
    case reset
    /// Nothing, in `Detector.Settings.answerPatience`.
    case silence
  }

  package init(
    time: Timestamp, source: IPAddress, sourcePort: UInt16, target: IPAddress, targetPort: UInt16,
    transport: TransportProtocol, mode: Mode, technique: Technique, flags: TCPFlags = [], hasIPOptions: Bool = false,
    isTriggered: Bool = true, isIgnored: Bool = false, isOwnAddress: Bool = false
  ) {
    self.time = time
    self.source = source
    self.sourcePort = sourcePort
    self.target = target
    self.targetPort = targetPort
    self.transport = transport
    self.mode = mode
    self.technique = technique
    self.flags = flags
    self.hasIPOptions = hasIPOptions
    self.isTriggered = isTriggered
    self.isIgnored = isIgnored
    self.isOwnAddress = isOwnAddress
  }

  /// `TCP`, `UDP`, `SCTP`, `ICMP`, or `IP` for a protocol's number.
  package var protocolName: String {
    switch technique {
    case .sctpInit, .sctpCookieEcho: "SCTP"
    case .ipProtocol: "IP"
    case .icmp: "ICMP"
    default: transport.name
    }
  }
}
