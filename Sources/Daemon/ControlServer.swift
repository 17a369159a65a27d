import CLinux
import Platform
import Wire

/// The sentry's end of the control socket: a Unix socket that only its own user (and root) can open, and the page, where that is another's.
/// The kernel says who asks (SO_PEERCRED, unix(7)); the page's process has fewer words.
///
/// No call waits for a client. Each has one time limit for its request and one for taking its answer, which no byte puts off, and
/// a full table is no lock: whoever has waited longest makes room.
final class ControlServer {
  /// Clients at a time, whatever their user; one more takes the place of the one with the nearest time limit.
  static let clientLimit = 32
  /// From connecting to the whole request.
  private static let requestTime: Int64 = 2_000_000_000
  /// From the request to the last byte of the answer taken.
  private static let answerTime: Int64 = 30_000_000_000
  /// A request is a line of at most so many bytes.
  private static let requestLimit = 4096
  /// Answers not yet taken, of all clients; a client whose answer goes beyond it is let go.
  private static let backlog = 32 << 20
  /// Answering stops for this turn of the main loop after so long; the others are answered in the next.
  private static let turn: Int64 = 20_000_000

  /// Who the page is.
  struct Page: Equatable {
    /// Its process; it can start no other.
    var pid: pid_t?
    /// Its user, where that is not ours.
    var user: uid_t?
  }

  private struct Client {
    let file: Owned<FileDescriptor>
    let isPage: Bool
    var input: [UInt8] = []
    /// nil until the request has come.
    var output: [UInt8]?
    var written = 0
    var due: Int64
  }

  private let listener: FileDescriptor
  private let queue: FileDescriptor
  private let timer: FileDescriptor
  private let path: String
  private var clients: [Int32: Client] = [:]
  private var tickets = LoginTickets()
  var page = Page()

  /// - Throws: `EADDRINUSE` when another sentry answers there.
  init(path: String) throws(Errno) {
    guard let address = UnixAddress(path) else { throw Errno(ENAMETOOLONG, "bind", path) }
    if let slash = path.lastByte("/"), slash > path.startIndex { try Files.createFolder(String(path[..<slash])) }
    if ControlClient.isAnswering(path) { throw Errno(EADDRINUSE, "bind", path) }
    unsafe unlink(path)
    let listener = try FileDescriptor.socket(AF_UNIX, CLinux_SOCK_STREAM | CLinux_SOCK_NONBLOCK, 0)
    // The permissions are there from the first moment, so that nobody slips in between.
    let mask = umask(0o177)
    let result = unsafe address.withPointer { unsafe CLinux_bind(listener.raw, $0, $1) }
    let code = CLinux_errno()
    umask(mask)
    guard result == 0 else { throw Errno(code, "bind", path) }
    try check("listen", path) { listen(listener.raw, 16) }
    queue = FileDescriptor(owning: try check("epoll_create1") { epoll_create1(Int32(CLinux_EPOLL_CLOEXEC)) })
    timer = FileDescriptor(
      owning: try check("timerfd_create") { timerfd_create(CLOCK_MONOTONIC, O_CLOEXEC | O_NONBLOCK) })
    self.listener = listener
    self.path = path
    try watch(self.listener.raw, EPOLLIN.rawValue, EPOLL_CTL_ADD)
    try watch(timer.raw, EPOLLIN.rawValue, EPOLL_CTL_ADD)
  }

  deinit { unsafe unlink(path) }

  /// Readable when `serve` has something to do: one descriptor for all clients and for their time limits.
  var descriptor: Int32 { queue.raw }

  private func watch(_ fd: Int32, _ events: UInt32, _ operation: Int32) throws(Errno) {
    var event = unsafe epoll_event()
    unsafe event.events = events
    unsafe event.data.fd = fd
    try check("epoll_ctl") { unsafe epoll_ctl(queue.raw, operation, fd, &event) }
  }

  /// Takes what has come, answers whole requests, hands out what is taken of the answers. Returns at once.
  func serve(_ answer: (ControlMessage) -> ControlReply) {
    let start = Clock.monotonic
    var events = unsafe [epoll_event](repeating: epoll_event(), count: Self.clientLimit + 2)
    let count = unsafe epoll_wait(queue.raw, &events, Int32(Self.clientLimit + 2), 0)
    for index in 0..<Int(max(0, count)) {
      let fd = unsafe events[index].data.fd
      if fd == listener.raw {
        acceptSome(start)
      } else if fd == timer.raw {
        _ = try? timer.read(upTo: 8)
      } else if clients[fd]?.output != nil {
        write(fd)
      } else if Clock.monotonic - start < Self.turn {
        read(fd, answer)
      }
    }
    for (fd, client) in clients where client.due <= start { clients[fd] = nil }
    setTimer()
  }

