import Carrier
import Platform
import Wire

/// The carrier's process as the notary sees it: started, started anew when it ends, told where to go. For the notary's thread.
final class FleetCarrier {
  private static let longestPause: Int64 = 60_000_000_000

  private var child: ChildProcess?
  private(set) var pair: CarrierPair?
  private var nextTry: Int64 = 0
  private var pause: Int64 = 1_000_000_000
  private var startedAt: Int64 = 0

  /// To be polled.
  var descriptors: [Int32] { (pair.map { [$0.descriptor] } ?? []) + (child?.descriptors ?? []) }

  /// When `advance` has something to do, whatever the descriptors say; nil while the process runs.
  var due: Int64? { child == nil ? nextTry : nil }

  var pid: Int32? { child?.pid }

  /// Starts the process, or sees what became of it.
  ///
  /// - Parameter hello: where it has to go, asked at each start.
  /// - Returns: why it has ended, or could not be started.
  func advance(now: Int64, hello: () -> CarrierFrame.Hello) -> String? {
    guard let child else { return now >= nextTry ? start(now, hello()) : nil }
    if !child.outputEnded { child.readOutput() }
    guard let exit = child.reap() else {
      if now - startedAt > Self.longestPause { pause = 1_000_000_000 }
      return nil
    }
    let text = child.outputText.byteLines.first.map { SafeText.line(String($0), limit: 300) }
    return end("the carrier has ended: \(text ?? "\(exit)")", now)
  }

  private func start(_ now: Int64, _ hello: CarrierFrame.Hello) -> String? {
    guard let program = ConsoleProcess.program else { return end("its program cannot be found", now) }
    do throws(Errno) {
      let pair = try CarrierPair.make { (theirs) throws(Errno) in
        child = try ChildProcess(program, ["portsentry", "fleet", "carry"], socket: theirs.raw)
      }
      _ = try pair.send(.hello(hello))
      self.pair = pair
      startedAt = now
      return nil
    } catch {
      return end("\(error)", now)
    }
  }

  private func end(_ why: String, _ now: Int64) -> String {
    stop()
    (child, pair) = (nil, nil)
    nextTry = now + pause
    pause = min(2 * pause, Self.longestPause)
    return why
  }

  /// It ends by itself when we let go of our end; this hurries it.
  func stop() { child?.terminate() }
}
