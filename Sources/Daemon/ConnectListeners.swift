import CLinux
import Detection
import Platform
import Wire

/// Real sockets on the trigger ports (connect mode): whoever is accepted has proven its address.
///
/// One dual-stack socket for each port, so IPv4 and IPv6 come together; IPv4 alone where the kernel has no IPv6.
struct ConnectListeners: ~Copyable {
  private struct Listener {
    let transport: TransportProtocol
    let port: UInt16
  }

  private let epoll: FileDescriptor
  private var listeners: [Int32: Listener] = [:]
  /// UDP answers are bounded, as the asker's address may be forged: this many in a second for all together.
  private var bannersLeft = 0
  private var bannersSecond: Int64 = 0
  private static let bannersPerSecond = 20

  init() throws(Errno) {
    epoll = FileDescriptor(owning: try check("epoll_create1") { epoll_create1(Int32(CLinux_EPOLL_CLOEXEC)) })
  }

  deinit {
    for fd in listeners.keys { close(fd) }
  }

  var descriptor: Int32 { epoll.raw }
  var isEmpty: Bool { listeners.isEmpty }

  /// Opens and closes sockets until just these ports are listened on.
  ///
  /// - Returns: the ports that could not be opened.
  mutating func listen(_ transport: TransportProtocol, _ ports: PortSet) -> [(port: UInt16, error: Errno)] {
    var failures: [(port: UInt16, error: Errno)] = []
    var open = PortSet()
    for (fd, listener) in listeners where listener.transport == transport {
      if ports.contains(listener.port) {
        open.insert(listener.port)
      } else {
        close(fd)
        listeners[fd] = nil
      }
    }
    for port in ports.subtracting(open).ports {
      do throws(Errno) {
        let fd = try Self.open(transport, port)
        var event = unsafe epoll_event()
        unsafe event.events = EPOLLIN.rawValue
        unsafe event.data.fd = fd
        guard unsafe epoll_ctl(epoll.raw, EPOLL_CTL_ADD, fd, &event) == 0 else {
          let error = Errno.last("epoll_ctl")
          close(fd)
          throw error
        }
        listeners[fd] = Listener(transport: transport, port: port)
      } catch {
        failures.append((port, error))
      }
    }
    return failures
  }

  private static func open(_ transport: TransportProtocol, _ port: UInt16) throws(Errno) -> Int32 {
    let type = (transport == .tcp ? CLinux_SOCK_STREAM : CLinux_SOCK_DGRAM) | CLinux_SOCK_NONBLOCK
    let subject = "\(transport.name) port \(port)"
    var file: FileDescriptor
    let hasV6: Bool
    do throws(Errno) {
      file = try FileDescriptor.socket(AF_INET6, type, 0)
      hasV6 = true
    } catch {
      guard error.code == EAFNOSUPPORT else { throw error }
      file = try FileDescriptor.socket(AF_INET, type, 0)
      hasV6 = false
    }
    // TIME_WAIT left by our own last detection must not keep the port closed (1.2 did that for a minute).
    if transport == .tcp { try file.setOption(SOL_SOCKET, SO_REUSEADDR, 1) }
    if hasV6 {
      try file.setOption(Int32(IPPROTO_IPV6), IPV6_V6ONLY, 0)
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      try check("bind", subject) {
        unsafe CLinux_bind(file.raw, &address, socklen_t(MemoryLayout<sockaddr_in6>.size))
      }
    } else {
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      try check("bind", subject) {
        unsafe CLinux_bind(file.raw, &address, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    if transport == .tcp {
      try file.setOption(Int32(IPPROTO_TCP), TCP_SAVE_SYN, 1)
      try check("listen", subject) { CLinux.listen(file.raw, 64) }
    }
    return file.release()
  }

  /// Accepts what is waiting, at most 256 events a call, and makes each a connect probe.
  ///
  /// - Parameter banner: sent to whoever `deserves` it.
  mutating func accept(
    banner: String?, deserves: (IPAddress) -> Bool, _ body: (Probe) -> Void
  ) {
    var events = unsafe [epoll_event](repeating: epoll_event(), count: 64)
    let count = unsafe epoll_wait(epoll.raw, &events, 64, 0)
    guard count > 0 else { return }
    let ready = unsafe events.prefix(Int(count)).map { unsafe $0.data.fd }
    for fd in ready {
      guard let listener = listeners[fd] else { continue }
      for _ in 0..<4 {
        guard
          let probe = listener.transport == .tcp
            ? acceptTCP(fd, listener, banner, deserves)
            : receiveUDP(fd, listener, banner, deserves)
        else { break }
        body(probe)
      }
    }
  }

  private func acceptTCP(
    _ fd: Int32, _ listener: Listener, _ banner: String?, _ deserves: (IPAddress) -> Bool
  ) -> Probe? {
    var peer = sockaddr_in6()
    var size = socklen_t(MemoryLayout<sockaddr_in6>.size)
    let raw = unsafe CLinux_accept(fd, &peer, &size, CLinux_SOCK_NONBLOCK | CLinux_SOCK_CLOEXEC)
    guard raw >= 0 else { return nil }
    let connection = FileDescriptor(owning: raw)
    guard let (source, sourcePort) = SocketAddress.endpoint(peer) else { return nil }
    var local = sockaddr_in6()
    size = socklen_t(MemoryLayout<sockaddr_in6>.size)
    unsafe CLinux_getsockname(connection.raw, &local, &size)
    let target = SocketAddress.endpoint(local)?.address ?? .unspecifiedV4
    if let banner, deserves(source) {
      let bytes = banner.preservedBytes
      unsafe bytes.withUnsafeBytes { bytes in
        _ = unsafe send(connection.raw, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
      }
      shutdown(connection.raw, Int32(SHUT_WR))
    }
    var probe = Probe(
      time: Clock.now, source: source, sourcePort: sourcePort, target: target, targetPort: listener.port,
      transport: .tcp, mode: .connect, technique: .connect)
    probe.isGuessable = !SavedSYN.isThere(connection.raw)
    return probe
  }

  private mutating func receiveUDP(
    _ fd: Int32, _ listener: Listener, _ banner: String?, _ deserves: (IPAddress) -> Bool
  ) -> Probe? {
    var peer = sockaddr_in6()
    var size = socklen_t(MemoryLayout<sockaddr_in6>.size)
    var byte: UInt8 = 0
    let length = unsafe CLinux_recvfrom(fd, &byte, 1, Int32(MSG_DONTWAIT | MSG_TRUNC), &peer, &size)
    guard length >= 0, let (source, sourcePort) = SocketAddress.endpoint(peer) else { return nil }
    let now = Clock.now
    if now.seconds != bannersSecond {
      bannersSecond = now.seconds
      bannersLeft = Self.bannersPerSecond
    }
    if let banner, bannersLeft > 0, deserves(source) {
      bannersLeft -= 1
      let bytes = banner.preservedBytes
      unsafe bytes.withUnsafeBytes { bytes in
        _ = unsafe CLinux_sendto(fd, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT), &peer, size)
      }
    }
    return Probe(
      time: now, source: source, sourcePort: sourcePort, target: source.isV4 ? .unspecifiedV4 : .unspecified,
      targetPort: listener.port, transport: .udp, mode: .connect, technique: .connect)
  }
}
