import CLinux
import Wire

/// An open file descriptor that closes itself when its owner lets go of it. Always close-on-exec.
package struct FileDescriptor: ~Copyable, Sendable {
  package let raw: Int32

  /// Takes ownership of an open descriptor.
  package init(owning raw: Int32) { self.raw = raw }

  deinit { _ = close(raw) }

  /// Gives the number away; the caller must close it.
  package consuming func release() -> Int32 {
    let raw = self.raw
    discard self
    return raw
  }

  /// Opens a file close-on-exec.
  package static func open(_ path: String, _ flags: Int32, mode: mode_t = 0o600) throws(Errno) -> FileDescriptor {
    FileDescriptor(
      owning: try check("open", path) { unsafe CLinux_open(path, flags | O_CLOEXEC, mode) })
  }

  /// Makes a file that must not be there yet, for its owner only.
  package static func create(_ path: String) throws(Errno) -> FileDescriptor {
    try open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
  }

  /// Opens a socket close-on-exec.
  package static func socket(_ domain: Int32, _ type: Int32, _ protocol: Int32) throws(Errno) -> FileDescriptor {
    FileDescriptor(
      owning: try check("socket") { CLinux.socket(domain, type | CLinux_SOCK_CLOEXEC, `protocol`) })
  }

  /// Sets an integer socket option.
  package func setOption(_ level: Int32, _ name: Int32, _ value: Int32) throws(Errno) {
    try check("setsockopt") {
      unsafe withUnsafePointer(to: value) { unsafe setsockopt(raw, level, name, $0, 4) }
    }
  }

  /// Lets only those datagrams into a socket that a classic BPF program accepts (`SO_ATTACH_FILTER`, socket(7)).
  package func attach(_ program: [sock_filter]) throws(Errno) {
    try Self.attach(program, to: raw, "SO_ATTACH_FILTER", SO_ATTACH_FILTER)
  }

  /// Has a classic BPF program choose which socket of a group gets a packet (`SO_ATTACH_REUSEPORT_CBPF`, socket(7)).
  ///
  /// - Parameter member: any of the group.
  package static func attachChoice(_ program: [sock_filter], to member: Int32) throws(Errno) {
    try attach(program, to: member, "SO_ATTACH_REUSEPORT_CBPF", SO_ATTACH_REUSEPORT_CBPF)
  }

  private static func attach(
    _ program: [sock_filter], to socket: Int32, _ name: String, _ option: Int32
  ) throws(Errno) {
    var program = program
    let count = UInt16(program.count)
    try check("setsockopt", name) {
      unsafe program.withUnsafeMutableBufferPointer {
        var description = unsafe sock_fprog(len: count, filter: $0.baseAddress)
        return unsafe setsockopt(socket, SOL_SOCKET, option, &description, socklen_t(MemoryLayout<sock_fprog>.size))
      }
    }
  }

  package func setNonBlocking() throws(Errno) {
    let flags = try check("fcntl") { CLinux_fcntl_int(raw, F_GETFL, 0) }
    try check("fcntl") { CLinux_fcntl_int(raw, F_SETFL, flags | O_NONBLOCK) }
  }

  /// Writes all of `bytes`, going on after a partial write.
  package func writeAll(_ bytes: [UInt8]) throws(Errno) {
    var offset = 0
    while offset < bytes.count {
      offset += try check("write") {
        unsafe bytes.withUnsafeBytes { unsafe write(raw, $0.baseAddress! + offset, bytes.count - offset) }
      }
    }
  }

  /// Reads once from a descriptor that belongs to somebody else, such as standard input.
  package static func readOnce(_ raw: Int32, upTo count: Int) throws(Errno) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: count)
    let length = try check("read") {
      unsafe result.withUnsafeMutableBytes { unsafe CLinux.read(raw, $0.baseAddress, count) }
    }
    result.removeLast(count - length)
    return result
  }

  /// Reads up to `count` bytes; an empty result is the end of the file.
  package func read(upTo count: Int) throws(Errno) -> [UInt8] { try Self.readOnce(raw, upTo: count) }
}

