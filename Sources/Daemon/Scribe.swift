import Detection
import EventLog
import Platform
import Response
import Wire

/// What is said: the log in its dialect, and the predecessors' history. Lines about a source wait for its name where one is looked up,
/// in the order in which they came.
final class Scribe {
  let dialect: LogDialect
  /// Whether the log for people has a line for each probe, too.
  var tellsProbes = false
  /// Named in 2.x's line about a source that it names.
  var ignoreFile: String?
  private let time: TimeSource
  private var log: LogSink
  private var history: Owned<HistoryFile>?
  private var historyLostBefore: UInt64 = 0
  private var scanLog = ScanLog()
  private var lineLimit: ProbeLineLimit
  private var told = ToldVerdicts()
  private var held = HeldLines()
  private var resolver: NameResolver?

  /// - Parameters:
  ///   - linesPerMinute: `LOG_LIMIT`.
  ///   - time: another in tests.
  init(_ log: consuming LogSink, in dialect: LogDialect, linesPerMinute: Int, time: TimeSource = .kernel) {
    self.time = time
    self.log = log
    self.dialect = dialect
    lineLimit = ProbeLineLimit(perMinute: linesPerMinute)
  }

  var linesPerMinute: Int {
    get { lineLimit.perMinute }
    set { lineLimit.perMinute = newValue }
  }

  // MARK: Any line

  func say(_ line: LogLine) { log.write(line, at: time.now) }

  func say(_ text: String, isError: Bool = false) {
    say(isError ? .error(text, in: dialect) : .notice(text, in: dialect))
  }

  /// Says a line about a probe with the name of its source.
  func say(_ probe: Probe, _ line: @escaping (String?) -> LogLine) {
    whenNamed(probe) { self.say(line($0)) }
  }

  /// Says a line behind those that wait for the same source's name.
  func say(_ line: LogLine, after probe: Probe) { whenNamed(probe) { _ in self.say(line) } }

  /// Lines that came up are written together; the history, too.
  func flush() {
    log.flush(at: time.now)
    if let history, let change = history.value.flush() {
      historyLostBefore += change.lost
      say(.history(history.value.path, change, in: dialect))
    }
  }

  func flushLog() { log.flush(at: time.now) }

  /// Lines wait for an output that does not take them.
  var isWaiting: Bool { log.isWaiting }
  var written: UInt64 { log.written }
  var waiting: Int { log.waiting }
  var lost: Int { log.lost }
  var historyLost: UInt64 { historyLostBefore + UInt64(history?.value.lostLines ?? 0) }

  /// Writes what waits for a name with the address alone, and what was left out.
  func finish() {
    for line in held.takeAll() { line(nil) }
    sayLimits(isLast: true)
  }

  /// What is written from now on.
  func keep(_ history: Owned<HistoryFile>?) { self.history = history }

  // MARK: Names

  /// Names are looked up from now on, or not any more.
  func look(up isWanted: Bool) throws(Errno) {
    guard isWanted else {
      resolver = nil
      return
    }
    if resolver == nil { resolver = try NameResolver() }
  }

  /// Readable when names are there.
  var namesDescriptor: Int32? { resolver?.fd }
  var awaitsNames: Bool { held.count > 0 }

  /// Does something once the source's name is known, or known to be unknown; at once unless RESOLVE_HOST is set. The
  /// order of what is asked for one source is kept, and nothing but lines waits.
  private func whenNamed(_ probe: Probe, _ body: @escaping (String?) -> Void) {
    guard let resolver else { return body(nil) }
    if !held.isAwaited(probe.source) {
      switch resolver.request(probe.source, id: 0, now: time.now) {
      case .known(let name): return body(name)
      case .pending: held.beginAwaiting(probe.source)
      }
    }
    if !held.hold(for: probe.source, body) { body(nil) }
  }

