import CLinux
import Platform
import Response
import Wire

/// Keeps the memory of repeat offenders on disk: a line for each block, written anew when it is mostly history. What
/// cannot be written is lost at a restart, which makes a repeat offender a first one; the log has said that the disk is
/// full by then.
struct OffenderStore: ~Copyable {
  let path: String
  private let isKept: Bool
  private var pending: [UInt8] = []
  private var lines = 0

  /// - Parameter directory: nil: nothing is read, and nothing written.
  init(directory: String?) {
    path = "\(directory ?? "")/offenders"
    isKept = directory != nil
  }

  mutating func load(now: Timestamp) throws(Errno) -> Offenders {
    guard isKept else { return Offenders() }
    do throws(Errno) {
      let bytes = try Files.read(path, limit: 64 << 20)
      lines = bytes.count(where: { $0 == 0x0a })
      return Offenders(parsing: bytes, now: now)
    } catch {
      guard error.code == ENOENT else { throw error }
      return Offenders()
    }
  }

  mutating func add(_ line: String) {
    // A mebibyte that cannot be written is enough.
    if isKept, pending.count < 1 << 20 { pending += Array(line.utf8) }
  }

  mutating func flush(_ offenders: Offenders) {
    guard !pending.isEmpty else { return }
    lines += pending.count(where: { $0 == 0x0a })
    do throws(Errno) {
      if lines > 2 * offenders.count + 1000 || Files.stamp(path) == nil {
        try Files.replace(path, with: Array(offenders.text.utf8))
        lines = offenders.count + 1
      } else {
        try FileDescriptor.open(path, Files.appending).writeAll(pending)
      }
      pending = []
    } catch {
      // Tried again with the next block.
      lines -= pending.count(where: { $0 == 0x0a })
    }
  }
}
