import Wire

/// A connection that was completed with a decoy: its source received our SYN/ACK, and so is where it says.
package struct Contact: Sendable, BitwiseCopyable {
  package var time: Timestamp
  package var source: IPAddress
  package var sourcePort: UInt16
  package var target: IPAddress
  /// The port that looked open.
  package var port: UInt16
  /// It rests on a SYN cookie, which an ACK hits by chance once in 2^29.
  package var isGuessable: Bool

  package init(
    time: Timestamp, source: IPAddress, sourcePort: UInt16, target: IPAddress, port: UInt16, isGuessable: Bool = false
  ) {
    self.time = time
    self.source = source
    self.sourcePort = sourcePort
    self.target = target
    self.port = port
    self.isGuessable = isGuessable
  }
}
