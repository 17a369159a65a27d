import Platform
import Wire

/// The program that sends a message, with what it is given. Secrets stand in `input` only, where no other user sees them.
package struct NotifyRequest: Sendable, Equatable {
  /// `curl`, `sendmail`, or an absolute path.
  package var program: String
  /// Without the program's name.
  package var arguments: [String] = []
  /// Its standard input.
  package var input: [UInt8]
  /// To be taken out of what the program says.
  package var secrets: [String] = []

  /// How long a client may take, in seconds; it is ended a little later.
  package static let limit = 20

  /// - Parameters:
  ///   - host: the name of this host.
  ///   - number: distinguishes messages of one sentry (Matrix wants that).
  ///   - read: gives the first line of a file.
  package init<Failure: Error>(
    _ message: NotifyMessage, to target: NotifyTarget, host: String, number: UInt64,
    read: (String) throws(Failure) -> String
  ) throws(Failure) {
    self = try Self.make(message, target, SafeText.line(host, limit: 255), number, read)
  }

  private init(_ program: String, _ arguments: [String], input: String) {
    self.program = program
    self.arguments = arguments
    self.input = Array(input.utf8)
  }

  private static func make<Failure: Error>(
    _ message: NotifyMessage, _ target: NotifyTarget, _ host: String, _ number: UInt64,
    _ read: (String) throws(Failure) -> String
  ) throws(Failure) -> NotifyRequest {
    func word(_ secret: NotifySecret) throws(Failure) -> String {
      switch secret {
      case .text(let text): text
      case .file(let path): try read(path)
      }
    }
    let json = message.json(host: host).text
    let text = "\(host): \(message.text)"
    switch target {
    case .command(let words): return NotifyRequest(words[0], Array(words.dropFirst()), input: json + "\n")
    case .mail(let recipients):
      return NotifyRequest("sendmail", ["-i", "--"] + recipients, input: mail(message, host, recipients))
    case .ntfy(let url, let token):
      let headers = ["Title: PortSentry on \(host)", "Priority: \(message.notice?.kind.isUrgent == true ? 4 : 3)"]
      return post(message.text, to: try word(url), headers, token: try token.map(word))
    case .webhook(let url, let token): return post(json, to: try word(url), [isJSON], token: try token.map(word))
    case .slack(let url):
      return post(JSON.object(["text": .string(slackText(text))]).text, to: try word(url), [isJSON])
    case .discord(let url):
      // Nobody is called by what a stranger wrote.
      let body = JSON.object(["content": .string(text), "allowed_mentions": .object(["parse": .array([])])])
      return post(body.text, to: try word(url), [isJSON])
    case .matrix(let server, let room, let token):
      let id = "\(message.time.nanoseconds)-\(number)"
      return post(
        JSON.object(["msgtype": "m.text", "body": .string(text)]).text,
        to: "\(server)/_matrix/client/v3/rooms/\(percent(room))/send/m.room.message/\(id)", by: "PUT", [isJSON],
        token: try word(token))
    case .telegram(let chat, let token):
      let token = try word(token)
      var request = post(
        JSON.object(["chat_id": .string(chat), "text": .string(text)]).text,
        to: "https://api.telegram.org/bot\(percent(token))/sendMessage", [isJSON])
      request.secrets.append(token)
      return request
    }
  }

  private static let isJSON = "Content-Type: application/json"

  /// A request by curl(1), which reads all of it from standard input.
  private static func post(
    _ body: String, to url: String, by method: String = "POST", _ headers: [String], token: String? = nil
  ) -> NotifyRequest {
    var lines = [
      "silent", "show-error", "fail", "globoff", "proto = \"=http,https\"", "max-time = \(limit)",
      "output = \"/dev/null\"", "user-agent = \"portsentry\"", "request = \"\(method)\"", "url = \(quoted(url))",
    ]
    lines += headers.map { "header = \(quoted($0))" }
    if let token { lines.append("header = \(quoted("Authorization: Bearer \(token)"))") }
    // Not data-binary, for which a body that begins with @ names a file.
    lines.append("data-raw = \(quoted(body))")
    // --disable first, or curl would read a file of the user's.
    var request = NotifyRequest(
      "curl", ["--disable", "--config", "-"], input: lines.joined(separator: "\n") + "\n")
    request.secrets = [url] + (token.map { [$0] } ?? [])
    return request
  }

  /// A value in curl's configuration. Nothing in it ends the line or the quotes.
  package static func quoted(_ text: String) -> String {
    var bytes: [UInt8] = [UInt8(ascii: "\"")]
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
      case UInt8(ascii: "\n"): bytes += Array("\\n".utf8)
      case 0..<0x20, 0x7f: bytes.append(UInt8(ascii: " "))
      default: bytes.append(byte)
      }
    }
    return String(decoding: bytes + [UInt8(ascii: "\"")], as: UTF8.self)
  }

  /// RFC 3986 section 2.1, for one part of a path.
  package static func percent(_ text: String) -> String {
    var result = ""
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: ":"):
        result.unicodeScalars.append(Unicode.Scalar(byte))
      default:
        let hex = String(byte, radix: 16, uppercase: true)
        result += "%" + (hex.utf8.count == 1 ? "0" : "") + hex
      }
    }
    return result
  }

  /// Slack's three control characters.
  private static func slackText(_ text: String) -> String {
    text.replacingBytes("&", with: "&amp;").replacingBytes("<", with: "&lt;").replacingBytes(">", with: "&gt;")
  }

  private static func mail(_ message: NotifyMessage, _ host: String, _ recipients: [String]) -> String {
    """
    To: \(recipients.joined(separator: ", "))
    Subject: \(SafeText.line("[PortSentry] \(host): \(message.headline)", limit: 200))
    Content-Type: text/plain; charset=us-ascii
    Auto-Submitted: auto-generated

    \(message.text)

    Host: \(host)
    Event: \(message.event)
    More: portsentry status, portsentry events\(message.notice?.subject.map { ", portsentry show \($0)" } ?? "")

    """
  }

  /// What the program wrote, on one line and without a secret.
  package func harmless(_ output: String) -> String {
    var text = output.byteLines.first.map { String($0) } ?? ""
    for secret in secrets where !secret.isEmpty { text = text.replacingBytes(secret, with: "...") }
    return SafeText.line(text, limit: 300)
  }
}
