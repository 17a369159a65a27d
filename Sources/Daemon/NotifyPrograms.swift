import CLinux
import Notify
import Platform
import Wire

/// Why a message cannot be sent.
package enum NotifyFailure: Error, Equatable, CustomStringConvertible {
  /// A client is not installed.
  case missing(String)
  case unreadable(String, Errno)
  /// Others may read the file of a secret.
  case exposed(String)
  case empty(String)
  case cannotStart(Errno)

  package var description: String {
    switch self {
    case .missing(let name): "\(name) is not installed"
    case .unreadable(let path, let error): "cannot read \(SafeText.line(path)): \(error.reason)"
    case .exposed(let path):
      "\(SafeText.line(path)) can be read or written by other users: chmod 600 it, or 640 with the sentry's group"
    case .empty(let path): "\(SafeText.line(path)) has no usable first line"
    case .cannotStart(let error): "\(error)"
    }
  }
}

/// The programs that send messages, and the files of their secrets.
package enum NotifyPrograms {
  private static let folders = [
    "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/lib",
  ]

  /// The beginning of a file that only its owner, and at most its group, may read.
  package static func secretFile(_ path: String) throws(NotifyFailure) -> [UInt8] {
    let bytes: [UInt8]
    var info = stat()
    do throws(Errno) {
      // Whoever puts a pipe there does not hold us up.
      let file = try FileDescriptor.open(path, O_RDONLY | O_NONBLOCK)
      try check("fstat", path) { unsafe fstat(file.raw, &info) }
      bytes = try file.read(upTo: 4096)
    } catch {
      throw .unreadable(path, error)
    }
    if info.st_mode & 0o027 != 0 { throw .exposed(path) }
    return bytes
  }

  /// The first line of a file that only its owner, and at most its group, may read.
  package static func secret(_ path: String) throws(NotifyFailure) -> String {
    let bytes = try secretFile(path)
    let line = bytes.prefix { $0 != 0x0a && $0 != 0x0d }
    // Printable ASCII without blanks: no secret has others, and nothing else belongs into a header.
    guard !line.isEmpty, line.allSatisfy({ (0x21...0x7e).contains($0) }) else { throw .empty(path) }
    return String(decoding: line, as: UTF8.self)
  }

  /// Starts the program of a request.
  ///
  /// - Parameter confiner: our own program, which becomes the client with few rights (`ConfinedClient`); nil in tests.
  fileprivate static func start(
    _ request: NotifyRequest, confiner: String?
  ) throws(NotifyFailure) -> ChildProcess {
    guard let path = find(request.program) else { throw .missing(request.program) }
    var (program, words) = (path, [request.program] + request.arguments)
    // A command is the administrator's, who knows what it needs, and a mailer changes users. The others go by curl.
    if let confiner, request.program.isSameBytes(as: ConfinedClient.name) {
      words = [ConfinedClient.role, path] + request.arguments
      program = confiner
    }
    do throws(Errno) {
      return try ChildProcess(program, words, input: request.input)
    } catch {
      throw .cannotStart(error)
    }
  }

  /// Where a program is; nil where it is not installed.
  static func find(_ name: String) -> String? {
    if name.startsWithBytes("/") { return name }
    return folders.lazy.map { "\($0)/\(name)" }.first { unsafe access($0, X_OK) == 0 }
  }

  /// What is wrong with how a client ended; nil when it succeeded.
  fileprivate static func fault(
    _ exit: ChildProcess.Exit, _ request: NotifyRequest, _ child: ChildProcess, isTerminated: Bool
  ) -> String? {
    if case .exited(0) = exit { return nil }
    let said = request.harmless(child.outputText)
    let how =
      switch exit {
      case _ where isTerminated: "\(request.program) did not end in time and was stopped"
      case .exited(let status): "\(request.program) ended with status \(status)"
      case .signalled(let number): "\(request.program) was ended by signal \(number)"
      }
    return said.isEmpty ? how : "\(how): \(said)"
  }

  /// Sends one message and waits for the end of its client: for the command line.
  ///
  /// - Returns: what is wrong; nil when the client succeeded.
  package static func send(
    _ message: NotifyMessage, to target: NotifyTarget, confiner: String? = ConsoleProcess.program
  ) -> String? {
    do {
      let request = try NotifyRequest(message, to: target, host: Host.name, number: 0, read: secret)
      var attempt = try NotifyAttempt(request, confiner: confiner, now: Clock.monotonic)
      while true {
        switch attempt.advance(now: Clock.monotonic) {
        case .succeeded: return nil
        case .failed(let fault): return fault
        case nil: _ = attempt.child.wait(until: attempt.deadline)
        }
      }
    } catch {
      return "\(error)"
    }
  }
}

/// A client that runs, and how long it may. Times are monotonic nanoseconds.
struct NotifyAttempt {
  enum End: Equatable {
    case succeeded
    case failed(String)
  }

  /// After its own limit a client is asked to end, and ended two seconds later.
  private static let patience = Int64(NotifyRequest.limit + 5) * 1_000_000_000
  private static let grace: Int64 = 2_000_000_000

  let child: ChildProcess
  private let request: NotifyRequest
  /// When `advance` has something to do, whatever the child's descriptors say.
  private(set) var deadline: Int64
  private var isTerminated = false

  init(_ request: NotifyRequest, confiner: String? = nil, now: Int64) throws(NotifyFailure) {
    child = try NotifyPrograms.start(request, confiner: confiner)
    self.request = request
    deadline = now + Self.patience
  }

  /// Sees what became of it, and ends it when its time is over; nil while it runs.
  mutating func advance(now: Int64) -> End? {
    let exit = child.reap()
    child.readOutput()
    if let exit {
      return NotifyPrograms.fault(exit, request, child, isTerminated: isTerminated).map(End.failed) ?? .succeeded
    }
    if now >= deadline {
      if isTerminated { child.kill() } else { child.terminate() }
      (isTerminated, deadline) = (true, now + Self.grace)
    }
    return nil
  }
}
