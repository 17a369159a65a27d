import Platform
import Response
import Wire

/// What outlives us in STATE_DIR of blocks: those in force, and who was blocked before.
struct Ledger: ~Copyable {
  var blocks: BlockStore
  var offenders: OffenderStore
  private var outage = Outage()
  private var nextTry: Int64 = 0

  /// - Parameter directory: nil: nothing is read, and nothing written.
  init(directory: String?) {
    blocks = BlockStore(directory: directory)
    offenders = OffenderStore(directory: directory)
  }

  /// Writes what has changed; where that failed, tries it again once a second.
  ///
  /// - Parameter now: monotonic.
  /// - Returns: what is to be said of it.
  mutating func flush(_ table: BlockTable, _ known: Offenders, at now: Int64) -> News? {
    defer { offenders.flush(known) }
    guard blocks.isDirty, !blocks.isBehind || now >= nextTry else { return nil }
    do throws(Errno) {
      try blocks.flush(table)
      return outage.ends() ? News("\(blocks.path) is written again; nothing was lost") : nil
    } catch {
      nextTry = now + 1_000_000_000
      guard outage.begins() else { return nil }
      return News(
        "cannot write \(blocks.path): \(error.reason); blocks stay in force but would not survive a restart",
        isError: true)
    }
  }
}
