import CLinux
import Platform

/// Tells the service manager how we are (`sd_notify(3)`): one datagram to the socket in `NOTIFY_SOCKET`, or nothing.
struct ServiceNotifier: Sendable {
  private let path: String?
  /// How often a sign of life is due; nil when the service manager wants none.
  let watchdogInterval: Duration?

  /// - Parameter environment: the value of a variable.
  init(environment: (String) -> String? = Self.variable) {
    path = environment("NOTIFY_SOCKET")
    let microseconds = environment("WATCHDOG_USEC").flatMap(Int64.init)
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

  private static func variable(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
  }
}
