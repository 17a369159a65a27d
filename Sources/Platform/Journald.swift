import CLinux
import Wire

/// The journal of systemd, in its own protocol: a datagram of fields, so that what a line is about can be asked for
/// (`journalctl PORTSENTRY_SOURCE=...`). Never blocks: what cannot be sent at once is counted, and the count is told with the
/// next success.
package struct Journald: ~Copyable, Sendable {
  private let path: String
  private let ident: String
  private var socket: FileDescriptor?
  /// Messages not sent since the last success.
  package private(set) var lost = 0

  /// - Parameter path: another socket in tests.
  package init(ident: String = "portsentry", path: String = "/run/systemd/journal/socket") {
    self.path = path
    self.ident = SafeText.line(ident, limit: 32)
  }

  /// Whether there is one on this host.
  package static var isThere: Bool { Files.stamp("/run/systemd/journal/socket") != nil }

  /// Sends one message.
  ///
  /// - Parameter fields: names in capitals, and values on one line.
  /// - Returns: false when it was lost.
  @discardableResult
  package mutating func send(
    _ text: String, _ severity: Severity, _ fields: [(name: StaticString, value: String)] = []
  ) -> Bool {
    if lost > 0 {
      guard deliver("\(lost) messages before this one could not be sent", .notice, []) else {
        lost += 1
        return false
      }
      lost = 0
    }
    if deliver(text, severity, fields) { return true }
    lost += 1
    return false
  }

  private mutating func deliver(
    _ text: String, _ severity: Severity, _ fields: [(name: StaticString, value: String)]
  ) -> Bool {
    // Values are on one line, so that the plain form of the protocol serves: NAME=value, each with its newline.
    var message = "MESSAGE=\(SafeText.line(text, limit: 8000))\nPRIORITY=\(severity.rawValue)\nSYSLOG_FACILITY=3\n"
    message += "SYSLOG_IDENTIFIER=\(ident)\nSYSLOG_PID=\(getpid())\n"
    for (name, value) in fields { message += "\(name)=\(SafeText.line(value, limit: 500))\n" }
    let bytes = Array(message.utf8)
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
