import Detection
import Wire

/// How a block comes into force, step by step, and how it ends.
extension Decisions {
  // MARK: Making

  /// BLOCK 1 and 2: decides, and begins the steps.
  mutating func respond(_ probe: Probe, _ action: BlockAction, _ grounds: Grounds) {
    if retries.holds(probe.source, at: here.monotonic) {
      act(.event(probe, .failed))
      return
    }
    let repeats = offenders.repeats(of: IPNetwork(probe.source), at: here.time)
    var block: Block
    do throws(ResponsePolicy.Refusal) {
      block = try permitted(probe, grounds, repeats)
    } catch {
      refuse(probe, error)
      return
    }
    if let trial { block = block.limited(until: trial.end) }
    unproven.remove(probe.source)
    go(
      on: Job(probe: probe, block: block, repeats: repeats, action: action, isOrder: false, steps: steps(block, action))
    )
  }

  private mutating func permitted(
    _ probe: Probe, _ grounds: Grounds, _ repeats: Int
  ) throws(ResponsePolicy.Refusal) -> Block {
    if let trial, trial.isOver { throw .trialOver }
    // Whoever first came to notice and was then served is a scanner who also connects.
    if suspects.entry(for: probe.source)?.wasServed ?? true, isServed(probe.source) {
      throw .safe("the peer of an established connection")
    }
    // Mail, IRC and database servers look back at who connects to them.
    if isAsked(probe.source) { throw .safe("the peer of a connection that this host opened") }
    let mode = settings.dialect == .classic ? probe.mode.classicName(probe.transport) : probe.mode.modernName
    return try policy.decide(
      probe, grounds, modeName: mode, repeats: repeats, inForce: table.budget, now: here.time)
  }

  private mutating func refuse(_ probe: Probe, _ refusal: ResponsePolicy.Refusal) {
    counters.refused += 1
    // Once a minute for a source, and once a minute for a family when a limit is the reason.
    let isLimit =
      switch refusal {
      case .tableFull, .tooFast, .trialOver: true
      case .safe, .ignored, .hasUser: false
      }
    let key = isLimit ? (probe.source.isV4 ? IPAddress(v4: 0) : .unspecified) : probe.source
    if isNews(of: key) { act(.refused(probe, because: "\(refusal)")) }
    suspects.refuse(probe.source, because: "\(refusal)")
    unproven.remove(probe.source)
    act(.event(probe, .failed))
  }

