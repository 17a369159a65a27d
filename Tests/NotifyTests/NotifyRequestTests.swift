import Foundation
import Notify
import Testing
import Wire

@Suite struct NotifyRequestTests {
  private struct NoFile: Error {}

  private static func request(
    _ target: String, _ message: NotifyMessage = message, files: [String: String] = [:]
  ) throws -> NotifyRequest {
    try NotifyRequest(message, to: try NotifyTarget(target), host: "gate", number: 7) { (path: String) throws in
      guard let text = files[path] else { throw NoFile() }
      return text
    }
  }

  private static let notice = Notice(
    .block, at: Timestamp(seconds: 1000), about: "198.51.100.7",
    "Blocked 198.51.100.7 for 24h: \"x\" <b>&\\\u{1b}[2J\r\nX-Y: z")
  private static let message = NotifyMessage(notice, at: notice.time, others: [.block: 40, .scan: 1])
  private static let harmless = #"Blocked 198.51.100.7 for 24h: "x" <b>&\\x1b[2J\x0d\x0aX-Y: z"#

  /// What curl reads, as its manual says: a key, and a value in quotes with escapes.
  private static func options(_ request: NotifyRequest) -> [(String, String)] {
    String(decoding: request.input, as: UTF8.self).split(separator: "\n").map { line in
      guard let mark = line.range(of: " = \"") else { return (String(line), "") }
      var value = ""
      var isEscaped = false
      for character in line[mark.upperBound...].dropLast() {
        if isEscaped {
          value.append(character == "n" ? "\n" : character)
          isEscaped = false
        } else if character == "\\" {
          isEscaped = true
        } else {
          #expect(character != "\"", "a value ends early: \(line)")
          value.append(character)
        }
      }
      return (String(line[..<mark.lowerBound]), value)
    }
  }

  private static func values(_ request: NotifyRequest, _ key: String) -> [String] {
    options(request).filter { $0.0 == key }.map(\.1)
  }

  private static func body(_ request: NotifyRequest) throws -> [String: Any] {
    let text = try #require(values(request, "data-raw").first)
    return try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  private static let more = "\nand 41 more events not sent (40 block, 1 scan)"

  @Test(arguments: [
    ("ntfy https://ntfy.sh/SECRET", [:]), ("ntfy https://ntfy.sh/t SECRET", [:]),
    ("slack /f", ["/f": "https://x/SECRET"]),
    ("discord https://x/SECRET", [:]), ("webhook /f", ["/f": "https://x/SECRET"]),
    ("webhook https://x/ SECRET", [:]), ("matrix https://m !r:m SECRET", [:]), ("telegram 5 /f", ["/f": "SECRET"]),
  ])
  func `No secret is an argument, and none is left in what curl says`(_ target: String, _ files: [String: String])
    throws
  {
    let request = try Self.request(target, files: files)
    #expect(request.program == "curl")
    #expect(request.arguments == ["--disable", "--config", "-"])
    #expect(Self.values(request, "proto") == ["=http,https"])
    #expect(String(decoding: request.input, as: UTF8.self).containsBytes("SECRET"))
    #expect(!request.secrets.isEmpty)
    let said = request.harmless("curl: (3) bad: \(request.secrets.joined(separator: " ")) SECRETS\u{1b}\nmore")
    #expect(said.hasPrefix("curl: (3) bad: ..."))
    #expect(!said.containsBytes("\u{1b}"))
  }

  @Test func `ntfy gets text, title and priority`() throws {
    let request = try Self.request("ntfy https://ntfy.sh/t tk_1")
    #expect(Self.values(request, "url") == ["https://ntfy.sh/t"])
    #expect(Self.values(request, "request") == ["POST"])
    #expect(
      Self.values(request, "header") == ["Title: PortSentry on gate", "Priority: 3", "Authorization: Bearer tk_1"])
    #expect(Self.values(request, "data-raw") == [Self.harmless + Self.more])
  }

  @Test func `Chat services get one text`() throws {
    let text = "gate: \(Self.harmless)\(Self.more)"
    #expect(try Self.body(Self.request("discord https://x/"))["content"] as? String == text)
    #expect(try Self.body(Self.request("telegram 5 tok"))["text"] as? String == text)
    #expect(try Self.body(Self.request("matrix https://m !r:m tok"))["body"] as? String == text)
    let slack = try Self.body(Self.request("slack https://x/"))["text"] as? String
    #expect(
      slack
        == text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
        .replacingOccurrences(of: ">", with: "&gt;"))
    #expect(
      Self.values(try Self.request("telegram 5 1:t/k"), "url") == ["https://api.telegram.org/bot1:t%2Fk/sendMessage"])
    let matrix = try Self.request("matrix https://m/ !r:m tok")
    #expect(Self.values(matrix, "request") == ["PUT"])
    #expect(
      Self.values(matrix, "url")
        == ["https://m/_matrix/client/v3/rooms/%21r:m/send/m.room.message/1000000000000-7"])
  }

  @Test(arguments: ["webhook https://x/", "command /bin/tell a b"])
  func `Programs get JSON`(_ target: String) throws {
    let request = try Self.request(target)
    let isCommand = request.program == "/bin/tell"
    if isCommand { #expect(request.arguments == ["a", "b"]) }
    let body =
      isCommand
      ? try #require(try JSONSerialization.jsonObject(with: Data(request.input)) as? [String: Any])
      : try Self.body(request)
    #expect(Set(body.keys) == ["version", "event", "time", "host", "subject", "text", "not_sent"])
    #expect(body["event"] as? String == "block")
    #expect(body["time"] as? Int == 1000)
    #expect(body["subject"] as? String == "198.51.100.7")
    #expect(body["text"] as? String == Self.harmless + Self.more)
    #expect(body["not_sent"] as? [String: Int] == ["block": 40, "scan": 1])
  }

  @Test func `Mail has its headers and nothing of a stranger's`() throws {
    let request = try Self.request("mail root admin@example.org")
    #expect(request.program == "sendmail")
    #expect(request.arguments == ["-i", "--", "root", "admin@example.org"])
    let text = String(decoding: request.input, as: UTF8.self)
    let parts = text.components(separatedBy: "\n\n")
    #expect(
      parts[0].components(separatedBy: "\n") == [
        "To: root, admin@example.org", "Subject: [PortSentry] gate: \(Self.harmless)",
        "Content-Type: text/plain; charset=us-ascii", "Auto-Submitted: auto-generated",
      ])
    #expect(parts[1] == Self.harmless + Self.more)
  }

  @Test func `A file that cannot be read is said`() {
    #expect(throws: NoFile.self) { try Self.request("slack /f") }
  }

  @Test func `A test and a summary have words of their own`() {
    let test = NotifyMessage(nil, at: Timestamp(seconds: 1), isTest: true)
    #expect(test.text == "This is a test of NOTIFY: messages arrive")
    #expect(test.event == "test")
    let summary = NotifyMessage(nil, at: Timestamp(seconds: 1), others: [.block: 1, .flood: 2])
    #expect(summary.text == "3 events not sent within the last hour (NOTIFY_PER_HOUR)\n1 block, 2 flood")
    #expect(summary.event == "summary")
    #expect(NotifyMessage(Self.notice, at: Self.notice.time).otherLine == nil)
    #expect(
      NotifyMessage(Self.notice, at: Self.notice.time, others: [.loss: 1]).otherLine
        == "and 1 more event not sent (1 loss)")
  }
}
