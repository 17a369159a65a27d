import Wire

/// A connection that was completed with a decoy: its source received our SYN/ACK, and so is where it says.
package struct Contact: Sendable, BitwiseCopyable {
  package var time: Timestamp
  package var source: IPAddress
  package var sourcePort: UInt16
  package var target: IPAddress
  /// The port that looked open.
  package var port: UInt16

  package init(time: Timestamp, source: IPAddress, sourcePort: UInt16, target: IPAddress, port: UInt16) {
    self.time = time
    self.source = source
    self.sourcePort = sourcePort
    self.target = target
    self.port = port
  }
}
