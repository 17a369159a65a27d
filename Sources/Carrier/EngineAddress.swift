import CLinux
import Platform
import Wire

/// Where an engine is: a Unix socket, or an address and a port. No names: a carrier that has given its rights up cannot look one up.
package enum EngineAddress: Equatable, Sendable, CustomStringConvertible {
  case unix(String)
  case tcp(IPAddress, port: UInt16)

  /// Reads `/run/redis/redis.sock`, `10.0.0.5:6379` or `[2001:db8::5]:6379`; nil for anything else.
  package init?(_ text: String) {
    if text.startsWithBytes("/") {
      guard text.utf8.count <= 107, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return nil }
      self = .unix(text)
      return
    }
    guard let colon = text.lastByte(":") else { return nil }
    let host = text[..<colon]
    let digits = text[text.utf8.index(after: colon)...]
    let isBracketed = host.startsWithBytes("[") && host.endsWithBytes("]")
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits), port > 0,
      let address = IPAddress(isBracketed ? Substring(host.utf8.dropFirst().dropLast()) : host),
      address.isV4 != isBracketed
    else { return nil }
    self = .tcp(address, port: port)
  }

  package var description: String {
    switch self {
    case .unix(let path): path
    case .tcp(let address, let port): address.isV4 ? "\(address):\(port)" : "[\(address)]:\(port)"
    }
  }

  /// Whether what is said to it without TLS stays on this host, or within networks that the administrator calls safe.
  package func isReachedSafely(permitting networks: IPNetworkSet) -> Bool {
    switch self {
    case .unix: true
    case .tcp(let address, _): address.isLoopback || networks.contains(address)
    }
  }

  /// A socket that has begun to connect, without waiting.
  func connect() throws(Errno) -> FileDescriptor {
    switch self {
    case .unix(let path):
      guard let address = UnixAddress(path) else { throw Errno(ENAMETOOLONG, "connect", path) }
      let file = try FileDescriptor.socket(AF_UNIX, CLinux_SOCK_STREAM | CLinux_SOCK_NONBLOCK, 0)
      try Self.begin("\(self)") { unsafe address.withPointer { unsafe CLinux_connect(file.raw, $0, $1) } }
      return file
    case .tcp(let address, let port):
      let file = try FileDescriptor.socket(
        address.isV4 ? AF_INET : AF_INET6, CLinux_SOCK_STREAM | CLinux_SOCK_NONBLOCK, 0)
      try file.setOption(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
      // An engine whose host is gone says nothing: the kernel finds out within half a minute.
      try file.setOption(SOL_SOCKET, SO_KEEPALIVE, 1)
      try file.setOption(Int32(IPPROTO_TCP), TCP_KEEPIDLE, 15)
      try file.setOption(Int32(IPPROTO_TCP), TCP_KEEPINTVL, 5)
      try file.setOption(Int32(IPPROTO_TCP), TCP_KEEPCNT, 3)
      if address.isV4 {
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_port = port.bigEndian
        unsafe withUnsafeMutableBytes(of: &place.sin_addr) { unsafe $0.copyBytes(from: address.bytes) }
        try Self.begin("\(self)") {
          unsafe CLinux_connect(file.raw, &place, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      } else {
        var place = sockaddr_in6()
        place.sin6_family = sa_family_t(AF_INET6)
        place.sin6_port = port.bigEndian
        unsafe withUnsafeMutableBytes(of: &place.sin6_addr) { unsafe $0.copyBytes(from: address.bytes) }
        try Self.begin("\(self)") {
          unsafe CLinux_connect(file.raw, &place, socklen_t(MemoryLayout<sockaddr_in6>.size))
        }
      }
      return file
    }
  }

  private static func begin(_ subject: String, _ call: () -> Int32) throws(Errno) {
    do throws(Errno) { try check("connect", subject, call) } catch {
      // It goes on by itself.
      if error.code != EINPROGRESS { throw error }
    }
  }
}
