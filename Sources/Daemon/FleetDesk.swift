import Fleet
import Wire

/// What this host has seen and may testify: a source waits a moment, until it is clear that it does not speak as a browser does. For the
/// main thread. Pure: time is passed in.
///
/// Holds `capacity` sources that have proven themselves, and `mostGlimpses` that have not; what is beyond is not testified, and counted.
struct FleetDesk {
  static let capacity = 1_024
  static let mostGlimpses = 256
  /// A browser says its first word with the end of the handshake, or right after.
  static let patience: Int64 = 200_000_000
  /// Of one source the same is said once in this time: its further connections add nothing to what the fleet knows.
  static let pace = Duration.seconds(600)
  /// Of what anybody can forge one is told in this time, and so many at once: each costs every host of the fleet.
  static let glimpsePace: Int64 = 10_000_000_000
  static let glimpseBurst: Int64 = 32

  /// What is to be signed.
  struct Sighting: Equatable, Sendable {
    var kind: Testimony.Kind
    var source: IPAddress
    var time: Timestamp
    var port: UInt16
  }

  private struct Told {
    var kind: Testimony.Kind
    var time: Timestamp
  }

  private var waiting: [IPAddress: (sighting: Sighting, due: Int64)] = [:]
  /// The order in which they are due, which is that in which they came, but for those that have left.
  private var order: [IPAddress] = []
  private var glimpses: [IPAddress: (sighting: Sighting, due: Int64)] = [:]
  private var glimpseOrder: [IPAddress] = []
  /// Of whom this host has testified, for a day: so much is taken back when an operator lets one in.
  private var told: [IPAddress: Told] = [:]
  private var glimpsed: [IPAddress: Timestamp] = [:]
  /// When all of `glimpseBurst` may be told at once again.
  private var glimpsesFullAt: Int64 = 0
  private(set) var browsers: UInt64 = 0
  private(set) var lost: UInt64 = 0
  private(set) var glimpsesLost: UInt64 = 0

  /// When the next one has waited long enough.
  var due: Int64? {
    let first = order.lazy.compactMap { waiting[$0]?.due }.first
    let other = glimpseOrder.lazy.compactMap { glimpses[$0]?.due }.first
    return [first, other].compactMap(\.self).min()
  }

  /// Nobody waits who has proven himself.
  var isEmpty: Bool { waiting.isEmpty }

  /// A source has completed a connection with a decoy of this host.
  ///
  /// - Returns: whether it waits now, and did not before.
  @discardableResult
  mutating func see(_ sighting: Sighting, at now: Int64) -> Bool {
    glimpses[sighting.source] = nil
    if let known = waiting[sighting.source] {
      // With a verdict it says more.
      if sighting.kind == .verdict { waiting[sighting.source] = (sighting, known.due) }
      return false
    }
    if let before = told[sighting.source], sighting.time - before.time < Self.pace,
      before.kind == .verdict || sighting.kind == .contact
    {
      return false
    }
    guard waiting.count < Self.capacity else {
      lost += 1
      return false
    }
    waiting[sighting.source] = (sighting, now + Self.patience)
    order.append(sighting.source)
    return true
  }

  /// A packet touched this host that anybody can have sent: it is told of, unless its source connects within the moment.
  mutating func glimpse(_ sighting: Sighting, at now: Int64) {
    let source = sighting.source
    guard waiting[source] == nil, told[source] == nil, glimpses[source] == nil,
      glimpsed[source].map({ sighting.time - $0 >= .seconds(3600) }) ?? true
    else { return }
    guard glimpses.count < Self.mostGlimpses else {
      glimpsesLost += 1
      return
    }
    glimpses[source] = (sighting, now + Self.patience)
    glimpseOrder.append(source)
  }

  /// It speaks as a browser: a web page may have sent it, and it testifies of nobody.
  mutating func dismiss(_ source: IPAddress) {
    if waiting.removeValue(forKey: source) != nil { browsers += 1 }
  }

  /// It has closed its last connection without a word: none is to come.
  mutating func left(_ source: IPAddress) {
    guard let entry = waiting[source], let place = order.firstIndex(of: source) else { return }
    waiting[source] = (entry.sighting, 0)
    order.remove(at: place)
    order.insert(source, at: 0)
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
      note(source, entry.sighting)
      passed += 1
    }
    order.removeFirst(passed)
    return result + takeGlimpses(at: now)
  }

  private mutating func takeGlimpses(at now: Int64) -> [Sighting] {
    var result: [Sighting] = []
    var passed = 0
    for source in glimpseOrder {
      guard let entry = glimpses[source] else {
        passed += 1
        continue
      }
      guard entry.due <= now else { break }
      glimpses[source] = nil
      passed += 1
      guard max(glimpsesFullAt, now) + Self.glimpsePace <= now + Self.glimpseBurst * Self.glimpsePace else {
        glimpsesLost += 1
        continue
      }
      glimpsesFullAt = max(glimpsesFullAt, now) + Self.glimpsePace
      if glimpsed.count >= Self.capacity { glimpsed = [:] }
      glimpsed[source] = entry.sighting.time
      result.append(entry.sighting)
    }
    glimpseOrder.removeFirst(passed)
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

  /// What was said of a network up to now counts no more: its next connection is told at once.
  mutating func forget(within network: IPNetwork) { told = told.filter { !network.contains($0.key) } }

  private mutating func note(_ source: IPAddress, _ sighting: Sighting) {
    if told.count >= 8 * Self.capacity {
      let oldest = sighting.time + .seconds(-86_400)
      told = told.filter { $0.value.time > oldest }
      if told.count >= 8 * Self.capacity { told = [:] }
    }
    told[source] = Told(kind: sighting.kind, time: sighting.time)
  }
}
