import Configuration
import Detection
import Platform
import Synchronization

/// What the detector keeps over a restart: one file in STATE_DIR, written by a thread of its own, as a disk may be slow.
extension Sentry {
  private static func path(_ directory: String) -> String { "\(directory)/sources" }
  /// More than any memory has: 16,384 sources, and a count for each port.
  private static let limit = 8 << 20

  /// Gives the sensor what an earlier process knew.
  ///
  /// - Returns: what to say about it; nil when there was nothing.
  static func restore(_ sensor: inout Sensor, _ directory: String) -> (text: String, isError: Bool)? {
    let path = path(directory)
    let bytes: [UInt8]
    do throws(Errno) {
      bytes = try Files.read(path, limit: limit)
    } catch {
      return error.isMissing ? nil : ("cannot read \(path): \(error.reason); nothing is known of earlier scans", true)
    }
    do throws(DetectorMemoryError) {
      let count = try sensor.restore(bytes)
      return count == 0 ? nil : ("\(count) sources are remembered from before", false)
    } catch {
      return ("\(path) is not taken over, as \(error); nothing is known of earlier scans", true)
    }
  }

  /// Writes what the sensor has handed over.
  ///
  /// - Parameter isLast: wait until it is on disk.
  func keepMemory(isLast: Bool = false) {
    guard let path = plan.keptDirectory.map(Self.path) else {
      _ = link.shared.withLock { $0.memory.take() }
      return
    }
    if isLast {
      memoryWriter.take()?.join()
      guard let memory = link.shared.withLock({ $0.memory.take() }) else { return }
      do throws(Errno) { try Files.replace(path, with: memory) } catch {
        note("cannot write \(path): \(error.reason); what was learnt since the last time is lost", isError: true)
      }
      return
    }
    // A disk that hangs holds one thread; what it does not take, the next ten minutes bring again.
    guard !isMemoryBusy.withLock({ $0 }), let memory = link.shared.withLock({ $0.memory.take() }) else { return }
    isMemoryBusy.withLock { $0 = true }
    let busy = isMemoryBusy
    memoryWriter = try? Thread.start(name: "memory") {
      try? Files.replace(path, with: memory)
      busy.withLock { $0 = false }
    }
  }
}

/// A flag that two threads see.
final class SharedFlag: Sendable {
  private let value = Mutex(false)

  func withLock<Result>(_ body: (inout sending Bool) -> sending Result) -> Result { value.withLock(body) }
}
