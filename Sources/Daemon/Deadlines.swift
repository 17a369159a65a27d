import Wire

/// When the sentry has something to do although nothing happens. Times are monotonic nanoseconds. Pure: time is passed in.
struct Deadlines {
  private static let second: Int64 = 1_000_000_000

  private var tick: Int64 = 0
  private var watchdog: Int64 = .max
  private var reconcile: Int64 = 0
  private var safeList: Int64 = 0
  /// Not before this time, even if addresses or routes change: a router may change its routes all the time.
  private var soonestSafeList: Int64 = 0
  private var metrics: Int64 = 0
  private var startOver: Int64 = .max

  /// When the loop has to wake.
  var next: Int64 { min(tick, watchdog) }

  /// Something has to be done by then.
  mutating func wake(at time: Int64) { tick = min(tick, time) }

  // MARK: What is due. Asking is taking: the next time is set.

  mutating func takesTick(at now: Int64) -> Bool {
    guard now >= tick else { return false }
    tick = now + Self.second
    return true
  }

  mutating func takesWatchdog(every interval: Duration?, at now: Int64) -> Bool {
    guard now >= watchdog, let interval else { return false }
    watchdog = now + interval.wholeNanoseconds
    return true
  }

  mutating func startWatchdog(every interval: Duration?, at now: Int64) {
    if let interval { watchdog = now + interval.wholeNanoseconds }
  }

  mutating func takesMetrics(at now: Int64) -> Bool {
    guard now >= metrics else { return false }
    metrics = now + 15 * Self.second
    return true
  }

  mutating func started(at now: Int64) { startOver = now + Self.second }

  /// Once, a second after the start: what only the start needed can be let go.
  mutating func takesStartOver(at now: Int64) -> Bool {
    guard now >= startOver else { return false }
    startOver = .max
    return true
  }

  // MARK: What is in force

  func isReconcileDue(at now: Int64) -> Bool { now >= reconcile }
  mutating func reconcileBegins(at now: Int64) { reconcile = now + 60 * Self.second }
  mutating func reconcileFailed(at now: Int64) { reconcile = now + 5 * Self.second }
  /// With the next tick.
  mutating func reconcileSoon() { reconcile = 0 }

  /// Somebody else has changed our table. Whoever flushes does it in several steps: look once they are over.
  mutating func tableTouched(at now: Int64) {
    reconcile = min(reconcile, now + 100_000_000)
    wake(at: reconcile)
  }

  // MARK: The safe list

  func isSafeListDue(at now: Int64) -> Bool { now >= safeList }

  mutating func networkChanged(at now: Int64) {
    safeList = min(safeList, max(soonestSafeList, now))
    wake(at: safeList)
  }

  /// At most a tenth of the time goes into it, at most twice a second; where the kernel does not tell of changes, every 30 s.
  mutating func safeListRead(from begin: Int64, to end: Int64) {
    soonestSafeList = end + max(Self.second / 2, 10 * (end - begin))
    safeList = begin + 30 * Self.second
  }
}
