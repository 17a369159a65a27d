import CLinux
import Configuration
import Platform
import Wire

/// Serves the page: one thread, one poll loop, a bounded number of clients, each with a deadline for what it has to do.
final class PageServer {
  /// Clients at a time. One more takes the place of whoever has been asking for longest without a whole request: nobody
  /// holds the page by saying nothing. Beyond, they wait in the kernel's queue, which holds as many again.
  static let clientLimit = 32
  /// Of those, at most so many that stay for news.
  static let followerLimit = 16
  /// From the first byte to the whole request, and from the answer to its last byte taken.
  private static let deadline: Int64 = 5_000_000_000
  /// What a follower has not taken of the news; beyond it it is let go.
  private static let backlog = 512 << 10

  /// What is to be done with a request.
  enum Answer {
    case once(HTTPResponse)
    /// Stays for news, which begin with this.
    case follow(first: String)
  }

  private struct Client {
    enum State { case asking, answering, following }

    let file: Owned<FileDescriptor>
    var state = State.asking
    var input: [UInt8] = []
    var output: [UInt8] = []
    var written = 0
    var due: Int64
  }

  private let listener: FileDescriptor
  private let socketPath: String?
  /// The same port of loopback's other family, bound and not served: nobody else is asked in our name.
  private var guardian: Owned<FileDescriptor>?
  private var clients: [Int32: Client] = [:]

  init(_ address: ListenAddress) throws(Errno) {
    switch address {
    case .tcp(let ip, let port):
      listener = try Self.listen(ip, port)
      socketPath = nil
      guardian = try? Owned(Self.bind(IPAddress(ip.isV4 ? "::1" : "127.0.0.1")!, port))
    case .unix(let path):
      listener = try Self.listen(path)
      socketPath = path
    }
  }

  deinit { if let socketPath { unsafe unlink(socketPath) } }

  private static func listen(_ ip: IPAddress, _ port: UInt16) throws(Errno) -> FileDescriptor {
    let file = try bind(ip, port, isShared: true)
    try check("listen", "\(ip) port \(port)") { CLinux.listen(file.raw, Int32(clientLimit)) }
    return file
  }

