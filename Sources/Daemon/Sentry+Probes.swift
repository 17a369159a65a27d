import Detection
import EventLog
import Journal
import Platform
import Response
import Wire

extension Sentry {
  /// Takes one probe through the order of the predecessors: ignored, trigger, own address, setting, already blocked,
  /// response.
  func handle(_ seen: Probe) {
    if isAnnounced(seen) { return }
    var probe = seen
    counters.probes += 1
    probe.isIgnored = plan.ignored.contains(probe.source)
    noteTouch(probe)
    keep(.probe(probe))
    if dialect == .native, !probe.isIgnored { scanLog.count(probe) }
    // What no mode watches is for the journal alone.
    guard probe.isWatched else { return }
    if probe.isIgnored {
      probe.isTriggered = false
      counters.ignored += 1
      record(probe, nil)
      return
    }
    if probe.technique == .connect, probe.transport == .tcp {
      _ = prove(probe.source, Grounds.Origin(.listener, port: probe.targetPort, at: probe.time))
    }
    guard probe.isTriggered else {
      counters.untriggered += 1
      record(probe, nil)
      return
    }
    counters.alerts += 1
    // A response is under way: what comes of it decides about this one too. At most 256 wait for one response; of
    // more, the line is written at once.
    if let job = jobs[probe.source] {
      if job.held.count < 256 {
        jobs[probe.source]?.held.append(probe)
      } else {
        alert(probe)
        record(probe, .failed)
      }
      return
    }
    if probe.isOwnAddress, !options.actsOnOwnAddress, dialect != .classic {
      record(probe, .ownAddress)
      return
    }
    let action = policy.settings.action(for: probe.transport)
    let key = recordedKey(probe)
    if action == .logOnly {
      respondByLog(probe, key)
    } else if isDone(probe, key) {
      alert(probe)
      sayAlreadyBlocked(probe)
      record(probe, .blocked)
    } else {
      alert(probe)
      weigh(probe, action)
    }
  }

  /// Takes what became clear about a source.
  func take(_ verdict: Verdict) {
    if verdict.source.isHost, plan.ignored.contains(verdict.source.address) { return }
    keep(.verdict(verdict))
    weigh(verdict)
    if dialect == .native {
      let line = scanLog.take(verdict, at: Clock.now)
      for line in scanLog.takeHeld() + [line].compactMap(\.self) { say(line) }
    } else {
      tell(verdict)
    }
  }

  /// Writes a verdict into the log: of one source once an hour, and no more than 60 in a minute.
  private func tell(_ verdict: Verdict) {
    let now = Clock.monotonic
    if now >= verdictsTold.until {
      if verdictsTold.left > 0 { say(.moreVerdicts(verdictsTold.left, in: dialect)) }
      verdictsTold.until = now + 60_000_000_000
      (verdictsTold.count, verdictsTold.left) = (0, 0)
    }
    let key = ToldVerdict(source: verdict.source, verdictClass: verdict.verdictClass)
    if let before = verdictsTold.times[key], now - before < 3_600_000_000_000 { return }
    guard verdictsTold.count < 60 else {
      verdictsTold.left += 1
      return
    }
    // When full all are forgotten, which costs a line more for each.
    if verdictsTold.times.count >= 10_000 { verdictsTold.times = [:] }
    verdictsTold.times[key] = now
    verdictsTold.count += 1
    say(.verdict(verdict, in: dialect))
  }

  struct ToldVerdict: Hashable {
    let source: IPNetwork
    let verdictClass: Verdict.Class
  }

  /// Hands an event to whoever keeps it, and to whoever tells of it. Never waits.
  func keep(_ event: Event) {
    recorder?.keep(event)
    companions.notify?.take(event, now: Clock.monotonic)
  }

  func recordedKey(_ probe: Probe) -> RecordedSource {
    RecordedSource(address: probe.source, transport: dialect == .classic ? probe.transport : nil)
  }

  func isDone(_ probe: Probe, _ key: RecordedSource) -> Bool {
    table.block(covering: probe.source) != nil || (recorded[key] != nil)
  }

