import CLinux
import Wire

/// The local system log: RFC 3164 messages to the socket of syslogd or journald, facility daemon.
///
/// Never blocks: what cannot be sent at once is queued (4 MiB) and tried again by `flush()`. When the queue is full, new messages
/// are counted, and the count is written once all that was queued has gone. The connection is made at the first message and
/// anew when syslogd has been restarted.
package struct Syslog: ~Copyable, Sendable {
  private let path: String
  private let tag: String
  private var socket: FileDescriptor?
  private var isStream = false
  private var queue: MessageQueue
  /// Messages lost of which the log has not been told yet.
  package private(set) var lost = 0
  /// Messages lost since the start.
  package private(set) var lostInAll = 0

  /// Facility 3, in the place it has in the priority number (RFC 3164 section 4.1.1).
  private static let daemon: UInt8 = 3 << 3
  /// What every syslogd takes in one message; RFC 3164 section 4.1 asks for 1,024, and rsyslog and journald take 8,192.
  private static let longest = 8_000

  /// - Parameters:
  ///   - ident: the name before the process number.
  ///   - path: the socket; another one in tests.
  ///   - capacity: the most bytes that wait.
  package init(ident: String = "portsentry", path: String = "/dev/log", capacity: Int = 4 << 20) {
    self.path = path
    queue = MessageQueue(capacity: capacity)
    tag = "\(SafeText.line(ident, limit: 32))[\(getpid())]"
  }

  /// Messages that wait.
  package var waiting: Int { queue.count }
  /// Whether something is to be tried again.
  package var isWaiting: Bool { !queue.isEmpty || lost > 0 }

  /// Sends one message, stamped with `time`, behind those that wait.
  ///
  /// - Returns: false when it has not gone yet: it waits, or is lost and counted.
  @discardableResult
  package mutating func send(_ text: String, _ severity: Severity, at time: Timestamp) -> Bool {
    let bytes = message(text, severity, LocalTime(time).syslog)
    flush(at: time)
    if !isWaiting, deliver(bytes) { return true }
    if lost > 0 || !queue.append(bytes) {
      lost += 1
      lostInAll += 1
    }
    return false
  }

  /// Tries again what waits. Call it a few times a second while `isWaiting`.
  package mutating func flush(at time: Timestamp) {
    while let next = queue.first {
      guard deliver(next) else { return }
      queue.removeFirst()
    }
    guard lost > 0 else { return }
    let note = "\(lost) messages before this one could not be sent to syslog"
    if deliver(message(note, .notice, LocalTime(time).syslog)) { lost = 0 }
  }

  private func message(_ text: String, _ severity: Severity, _ stamp: String) -> [UInt8] {
    Array("<\(Self.daemon | severity.rawValue)>\(stamp) \(tag): \(SafeText.line(text, limit: Self.longest))".utf8)
  }

  private mutating func deliver(_ bytes: [UInt8]) -> Bool {
    // Twice: the socket in hand may be that of a syslogd that is gone.
    for _ in 0..<2 {
      if socket == nil, !connect() { return false }
      switch transmit(bytes) {
      case 0: return true
      case EAGAIN, ENOBUFS: return false
      case EMSGSIZE:
        // What no reader takes whole must not hold up those behind it.
        return transmit(Array(bytes.prefix(950))) == 0
      default: socket = nil
      }
    }
    return false
  }

  /// - Returns: 0, or the error number.
  private mutating func transmit(_ message: [UInt8]) -> Int32 {
    guard let file = socket?.raw else { return ENOTCONN }
    // On a stream messages are told apart by a zero byte, as glibc's syslog(3) does.
    let bytes = isStream ? message + [0] : message
    while true {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe CLinux.send(file, $0.baseAddress, $0.count, Int32(CLinux_MSG_NOSIGNAL | CLinux_MSG_DONTWAIT))
      }
      if count == bytes.count { return 0 }
      if count >= 0 {
        // Half a message on a stream: only a new connection gets back into step.
        socket = nil
        return EAGAIN
      }
      let code = CLinux_errno()
      if code != EINTR { return code }
    }
  }

  private mutating func connect() -> Bool {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    // The last byte stays zero.
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return false }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    for type in [CLinux_SOCK_DGRAM, CLinux_SOCK_STREAM] {
      guard let file = try? FileDescriptor.socket(AF_UNIX, type | CLinux_SOCK_NONBLOCK, 0) else { return false }
      if unsafe CLinux_connect(file.raw, &address, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0 {
        isStream = type == CLinux_SOCK_STREAM
        // A burst of lines waits here for its reader; by default some 270 do. Takes CAP_NET_ADMIN, and goes without.
        try? file.setOption(SOL_SOCKET, SO_SNDBUFFORCE, 4 << 20)
        socket = consume file
        return true
      }
      // The one error that says it is a socket of the other type.
      if CLinux_errno() != EPROTOTYPE { return false }
    }
    return false
  }
}
