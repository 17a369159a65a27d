import Configuration
import Detection
import EventLog
import Journal
import Platform
import Response
import Wire

/// A response under way: its steps in the order of compat c, and what came of them so far.
struct Job {
  enum Step {
    case hostsDeny
    case killRoute
    case nftables
    case route
    case runCommand
  }

  let probe: Probe
  let block: Block
  /// How often the source had been blocked before.
  var repeats = 0
  let action: BlockAction
  /// An operator ordered it; no scan is behind it.
  let isOrder: Bool
  var steps: [Step]
  /// Ways that took effect.
  var succeeded: [BlockMethod] = []
  var ranCommand = false
  /// What went wrong, for the answer to an operator.
  var failures: [String] = []
  /// Probes of the same source that came meanwhile.
  var held: [Probe] = []
}

extension Sentry {
  // MARK: Responding

  /// BLOCK 1 and 2: decides, and begins the steps.
  func respond(_ probe: Probe, _ action: BlockAction, _ grounds: Grounds) {
    if let again = retries[probe.source], again > Clock.monotonic {
      record(probe, .failed)
      return
    }
    let mode = dialect == .classic ? probe.mode.classicName(probe.transport) : probe.mode.modernName
    let now = Clock.now
    let repeats = offenders.repeats(of: IPNetwork(probe.source), at: now)
    var block: Block
    do throws(ResponsePolicy.Refusal) {
      if let trial, trial.isOver { throw .trialOver }
      // Whoever first came to notice and was then served is a scanner who also connects.
      if suspects.entry(for: probe.source)?.wasServed ?? true, isConnected(probe.source) {
        throw .safe("the peer of an established connection")
      }
      // Mail, IRC and database servers look back at who connects to them.
      if isAsked(probe.source) { throw .safe("the peer of a connection that this host opened") }
      block = try policy.decide(
        probe, grounds, modeName: mode, repeats: repeats, inForce: table.budget, now: now)
    } catch {
      refuse(probe, error)
      return
    }
    if let trial { block = block.limited(until: trial.end) }
    unproven[probe.source] = nil
    start(
      Job(
        probe: probe, block: block, repeats: repeats, action: action, isOrder: false, steps: steps(block, action)))
  }

  private func refuse(_ probe: Probe, _ refusal: ResponsePolicy.Refusal) {
    counters.refused += 1
    // Once a minute for a source, and once a minute for a family when a limit is the reason.
    let isLimit =
      switch refusal {
      case .tableFull, .tooFast, .trialOver: true
      case .safe, .ignored, .hasUser: false
      }
    let key = isLimit ? (probe.source.isV4 ? IPAddress(v4: 0) : .unspecified) : probe.source
    if isNews(of: key) {
      keep(.refused(probe.source, because: "\(refusal)", at: Clock.now))
      say(.refused(probe.source, because: "\(refusal)", in: dialect), after: probe)
    }
    suspects.refuse(probe.source, because: "\(refusal)")
    unproven[probe.source] = nil
    record(probe, .failed)
  }

  /// Whether it may be said of an address that it is not blocked: once a minute. Asking is saying. Beyond 10,000 all are forgotten
  /// within a second, and may be said again.
  func isNews(of address: IPAddress) -> Bool {
    let now = Clock.monotonic
    guard (refusals[address] ?? 0) <= now else { return false }
    refusals[address] = now + 60_000_000_000
    return true
  }

  private func steps(_ block: Block, _ action: BlockAction) -> [Job.Step] {
    var steps: [Job.Step] = []
    if action == .block {
      if block.methods.contains(.hostsDeny) { steps.append(.hostsDeny) }
      if block.methods.contains(.command) { steps.append(.killRoute) }
      if block.methods.contains(.nftables) { steps.append(.nftables) }
      if block.methods.contains(.route) { steps.append(.route) }
    }
    if policy.settings.killRunCommand != nil {
      steps.insert(.runCommand, at: policy.settings.runCommandFirst ? 0 : steps.count)
    }
    return steps
  }