  private static func bind(_ ip: IPAddress, _ port: UInt16, isShared: Bool = false) throws(Errno) -> FileDescriptor {
    let file = try FileDescriptor.socket(ip.isV4 ? AF_INET : AF_INET6, CLinux_SOCK_STREAM | CLinux_SOCK_NONBLOCK, 0)
    // Not for what is only held: two that may share an address do so until one of them listens.
    if isShared { try file.setOption(SOL_SOCKET, SO_REUSEADDR, 1) }
    let name = "\(ip) port \(port)"
    if ip.isV4 {
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      address.sin_addr.s_addr = ip.v4Bits.bigEndian
      try check("bind", name) { unsafe CLinux_bind(file.raw, &address, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    } else {
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      let bytes = ip.bytes
      unsafe withUnsafeMutableBytes(of: &address.sin6_addr) { unsafe $0.copyBytes(from: bytes) }
      try check("bind", name) { unsafe CLinux_bind(file.raw, &address, socklen_t(MemoryLayout<sockaddr_in6>.size)) }
    }
    return file
  }

  private static func listen(_ path: String) throws(Errno) -> FileDescriptor {
    guard let address = UnixAddress(path) else { throw Errno(ENAMETOOLONG, "bind", path) }
    if let slash = path.lastByte("/"), slash > path.startIndex { try Files.createFolder(String(path[..<slash])) }
    let file = try FileDescriptor.socket(AF_UNIX, CLinux_SOCK_STREAM | CLinux_SOCK_NONBLOCK, 0)
    // One that nobody listens on any more is in the way; one that somebody does is his.
    let probe = try FileDescriptor.socket(AF_UNIX, CLinux_SOCK_STREAM, 0)
    if unsafe address.withPointer({ unsafe CLinux_connect(probe.raw, $0, $1) }) == 0 {
      throw Errno(EADDRINUSE, "bind", path)
    }
    unsafe unlink(path)
    // For its owner and root; a web server in front of it is given the right by the administrator.
    let mask = umask(0o117)
    let result = unsafe address.withPointer { unsafe CLinux_bind(file.raw, $0, $1) }
    let code = CLinux_errno()
    umask(mask)
    guard result == 0 else { throw Errno(code, "bind", path) }
    try check("listen", path) { CLinux.listen(file.raw, Int32(clientLimit)) }
    return file
  }

  var followers: Int { clients.values.count { $0.state == .following } }

  /// One turn: takes what has come, answers, writes as much as goes.
  ///
  /// - Parameter milliseconds: how long nothing may happen.
  func turn(milliseconds: Int32, _ answer: (HTTPRequest) -> Answer) {
    let now = Clock.monotonic
    var reading = clients.filter { $0.value.state != .answering }.map(\.key)
    if clients.count < Self.clientLimit || oldestAsking != nil { reading.append(listener.raw) }
    let writing = clients.filter { $0.value.written < $0.value.output.count }.map(\.key)
    let due = clients.values.filter { $0.state != .following || $0.written < $0.output.count }.map(\.due).min()
    let wait = due.map { min(Int64(milliseconds), max(0, ($0 - now) / 1_000_000 + 1)) } ?? Int64(milliseconds)
    let ready = Poll.ready(reading: reading, writing: writing, milliseconds: Int32(wait))
    for fd in ready.reading {
      if fd == listener.raw { acceptAll() } else { read(fd, answer) }
    }
    for fd in ready.writing { write(fd) }
    let after = Clock.monotonic
    for (fd, client) in clients where client.due <= after {
      switch client.state {
      case .asking:
        refuse(fd, 408)
        clients[fd] = nil
      case .answering: clients[fd] = nil
      case .following: if client.written < client.output.count { clients[fd] = nil }
      }
    }
  }

  /// Who has been asking for longest without a whole request.
  private var oldestAsking: Int32? {
    clients.filter { $0.value.state == .asking }.min { $0.value.due < $1.value.due }?.key
  }

  private func acceptAll() {
    // A few a turn, so that who comes with a request is heard before many others make him the oldest.
    for _ in 0..<Self.clientLimit / 4 {
      guard clients.count < Self.clientLimit || oldestAsking != nil else { return }
      let raw = CLinux_accept(listener.raw, nil, nil, CLinux_SOCK_CLOEXEC | CLinux_SOCK_NONBLOCK)
      guard raw >= 0 else { return }
      if clients.count >= Self.clientLimit, let oldest = oldestAsking { clients[oldest] = nil }
      clients[raw] = Client(file: Owned(FileDescriptor(owning: raw)), due: Clock.monotonic + Self.deadline)
    }
  }

  private func read(_ fd: Int32, _ answer: (HTTPRequest) -> Answer) {
    guard let client = clients[fd] else { return }
    let bytes: [UInt8]
    do throws(Errno) { bytes = try client.file.value.read(upTo: 8192) } catch {
      if error.code != EAGAIN { clients[fd] = nil }
      return
    }
    // The end; of a follower nothing else is expected.
    if bytes.isEmpty || client.state == .following {
      clients[fd] = nil
      return
    }
    clients[fd]?.input += bytes
    switch HTTPRequest.parse(clients[fd]?.input ?? []) {
    case .incomplete: return
    case .refused(let status): refuse(fd, status)
    case .request(let request):
      clients[fd]?.input = []
      switch answer(request) {
      case .once(let response): send(fd, response.bytes(withBody: request.method != .head))
      case .follow(let first):
        guard followers < Self.followerLimit else { return refuse(fd, 503) }
        clients[fd]?.state = .following
        clients[fd]?.output = HTTPResponse(200, .events).bytes() + Array(first.utf8)
        clients[fd]?.due = Clock.monotonic + Self.deadline
        write(fd)
      }
    }
  }

  private func refuse(_ fd: Int32, _ status: Int) {
    send(fd, HTTPResponse(status, .text, "\(status) \(HTTPResponse.reason(status))\n").bytes())
  }

  private func send(_ fd: Int32, _ bytes: [UInt8]) {
    clients[fd]?.state = .answering
    clients[fd]?.output = bytes
    clients[fd]?.written = 0
    clients[fd]?.due = Clock.monotonic + Self.deadline
    write(fd)
  }

  private func write(_ fd: Int32) {
    guard var client = clients[fd] else { return }
    while client.written < client.output.count {
      let count = unsafe client.output.withUnsafeBytes {
        unsafe CLinux.send(
          fd, $0.baseAddress! + client.written, $0.count - client.written,
          Int32(CLinux_MSG_NOSIGNAL | CLinux_MSG_DONTWAIT))
      }
      if count < 0 {
        if CLinux_errno() == EINTR { continue }
        if CLinux_errno() != EAGAIN {
          clients[fd] = nil
          return
        }
        clients[fd] = client
        return
      }
      client.written += count
    }
    if client.state == .answering {
      // The last bytes are on their way; what the client still sends is of no interest.
      shutdown(fd, Int32(SHUT_WR))
      clients[fd] = nil
      return
    }
    client.output = []
    client.written = 0
    clients[fd] = client
  }

  /// Sends news to all followers.
  func publish(_ text: String) {
    let bytes = Array(text.utf8)
    for (fd, client) in clients where client.state == .following {
      guard client.output.count - client.written + bytes.count <= Self.backlog else {
        clients[fd] = nil
        continue
      }
      if client.output.isEmpty { clients[fd]?.due = Clock.monotonic + Self.deadline }
      clients[fd]?.output += bytes
      write(fd)
    }
  }
}