  private func steps(_ block: Block, _ action: BlockAction) -> [Attempt.Step] {
    var steps: [Attempt.Step] = []
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

  /// Asks for the next step of a job, or concludes it.
  mutating func go(on job: Job) {
    var job = job
    while let step = job.steps.first {
      switch step {
      case .killRoute where policy.settings.killRoute == nil, .runCommand where policy.settings.killRunCommand == nil:
        job.steps.removeFirst()
      default:
        attempt(.step(step, job))
        return
      }
    }
    conclude(job)
  }

  /// Takes what came of an attempt.
  mutating func attempted(_ attempt: Attempt, _ effect: Effect) {
    act(.effect(effect, of: attempt))
    switch attempt {
    case .step(let step, let job): stepped(step, job, effect)
    case .prefix(let block, let repeats):
      guard case .took = effect else { return }
      counters.blocks += 1
      inForce(block, repeats: repeats)
    case .fleet(let block):
      guard case .took = effect else { return }
      if table[block.network]?.record.fleetBasis != nil {
        keepLonger(block)
      } else {
        counters.blocks += 1
        inForce(block, repeats: 0)
      }
    case .longer(let block, let rest, let done):
      guard case .lasts = effect else { return lengthen(rest, done: done) }
      keepLonger(block)
      lengthen(rest, done: done + 1)
    }
  }

  private mutating func stepped(_ step: Attempt.Step, _ started: Job, _ effect: Effect) {
    var job = started
    switch effect {
    case .running:
      jobs[job.probe.source] = job
      if job.isOrder { act(.answer(.running)) }
      return
    case .took, .lasts: succeeded(&job, step)
    case .alreadyInHostsDeny: job.succeeded.append(.hostsDeny)
    case .failed(let reason): job.failures.append(reason)
    case .noTarget, .hostsDenyFailed, .unfit: job.failures.append("see the line above")
    }
    job.steps.removeFirst()
    go(on: job)
  }

  private mutating func succeeded(_ job: inout Job, _ step: Attempt.Step) {
    switch step {
    case .hostsDeny: job.succeeded.append(.hostsDeny)
    case .runCommand: break
    case .killRoute: inForce(&job, .command)
    case .nftables: inForce(&job, .nftables)
    case .route: inForce(&job, .route)
    }
  }

  private mutating func inForce(_ job: inout Job, _ method: BlockMethod) {
    job.succeeded.append(method)
    if !job.isOrder { act(.latency((here.time - job.probe.time).wholeNanoseconds)) }
  }

  /// Goes on with what waited for a command.
  mutating func commandEnded(_ source: IPAddress, _ command: String, _ outcome: CommandRunner.Outcome) {
    guard var job = jobs.removeValue(forKey: source), let step = job.steps.first else { return }
    act(.commandEnded(command: command, outcome, job))
    if outcome == .succeeded { succeeded(&job, step) } else { job.failures.append("see the line above") }
    job.steps.removeFirst()
    go(on: job)
  }

  /// All steps are done.
  private mutating func conclude(_ job: Job) {
    afterwards(.conclude(job))
    if !job.succeeded.isEmpty { inForce(job.block.limited(to: job.succeeded), repeats: job.repeats) }
  }

  /// Says what is true, and lets the probes through that waited.
  mutating func settle(_ job: Job) {
    for probe in job.held.reversed() { afterwards(.handle(probe)) }
    let isBlocked = !job.succeeded.isEmpty && !isForbiddenMeanwhile(job)
    let isDone = isBlocked || (job.action == .runCommand && job.failures.isEmpty)
    if isBlocked { counters.blocks += 1 }
    if job.isOrder {
      act(.answer(isBlocked ? .blocked(table[job.block.network] ?? job.block) : .failed(job.failures)))
      return
    }
    // 1.2 calls a response failed when any step did, 2.x when all did.
    if !job.failures.isEmpty, settings.dialect == .classic || !isDone {
      counters.failed += 1
      act(.couldNotBlock(job.probe))
    }
    if isDone {
      list(job.probe)
    } else {
      retries.note(job.probe.source, for: Self.retryAfter, at: here.monotonic)
    }
    act(.event(job.probe, isDone ? .blocked : .failed))
  }

  /// Lifts a block again whose source has become what is never blocked while a command was running.
  private mutating func isForbiddenMeanwhile(_ job: Job) -> Bool {
    guard let block = table[job.block.network] else { return false }
    if policy.ignored.network(overlapping: block.network) != nil {
      release([block], .nowIgnored)
      return true
    }
    guard let what = policy.safe.reason(protecting: block.network) else { return false }
    release([block], .nowSafe(what))
    return true
  }

  private static let retryAfter: Int64 = 1_000_000_000

  /// Takes a block that took effect into the table.
  mutating func inForce(_ block: Block, repeats: Int) {
    table.insert(block)
    act(.inForce(block, repeats: repeats))
    guard block.record.isProven else { return }
    act(.offender(offenders.note(block.network, at: block.record.since)))
    aggregation.insert(block.network)
    widen(block)
  }

  // MARK: Prefixes

  /// Blocks the prefix beside its members, where there are enough and nobody honest is known in it.
  private mutating func widen(_ newest: Block) {
    guard trial == nil, let prefix = aggregation.prefix(for: newest.network, widest: policy.settings.widestPrefix)
    else { return }
    // Not those that an operator has blocked anew: his time is not the prefix's.
    let members = members(of: prefix).filter { $0.record.grounds?.origin != nil }
      .sorted { $0.record.since < $1.record.since }
    let repeats = offenders.repeats(of: prefix, at: here.time)
    do throws(ResponsePolicy.Refusal) {
      let block = try policy.widen(
        to: prefix, members: members, user: honestUser(in: prefix), repeats: repeats, now: here.time)
      if let block { attempt(.prefix(block, repeats: repeats)) }
    } catch {
      if isNews(of: prefix.address) { act(.notWidened(prefix, members: members.count, because: error)) }
    }
  }

  /// What of our own making is blocked within a prefix.
  func members(of network: IPNetwork) -> [Block] { aggregation.members(of: network).compactMap { table[$0] } }

  /// Somebody of a prefix who uses a service at this moment or used one within a day, and is no proven scanner.
  private func honestUser(in prefix: IPNetwork) -> IPAddress? {
    here.conversations.served.filter { prefix.contains($0) && isHonest($0) }.min()
      ?? aggregation.users.user(in: prefix, at: here.time, where: isHonest)
  }

  func isHonest(_ address: IPAddress) -> Bool {
    table[IPNetwork(address)] == nil && jobs[address] == nil && !suspects.isProvenScanner(address)
  }

  /// Undoes the blocks of prefixes above an address. Its other members stay blocked one by one.
  ///
  /// - Returns: what was undone.
  @discardableResult
  mutating func noteHonest(_ address: IPAddress, _ reason: ReleaseReason) -> [IPNetwork] {
    if address.isV4 { return [] }
    aggregation.users.note(address, at: here.time)
    let blocks = aggregation.blocked(above: address).compactMap { table[$0] }
    if !blocks.isEmpty { release(blocks, reason) }
    return blocks.map(\.network)
  }

  // MARK: Ending

  mutating func release(_ blocks: [Block], _ reason: ReleaseReason) { release(blocks.map(\.record), reason) }

  mutating func release(_ records: [Block.Record], _ reason: ReleaseReason) {
    for record in records {
      table.remove(record.network)
      aggregation.remove(record.network)
      responded.remove(record.network.address)
    }
    counters.releases += UInt64(records.count)
    act(.release(records, reason))
  }
}
