import CLinux
import Platform
import Wire

/// Shuts sources out of the services that use TCP wrappers, by lines in a file such as /etc/hosts.deny (hosts_access(5)).
///
/// A line is added by one appending write: the file keeps its mode, owner, links and place, be it a symlink's target or a
/// bind mount, and no reader ever sees less than was there. Removing writes a new file beside it and renames; where that
/// cannot be done (bind mount, folder not writable) it rewrites the file in place.
package struct HostsDeny: Sendable, Equatable {
  package let path: String

  package init(path: String = "/etc/hosts.deny") { self.path = path }

  /// The TCP wrappers' buffer, with its newline and zero byte: they cut longer lines.
  static let longestLine = 2_046
  /// Larger files are refused with `EFBIG`: every connection to a wrapped service would read it all.
  static let largestFile = 16 << 20

  /// The line for a target: tokens replaced, an IPv6 address in brackets, without which the wrappers take it for nothing.
  ///
  /// - Parameters:
  ///   - template: `KILL_HOSTS_DENY`.
  ///   - target: a network is written as address and mask (IPv4) or `[address]/length` (IPv6).
  package static func line(_ template: String, target: IPNetwork, port: UInt16 = 0, mode: String = "") -> String {
    // Somebody who knew may have put the brackets there.
    let template = template.replacingBytes("[$TARGET$]", with: "$TARGET$")
    return CommandTemplate.substitute(template, target: text(of: target), port: port, mode: mode)
  }

  package static func line(_ template: String, target: IPAddress) -> String {
    line(template, target: IPNetwork(target))
  }

  private static func text(of target: IPNetwork) -> String {
    if target.isV4 {
      if target.isHost { return target.address.description }
      let mask = target.length == 0 ? 0 : UInt32.max << (32 - UInt32(target.length))
      return "\(target.address)/\(IPAddress(v4: mask))"
    }
    return target.isHost ? "[\(target.address)]" : "[\(target.address)]/\(target.length)"
  }

  /// Whether the file has this whole line. A missing file has none.
  package func contains(_ line: String) throws(ResponderError) -> Bool {
    try contents().map { Self.ranges(of: line, in: $0).isEmpty == false } ?? false
  }

  /// Those of `lines` that the file lacks; it is read once for all of them.
  package func missing(of lines: [String]) throws(ResponderError) -> [String] {
    guard !lines.isEmpty else { return [] }
    let present = Set((try contents() ?? []).split(separator: Self.newline))
    return lines.filter { !present.contains($0.preservedBytes[...]) }
  }

  /// Appends the line, unless the file has it. Creates the file (0644) when it is missing.
  ///
  /// - Throws: `.readOnly`, `.worldWritable`, `.unacceptable` (a line the wrappers could not read), `.failed`.
  package func add(_ line: String) throws(ResponderError) {
    try Self.check(line)
    let old = try contents() ?? []
    if !Self.ranges(of: line, in: old).isEmpty { return }
    do throws(Errno) {
      let file = try openForAppending()
      let info = try acceptable(file)
      let glue = Self.glue(after: old)
      do throws(Errno) {
        try file.writeAll(glue + line.preservedBytes + [Self.newline])
        try Platform.check("fsync", path) { fsync(file.raw) }
      } catch {
        // A full disk may have taken half a line, which could name another host.
        _ = ftruncate(file.raw, info.st_size)
        throw error
      }
    } catch {
      throw typed(error)
    }
  }

  /// Removes every copy of the line; none is fine, and so is a missing file.
  package func remove(_ line: String) throws(ResponderError) {
    guard let old = try contents() else { return }
    let ranges = Self.ranges(of: line, in: old)
    guard let first = ranges.first else { return }
    var new: [UInt8] = []
    new.reserveCapacity(old.count)
    var position = 0
    for range in ranges {
      new += old[position..<range.lowerBound]
      position = range.upperBound
    }
    new += old[position...]
    do throws(Errno) {
      let file = try FileDescriptor.open(path, O_RDWR)
      let info = try acceptable(file)
      if !replace(with: new, like: info) { try rewrite(file, with: new, from: first.lowerBound) }
    } catch {
      throw typed(error)
    }
  }

  // MARK: Steps

  private static let newline = UInt8(ascii: "\n")

  private static func check(_ line: String) throws(ResponderError) {
    if line.isEmpty || line.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) || line.utf8.last == UInt8(ascii: "\\") {
      throw .unacceptable("a line for hosts.deny must be one line of text: check KILL_HOSTS_DENY")
    }
    if line.utf8.count > longestLine {
      throw .unacceptable("a line for hosts.deny has at most \(longestLine) bytes: shorten KILL_HOSTS_DENY")
    }
  }

  /// What has to stand between the file's text and a line of ours: a last line without its newline must not swallow it,
  /// nor one that goes on in the next (a backslash before the newline, hosts_access(5)).
  private static func glue(after text: [UInt8]) -> [UInt8] {
    let ended = text.isEmpty || text.last == newline
    let last = text.dropLast(text.last == newline ? 1 : 0).last
    return (ended ? [] : [newline]) + (last == UInt8(ascii: "\\") ? [newline] : [])
  }

  /// Where the line stands in the text, with its newline.
  private static func ranges(of line: String, in text: [UInt8]) -> [Range<Int>] {
    let line = line.preservedBytes
    var result: [Range<Int>] = []
    var start = 0
    while start < text.count {
      let end = text[start...].firstIndex(of: newline) ?? text.count
      if end - start == line.count, text[start..<end] == line[...] { result.append(start..<min(end + 1, text.count)) }
      start = end + 1
    }
    return result
  }

  private func contents() throws(ResponderError) -> [UInt8]? {
    do throws(Errno) { return try Files.read(path, limit: Self.largestFile) } catch {
      if error.code == ENOENT { return nil }
      throw typed(error)
    }
  }

  private func openForAppending() throws(Errno) -> FileDescriptor {
    do throws(Errno) { return try FileDescriptor.open(path, O_WRONLY | O_APPEND) } catch {
      guard error.code == ENOENT else { throw error }
    }
    let file = try FileDescriptor.open(path, O_WRONLY | O_APPEND | O_CREAT, mode: 0o644)
    // Services that are not root read it, whatever our umask.
    try Platform.check("fchmod", path) { fchmod(file.raw, 0o644) }
    return file
  }

  /// The open file's data, when it is one that may be used.
  private func acceptable(_ file: borrowing FileDescriptor) throws(Errno) -> stat {
    var info = stat()
    let descriptor = file.raw
    try Platform.check("fstat", path) { unsafe fstat(descriptor, &info) }
    if info.st_mode & mode_t(S_IFMT) != mode_t(S_IFREG) { throw Errno(EINVAL, "not a regular file:", path) }
    if info.st_mode & 0o002 != 0 { throw Errno(Self.writableByAll, "open", path) }
    return info
  }

  /// Stands for `.worldWritable` among kernel errors; no file operation returns it.
  private static let writableByAll = EKEYREJECTED

  /// Renames a new file over the one the path leads to; false where that cannot be done.
  private func replace(with bytes: [UInt8], like info: stat) -> Bool {
    guard let resolved = unsafe realpath(path, nil) else { return false }
    let target = unsafe String(cString: resolved)
    unsafe free(resolved)
    let temporary = "\(target).portsentry"
    unsafe unlink(temporary)
    do throws(Errno) {
      let file = try FileDescriptor.open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
      try Platform.check("fchown", temporary) { fchown(file.raw, info.st_uid, info.st_gid) }
      try Platform.check("fchmod", temporary) { fchmod(file.raw, info.st_mode & 0o7777) }
      try file.writeAll(bytes)
      try Platform.check("fsync", temporary) { fsync(file.raw) }
      try Platform.check("rename", target) { unsafe rename(temporary, target) }
      return true
    } catch {
      unsafe unlink(temporary)
      return false
    }
  }

  private func rewrite(_ file: borrowing FileDescriptor, with bytes: [UInt8], from start: Int) throws(Errno) {
    let descriptor = file.raw
    try Platform.check("lseek", path) { lseek(descriptor, off_t(start), SEEK_SET) }
    try file.writeAll(Array(bytes[start...]))
    try Platform.check("ftruncate", path) { ftruncate(descriptor, off_t(bytes.count)) }
    try Platform.check("fsync", path) { fsync(descriptor) }
  }

  private func typed(_ error: Errno) -> ResponderError {
    switch error.code {
    case EROFS: .readOnly(path: path)
    case EACCES, EPERM, ETXTBSY: .readOnly(path: path)
    case Self.writableByAll: .worldWritable(path: path)
    default: .failed(error.subject.isEmpty ? Errno(error.code, error.call, path) : error)
    }
  }
}
