import Fleet
import Wire

/// What this host has seen and may testify: a source waits a moment, until it is clear that it does not speak as a browser does. For the
/// main thread. Pure: time is passed in.
///
/// Holds `capacity` sources; what is beyond is not testified, and counted.
struct FleetDesk {
  static let capacity = 1_024
  /// A browser says its first word with the end of the handshake, or right after.
  static let patience: Int64 = 200_000_000

  /// What is to be signed.
  struct Sighting: Equatable, Sendable {
    var kind: Testimony.Kind
    var source: IPAddress
    var time: Timestamp
    var port: UInt16
  }

  private var waiting: [IPAddress: (sighting: Sighting, due: Int64)] = [:]
  /// The order in which they are due, which is that in which they came.
  private var order: [IPAddress] = []
  /// Of whom this host has testified, for a day: so much is taken back when an operator lets one in.
  private var told: [IPAddress: Timestamp] = [:]
  private(set) var browsers: UInt64 = 0
  private(set) var lost: UInt64 = 0

  /// When the next one has waited long enough.
  var due: Int64? { order.lazy.compactMap { waiting[$0]?.due }.first }

  /// A source has completed a connection with a decoy of this host.
  mutating func see(_ sighting: Sighting, at now: Int64) {
    if let known = waiting[sighting.source] {
      // With a verdict it says more.
      if sighting.kind == .verdict { waiting[sighting.source] = (sighting, known.due) }
      return
    }
    guard waiting.count < Self.capacity else {
      lost += 1
      return
    }
    waiting[sighting.source] = (sighting, now + Self.patience)
    order.append(sighting.source)
  }

  /// It speaks as a browser: a web page may have sent it, and it testifies of nobody.
  mutating func dismiss(_ source: IPAddress) {
    if waiting.removeValue(forKey: source) != nil { browsers += 1 }
  }

  /// Words of browsers were lost: nobody knows whose.
  mutating func dismissAll() {
    browsers += UInt64(waiting.count)
    (waiting, order) = ([:], [])
  }

  /// Those who have waited long enough.
  mutating func take(at now: Int64) -> [Sighting] {
    var result: [Sighting] = []
    var passed = 0
    for source in order {
      guard let entry = waiting[source] else {
        passed += 1
        continue
      }
      guard entry.due <= now else { break }
      waiting[source] = nil
      result.append(entry.sighting)
      note(source, entry.sighting.time)
      passed += 1
    }
    order.removeFirst(passed)
    return result
  }

  /// An operator lets a source in.
  ///
  /// - Returns: what is to be taken back; nil where nothing was said.
  mutating func retract(_ source: IPAddress, at time: Timestamp) -> Sighting? {
    waiting[source] = nil
    guard told.removeValue(forKey: source) != nil else { return nil }
    return Sighting(kind: .retraction, source: source, time: time, port: 0)
  }

  private mutating func note(_ source: IPAddress, _ time: Timestamp) {
    if told.count >= 8 * Self.capacity {
      let oldest = time + .seconds(-86_400)
      told = told.filter { $0.value > oldest }
      if told.count >= 8 * Self.capacity { told = [:] }
    }
    told[source] = time
  }
}