  /// Writes the lines whose names have come.
  ///
  /// - Parameter known: told of each name.
  func takeNames(_ known: (IPAddress, String) -> Void) {
    guard let resolver else { return }
    for result in resolver.results(now: time.now) {
      if let name = result.name { known(result.address, name) }
      for line in held.take(result.address) { line(result.name) }
    }
  }

  // MARK: Probes and verdicts

  /// Counts a probe to its scan.
  func count(_ probe: Probe) {
    if dialect == .native, !probe.isIgnored { scanLog.count(probe) }
  }

  /// 1.2's line for a detection; 2.x has its event line instead, after the response.
  func alert(_ probe: Probe) {
    guard dialect == .classic, lineLimit.admits(probe.source, at: time.monotonic) else { return }
    say(probe) { .scan(probe, name: $0) }
    if probe.hasIPOptions, probe.source.isV4 { say(probe) { .ipOptions(probe, name: $0) } }
  }

  /// A probe of a source that is shut out. The log for people has the block and the end of the scan.
  func alreadyBlocked(_ probe: Probe) {
    guard dialect != .native, lineLimit.admits(probe.source, at: time.monotonic) else { return }
    say(probe) { .alreadyBlocked(probe, name: $0, in: self.dialect) }
  }

  /// Whether a probe gets its event line.
  private func logsEvent(of probe: Probe) -> Bool {
    switch dialect {
    case .classic: false
    case .modern: lineLimit.admits(probe.source, at: time.monotonic)
    case .native: tellsProbes
    }
  }

  /// 2.x's event line, in the log where that is spoken and in the history where it is kept.
  func sayEvent(_ probe: Probe, _ result: ScanResult?) {
    let isLogged = logsEvent(of: probe)
    guard isLogged || history != nil else { return }
    let reason = isLogged ? whyIgnored(probe, result) : nil
    whenNamed(probe) { name in
      if let reason { self.say(reason) }
      let event = ScanEvent(probe, name: name, result: result)
      if isLogged { self.say(.event(event, in: self.dialect)) }
      self.history?.value.append(event, at: probe.time)
    }
  }

  /// 2.x's line before the event of a probe that it lets pass, with `-v` and `-d`.
  private func whyIgnored(_ probe: Probe, _ result: ScanResult?) -> LogLine? {
    guard dialect == .modern else { return nil }
    if probe.isIgnored, log.level <= .info, let ignoreFile { return .inIgnoreFile(probe.source, ignoreFile) }
    if result == .ownAddress, log.level <= .debug { return .sameAddress(probe) }
    return nil
  }

  /// 1.2's history of hosts that were responded to.
  func list(_ entry: Responded.Entry, _ probe: Probe) {
    whenNamed(probe) { name in
      var named = BlockedFile.Entry(entry)
      named.name = name
      self.history?.value.append(blocked: named)
    }
  }

  /// A verdict: a scan for people, a line in the words of the predecessors.
  func say(_ verdict: Verdict) {
    if dialect == .native {
      let line = scanLog.add(verdict, at: time.now)
      for line in scanLog.takeHeld() + [line].compactMap(\.self) { say(line) }
      return
    }
    let (isTold, leftOut) = told.add(verdict, at: time.monotonic)
    if leftOut > 0 { say(.moreVerdicts(leftOut, in: dialect)) }
    if isTold { say(.verdict(verdict, in: dialect)) }
  }

  /// Nothing has proven a source: its scan's line says so, or else this one.
  func sayUnproven(_ source: IPAddress, isLiedTo: Bool) {
    if dialect == .native, scanLog.noteUnverified(source) { return }
    let lied = isLiedTo ? "; until something does, it is shown decoys" : ""
    say(.refused(source, because: "nothing proves that it sent this (PROOF)\(lied)", in: dialect))
  }

  /// Scans that have ended, and what was left out of the last minute.
  func sayLimits(isLast: Bool = false) {
    for line in scanLog.due(at: time.now, isLast: isLast) { say(line) }
    for (source, count) in lineLimit.due(at: time.monotonic, isLast: isLast) {
      say(.moreOfSource(source, count, in: dialect))
    }
  }
}
