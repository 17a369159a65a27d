import CLinux
import Wire

/// The journal of systemd, in its own protocol: a datagram of fields, so that what a line is about can be asked for
/// (`journalctl PORTSENTRY_SOURCE=...`). Never blocks: what cannot be sent at once is queued (4 MiB) and tried again by `flush()`.
/// When the queue is full, new messages are counted, and the count is written once all that was queued has gone.
package struct Journald: ~Copyable, Sendable {
  private let path: String
  private let ident: String
  private var socket: FileDescriptor?
  private var queue: MessageQueue
  /// Messages lost of which the log has not been told yet.
  package private(set) var lost = 0
  /// Messages lost since the start.
  package private(set) var lostInAll = 0

  /// - Parameters:
  ///   - path: another socket in tests.
  ///   - capacity: the most bytes that wait.
  package init(
    ident: String = "portsentry", path: String = "/run/systemd/journal/socket", capacity: Int = 4 << 20
  ) {
    self.path = path
    queue = MessageQueue(capacity: capacity)
    self.ident = SafeText.line(ident, limit: 32)
  }

  /// Whether there is one on this host.
  package static var isThere: Bool { Files.stamp("/run/systemd/journal/socket") != nil }

  /// Messages that wait.
  package var waiting: Int { queue.count }
  /// Whether something is to be tried again.
  package var isWaiting: Bool { !queue.isEmpty || lost > 0 }

  /// Sends one message, behind those that wait.
  ///
  /// - Parameter fields: names in capitals, and values on one line.
  /// - Returns: false when it has not gone yet: it waits, or is lost and counted.
  @discardableResult
  package mutating func send(
    _ text: String, _ severity: Severity, _ fields: [(name: StaticString, value: String)] = []
  ) -> Bool {
    let bytes = message(text, severity, fields)
    flush()
    if !isWaiting, deliver(bytes) { return true }
    if lost > 0 || !queue.append(bytes) {
      lost += 1
      lostInAll += 1
    }
    return false
  }

  /// Tries again what waits. Call it a few times a second while `isWaiting`.
  package mutating func flush() {
    while let next = queue.first {
      guard deliver(next) else { return }
      queue.removeFirst()
    }
    guard lost > 0 else { return }
    if deliver(message("\(lost) messages before this one could not be sent", .notice, [])) { lost = 0 }
  }

  private func message(
    _ text: String, _ severity: Severity, _ fields: [(name: StaticString, value: String)]
  ) -> [UInt8] {
    // Values are on one line, so that the plain form of the protocol serves: NAME=value, each with its newline.
    var message = "MESSAGE=\(SafeText.line(text, limit: 8000))\nPRIORITY=\(severity.rawValue)\nSYSLOG_FACILITY=3\n"
    message += "SYSLOG_IDENTIFIER=\(ident)\nSYSLOG_PID=\(getpid())\n"
    for (name, value) in fields { message += "\(name)=\(SafeText.line(value, limit: 500))\n" }
    return Array(message.utf8)
  }

  private mutating func deliver(_ bytes: [UInt8]) -> Bool {
    // Twice: the socket in hand may be that of a journald that is gone.
    for _ in 0..<2 {
      if socket == nil, !connect() { return false }
      guard let raw = socket?.raw else { return false }
      let count = unsafe bytes.withUnsafeBytes {
        unsafe CLinux.send(raw, $0.baseAddress, $0.count, Int32(CLinux_MSG_NOSIGNAL | CLinux_MSG_DONTWAIT))
      }
      if count == bytes.count { return true }
      if count < 0, CLinux_errno() == EAGAIN || CLinux_errno() == ENOBUFS { return false }
      socket = nil
    }
    return false
  }

  private mutating func connect() -> Bool {
    guard let address = UnixAddress(path),
      let file = try? FileDescriptor.socket(AF_UNIX, CLinux_SOCK_DGRAM | CLinux_SOCK_NONBLOCK, 0)
    else { return false }
    guard unsafe address.withPointer({ unsafe CLinux_connect(file.raw, $0, $1) }) == 0 else { return false }
    socket = consume file
    return true
  }
}
