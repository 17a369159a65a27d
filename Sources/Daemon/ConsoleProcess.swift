import CLinux
import Platform
import Wire

/// The process that serves the page, started by the sentry when CONSOLE_LISTEN is set, and started anew when it ends. For the
/// sentry's poll loop: no call waits. Times are monotonic nanoseconds.
final class ConsoleProcess {
  /// Something to be said in the log.
  enum Notice: Equatable {
    case started
    /// It ended by itself; what it wrote, its first line.
    case ended(String)
  }

  private let other: String?
  private let arguments: [String]
  private var child: ChildProcess?
  private var nextTry: Int64 = 0
  /// How long is waited before the next start: a page that ends at once is not started a thousand times.
  private var pause: Int64 = 1_000_000_000
  private static let longestPause: Int64 = 60_000_000_000
  private var startedAt: Int64 = 0
  private var isSaid = false

  /// - Parameters:
  ///   - program: another than our own in tests.
  ///   - arguments: what follows the program's name.
  init(program: String? = nil, arguments: [String]) {
    other = program
    self.arguments = arguments
  }

  /// nil while there is none.
  var pid: pid_t? { child?.pid }

  /// To be polled.
  var descriptors: [Int32] { child?.descriptors ?? [] }

  /// When `advance` has something to do, whatever the descriptors say; nil while the process runs.
  var due: Int64? { child == nil ? nextTry : nil }

  /// Starts the process, or sees what became of it.
  func advance(now: Int64) -> Notice? {
    guard let child else {
      guard now >= nextTry else { return nil }
      return start(now)
    }
    if !child.outputEnded { child.readOutput() }
    guard let exit = child.reap() else {
      // What runs for a minute runs.
      if now - startedAt > Self.longestPause { (pause, isSaid) = (1_000_000_000, false) }
      return nil
    }
    let text = child.outputText.byteLines.first.map { SafeText.line(String($0), limit: 300) }
    self.child = nil
    nextTry = now + pause
    pause = min(2 * pause, Self.longestPause)
    return say(text ?? "\(exit)")
  }

  private func start(_ now: Int64) -> Notice? {
    guard let program = other ?? Self.program else { return say("its program cannot be found") }
    do throws(Errno) {
      child = try ChildProcess(program, ["portsentry"] + arguments)
      startedAt = now
      return isSaid ? nil : .started
    } catch {
      nextTry = now + pause
      pause = min(2 * pause, Self.longestPause)
      return say("\(error)")
    }
  }

  /// Once for each change, not for each try.
  private func say(_ text: String) -> Notice? {
    defer { isSaid = true }
    return isSaid ? nil : .ended(text)
  }

  /// Our own program, whatever its name is now.
  static var program: String? {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = unsafe readlink("/proc/self/exe", &buffer, buffer.count - 1)
    guard count > 0 else { return nil }
    let path = String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // An upgrade has put another in its place: this one runs on until it is restarted, and so does its page.
    return path.endsWithBytes(" (deleted)") ? "/proc/self/exe" : path
  }

  /// Asks it to end. It also ends by itself when we do.
  func stop() { child?.terminate() }
}
