import Report

/// An answer, with the headers that keep a page from doing what it should not.
package struct HTTPResponse: Sendable {
  package enum Kind: String, Sendable {
    case html = "text/html; charset=utf-8"
    case text = "text/plain; charset=utf-8"
    case css = "text/css; charset=utf-8"
    case script = "text/javascript; charset=utf-8"
    case svg = "image/svg+xml"
    case metrics = "text/plain; version=0.0.4; charset=utf-8"
    case json = "application/json"
    /// Goes on: server-sent events.
    case events = "text/event-stream"
  }

  package var status: Int
  package var kind: Kind
  package var body: String
  /// More headers; our own texts only.
  package var headers: [(name: String, value: String)]

  package init(
    _ status: Int = 200, _ kind: Kind = .html, _ body: String = "", headers: [(name: String, value: String)] = []
  ) {
    self.status = status
    self.kind = kind
    self.body = body
    self.headers = headers
  }

  package init(_ status: Int = 200, _ html: HTML) { self.init(status, .html, html.text) }

  /// To another page of ours, to be asked for by GET.
  package static func redirect(to path: String, headers: [(name: String, value: String)] = []) -> HTTPResponse {
    HTTPResponse(303, .text, "", headers: [("Location", path)] + headers)
  }

  /// Nothing from elsewhere, nothing inline, in nobody's frame. The referrer policy below must not be no-referrer: browsers would
  /// send our own forms with `Origin: null`, and they would be refused.
  private static let policy =
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    + " frame-ancestors 'none'; base-uri 'none'"

  /// - Parameter withBody: not for HEAD.
  package func bytes(withBody: Bool = true) -> [UInt8] {
    var head = "HTTP/1.1 \(status) \(Self.reason(status))\r\nContent-Type: \(kind.rawValue)\r\n"
    if kind == .events {
      head += "Connection: keep-alive\r\n"
    } else {
      head += "Content-Length: \(body.utf8.count)\r\nConnection: close\r\n"
    }
    head += """
      Cache-Control: no-store\r
      Content-Security-Policy: \(Self.policy)\r
      X-Content-Type-Options: nosniff\r
      X-Frame-Options: DENY\r
      Referrer-Policy: same-origin\r
      Cross-Origin-Opener-Policy: same-origin\r
      Cross-Origin-Resource-Policy: same-origin\r
      Permissions-Policy: interest-cohort=()\r

      """
    for (name, value) in headers { head += "\(name): \(value)\r\n" }
    return Array((head + "\r\n" + (withBody ? body : "")).utf8)
  }

  static func reason(_ status: Int) -> String {
    switch status {
    case 200: "OK"
    case 303: "See Other"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 408: "Request Timeout"
    case 411: "Length Required"
    case 413: "Content Too Large"
    case 415: "Unsupported Media Type"
    case 421: "Misdirected Request"
    case 431: "Request Header Fields Too Large"
    case 501: "Not Implemented"
    case 503: "Service Unavailable"
    default: "Error"
    }
  }
}
