import CLinux
import Platform
import Testing
import TestSupport

@Suite struct JournaldTests {
  private func listen(_ path: String) throws -> FileDescriptor {
    let file = try FileDescriptor.socket(AF_UNIX, CLinux_SOCK_DGRAM | CLinux_SOCK_NONBLOCK, 0)
    let address = try #require(UnixAddress(path))
    try check("bind", path) { unsafe address.withPointer { unsafe CLinux_bind(file.raw, $0, $1) } }
    return file
  }

  private func received(_ file: borrowing FileDescriptor) -> String? {
    (try? file.read(upTo: 65_536)).map { String(decoding: $0, as: UTF8.self) }
  }

  @Test func `A message is a field a line, and no value makes another field`() throws {
    try inFolder { folder in
      let server = try listen(folder + "/s")
      var log = Journald(path: folder + "/s")
      let sent = log.send(
        "attackalert: a\nPRIORITY=0\u{1b}", .notice,
        [("PORTSENTRY_SOURCE", "10.0.0.1"), ("PORTSENTRY_PORT", "23\nMESSAGE=forged")])
      #expect(sent)
      #expect(
        received(server)
          == """
          MESSAGE=attackalert: a\\x0aPRIORITY=0\\x1b
          PRIORITY=5
          SYSLOG_FACILITY=3
          SYSLOG_IDENTIFIER=portsentry
          SYSLOG_PID=\(getpid())
          PORTSENTRY_SOURCE=10.0.0.1
          PORTSENTRY_PORT=23\\x0aMESSAGE=forged

          """)
    }
  }

  @Test func `What cannot be sent is counted, never waited for, and told`() throws {
    try inFolder { folder in
      var log = Journald(path: folder + "/s", capacity: 0)
      let nobody = log.send("x", .notice)
      #expect(!nobody)
      #expect(log.lost == 1)
      let server = try listen(folder + "/s")
      let again = log.send("y", .notice)
      #expect(again)
      #expect(log.lost == 0)
      let (first, second) = (received(server), received(server))
      #expect(first?.hasPrefix("MESSAGE=1 messages before this one could not be sent\n") == true)
      #expect(second?.hasPrefix("MESSAGE=y\n") == true)
      // A queue that nobody reads fills up.
      var sent = 0
      while sent < 100_000, log.send(String(repeating: "z", count: 1000), .notice) { sent += 1 }
      #expect(sent > 0 && sent < 100_000)
      #expect(log.lost == 1)
    }
  }

  @Test func `After a restart of its reader it goes on`() throws {
    try inFolder { folder in
      var log = Journald(path: folder + "/s")
      do {
        let server = try listen(folder + "/s")
        let sent = log.send("one", .notice)
        #expect(sent)
        #expect(received(server) != nil)
      }
      unsafe unlink(folder + "/s")
      let server = try listen(folder + "/s")
      let sent = log.send("two", .notice)
      #expect(sent)
      #expect(received(server)?.hasPrefix("MESSAGE=two\n") == true)
    }
  }
}
