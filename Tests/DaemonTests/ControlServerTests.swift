import CLinux
import Platform
import TestSupport
import Testing

@testable import Daemon

/// The control socket's end, turned by hand, with clients that mean ill.
@Suite struct ControlServerTests {
  private static func client(_ path: String) throws -> FileDescriptor {
    let file = try FileDescriptor.socket(AF_UNIX, CLinux_SOCK_STREAM, 0)
    let address = try #require(UnixAddress(path))
    try check("connect", path) { unsafe address.withPointer { unsafe CLinux_connect(file.raw, $0, $1) } }
    return file
  }

  /// One turn of the main loop; how long it was held.
  @discardableResult
  private static func turn(_ server: ControlServer, wait: Int32 = 50, _ text: String = "fine\n") -> Int64 {
    guard !Poll.readable([server.descriptor], milliseconds: wait).isEmpty else { return 0 }
    let start = Clock.monotonic
    server.serve { _ in ControlReply(text) }
    return Clock.monotonic - start
  }

  /// Whether the server has let go of it; does not wait.
  private static func isClosed(_ client: borrowing FileDescriptor) -> Bool {
    !Poll.readable([client.raw], milliseconds: 0).isEmpty && (try? client.read(upTo: 10))?.isEmpty ?? true
  }

  private static func ask(_ server: ControlServer, _ path: String, _ text: String = "fine\n") throws -> String {
    let honest = try client(path)
    try honest.writeAll(Array("pulse\n".utf8))
    var answer: [UInt8] = []
    let deadline = Clock.monotonic + 60_000_000_000
    while Clock.monotonic < deadline {
      turn(server, text)
      while !Poll.readable([honest.raw], milliseconds: 0).isEmpty {
        let part = try honest.read(upTo: 1 << 20)
        if part.isEmpty { return String(decoding: answer, as: UTF8.self) }
        answer += part
      }
    }
    return "no answer"
  }

  @Test func `A client that drips holds nobody and has no time but its own`() throws {
    try inFolder { folder in
      let path = folder + "/control"
      let server = try ControlServer(path: path)
      let dripping = try Self.client(path)
      let start = Clock.monotonic
      var longest: Int64 = 0
      var answered = 0
      // A byte every 50 ms; each would have begun 200 ms anew.
      while !Self.isClosed(dripping), Clock.monotonic - start < 6_000_000_000 {
        _ = unsafe send(dripping.raw, "x", 1, Int32(CLinux_MSG_NOSIGNAL))
        longest = max(longest, Self.turn(server))
        if try Self.ask(server, path) == "0\nfine\n" { answered += 1 }
        Clock.sleep(.milliseconds(40))
      }
      let took = Clock.monotonic - start
      #expect((1_900_000_000...5_000_000_000).contains(took), "it was let go of after \(took) ns")
      #expect(longest < 500_000_000, "the main loop was held for \(longest) ns")
      #expect(answered >= 5)
    }
  }

  @Test func `Idle clients are let go of though nobody else comes`() throws {
    try inFolder { folder in
      let path = folder + "/control"
      let server = try ControlServer(path: path)
      let idle = try Self.client(path)
      let start = Clock.monotonic
      while !Self.isClosed(idle), Clock.monotonic - start < 6_000_000_000 { Self.turn(server, wait: 4000) }
      #expect((1_900_000_000...5_000_000_000).contains(Clock.monotonic - start))
    }
  }

  @Test func `Many clients shut nobody out`() throws {
    try inFolder { folder in
      let path = folder + "/control"
      let server = try ControlServer(path: path)
      var held: [Owned<FileDescriptor>] = []
      for number in 0..<(4 * ControlServer.clientLimit) {
        held.append(Owned(try Self.client(path)))
        if number % 3 == 0 { try held[number].value.writeAll(Array("pul".utf8)) }
        let took = Self.turn(server)
        #expect(took < 500_000_000)
        if number % 16 == 15 { #expect(try Self.ask(server, path) == "0\nfine\n") }
      }
      let open = held.count { !Self.isClosed($0.value) }
      #expect(open <= ControlServer.clientLimit)
    }
  }

  @Test func `Half closed ones get their answer, or nothing`() throws {
    try inFolder { folder in
      let path = folder + "/control"
      let server = try ControlServer(path: path)
      for (request, expected) in [("pulse\n", "0\nfine\n"), ("pulse", ""), ("", ""), ("nonsense\n", "64\n")] {
        let client = try Self.client(path)
        try client.writeAll(Array(request.utf8))
        shutdown(client.raw, Int32(SHUT_WR))
        for _ in 0..<5 where Poll.readable([client.raw], milliseconds: 0).isEmpty { Self.turn(server) }
        let answer = String(decoding: try client.read(upTo: 100), as: UTF8.self)
        #expect(
          expected.isEmpty ? answer.isEmpty : answer.hasPrefix(expected), "\(request.debugDescription): \(answer)")
      }
      // One that is gone before its answer, and one that says more than a request may.
      do {
        let gone = try Self.client(path)
        try gone.writeAll(Array("pulse\n".utf8))
      }
      let long = try Self.client(path)
      try long.writeAll([UInt8](repeating: 0x61, count: 4097))
      for _ in 0..<5 { Self.turn(server, wait: 10) }
      let isClosed = Self.isClosed(long)
      #expect(isClosed)
      #expect(try Self.ask(server, path) == "0\nfine\n")
    }
  }

