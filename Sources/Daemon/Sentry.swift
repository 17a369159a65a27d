import Capture
import CLinux
import Configuration
import Detection
import EventLog
import Journal
import Platform
import Report
import Response
import Synchronization
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

/// The main thread: takes probes from the sensor, decides, responds, writes, and answers the command line. It owns
/// everything but the sensor, in one poll loop; nothing in it waits for a command, a name, a full disk or a client
/// that does not read.
package final class Sentry {
  let options: RunOptions
  var plan: Plan
  var log: LogSink
  var history: Owned<HistoryFile>?
  var policy: ResponsePolicy
  /// Whom something speaks against, and who has proven to be there.
  var suspects = Suspects()
  var offenders = Offenders()
  var aggregation = Aggregation()
  var table = BlockTable()
  var blocker: Blocker
  var store: BlockStore
  var offenderStore: OffenderStore
  var deception: Deception
  var visibility = DecoyVisibility()
  /// `--trial`; nil where there is none, or it was confirmed.
  var trial: Trial?
  var resolver: NameResolver?
  let link: SensorLink
  private let probes: BoundedQueue<Probe>.Consumer
  private let verdicts: BoundedQueue<Verdict>.Consumer
  /// Probes that found the queue full.
  var queueDrops: UInt64 { probes.refused }
  /// Probes that are seen and not yet dealt with.
  var queued: Int { probes.count }
  /// Keeps what happens; nil where nothing is to be kept.
  var recorder: Recorder?
  private var countedEvictions: UInt64 = 0
  var companions = Companions()
  let connections = try? Owned(SocketTable())
  var connectedPeers = SocketTable.Peers()
  var connectedPeersUntil: Int64 = 0
  /// Names of servers that files mention, and servers that were seen to be asked: at most 256; further ones are not spared.
  private let serverNames = ServerNames()
  private var askedServers: [IPAddress: String] = [:]
  private let notifier = ServiceNotifier()
  private let control: ControlServer
  private let signals: FileDescriptor
  let started = Clock.now

  /// Responses under way, by source: their commands have not all ended.
  var jobs: [IPAddress: Job] = [:]
  /// What a running command is for, by the command's number.
  var commandOwners: [UInt64: CommandOwner] = [:]
  var nextCommand: UInt64 = 1
  /// Sources that were responded to without a block: BLOCK 0 in the words of 1.2, BLOCK 2. At most `recordedLimit`; when
  /// full a further source is told anew at each probe.
  var recorded: [RecordedSource: BlockedFile.Entry] = [:]
  static let recordedLimit = 100_000
  /// Sources whose response failed, and when it may be tried again; likewise whose refusal was said. At most 10,000 each;
  /// when full all are forgotten, which costs a line or a try more.
  var retries: [IPAddress: Int64] = [:]
  var refusals: [IPAddress: Int64] = [:]
  /// Sources that are not blocked for want of proof, and when that is said. At most 4,096 wait; of more their number is said.
  var unproven: [IPAddress: Int64] = [:]
  var furtherUnproven = 0
  /// Probes that were said for a decoy's connection before the sensor's own came, by source. At most 1,024; of more, a
  /// line is written twice.
  var announced: [IPAddress: (touch: Touch, until: Int64)] = [:]
  /// The last probes of each source that were told by the sensor: sixteen each, of at most 4,096 sources.
  var told: [IPAddress: [Touch]] = [:]
  /// Lines that wait for the name of their source, `heldLines` in all, at most 4,096; beyond, the address alone is written.
  var waiting: [IPAddress: [(String?) -> Void]] = [:]
  var heldLines = 0
  var counters = Counters()
  /// The blocked files must be written as a whole, or only have these hosts added.
  var blockedFilesDirty = false
  var blockedAppends: [BlockedFile.Entry] = []
  private var nextBlockedWrite: Int64 = 0
  var blockedStamps: [String: Files.Stamp] = [:]
  var ignoring: IgnoreList
  private var nextTick: Int64 = 0
  private var nextWatchdog: Int64 = .max
  var nextReconcile: Int64 = 0
  private var nextSafeList: Int64 = 0
  /// Not before this time, even if addresses or routes change: a router may change its routes all the time.
  private var soonestSafeList: Int64 = 0
  /// Nil where the kernel does not tell of changes: then the list is read every 30 s.
  private let networkMonitor = Owned(try? NetworkMonitor())
  private var nextMetrics: Int64 = 0
  var reconcileFailed = false
  /// The blocks of before are in force; before that everything is missing, which is nobody's doing.
  var hasStarted = false
  private var reportedQueueDrops: UInt64 = 0
  private var storeFailed = false
  /// Verdicts in the log: when each was told last, and how many of this minute were told and left out.
  var verdictsTold: (times: [ToldVerdict: Int64], until: Int64, count: Int, left: Int) = ([:], 0, 0, 0)
  /// Scans for the log for people, and how many lines about probes the others get.
  var scanLog = ScanLog()
  var lineLimit: ProbeLineLimit
  /// Writes what the detector keeps.
  var memoryWriter: Thread?
  let isMemoryBusy = SharedFlag()
  /// What there is to say of what was kept before.
  var remembered: (text: String, isError: Bool)?

  struct Counters {
    var probes: UInt64 = 0
    var ignored: UInt64 = 0
    var untriggered: UInt64 = 0
    var alerts: UInt64 = 0
    var blocks: UInt64 = 0
    var releases: UInt64 = 0
    var refused: UInt64 = 0
    var failed: UInt64 = 0
    /// Connections to decoys, and sources that proved themselves by one or at a listener.
    var contacts: UInt64 = 0
    var proven: UInt64 = 0
    var historyLost: UInt64 = 0
    /// Nanoseconds from the kernel's stamp on the trigger packet to the block in force: the newest 1,024.
    var latencies: [Int64] = []
  }

  struct RecordedSource: Hashable {
    let address: IPAddress
    /// 1.2 keeps its protocols apart; 2.x does not (nil).
    let transport: TransportProtocol?
  }

  enum CommandOwner {
    case job(IPAddress)
    case release(IPNetwork)
    case restore(IPNetwork)
  }

  /// The dialect of the log.
  var dialect: LogDialect { plan.logDialect }

  // MARK: Start

  private init(
    _ plan: Plan, _ options: RunOptions, link: SensorLink, probes: consuming BoundedQueue<Probe>.Consumer,
    verdicts: consuming BoundedQueue<Verdict>.Consumer, control: consuming ControlServer,
    signals: consuming FileDescriptor, deception: Deception
  ) {
    self.plan = plan
    self.deception = deception
    self.options = options
    self.link = link
    self.probes = probes
    self.verdicts = verdicts
    self.control = control
    self.signals = signals
    log = LogSink(
      options.outputs ?? [options.goesToBackground ? .syslog : .stdout], level: options.level)
    policy = ResponsePolicy(plan.configuration.response, ignored: plan.ignored)
    blocker = Blocker(plan.configuration.response)
    store = BlockStore(directory: plan.keptDirectory)
    offenderStore = OffenderStore(directory: plan.keptDirectory)
    trial = options.trial.map { Trial(duration: $0, now: Clock.now) }
    history = Self.history(plan)
    lineLimit = ProbeLineLimit(perMinute: plan.configuration.logLimit)
    ignoring = IgnoreList(plan)
  }

  /// Starts, changes or ends the keeping of what happens, as the settings say.
  private func setUpRecorder() {
    let settings = plan.recorderSettings
    if let recorder {
      recorder.update(settings)
    } else if !settings.keepsNothing {
      do throws(Errno) { recorder = try Recorder(settings) } catch {
        note("\(error): nothing is kept in the journal", isError: true)
      }
    }
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
    do throws(Errno) {
      CLinux_ignore_signal(SIGPIPE)
      umask(0o022)
      let signals = try takeSignals()
      let link = try SensorLink()
      let queue = BoundedQueue<Probe>(capacity: 65_536)
      let verdicts = BoundedQueue<Verdict>(capacity: 4096)
      var sensor = try Sensor.open(
        plan.sensorSettings(options), queue: queue.makeProducer(), verdicts: verdicts.makeProducer(), link: link)
      let memory = plan.keptDirectory.flatMap { Self.restore(&sensor, $0) }
      let control = try ControlServer(path: plan.configuration.controlSocket)
      sentry = Sentry(
        plan, options, link: link, probes: queue.makeConsumer(), verdicts: verdicts.makeConsumer(), control: control,
        signals: signals, deception: try Deception())
      sentry.remembered = memory
      try sensor.start()
      let box = Mutex<Sensor?>(sensor)
      let cell = SensorCell(box)
      thread = try Thread.start(name: "sensor") { cell.take()?.run() }
    } catch {
      if error.code == EADDRINUSE { throw .alreadyRunning(plan.configuration.controlSocket) }
      throw .system(error)
    }
    try sentry.announce()
    if let memory = sentry.remembered { sentry.note(memory.text, isError: memory.isError) }
    if let child = consume child { child.succeeded() }
    sentry.loop()
    sentry.link.update { $0.isStopping = true }
    thread.join()
    sentry.finish()
    return 0
  }

  private static func takeSignals() throws(Errno) -> FileDescriptor {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for number in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] { unsafe sigaddset(&set, number) }
    unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    return FileDescriptor(
      owning: try check("signalfd") { unsafe signalfd(-1, &set, Int32(CLinux_SFD_NONBLOCK | CLinux_SFD_CLOEXEC)) })
  }

  static func history(_ plan: Plan) -> Owned<HistoryFile>? {
    guard let path = plan.configuration.historyFile else { return nil }
    let forms = plan.configuration.historyFormat
    let form: HistoryFile.Form = forms.count > 1 ? .both : forms.first == .modern ? .modern : .classic
    return Owned(HistoryFile(path: path, form: form, limits: plan.fileLimits))
  }

  /// The start lines, the blocks of before, and the word that all is well.
  private func announce() throws(StartError) {
    say(.starting(version: dialect == .classic ? "1.2" : version, in: dialect))
    setUpRecorder()
    setUpNotify()
    keep(.started(at: started))
    for problem in plan.diagnostics { note("\(problem)", isError: problem.severity == .error) }
    if plan.configuration.resolveHost { openResolver() }
    refreshSafeList()
    let failed = takeNotices()
    for transport in TransportProtocol.allCases { try announce(transport, failed) }
    restoreAllowed()
    restoreBlocks()
    refreshTrap()
    testDecoysIfDue()
    announceTrial()
    say(.active(in: dialect))
    notifyReady()
    setUpConsole()
    if let interval = notifier.watchdogInterval { nextWatchdog = Clock.monotonic + interval.wholeNanoseconds }
    flush()
  }

  private func announce(_ transport: TransportProtocol, _ failed: [Endpoint]) throws(StartError) {
    guard let mode = transport == .tcp ? plan.tcpMode : plan.udpMode else { return }
    let statistics = link.shared.withLock { $0.statistics }
    let served = transport == .tcp ? statistics.servedTCP : statistics.servedUDP
    let ports = plan.ports(transport)
    if dialect == .native { announceInOneLine(mode, transport, ports, served, failed) }
    switch mode {
    case .connect:
      let closed = PortSet(failed.filter { $0.transport == transport }.map(\.port))
      let open = ports.subtracting(closed)
      if dialect != .native { for port in open.ports { say(.listening(mode, transport, port: port, in: dialect)) } }
      if open.isEmpty { throw .noPort(transport) }
    case .stealth:
      for port in ports.ports {
        // 1.2 forgot a port in use for ever; here it is watched again as soon as nothing serves it.
        if served.contains(port) {
          if dialect == .native { continue }
          note("\(transport.name) port \(port) is in use and will not be monitored while it is")
        } else if dialect == .classic {
          say(.listening(mode, transport, port: port, in: dialect))
        }
      }
    case .advanced:
      if dialect == .native { break }
      let configuration = plan.configuration
      say(
        .advancedMonitors(
          first: transport == .tcp ? configuration.advancedPortsTCP : configuration.advancedPortsUDP, in: dialect))
      let excluded = transport == .tcp ? configuration.advancedExcludeTCP : configuration.advancedExcludeUDP
      for port in excluded.ports { say(.advancedExcludes(port: port, in: dialect)) }
      if excluded.isEmpty { say(.advancedExcludes(port: nil, in: dialect)) }
      var ignored = PortSet(ranges: [0...(ports.ports.last ?? 0)])
      ignored.subtract(ports.subtracting(served))
      for port in ignored.ports.prefix(4096) { say(.advancedIgnores(transport, port: port, in: dialect)) }
    }
  }

  private func announceInOneLine(
    _ mode: Mode, _ transport: TransportProtocol, _ ports: PortSet, _ served: PortSet, _ failed: [Endpoint]
  ) {
    let configuration = plan.configuration
    let out = mode == .connect ? PortSet(failed.filter { $0.transport == transport }.map(\.port)) : served
    let open = ports.subtracting(out)
    say(
      .watching(
        mode, transport, ports: open.count, served: ports.count - open.count,
        excluded: mode != .advanced
          ? PortSet() : transport == .tcp ? configuration.advancedExcludeTCP : configuration.advancedExcludeUDP))
  }

  // MARK: The loop

  private var isEnding = false

  private func loop() {
    while !isEnding {
      var descriptors = [signals.raw, link.toSentry.fd, control.descriptor] + blocker.runner.pollDescriptors
      if let fd = blocker.monitorDescriptor { descriptors.append(fd) }
      if let resolver { descriptors.append(resolver.fd) }
      if let fd = networkMonitor.value?.descriptor { descriptors.append(fd) }
      if let recorder { descriptors.append(recorder.toSentry.fd) }
      descriptors += companions.descriptors
      let now = Clock.monotonic
      var due = min(nextTick, nextWatchdog)
      if let deadline = blocker.runner.nextDeadline { due = min(due, Int64(clamping: deadline)) }
      if let next = companions.due { due = min(due, next) }
      if log.isWaiting { due = min(due, now + 100_000_000) }
      let milliseconds = Int32(clamping: max(0, (due - now + 999_999) / 1_000_000))
      let ready = Poll.readable(descriptors, milliseconds: milliseconds)
      if ready.contains(signals.raw) { obeySignals() }
      if ready.contains(link.toSentry.fd) { link.toSentry.clear() }
      takeEvidence()
      takeProbes()
      _ = takeNotices()
      advanceCommands()
      if let resolver, ready.contains(resolver.fd) || heldLines > 0 { takeNames(resolver) }
      if let fd = blocker.monitorDescriptor, ready.contains(fd), blocker.tableWasTouched() {
        // Whoever flushes does it in several steps: look once they are over.
        nextReconcile = min(nextReconcile, Clock.monotonic + 100_000_000)
        nextTick = min(nextTick, nextReconcile)
      }
      if let fd = networkMonitor.value?.descriptor, ready.contains(fd), networkMonitor.value?.drain() == true {
        nextSafeList = min(nextSafeList, max(soonestSafeList, Clock.monotonic))
        nextTick = min(nextTick, nextSafeList)
      }
      advanceCompanions()
      if let recorder, ready.contains(recorder.toSentry.fd) { takeNotices(of: recorder) }
      if ready.contains(control.descriptor) { control.serve { self.answer($0) } }
      tick()
      flush()
    }
  }

  /// Proofs and verdicts.
  private func takeEvidence() {
    takeContacts()
    takeCustomers()
    while let verdict = verdicts.pop() { take(verdict) }
  }

  /// At most 2,048 probes at a time, so that signals and commands are seen between them.
  private func takeProbes() {
    refreshIgnoreFile()
    var count = 0
    while count < 2048, let probe = probes.pop() {
      handle(probe)
      count += 1
      // What shuts somebody out is not kept waiting behind what is only written down.
      if count % 16 == 0 { takeEvidence() }
    }
    takeEvidence()
    if count == 2048 { link.toSentry.signal() }
    let refused = probes.refused
    if refused > reportedQueueDrops {
      let lost = refused - reportedQueueDrops
      reportedQueueDrops = refused
      note("\(lost) probes were lost, because they came faster than they could be written", isError: true)
      keep(.lost(.queue, count: lost, at: Clock.now))
    }
  }

  private func tick() {
    let now = Clock.monotonic
    if now >= nextWatchdog, let interval = notifier.watchdogInterval {
      notifier.alive()
      nextWatchdog = now + interval.wholeNanoseconds
    }
    guard now >= nextTick else { return }
    nextTick = now + 1_000_000_000
    if now >= nextSafeList {
      refreshSafeList()
      // At most a tenth of the time, at most twice a second.
      soonestSafeList = Clock.monotonic + max(500_000_000, 10 * (Clock.monotonic - now))
      nextSafeList = now + 30_000_000_000
    }
    if retries.count > 10_000 { retries = [:] }
    if refusals.count > 10_000 { refusals = [:] }
    if now >= nextReconcile { reconcile() }
    endTrial()
    sayUnproven()
    sayLimits()
    restPorts()
    testDecoysIfDue()
    reportLostDoubts()
    keepMemory()
    expireBlocks()
    expireAllowed()
    rereadBlockedFiles()
    noteEvictions()
    observeProtection()
    if now >= nextMetrics, plan.configuration.recording.metricsFile != nil {
      nextMetrics = now + 15_000_000_000
      recorder?.publish(metrics: Metrics.text(metrics()))
    }
    if let end = table.nextEnd {
      nextTick = min(nextTick, now + max(1_000_000, (end - Clock.now).wholeNanoseconds))
    }
  }

  /// Sources that the detector has forgotten to make room.
  private func noteEvictions() {
    let evictions = link.shared.withLock { $0.statistics.evictions }
    guard evictions > countedEvictions else { return }
    keep(.lost(.sources, count: evictions - countedEvictions, at: Clock.now))
    countedEvictions = evictions
  }

  private func obeySignals() {
    var info = signalfd_siginfo()
    while unsafe read(signals.raw, &info, MemoryLayout<signalfd_siginfo>.size) == MemoryLayout<signalfd_siginfo>.size {
      switch Int32(bitPattern: info.ssi_signo) {
      case SIGHUP: reload()
      case SIGUSR1: for line in statusText().byteLines { note(String(line)) }
      default: isEnding = true
      }
    }
  }

  private func finish() {
    notifier.stopping()
    endDeception()
    companions.stop()
    for _ in 0..<64 { takeProbes() }
    // What is running is given its grace and left behind; what it was for stays recorded.
    blocker.runner.stop(now: UInt64(Clock.monotonic))
    for (_, lines) in waiting { for line in lines { line(nil) } }
    waiting = [:]
    sayLimits(isLast: true)
    for line in LogLine.shuttingDown(in: dialect) { say(line) }
    nextBlockedWrite = 0
    if let recorder {
      keep(.stopped(at: Clock.now))
      recorder.finish()
      takeNotices(of: recorder)
    }
    flush()
    keepMemory(isLast: true)
    log.flush(at: Clock.now)
  }

  // MARK: Saying and writing

  var version: String { Version.text }

  func say(_ line: LogLine) { log.write(line, at: Clock.now) }

  func note(_ text: String, isError: Bool = false) {
    say(isError ? .error(text, in: dialect) : .note(text, in: dialect))
  }

  /// Writes everything that has collected.
  private func flush() {
    log.flush(at: Clock.now)
    if let history, let change = history.value.flush() {
      counters.historyLost += change.lost
      say(.history(history.value.path, change, in: dialect))
    }
    if blockedFilesDirty {
      // Many releases in a row are written together.
      let now = Clock.monotonic
      if now >= nextBlockedWrite {
        writeBlockedFiles()
        nextBlockedWrite = Clock.monotonic + (recorded.count > 1000 ? 1_000_000_000 : 20_000_000)
      } else {
        nextTick = min(nextTick, nextBlockedWrite)
      }
    } else if !blockedAppends.isEmpty {
      // People and scripts read these files, nothing that counts milliseconds: ten writes a second will do.
      let now = Clock.monotonic
      if now >= nextBlockedWrite {
        appendBlockedFiles()
        nextBlockedWrite = now + 100_000_000
      } else {
        nextTick = min(nextTick, nextBlockedWrite)
      }
    }
    flushStore()
    offenderStore.flush(offenders)
  }

  func flushStore() {
    guard store.isDirty, !store.isBehind || Clock.monotonic >= nextStoreTry else { return }
    do throws(Errno) {
      try store.flush(table)
      if storeFailed {
        storeFailed = false
        note("\(store.path) is written again; nothing was lost")
      }
    } catch {
      nextStoreTry = Clock.monotonic + 1_000_000_000
      if !storeFailed {
        storeFailed = true
        note(
          "cannot write \(store.path): \(error.reason); blocks stay in force but would not survive a restart",
          isError: true)
      }
    }
  }

  private var nextStoreTry: Int64 = 0
  var blockedFileMuted: Int64 = 0

  /// Says what the sensor has to say.
  ///
  /// - Returns: ports that could not be opened.
  private func takeNotices() -> [Endpoint] {
    var failed: [Endpoint] = []
    for notice in link.takeNotices() {
      switch notice {
      case .interfaceMissing(let name):
        note("interface \(name) does not exist: nothing is seen on it until it appears", isError: true)
      case .interfaceWatched(let name): note("interface \(name) has appeared and is watched")
      case .nothingToWatch:
        note("no interface to watch is up: NOTHING IS SEEN until one is", isError: true)
        keep(.blind(at: Clock.now))
      case .watchingAgain:
        note("an interface is up: watching")
        keep(.seeing(at: Clock.now))
      case .ringOverflow(let count):
        note(
          "\(count) packets were lost in the kernel, because they came faster than they could be looked at",
          isError: true)
        keep(.lost(.ring, count: count, at: Clock.now))
      case .sampling(let shift):
        note(
          shift > 0
            ? "so many packets touch services that only some of their sources are looked at; touches of other ports are all seen"
            : "all sources that touch services are looked at again")
      case .listenerFailed(let transport, let port, let error):
        failed.append(Endpoint(transport, .unspecified, port))
        say(.couldNotBind(transport, port: port, in: dialect))
        if options.level < .notice { note("\(error)") }
      case .trouble(let error, let consequence): note("\(error): \(consequence)", isError: true)
      }
    }
    return failed
  }

  /// Says what the keeping of events has to say.
  private func takeNotices(of recorder: Recorder) {
    for notice in recorder.takeNotices() {
      switch notice {
      case .journalFailed(let error):
        note("\(error): nothing more is kept in the journal until that is mended; all else goes on", isError: true)
      case .journalRecovered(let lost):
        note("the journal is written again; \(lost == 0 ? "nothing was" : "\(lost) records were") lost")
      case .journalReplaced(let kept):
        let place = kept.map { "it is kept as \($0)" } ?? "it could not be moved"
        note("the journal was damaged: \(place), and a new one is begun", isError: true)
      case .fileChanged(let path, let change): say(.eventFile(path, change, in: dialect))
      case .metricsFailed(let path, let error?):
        note("cannot write \(path): \(error.reason); metrics are old", isError: true)
      case .metricsFailed(let path, nil): note("\(path) is written again")
      }
    }
  }

  // MARK: Files that are read again

  /// The ignore file counts from the moment it is changed.
  func refreshIgnoreFile() {
    let now = Clock.monotonic
    guard let path = plan.configuration.ignoreFile, now >= ignoring.nextLook else { return }
    ignoring.nextLook = now + 20_000_000
    let stamp = Files.stamp(path)
    guard stamp != ignoring.stamp else { return }
    ignoring.stamp = stamp
    do throws(Errno) {
      let (networks, problems) = IgnoreFile.parse(try Files.read(path, limit: 16 << 20), path: path)
      for problem in problems { note("\(problem)", isError: problem.severity == .error) }
      ignoring.file = networks
    } catch {
      // As 1.2: an ignore file that is gone ignores nobody. The safe list still holds.
      ignoring.file = IPNetworkSet()
      say(.cannotOpenIgnoreFile(in: dialect))
    }
    takeIgnored()
  }

  /// Takes what the ignore file and the command line name. `plan.ignored` holds both from here on.
  func takeIgnored() {
    plan.ignored = ignoring.all
    policy.ignored = plan.ignored
    link.update { $0.ignored = plan.ignored }
    for block in table.all where plan.ignored.network(overlapping: block.network) != nil {
      release(block, .nowIgnored)
    }
    if hasStarted { refreshTrap() }
  }

  func refreshSafeList() {
    do throws(Errno) {
      let safe = try SafeNetworks.discover(also: neededServers())
      if safe == policy.safe { return }
      policy.safe = safe
      releaseSafe()
      if hasStarted { refreshTrap() }
    } catch {
      note("cannot find out gateways and addresses: \(error); what was known before stays protected", isError: true)
    }
  }

  /// Whoever has become gateway, resolver or one of our own addresses is let in again, as after an edit of the ignore file.
  private func releaseSafe() {
    for block in table.all {
      if let what = policy.safe.reason(protecting: block.network) { release(block, .nowSafe(what)) }
    }
  }

  /// Time and DHCP servers: those that files name, by address or by a name looked up, and those that are being asked.
  private func neededServers() -> [(network: IPNetwork, reason: String)] {
    var result: [(network: IPNetwork, reason: String)] = []
    var names: Set<String> = []
    for (server, file) in SafeNetworks.servers() {
      if let address = server.address {
        result.append((IPNetwork(address), "\(server.role) in \(file)"))
      } else {
        names.insert(server.name)
        for address in serverNames.addresses(of: server.name) {
          result.append((IPNetwork(address), "\(server.role) in \(file), \(SafeText.line(server.name, limit: 64))"))
        }
      }
    }
    serverNames.lookUp(names, now: Clock.monotonic)
    let roles: [UInt16: String] = [67: "the DHCP server", 123: "a time server", 547: "the DHCP server"]
    for (peer, port) in (try? connections?.value.askedPeers(ports: Set(roles.keys))) ?? [] {
      // A program asks for a moment only; who was asked stays known for as long as we run.
      if askedServers.count < 256 { askedServers[peer] = "\(roles[port]!) that a program of this host asks" }
    }
    return result + askedServers.map { (IPNetwork($0.key), $0.value) }
  }

  private func openResolver() {
    guard resolver == nil else { return }
    do throws(Errno) {
      resolver = try NameResolver()
    } catch {
      note("cannot look up names: \(error); addresses are written alone", isError: true)
    }
  }

  /// HUP: new settings, all or nothing.
  func reload() {
    notifier.reloading()
    let new = Plan.make(options)
    for problem in new.diagnostics { note("\(problem)", isError: problem.severity == .error) }
    if new.hasErrors {
      note("the new configuration has errors: the old settings stay in force", isError: true)
    } else {
      var next = new
      // Modes that a second call added stay.
      if options.isClassicCall {
        next.tcpMode = next.tcpMode ?? plan.tcpMode
        next.udpMode = next.udpMode ?? plan.udpMode
      }
      next.logDialect = plan.logDialect
      next.configuration.controlSocket = plan.configuration.controlSocket
      if next.configuration.stateDirectory != plan.configuration.stateDirectory {
        note("STATE_DIR is taken over at the next start only", isError: true)
        next.configuration.stateDirectory = plan.configuration.stateDirectory
      }
      next.foreign.state = plan.foreign.state
      if next.configuration.historyFile != plan.configuration.historyFile
        || next.configuration.historyFormat != plan.configuration.historyFormat || next.fileLimits != plan.fileLimits
      {
        flush()
        history = Self.history(next)
      }
      let hadConsole = plan.configuration.recording.consoleListen
      plan = next
      lineLimit.perMinute = plan.configuration.logLimit
      setUpRecorder()
      setUpNotify()
      if plan.configuration.recording.consoleListen != hadConsole { setUpConsole() }
      policy.settings = plan.configuration.response
      blocker.reconfigure(plan.configuration.response)
      if plan.configuration.resolveHost { openResolver() } else { resolver = nil }
      ignoring.file = plan.ignored
      ignoring.stamp = plan.configuration.ignoreFile.flatMap(Files.stamp)
      refreshSafeList()
      releaseTooWide()
      takeIgnored()
      let settings = plan.sensorSettings(options)
      link.update { $0.settings = settings }
      refreshTrap()
      note("configuration read again: \(plan.configurationPath ?? "built-in settings")")
    }
    notifyReady()
  }

  private func notifyReady() {
    notifier.ready("watching \(link.currentStatistics().interfaces.joined(separator: ", "))")
  }
}

/// Carries the sensor into its thread, once.
private final class SensorCell: Sendable {
  private let sensor: Mutex<Sensor?>

  init(_ sensor: consuming Mutex<Sensor?>) { self.sensor = sensor }

  func take() -> Sensor? { sensor.withLock { $0.take() } }
}

/// The program's version, as `--version` and the start line say it.
package enum Version {
  package static let text = "3.0.0"
  package static var processID: Int32 { getpid() }
}
