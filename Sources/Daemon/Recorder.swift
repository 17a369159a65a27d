import Database
import Detection
import EventLog
import Journal
import Platform
import Report
import Synchronization
import Wire

/// Keeps what happens: journal, and files of events for other programs. Its thread is the only one that waits for a disk;
/// the sentry hands events over under a lock that is held for nanoseconds.
final class Recorder: Sendable {
  struct Settings: Sendable, Equatable {
    var journal: JournalWriter.Settings?
    /// Of each file of events.
    var fileLimits = FileLimits.standard
    /// EVENTS_FILE and EVE_FILE.
    var eventsFile: String?
    var eveFile: String?
    var metricsFile: String?
    /// For the events' field of the observer.
    var version = ""

    var keepsNothing: Bool { journal == nil && eventsFile == nil && eveFile == nil && metricsFile == nil }
  }

  /// Something to be said in the log: once for each change.
  enum Notice: Sendable {
    case journalFailed(JournalError)
    case journalRecovered(lost: UInt64)
    case journalReplaced(kept: String?)
    case fileChanged(path: String, LineFile.Change)
    /// METRICS_FILE cannot be written, or (nil) can again.
    case metricsFailed(path: String, Errno?)
  }

  /// What the thread tells of itself.
  struct Statistics: Sendable {
    /// Records that found no room, or could not be written.
    var lost: UInt64 = 0
    var isFailing = false
    var bytes = 0
    var writtenAt: Timestamp?
  }

  /// Probes and other events on their way to the thread. Beyond these they are counted and lost.
  private static let probeLimit = 32_768
  /// As many do not wait until what comes with them has gathered: the thread writes faster than they come.
  private static let hurry = probeLimit / 4
  private static let eventLimit = 8_192

  private struct Shared: Sendable {
    var settings: Settings?
    var probes: [Probe] = []
    var events: [Event] = []
    var lost: UInt64 = 0
    var metrics: String?
    var isStopping = false
    var isDone = false
    var notices: [Notice] = []
    var statistics = Statistics()
  }

  private let shared = Mutex(Shared())
  private let toThread: EventFlag
  /// Raised when there is a notice.
  let toSentry: EventFlag

  init(_ settings: Settings) throws(Errno) {
    toThread = try EventFlag()
    toSentry = try EventFlag()
    shared.withLock { $0.settings = settings }
    _ = try Thread.start(name: "recorder") { [self] in RecorderThread(self).run() }
  }

  // MARK: The sentry's side

  /// Takes an event. Never waits.
  func keep(_ event: Event) {
    let isUrgent = shared.withLock { shared in
      let wasEmpty = shared.probes.isEmpty && shared.events.isEmpty
      if case .probe(let probe) = event {
        if shared.probes.count < Self.probeLimit { shared.probes.append(probe) } else { shared.lost += 1 }
      } else {
        let room = event.isByTheWay ? Self.eventLimit / 2 : Self.eventLimit
        if shared.events.count < room { shared.events.append(event) } else { shared.lost += 1 }
      }
      return wasEmpty || shared.probes.count == Self.hurry
    }
    if isUrgent { toThread.signal() }
  }

  /// Takes what METRICS_FILE is to say from now on.
  func publish(metrics: String) {
    shared.withLock { $0.metrics = metrics }
    toThread.signal()
  }

  func update(_ settings: Settings) {
    shared.withLock { $0.settings = settings }
    toThread.signal()
  }

  func takeNotices() -> [Notice] {
    toSentry.clear()
    return shared.withLock {
      let notices = $0.notices
      $0.notices = []
      return notices
    }
  }

  var statistics: Statistics { shared.withLock { $0.statistics } }

  /// Writes what there is and ends. A disk that hangs is waited for five seconds, no longer.
  func finish() {
    shared.withLock { $0.isStopping = true }
    toThread.signal()
    for _ in 0..<500 {
      if shared.withLock({ $0.isDone }) { return }
      Clock.sleep(.milliseconds(10))
    }
  }

  // MARK: The thread's side

  fileprivate struct Work {
    var settings: Settings?
    var probes: [Probe]
    var events: [Event]
    var lost: UInt64
    var metrics: String?
    var isStopping: Bool
  }

  fileprivate func take() -> Work {
    toThread.clear()
    return shared.withLock { shared in
      let work = Work(
        settings: shared.settings, probes: shared.probes, events: shared.events, lost: shared.lost,
        metrics: shared.metrics, isStopping: shared.isStopping)
      shared.settings = nil
      shared.metrics = nil
      shared.probes = []
      shared.events = []
      shared.lost = 0
      return work
    }
  }

  fileprivate func notify(_ notice: Notice) {
    // A hundred that nobody took say enough.
    shared.withLock { if $0.notices.count < 100 { $0.notices.append(notice) } }
    toSentry.signal()
  }

