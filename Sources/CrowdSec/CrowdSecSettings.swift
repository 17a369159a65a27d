import Wire

/// Where CrowdSec's local API is, and what is exchanged with it. Nothing where no file is named.
package struct CrowdSecSettings: Sendable, Equatable {
  /// What becomes of its decisions (`CROWDSEC_DECISIONS`).
  package enum Use: String, Sendable, CaseIterable {
    /// One connection with a decoy of this host is enough to block whom it bans.
    case watch
    /// Whom it bans is blocked here.
    case ban
  }

  package static let defaultURL = "http://127.0.0.1:8080"

  /// `CROWDSEC_URL`, without a slash at its end; nil: what the machine's file says, or this host.
  package var url: String?
  /// `CROWDSEC_MACHINE`: the file that `cscli machines add -f` wrote; nil: nothing is told.
  package var machineFile: String?
  /// `CROWDSEC_KEY`: the file whose first line is a bouncer's key; nil: nothing is asked.
  package var keyFile: String?
  package var use = Use.watch

  package init() {}

  package var isOn: Bool { machineFile != nil || keyFile != nil }

  /// Whether secrets would go over a network unencrypted.
  package static func isUnencrypted(_ url: String) -> Bool {
    guard url.startsWithBytes("http://") else { return false }
    let rest = url.dropFirst(7)
    if rest.startsWithBytes("[::1]") { return false }
    // A name that only begins like one of this host is somebody else's.
    let host = String(decoding: rest.utf8.prefix { $0 != 0x3a && $0 != 0x2f }, as: UTF8.self)
    return !(host.isSameBytes(as: "localhost") || (host.startsWithBytes("127.") && IPAddress(host) != nil))
  }

  /// Whether a text is the address of a server, with no user, query or blank in it.
  package static func isURL(_ text: String) -> Bool {
    guard
      let rest = ["http://", "https://"].lazy.filter({ text.startsWithBytes($0) }).map({ text.dropFirst($0.utf8.count) }
      ).first
    else { return false }
    return !rest.isEmpty && rest.utf8.count <= 500
      && rest.utf8.allSatisfy { (0x21...0x7e).contains($0) && ![0x22, 0x23, 0x3f, 0x40, 0x5c].contains($0) }
  }
}

/// Who this host is to the local API: the file that `cscli machines add -f` writes, lines `url:`, `login:` and `password:`.
package struct MachineLogin: Sendable, Equatable {
  package var url: String?
  package var login: String
  package var password: String

  /// nil where login or password is missing, or holds what no password of CrowdSec's does.
  package init?(_ bytes: [UInt8]) {
    var found: [String: String] = [:]
    for line in bytes.prefix(4096).split(separator: 0x0a) {
      guard let colon = line.firstIndex(of: 0x3a) else { continue }
      let name = line[..<colon].trimmingBlanks
      var value = line[line.index(after: colon)...].trimmingBlanks
      if value.count >= 2, let quote = value.first, [0x22, 0x27].contains(quote), value.last == quote {
        value = value.dropFirst().dropLast()
      }
      guard value.allSatisfy({ (0x20...0x7e).contains($0) }) else { return nil }
      found[String(decoding: name, as: UTF8.self)] = String(decoding: value, as: UTF8.self)
    }
    guard let login = found["login"], let password = found["password"], !login.isEmpty, !password.isEmpty else {
      return nil
    }
    (self.login, self.password) = (login, password)
    url = found["url"].flatMap { CrowdSecSettings.isURL($0) ? String($0.trimmingSlashes) : nil }
  }
}

extension String {
  /// Without slashes at its end.
  package var trimmingSlashes: String {
    var bytes = Array(utf8)[...]
    while bytes.last == 0x2f { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }
}

extension ArraySlice<UInt8> {
  /// Without blanks and carriage returns at both ends.
  fileprivate var trimmingBlanks: ArraySlice<UInt8> {
    var rest = self
    while let first = rest.first, [0x20, 0x09, 0x0d].contains(first) { rest.removeFirst() }
    while let last = rest.last, [0x20, 0x09, 0x0d].contains(last) { rest.removeLast() }
    return rest
  }
}
