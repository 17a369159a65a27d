import CLinux
import Daemon
import Platform
import TestSupport
import Testing

@Suite struct ControlMessageTests {
  @Test(
    "Written and read again",
    arguments: [
      (.status(json: false), "status"), (.status(json: true), "status\tjson"),
      (.health(json: false), "health"), (.health(json: true), "health\tjson"),
      (.blocked, "blocked\tjson"), (.pulse, "pulse"), (.metrics, "metrics"),
      (.block(target: "203.0.113.7", seconds: nil, reason: ""), "block\t203.0.113.7\t-\t"),
      (
        .block(target: "2001:db8::/64", seconds: 0, reason: "by hand: Größe"), "block\t2001:db8::/64\t0\tby hand: Größe"
      ),
      (.block(target: "203.0.113.7", seconds: 4_000_000_000, reason: "x"), "block\t203.0.113.7\t4000000000\tx"),
      (.unblock(target: "203.0.113.7"), "unblock\t203.0.113.7"), (.unblockAll, "unblock-all"),
      (.allow(target: "203.0.113.7", seconds: nil), "allow\t203.0.113.7\t-"),
      (.allow(target: "2001:db8::/64", seconds: 7200), "allow\t2001:db8::/64\t7200"),
      (.endAllowance(target: "203.0.113.7"), "allow-end\t203.0.113.7"),
      (.watch(mode: "sudp"), "watch\tsudp"), (.confirm, "confirm"),
      (.why(target: "203.0.113.7", json: false), "why\t203.0.113.7\ttext"),
      (.why(target: "2001:db8::7", json: true), "why\t2001:db8::7\tjson"),
    ] as [(ControlMessage, String)])
  func roundTrip(message: ControlMessage, line: String) {
    #expect(message.line == line)
    #expect(ControlMessage(line: Array(line.utf8)) == message)
  }

  @Test(
    "Refused",
    arguments: [
      "", "\t", "stop", "Status", "status ", " status", "status\t", "status\txml", "status\tjson\t", "blocked",
      "blocked\tall",
      "pulse\tjson", "metrics ",
      "block", "block\t1.2.3.4", "block\t1.2.3.4\t-", "block\t1.2.3.4\tx\t", "block\t1.2.3.4\t-1\t",
      "block\t1.2.3.4\t\t",
      "block\t1.2.3.4\t4000000001\t", "block\t1.2.3.4\t99999999999999999999\t", "block\t1.2.3.4\t1\ta\tb", "unblock",
      "unblock\ta\tb", "unblock-all\tx", "watch", "watch\ta\tb", "status\n", "status\r", "status\u{0}",
      "unblock\ta\u{1b}[2J",
      "confirm\t", "confirm\tx", "why", "why\t1.2.3.4", "why\t1.2.3.4\t", "why\t1.2.3.4\txml", "why\t1.2.3.4\tjson\t",
      "allow", "allow\t1.2.3.4", "allow\t1.2.3.4\t0", "allow\t1.2.3.4\t-1", "allow\t1.2.3.4\t", "allow-end",
      "allow-end\ta\tb", "allow\t1.2.3.4\t4000000001",
      "run\t/bin/sh", "exec\tid",
    ])
  func refused(line: String) {
    #expect(ControlMessage(line: Array(line.utf8)) == nil)
  }

  @Test func tooLongIsRefused() {
    let start = Array("unblock\t".utf8)
    #expect(ControlMessage(line: start + [UInt8](repeating: 0x61, count: 4096 - start.count)) != nil)
    #expect(ControlMessage(line: start + [UInt8](repeating: 0x61, count: 4097 - start.count)) == nil)
  }

  @Test func noRandomBytesAreAMessage() {
    var random = SeededGenerator(seed: 17)
    for _ in 0..<5_000 {
      let bytes = random.bytes(Int.random(in: 0...40, using: &random))
      #expect(ControlMessage(line: bytes) == nil)
    }
  }
}

@Suite struct ControlClientTests {
  @Test func `A sentry that does not answer is not waited for`() throws {
    try inFolder { folder in
      let path = folder + "/control"
      let file = try FileDescriptor.socket(AF_UNIX, CLinux_SOCK_STREAM, 0)
      let address = try #require(UnixAddress(path))
      try check("bind", path) { unsafe address.withPointer { unsafe CLinux_bind(file.raw, $0, $1) } }
      try check("listen", path) { listen(file.raw, 1) }
      // The last ones find the queue full.
      for _ in 0..<4 {
        let start = Clock.monotonic
        #expect {
          try ControlClient.ask(path, .pulse, patience: 1)
        } throws: {
          ($0 as? Errno)?.code == EAGAIN
        }
        #expect(Clock.monotonic - start < 5_000_000_000)
      }
    }
  }
}
