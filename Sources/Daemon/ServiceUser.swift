import CLinux
import Platform

/// Whom systemd starts the sentry as, read from the unit's files: what `check` needs to know before anything is started.
package struct ServiceUser: Sendable {
  /// Folders of units, the first that has the unit wins; its drop-ins are read in all of them.
  package static let folders = [
    "/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
    "/lib/systemd/system",
  ]
  static let unit = "portsentry.service"

  /// The user's name; nil where no unit is installed.
  package static func find(in folders: [String] = folders) -> String? {
    guard let folder = folders.first(where: { Files.stamp("\($0)/\(unit)") != nil }) else { return nil }
    var user = "root"
    read("\(folder)/\(unit)", into: &user)
    // Drop-ins count in the order of their names, wherever they lie; of the same name the first folder's.
    var dropIns: [String: String] = [:]
    for folder in folders {
      for name in Files.names(in: "\(folder)/\(unit).d")
      where name.utf8.suffix(5).elementsEqual(".conf".utf8) && dropIns[name] == nil {
        dropIns[name] = "\(folder)/\(unit).d/\(name)"
      }
    }
    for (_, path) in dropIns.sorted(by: { $0.key < $1.key }) { read(path, into: &user) }
    return user
  }

  /// As whom commands would run: this process's user, or the service's where root only asks about the service's configuration; nil for root.
  package static func ofCommands(asksForService: Bool) -> String? {
    let uid = geteuid()
    if uid == 0 {
      guard asksForService, let user = find(), user != "root", user != "0" else { return nil }
      return user
    }
    return Account.numbered(uid)?.name ?? String(uid)
  }

  private static func read(_ path: String, into user: inout String) {
    guard let bytes = try? Files.read(path, limit: 1 << 20) else { return }
    for line in bytes.split(separator: UInt8(ascii: "\n")) where line.starts(with: "User=".utf8) {
      user = String(decoding: line.dropFirst(5), as: UTF8.self)
    }
  }
}
