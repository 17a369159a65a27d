import CLinux
import Platform
import Testing
import TestSupport
import Wire

@testable import Page

/// A browser's end.
private final class Visitor {
  let file: Owned<FileDescriptor>

  init(_ path: String) throws {
    let address = try #require(UnixAddress(path))
    let socket = try FileDescriptor.socket(AF_UNIX, CLinux_SOCK_STREAM | CLinux_SOCK_NONBLOCK, 0)
    try check("connect", path) { unsafe address.withPointer { unsafe CLinux_connect(socket.raw, $0, $1) } }
    file = Owned(socket)
  }

  func send(_ text: String) throws { try file.value.writeAll(Array(text.utf8)) }

  /// What has come; nil at the end.
  func take() -> String? {
    do throws(Errno) {
      let bytes = try file.value.read(upTo: 1 << 20)
      return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
    } catch { return error.code == EAGAIN ? "" : nil }
  }
}

@Suite struct PageServerTests {
  private func inServer(_ body: (PageServer, String) throws -> Void) throws {
    try inFolder { folder in try body(PageServer(.unix(folder + "/page")), folder + "/page") }
  }

  private static let ask = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

  private func turn(_ server: PageServer, _ times: Int = 3, follow: Bool = false) {
    for _ in 0..<times {
      server.turn(milliseconds: 0) { request in
        follow ? .follow(first: "first\n\n") : .once(HTTPResponse(200, .text, "at \(request.path)"))
      }
    }
  }

  @Test func `A request in pieces is answered once it is whole`() throws {
    try inServer { server, path in
      let visitor = try Visitor(path)
      for character in Self.ask {
        #expect(visitor.take() == "")
        try visitor.send(String(character))
        turn(server, 1)
      }
      turn(server)
      let text = try #require(visitor.take())
      #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
      #expect(text.hasSuffix("\r\n\r\nat /"))
      #expect(visitor.take() == nil)
    }
  }

  @Test func `HEAD is answered without a body, nonsense with a refusal`() throws {
    try inServer { server, path in
      let (head, other) = (try Visitor(path), try Visitor(path))
      try head.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
      try other.send("BREW / HTTP/1.1\r\n\r\n")
      turn(server)
      let text = try #require(head.take())
      #expect(text.contains("Content-Length: 4\r\n"))
      #expect(text.hasSuffix("\r\n\r\n"))
      #expect(other.take()?.hasPrefix("HTTP/1.1 405 Method Not Allowed\r\n") == true)
    }
  }

  @Test func `Who says nothing keeps nobody out`() throws {
    try inServer { server, path in
      var idle: [Visitor] = []
      for _ in 0..<3 * PageServer.clientLimit {
        idle.append(try Visitor(path))
        turn(server, 1)
      }
      try idle[2 * PageServer.clientLimit + 5].send("GET / HTTP/1.1\r\nHos")
      turn(server)
      let late = try Visitor(path)
      try late.send(Self.ask)
      turn(server)
      #expect(late.take()?.hasPrefix("HTTP/1.1 200 OK") == true)
      // The oldest have made room.
      #expect(idle.prefix(PageServer.clientLimit).allSatisfy { $0.take() == nil })
    }
  }

  @Test func `Who says nothing is let go of after five seconds`() throws {
    try inServer { server, path in
      let idle = try Visitor(path)
      try idle.send("GET / HTTP/1.1\r\nHos")
      let start = Clock.monotonic
      var text = ""
      while let more = idle.take(), Clock.monotonic - start < 20_000_000_000 {
        text += more
        server.turn(milliseconds: 100) { _ in .once(HTTPResponse(200, .text, "x")) }
      }
      let took = Clock.monotonic - start
      #expect(took > 4_000_000_000 && took < 15_000_000_000)
      #expect(text.hasPrefix("HTTP/1.1 408 Request Timeout"))
    }
  }

  @Test func `Followers get the news, so many of them`() throws {
    try inServer { server, path in
      let all = try (0..<PageServer.followerLimit + 2).map { _ in try Visitor(path) }
      for visitor in all { try visitor.send(Self.ask) }
      turn(server, 6, follow: true)
      #expect(server.followers == PageServer.followerLimit)
      let answers = all.map { $0.take() ?? "" }
      #expect(answers.count { $0.hasSuffix("first\n\n") } == PageServer.followerLimit)
      #expect(answers.count { $0.hasPrefix("HTTP/1.1 503") } == 2)
      server.publish("more\n\n")
      #expect(all.count { $0.take() == "more\n\n" } == PageServer.followerLimit)
    }
  }

  @Test func `A follower that does not read is let go, and so is one that leaves`() throws {
    try inServer { server, path in
      let (slow, gone) = (try Visitor(path), try Visitor(path))
      try slow.send(Self.ask)
      try gone.send(Self.ask)
      turn(server, follow: true)
      #expect(server.followers == 2)
      CLinux.shutdown(gone.file.value.raw, Int32(SHUT_RDWR))
      turn(server, follow: true)
      #expect(server.followers == 1)
      let news = String(repeating: "x", count: 100_000)
      var rounds = 0
      while server.followers == 1, rounds < 100 {
        server.publish(news)
        rounds += 1
      }
      // What the kernel takes, and our own half a megabyte.
      #expect((6...20).contains(rounds), "\(rounds)")
    }
  }

  @Test func `A socket that somebody listens on stays his, a left one is taken`() throws {
    try inServer { server, path in
      #expect(throws: Errno.self) { _ = try PageServer(.unix(path)) }
      #expect(shell("stat -c %a '\(path)'").output.hasPrefix("660"))
    }
    try inFolder { folder in
      let path = folder + "/page"
      #expect(shell("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"\(path)\")'").status == 0)
      _ = try PageServer(.unix(path))
    }
  }
}
