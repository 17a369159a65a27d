import Wire

/// Where the page is served: to this host only, whatever is written.
package enum ListenAddress: Sendable, Equatable, CustomStringConvertible {
  /// A loopback address.
  case tcp(IPAddress, port: UInt16)
  /// A Unix socket, by its absolute path.
  case unix(String)

  /// Why a text names no such place.
  package enum Fault: Error, Equatable, Sendable {
    case form
    case notLoopback(IPAddress)
    case pathTooLong(Int)
  }

  /// Reads `127.0.0.1:8087`, `[::1]:8087`, `8087` (on 127.0.0.1) or `/run/portsentry/console.sock`.
  package init(_ text: String) throws(Fault) {
    if text.startsWithBytes("/") {
      // sun_path has 108 bytes with its final NUL, unix(7).
      guard text.utf8.count <= 107 else { throw .pathTooLong(text.utf8.count) }
      self = .unix(text)
      return
    }
    let host: Substring
    let digits: Substring
    if let colon = text.lastByte(":") {
      host = text[..<colon]
      digits = text[text.utf8.index(after: colon)...]
    } else {
      host = "127.0.0.1"
      digits = text[...]
    }
    let isBracketed = host.startsWithBytes("[") && host.endsWithBytes("]") && host.utf8.count >= 2
    guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits), port > 0,
      let address = host.isSameBytes(as: "localhost")
        ? IPAddress("127.0.0.1") : IPAddress(isBracketed ? Substring(host.utf8.dropFirst().dropLast()) : host),
      address.isV4 != isBracketed
    else { throw .form }
    guard address.isLoopback else { throw .notLoopback(address) }
    self = .tcp(address, port: port)
  }

  package var description: String {
    switch self {
    case .tcp(let address, let port): address.isV4 ? "\(address):\(port)" : "[\(address)]:\(port)"
    case .unix(let path): path
    }
  }
}