  /// Goes through the steps until one has to be waited for, or all are done.
  @discardableResult
  func start(_ started: Job) -> Job? {
    var job = started
    while let step = job.steps.first {
      switch step {
      case .hostsDeny:
        denyHost(&job)
      case .nftables:
        let duration = job.block.remaining(at: Clock.now)
        do throws(ResponderError) {
          try blocker.addToTable([(job.block.network, duration)])
          succeeded(&job, .nftables)
          let set = "inet portsentry banned\(job.block.network.isV4 ? 4 : 6)\(job.block.network.isHost ? "" : "net")"
          sayBlocked(job, .nftables(set: set, policyDuration(job)))
        } catch {
          failed(&job, "nftables: \(error)")
        }
      case .route:
        do throws(ResponderError) {
          try blocker.addRoute(job.block.network, .blackhole)
          succeeded(&job, .route)
          sayBlocked(job, .blackholeRoute(policyDuration(job)))
        } catch {
          failed(&job, "route: \(error)")
        }
      case .killRoute:
        guard let template = policy.settings.killRoute else { break }
        let command = CommandTemplate(template).command(
          target: job.block.network, port: job.block.record.port, mode: job.block.record.modeName)
        if CommandTemplate.isClassicReject(template) {
          // The one line of 1.2's example that needs no program: the same route by netlink, for IPv6 too.
          do throws(ResponderError) {
            try blocker.addRoute(job.block.network, .unreachable)
            succeeded(&job, .command)
            sayBlocked(job, .command(command))
          } catch {
            failed(&job, "route: \(error)")
          }
        } else if !template.containsBytes("$TARGET$") {
          say(.noTarget(in: "KILL_ROUTE", dialect), after: job.probe)
          failed(&job, nil)
        } else if !job.block.network.isV4, let problem = CommandTemplate.ipv6Problem(template) {
          say(.commandFailed(command, runCommand: false, reason: problem, in: dialect), after: job.probe)
          failed(&job, nil)
        } else if submit(command, .job(job.probe.source)) {
          jobs[job.probe.source] = job
          return nil
        } else {
          failed(&job, "too many commands wait already")
        }
      case .runCommand:
        guard let template = policy.settings.killRunCommand else { break }
        let command = CommandTemplate(template).command(
          target: job.block.network, port: job.block.record.port, mode: job.block.record.modeName)
        if submit(command, .job(job.probe.source)) {
          jobs[job.probe.source] = job
          return nil
        }
        failed(&job, "too many commands wait already")
      }
      job.steps.removeFirst()
    }
    conclude(job)
    return job
  }

  private func policyDuration(_ job: Job) -> Duration? { job.block.until.map { $0 - job.block.record.since } }

  private func denyHost(_ job: inout Job) {
    let record = job.block.record
    guard let line = blocker.hostsDenyLine(record.network, port: record.port, mode: record.modeName) else {
      say(.noTarget(in: "KILL_HOSTS_DENY", dialect), after: job.probe)
      failed(&job, nil)
      return
    }
    do throws(ResponderError) {
      if try blocker.hostsDeny.contains(line) {
        say(.alreadyInHostsDeny(record.network.address, in: dialect), after: job.probe)
      } else {
        try blocker.hostsDeny.add(line)
        sayBlocked(job, .hostsDeny(line))
      }
      job.succeeded.append(.hostsDeny)
    } catch {
      say(.hostsDenyFailed(blocker.hostsDeny.path, reason: "\(error)", in: dialect), after: job.probe)
      failed(&job, nil)
    }
  }

  private func sayBlocked(_ job: Job, _ means: BlockedBy) {
    say(.blocked(job.block.network, by: means, in: dialect), after: job.probe)
  }

  private func succeeded(_ job: inout Job, _ method: BlockMethod) {
    job.succeeded.append(method)
    guard !job.isOrder else { return }
    if counters.latencies.count >= 1024 { counters.latencies.removeFirst(512) }
    counters.latencies.append((Clock.now - job.probe.time).wholeNanoseconds)
  }

  private func failed(_ job: inout Job, _ reason: String?) {
    job.failures.append(reason ?? "see the line above")
    if let reason { note(reason, isError: true) }
  }

