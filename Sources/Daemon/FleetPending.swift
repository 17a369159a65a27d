import CLinux
import Fleet
import Platform
import Wire

/// Sightings that wait for a browser's word, on disk: a sentry that is killed within that moment tells of them after its next start, as of
/// somebody who said nothing.
///
/// Holds `most` bytes; what is beyond is lost with the process.
struct FleetPending {
  static let most = 64 << 10
  private static let size = 27

  /// nil: nothing is kept.
  private let path: String?
  private(set) var size = 0

  /// - Parameter folder: nil where nothing is kept.
  init(folder: String?) { path = folder.map { "\($0)/pending" } }

  /// What was not told when the process ended.
  mutating func load() -> [FleetDesk.Sighting] {
    guard let path, let bytes = try? Files.read(path, limit: Self.most + 1_024) else { return [] }
    size = bytes.count
    return stride(from: 0, to: bytes.count / Self.size * Self.size, by: Self.size).compactMap {
      Self.sighting(Array(bytes[$0..<$0 + Self.size]))
    }
  }

  mutating func add(_ sighting: FleetDesk.Sighting) {
    guard let path, size < Self.most else { return }
    let bytes = Self.encode(sighting)
    // What cannot be written is lost if the process ends within the moment.
    guard let file = try? FileDescriptor.open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW),
      (try? file.writeAll(bytes)) != nil
    else { return }
    size += bytes.count
  }

  /// All of it was told.
  mutating func clear() {
    guard let path, size > 0 else { return }
    if (try? Files.replace(path, with: [])) != nil { size = 0 }
  }

  static func encode(_ sighting: FleetDesk.Sighting) -> [UInt8] {
    let numbers = [sighting.source.high, sighting.source.low, UInt64(bitPattern: sighting.time.nanoseconds)]
    return numbers.flatMap { number in (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) } }
      + [UInt8(sighting.port >> 8), UInt8(truncatingIfNeeded: sighting.port), sighting.kind.rawValue]
  }

  private static func sighting(_ bytes: [UInt8]) -> FleetDesk.Sighting? {
    func number(_ place: Int) -> UInt64 { bytes[place..<place + 8].reduce(0) { $0 << 8 | UInt64($1) } }
    guard let kind = Testimony.Kind(rawValue: bytes[26]), kind.accuses else { return nil }
    let source = IPAddress(high: number(0), low: number(8))
    guard source.isPossiblePeer else { return nil }
    return FleetDesk.Sighting(
      kind: kind, source: source, time: Timestamp(nanoseconds: Int64(bitPattern: number(16))),
      port: UInt16(bytes[24]) << 8 | UInt16(bytes[25]))
  }
}
