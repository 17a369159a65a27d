import CLinux
import CrowdSec
import Detection
import Platform
import Response
import Synchronization
import Testing
import TestSupport
import Wire

@testable import Daemon

/// A local API that answers by itself, one connection after another. curl is real.
private final class FakeAPI: Sendable {
  let port: UInt16
  private let asked = Mutex([String]())
  private let isOver = Mutex(false)

  /// First lines of the questions, and their bodies.
  var questions: [String] { asked.withLock(\.self) }

  init(_ answer: @escaping @Sendable (String) -> (Int, String)) throws {
    let raw = try check("socket") { socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    try unsafe withUnsafeMutablePointer(to: &address) { pointer in
      try unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        try check("bind") { unsafe bind(raw, pointer, size) }
        try check("listen") { listen(raw, 8) }
        try check("getsockname") { unsafe getsockname(raw, pointer, &size) }
      }
    }
    port = UInt16(bigEndian: address.sin_port)
    _ = try Platform.Thread.start(name: "api") { [self] in
      while !isOver.withLock(\.self) {
        guard !Poll.readable([raw], milliseconds: 50).isEmpty else { continue }
        let client = FileDescriptor(owning: accept(raw, nil, nil))
        var text = ""
        // curl sends a body with the head, or right after it.
        while let bytes = try? client.read(upTo: 1 << 16), !bytes.isEmpty {
          text += String(decoding: bytes, as: UTF8.self)
          if let end = text.firstRange(of: "\r\n\r\n") {
            let head = text[..<end.lowerBound]
            let length =
              head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("content-length:") }
              .flatMap { Int($0.split(separator: " ").last ?? "") } ?? 0
            if text[end.upperBound...].utf8.count >= length { break }
          }
        }
        let question = text
        asked.withLock { $0.append(question) }
        let (status, body) = answer(question)
        try? client.writeAll(
          Array(
            "HTTP/1.1 \(status) X\r\nContent-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)".utf8))
      }
      close(raw)
    }
  }

  func stop() { isOver.withLock { $0 = true } }
}

@Suite struct CrowdSecClientTests {
  private func secret(_ path: String, _ text: String, mode: mode_t = 0o600) throws {
    try Files.replace(path, with: Array(text.utf8), mode: mode)
  }

  private func settings(_ folder: String, port: UInt16) throws -> CrowdSecSettings {
    try secret(folder + "/machine", "login: web1\npassword: top-secret\n")
    try secret(folder + "/key", "k3y\n")
    var settings = CrowdSecSettings()
    (settings.machineFile, settings.keyFile) = (folder + "/machine", folder + "/key")
    settings.url = "http://127.0.0.1:\(port)"
    return settings
  }

  /// Advances until something is so, or a minute is over.
  private func advance(_ client: CrowdSecClient, until isSo: (CrowdSecClient) -> Bool) -> (
    [DecisionBook.Change], [News]
  ) {
    var (changes, news): ([DecisionBook.Change], [News]) = ([], [])
    let limit = ContinuousClock.now + .seconds(60)
    while ContinuousClock.now < limit {
      let more = client.advance(at: Clock.monotonic, time: Timestamp(seconds: 1_700_000_000))
      changes += more.changes
      news += more.news
      if isSo(client) { break }
      _ = Poll.readable(client.descriptors, milliseconds: 20)
    }
    return (changes, news)
  }