  fileprivate func publish(_ statistics: Statistics) { shared.withLock { $0.statistics = statistics } }
  fileprivate func done() { shared.withLock { $0.isDone = true } }
  /// Whether what there is should be taken at once.
  fileprivate var isPressed: Bool { shared.withLock { $0.isStopping || $0.probes.count >= Self.hurry } }

  /// Waits for something to do.
  fileprivate func wait(milliseconds: Int32) {
    if !Poll.readable([toThread.fd], milliseconds: milliseconds).isEmpty { toThread.clear() }
  }
}

/// The thread's own state.
private final class RecorderThread {
  /// What comes within this time is written together. With the writing itself it stays below a second.
  private static let gathering: Int32 = 400
  /// Probes that get a line each in the files of events, at one gathering. Of more their number is told.
  private static let listedProbes = 2_000
  /// How often a journal that cannot be written is tried again; monotonic nanoseconds, as all times here.
  private static let retryInterval: Int64 = 5_000_000_000

  /// So many probes in a turn take megabytes.
  private static let burst = 8192

  private let recorder: Recorder
  private var settings = Recorder.Settings()
  private var writer: JournalWriter?
  /// What is not written yet: more than a moment's worth only while nothing can be written.
  private var batch = Batch()
  private var events: Owned<LineFile>?
  private var eve: Owned<LineFile>?
  private var ecs = ECSLines(version: "", host: "", process: 0)
  private var statistics = Recorder.Statistics()
  private var nextTry: Int64 = 0
  private var isRefused = false
  private var isSwollen = false
  private var nextChore: Int64 = 0
  private var nextSignOfLife: Int64 = 0
  private var nextLook: Int64 = 0
  private var inode: UInt64?
  private var clock = SteadyClock()

  init(_ recorder: Recorder) { self.recorder = recorder }

  func run() {
    while true {
      recorder.wait(milliseconds: waitTime)
      if !recorder.isPressed { recorder.wait(milliseconds: Self.gathering) }
      let work = recorder.take()
      if let new = work.settings { change(new) }
      let now = Clock.now
      keep(work, now)
      flush(&events)
      flush(&eve)
      if let metrics = work.metrics { write(metrics: metrics) }
      writeJournal(now)
      giveBackMemory(after: work.probes.count)
      if work.isStopping {
        writer = nil
        recorder.publish(statistics)
        recorder.done()
        return
      }
      upkeep(now)
      recorder.publish(statistics)
    }
  }

  /// What a burst took goes back to the kernel once it is over: SQLite and libc would keep it.
  private func giveBackMemory(after probes: Int) {
    if probes > Self.burst {
      isSwollen = true
    } else if isSwollen {
      isSwollen = false
      writer?.giveBackMemory()
      Heap.giveBack()
    }
  }

  private var waitTime: Int32 {
    let now = Clock.monotonic
    var due = min(nextChore, nextSignOfLife)
    if isSwollen { due = min(due, now + 500_000_000) }
    if writer == nil, settings.journal != nil, !isRefused { due = min(due, nextTry) }
    return Int32(clamping: max(0, (due - now) / 1_000_000))
  }

  private func keep(_ work: Recorder.Work, _ now: Timestamp) {
    let lostBefore = batch.lost
    batch.addLost(work.lost)
    if settings.journal != nil {
      for probe in work.probes { batch.add(.probe(probe)) }
      for event in work.events { batch.add(event) }
    }
    statistics.lost += batch.lost - lostBefore
    for probe in work.probes.prefix(Self.listedProbes) { list(.probe(probe)) }
    for event in work.events { list(event) }
    if work.probes.count > Self.listedProbes, let events {
      ecs.append(unlisted: UInt64(work.probes.count - Self.listedProbes), at: now, to: &events.value)
    }
  }

  private func list(_ event: Event) {
    if let events { ecs.append(event, to: &events.value) }
    if let eve { EVELines.append(event, to: &eve.value) }
  }

  private func change(_ new: Recorder.Settings) {
    ecs = ECSLines(version: new.version, host: Host.name, process: Int(Version.processID))
    if new.eventsFile != settings.eventsFile || new.fileLimits != settings.fileLimits {
      flush(&events)
      events = new.eventsFile.map { Owned(LineFile(path: $0, capacity: 4 << 20, limits: new.fileLimits)) }
    }
    if new.eveFile != settings.eveFile || new.fileLimits != settings.fileLimits {
      flush(&eve)
      eve = new.eveFile.map { Owned(LineFile(path: $0, capacity: 4 << 20, limits: new.fileLimits)) }
    }
    if new.journal != settings.journal {
      writer = nil
      isRefused = false
      nextTry = 0
      if new.journal == nil { batch = Batch() }
    }
    settings = new
  }

  private func flush(_ file: inout Owned<LineFile>?) {
    guard let file, let change = file.value.flush() else { return }
    recorder.notify(.fileChanged(path: file.value.path, change))
  }

  private var metricsFail = false

