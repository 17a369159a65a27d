import Testing
import TestSupport
import Wire

@testable import Page

private func parse(_ text: String) -> HTTPRequest.Outcome { HTTPRequest.parse(Array(text.utf8)) }

private func status(_ text: String) -> Int? { if case .refused(let status) = parse(text) { status } else { nil } }

private func request(_ text: String) -> HTTPRequest? {
  if case .request(let request) = parse(text) { request } else { nil }
}

@Suite struct HTTPRequestTests {
  @Test func `A page is asked for`() {
    let asked = request(
      "GET /source?address=10.0.0.1&x=%3Cb%3E+1 HTTP/1.1\r\nHost: localhost:8080\r\n"
        + "Cookie: a=1; portsentry=ab==; b=2\r\n\r\n")
    #expect(asked?.method == .get)
    #expect(asked?.path == "/source")
    #expect(asked?.fields == ["address": "10.0.0.1", "x": "<b> 1"])
    #expect(asked?.host == "localhost")
    #expect(asked?.cookie("portsentry") == "ab==")
    #expect(asked?.cookie("sentry") == nil)
  }

  /// The first is what the fuzzer found: the mark joins the slash, and the path did not begin with the Character "/".
  @Test(arguments: ["\u{07fd}", "\u{0301}", "\u{200d}", "\u{0338}", "\u{20e3}"])
  func `A mark hides no separator`(_ mark: String) {
    let asked = request(
      "GET /\(mark)]7?\(mark)a=\(mark)1&\(mark)token=\(mark)x HTTP/1.1\r\nHost: localhost:80\r\n"
        + "Cookie: a=1;\(mark) b=2; portsentry=\(mark)ab; c=3\r\nOrigin: http://localhost:80\r\n\r\n")
    #expect(asked?.path.utf8.elementsEqual("/\(mark)]7".utf8) == true)
    #expect(asked?.fields == ["\(mark)a": "\(mark)1", "\(mark)token": "\(mark)x"])
    #expect(asked?.host == "localhost" && asked?.isForLoopback == true && asked?.isFromOurselves == true)
    #expect(asked?.cookie("portsentry")?.utf8.elementsEqual("\(mark)ab".utf8) == true)
    #expect(asked?.cookie("a") == "1" && asked?.cookie("c") == "3" && asked?.cookie("b") == nil)
    for host in [
      "localhost\(mark)", "127.0.0.1\(mark)", "[::1\(mark)]", "\(mark)localhost", "[::1]\(mark).evil.example",
      "localhost:\(mark)80", "localhost\(mark):80", "[::1]:80\(mark)", "[::1].evil.example", "\u{212a}localhost",
    ] {
      let asked = request("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n")
      #expect(asked?.isForLoopback == false, "\(host)")
    }
    let head = "POST /block HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Type: application/x-www-form-urlencoded"
    #expect(request(head + ";\(mark)charset=utf-8\r\n\r\na=1")?.fields == ["a": "1"])
    #expect(status(head + "\(mark);charset=utf-8\r\n\r\na=1") == 415)
  }

  @Test func `A form comes whole or not at all`() {
    let head =
      "POST /unblock HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
      + "Content-Length: 7\r\n\r\n"
    #expect(parse(head) == .incomplete)
    #expect(parse(head + "a=1&b=") == .incomplete)
    #expect(request(head + "a=1&b=2")?.fields == ["a": "1", "b": "2"])
    // What follows is not of this request.
    #expect(request(head + "a=1&b=2GET / HTTP/1.1\r\n\r\n")?.fields == ["a": "1", "b": "2"])
  }

