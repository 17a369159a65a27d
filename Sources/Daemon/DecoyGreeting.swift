import Wire

/// What a decoy says, so that it passes for a service: what a server on that port would say first, or answer to the first
/// words of a client. On a port that is not in the table it is silent, as most services are until they are spoken to.
enum DecoyGreeting {
  /// What is said at once; nil where the client speaks first.
  ///
  /// - Parameter random: 28 random bytes, for greetings that are never the same.
  static func opening(_ port: UInt16, random: @autoclosure () -> [UInt8]) -> [UInt8]? {
    switch port {
    case 3306: mysql(random())
    case 23, 2323:
      // IAC DO TERMINAL-TYPE, DO NAWS, WILL ECHO, WILL SUPPRESS-GO-AHEAD (RFC 854), and the prompt.
      [255, 253, 24, 255, 253, 31, 255, 251, 1, 255, 251, 3] + Array("\r\nlogin: ".utf8)
    default: lines.first { $0.ports.contains(port) }.map { Array($0.text.utf8) }
    }
  }

  private static let lines: [(ports: [UInt16], text: String)] = [
    ([21, 2121], "220 FTP server ready.\r\n"),
    ([22, 222, 2222, 22222], "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"),
    ([25, 26, 587, 2525], "220 mail ESMTP ready\r\n"),
    ([106, 110], "+OK POP3 ready.\r\n"),
    ([119], "200 News server ready, posting allowed\r\n"),
    ([143, 220], "* OK [CAPABILITY IMAP4rev1 LITERAL+ ID ENABLE IDLE] IMAP ready.\r\n"),
    ([194, 6660, 6667, 6668, 6669], ":irc NOTICE * :*** Looking up your hostname\r\n"),
    ([873], "@RSYNCD: 31.0\n"),
    ([5900, 5901], "RFB 003.008\n"),
  ]

  /// What a first request is answered with; nil for silence.
  static func answer(_ port: UInt16, to request: ArraySlice<UInt8>) -> [UInt8]? {
    switch port {
    case 6379: return Array("-NOAUTH Authentication required.\r\n".utf8)
    case 11211: return Array("ERROR\r\n".utf8)
    default:
      // An HTTP request on any port gets the answer of a web server without a page.
      let methods = ["GET ", "HEAD ", "POST ", "OPTIONS ", "PUT "]
      return methods.contains { request.starts(with: $0.utf8) } ? web : nil
    }
  }

  private static let web: [UInt8] = {
    let page = "<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
    return Array(
      ("HTTP/1.1 404 Not Found\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: \(page.utf8.count)\r\n"
        + "Connection: close\r\n\r\n" + page).utf8)
  }()

  /// A server's first packet in protocol version 10 of MySQL: version, connection number, the two parts of the challenge.
  private static func mysql(_ random: [UInt8]) -> [UInt8] {
    // The challenge is printable in practice.
    let challenge = random.map { 0x21 + $0 % 0x5e }
    var body: [UInt8] = [10] + Array("8.0.36".utf8) + [0]
    body += challenge[20..<22] + [0, 0]
    body += challenge[0..<8] + [0]
    body += [0xff, 0xf7, 0xff, 0x02, 0x00, 0xff, 0xdf, 21] + [UInt8](repeating: 0, count: 10)
    body += challenge[8..<20] + [0] + Array("caching_sha2_password".utf8) + [0]
    return [UInt8(body.count), 0, 0, 0] + body
  }
}