  @Test func `Both lanes work through a real curl`() throws {
    try inFolder { folder in
      let api = try FakeAPI { question in
        if question.hasPrefix("POST /v1/watchers/login") { return (200, #"{"token":"abc"}"#) }
        if question.hasPrefix("POST /v1/alerts") { return (201, #"["1"]"#) }
        if question.hasPrefix("GET /v1/decisions/stream?startup=true&scopes=ip,range") {
          return (
            200,
            #"{"new":[{"id":5,"type":"ban","value":"45.1.2.3","duration":"1h","scenario":"a/b","origin":"cscli"}],"deleted":null}"#
          )
        }
        return (200, "")
      }
      defer { api.stop() }
      let client = CrowdSecClient(try settings(folder, port: api.port), confiner: nil)
      client.tell(.alert("{\"x\":\"\\\"'$(id)\"}"))
      let (changes, news) = advance(client) { $0.statistics.told == 1 && $0.isWhole }
      #expect(
        changes == [
          .begins(
            IPNetwork("45.1.2.3")!, until: Timestamp(seconds: 1_700_003_600), scenario: "a/b")
        ])
      #expect(news.isEmpty && !client.statistics.isFailing)
      let push = try #require(api.questions.first { $0.hasPrefix("POST /v1/alerts") })
      #expect(push.contains("Authorization: Bearer abc") && push.hasSuffix("[{\"x\":\"\\\"'$(id)\"}]"))
      let login = try #require(api.questions.first { $0.hasPrefix("POST /v1/watchers/login") })
      #expect(login.contains(#"{"machine_id":"web1","password":"top-secret","scenarios":[]}"#))
      #expect(api.questions.contains { $0.hasPrefix("GET /v1/decisions") && $0.contains("X-Api-Key: k3y") })
      client.stop()
    }
  }

  @Test func `A server that is not there is said once, without a secret`() throws {
    try inFolder { folder in
      let client = CrowdSecClient(try settings(folder, port: 1), confiner: nil)
      let (_, news) = advance(client) { $0.statistics.isFailing && $0.descriptors.isEmpty }
      let more = advance(client) { _ in true }.1
      let texts = (news + more).map(\.text)
      #expect(texts.count == Set(texts).count && texts.count <= 2)
      #expect(texts.allSatisfy { $0.contains("not reached") && !$0.contains("secret") && !$0.contains("k3y") })
    }
  }

  @Test(
    "What is wrong with a file is said",
    arguments: [
      ("login: a\npassword: b", 0o644, "chmod 600"), ("login: a", 0o600, "password"), (nil, 0, "cannot read"),
    ]
      as [(String?, mode_t, String)])
  func files(text: String?, mode: mode_t, words: String) throws {
    try inFolder { folder in
      var settings = CrowdSecSettings()
      settings.machineFile = folder + "/machine"
      if let text { try secret(folder + "/machine", text, mode: mode) }
      let client = CrowdSecClient(settings, confiner: nil)
      let news = client.advance(at: Clock.monotonic, time: Clock.now).news
      #expect(news.count == 1 && news[0].isError && news[0].text.contains(words), "\(news)")
      #expect(!client.isTold)
    }
  }

  @Test func `Of a scan is told once an hour, and of a flood of them sixty a minute`() throws {
    try inFolder { folder in
      let client = CrowdSecClient(try settings(folder, port: 1), confiner: nil)
      let second: Int64 = 1_000_000_000
      let source = IPAddress("45.1.2.3")!
      #expect(client.mayTell(of: source, at: 0) && !client.mayTell(of: source, at: 3599 * second))
      #expect(client.mayTell(of: source, at: 3601 * second))
      let told = (0..<1_000).count { client.mayTell(of: IPAddress(v4: 0x0b00_0000 + UInt32($0)), at: 4000 * second) }
      #expect(told == CrowdSecClient.mostScansAMinute && client.scansLeftOut == 940)
      #expect(client.mayTell(of: IPAddress("45.1.2.9")!, at: 4061 * second))
    }
  }

  @Test func `A sentry without its files exchanges nothing, and one with them says how it goes`() throws {
    try withSentry(.native) { sentry, _ in
      sentry.setUpCrowdSec()
      #expect(sentry.companions.crowdSec == nil && sentry.crowdSecJSON.text == "null")
      #expect(sentry.companions.crowdSecMetrics.isEmpty)
      sentry.plan.configuration.crowdSec.keyFile = "/nonexistent/key"
      sentry.setUpCrowdSec()
      sentry.advanceCrowdSec()
      #expect(sentry.crowdSecJSON.text.contains(#""failing":true"#))
      #expect(sentry.companions.crowdSecMetrics.count == 5)
      sentry.plan.configuration.crowdSec = CrowdSecSettings()
      sentry.setUpCrowdSec()
      #expect(sentry.companions.crowdSec == nil)
    }
  }
}