  @Test func `A head is complete with its empty line, and not before`() {
    let text = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for count in 0..<text.utf8.count { #expect(HTTPRequest.parse(Array(text.utf8.prefix(count))) == .incomplete) }
    #expect(request(text)?.path == "/")
  }

  @Test(arguments: [
    ("GET / HTTP/2.0\r\n\r\n", 400), ("GET /\r\n\r\n", 400), ("GET  / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1 x\r\n\r\n", 400), ("\r\n\r\n", 400), ("GET http://x/ HTTP/1.1\r\n\r\n", 400),
    ("GET * HTTP/1.1\r\n\r\n", 400), ("PUT / HTTP/1.1\r\n\r\n", 405), ("get / HTTP/1.1\r\n\r\n", 405),
    ("CONNECT / HTTP/1.1\r\n\r\n", 405), ("GET /%0a HTTP/1.1\r\n\r\n", 400), ("GET /%ff HTTP/1.1\r\n\r\n", 400),
    ("GET /%4 HTTP/1.1\r\n\r\n", 400), ("GET /%zz HTTP/1.1\r\n\r\n", 400), ("GET /?a=%0d%0a HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400), ("GET / HTTP/1.1\r\n folded\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\n: x\r\n\r\n", 400), ("GET / HTTP/1.1\r\nA\u{0}: x\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nA: x\u{1b}\r\n\r\n", 400), ("GET / HTTP/1.1\r\nA: x\ry\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400), ("GET / HTTP/1.1\r\nCookie: a\r\ncookie: b\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501), ("POST / HTTP/1.1\r\n\r\n", 411),
    ("POST / HTTP/1.1\r\nContent-Length: 4097\r\n\r\n", 413), ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 413),
    ("POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 413), ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 415),
    ("POST / HTTP/1.1\r\nContent-Type: multipart/form-data\r\nContent-Length: 1\r\n\r\nx", 415),
    ("GET /?\(String(repeating: "a&", count: 33)) HTTP/1.1\r\n\r\n", 400),
  ])
  func `What is none is refused`(text: String, expected: Int) { #expect(status(text) == expected) }

  @Test func `A head has an end`() {
    let long = "GET / HTTP/1.1\r\nA: " + String(repeating: "x", count: HTTPRequest.headLimit)
    #expect(status(long) == 431)
    #expect(status(long + "\r\n\r\n") == 431)
    let fits = "GET / HTTP/1.1\r\nA: " + String(repeating: "x", count: HTTPRequest.headLimit - 23) + "\r\n\r\n"
    #expect(fits.utf8.count == HTTPRequest.headLimit)
    #expect(request(fits) != nil)
  }

  @Test func `Any bytes lead to an answer, and more bytes change no refusal into a request`() {
    var random = SeededGenerator(seed: 11)
    let seeds = [
      "GET /source?address=%31&b=c HTTP/1.1\r\nHost: [::1]:80\r\nCookie: portsentry=1\r\n\r\n",
      "POST /unblock HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b",
    ].map { Array($0.utf8) }
    var served = 0
    for _ in 0..<20_000 {
      var bytes = seeds[Int.random(in: 0..<2, using: &random)]
      for _ in 0..<Int.random(in: 0..<4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      if case .request(let request) = HTTPRequest.parse(bytes) {
        served += 1
        #expect(request.path.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f })
        #expect(request.path.hasPrefix("/"))
      }
    }
    #expect(served > 1000)
  }

  @Test(arguments: [
    ("localhost", true), ("LOCALHOST:8080", true), ("127.0.0.1:80", true), ("[::1]:80", true), ("[::1]", true),
    ("evil.example", false), ("localhost.evil.example", false), ("127.0.0.1.evil.example:80", false), ("", false),
    ("[::2]", false), ("0.0.0.0", false), ("localhost@evil.example", false),
  ])
  func `Only names that mean this host are served`(host: String, isServed: Bool) {
    #expect(HTTPRequest(path: "/", headers: ["host": host]).isForLoopback == isServed)
  }

  @Test func `A form says where it comes from`() {
    func isOurs(_ headers: [String: String]) -> Bool {
      HTTPRequest(method: .post, path: "/unblock", headers: headers).isFromOurselves
    }
    #expect(isOurs(["host": "localhost:8080", "origin": "http://localhost:8080"]))
    #expect(!isOurs(["host": "localhost:8080", "origin": "http://localhost:9090"]))
    #expect(!isOurs(["host": "localhost:8080", "origin": "null"]))
    #expect(!isOurs(["host": "localhost:8080", "origin": "http://evil.example", "sec-fetch-site": "same-origin"]))
    #expect(isOurs(["host": "localhost", "sec-fetch-site": "same-origin"]))
    #expect(!isOurs(["host": "localhost", "sec-fetch-site": "cross-site"]))
    #expect(!isOurs(["host": "localhost"]))
  }
}
