import CLinux
import Confinement
import Platform
import Response
import Wire

/// The number that stands before each order, and before its reply: an answer that comes late is not taken for another's.
enum EnforcerSerial {
  static let size = 4
  static let news: UInt32 = 0

  static func bytes(_ serial: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: serial >> (24 - 8 * $0)) } }

  static func read(_ bytes: ArraySlice<UInt8>) -> UInt32? {
    bytes.count > size ? bytes.prefix(size).reduce(0) { $0 << 8 | UInt32($1) } : nil
  }
}

/// The sentry's end: orders go out, answers come back, and what the enforcer says by itself is kept until it is taken. Owned by one thread.
/// An order waits for its answer, which is the kernel's.
package final class EnforcerLink {
  /// What is new, each once.
  package enum News: Equatable, Sendable {
    case touched
    /// It has ended, and how; another is being started.
    case ended(String)
    /// Another is there, which knows nothing of the trap, and of blocks what the kernel has.
    case startedAnew
    /// Nobody enforces any more, and why.
    case gone(String)
  }

  private enum State: Equatable {
    case up
    /// Another is being started.
    case down
    case gone
  }

  /// In this process: for tests, and where nothing runs but one command.
  private let desk: EnforcerDesk?
  private let pair: Owned<FileDescriptor>?
  private let child: ChildProcess?
  private var serial: UInt32 = 0
  private var state = State.up
  private var news: [News] = []
  private var pid: Int32?
  private var buffer = [UInt8](repeating: 0, count: EnforcerSerial.size + EnforcerReply.largest + 1)
  /// How long an answer is waited for. The kernel takes tenths of a millisecond for a block, and seconds for a hundred thousand.
  private static let patience: Int64 = 20_000_000_000

  /// One that asks the kernel in this process.
  package init(_ desk: EnforcerDesk = EnforcerDesk(Permit(.none, safe: SafeNetworks()), KernelRuleset())) {
    self.desk = desk
    (pair, child) = (nil, nil)
  }

  /// Starts the processes.
  ///
  /// - Parameter program: our own.
  package init(starting program: String, _ settings: EnforcerSettings) throws(Errno) {
    var ends: [Int32] = [-1, -1]
    try check("socketpair") {
      unsafe socketpair(AF_UNIX, CLinux_SOCK_SEQPACKET | CLinux_SOCK_CLOEXEC, 0, &ends)
    }
    let theirs = FileDescriptor(owning: ends[1])
    pair = Owned(FileDescriptor(owning: ends[0]))
    child = try ChildProcess(program, [EnforcerProcess.role] + settings.words, socket: theirs.raw)
    desk = nil
  }

  /// To be polled.
  package var descriptors: [Int32] { state == .gone ? [] : pair.map { [$0.value.raw] } ?? desk?.watched ?? [] }

  /// Reads what has come by itself, and gives it away.
  package func takeNews() -> [News] {
    if let desk { return desk.rules.wasTouched() ? [.touched] : [] }
    while state != .gone, receive() != nil {}
    defer { news = [] }
    return news
  }

  /// Whether somebody enforces.
  package var isUp: Bool { state == .up }

  /// What each of its processes may do, as it says itself; empty where there is none but this.
  package func health() -> (states: [ProcessState], landlock: Bool) {
    guard desk == nil, case .health(let states, let landlock) = try? ask(.health) else { return ([], false) }
    return (states, landlock)
  }

  /// Whether there is news that was read while an answer was waited for.
  package var hasNews: Bool { !news.isEmpty }

  // MARK: Orders

  /// An order that is answered.
  ///
  /// - Throws: the kernel's reason; `.unacceptable` where the enforcer refuses.
  package func ask(_ order: EnforcerOrder) throws(ResponderError) -> EnforcerReply {
    let reply: EnforcerReply
    if let desk {
      guard case .reply(let answer) = desk.answer(order, at: Clock.monotonic) else { throw Self.noAnswer }
      reply = answer
    } else {
      reply = try answer(to: try send(order))
    }
    switch reply {
    case .failed(let error): throw error
    case .refused(let why): throw .unacceptable("the enforcer refuses it: \(why)")
    default: return reply
    }
  }

  /// A part of an order; the last part is asked.
  package func pass(_ part: EnforcerOrder) throws(ResponderError) {
    if let desk {
      guard desk.answer(part, at: Clock.monotonic) == .silence else { throw Self.noAnswer }
    } else {
      _ = try send(part)
    }
  }

  private static let noAnswer = ResponderError.failed(Errno(EPROTO, "enforcer"))
  private static let down = ResponderError.unacceptable(
    "the enforcer has ended and is being started anew: try again in a moment")
  private static let gone = ResponderError.unacceptable("the enforcer has ended: start the sentry anew")

  /// - Returns: its number.
  private func send(_ order: EnforcerOrder) throws(ResponderError) -> UInt32 {
    if state == .down { while state == .down, receive() != nil {} }
    guard let pair, state == .up else { throw state == .gone ? Self.gone : Self.down }
    serial = serial == .max ? 1 : serial + 1
    let bytes = EnforcerSerial.bytes(serial) + order.bytes
    let deadline = Clock.monotonic + Self.patience
    while true {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe CLinux.send(pair.value.raw, $0.baseAddress, $0.count, Int32(CLinux_MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
      }
      if count == bytes.count { return serial }
      let code = CLinux_errno()
      guard [EAGAIN, EINTR, ENOBUFS].contains(code) else {
        end("\(Errno(code, "send", "enforcer"))")
        throw Self.gone
      }
      guard Clock.monotonic < deadline else { throw .failed(Errno(ETIMEDOUT, "enforcer")) }
      // A pair that is closed can be written to.
      _ = Poll.ready(reading: [], writing: [pair.value.raw], milliseconds: 1_000)
    }
  }

  private func answer(to wanted: UInt32) throws(ResponderError) -> EnforcerReply {
    let deadline = Clock.monotonic + Self.patience
    while let pair, deadline > Clock.monotonic {
      let left = deadline - Clock.monotonic
      _ = Poll.readable([pair.value.raw], milliseconds: Int32(clamping: left / 1_000_000 + 1))
      while let (number, reply) = receive() {
        if number == wanted { return reply }
      }
      switch state {
      case .up: break
      case .down: throw Self.down
      case .gone: throw Self.gone
      }
    }
    // It hangs: the one above it starts another.
    if let pid { _ = kill(pid, SIGKILL) }
    throw .failed(Errno(ETIMEDOUT, "enforcer"))
  }

  /// One datagram. News is put aside; nil where there is nothing, or nobody.
  private func receive() -> (serial: UInt32, reply: EnforcerReply)? {
    guard let pair, state != .gone else { return nil }
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes {
        unsafe recv(pair.value.raw, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
      }
      if count < 0, CLinux_errno() == EINTR { continue }
      if count < 0, CLinux_errno() == EAGAIN { return nil }
      guard count > 0 else {
        end("")
        return nil
      }
      guard let number = EnforcerSerial.read(buffer[..<count]),
        let reply = EnforcerReply(buffer[EnforcerSerial.size..<count])
      else {
        end("what it says is no reply")
        return nil
      }
      if !reply.isNews { return (number, reply) }
      hear(reply)
      if state == .down { return nil }
    }
  }

  private func hear(_ reply: EnforcerReply) {
    switch reply {
    case .touched: if !news.contains(.touched) { news.append(.touched) }
    case .ended(let why):
      state = .down
      news.append(.ended(why))
    case .hello(let pid, let isAgain):
      self.pid = pid
      state = .up
      if isAgain { news.append(.startedAnew) }
    default: break
    }
  }

  private func end(_ why: String) {
    guard state != .gone else { return }
    state = .gone
    child?.readOutput()
    _ = child?.reap()
    let said = child?.outputText.byteLines.first.map { SafeText.line(String($0), limit: 300) }
    news.append(.gone([why, said ?? ""].first { !$0.isEmpty } ?? "its processes are gone"))
  }

  /// What its processes have written, which is only about rights that could not be given up: each line once.
  package func takeFaults() -> [String] {
    guard let child, !child.outputEnded else { return [] }
    child.readOutput()
    let lines = child.outputText.byteLines.map { SafeText.line(String($0), limit: 300) }
    defer { faultsTold = max(faultsTold, lines.count) }
    return Array(lines.dropFirst(faultsTold))
  }
  private var faultsTold = 0
}