/// Whole files, as bytes.
package enum Files {
  /// Reads a file of at most `limit` bytes (64 MiB unless told); a larger one is `EFBIG`.
  package static func read(_ path: String, limit: Int = 64 << 20) throws(Errno) -> [UInt8] {
    let file = try FileDescriptor.open(path, O_RDONLY)
    var result: [UInt8] = []
    while true {
      let chunk: [UInt8]
      do throws(Errno) { chunk = try file.read(upTo: 1 << 16) } catch { throw Errno(error.code, "read", path) }
      if chunk.isEmpty { return result }
      result += chunk
      if result.count > limit { throw Errno(EFBIG, "read", path) }
    }
  }

  /// The names in a folder in order, without those that begin with a dot; none when it cannot be read. Of more than
  /// `limit` entries the rest is left out.
  package static func names(in folder: String, limit: Int = 1_024) -> [String] {
    guard let directory = unsafe opendir(folder) else { return [] }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while names.count < limit, let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) {
        unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if !name.startsWithBytes(".") { names.append(name) }
    }
    return names.sorted()
  }

  /// Whether a file that holds a secret can be read or changed by others than its owner.
  package static func isOpenToOthers(_ path: String) throws(Errno) -> Bool {
    var info = stat()
    try check("stat", path) { unsafe stat(path, &info) }
    return info.st_mode & 0o077 != 0
  }

  /// Flags to add to the end of a file that is there.
  package static var appending: Int32 { O_WRONLY | O_APPEND | O_NOFOLLOW }

  /// Replaces a file atomically: writes a new one beside it, syncs it, and renames it over the old one.
  ///
  /// - Parameter mode: permissions of the new file.
  package static func replace(_ path: String, with bytes: [UInt8], mode: mode_t = 0o600) throws(Errno) {
    let temporary = "\(path).new"
    unsafe unlink(temporary)
    do {
      // O_EXCL and O_NOFOLLOW: nobody's planted link is followed.
      let file = try FileDescriptor.open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: mode)
      try file.writeAll(bytes)
      try check("fsync", temporary) { fsync(file.raw) }
      try check("fchmod", temporary) { fchmod(file.raw, mode) }
    }
    do throws(Errno) {
      try check("rename", path) { unsafe rename(temporary, path) }
    } catch {
      unsafe unlink(temporary)
      throw error
    }
  }

  /// Renames a file, replacing what has the new name; a file that is not there is let be.
  package static func move(_ path: String, to other: String) { _ = unsafe rename(path, other) }

  /// Creates a folder and its parents (0755, the last one `mode`); one that exists is left as it is.
  package static func createFolder(_ path: String, mode: mode_t = 0o755) throws(Errno) {
    var prefix = ""
    for part in path.splitBytes("/") {
      prefix += "/" + part
      let target = path.startsWithBytes("/") ? prefix : String(Substring(prefix.utf8.dropFirst()))
      if unsafe mkdir(target, target.utf8.count >= path.utf8.count ? mode : 0o755) == -1, CLinux_errno() != EEXIST {
        throw Errno.last("mkdir", target)
      }
    }
  }

  /// Size, modification time and inode: enough to notice that a file is another than before. Nil when there is none.
  package struct Stamp: Equatable, Sendable {
    package let size: Int64
    package let modified: Int64
    package let inode: UInt64
  }

  package static func stamp(_ path: String) -> Stamp? {
    var info = stat()
    guard unsafe stat(path, &info) == 0 else { return nil }
    return Stamp(
      size: Int64(info.st_size), modified: Int64(info.st_mtim.tv_sec) * 1_000_000_000 + Int64(info.st_mtim.tv_nsec),
      inode: UInt64(info.st_ino))
  }
}
