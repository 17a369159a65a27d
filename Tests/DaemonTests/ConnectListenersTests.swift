import CLinux
import Detection
import Platform
import TestSupport
import Testing
import Wire

@testable import Daemon

/// Connect mode's sockets, with clients on loopback.
@Suite struct ConnectListenersTests {
  private let here = IPAddress("127.0.0.1")!

  private static func loopback(_ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
  }

  private static let size = socklen_t(MemoryLayout<sockaddr_in>.size)

  /// A port that was free a moment ago.
  private func freePort(_ type: Int32) throws -> UInt16 {
    let file = try FileDescriptor.socket(AF_INET, type, 0)
    var address = Self.loopback(0)
    try check("bind") { unsafe CLinux_bind(file.raw, &address, Self.size) }
    var bound = sockaddr_in6()
    var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    try check("getsockname") { unsafe CLinux_getsockname(file.raw, &bound, &length) }
    return try #require(SocketAddress.endpoint(bound)).port
  }

  private func client(_ type: Int32, _ port: UInt16) throws(Errno) -> FileDescriptor {
    let file = try FileDescriptor.socket(AF_INET, type, 0)
    var timeout = timeval(tv_sec: 20, tv_usec: 0)
    unsafe setsockopt(file.raw, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    var address = Self.loopback(port)
    try check("connect") { unsafe CLinux_connect(file.raw, &address, Self.size) }
    return file
  }

  /// What comes in, until there is as much of it.
  private func accept(
    _ listeners: inout ConnectListeners, _ count: Int, banner: String? = nil, deserves: Bool = true
  ) -> [Probe] {
    var probes: [Probe] = []
    let end = Clock.monotonic + 20_000_000_000
    while probes.count < count, Clock.monotonic < end {
      _ = Poll.readable([listeners.descriptor], milliseconds: 1_000)
      listeners.accept(banner: banner, deserves: { _ in deserves }) { probes.append($0) }
    }
    return probes
  }

  @Test func `Whoever connects is a probe with his address, and gets the banner if he deserves it`() throws {
    var listeners = try ConnectListeners()
    let port = try freePort(CLinux_SOCK_STREAM)
    #expect(listeners.listen(.tcp, PortSet(ranges: [port...port])).isEmpty)
    for deserves in [true, false] {
      let client = try client(CLinux_SOCK_STREAM, port)
      let probes = accept(&listeners, 1, banner: "go away\n", deserves: deserves)
      let probe = try #require(probes.first)
      #expect(probe.source == here && probe.target == here && probe.targetPort == port)
      #expect(probe.mode == .connect && probe.technique == .connect && probe.transport == .tcp)
      #expect(!probe.isGuessable, "no cookie was at work")
      let bytes = try client.read(upTo: 100)
      #expect(String(decoding: bytes, as: UTF8.self) == (deserves ? "go away\n" : ""))
    }
  }

  @Test func `A port that is not wanted any more is closed, the others stay open`() throws {
    var listeners = try ConnectListeners()
    let (first, second) = (try freePort(CLinux_SOCK_STREAM), try freePort(CLinux_SOCK_STREAM))
    try #require(first != second)
    _ = listeners.listen(.tcp, PortSet(ranges: [first...first, second...second]))
    _ = listeners.listen(.tcp, PortSet(ranges: [second...second]))
    #expect(throws: Errno.self) { _ = try client(CLinux_SOCK_STREAM, first) }
    _ = try client(CLinux_SOCK_STREAM, second)
    #expect(accept(&listeners, 1).map(\.targetPort) == [second])
    _ = listeners.listen(.tcp, PortSet())
    let isEmpty = listeners.isEmpty
    #expect(isEmpty)
  }

  @Test func `A port in use is told, and the rest listened on`() throws {
    let taken = try FileDescriptor.socket(AF_INET, CLinux_SOCK_STREAM, 0)
    let (busy, free) = (try freePort(CLinux_SOCK_STREAM), try freePort(CLinux_SOCK_STREAM))
    try #require(busy != free)
    var address = Self.loopback(busy)
    try check("bind") { unsafe CLinux_bind(taken.raw, &address, Self.size) }
    try check("listen") { listen(taken.raw, 1) }
    var listeners = try ConnectListeners()
    let failures = listeners.listen(.tcp, PortSet(ranges: [busy...busy, free...free]))
    #expect(failures.map(\.port) == [busy] && failures.map(\.error.code) == [EADDRINUSE])
    _ = try client(CLinux_SOCK_STREAM, free)
    #expect(accept(&listeners, 1).count == 1)
  }

  @Test func `Datagrams are probes, and few of them are answered, since their sender may be forged`() throws {
    var listeners = try ConnectListeners()
    let port = try freePort(CLinux_SOCK_DGRAM)
    #expect(listeners.listen(.udp, PortSet(ranges: [port...port])).isEmpty)
    let client = try client(CLinux_SOCK_DGRAM, port)
    let begin = Clock.now.seconds
    for _ in 0..<100 { try client.writeAll([1]) }
    let probes = accept(&listeners, 100, banner: "go away\n")
    #expect(probes.count == 100 && probes.allSatisfy { $0.source == here && $0.transport == .udp })
    let seconds = Int(Clock.now.seconds - begin) + 1
    var answers = 0
    var buffer = [UInt8](repeating: 0, count: 64)
    while unsafe recv(client.raw, &buffer, buffer.count, Int32(MSG_DONTWAIT)) > 0 { answers += 1 }
    #expect((20...20 * seconds).contains(answers), "\(answers) in \(seconds) s")
  }

  @Test func `A SYN is kept where the listener asked for it, and only there`() throws {
    for isKept in [true, false] {
      let listener = try FileDescriptor.socket(AF_INET, CLinux_SOCK_STREAM, 0)
      var address = Self.loopback(0)
      try check("bind") { unsafe CLinux_bind(listener.raw, &address, Self.size) }
      if isKept { try listener.setOption(Int32(IPPROTO_TCP), TCP_SAVE_SYN, 1) }
      try check("listen") { listen(listener.raw, 1) }
      var bound = sockaddr_in6()
      var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
      try check("getsockname") { unsafe CLinux_getsockname(listener.raw, &bound, &length) }
      let client = try client(CLinux_SOCK_STREAM, try #require(SocketAddress.endpoint(bound)).port)
      let raw = CLinux_accept(listener.raw, nil, nil, CLinux_SOCK_CLOEXEC)
      let connection = FileDescriptor(owning: try check("accept") { raw })
      #expect(SavedSYN.isThere(connection.raw) == isKept)
      _ = consume client
    }
  }
}
