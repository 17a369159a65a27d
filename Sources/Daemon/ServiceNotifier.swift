import CLinux
import Platform

/// Tells the service manager how we are (`sd_notify(3)`): one datagram to the socket in `NOTIFY_SOCKET`, or nothing.
struct ServiceNotifier: Sendable {
  private let path: String?
  /// How often a sign of life is due; nil when the service manager wants none.
  let watchdogInterval: Duration?

  init() {
    path = Self.environment("NOTIFY_SOCKET")
    let microseconds = Self.environment("WATCHDOG_USEC").flatMap(Int64.init)
    // Twice as often as is asked for, as sd_watchdog_enabled(3) advises.
    watchdogInterval = path == nil ? nil : microseconds.map { .microseconds($0 / 2) }
  }

  func ready(_ status: String) { send("READY=1\nSTATUS=\(status)") }
  func reloading() { send("RELOADING=1\nMONOTONIC_USEC=\(Clock.monotonic / 1000)") }
  func stopping() { send("STOPPING=1") }
  func alive() { send("WATCHDOG=1") }

  private func send(_ text: String) {
    guard let path, let address = UnixAddress(path),
      let socket = try? FileDescriptor.socket(AF_UNIX, CLinux_SOCK_DGRAM | CLinux_SOCK_NONBLOCK, 0)
    else { return }
    let bytes = Array(text.utf8)
    unsafe address.withPointer { pointer, length in
      unsafe bytes.withUnsafeBytes {
        _ = unsafe CLinux_sendto(socket.raw, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL), pointer, length)
      }
    }
  }

  private static func environment(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
  }
}

/// A `sockaddr_un` for a path, or for a name in the abstract namespace when it begins with `@`.
struct UnixAddress {
  private var address = sockaddr_un()
  private let length: socklen_t

  /// nil when the path does not fit in 107 bytes.
  init?(_ path: String) {
    var bytes = Array(path.utf8)
    guard !bytes.isEmpty, bytes.count < 108 else { return nil }
    let isAbstract = bytes[0] == UInt8(ascii: "@")
    if isAbstract { bytes[0] = 0 }
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    length = socklen_t(2 + bytes.count + (isAbstract ? 0 : 1))
  }

  func withPointer<R>(_ body: (UnsafeRawPointer, socklen_t) -> R) -> R {
    unsafe withUnsafePointer(to: address) { unsafe body(UnsafeRawPointer($0), length) }
  }
}
