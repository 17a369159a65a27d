import CLinux
import Platform
import Wire

/// The words a command line may say to a running sentry: one line of words parted by tabs, at most 4 KiB. The answer
/// is a line with an exit code, then the text to print. No word runs a command.
package enum ControlMessage: Equatable, Sendable {
  case status(json: Bool)
  /// Each process, its user, and what it may do.
  case health(json: Bool)
  /// The blocks in force, as JSON.
  case blocked
  /// A few counts, at once and for little: what is shown every second.
  case pulse
  /// Counts for Prometheus.
  case metrics
  /// Block an address or network; seconds nil: as configured, 0: until released.
  case block(target: String, seconds: Int64?, reason: String)
  case unblock(target: String)
  case unblockAll
  /// Do nothing to an address or network; seconds nil: until it is taken back.
  case allow(target: String, seconds: Int64?)
  case endAllowance(target: String)
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
    case .health(let json): json ? "health\tjson" : "health"
    case .blocked: "blocked\tjson"
    case .pulse: "pulse"
    case .metrics: "metrics"
    case .block(let target, let seconds, let reason):
      "block\t\(target)\t\(seconds.map(String.init) ?? "-")\t\(reason)"
    case .unblock(let target): "unblock\t\(target)"
    case .unblockAll: "unblock-all"
    case .allow(let target, let seconds): "allow\t\(target)\t\(seconds.map(String.init) ?? "-")"
    case .endAllowance(let target): "allow-end\t\(target)"
    case .why(let target, let json): "why\t\(target)\t\(json ? "json" : "text")"
    case .confirm: "confirm"
    case .watch(let mode): "watch\t\(mode)"
    }
  }

  /// Whether the page's process may say it: what its forms and pages are made of.
  var isForPage: Bool {
    switch self {
    case .status, .health, .blocked, .pulse, .metrics, .why, .block, .unblock, .allow, .endAllowance: true
    case .unblockAll, .confirm, .watch: false
    }
  }

  /// Reads a line; nil for anything it does not know.
  package init?(line: [UInt8]) {
    guard line.count <= 4096, line.allSatisfy({ $0 >= 0x20 || $0 == 0x09 }) else { return nil }
    let words = String(decoding: line, as: UTF8.self).splitBytes("\t", omittingEmptySubsequences: false)
    switch (words.first, words.count) {
    case ("status", 1): self = .status(json: false)
    case ("status", 2) where words[1] == "json": self = .status(json: true)
    case ("health", 1): self = .health(json: false)
    case ("health", 2) where words[1] == "json": self = .health(json: true)
    case ("pulse", 1): self = .pulse
    case ("metrics", 1): self = .metrics
    case ("blocked", 2) where words[1] == "json": self = .blocked
    case ("block", 4):
      guard let seconds = Self.seconds(words[2]) else { return nil }
      self = .block(target: String(words[1]), seconds: seconds, reason: String(words[3]))
    case ("unblock", 2): self = .unblock(target: String(words[1]))
    case ("unblock-all", 1): self = .unblockAll
    case ("allow", 3):
      guard let seconds = Self.seconds(words[2]), seconds != 0 else { return nil }
      self = .allow(target: String(words[1]), seconds: seconds)
    case ("allow-end", 2): self = .endAllowance(target: String(words[1]))
    case ("why", 3) where words[2] == "json" || words[2] == "text":
      self = .why(target: String(words[1]), json: words[2] == "json")
    case ("confirm", 1): self = .confirm
    case ("watch", 2): self = .watch(mode: String(words[1]))
    default: return nil
    }
  }

  /// `-` for none; nil for what is no such word.
  private static func seconds(_ word: Substring) -> Int64?? {
    if word.isSameBytes(as: "-") { return .some(nil) }
    guard let seconds = Int64(word), (0...4_000_000_000).contains(seconds) else { return nil }
    return .some(seconds)
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
  /// The page asks for what is none of its business.
  static var notForPage: ControlReply { ControlReply(exitCode: 77, "This is not for the page to say.\n") }
  /// The words could not be understood.
  static func usage(_ text: String) -> ControlReply { ControlReply(exitCode: 64, text + "\n") }
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
    try ask(path, line: message.line, patience: patience)
  }

  /// The same about the page's door.
  package static func ask(_ path: String, _ message: LoginMessage, patience: Int? = nil) throws(Errno) -> ControlReply {
    try ask(path, line: message.line, patience: patience)
  }

  private static func ask(_ path: String, line: String, patience: Int?) throws(Errno) -> ControlReply {
    let socket = try connect(path, patience: patience)
    try socket.writeAll(Array((line + "\n").utf8))
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
