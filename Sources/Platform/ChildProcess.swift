import CLinux
import Wire

/// A program running beside us. No call waits; the owner polls `pidfd` and `output`.
///
/// The child has nothing of ours: no descriptor but 0, 1 and 2, no environment, default signals, a session of its own, the
/// working folder `/`. SIGCHLD must not be ignored in this process, or exit statuses are lost. Whoever lets go of a child ends it: none
/// stays behind as a zombie.
package final class ChildProcess {
  /// How a child ended.
  package enum Exit: Equatable, Sendable {
    case exited(Int32)
    case signalled(Int32)
  }

  /// Bytes of output that are kept where nobody says otherwise; what comes after is read and dropped, so that the child never blocks on us.
  package static let outputLimit = 4_096

  package let pid: pid_t
  private let pidFile: FileDescriptor
  private let pipe: FileDescriptor
  private let limit: Int
  /// What the child has written so far, as much as is kept.
  package private(set) var kept: [UInt8] = []
  private var ended: Exit?

  /// Whether the child and all who inherited its output have closed it.
  package private(set) var outputEnded = false

  /// To be polled for reading.
  package var descriptors: [Int32] { outputEnded ? [pidfd] : [pidfd, output] }

  /// Starts `/bin/sh -c text`.
  ///
  /// The umask is 022, so that a command that creates a file (hosts.deny, a log) leaves it as readable as when an
  /// administrator types the command; 1.2's 077 made hosts.deny unreadable for services that are not root. The shell
  /// sets it, because posix_spawn(3) cannot.
  package convenience init(shell text: String) throws(Errno) {
    try self.init("/bin/sh", ["sh", "-c", "umask 022; " + text])
  }

  /// Starts a program with both outputs in one pipe.
  ///
  /// - Parameters:
  ///   - arguments: the first is what it is called.
  ///   - input: its standard input, at most what a pipe holds (64 KiB, `EMSGSIZE`); nil: /dev/null.
  ///   - limit: how many bytes of output are kept.
  package convenience init(
    _ program: String, _ arguments: [String], input: [UInt8]? = nil, keeping limit: Int = ChildProcess.outputLimit
  ) throws(Errno) {
    try self.init(
      program, arguments, source: try input.map { (bytes) throws(Errno) in try Self.pipe(holding: bytes) }, limit)
  }

  /// Starts a program whose standard input is a socket of ours, by which we talk with it.
  package convenience init(_ program: String, _ arguments: [String], socket: Int32) throws(Errno) {
    let copy = FileDescriptor(owning: try check("fcntl") { CLinux_fcntl_int(socket, F_DUPFD_CLOEXEC, 3) })
    try self.init(program, arguments, source: Owned(copy), Self.outputLimit)
  }

  private init(
    _ program: String, _ arguments: [String], source: Owned<FileDescriptor>?, _ limit: Int
  ) throws(Errno) {
    var ends: [Int32] = [-1, -1]
    try check("pipe2") { unsafe pipe2(&ends, O_CLOEXEC) }
    let reader = FileDescriptor(owning: ends[0])
    let writer = FileDescriptor(owning: ends[1])
    try reader.setNonBlocking()

    var actions = unsafe posix_spawn_file_actions_t()
    try Self.checkCode(unsafe posix_spawn_file_actions_init(&actions))
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    // Outputs before input: the pipe itself may have one of these numbers.
    try Self.checkCode(unsafe posix_spawn_file_actions_adddup2(&actions, writer.raw, 1))
    try Self.checkCode(unsafe posix_spawn_file_actions_adddup2(&actions, writer.raw, 2))
    if let source {
      try Self.checkCode(unsafe posix_spawn_file_actions_adddup2(&actions, source.value.raw, 0))
    } else {
      try Self.checkCode(unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0))
    }
    try Self.checkCode(unsafe posix_spawn_file_actions_addchdir_np(&actions, "/"))
    try Self.checkCode(unsafe posix_spawn_file_actions_addclosefrom_np(&actions, 3))

    var attributes = posix_spawnattr_t()
    try Self.checkCode(unsafe posix_spawnattr_init(&attributes))
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    var all = sigset_t()
    unsafe sigemptyset(&none)
    unsafe sigfillset(&all)
    try Self.checkCode(unsafe posix_spawnattr_setsigmask(&attributes, &none))
    try Self.checkCode(unsafe posix_spawnattr_setsigdefault(&attributes, &all))
    try Self.checkCode(
      unsafe posix_spawnattr_setflags(
        &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) | Int16(CLinux_POSIX_SPAWN_SETSID)))

    var child: pid_t = 0
    let code = unsafe Self.withCStrings(arguments) { arguments in
      unsafe Self.withCStrings(Self.environment) { environment in
        unsafe posix_spawn(&child, program, &actions, &attributes, arguments, environment)
      }
    }
    if code != 0 { throw Errno(code, "posix_spawn", program) }
    pid = child
    self.limit = limit
    pipe = reader
    do throws(Errno) {
      // The child is ours until we reap it, so its number cannot be another's by now.
      pidFile = FileDescriptor(owning: try check("pidfd_open") { CLinux_pidfd_open(child) })
    } catch {
      _ = CLinux.kill(-child, SIGKILL)
      _ = waitpid(child, nil, 0)
      throw error
    }
  }

  deinit {
    guard reap() == nil else { return }
    kill()
    _ = waitpid(pid, nil, 0)
  }

  /// The end to read from of a pipe with these bytes and nobody else to write. Its number is none of 0, 1 and 2.
  private static func pipe(holding bytes: [UInt8]) throws(Errno) -> Owned<FileDescriptor> {
    var ends: [Int32] = [-1, -1]
    try check("pipe2") { unsafe pipe2(&ends, O_CLOEXEC) }
    let reader = FileDescriptor(owning: ends[0])
    let writer = FileDescriptor(owning: ends[1])
    let input = FileDescriptor(
      owning: try check("fcntl") { CLinux_fcntl_int(reader.raw, F_DUPFD_CLOEXEC, 3) })
    try writer.setNonBlocking()
    let count = unsafe bytes.withUnsafeBytes { unsafe write(writer.raw, $0.baseAddress, $0.count) }
    guard count == bytes.count else { throw Errno(count < 0 ? CLinux_errno() : EMSGSIZE, "write") }
    return Owned(input)
  }

  private static let environment: [String] = {
    var list = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C"]
    // What it says of times is in the zone that we speak of.
    if let zone = unsafe getenv("TZ") { unsafe list.append("TZ=\(String(cString: zone))") }
    return list
  }()

  /// Becomes another program, with our environment and descriptors.
  ///
  /// - Parameter arguments: the first is what it is called.
  /// - Returns: why not.
  package static func become(_ program: String, _ arguments: [String]) -> Errno {
    _ = unsafe withCStrings(arguments) { unsafe execv(program, $0) }
    return Errno.last("execve", program)
  }

  /// Readable once the child has ended.
  package var pidfd: Int32 { pidFile.raw }

  /// Readable when there is output; to be polled until `outputEnded`.
  package var output: Int32 { pipe.raw }

  /// The same as text. Any bytes: escape it before it is shown.
  package var outputText: String { String(decoding: kept, as: UTF8.self) }

  /// Reads what is there. At most 1 MiB a call; with more waiting `output` stays readable.
  package func readOutput() {
    for _ in 0..<16 where !outputEnded {
      do throws(Errno) {
        let bytes = try pipe.read(upTo: 1 << 16)
        if bytes.isEmpty { outputEnded = true }
        kept += bytes.prefix(limit - kept.count)
      } catch {
        if error.code != EAGAIN { outputEnded = true }
        return
      }
    }
  }

  /// How the child ended; nil while it runs.
  package func reap() -> Exit? {
    if let ended { return ended }
    var status: Int32 = 0
    let result = unsafe waitpid(pid, &status, WNOHANG)
    if result == 0 || (result == -1 && CLinux_errno() == EINTR) { return nil }
    if result == -1 {
      // Somebody else took the status; that it ended is all we know.
      ended = .signalled(0)
    } else {
      ended =
        CLinux_exited(status) != 0 ? .exited(CLinux_exit_status(status)) : .signalled(CLinux_term_signal(status))
    }
    return ended
  }

  /// Waits for the end, and reads what the child writes meanwhile: for whoever has nothing else to do.
  ///
  /// - Parameter deadline: monotonic nanoseconds.
  /// - Returns: how it ended; nil while it still runs at the deadline.
  package func wait(until deadline: Int64) -> Exit? {
    while true {
      let exit = reap()
      readOutput()
      if let exit { return exit }
      let left = deadline - Clock.monotonic
      if left <= 0 { return nil }
      _ = Poll.readable(descriptors, milliseconds: Int32(clamping: left / 1_000_000 + 1))
    }
  }

  /// Asks the child and what it started to end (SIGTERM).
  package func terminate() { signalGroup(SIGTERM) }

  /// Ends the child and what it started (SIGKILL).
  package func kill() { signalGroup(SIGKILL) }

  private func signalGroup(_ number: Int32) {
    // After reaping the number may belong to others.
    if ended == nil { _ = CLinux.kill(-pid, number) }
  }

  private static func checkCode(_ code: Int32) throws(Errno) {
    if code != 0 { throw Errno(code, "posix_spawn") }
  }

  private static func withCStrings(
    _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Int32
  ) -> Int32 {
    var copies: [UnsafeMutablePointer<CChar>?] = unsafe strings.map { text in
      // What the administrator wrote, byte for byte.
      unsafe (text.preservedBytes + [0]).withUnsafeBufferPointer { bytes in
        unsafe bytes.withMemoryRebound(to: CChar.self) { unsafe strdup($0.baseAddress!) }
      }
    }
    unsafe copies.append(nil)
    defer {
      for index in unsafe copies.indices { unsafe free(copies[index]) }
    }
    return unsafe copies.withUnsafeBufferPointer { unsafe body($0.baseAddress!) }
  }
}
