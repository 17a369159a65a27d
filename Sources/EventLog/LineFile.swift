import CLinux
import Platform
import Wire

/// A file of lines that grows up to a limit, and then is put aside (`FileLimits`).
///
/// Lines collect in memory until `flush()` writes them, so that a flood costs one write and not one for each packet.
/// The file is never truncated. It is opened anew when it has been moved or deleted, so log rotation needs no signal.
package struct LineFile: ~Copyable {
  /// A change in whether the file can be written. Said once, not for each flush.
  package enum Change: Equatable, Sendable {
    /// It cannot be written from now on. Lines are kept as far as they fit, in the hope that this ends.
    case failed(Errno)
    /// It can be written again; so many lines were lost meanwhile.
    case recovered(lost: Int)
    /// More lines came between two flushes than could be kept; so many were lost.
    case overflowed(lost: Int)
    /// So many lines of the last minute were left out: there were more than `FileLimits.perMinute` bytes.
    case limited(lost: Int)
    /// The file was put aside; so many lines of the one that was there before are gone.
    case putAside(lost: Int)

    /// Lines that are in no file.
    package var lost: UInt64 {
      switch self {
      case .failed: 0
      case .recovered(let lost), .overflowed(let lost), .limited(let lost), .putAside(let lost): UInt64(lost)
      }
    }
  }

  package let path: String
  private let capacity: Int
  package var limits: FileLimits
  private var minute = MinuteBudget()
  /// Lines that went with a file put aside, since that was last reported.
  private var putAside: Int?
  /// Whole lines not yet written, oldest first. When it is full new lines are counted and dropped.
  private var pending: [UInt8] = []
  /// How many bytes of the first pending line are in the file already, because the disk filled up in its middle.
  private var partial = 0
  private var lost = 0
  private var isFailed = false
  private var file: Open?

  /// A file that is open, and what it was after our last write.
  private struct Open: ~Copyable {
    let descriptor: FileDescriptor
    let device: UInt64
    let inode: UInt64
    var size: Int64
  }

  /// Opens nothing yet.
  ///
  /// - Parameter capacity: the most bytes kept in memory.
  package init(path: String, capacity: Int = 1 << 20, limits: FileLimits = FileLimits()) {
    self.path = path
    self.capacity = capacity
    self.limits = limits
  }

  /// Lines lost since this was last reported.
  package var lostLines: Int { lost + minute.refused + (putAside ?? 0) }
  /// Bytes waiting for the next flush.
  package var pendingBytes: Int { pending.count - partial }

  /// Adds a line, which ends in a newline.
  ///
  /// - Parameter isImportant: whether it may use what of a minute is kept for such lines.
  package mutating func append(isImportant: Bool = false, _ line: (inout [UInt8]) -> Void) {
    let before = pending.count
    // A line is made where it will stay, and taken back when it does not fit.
    line(&pending)
    let length = pending.count - before
    if pending.count > capacity {
      pending.removeLast(length)
      lost += 1
    } else if !minute.admits(length, of: limits.perMinute, isImportant: isImportant) {
      pending.removeLast(length)
    }
  }

  /// Writes what has collected. Call it a few times a second, and before the process ends.
  ///
  /// - Returns: what has changed, to be logged; nil when nothing has.
  package mutating func flush(now: Int64 = Clock.monotonic) -> Change? {
    if let change = writeOut() { return change }
    if let lost = putAside.take() { return .putAside(lost: lost) }
    let left = minute.turn(at: now)
    return left > 0 ? .limited(lost: left) : nil
  }

  private mutating func writeOut() -> Change? {
    if pending.isEmpty, !isFailed { return nil }
    do throws(Errno) {
      try openOrReopen()
      try putAsideIfFull()
      try writePending()
    } catch {
      // What was open may be gone for good (a disk that is no longer there); start afresh next time.
      if error.code != ENOSPC, error.code != EDQUOT { file = nil }
      defer { isFailed = true }
      return isFailed ? nil : .failed(error)
    }
    defer { (isFailed, lost) = (false, 0) }
    if isFailed { return .recovered(lost: lost) }
    return lost > 0 ? .overflowed(lost: lost) : nil
  }

  private mutating func openOrReopen() throws(Errno) {
    if let open = file.take() {
      var named = stat()
      if unsafe stat(path, &named) == 0, UInt64(named.st_ino) == open.inode, UInt64(named.st_dev) == open.device {
        file = consume open
      }
    }
    if file == nil {
      let descriptor = try Self.open(path)
      let info = try Self.status(descriptor, path)
      file = Open(descriptor: descriptor, device: UInt64(info.st_dev), inode: UInt64(info.st_ino), size: -1)
    }
    guard var open = file.take() else { return }
    let info = try Self.status(open.descriptor, path)
    if Int64(info.st_size) != open.size {
      // Another file than ours, or somebody else has written: our half line, if any, is not at its end.
      partial = 0
      open.size = Int64(info.st_size)
      // A half line of whoever wrote last gets its line end, so that it spoils no line of ours.
      // 0o100000: a regular file (inode(7)).
      if info.st_mode & 0o170000 == 0o100000, info.st_size > 0 {
        var last: UInt8 = 0
        let count = unsafe pread(open.descriptor.raw, &last, 1, info.st_size - 1)
        if count == 1, last != UInt8(ascii: "\n") {
          do throws(Errno) { try open.descriptor.writeAll([UInt8(ascii: "\n")]) } catch {
            throw Errno(error.code, "write", path)
          }
          open.size += 1
        }
      }
    }
    file = consume open
  }

  /// Puts the file aside when what is pending would make it larger than it may be. What is no regular file stays.
  private mutating func putAsideIfFull() throws(Errno) {
    guard limits.size > 0, let open = file.take() else { return }
    let info = try Self.status(open.descriptor, path)
    guard info.st_mode & 0o170000 == 0o100000, open.size > 0, open.size + Int64(pendingBytes) > Int64(limits.size)
    else {
      file = consume open
      return
    }
    // Of a link, the file that it leads to.
    let place = Self.realPath(path) ?? path
    let lost = Self.countLines("\(place).old")
    try check("rename", path) { unsafe rename(place, "\(place).old") }
    putAside = (putAside ?? 0) + lost
    try openOrReopen()
  }

  private static func realPath(_ path: String) -> String? {
    guard let real = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(real) }
    return unsafe String(cString: real)
  }

  private static func countLines(_ path: String) -> Int {
    guard let file = try? FileDescriptor.open(path, O_RDONLY | O_NONBLOCK) else { return 0 }
    var count = 0
    while let bytes = try? file.read(upTo: 1 << 20), !bytes.isEmpty {
      count += bytes.count(where: { $0 == UInt8(ascii: "\n") })
    }
    return count
  }

  private mutating func writePending() throws(Errno) {
    guard var open = file.take() else { return }
    var written = partial
    var failure: Errno?
    while written < pending.count {
      let count = unsafe pending.withUnsafeBytes {
        unsafe write(open.descriptor.raw, $0.baseAddress! + written, $0.count - written)
      }
      if count < 0, CLinux_errno() == EINTR { continue }
      if count <= 0 {
        failure = count == 0 ? Errno(EIO, "write", path) : .last("write", path)
        break
      }
      written += count
      open.size += Int64(count)
    }
    file = consume open
    // Whole lines that are written are done with. A half line stays, and is gone on with where the disk filled up.
    let done = (pending[..<written].lastIndex(of: UInt8(ascii: "\n")) ?? -1) + 1
    partial = written - done
    pending.removeFirst(done)
    if let failure { throw failure }
  }

  private static func status(_ descriptor: borrowing FileDescriptor, _ path: String) throws(Errno) -> stat {
    var info = stat()
    let file = descriptor.raw
    try check("fstat", path) { unsafe fstat(file, &info) }
    return info
  }

  private static func open(_ path: String) throws(Errno) -> FileDescriptor {
    // Readable too, for the look at its last byte; non-blocking for the administrator who points this at a pipe.
    let flags = O_RDWR | O_APPEND | O_NONBLOCK
    do throws(Errno) { return try FileDescriptor.open(path, flags) } catch {
      if error.code != ENOENT { throw error }
    }
    if let slash = path.lastByte("/"), slash != path.startIndex {
      try Files.createFolder(String(path[..<slash]))
    }
    let file: FileDescriptor
    do throws(Errno) { file = try FileDescriptor.open(path, flags | O_CREAT | O_EXCL, mode: 0o600) } catch {
      // Somebody was faster, or the path is a link to nothing.
      if error.code == EEXIST { return try FileDescriptor.open(path, flags | O_CREAT, mode: 0o600) }
      throw error
    }
    // Readable for the group that reads logs on Debian; without such a group for us alone, as in 1.2.
    if let group = admGroup, fchown(file.raw, uid_t.max, group) == 0 { _ = fchmod(file.raw, 0o640) }
    return file
  }

  private static let admGroup: gid_t? = {
    var entry = unsafe group()
    var found: UnsafeMutablePointer<group>?
    var buffer = [CChar](repeating: 0, count: 16_384)
    let code = unsafe getgrnam_r("adm", &entry, &buffer, buffer.count, &found)
    return unsafe code == 0 && found != nil ? entry.gr_gid : nil
  }()
}
