import Notify
import Platform
import Wire

/// One question to the local API, as curl(1) reads it from its standard input: nothing secret is on a command line.
package struct APICall: Sendable, Equatable {
  package var arguments = ["--disable", "--config", "-"]
  package var input: [UInt8]
  /// To be taken out of what curl says.
  package var secrets: [String]

  /// Seconds that an answer may take, and that a connection may.
  package static let limit = 20
  private static let connectLimit = 5
  /// Bytes of an answer that are taken; a longer one is a fault.
  package static let mostAnswer = 16 << 20

  package init(
    _ method: String, _ url: String, headers: [String] = [], body: String? = nil, secrets: [String] = []
  ) {
    var lines = [
      "silent", "show-error", "globoff", "proto = \"=http,https\"", "max-time = \(Self.limit)",
      "connect-timeout = \(Self.connectLimit)", "user-agent = \"portsentry/v3\"", "write-out = \"\\n%{http_code}\"",
      "request = \"\(method)\"", "url = \(NotifyRequest.quoted(url))",
    ]
    lines += (headers + (body == nil ? [] : ["Content-Type: application/json"])).map {
      "header = \(NotifyRequest.quoted($0))"
    }
    // Not data-binary, for which a body that begins with @ names a file.
    if let body { lines.append("data-raw = \(NotifyRequest.quoted(body))") }
    input = Array((lines.joined(separator: "\n") + "\n").utf8)
    self.secrets = secrets
  }

  /// What curl wrote when it could not ask, on one line and without a secret.
  package func harmless(_ output: String) -> String {
    var text = output.byteLines.first { !$0.isEmpty }.map { String($0) } ?? ""
    for secret in secrets where !secret.isEmpty { text = text.replacingBytes(secret, with: "...") }
    return SafeText.line(text, limit: 300)
  }
}

/// What the local API answered.
package struct APIAnswer: Sendable, Equatable {
  package var status: Int
  package var body: [UInt8]

  package init(status: Int, body: [UInt8]) {
    self.status = status
    self.body = body
  }

  /// Reads what curl wrote: the body, and the status on a line of its own.
  package init?(output: [UInt8]) {
    guard let end = output.lastIndex(of: 0x0a), let status = Int(String(decoding: output[(end + 1)...], as: UTF8.self)),
      (100...599).contains(status)
    else { return nil }
    self.init(status: status, body: Array(output[..<end]))
  }

  var isGood: Bool { (200...299).contains(status) }

  /// What it says is wrong.
  var message: String {
    var reader = JSONReader(body)
    var text: String?
    try? reader.object { (reader, name) throws(JSONReader.Fault) in
      if name.isSameBytes(as: "message") { text = try reader.text() } else { try reader.skip() }
    }
    return text.map { "\(status), \(SafeText.line($0, limit: 120))" } ?? "\(status)"
  }
}

/// Why nothing is exchanged with the local API, in words.
package struct APIFault: Error, Equatable, Sendable {
  package let text: String

  package init(_ text: String) { self.text = text }
}

/// Pauses after failures: 1, 2, 4 … 60 seconds. Monotonic nanoseconds.
struct Backoff: Sendable, Equatable {
  private var failures = 0
  private(set) var until: Int64 = 0

  mutating func failed(at now: Int64, atLeast least: Int64 = 1) {
    until = now + max(min(Int64(1) << Int64(min(failures, 6)), 60), least) * 1_000_000_000
    failures += 1
  }

  mutating func worked() { self = Backoff() }
}
