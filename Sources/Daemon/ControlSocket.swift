import CLinux
import Platform

/// The words a command line may say to a running sentry: one line of words parted by tabs, at most 4 KiB. The answer
/// is a line with an exit code, then the text to print. No word runs a command.
package enum ControlMessage: Equatable, Sendable {
  case status(json: Bool)
  case blocked(json: Bool)
  /// A few counts, at once and for little: what is shown every second.
  case pulse
  /// Counts for Prometheus.
  case metrics
  /// Block an address or network; seconds nil: as configured, 0: until released.
  case block(target: String, seconds: Int64?, reason: String)
  case unblock(target: String)
  case unblockAll
  /// What is known of an address: what was seen, who it was, what was done, and whether the evidence still holds.
  case why(target: String, json: Bool)
  /// Keep what a trial blocked, and go on blocking.
  case confirm
  /// Watch one more protocol in this mode: what 1.2 started a second process for.
  case watch(mode: String)

  /// The line without its newline.
  package var line: String {
    switch self {
    case .status(let json): json ? "status\tjson" : "status"
    case .blocked(let json): json ? "blocked\tjson" : "blocked"
    case .pulse: "pulse"
    case .metrics: "metrics"
    case .block(let target, let seconds, let reason):
      "block\t\(target)\t\(seconds.map(String.init) ?? "-")\t\(reason)"
    case .unblock(let target): "unblock\t\(target)"
    case .unblockAll: "unblock-all"
    case .why(let target, let json): "why\t\(target)\t\(json ? "json" : "text")"
    case .confirm: "confirm"
    case .watch(let mode): "watch\t\(mode)"
    }
  }

  /// Reads a line; nil for anything it does not know.
  package init?(line: [UInt8]) {
    guard line.count <= 4096, line.allSatisfy({ $0 >= 0x20 || $0 == 0x09 }) else { return nil }
    let words = String(decoding: line, as: UTF8.self).split(separator: "\t", omittingEmptySubsequences: false)
    switch (words.first, words.count) {
    case ("status", 1): self = .status(json: false)
    case ("status", 2) where words[1] == "json": self = .status(json: true)
    case ("pulse", 1): self = .pulse
    case ("metrics", 1): self = .metrics
    case ("blocked", 1): self = .blocked(json: false)
    case ("blocked", 2) where words[1] == "json": self = .blocked(json: true)
    case ("block", 4):
      guard let seconds = words[2] == "-" ? .some(nil) : Int64(words[2]).map(Optional.some),
        (seconds ?? 0) >= 0, (seconds ?? 0) <= 4_000_000_000
      else { return nil }
      self = .block(target: String(words[1]), seconds: seconds, reason: String(words[3]))
    case ("unblock", 2): self = .unblock(target: String(words[1]))
    case ("unblock-all", 1): self = .unblockAll
    case ("why", 3) where words[2] == "json" || words[2] == "text":
      self = .why(target: String(words[1]), json: words[2] == "json")
    case ("confirm", 1): self = .confirm
    case ("watch", 2): self = .watch(mode: String(words[1]))
    default: return nil
    }
  }
}

/// What a sentry answers.
package struct ControlReply: Equatable, Sendable {
  package var exitCode: Int32
  package var text: String

  package init(exitCode: Int32 = 0, _ text: String) {
    self.exitCode = exitCode
    self.text = text
  }

  /// Nothing was found under the name given.
  static func notFound(_ text: String) -> ControlReply { ControlReply(exitCode: 1, text + "\n") }
  /// The words could not be understood.
  static func usage(_ text: String) -> ControlReply { ControlReply(exitCode: 64, text + "\n") }
}

/// The sentry's end: a Unix socket that only its own user (and root) can open.
struct ControlServer: ~Copyable {
  private let listener: FileDescriptor
  private let path: String