  @Test func `A large answer that nobody takes holds nobody`() throws {
    try inFolder { folder in
      let path = folder + "/control"
      let server = try ControlServer(path: path)
      let text = String(repeating: "x", count: 8 << 20) + "\n"
      let lazy = try Self.client(path)
      try lazy.writeAll(Array("pulse\n".utf8))
      for _ in 0..<5 { #expect(Self.turn(server, wait: 10, text) < 1_000_000_000) }
      #expect(try Self.ask(server, path) == "0\nfine\n")
      #expect(try Self.ask(server, path, text).utf8.count == text.utf8.count + 2)
    }
  }

  /// What one request gets, and whether the sentry heard of it.
  private static func say(_ server: ControlServer, _ path: String, _ line: String) throws -> (String, isHeard: Bool) {
    let client = try client(path)
    try client.writeAll(Array((line + "\n").utf8))
    var answer: [UInt8] = []
    var isHeard = false
    for _ in 0..<400 {
      _ = Poll.readable([server.descriptor], milliseconds: 5)
      server.serve { _ in
        isHeard = true
        return ControlReply("fine\n")
      }
      while !Poll.readable([client.raw], milliseconds: 0).isEmpty {
        let part = try client.read(upTo: 1 << 20)
        if part.isEmpty { return (String(decoding: answer, as: UTF8.self), isHeard) }
        answer += part
      }
    }
    return ("no answer", isHeard)
  }

  @Test func `The page has the words of its forms, and no others`() throws {
    try inFolder { folder in
      let path = folder + "/control"
      let server = try ControlServer(path: path)
      server.page.pid = getpid()
      for line in [
        "status\tjson", "pulse", "metrics", "blocked\tjson", "why\t192.0.2.1\tjson", "block\t192.0.2.1\t-\tx",
        "unblock\t192.0.2.1", "allow\t192.0.2.1\t-", "allow-end\t192.0.2.1",
      ] {
        #expect(try Self.say(server, path, line) == ("0\nfine\n", true), "\(line)")
      }
      for line in ["unblock-all", "confirm", "watch\tstcp", "login"] {
        let (answer, isHeard) = try Self.say(server, path, line)
        #expect(answer.hasPrefix("77\n") && !isHeard, "\(line): \(answer)")
      }
      server.page.pid = nil
      #expect(try Self.say(server, path, "confirm") == ("0\nfine\n", true))
    }
  }

  @Test("A hostile page: random bytes and whole words by the thousand move nothing that is not the page's")
  func hostilePage() throws {
    try inFolder { folder in
      let path = folder + "/control"
      let server = try ControlServer(path: path)
      server.page.pid = getpid()
      var random = SeededGenerator(seed: 9)
      let words = [
        "unblock-all", "confirm", "watch\tstcp", "login", "unblock-all\t", "status\tjson", "block\t1.2.3.4\t0\tx",
        "allow\t::/0\t-", "pulse", "\u{0}", "watch\t",
      ]
      for turn in 0..<2_000 {
        let line =
          turn % 2 == 0
          ? words.randomElement(using: &random)!
          : String(decoding: random.bytes(Int.random(in: 0...60, using: &random)), as: UTF8.self)
        let client = try Self.client(path)
        _ = try? client.writeAll(Array((line + "\n").utf8))
        _ = Poll.readable([server.descriptor], milliseconds: 5)
        for _ in 0..<3 {
          server.serve { message in
            #expect(message.isForPage, "\(message)")
            return ControlReply("fine\n")
          }
        }
      }
    }
  }

  @Test(.enabled(if: geteuid() == 0))
  func `Another user than the page's is not heard, though his group may connect`() throws {
    try inFolder { folder in
      let path = folder + "/control"
      let server = try ControlServer(path: path)
      try server.admit(64_998, group: 64_998)
      shell("chmod 755 '\(folder)'")
      for (user, expected) in [(64_998, "0"), (64_997, "")] {
        let script =
          "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect('\(path)'); s.sendall(b'pulse\\n'); print(s.recv(99).decode()[:1])"
        let child = try ChildProcess(
          "/usr/bin/setpriv",
          ["setpriv", "--reuid", "\(user)", "--regid", "64998", "--clear-groups", "python3", "-c", script])
        let start = Clock.monotonic
        while child.reap() == nil, Clock.monotonic - start < 20_000_000_000 {
          _ = Poll.readable([server.descriptor], milliseconds: 20)
          server.serve { _ in ControlReply("fine\n") }
        }
        while !child.outputEnded { child.readOutput() }
        let answer = child.outputText.split(separator: "\n").last.map(String.init) ?? ""
        #expect(expected == "0" ? answer == "0" : answer != "0", "\(user): \(child.outputText)")
      }
    }
  }
}
