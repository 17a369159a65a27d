import Detection
import Wire

/// Connections that rest on a SYN cookie: one may have been guessed in somebody else's name, two have not.
///
/// A right guess costs some 2^29 packets, a second one for the same address within the hour as many again. The second has to be another
/// connection, by its ports: an ACK that was right once is right again for two minutes. Pure: time is passed in.
package struct CookieContacts: Sendable {
  /// Sources that are waited for; of more the oldest is forgotten, and needs two anew.
  package static let capacity = 4_096

  private struct First {
    let sourcePort: UInt16
    let port: UInt16
    let time: Timestamp
  }

  private var first: [IPAddress: First] = [:]
  private var order: [IPAddress] = []
  private var next = 0

  package init() {}

  package var count: Int { first.count }

  /// Takes note of such a connection.
  ///
  /// - Returns: whether it proves its source: another one came within the hour before it.
  package mutating func proves(
    _ source: IPAddress, from sourcePort: UInt16, to port: UInt16, at time: Timestamp
  ) -> Bool {
    if let known = first[source], (time - known.time).wholeNanoseconds <= Suspects.window.wholeNanoseconds {
      return (known.sourcePort, known.port) != (sourcePort, port)
    }
    if first.updateValue(First(sourcePort: sourcePort, port: port, time: time), forKey: source) == nil { keep(source) }
    return false
  }

  private mutating func keep(_ source: IPAddress) {
    if order.count < Self.capacity { return order.append(source) }
    first[order[next]] = nil
    order[next] = source
    next = (next + 1) % Self.capacity
  }
}