  private func acceptSome(_ now: Int64) {
    for _ in 0..<8 {
      let raw = CLinux_accept(listener.raw, nil, nil, CLinux_SOCK_CLOEXEC | CLinux_SOCK_NONBLOCK)
      guard raw >= 0 else { return }
      let file = Owned(FileDescriptor(owning: raw))
      guard let isPage = isPage(raw) else { continue }
      if clients.count >= Self.clientLimit, let first = clients.min(by: { $0.value.due < $1.value.due }) {
        clients[first.key] = nil
      }
      guard (try? watch(raw, EPOLLIN.rawValue, EPOLL_CTL_ADD)) != nil else { continue }
      clients[raw] = Client(file: file, isPage: isPage, due: now + Self.requestTime)
    }
  }

  /// Lets the page's user in, beside our own and root.
  func admit(_ user: uid_t, group: gid_t) throws(Errno) {
    try check("chown", path) { unsafe chown(path, uid_t.max, group) }
    try check("chmod", path) { unsafe chmod(path, 0o660) }
    page.user = user
  }

  /// Whether the page is at the other end; nil where nobody is who may ask.
  private func isPage(_ fd: Int32) -> Bool? {
    var peer = CLinux_peer()
    guard unsafe CLinux_peer_of(fd, &peer) == 0 else { return nil }
    if peer.pid == page.pid || peer.user == page.user { return true }
    return [0, geteuid()].contains(peer.user) ? false : nil
  }

  private func read(_ fd: Int32, _ answer: (ControlMessage) -> ControlReply) {
    guard let client = clients[fd] else { return }
    let part: [UInt8]
    do throws(Errno) { part = try client.file.value.read(upTo: Self.requestLimit + 1) } catch {
      if error.code != EAGAIN, error.code != EINTR { clients[fd] = nil }
      return
    }
    clients[fd]?.input += part
    let input = clients[fd]?.input ?? []
    guard let end = input.firstIndex(of: 0x0a) else {
      // It has closed its end without a request, or what it sends is none.
      if part.isEmpty || input.count > Self.requestLimit { clients[fd] = nil }
      return
    }
    let line = Array(input[..<end])
    let reply = reply(to: line, isPage: client.isPage, answer)
    let bytes = Array("\(reply.exitCode)\n\(reply.text)".utf8)
    let waiting = clients.values.reduce(0) { $0 + ($1.output?.count ?? 0) }
    guard waiting + bytes.count <= Self.backlog || waiting == 0 else {
      clients[fd] = nil
      return
    }
    clients[fd]?.input = []
    clients[fd]?.output = bytes
    clients[fd]?.due = Clock.monotonic + Self.answerTime
    if (try? watch(fd, EPOLLOUT.rawValue, EPOLL_CTL_MOD)) == nil { clients[fd] = nil }
    write(fd)
  }

  private func reply(
    to line: [UInt8], isPage: Bool, _ answer: (ControlMessage) -> ControlReply
  ) -> ControlReply {
    if let message = LoginMessage(line: line) {
      if case .ticket = message, isPage { return .notForPage }
      return door(message)
    }
    guard let message = ControlMessage(line: line) else {
      return .usage("The running sentry does not understand this request: is it of another version?")
    }
    return isPage && !message.isForPage ? .notForPage : answer(message)
  }

  private func door(_ message: LoginMessage) -> ControlReply {
    switch message {
    case .ticket: ControlReply(tickets.issue(bits: Clock.randomKey(), now: Clock.monotonic))
    case .redeem(let ticket): ControlReply(exitCode: tickets.redeem(ticket, now: Clock.monotonic) ? 0 : 1, "")
    }
  }

  private func write(_ fd: Int32) {
    guard let client = clients[fd], let output = client.output else { return }
    let count = unsafe output.withUnsafeBytes {
      unsafe send(fd, $0.baseAddress! + client.written, $0.count - client.written, Int32(CLinux_MSG_NOSIGNAL))
    }
    if count < 0 {
      if CLinux_errno() != EAGAIN, CLinux_errno() != EINTR { clients[fd] = nil }
      return
    }
    if client.written + count >= output.count {
      clients[fd] = nil
    } else {
      clients[fd]?.written += count
    }
  }

  /// Wakes the main loop at the nearest time limit.
  private func setTimer() {
    let due = clients.values.map(\.due).min()
    var value = itimerspec()
    if let due {
      value.it_value = timespec(tv_sec: Int(due / 1_000_000_000), tv_nsec: Int(due % 1_000_000_000))
    }
    // All zero stops it.
    unsafe timerfd_settime(timer.raw, Int32(TFD_TIMER_ABSTIME), &value, nil)
  }
}
