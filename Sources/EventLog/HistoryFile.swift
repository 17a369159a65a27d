import Platform
import Wire

/// The record of everything seen: 1.2's lines (one for each host responded to), 2.x's (one for each event), or both in
/// one file.
package struct HistoryFile: ~Copyable {
  package enum Form: String, Sendable, CaseIterable {
    case classic = "1.2"
    case modern = "2"
    case both
  }

  package typealias Change = LineFile.Change

  private let form: Form
  private var file: LineFile
  private var zone = Zone()

  /// The offset of the host's zone, asked for once in a quarter of an hour: no zone changes its offset in between.
  private struct Zone {
    private var quarter = Int64.min
    private var offset = 0

    mutating func local(_ time: Timestamp) -> LocalTime {
      let quarter = time.seconds / 900
      if quarter != self.quarter {
        self.quarter = quarter
        offset = LocalTime(time).offset
      }
      return LocalTime(time, offset: offset)
    }
  }

  /// Opens nothing yet.
  ///
  /// - Parameter capacity: the most bytes kept in memory.
  package init(path: String, form: Form, capacity: Int = 1 << 20, limits: FileLimits = FileLimits()) {
    self.form = form
    file = LineFile(path: path, capacity: capacity, limits: limits)
  }

  package var path: String { file.path }
  /// Lines lost since this was last reported.
  package var lostLines: Int { file.lostLines }
  /// Bytes waiting for the next flush.
  package var pendingBytes: Int { file.pendingBytes }

  /// Records that a host was responded to, where the form has such lines.
  package mutating func append(blocked entry: BlockedFile.Entry) {
    guard form != .modern else { return }
    let time = zone.local(entry.time ?? Timestamp(nanoseconds: 0))
    file.append(isImportant: true) { BlockedFile.append(entry, time, to: &$0) }
  }

  /// Records an event, where the form has such lines.
  package mutating func append(_ event: ScanEvent, at time: Timestamp) {
    guard form != .classic else { return }
    let stamp = zone.local(time).iso8601
    // Whoever was blocked has proven himself, and a flood of invented sources has not.
    file.append(isImportant: event.isBlocked == true) { text in
      text += stamp.utf8
      text.append(UInt8(ascii: " "))
      event.append(to: &text, isHistory: true)
      text.append(UInt8(ascii: "\n"))
    }
  }

  /// Writes what has collected. Call it a few times a second, and before the process ends.
  ///
  /// - Returns: what has changed, to be logged; nil when nothing has.
  package mutating func flush() -> Change? { file.flush() }
}
