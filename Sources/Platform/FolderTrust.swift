import CLinux
import Wire

/// Whether a folder is ours alone: whoever can write to one folder on a path can put a file of his own at its end.
package struct FolderTrust: Equatable, Sendable {
  /// Whom we trust beside root: the sentry's own user.
  private let users: Set<uid_t>
  private let groups: Set<gid_t>

  /// - Parameters:
  ///   - users: further users that are the sentry's own; the one of this process always is.
  ///   - groups: likewise.
  package init(users: [uid_t] = [], groups: [gid_t] = []) {
    self.users = Set(users + [0, geteuid()])
    self.groups = Set(groups + [0, getegid()])
  }

  /// As the sentry sees it: its user is that of this process, or the one its package makes.
  package static var sentry: FolderTrust {
    let account = Account.named("portsentry")
    return FolderTrust(users: account.map { [$0.user] } ?? [], groups: account.map { [$0.group] } ?? [])
  }

  /// What a file in a folder is for.
  package enum Use: Sendable {
    /// It is read again: whoever can put one there decides what it says.
    case readBack
    /// It is only written. A folder in which everybody may make files but nobody may replace another's (sticky, as /tmp) is
    /// still one where somebody may make this file first. Folders of a system's group, as /var/log of the group syslog,
    /// are none of a stranger's.
    case written
  }

  /// Why a folder is not ours alone.
  package struct Fault: Error, Equatable, Sendable, CustomStringConvertible {
    package let folder: String
    package let who: String

    package var description: String { "\(who) can write to \(folder)" }
  }

  /// The numbers that useradd(8) gives to systems' groups end here.
  private static let systemGroups: ClosedRange<gid_t> = 1...999
  /// As many links in a path as Linux follows (path_resolution(7)).
  private static let mostLinks = 40

  /// Who else may write to a folder or to one that it is in, links followed; nil when nobody. What is not there yet is made by
  /// us.
  package func fault(ofFolder path: String, for use: Use) -> Fault? {
    var parts = Array(path.splitBytes("/").map(String.init).reversed())
    var place = ""
    var links = 0
    if !path.startsWithBytes("/") { parts += (Files.currentFolder ?? "/").splitBytes("/").map(String.init).reversed() }
    var root = stat()
    guard unsafe lstat("/", &root) == 0 else { return nil }
    if let who = stranger(root, use) { return Fault(folder: "/", who: who) }
    while let part = parts.popLast() {
      if part == "." { continue }
      if part == ".." {
        place = place.lastByte("/").map { String(place[..<$0]) } ?? ""
        continue
      }
      let next = place + "/" + part
      var info = stat()
      guard unsafe lstat(next, &info) == 0 else { return nil }
      if info.st_mode & 0o170000 == 0o120000 {
        links += 1
        guard links <= Self.mostLinks, let target = Self.target(of: next) else { return nil }
        if target.startsWithBytes("/") { place = "" }
        parts += target.splitBytes("/").map(String.init).reversed()
        continue
      }
      if let who = stranger(info, use) { return Fault(folder: next, who: who) }
      place = next
    }
    return nil
  }

  /// The same for the folder that a file is in.
  package func fault(ofFile path: String, for use: Use) -> Fault? {
    guard let slash = path.lastByte("/") else { return fault(ofFolder: ".", for: use) }
    return fault(ofFolder: slash == path.startIndex ? "/" : String(path[..<slash]), for: use)
  }

  /// Who may write there that is none of ours, in words.
  private func stranger(_ info: stat, _ use: Use) -> String? {
    if !users.contains(info.st_uid) {
      return Account.numbered(info.st_uid).map { "user \($0.name)" } ?? "user \(info.st_uid)"
    }
    if info.st_mode & 0o002 != 0 { return "every user" }
    if info.st_mode & 0o020 != 0, !groups.contains(info.st_gid) {
      if use == .written, Self.systemGroups.contains(info.st_gid) { return nil }
      return "group \(info.st_gid)"
    }
    return nil
  }

  private static func target(of link: String) -> String? {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = unsafe buffer.withUnsafeMutableBytes {
      unsafe readlink(link, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
    }
    return count > 0 ? String(decoding: buffer.prefix(count), as: UTF8.self) : nil
  }
}