  private func write(metrics: String) {
    guard let path = settings.metricsFile else { return }
    // The collector reads it whenever it likes: never half of it.
    do throws(Errno) {
      try Files.replace(path, with: Array(metrics.utf8), mode: 0o644)
      if metricsFail { recorder.notify(.metricsFailed(path: path, nil)) }
      metricsFail = false
    } catch {
      if !metricsFail { recorder.notify(.metricsFailed(path: path, error)) }
      metricsFail = true
    }
  }

  // MARK: Journal

  private func writeJournal(_ now: Timestamp) {
    guard let journal = settings.journal else { return }
    let monotonic = Clock.monotonic
    guard !isRefused, !statistics.isFailing || monotonic >= nextTry else {
      holdBack()
      return
    }
    do throws(JournalError) {
      try openIfNeeded(journal)
      guard let writer, !batch.isEmpty else { return }
      let lost = batch.lost
      do throws(DatabaseError) { statistics.lost += try writer.write(batch, now: now) } catch { throw .database(error) }
      batch = Batch()
      statistics.writtenAt = now
      nextSignOfLife = monotonic + 60_000_000_000
      if statistics.isFailing {
        statistics.isFailing = false
        recorder.notify(.journalRecovered(lost: lost))
      }
    } catch {
      fail(error, monotonic)
    }
  }

  private func openIfNeeded(_ journal: JournalWriter.Settings) throws(JournalError) {
    // Somebody may have taken the file away: then it is begun anew, and nothing goes to where nobody finds it.
    let now = Clock.monotonic
    if writer != nil, now >= nextLook {
      nextLook = now + 5_000_000_000
      if Files.stamp(journal.path)?.inode != inode { writer = nil }
    }
    guard writer == nil else { return }
    writer = try JournalWriter(journal)
    inode = Files.stamp(journal.path)?.inode
    nextLook = now + 5_000_000_000
    statistics.bytes = (try? writer?.bytesInUse()) ?? 0
  }

  private func fail(_ error: JournalError, _ now: Int64) {
    if error.isDamage, let path = settings.journal?.path {
      writer = nil
      // Not more often than this, should the disk itself be broken.
      if now >= nextTry {
        recorder.notify(.journalReplaced(kept: Self.setAside(path)))
        nextTry = now + Self.retryInterval
        // What is at hand goes into the new one.
        statistics.isFailing = false
        nextChore = now
        return
      }
    }
    nextTry = now + Self.retryInterval
    if !statistics.isFailing { recorder.notify(.journalFailed(error)) }
    statistics.isFailing = true
    switch error {
    case .newer, .foreign, .older: isRefused = true
    case .database(let failure) where failure.kind == .busy: break
    case .database, .system: writer = nil
    }
    holdBack()
  }

  /// What cannot be written is kept as far as it fits. Where there is no hope it is counted at once.
  private func holdBack() {
    guard isRefused else { return }
    statistics.lost += UInt64(batch.records)
    batch = Batch()
  }

  /// Moves a damaged database out of the way; one from before is overwritten.
  ///
  /// - Returns: where it is now, or nil when it could not be moved.
  private static func setAside(_ path: String) -> String? {
    let kept = "\(path).damaged"
    for suffix in ["", "-wal", "-shm"] { Files.move(path + suffix, to: kept + suffix) }
    return Files.stamp(path) == nil ? kept : nil
  }

  /// Adds up what is over and throws away what is too old, a piece at a time so that what comes meanwhile is written.
  private func upkeep(_ now: Timestamp) {
    let monotonic = Clock.monotonic
    clock.look(now, monotonic)
    guard let writer, !statistics.isFailing else {
      nextChore = monotonic + Self.retryInterval
      return
    }
    do throws(DatabaseError) {
      if monotonic >= nextSignOfLife {
        try writer.noteAlive(now: now)
        nextSignOfLife = monotonic + 60_000_000_000
      }
      guard monotonic >= nextChore else { return }
      let more = try writer.maintain(now: now, mayExpire: clock.isSteady(monotonic))
      nextChore = monotonic + (more ? 0 : 30_000_000_000)
      if !more { statistics.bytes = try writer.bytesInUse() }
    } catch {
      nextChore = monotonic + Self.retryInterval
      fail(.database(error), monotonic)
    }
  }
}

/// Whether the wall clock can be believed: it must have gone on for an hour without a jump before anything is thrown away
/// by it. Times are given, the monotonic one in nanoseconds.
struct SteadyClock {
  private var offset: Int64?
  private var since: Int64 = 0

  mutating func look(_ now: Timestamp, _ monotonic: Int64) {
    let offset = now.nanoseconds &- monotonic
    // Slewing and leap seconds are no jumps.
    if let known = self.offset, (offset &- known).magnitude < 60_000_000_000 {
      self.offset = offset
      return
    }
    self.offset = offset
    since = monotonic
  }

  func isSteady(_ monotonic: Int64) -> Bool { offset != nil && monotonic - since >= 3_600_000_000_000 }
}
