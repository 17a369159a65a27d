import Carrier
import Configuration
import Fleet
import Platform
import Response
import Signing
import Synchronization
import Wire

/// Signs what this host saw and verifies what others say: the only place that knows the node's key. A thread of its own, since a
/// hundred thousand bans are three hundred thousand signatures. The sentry hands sightings over and takes words, under a lock that is
/// held for nanoseconds.
final class Notary: Sendable {
  struct Settings: Sendable, Equatable {
    var quorum = 3
    var zones = 1
    var time = Duration.seconds(86_400)
    var most = 100_000

    init(_ fleet: Configuration.Fleet) {
      (quorum, zones, time, most) = (fleet.quorum, fleet.zones, fleet.time, fleet.most)
    }
  }

  /// What `status` and the metrics say.
  struct Statistics: Sendable, Equatable {
    var name = ""
    var number: NodeNumber = 0
    var zone: UInt16 = 0
    var isConnected = false
    /// Why there is no connection, in words; empty while there is one.
    var fault = ""
    var members = 0
    var bans = 0
    /// Records of this host that the engine has not taken yet.
    var waiting = 0
    /// When the oldest of them was made; nil for none.
    var waitingSince: Timestamp?
    var told: UInt64 = 0
    /// Sightings that were signed, or lost.
    var signed: UInt64 = 0
    var taken: UInt64 = 0
    /// What was not believed, by reason.
    var refused: [String: UInt64] = [:]
    var carrier: Int32?
  }

  /// What the sentry takes.
  enum News: Sendable {
    case word(FleetWord)
    case note(String, isError: Bool)
  }

  /// Words that the sentry has not taken; beyond these the thread waits for it.
  static let mostNews = 4_096
  /// Sightings that the thread has not taken; beyond these they are lost and counted.
  private static let mostSightings = 4_096

  private struct Shared: Sendable {
    var settings: Settings
    var areSettingsNew = false
    var sightings: [FleetDesk.Sighting] = []
    var lost: UInt64 = 0
    var news: [News] = []
    var isStopping = false
    var isDone = false
    var statistics = Statistics()
  }

  private let shared: Mutex<Shared>
  private let toThread: EventFlag
  /// Raised when there is news.
  let toSentry: EventFlag

  /// - Parameters:
  ///   - folder: where what was verified is kept; nil: nowhere.
  init(_ membership: Membership, _ settings: Settings, folder: String?) throws(Errno) {
    toThread = try EventFlag()
    toSentry = try EventFlag()
    shared = Mutex(Shared(settings: settings))
    _ = try Thread.start(name: "notary") { [self] in
      NotaryThread(self, membership, settings, folder: folder)?.run()
      shared.withLock { $0.isDone = true }
    }
  }

  // MARK: The sentry's side

  /// To be signed and told. Never waits.
  func tell(_ sighting: FleetDesk.Sighting) {
    shared.withLock {
      if $0.sightings.count < Self.mostSightings { $0.sightings.append(sighting) } else { $0.lost += 1 }
    }
    toThread.signal()
  }

  func update(_ settings: Settings) {
    shared.withLock {
      guard $0.settings != settings else { return }
      ($0.settings, $0.areSettingsNew) = (settings, true)
    }
    toThread.signal()
  }

  func takeNews() -> [News] {
    toSentry.clear()
    let (news, wasFull) = shared.withLock {
      let news = $0.news
      $0.news = []
      return (news, news.count >= Self.mostNews)
    }
    if wasFull { toThread.signal() }
    return news
  }

  var statistics: Statistics { shared.withLock { $0.statistics } }

  /// Ends the thread and the carrier; what could not be told is told after the next start. Waits a second at most.
  func stop() {
    shared.withLock { $0.isStopping = true }
    toThread.signal()
    for _ in 0..<100 {
      if shared.withLock({ $0.isDone }) { return }
      Clock.sleep(.milliseconds(10))
    }
  }

  // MARK: The thread's side

  struct Work {
    var settings: Settings?
    var sightings: [FleetDesk.Sighting]
    var lost: UInt64
    var isStopping: Bool
    /// How many words may come before the sentry has to take some.
    var room: Int
  }

  func takeWork() -> Work {
    toThread.clear()
    return shared.withLock {
      let work = Work(
        settings: $0.areSettingsNew ? $0.settings : nil, sightings: $0.sightings, lost: $0.lost,
        isStopping: $0.isStopping, room: Self.mostNews - $0.news.count)
      $0.areSettingsNew = false
      $0.sightings = []
      $0.lost = 0
      return work
    }
  }

  func hand(_ news: [News]) {
    if news.isEmpty { return }
    shared.withLock { $0.news += news }
    toSentry.signal()
  }

  func publish(_ statistics: Statistics) { shared.withLock { $0.statistics = statistics } }

  var wakeDescriptor: Int32 { toThread.fd }
}