  private func submit(_ command: String, _ owner: CommandOwner) -> Bool {
    let id = nextCommand
    guard
      blocker.runner.submit(
        id: id, command: command, timeout: policy.settings.commandTimeout, now: UInt64(Clock.monotonic))
    else { return false }
    nextCommand += 1
    commandOwners[id] = owner
    return true
  }

  /// Takes the results of commands that have ended, and goes on with what waited for them.
  func advanceCommands() {
    guard !blocker.runner.isIdle else { return }
    for result in blocker.runner.advance(now: UInt64(Clock.monotonic)) {
      switch commandOwners.removeValue(forKey: result.id) {
      case .job(let source): commandEnded(result, source)
      case .release(let network):
        if result.outcome != .succeeded {
          say(.couldNotRelease(network, because: "`\(result.command)` \(result.outcome)", in: dialect))
        }
      case .restore(let network):
        if result.outcome != .succeeded {
          note("Host \(network) could not be blocked again: `\(result.command)` \(result.outcome)", isError: true)
        }
      case nil: break
      }
    }
  }

  private func commandEnded(_ result: CommandRunner.Result, _ source: IPAddress) {
    guard var job = jobs.removeValue(forKey: source), let step = job.steps.first else { return }
    let isRunCommand = if case .runCommand = step { true } else { false }
    if result.outcome == .succeeded {
      if isRunCommand {
        job.ranCommand = true
        say(.commandRun(source, command: result.command, in: dialect), after: job.probe)
      } else {
        succeeded(&job, .command)
        sayBlocked(job, .command(result.command))
      }
    } else {
      say(
        .commandFailed(result.command, runCommand: isRunCommand, reason: "\(result.outcome)", in: dialect),
        after: job.probe)
      failed(&job, nil)
    }
    job.steps.removeFirst()
    start(job)
  }

  /// All steps are done: writes down what is true, and lets the probes through that waited.
  private func conclude(_ job: Job) {
    let isBlocked = !job.succeeded.isEmpty
    let isDone = isBlocked || (job.action == .runCommand && job.failures.isEmpty)
    if isBlocked {
      inForce(job.block.limited(to: job.succeeded), repeats: job.repeats)
      counters.blocks += 1
    }
    if !job.isOrder {
      // 1.2 calls a response failed when any step did, 2.x when all did.
      if !job.failures.isEmpty, dialect == .classic || !isDone {
        counters.failed += 1
        say(job.probe) { .couldNotBlock(job.probe, name: $0, in: self.dialect) }
      }
      if isDone {
        remember(job.probe, recordedKey(job.probe))
      } else {
        retries[job.probe.source] = Clock.monotonic + 1_000_000_000
      }
      record(job.probe, isDone ? .blocked : .failed)
    }
    for probe in job.held { handle(probe) }
  }

  /// Writes down a block that took effect, and lets go of what its source holds.
  func inForce(_ block: Block, repeats: Int) {
    table.insert(block)
    store.add(block)
    keep(.blocked(block.record, repeats: repeats))
    deception.link.drop(block.network)
    guard block.record.grounds?.origin != nil else { return }
    offenderStore.add(offenders.note(block.network, at: block.record.since))
    aggregation.insert(block.network)
    widen(block)
  }

  // MARK: Releasing

  func expireBlocks() {
    let over = table.removeExpired(at: Clock.now)
    guard !over.isEmpty else { return }
    release(over, .expired)
  }

  func release(_ block: Block, _ reason: ReleaseReason) { release([block], reason) }

  func release(_ blocks: [Block], _ reason: ReleaseReason) { release(blocks.map(\.record), reason) }

  /// Undoes blocks in every way they are in force. What is written down of one is enough: only making one has to be proven.
  func release(_ records: [Block.Record], _ reason: ReleaseReason) {
    let inSets = records.filter { $0.methods.contains(.nftables) }.map(\.network)
    if !inSets.isEmpty {
      do throws(ResponderError) {
        try blocker.removeFromTable(inSets)
      } catch {
        note("nftables: \(error); \(inSets.count) hosts may stay blocked until their time is over", isError: true)
        nextReconcile = 0
      }
    }
    for block in records {
      table.remove(block.network)
      store.remove(block.network)
      aggregation.remove(block.network)
      counters.releases += 1
      keep(.released(block.network, because: reason.text, at: Clock.now))
      var problems: [String] = []
      for method in block.methods where method != .nftables {
        if let problem = undo(block, method) { problems.append(problem) }
      }
      for transport in [TransportProtocol.tcp, .udp, nil] {
        recorded[RecordedSource(address: block.network.address, transport: transport)] = nil
      }
      if problems.isEmpty {
        say(.released(block.network, reason, in: dialect))
      } else {
        say(.couldNotRelease(block.network, because: problems.joined(separator: "; "), in: dialect))
      }
    }
    blockedFilesDirty = true
  }

