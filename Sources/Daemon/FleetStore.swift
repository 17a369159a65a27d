import CLinux
import Fleet
import Platform
import Wire

/// What was verified of what the fleet says, and how far its streams were read: `STATE_DIR/fleet`. Nobody but the sentry's own user can
/// write there, so what is read back is not verified again.
///
/// The file of records grows by what is news, and is written anew at a start, and at `most`, with what still counts.
struct FleetStore {
  /// Bytes: a hundred thousand bans are 35 MB.
  static let most = 256 << 20

  enum Kind: UInt8 {
    case certificate = 1
    case order = 2
    case proof = 3
  }

  /// nil: nothing is kept.
  let folder: String?
  private var size = 0
  private(set) var fault: Errno?

  init(folder: String?) {
    self.folder = folder
    guard let folder else { return }
    do throws(Errno) { try Files.createFolder(folder, mode: 0o700) } catch { fault = error }
  }

  private var recordsPath: String { "\(folder ?? "")/records" }
  private var placesPath: String { "\(folder ?? "")/places" }
  private var secretPath: String { "\(folder ?? "")/secret" }

  /// By this the ends of bans are drawn apart, each node's its own and the same after a restart.
  func secret() -> (UInt64, UInt64) {
    if folder != nil, let bytes = try? Files.read(secretPath, limit: 64), bytes.count == 16 {
      return (Self.number(bytes[0..<8]), Self.number(bytes[8..<16]))
    }
    let key = Clock.randomKey()
    if folder != nil { try? Files.replace(secretPath, with: Self.bytes(key.0) + Self.bytes(key.1)) }
    return key
  }

  // MARK: Records

  /// All that is kept, in the order in which it came.
  mutating func load(_ take: (Kind, RawSpan) -> Void) {
    guard folder != nil, let bytes = try? Files.read(recordsPath, limit: Self.most + (1 << 20)) else { return }
    size = bytes.count
    unsafe Self.walk(bytes.span.bytes) { kind, record, _ in take(kind, record) }
  }

  /// What was cut by a crash ends the file.
  private static func walk(_ bytes: RawSpan, _ take: (Kind, RawSpan, Range<Int>) -> Void) {
    var place = 0
    while place + 3 <= bytes.byteCount {
      let length = Int(bytes.u16(at: place + 1))
      guard let kind = Kind(rawValue: bytes.u8(at: place)), place + 3 + length <= bytes.byteCount else { return }
      let range = place + 3..<place + 3 + length
      take(kind, bytes.extracting(range), place..<range.upperBound)
      place = range.upperBound
    }
  }

  /// Adds what is news.
  mutating func add(_ kind: Kind, _ record: [UInt8]) {
    guard folder != nil, size < Self.most else { return }
    let bytes =
      [kind.rawValue, UInt8(truncatingIfNeeded: record.count >> 8), UInt8(truncatingIfNeeded: record.count)] + record
    do throws(Errno) {
      let file = try FileDescriptor.open(recordsPath, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW)
      try file.writeAll(bytes)
      size += bytes.count
      fault = nil
    } catch {
      fault = error
    }
  }

  /// Keeps certificates and orders that are given, and of proofs those that somebody wants.
  mutating func rewrite(_ certificates: [Certificate], _ orders: [Order], keeping wants: (Proof) -> Bool) {
    guard folder != nil else { return }
    var result: [UInt8] = []
    func append(_ kind: Kind, _ record: [UInt8]) {
      result += [kind.rawValue, UInt8(truncatingIfNeeded: record.count >> 8), UInt8(truncatingIfNeeded: record.count)]
      result += record
    }
    for certificate in certificates { append(.certificate, certificate.encoded) }
    for order in orders { append(.order, order.encoded) }
    if let bytes = try? Files.read(recordsPath, limit: Self.most + (1 << 20)) {
      unsafe Self.walk(bytes.span.bytes) { kind, record, range in
        guard kind == .proof, let proof = try? Proof(record), wants(proof) else { return }
        result += bytes[range]
      }
    }
    do throws(Errno) {
      try Files.replace(recordsPath, with: result)
      size = result.count
      fault = nil
    } catch {
      fault = error
    }
  }

  // MARK: Places

  /// How far the streams of proofs and of orders were read.
  func places() -> (proofs: StreamPosition, orders: StreamPosition) {
    guard folder != nil, let bytes = try? Files.read(placesPath, limit: 64), bytes.count == 32 else {
      return (.start, .start)
    }
    let numbers = (0..<4).map { Self.number(bytes[8 * $0..<8 * $0 + 8]) }
    return (StreamPosition(numbers[0], numbers[1]), StreamPosition(numbers[2], numbers[3]))
  }

  func keep(places: (proofs: StreamPosition, orders: StreamPosition)) {
    guard folder != nil else { return }
    let numbers = [
      places.proofs.milliseconds, places.proofs.sequence, places.orders.milliseconds, places.orders.sequence,
    ]
    // What is lost of it is read once more.
    try? Files.replace(placesPath, with: numbers.flatMap(Self.bytes))
  }

  private static func bytes(_ value: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) }
  }
  private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
}
