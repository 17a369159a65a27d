import Configuration
import Detection
import Platform
import Synchronization

/// What the detector keeps over a restart: one file in STATE_DIR, written by a thread of its own, as a disk may be slow.
final class MemoryKeeper {
  private static func path(_ directory: String) -> String { "\(directory)/sources" }
  /// More than any memory has: 16,384 sources, and a count for each port.
  private static let limit = 8 << 20

  private let path: String?
  private var writer: Thread?
  private let isBusy = SharedFlag()

  /// - Parameter directory: nil: nothing is kept.
  init(directory: String?) { path = directory.map(Self.path) }

  /// Gives the sensor what an earlier process knew.
  ///
  /// - Returns: what to say about it; nil when there was nothing.
  static func restore(_ sensor: inout Sensor, _ directory: String) -> News? {
    let path = path(directory)
    let bytes: [UInt8]
    do throws(Errno) {
      bytes = try Files.read(path, limit: limit)
    } catch {
      if error.isMissing { return nil }
      return News("cannot read \(path): \(error.reason); nothing is known of earlier scans", isError: true)
    }
    do throws(DetectorMemoryError) {
      let count = try sensor.restore(bytes)
      return count == 0 ? nil : News("\(count) sources are remembered from before")
    } catch {
      return News("\(path) is not taken over, as \(error); nothing is known of earlier scans", isError: true)
    }
  }

  /// Begins to write what the sensor has handed over. A disk that hangs holds one thread; what it does not take, the next ten minutes
  /// bring again.
  func keep(_ link: SensorLink) {
    guard let path else {
      _ = link.shared.withLock { $0.memory.take() }
      return
    }
    guard !isBusy.withLock({ $0 }), let memory = link.shared.withLock({ $0.memory.take() }) else { return }
    isBusy.withLock { $0 = true }
    let busy = isBusy
    writer = try? Thread.start(name: "memory") {
      try? Files.replace(path, with: memory)
      busy.withLock { $0 = false }
    }
  }

  /// Writes the last, and waits until it is on disk.
  func finish(_ link: SensorLink) -> News? {
    guard let path else { return nil }
    writer.take()?.join()
    guard let memory = link.shared.withLock({ $0.memory.take() }) else { return nil }
    do throws(Errno) {
      try Files.replace(path, with: memory)
      return nil
    } catch {
      return News(
        "cannot write \(path): \(error.reason); what was learnt since the last time is lost", isError: true)
    }
  }
}

/// A flag that two threads see.
final class SharedFlag: Sendable {
  private let value = Mutex(false)

  func withLock<Result>(_ body: (inout sending Bool) -> sending Result) -> Result { value.withLock(body) }
}