  /// Undoes one way of blocking; says what stands in the way.
  private func undo(_ record: Block.Record, _ method: BlockMethod) -> String? {
    do throws(ResponderError) {
      switch method {
      case .nftables: break
      case .route: try blocker.removeRoute(record.network)
      case .hostsDeny:
        if let line = blocker.hostsDenyLine(record.network, port: record.port, mode: record.modeName) {
          try blocker.hostsDeny.remove(line)
        }
      case .command:
        let settings = policy.settings
        if let template = settings.killRoute, settings.unkillRoute == nil, CommandTemplate.isClassicReject(template) {
          try blocker.removeRoute(record.network)
          break
        }
        guard
          let undo = settings.unkillRoute.map(CommandTemplate.init)
            ?? settings.killRoute.flatMap({ CommandTemplate($0).undo })
        else { return "it is not known how to undo KILL_ROUTE: set UNKILL_ROUTE, and undo this one by hand" }
        let command = undo.command(target: record.network, port: record.port, mode: record.modeName)
        if !submit(command, .release(record.network)) { return "too many commands wait already" }
      }
      return nil
    } catch {
      return "\(error)"
    }
  }

  // MARK: What should be and what is

  /// Brings back the blocks that were in force before a stop, a crash or a reboot.
  func restoreBlocks() {
    let now = Clock.now
    do throws(Errno) {
      if let directory = plan.keptDirectory { try Files.createFolder(directory, mode: 0o755) }
      offenders = try offenderStore.load(now: now)
      let contents = try store.load()
      if contents.damagedLines > 0 {
        note("\(store.path): \(contents.damagedLines) lines could not be read and were left out", isError: true)
      }
      table.reserve(contents.records.count)
      recorded.reserveCapacity(min(contents.records.count, Self.recordedLimit))
      let isReboot = contents.bootID != BlockStore.bootID
      var over: [Block.Record] = []
      for record in contents.records.values {
        if let block = policy.restore(record, now: now) {
          table.insert(block)
          if record.isProven { aggregation.insert(block.network) }
          if block.network.isHost { recallEntry(record) }
          if isReboot, block.methods.contains(.command) { runAgain(block) }
        } else {
          over.append(record)
        }
      }
      // Over, or become forbidden, while no sentry ran: what does not end by itself is undone.
      if !over.isEmpty { release(over, .expired) }
      if contents.bootID == nil, contents.records.isEmpty { takeOverPredecessor() }
      if contents.bootID == nil || isReboot || !over.isEmpty || contents.damagedLines > 0
        || contents.lines > 2 * table.count + 1000
      {
        try store.rewrite(table)
      }
      if table.count > 0 { note("\(table.count) blocks of before are in force again") }
    } catch {
      note("\(error): blocks will not survive a restart", isError: true)
    }
    blockedFilesDirty = true
    reconcile()
    blocker.watchTable()
    hasStarted = true
  }

  private func recallEntry(_ record: Block.Record) {
    let key = RecordedSource(
      address: record.network.address, transport: dialect == .classic ? record.transport : nil)
    recorded[key] = BlockedFile.Entry(
      record.network.address, time: record.since, port: record.port, transport: record.transport, name: nil)
  }

  /// The kernel forgets routes and rules at a reboot; the administrator's command is the only way to make them again.
  private func runAgain(_ block: Block) {
    guard let template = policy.settings.killRoute, !CommandTemplate.isClassicReject(template) else { return }
    let command = CommandTemplate(template).command(
      target: block.network, port: block.record.port, mode: block.record.modeName)
    if !submit(command, .restore(block.network)) {
      note("Host \(block.network) could not be blocked again: too many commands wait already", isError: true)
    }
  }