  /// BLOCK 0. 1.2 writes the host down as if it were blocked, and readers (fail2ban) live on that line.
  private func respondByLog(_ probe: Probe, _ key: RecordedSource) {
    guard dialect == .classic else {
      record(probe, .logged)
      return
    }
    alert(probe)
    if recorded[key] != nil {
      sayAlreadyBlocked(probe)
    } else {
      say(.ignoringResponse(probe.transport), after: probe)
      remember(probe, key)
    }
    record(probe, .logged)
  }

  /// Writes a responded host into the blocked file and 1.2's history.
  func remember(_ probe: Probe, _ key: RecordedSource) {
    let entry = BlockedFile.Entry(
      probe.source, time: Clock.now, port: probe.targetPort, transport: probe.transport, name: nil)
    if recorded.count < Self.recordedLimit {
      recorded[key] = entry
      blockedAppends.append(entry)
    }
    whenNamed(probe) { name in
      var named = entry
      named.name = name
      self.history?.value.append(blocked: named)
    }
  }

  // MARK: Lines

  /// 1.2's line for a detection; 2.x has its event line instead, after the response.
  func alert(_ probe: Probe) {
    guard dialect == .classic, lineLimit.admits(probe.source, at: Clock.monotonic) else { return }
    say(probe) { .scan(probe, name: $0) }
    if probe.hasIPOptions, probe.source.isV4 { say(probe) { .ipOptions(probe, name: $0) } }
  }

  /// A probe of a source that is shut out. The log for people has the block and the end of the scan.
  private func sayAlreadyBlocked(_ probe: Probe) {
    guard dialect != .native, lineLimit.admits(probe.source, at: Clock.monotonic) else { return }
    say(probe) { .alreadyBlocked(probe, name: $0, in: self.dialect) }
  }

  /// Whether a probe gets its event line.
  private func logsEvent(of probe: Probe) -> Bool {
    switch dialect {
    case .classic: false
    case .modern: lineLimit.admits(probe.source, at: Clock.monotonic)
    case .native: plan.configuration.logsProbes || options.level < .notice
    }
  }

  /// Scans that have ended, and what was left out of the last minute.
  func sayLimits(isLast: Bool = false) {
    for line in scanLog.due(at: Clock.now, isLast: isLast) { say(line) }
    for (source, count) in lineLimit.due(at: Clock.monotonic, isLast: isLast) {
      say(.moreOfSource(source, count, in: dialect))
    }
  }

  /// 2.x's event line, in the log where that is spoken and in the history where it is kept.
  func record(_ probe: Probe, _ result: ScanEvent.Result?) {
    let isLogged = logsEvent(of: probe)
    guard isLogged || history != nil else { return }
    whenNamed(probe) { name in
      let event = ScanEvent(probe, name: name, result: result)
      if isLogged { self.say(.event(event, in: self.dialect)) }
      self.history?.value.append(event, at: probe.time)
    }
  }

  func say(_ probe: Probe, _ line: @escaping (String?) -> LogLine) {
    whenNamed(probe) { self.say(line($0)) }
  }

  /// Says a line behind those that wait for the same source's name.
  func say(_ line: LogLine, after probe: Probe) { whenNamed(probe) { _ in self.say(line) } }

  /// Does something once the source's name is known, or known to be unknown; at once unless RESOLVE_HOST is set. The
  /// order of what is asked for one source is kept, and nothing but lines waits.
  func whenNamed(_ probe: Probe, _ body: @escaping (String?) -> Void) {
    guard let resolver else { return body(nil) }
    if waiting[probe.source] == nil {
      switch resolver.request(probe.source, id: 0, now: Clock.now) {
      case .known(let name): return body(name)
      case .pending: waiting[probe.source] = []
      }
    }
    guard heldLines < 4096 else { return body(nil) }
    waiting[probe.source, default: []].append(body)
    heldLines += 1
  }

  func takeNames(_ resolver: NameResolver) {
    for result in resolver.results(now: Clock.now) {
      if let name = result.name { keep(.named(result.address, name)) }
      guard let lines = waiting.removeValue(forKey: result.address) else { continue }
      heldLines -= lines.count
      for line in lines { line(result.name) }
    }
  }
}
