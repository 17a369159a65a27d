import CLinux
import Wire

/// A user of this host, from passwd(5). Read from the file itself: the C library's way asks other programs, which a static
/// program cannot.
package struct Account: Equatable, Sendable {
  package let name: String
  package let user: uid_t
  package let group: gid_t

  package init(name: String, user: uid_t, group: gid_t) {
    self.name = name
    self.user = user
    self.group = group
  }

  /// The account with this name; nil where there is none, or the file cannot be read.
  package static func named(_ name: String, in path: String = "/etc/passwd") -> Account? {
    find(path) { $0.name == name }
  }

  /// The account with this number; nil where it has no name.
  package static func numbered(_ user: uid_t, in path: String = "/etc/passwd") -> Account? {
    find(path) { $0.user == user }
  }

  private static func find(_ path: String, _ isMeant: (Account) -> Bool) -> Account? {
    guard let bytes = try? Files.read(path, limit: 16 << 20) else { return nil }
    for line in bytes.split(separator: UInt8(ascii: "\n")) {
      let fields = line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
      guard fields.count >= 4, let user = uid_t(String(decoding: fields[2], as: UTF8.self)),
        let group = gid_t(String(decoding: fields[3], as: UTF8.self))
      else { continue }
      let account = Account(name: String(decoding: fields[0], as: UTF8.self), user: user, group: group)
      if isMeant(account) { return account }
    }
    return nil
  }
}