  /// - Throws: `EADDRINUSE` when another sentry answers there.
  init(path: String) throws(Errno) {
    guard let address = UnixAddress(path) else { throw Errno(ENAMETOOLONG, "bind", path) }
    if let slash = path.lastIndex(of: "/"), slash > path.startIndex { try Files.createFolder(String(path[..<slash])) }
    if ControlClient.isAnswering(path) { throw Errno(EADDRINUSE, "bind", path) }
    unsafe unlink(path)
    let listener = try FileDescriptor.socket(AF_UNIX, CLinux_SOCK_STREAM | CLinux_SOCK_NONBLOCK, 0)
    // The permissions are there from the first moment, so that nobody slips in between.
    let mask = umask(0o177)
    let result = unsafe address.withPointer { unsafe CLinux_bind(listener.raw, $0, $1) }
    let code = CLinux_errno()
    umask(mask)
    guard result == 0 else { throw Errno(code, "bind", path) }
    try check("listen", path) { listen(listener.raw, 16) }
    self.listener = listener
    self.path = path
  }

  deinit { unsafe unlink(path) }

  var descriptor: Int32 { listener.raw }

  /// Answers at most eight waiting clients. One that says nothing within 200 ms, or too much, is dropped; one that
  /// does not read its answer is left to a thread of its own.
  func serve(_ answer: (ControlMessage) -> ControlReply) {
    for _ in 0..<8 {
      let raw = CLinux_accept(listener.raw, nil, nil, CLinux_SOCK_CLOEXEC)
      guard raw >= 0 else { return }
      let client = FileDescriptor(owning: raw)
      var line: [UInt8] = []
      while !line.contains(0x0a), line.count <= 4096, Poll.readable([raw], milliseconds: 200).contains(raw) {
        guard let part = try? client.read(upTo: 4097), !part.isEmpty else { break }
        line += part
      }
      guard let end = line.firstIndex(of: 0x0a) else { continue }
      let reply =
        ControlMessage(line: Array(line[..<end])).map(answer)
        ?? .usage("The running sentry does not understand this request: is it of another version?")
      let bytes = Array("\(reply.exitCode)\n\(reply.text)".utf8)
      var timeout = timeval(tv_sec: 5, tv_usec: 0)
      unsafe setsockopt(raw, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
      if bytes.count < 65_536 {
        try? client.writeAll(bytes)
      } else {
        let fd = client.release()
        let thread = try? Thread.start(name: "answer") { try? FileDescriptor(owning: fd).writeAll(bytes) }
        if thread == nil { close(fd) }
      }
    }
  }
}

/// The command line's end.
package enum ControlClient {
  /// Whether a sentry answers at `path`.
  package static func isAnswering(_ path: String) -> Bool { (try? connect(path)) != nil }

  private static func connect(_ path: String, patience: Int? = nil) throws(Errno) -> FileDescriptor {
    guard let address = UnixAddress(path) else { throw Errno(ENAMETOOLONG, "connect", path) }
    let socket = try FileDescriptor.socket(AF_UNIX, CLinux_SOCK_STREAM, 0)
    if let patience {
      var timeout = timeval(tv_sec: patience, tv_usec: 0)
      for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
        unsafe setsockopt(socket.raw, SOL_SOCKET, option, &timeout, socklen_t(MemoryLayout<timeval>.size))
      }
    }
    try check("connect", path) { unsafe address.withPointer { unsafe CLinux_connect(socket.raw, $0, $1) } }
    return socket
  }

  /// Sends a message and waits for the whole answer.
  ///
  /// - Parameter patience: for how many seconds at a time nothing may come; nil for whoever has nothing else to do.
  /// - Throws: `ENOENT` or `ECONNREFUSED` when no sentry runs, `EACCES` without the right to ask, `EAGAIN` when there is
  ///   no answer in time.
  package static func ask(
    _ path: String, _ message: ControlMessage, patience: Int? = nil
  ) throws(Errno) -> ControlReply {
    let socket = try connect(path, patience: patience)
    try socket.writeAll(Array((message.line + "\n").utf8))
    var bytes: [UInt8] = []
    while true {
      let part = try socket.read(upTo: 1 << 16)
      if part.isEmpty { break }
      bytes += part
    }
    guard let end = bytes.firstIndex(of: 0x0a), let code = Int32(String(decoding: bytes[..<end], as: UTF8.self)) else {
      throw Errno(EPROTO, "read", path)
    }
    return ControlReply(exitCode: code, String(decoding: bytes[(end + 1)...], as: UTF8.self))
  }
}
