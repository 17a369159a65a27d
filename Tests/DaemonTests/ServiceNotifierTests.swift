import CLinux
import Platform
import TestSupport
import Testing

@testable import Daemon

@Suite struct ServiceNotifierTests {
  /// What a service manager at the other end of the socket gets.
  private func withManager(_ body: (String, () throws -> String?) throws -> Void) throws {
    try inFolder { folder in
      let path = folder + "/notify"
      let socket = try FileDescriptor.socket(AF_UNIX, CLinux_SOCK_DGRAM | CLinux_SOCK_NONBLOCK, 0)
      let address = try #require(UnixAddress(path))
      try check("bind", path) { unsafe address.withPointer { unsafe CLinux_bind(socket.raw, $0, $1) } }
      try body(path) {
        // A datagram between two local sockets is there once it is sent.
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = unsafe recv(socket.raw, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        return count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self)
      }
    }
  }

  @Test func `Each state is one datagram in systemd's words`() throws {
    try withManager { path, received in
      let notifier = ServiceNotifier { $0 == "NOTIFY_SOCKET" ? path : nil }
      notifier.ready("watching")
      #expect(try received() == "READY=1\nSTATUS=watching")
      notifier.alive()
      #expect(try received() == "WATCHDOG=1")
      let before = Clock.monotonic / 1_000
      notifier.reloading()
      let text = try #require(try received())
      let moment = try #require(text.split(separator: "=").last.flatMap { Int64($0) })
      #expect(text.hasPrefix("RELOADING=1\nMONOTONIC_USEC=") && (before...Clock.monotonic / 1_000).contains(moment))
      notifier.stopping()
      #expect(try received() == "STOPPING=1")
      #expect(try received() == nil)
    }
  }

  @Test(
    arguments: [
      ("/run/notify", "10000000", .seconds(5)), ("/run/notify", nil, nil), (nil, "10000000", nil),
      ("/run/notify", "soon", nil),
    ] as [(String?, String?, Duration?)])
  func `A sign of life is due twice as often as the manager wants one`(
    _ socket: String?, _ microseconds: String?, _ expected: Duration?
  ) {
    let notifier = ServiceNotifier { $0 == "NOTIFY_SOCKET" ? socket : $0 == "WATCHDOG_USEC" ? microseconds : nil }
    #expect(notifier.watchdogInterval == expected)
  }

  @Test func `Nobody there to tell is no failure`() {
    ServiceNotifier { _ in nil }.ready("watching")
    ServiceNotifier { _ in "/nowhere/notify" }.ready("watching")
  }
}
