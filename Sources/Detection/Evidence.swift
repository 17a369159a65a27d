/// One reason that speaks for or against a source being a scanner, with its weight.
///
/// Weights are log likelihood ratios in thousandths of a nat: what a scanner does often and an honest host seldom is
/// positive. They add up to the score of a `Verdict`.
package struct Evidence: Sendable, BitwiseCopyable, Equatable {
  package enum Kind: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// First touch of a port that nothing serves.
    case unusedPort
    /// Flags that no TCP sends to open or to carry on a connection.
    case oddFlags
    /// An ACK or FIN/ACK that belongs to no connection.
    case strayAck
    /// An IP protocol that this host does not speak.
    case unusedProtocol
    /// A search for hosts: an echo, timestamp or mask request to one more of our addresses.
    case hostProbe
    /// A service was asked by a SYN that no system's own TCP makes, and left without a word.
    case halfOpen
    /// A service was touched and left without a word.
    case silentTouch
    /// A conversation with a service, words in it: speaks for the source.
    case conversation
    /// The packet bears the marks of a scanning tool.
    case toolMarks
    /// Unused TCP ports beyond those that are told one by one.
    case furtherPorts

    package var name: String {
      switch self {
      case .unusedPort: "unused port"
      case .oddFlags: "odd flags"
      case .strayAck: "stray ack"
      case .unusedProtocol: "unused protocol"
      case .hostProbe: "host probe"
      case .halfOpen: "half-open service"
      case .silentTouch: "silent touch"
      case .conversation: "conversation"
      case .toolMarks: "tool marks"
      case .furtherPorts: "further unused ports"
      }
    }
  }

  package var kind: Kind
  package var technique: Technique
  /// The reason in words: "unused port, syn to port 23", "silent touches of 10 services".
  package var sentence: String {
    switch kind {
    case .silentTouch: "silent touches of \(port) services"
    case .furtherPorts: "further unused ports, \(technique.name)"
    case .unusedProtocol: "unused protocol \(port)"
    case .hostProbe: "host probe, \(technique.name) of type \(port)"
    default: "\(kind.name), \(technique.name) to port \(port)"
    }
  }

  /// The port touched; for `.ipProtocol` the protocol's number, for `.icmp` the message type, for `.silentTouch` how many services, for
  /// `.furtherPorts` 0.
  package var port: UInt16
  /// Thousandths of a nat; negative speaks for the source.
  package var weight: Int16

  package init(_ kind: Kind, _ technique: Technique, port: UInt16, weight: Int16) {
    self.kind = kind
    self.technique = technique
    self.port = port
    self.weight = weight
  }
}
