import Testing

@testable import Daemon

@Suite struct DecoyGreetingTests {
  private func opening(_ port: UInt16, _ byte: UInt8 = 0) -> [UInt8]? {
    DecoyGreeting.opening(port, random: [UInt8](repeating: byte, count: 28))
  }

  @Test(
    arguments: [
      (21, "220 "), (22, "SSH-2.0-"), (2222, "SSH-2.0-"), (25, "220 "), (587, "220 "), (110, "+OK"), (143, "* OK ["),
      (873, "@RSYNCD: "), (5900, "RFB 003.008\n"), (6667, ":irc NOTICE"),
    ] as [(UInt16, String)])
  func `A server that speaks first does`(_ port: UInt16, _ start: String) throws {
    let text = try #require(opening(port))
    #expect(text.starts(with: start.utf8))
    #expect(text.last == 0x0a)
  }

  @Test(arguments: [1, 80, 443, 445, 594, 3389, 6379, 8080, 65535] as [UInt16])
  func `One that waits for its client waits`(_ port: UInt16) { #expect(opening(port) == nil) }

  @Test func `Telnet negotiates and asks for the login`() throws {
    let text = try #require(opening(23))
    #expect(text[0] == 255 && text.suffix(7).elementsEqual("login: ".utf8))
  }

  @Test func `MySQL's greeting is a packet of protocol 10, and no two are alike`() throws {
    let packet = try #require(opening(3306, 7))
    #expect(Int(packet[0]) == packet.count - 4 && packet[3] == 0 && packet[4] == 10)
    // Version, number of the connection, first part of the challenge, zero.
    let version = try #require(packet[5...].firstIndex(of: 0))
    #expect(packet[version + 5..<version + 13].allSatisfy { (0x21...0x7e).contains($0) })
    #expect(packet[version + 13] == 0 && packet.last == 0)
    #expect(packet != opening(3306, 8))
  }

  @Test(
    arguments: [
      (80, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"), (8443, "HEAD / HTTP/1.1\r\n", "HTTP/1.1 404"),
      (6379, "PING\r\n", "-NOAUTH"), (11211, "stats\r\n", "ERROR\r\n"), (80, "\u{16}\u{3}\u{1}", nil),
      (1, "help\r\n", nil),
      (1, "", nil), (80, "GET", nil),
    ] as [(UInt16, String, String?)])
  func `A first request is answered as a server would`(_ port: UInt16, _ request: String, _ start: String?) {
    let answer = DecoyGreeting.answer(port, to: Array(request.utf8)[...])
    #expect((answer == nil) == (start == nil))
    if let start { #expect(answer?.starts(with: start.utf8) == true) }
  }
}
