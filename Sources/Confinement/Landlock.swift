import CLinux
import Platform
import Wire

/// Takes the file system away from this process and what it executes, but for some paths (landlock(7)).
package struct Landlock: Equatable, Sendable {
  /// Paths to be read: files, or folders with all that is in them. What is not there is left out.
  package var read: [String]
  /// Paths to be read and written.
  package var write: [String]
  /// Programs to be executed.
  package var execute: [String]

  package init(read: [String] = [], write: [String] = [], execute: [String] = []) {
    self.read = read
    self.write = write
    self.execute = execute
  }

  /// What to name for a file that others replace by renaming: the folder that it is in, or where that is `/` or `/etc`, which hold much
  /// else, the file as it is now.
  package static func place(of file: String) -> String {
    guard let slash = file.lastByte("/"), slash > file.startIndex else { return file }
    let folder = String(file[..<slash])
    return folder == "/etc" ? file : folder
  }

  /// What this kernel offers: 1 and up; nil where it has no Landlock, or it was not chosen at boot.
  package static var version: Int32? {
    let version = CLinux_landlock_create(nil, 0, 1)
    return version > 0 ? version : nil
  }

  private struct Access {
    static let execute: UInt64 = 1 << 0
    static let writeFile: UInt64 = 1 << 1
    static let readFile: UInt64 = 1 << 2
    static let readFolder: UInt64 = 1 << 3
    /// Of the first version: execute, write, read, list, remove and make of every kind.
    static let first: UInt64 = (1 << 13) - 1
    /// Moving to another folder (2), truncating (3).
    static let refer: UInt64 = 1 << 13
    static let truncate: UInt64 = 1 << 14
    /// What may be asked of a file that is no folder.
    static let ofFiles = execute | writeFile | readFile | truncate
  }

  /// From here on the process has these paths and no others. Descriptors that are open stay.
  ///
  /// - Returns: false where the kernel has no Landlock: nothing was done.
  /// - Throws: without no_new_privs `EPERM`.
  package func restrict() throws(Errno) -> Bool {
    guard let version = Self.version else { return false }
    var handled = Access.first
    if version >= 2 { handled |= Access.refer }
    if version >= 3 { handled |= Access.truncate }
    let rules = FileDescriptor(
      owning: try check("landlock_create_ruleset") {
        unsafe withUnsafeBytes(of: &handled) { unsafe CLinux_landlock_create($0.baseAddress, 8, 0) }
      })
    let reading = Access.readFile | Access.readFolder
    for path in read { try Self.allow(reading, path, rules.raw) }
    for path in execute { try Self.allow(reading | Access.execute, path, rules.raw) }
    for path in write { try Self.allow(handled & ~Access.execute, path, rules.raw) }
    try check("landlock_restrict_self") { CLinux_landlock_restrict(rules.raw) }
    return true
  }

  private static func allow(_ access: UInt64, _ path: String, _ rules: Int32) throws(Errno) {
    // O_PATH: no right to read is needed to name it.
    guard let place = try? FileDescriptor.open(path, O_PATH_FLAG) else { return }
    var info = stat()
    try check("fstat", path) { unsafe fstat(place.raw, &info) }
    let isFolder = info.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR)
    try check("landlock_add_rule", path) {
      CLinux_landlock_beneath(rules, isFolder ? access : access & Access.ofFiles, place.raw)
    }
  }

  private static let O_PATH_FLAG: Int32 = 0o10000000
}
