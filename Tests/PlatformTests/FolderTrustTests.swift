import CLinux
import TestSupport
import Testing

@testable import Platform

@Suite struct FolderTrustTests {
  /// What somebody has made of `FOLDER/a/b`, and who can write there then.
  struct Row: CustomTestStringConvertible, Sendable {
    let testDescription: String
    var mode: mode_t = 0o755
    var owner: uid_t = 0
    var group: gid_t = 0
    /// Of `a`, or of `b` in it.
    var isParent = false
    var readBack: String?
    var written: String?
  }

  static let rows = [
    Row(testDescription: "ours alone"),
    Row(testDescription: "as /tmp", mode: 0o1777, readBack: "every user", written: "every user"),
    Row(
      testDescription: "a parent as /tmp", mode: 0o1777, isParent: true, readBack: "every user", written: "every user"),
    Row(testDescription: "writable by all", mode: 0o757, readBack: "every user", written: "every user"),
    Row(
      testDescription: "another's, who alone may write", mode: 0o700, owner: 4711, readBack: "user 4711",
      written: "user 4711"),
    // Who owns a folder can make it writable.
    Row(
      testDescription: "another's parent, read-only", mode: 0o555, owner: 4711, isParent: true,
      readBack: "user 4711", written: "user 4711"),
    Row(testDescription: "the sentry's own user's", mode: 0o700, owner: 4242),
    Row(testDescription: "the sentry's own group's", mode: 0o770, group: 4242),
    Row(testDescription: "readable by a group", mode: 0o750, group: 4711),
    Row(
      testDescription: "writable by a group", mode: 0o770, group: 4711, readBack: "group 4711", written: "group 4711"),
    Row(testDescription: "as Ubuntu's /var/log", mode: 0o775, group: 104, readBack: "group 104"),
  ]

  @Test(.enabled(if: geteuid() == 0, "only root gives folders away"), arguments: rows)
  func `Whoever can write to a folder on the path is named`(_ row: Row) throws {
    try inFolder { folder in
      let (parent, child) = ("\(folder)/a", "\(folder)/a/b")
      try Files.createFolder(child)
      let changed = row.isParent ? parent : child
      #expect(unsafe chown(changed, row.owner, row.group) == 0)
      #expect(unsafe chmod(changed, row.mode) == 0)
      let trust = FolderTrust(users: [4242], groups: [4242])
      // Where tests have their folders everybody may write, as a rule: then that is found first.
      let outside = trust.fault(ofFolder: folder, for: .written)
      for (use, who) in [(FolderTrust.Use.readBack, row.readBack), (.written, row.written)] {
        let expected = outside ?? who.map { FolderTrust.Fault(folder: changed, who: $0) }
        #expect(trust.fault(ofFolder: child, for: use) == expected)
        #expect(trust.fault(ofFile: "\(child)/file", for: use) == expected)
        #expect(trust.fault(ofFolder: "\(child)/not/yet/there", for: use) == expected)
      }
      // A link there from a folder of ours leads through the same folders.
      #expect(unsafe symlink(child, "\(folder)/link") == 0)
      #expect(
        (trust.fault(ofFolder: "\(folder)/link", for: .readBack) == nil) == (outside == nil && row.readBack == nil))
    }
  }

  @Test func `Links that lead nowhere come to an end`() throws {
    try inFolder { folder in
      #expect(unsafe symlink("\(folder)/y", "\(folder)/x") == 0)
      #expect(unsafe symlink("\(folder)/x", "\(folder)/y") == 0)
      let trust = FolderTrust()
      #expect(trust.fault(ofFolder: "\(folder)/x/z", for: .written) == trust.fault(ofFolder: folder, for: .written))
      #expect(trust.fault(ofFolder: "/", for: .readBack) == nil)
      #expect(trust.fault(ofFolder: "/../proc/.", for: .readBack) == nil)
    }
  }
}