  /// The first start after a predecessor: its blocked hosts become blocks of ours.
  private func takeOverPredecessor() {
    guard let path = plan.configuration.blockedFile, plan.foreign.blockedFile == nil else { return }
    var taken = 0
    for transport in TransportProtocol.allCases {
      let action = policy.settings.action(for: transport)
      guard action == .block, let mode = transport == .tcp ? plan.tcpMode : plan.udpMode else { continue }
      let file = plan.configuration.dialect == .classic ? BlockedFile.classicPath(path, mode, transport) : path
      guard let bytes = try? Files.read(file, limit: 256 << 20) else { continue }
      let (entries, problem) = BlockedFile.decode(bytes)
      if let problem { note("\(file): \(problem)", isError: true) }
      // Older than this boot: its routes and rules are gone.
      let isBeforeBoot = (Files.stamp(file)?.modified ?? 0) < Clock.now.nanoseconds - Clock.monotonic
      for entry in entries where table.block(covering: entry.address) == nil {
        guard
          let block = try? policy.order(
            IPNetwork(entry.address), duration: policy.settings.duration, reason: "taken over from \(file)",
            inForce: table.budget, now: Clock.now)
        else { continue }
        table.insert(block)
        recallEntry(block.record)
        if isBeforeBoot, block.methods.contains(.command) { runAgain(block) }
        taken += 1
      }
    }
    if taken > 0 { note("\(taken) blocked hosts were taken over from \(path)") }
  }

  /// Compares the block table with what the kernel and hosts.deny hold, and mends the difference.
  func reconcile() {
    nextReconcile = Clock.monotonic + 60_000_000_000
    if deception.state != .off, deception.state != .active { refreshTrap() }
    let wantsTable =
      blocker.hasTable || table.unordered.contains { $0.methods.contains(.nftables) }
      || (policy.settings.methods.contains(.nftables)
        && (policy.settings.tcp == .block || policy.settings.udp == .block))
    do throws(ResponderError) {
      var mended = 0
      if wantsTable { mended += try reconcileTable() }
      mended += try reconcileRoutes()
      mended += try reconcileHostsDeny()
      if mended > 0 { note("\(mended) blocks had been lifted or added by somebody else and were put right") }
      if reconcileFailed {
        reconcileFailed = false
        note("blocks are in force again")
      }
    } catch {
      nextReconcile = Clock.monotonic + 5_000_000_000
      if !reconcileFailed {
        reconcileFailed = true
        note("blocks cannot be compared with what is in force: \(error); tried again every five seconds", isError: true)
      }
    }
  }

  private func reconcileTable() throws(ResponderError) -> Int {
    // A table made this moment is empty; reading a large one takes the kernel a while.
    let isNew = try blocker.prepareTable() && !hasStarted
    let inForce = isNew ? [:] : try blocker.tableContents()
    let now = Clock.now
    let missing = table.unordered.filter { $0.methods.contains(.nftables) && inForce[$0.network] == nil }
    let extra = inForce.keys.filter { table[$0]?.methods.contains(.nftables) != true }
    if !extra.isEmpty { try blocker.removeFromTable(Array(extra)) }
    if !missing.isEmpty { try blocker.addToTable(missing.map { ($0.network, $0.remaining(at: now)) }) }
    return hasStarted ? missing.count + extra.count : 0
  }

  private func reconcileRoutes() throws(ResponderError) -> Int {
    let isReject = policy.settings.killRoute.map(CommandTemplate.isClassicReject) ?? false
    func kind(_ block: Block) -> RouteTable.Kind? {
      if block.methods.contains(.route) { return .blackhole }
      return isReject && block.methods.contains(.command) ? .unreachable : nil
    }
    let wanted = table.unordered.filter { kind($0) != nil }
    guard !wanted.isEmpty else { return 0 }
    let inForce = try blocker.routesInForce()
    let missing = wanted.filter { !inForce.contains($0.network) }
    for block in missing { try blocker.addRoute(block.network, kind(block)!) }
    return hasStarted ? missing.count : 0
  }

