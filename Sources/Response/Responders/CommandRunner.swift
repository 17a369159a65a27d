import CLinux
import Platform
import Wire

/// Runs the administrator's commands beside the sentry, a few at a time, each with a time limit.
///
/// Owned by a poll loop: poll `pollDescriptors` until `nextDeadline`, then call `advance`. No call waits. Times are
/// monotonic nanoseconds.
package struct CommandRunner: ~Copyable {
  /// Commands that run at the same time.
  package static let mostRunning = 16
  /// Commands that wait for a place. Beyond, new ones are refused and counted.
  package static let mostWaiting = 1_024
  /// From SIGTERM at the time limit to SIGKILL.
  package static let grace: UInt64 = 2_000_000_000

  /// What came of a command.
  package enum Outcome: Equatable, Sendable, CustomStringConvertible {
    /// Exit status 0.
    case succeeded
    /// Another exit status, and the first 4 KiB of what the command wrote.
    case failed(status: Int32, output: String)
    /// Ended by a signal that was not ours.
    case signalled(Int32)
    /// Ended by us when its time was over.
    case timedOut
    /// The shell found no such command (127), or might not or could not execute it (126).
    case notFound(status: Int32, output: String)
    /// Not even the shell could be started.
    case cannotStart(Errno)

    fileprivate init(_ exit: ChildProcess.Exit, output: String) {
      self =
        switch exit {
        case .exited(0): .succeeded
        case .exited(let status) where status == 126 || status == 127: .notFound(status: status, output: output)
        case .exited(let status): .failed(status: status, output: output)
        case .signalled(let number): .signalled(number)
        }
    }

    /// In plain words, on one line.
    package var description: String {
      switch self {
      case .succeeded: "succeeded"
      case .failed(let status, let output): "failed with exit status \(status)" + Self.line(output)
      case .signalled(let number): "was ended by signal \(number)"
      case .timedOut: "did not end in time and was stopped: see COMMAND_TIMEOUT"
      case .notFound(126, let output): "may not be executed, or is no program" + Self.line(output)
      case .notFound(_, let output): "was not found: install it, or give its full path" + Self.line(output)
      case .cannotStart(let reason): "could not be started: \(reason)"
      }
    }

    /// The first line of what a command wrote, without anything a terminal would act on.
    private static func line(_ output: String) -> String {
      let text = output.byteLines.first ?? ""
      let clean = text.unicodeScalars.prefix(200).map { $0.properties.generalCategory == .control ? "?" : String($0) }
      return clean.isEmpty ? "" : ": " + clean.joined()
    }
  }

  /// What came of a command, each once.
  package struct Result: Equatable, Sendable {
    /// What `submit` was given.
    package let id: UInt64
    package let command: String
    package let outcome: Outcome
    /// From its start to when its end was noticed; nothing for one that could not start.
    package let duration: Duration
  }

  private struct Waiting {
    let id: UInt64
    let command: String
    let timeout: UInt64
  }

  private struct Running {
    let waiting: Waiting
    let child: ChildProcess
    let started: UInt64
    var deadline: UInt64
    var terminated = false
  }

  private var running: [Running] = []
  private var waiting: [Waiting] = []
  private var failed: [Result] = []

  /// Commands refused because too many were waiting.
  package private(set) var refused: UInt64 = 0

  package init() {}

  package var runningCount: Int { running.count }
  package var waitingCount: Int { waiting.count }
  package var isIdle: Bool { running.isEmpty && waiting.isEmpty && failed.isEmpty }

  /// Starts a command, or lets it wait for a place. Its time limit counts from its start.
  ///
  /// - Returns: false when too many wait: it will not be run, and is counted in `refused`.
  package mutating func submit(id: UInt64, command: String, timeout: Duration, now: UInt64) -> Bool {
    let (seconds, attoseconds) = timeout.components
    // An hour is more than any firewall command needs.
    let limit = seconds >= 3_600 ? 3_600_000_000_000 : max(0, seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    let item = Waiting(id: id, command: command, timeout: UInt64(limit))
    if running.count < Self.mostRunning, waiting.isEmpty {
      start(item, now: now)
      return true
    }
    guard waiting.count < Self.mostWaiting else {
      refused += 1
      return false
    }
    waiting.append(item)
    return true
  }

  /// What to poll for reading.
  package var pollDescriptors: [Int32] {
    running.flatMap(\.child.descriptors)
  }

  /// When `advance` must be called at the latest; nil when there is nothing to wait for.
  package var nextDeadline: UInt64? { failed.isEmpty ? running.map(\.deadline).min() : 0 }

  /// Reads output, notices what has ended, enforces time limits, starts what waits.
  ///
  /// - Returns: the commands that have ended, each once.
  package mutating func advance(now: UInt64) -> [Result] {
    var results: [Result] = []
    var still: [Running] = []
    for var item in running {
      // Whether it ended is asked first: all it wrote is in the pipe then. Who else holds the pipe open (a process
      // gone to the background) is not waited for.
      let exit = item.child.reap()
      item.child.readOutput()
      if let exit {
        let outcome = item.terminated ? .timedOut : Outcome(exit, output: item.child.outputText)
        results.append(
          Result(
            id: item.waiting.id, command: item.waiting.command, outcome: outcome,
            duration: .nanoseconds(Int64(clamping: now &- min(now, item.started)))))
        continue
      }
      if now >= item.deadline {
        if item.terminated {
          item.child.kill()
          // Only its end is missing, and that wakes the poll; look again in a while in any case.
          item.deadline = now + Self.grace
        } else {
          item.child.terminate()
          item.terminated = true
          item.deadline = now + Self.grace
        }
      }
      still.append(item)
    }
    running = still
    while running.count < Self.mostRunning, !waiting.isEmpty { start(waiting.removeFirst(), now: now) }
    results += failed
    failed = []
    return results
  }

  /// Asks all that runs to end, and forgets what waits: for shutting down. `advance` until `isIdle`.
  package mutating func stop(now: UInt64) {
    waiting = []
    for index in running.indices where !running[index].terminated {
      running[index].child.terminate()
      running[index].terminated = true
      running[index].deadline = now + Self.grace
    }
  }

  private mutating func start(_ item: Waiting, now: UInt64) {
    do throws(Errno) {
      let child = try ChildProcess(shell: item.command)
      running.append(Running(waiting: item, child: child, started: now, deadline: now + item.timeout))
    } catch {
      failed.append(Result(id: item.id, command: item.command, outcome: .cannotStart(error), duration: .zero))
    }
  }
}
