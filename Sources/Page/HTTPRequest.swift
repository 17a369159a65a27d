import Wire

/// A request as the page understands it: HTTP/1.1 (RFC 9112), the part that a browser needs to ask for a page and to send a
/// small form. What is larger, older or cleverer is refused.
package struct HTTPRequest: Sendable, Equatable {
  package enum Method: String, Sendable {
    case get = "GET"
    case head = "HEAD"
    case post = "POST"
  }

  package var method: Method
  /// Decoded, without the query; begins with a slash.
  package var path: String
  /// The members of the query, and of the form in a POST.
  package var fields: [String: String]
  /// By their names in lower case.
  package var headers: [String: String]

  /// Bytes of the head, and of the body.
  package static let headLimit = 8 << 10
  package static let bodyLimit = 4 << 10

  package init(
    method: Method = .get, path: String, fields: [String: String] = [:], headers: [String: String] = [:]
  ) {
    self.method = method
    self.path = path
    self.fields = fields
    self.headers = headers
  }

  package enum Outcome: Sendable, Equatable {
    /// More bytes have to come.
    case incomplete
    /// It is none, or none that is served; the status says why.
    case refused(status: Int)
    case request(HTTPRequest)
  }

  /// Reads what has come so far.
  package static func parse(_ bytes: [UInt8]) -> Outcome {
    guard let end = headEnd(bytes) else {
      return bytes.count > headLimit ? .refused(status: 431) : .incomplete
    }
    guard end <= headLimit else { return .refused(status: 431) }
    var lines = bytes[..<(end - 4)].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)[...]
    guard let first = lines.popFirst().flatMap(line) else { return .refused(status: 400) }
    // RFC 9112 section 3: three words, one blank between each.
    let words = first.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    guard words.count == 3, words[2].starts(with: "HTTP/1.".utf8), words[2].count == 8 else {
      return .refused(status: 400)
    }
    guard let method = Method(rawValue: String(decoding: words[0], as: UTF8.self)) else { return .refused(status: 405) }
    var request = HTTPRequest(method: method, path: "")
    for raw in lines {
      guard let line = line(raw), let (name, value) = header(line) else { return .refused(status: 400) }
      // Two answers to who is asked or how long it is are none.
      if request.headers[name] != nil, ["host", "content-length", "cookie", "origin"].contains(name) {
        return .refused(status: 400)
      }
      request.headers[name] = value
    }
    // RFC 9112 section 6.1: no form of ours is sent in pieces.
    if request.headers["transfer-encoding"] != nil { return .refused(status: 501) }
    let target = words[1].split(separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
    guard target[0].first == UInt8(ascii: "/"), let path = decoded(target[0], plusIsBlank: false) else {
      return .refused(status: 400)
    }
    request.path = path
    if target.count == 2, !addFields(target[1], to: &request.fields) { return .refused(status: 400) }
    guard method == .post else { return .request(request) }
    guard let length = request.headers["content-length"].flatMap(number), length <= bodyLimit else {
      return .refused(status: request.headers["content-length"] == nil ? 411 : 413)
    }
    guard bytes.count >= end + length else { return .incomplete }
    let type = request.headers["content-type"]?.splitBytes(";").first?.splitBytes(" \t").first?.asciiLowercased
    guard type == "application/x-www-form-urlencoded" else { return .refused(status: 415) }
    guard addFields(bytes[end..<(end + length)], to: &request.fields) else { return .refused(status: 400) }
    return .request(request)
  }

  private static func headEnd(_ bytes: [UInt8]) -> Int? {
    guard bytes.count >= 4 else { return nil }
    for at in 0...(min(bytes.count, headLimit + 4) - 4)
    where bytes[at] == 13 && bytes[at + 1] == 10 && bytes[at + 2] == 13 && bytes[at + 3] == 10 {
      return at + 4
    }
    return nil
  }

  /// A line without its carriage return; nil when there is another control character in it.
  private static func line(_ raw: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    let line = raw.last == 13 ? raw.dropLast() : raw
    return line.allSatisfy { $0 >= 0x20 && $0 != 0x7f || $0 == 9 } ? line : nil
  }

  private static func header(_ line: ArraySlice<UInt8>) -> (String, String)? {
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex else { return nil }
    let name = line[..<colon]
    // RFC 9110 section 5.6.2: no blanks in a name, and none before the colon.
    guard name.allSatisfy({ isNameByte($0) }) else { return nil }
    var value = line[(colon + 1)...]
    while let byte = value.first, byte == 0x20 || byte == 9 { value.removeFirst() }
    while let byte = value.last, byte == 0x20 || byte == 9 { value.removeLast() }
    return (String(decoding: name, as: UTF8.self).asciiLowercased, String(decoding: value, as: UTF8.self))
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
  }

  private static func number(_ text: String) -> Int? {
    guard (1...9).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return Int(text)
  }

  /// `name=value&…`; at most 32 of them.
  private static func addFields(_ bytes: ArraySlice<UInt8>, to fields: inout [String: String]) -> Bool {
    let pairs = bytes.split(separator: UInt8(ascii: "&"))
    guard pairs.count <= 32 else { return false }
    for pair in pairs {
      let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = decoded(parts[0], plusIsBlank: true),
        let value = parts.count == 2 ? decoded(parts[1], plusIsBlank: true) : ""
      else { return false }
      fields[name] = value
    }
    return true
  }

  /// Takes percent signs apart; nil where that is not UTF-8, or has a control character.
  private static func decoded(_ bytes: ArraySlice<UInt8>, plusIsBlank: Bool) -> String? {
    var result: [UInt8] = []
    var index = bytes.startIndex
    while index < bytes.endIndex {
      let byte = bytes[index]
      if byte == UInt8(ascii: "%") {
        guard index + 2 < bytes.endIndex, let high = hex(bytes[index + 1]), let low = hex(bytes[index + 2]) else {
          return nil
        }
        result.append(high << 4 | low)
        index += 3
      } else {
        result.append(plusIsBlank && byte == UInt8(ascii: "+") ? 0x20 : byte)
        index += 1
      }
    }
    guard result.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else { return nil }
    return String(validating: result, as: UTF8.self)
  }

  private static func hex(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x37
    case 0x61...0x66: byte - 0x57
    default: nil
    }
  }

  // MARK: What it says of itself

  /// A cookie's value.
  package func cookie(_ name: String) -> String? {
    for part in (headers["cookie"] ?? "").splitBytes(";") {
      let pair = Substring(part.utf8.drop { $0 == 0x20 }).splitBytes("=", maxSplits: 1)
      if pair.count == 2, pair[0].isSameBytes(as: name) { return String(pair[1]) }
    }
    return nil
  }

  /// The host that was asked, without its port; nil where what is behind it is no port.
  package var host: String? {
    guard let value = headers["host"] else { return nil }
    let end =
      value.startsWithBytes("[")
      ? value.firstByte("]").map { value.utf8.index(after: $0) } : value.firstByte(":") ?? value.endIndex
    guard let end else { return nil }
    let rest = value.utf8[end...]
    guard rest.isEmpty || rest.first == UInt8(ascii: ":") && rest.dropFirst().allSatisfy({ (0x30...0x39).contains($0) })
    else { return nil }
    return String(value[..<end])
  }

  /// Whether it was asked by this name, which is ASCII in lower case.
  package func isFor(_ name: String) -> Bool { host?.asciiLowercased.isSameBytes(as: name) == true }

  /// Whether it was asked by a name that every program of this host shares.
  package var isForLoopback: Bool {
    ["localhost", "127.0.0.1", "[::1]"].contains(where: isFor)
  }

  /// Whether a form was sent by a page of ours: browsers say where it comes from.
  package var isFromOurselves: Bool {
    if let origin = headers["origin"] {
      guard let host = headers["host"] else { return false }
      return origin.isSameBytes(as: "http://\(host)") || origin.isSameBytes(as: "https://\(host)")
    }
    return headers["sec-fetch-site"] == "same-origin"
  }
}