  private func reconcileHostsDeny() throws(ResponderError) -> Int {
    let lines = table.unordered.filter { $0.methods.contains(.hostsDeny) }.compactMap {
      blocker.hostsDenyLine($0.network, port: $0.record.port, mode: $0.record.modeName)
    }
    let missing = try blocker.hostsDeny.missing(of: lines)
    for line in missing { try blocker.hostsDeny.add(line) }
    return hasStarted ? missing.count : 0
  }

  // MARK: The predecessors' blocked files

  private func blockedPath(_ transport: TransportProtocol) -> String? {
    guard let path = plan.configuration.blockedFile, let mode = transport == .tcp ? plan.tcpMode : plan.udpMode
    else { return nil }
    return plan.configuration.dialect == .classic ? BlockedFile.classicPath(path, mode, transport) : path
  }

  /// Writes the blocked files in the dialect of the configuration.
  func writeBlockedFiles() {
    blockedFilesDirty = false
    blockedAppends = []
    guard let path = plan.configuration.blockedFile else { return }
    if plan.configuration.dialect == .modern {
      let hosts = table.unordered.filter(\.network.isHost).map { BlockedFile.Entry($0.network.address) }
      writeBlockedFile(path, hosts + recorded.values.filter { table[IPNetwork($0.address)] == nil })
      return
    }
    for transport in TransportProtocol.allCases {
      guard let file = blockedPath(transport) else { continue }
      writeBlockedFile(
        file,
        recorded.values.filter { $0.transport == transport }.sorted {
          ($0.time ?? .distantPast) < ($1.time ?? .distantPast)
        })
    }
  }

  /// Adds new hosts to the end of the blocked files: the whole is written anew only when one is taken out.
  func appendBlockedFiles() {
    let entries = blockedAppends
    blockedAppends = []
    var byPath: [String: [BlockedFile.Entry]] = [:]
    for entry in entries {
      if let path = blockedPath(entry.transport ?? .tcp) { byPath[path, default: []].append(entry) }
    }
    for (path, entries) in byPath {
      // What somebody has done to the file meanwhile comes first.
      if blockedStamps[path] == nil || Files.stamp(path) == nil {
        blockedFilesDirty = true
        continue
      }
      rereadBlockedFiles()
      writing(path) { () throws(Errno) in
        let file = try FileDescriptor.open(path, Files.appending)
        try file.writeAll(BlockedFile.encode(entries, plan.configuration.dialect))
      }
    }
  }

  private func writeBlockedFile(_ path: String, _ entries: [BlockedFile.Entry]) {
    writing(path) { () throws(Errno) in
      if let slash = path.lastByte("/") { try Files.createFolder(String(path[..<slash])) }
      try Files.replace(path, with: BlockedFile.encode(entries, plan.configuration.dialect), mode: 0o644)
    }
  }

  /// Writes in the way given; says once a minute when that fails.
  private func writing(_ path: String, _ write: () throws(Errno) -> Void) {
    do throws(Errno) {
      try write()
      blockedStamps[path] = Files.stamp(path)
    } catch {
      let now = Clock.monotonic
      if blockedFileMuted <= now { note("cannot write \(path): \(error.reason)", isError: true) }
      blockedFileMuted = now + 60_000_000_000
      blockedStamps[path] = nil
    }
  }

  /// 1.2's way to re-arm: a line deleted by hand from its blocked file. The host is released.
  func rereadBlockedFiles() {
    guard plan.configuration.dialect == .classic, plan.foreign.blockedFile == nil else { return }
    for transport in TransportProtocol.allCases {
      guard let path = blockedPath(transport), let known = blockedStamps[path], let stamp = Files.stamp(path),
        stamp != known, let bytes = try? Files.read(path, limit: 256 << 20)
      else { continue }
      blockedStamps[path] = stamp
      let present = Set(BlockedFile.decode(bytes).entries.map(\.address))
      for (key, entry) in recorded where entry.transport == transport && !present.contains(key.address) {
        recorded[key] = nil
        if let block = table[IPNetwork(key.address)] { release(block, .byOperator) }
      }
    }
  }
}
