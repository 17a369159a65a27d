import Capture
import CLinux
import Configuration
import Detection
import Enforcement
import EventLog
import Journal
import Platform
import Report
import Response
import Wire

/// Why a sentry could not start.
package enum StartError: Error, Sendable, CustomStringConvertible {
  /// Packets cannot be captured, or a system call failed.
  case system(Errno)
  /// Another sentry has the control socket.
  case alreadyRunning(String)
  /// Not one of the ports could be opened (connect mode).
  case noPort(TransportProtocol)

  package var description: String {
    switch self {
    case .system(let error) where error.code == EPERM || error.code == EACCES:
      "\(error). You need to be root to run this (or have CAP_NET_RAW and CAP_NET_ADMIN)."
    case .system(let error): "\(error)"
    case .alreadyRunning(let path): "a sentry is running already (it answers on \(path)): see `portsentry status`"
    case .noPort(let transport): "could not bind ANY \(transport.name) sockets"
    }
  }

  /// 77 (EX_NOPERM) without the right, else 1.
  package var exitCode: Int32 {
    if case .system(let error) = self, error.code == EPERM || error.code == EACCES { 77 } else { 1 }
  }
}

/// The main thread: takes probes from the sensor, has `Decisions` decide, carries out what comes of it, and answers the command line. It
/// owns everything but the sensor, in one poll loop; nothing in it waits for a command, a name, a full disk or a client that does not read.
package final class Sentry {
  let options: RunOptions
  let time: TimeSource
  var plan: Plan
  let started: Timestamp
  var decisions: Decisions
  let scribe: Scribe
  var blocker: Blocker
  /// The comparison of what should be in force with what is.
  var comparison = Comparison()
  var ledger: Ledger
  var blockedFiles = BlockedFiles()
  var deception: Deception
  var visibility = DecoyVisibility()
  let link: SensorLink
  var intake: Intake
  var companions = Companions()
  var surroundings = Surroundings()
  var ignoring: IgnoreList
  let memory: MemoryKeeper
  var rights = Rights.InForce()
  var deadlines = Deadlines()
  /// Lines of the log and the history that were lost by now, and when that grew last.
  var linesLost: (count: UInt64, at: Timestamp?) = (0, nil)
  let door: Door

  /// What comes from the sensor.
  struct Intake {
    let probes: Owned<BoundedQueue<Probe>.Consumer>
    let verdicts: Owned<BoundedQueue<Verdict>.Consumer>
    var drops = Growth()
    var evictions = Growth()
    /// Nanoseconds from the kernel's stamp on the trigger packet to the block in force: the newest 1,024.
    private(set) var latencies: [Int64] = []

    /// Probes that found the queue full.
    var refused: UInt64 { probes.value.refused }
    /// Probes that are seen and not yet dealt with.
    var waiting: Int { probes.value.count }

    mutating func note(latency: Int64) {
      if latencies.count >= 1024 { latencies.removeFirst(512) }
      latencies.append(latency)
    }
  }

  struct Comparison {
    var outage = Outage()
    /// The blocks of before are in force; before that everything is missing, which is nobody's doing.
    var hasStarted = false
  }

  /// By what people and programs reach the sentry.
  final class Door {
    let control: ControlServer
    let signals: FileDescriptor
    let notifier = ServiceNotifier()
    var isEnding = false

    init(_ control: ControlServer, signals: consuming FileDescriptor) {
      self.control = control
      self.signals = signals
    }
  }

  /// The dialect of the log.
  var dialect: LogDialect { plan.logDialect }
  /// Keeps what happens; nil where nothing is to be kept.
  var recorder: Recorder? { companions.recorder }
  var version: String { Version.text }

  // MARK: Start

  /// - Parameters:
  ///   - enforcer: in this process in tests.
  ///   - log: another in tests.
  ///   - time: likewise.
  init(
    _ plan: Plan, _ options: RunOptions, link: SensorLink, intake: Intake, door: Door, deception: Deception,
    enforcer: EnforcerLink = EnforcerLink(), log: consuming LogSink? = nil, time: TimeSource = .kernel
  ) {
    let now = time.now
    self.time = time
    started = now
    self.plan = plan
    self.deception = deception
    self.options = options
    self.link = link
    self.intake = intake
    self.door = door
    let outputs = options.outputs ?? [options.goesToBackground ? .syslog : .stdout]
    scribe = Scribe(
      log ?? LogSink(outputs, level: options.level), in: plan.logDialect, linesPerMinute: plan.configuration.logLimit,
      time: time)
    decisions = Decisions(
      plan.decisionSettings(options), ResponsePolicy(plan.configuration.response, ignored: plan.ignored),
      trial: options.trial.map { Trial(duration: $0, now: now) })
    blocker = Blocker(plan.configuration.response, enforcer)
    ledger = Ledger(directory: plan.keptDirectory)
    ignoring = IgnoreList(plan)
    memory = MemoryKeeper(directory: plan.keptDirectory)
    scribe.keep(plan.history)
    applyPlan()
  }

  /// Runs a sentry until it is told to end.
  ///
  /// - Parameter child: to be told of success, when in the background.
  /// - Returns: the exit status.
  package static func run(
    _ plan: Plan, _ options: RunOptions, detached child: consuming Background.Child?
  ) throws(StartError) -> Int32 {
    let sentry: Sentry
    let thread: Thread
    let remembered: News?
    do throws(Errno) {
      CLinux_ignore_signal(SIGPIPE)
      umask(0o022)
      let signals = try openSignals()
      plan.makeFolders()
      // Before the rights are given up that it keeps.
      guard let program = ConsoleProcess.program else { throw Errno(ENOENT, "readlink", "/proc/self/exe") }
      let enforcer = try EnforcerLink(starting: program, EnforcerSettings(plan, options))
      let rights = Rights(plan).enter()
      let link = try SensorLink()
      let queue = BoundedQueue<Probe>(capacity: 65_536)
      let verdicts = BoundedQueue<Verdict>(capacity: 4096)
      var sensor = try Sensor.open(
        plan.sensorSettings(options), queue: queue.makeProducer(), verdicts: verdicts.makeProducer(), link: link)
      remembered = plan.keptDirectory.flatMap { MemoryKeeper.restore(&sensor, $0) }
      let control = try ControlServer(path: plan.configuration.controlSocket)
      sentry = Sentry(
        plan, options, link: link,
        intake: Intake(probes: Owned(queue.makeConsumer()), verdicts: Owned(verdicts.makeConsumer())),
        door: Door(control, signals: signals), deception: try Deception(), enforcer: enforcer)
      sentry.rights = rights
      sentry.rights.seal()
      try sensor.start()
      let handover = Handover(sensor)
      thread = try Thread.start(name: "sensor") { handover.take()?.run() }
    } catch {
      if error.code == EADDRINUSE { throw .alreadyRunning(plan.configuration.controlSocket) }
      throw .system(error)
    }
    try sentry.announce()
    sentry.sayNews(remembered)
    if let child = consume child { child.succeeded() }
    sentry.loop()
    sentry.link.update { $0.isStopping = true }
    thread.join()
    sentry.finish()
    return 0
  }

  private static func openSignals() throws(Errno) -> FileDescriptor {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for number in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] { unsafe sigaddset(&set, number) }
    unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    return FileDescriptor(
      owning: try check("signalfd") { unsafe signalfd(-1, &set, Int32(CLinux_SFD_NONBLOCK | CLinux_SFD_CLOEXEC)) })
  }

  /// The start lines, the blocks of before, and the word that all is well.
  private func announce() throws(StartError) {
    say(.starting(version: dialect == .classic ? "1.2" : version, in: dialect))
    setUpRecorder()
    setUpNotify()
    setUpFleet()
    setUpCrowdSec()
    keep(.started(at: started))
    for problem in plan.diagnostics { say("\(problem)", isError: problem.severity == .error) }
    for fault in rights.faults { say("\(fault): the sentry keeps a right that it could do without", isError: true) }
    lookUpNames()
    refreshSafeList()
    let failed = takeNotices()
    for transport in TransportProtocol.allCases { try announce(transport, failed) }
    restoreAllowed()
    restoreBlocks()
    liftCrowdSecBans()
    refreshTrap()
    testDecoysIfDue()
    announceTrial()
    say(.active(in: dialect))
    notifyReady()
    setUpConsole()
    deadlines.startWatchdog(every: door.notifier.watchdogInterval, at: Clock.monotonic)
    flush()
    deadlines.started(at: Clock.monotonic)
  }

  func notifyReady() {
    door.notifier.ready("watching \(link.currentStatistics().interfaces.joined(separator: ", "))")
  }

  // MARK: The loop

  private func loop() {
    while !door.isEnding {
      let ready = wait()
      if ready.contains(door.signals.raw) { obeySignals() }
      if ready.contains(link.toSentry.fd) { link.toSentry.clear() }
      takeEvidence()
      takeProbes()
      _ = takeNotices()
      advanceCommands()
      if let fd = scribe.namesDescriptor, ready.contains(fd) || scribe.awaitsNames {
        scribe.takeNames { self.keep(.named($0, $1)) }
      }
      if blocker.enforcer.hasNews || ready.contains(where: blocker.enforcer.descriptors.contains) { advanceEnforcer() }
      if let fd = surroundings.monitorDescriptor, ready.contains(fd), surroundings.hasChanged() {
        deadlines.networkChanged(at: Clock.monotonic)
      }
      advanceCompanions()
      if let recorder, ready.contains(recorder.toSentry.fd) { takeNotices(of: recorder) }
      if ready.contains(door.control.descriptor) { door.control.serve { self.answer($0) } }
      tick()
      flush()
    }
  }

  /// Waits until something is there or due.
  ///
  /// - Returns: the descriptors that can be read.
  private func wait() -> [Int32] {
    var descriptors = [door.signals.raw, link.toSentry.fd, door.control.descriptor] + blocker.commands.pollDescriptors
    descriptors += blocker.enforcer.descriptors
    if let fd = scribe.namesDescriptor { descriptors.append(fd) }
    if let fd = surroundings.monitorDescriptor { descriptors.append(fd) }
    if let recorder { descriptors.append(recorder.toSentry.fd) }
    descriptors += companions.descriptors
    let now = Clock.monotonic
    var due = deadlines.next
    if let deadline = blocker.commands.nextDeadline { due = min(due, deadline) }
    if let next = companions.due { due = min(due, next) }
    if scribe.isWaiting { due = min(due, now + 100_000_000) }
    let milliseconds = Int32(clamping: max(0, (due - now + 999_999) / 1_000_000))
    return Poll.readable(descriptors, milliseconds: milliseconds)
  }

  /// Proofs and verdicts.
  private func takeEvidence() {
    takeContacts()
    let customers = link.takeCustomers()
    if !customers.isEmpty { decide(.customers(customers)) }
    for setup in link.takeSetups() { decide(.setup(setup.source, setup.families)) }
    while let verdict = intake.verdicts.value.pop() { decide(.verdict(verdict)) }
  }

  /// Connections to decoys, at most 1,024 at a time.
  private func takeContacts() {
    var count = 0
    while count < 1024, let contact = deception.contacts.value.pop() {
      link.tell(contact)
      decide(.contact(contact))
      count += 1
    }
    if count == 1024 { link.toSentry.signal() }
  }

  /// At most 2,048 probes at a time, so that signals and commands are seen between them.
  private func takeProbes() {
    refreshIgnoreFile()
    var count = 0
    while count < 2048, let probe = intake.probes.value.pop() {
      decide(.probe(probe))
      count += 1
      // What shuts somebody out is not kept waiting behind what is only written down.
      if count % 16 == 0 { takeEvidence() }
    }
    takeEvidence()
    noteDemand(count)
    if count == 2048 { link.toSentry.signal() }
    let lost = intake.drops.advance(to: intake.refused)
    if lost > 0 {
      say("\(lost) probes were lost, because they came faster than they could be written", isError: true)
      keep(.lost(.queue, count: lost, at: Clock.now))
    }
  }

  private func tick() {
    let now = Clock.monotonic
    if deadlines.takesWatchdog(every: door.notifier.watchdogInterval, at: now) { door.notifier.alive() }
    guard deadlines.takesTick(at: now) else { return }
    if deadlines.takesStartOver(at: now) {
      Code.giveBack()
      // Blocks of an earlier run, and of the fleet.
      Heap.giveBack()
    }
    if deadlines.isSafeListDue(at: now) {
      refreshSafeList()
      deadlines.safeListRead(from: now, to: Clock.monotonic)
    }
    if deadlines.isReconcileDue(at: now) { reconcile() }
    decide(.tick)
    scribe.sayLimits()
    restPorts()
    noteLostDemand()
    testDecoysIfDue()
    reportLostDoubts()
    memory.keep(link)
    decide(.expiry)
    expireAllowed()
    rereadBlockedFiles()
    noteEvictions()
    observeProtection()
    if plan.configuration.recording.metricsFile != nil, deadlines.takesMetrics(at: now) {
      recorder?.publish(metrics: Metrics.text(metrics()))
    }
    if let end = decisions.table.nextEnd {
      deadlines.wake(at: now + max(1_000_000, (end - Clock.now).wholeNanoseconds))
    }
  }

  /// Sources that the detector has forgotten to make room.
  private func noteEvictions() {
    let news = intake.evictions.advance(to: link.shared.withLock { $0.statistics.evictions })
    if news > 0 { keep(.lost(.sources, count: news, at: Clock.now)) }
  }

  private func obeySignals() {
    var info = signalfd_siginfo()
    let size = MemoryLayout<signalfd_siginfo>.size
    while unsafe read(door.signals.raw, &info, size) == size {
      switch Int32(bitPattern: info.ssi_signo) {
      case SIGHUP:
        door.notifier.reloading()
        reload()
      case SIGUSR1: for line in statusText().byteLines { say(String(line)) }
      default: door.isEnding = true
      }
    }
  }

  private func finish() {
    door.notifier.stopping()
    endDeception()
    companions.stop()
    for _ in 0..<64 { takeProbes() }
    // What is running is given its grace and left behind; what it was for stays recorded.
    blocker.commands.stop(at: Clock.monotonic)
    scribe.finish()
    for line in LogLine.shuttingDown(in: dialect) { say(line) }
    blockedFiles.hurry()
    if let recorder {
      keep(.stopped(at: Clock.now))
      recorder.finish()
      takeNotices(of: recorder)
    }
    flush()
    sayNews(memory.finish(link))
    scribe.flushLog()
  }

  // MARK: Saying and writing

  func say(_ line: LogLine) { scribe.say(line) }

  func say(_ text: String, isError: Bool = false) { scribe.say(text, isError: isError) }

  /// Hands an event to whoever keeps it, and to whoever tells of it. Never waits.
  func keep(_ event: Journal.Event) {
    recorder?.keep(event)
    companions.notify?.add(event, now: Clock.monotonic)
  }

  /// Writes everything that has collected.
  func flush() {
    scribe.flush()
    flushBlockedFiles()
    sayNews(ledger.flush(decisions.table, decisions.offenders, at: Clock.monotonic))
  }

  private func sayNews(_ news: News?) {
    if let news { say(news.text, isError: news.isError) }
  }
}

/// The program's version, as `--version` and the start line say it.
package enum Version {
  package static let text = "3.0.0"
  package static var processID: Int32 { getpid() }
}
