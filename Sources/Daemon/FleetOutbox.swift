import CLinux
import Fleet
import Platform
import Wire

/// What this host has told the fleet, or is to tell: signed records with their places in its own stream. Kept on disk, so that an engine
/// that was away, or has lost everything, is told again; a record has one place, and the engine takes it once.
///
/// Holds `capacity` records of a day; when full the oldest goes, told or not.
struct FleetOutbox {
  static let capacity = 4_096
  /// What is older counts for nobody.
  static let lifetime: UInt64 = 86_400_000

  struct Entry: Equatable {
    var position: StreamPosition
    var record: [UInt8]
  }

  private(set) var entries: [Entry] = []
  private let path: String?
  /// Bytes in the file; it is written anew when most of it is over.
  private var size = 0
  /// The last place given away.
  private(set) var last = StreamPosition.start

  /// - Parameter folder: nil where nothing is kept.
  init(folder: String?, now: Timestamp) {
    path = folder.map { "\($0)/outbox" }
    guard let path, let bytes = try? Files.read(path, limit: 16 << 20) else { return }
    var rest = bytes[...]
    // What was cut by a crash ends the file.
    while rest.count >= 18 {
      let length = Int(rest[rest.startIndex + 16]) << 8 | Int(rest[rest.startIndex + 17])
      guard rest.count >= 18 + length, let position = Self.position(rest.prefix(16)) else { break }
      entries.append(Entry(position: position, record: Array(rest.dropFirst(18).prefix(length))))
      last = max(last, position)
      rest = rest.dropFirst(18 + length)
    }
    entries = Array(entries.suffix(Self.capacity))
    forget(before: now)
    rewrite()
  }

  /// A place for a record that is to be told now: above all that were given, here or by whoever told the engine.
  ///
  /// - Parameter seen: the newest that the engine has of us.
  mutating func place(at now: Timestamp, above seen: StreamPosition?) -> StreamPosition {
    let milliseconds = UInt64(max(now.nanoseconds / 1_000_000, 0))
    var floor = last
    // An engine that claims a place of the far future would end our stream: it is not believed.
    if let seen, seen.milliseconds < milliseconds + Self.lifetime { floor = max(floor, seen) }
    last =
      floor.milliseconds >= milliseconds
      ? StreamPosition(floor.milliseconds, floor.sequence &+ 1) : StreamPosition(milliseconds, 0)
    return last
  }

  /// Keeps a record.
  ///
  /// - Throws: when it is kept in memory alone.
  mutating func add(_ entry: Entry, now: Timestamp) throws(Errno) {
    entries.append(entry)
    if entries.count > Self.capacity { entries.removeFirst(entries.count - Self.capacity * 7 / 8) }
    guard let path else { return }
    if size > 4 * Self.capacity * 133 {
      forget(before: now)
      return rewrite()
    }
    let bytes = Self.encode(entry)
    let file = try FileDescriptor.open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW)
    try file.writeAll(bytes)
    size += bytes.count
  }

  /// Those above a place, in their order.
  func entries(above position: StreamPosition?) -> ArraySlice<Entry> {
    guard let position else { return entries[...] }
    return entries[(entries.firstIndex { $0.position > position } ?? entries.endIndex)...]
  }

  mutating func forget(before now: Timestamp) {
    let milliseconds = UInt64(max(now.nanoseconds / 1_000_000, 0))
    entries.removeAll { $0.position.milliseconds + Self.lifetime < milliseconds }
  }

  private mutating func rewrite() {
    guard let path else { return }
    let bytes = entries.flatMap(Self.encode)
    // What cannot be written now is written with the next record.
    if (try? Files.replace(path, with: bytes)) != nil { size = bytes.count }
  }

  private static func encode(_ entry: Entry) -> [UInt8] {
    number(entry.position.milliseconds) + number(entry.position.sequence)
      + [UInt8(truncatingIfNeeded: entry.record.count >> 8), UInt8(truncatingIfNeeded: entry.record.count)]
      + entry.record
  }

  private static func number(_ value: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) }
  }

  private static func position(_ bytes: ArraySlice<UInt8>) -> StreamPosition? {
    func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
    return bytes.count == 16 ? StreamPosition(number(bytes.prefix(8)), number(bytes.suffix(8))) : nil
  }
}
