import Detection
import Wire

/// What operators and other settings ask for, and what was in force before.
extension Decisions {
  // MARK: Orders

  mutating func order(_ network: IPNetwork, _ duration: Duration?, _ reason: String) {
    // It is being blocked already; two jobs of one source would take each other's commands for their own.
    if jobs[network.address] != nil { return act(.answer(.running)) }
    do throws(ResponsePolicy.Refusal) {
      let block = try policy.order(
        network, duration: duration, reason: reason, inForce: table.budget, now: here.time)
      let probe = Probe(
        time: here.time, source: network.address, sourcePort: 0, target: .unspecified, targetPort: 0, transport: .tcp,
        mode: .stealth, technique: .connect)
      let steps = block.methods.map { method -> Attempt.Step in
        switch method {
        case .hostsDeny: .hostsDeny
        case .command: .killRoute
        case .nftables: .nftables
        case .route: .route
        }
      }
      go(on: Job(probe: probe, block: block, action: .block, isOrder: true, steps: steps))
    } catch {
      act(.answer(.refused(error)))
    }
  }

  mutating func letIn(_ network: IPNetwork) -> Answer {
    setups.forget(within: network)
    // Whoever lets in one of a prefix calls him honest: the prefix is opened, its other members stay blocked.
    let opened = network.isHost ? noteHonest(network.address, .memberReleased(network)) : []
    if let block = table[network] {
      release([block] + members(of: network), .byOperator)
      suspects.forget(within: network)
      return .letIn(.released, opened: opened)
    }
    if network.isHost {
      let around = table.block(covering: network.address)
      if around == nil, !opened.isEmpty { return .letIn(.released, opened: opened) }
      if let around { return .letIn(.partOf(around.network), opened: opened) }
    }
    guard responded.remove(network.address) else { return .letIn(.unknown, opened: opened) }
    act(.blockedFilesChanged)
    return .letIn(.unlisted, opened: opened)
  }

  mutating func letAllIn() {
    let all = table.all
    release(all, .byOperator)
    for block in all { suspects.forget(within: block.network) }
    act(.answer(.allLetIn(all.count)))
  }

  // MARK: Who is spared

  mutating func ignore(_ networks: IPNetworkSet) {
    policy.ignored = networks
    for block in blocks(where: { networks.network(overlapping: $0.network) != nil }) { release([block], .nowIgnored) }
  }

  /// Whoever has become gateway, resolver or one of our own addresses is let in again, as after an edit of the ignore file.
  mutating func spare(_ networks: SafeNetworks) {
    policy.safe = networks
    for block in blocks(where: { networks.reason(protecting: $0.network) != nil }) {
      if let what = networks.reason(protecting: block.network) { release([block], .nowSafe(what)) }
    }
  }

  /// Blocks in the order of `BlockTable.all`. Of a hundred thousand few are meant, so that only these are sorted.
  private func blocks(where isMeant: (Block) -> Bool) -> [Block] {
    table.unordered.filter(isMeant).sorted(by: BlockTable.isBefore)
  }

  /// 1.2's way to re-arm: a line deleted by hand from its blocked file. The host is released.
  mutating func unlist(_ present: Set<IPAddress>, _ transport: TransportProtocol) {
    for address in responded.keepOnly(present, of: transport) {
      if let block = table[IPNetwork(address)] { release([block], .byOperator) }
    }
  }

  // MARK: The trial

  /// Stops blocking when the time is up.
  mutating func endTrial() {
    guard trial?.endsNow(here.time) == true, let trial else { return }
    act(.gateChanged)
    let made = table.unordered.filter(trial.made)
    if !made.isEmpty { release(Array(made), .trialOver) }
    act(.trialOver(released: made.count))
  }

  mutating func confirmTrial() {
    guard let trial else { return act(.answer(.noTrial)) }
    self.trial = nil
    act(.gateChanged)
    // Those of the fleet have an end of their own, and wait for it (`FleetWatch.waiting`).
    lengthen(
      table.all.filter { $0.until == trial.end && $0.record.since >= trial.begin && $0.record.fleetBasis == nil }[...],
      done: 0)
  }

  /// Gives blocks of a trial their whole time, one after another.
  mutating func lengthen(_ blocks: ArraySlice<Block>, done: Int) {
    guard let block = blocks.first else { return act(.answer(.confirmed(done))) }
    let whole = policy.prolong(block, repeats: max(offenders.repeats(of: block.network, at: here.time) - 1, 0))
    attempt(.longer(whole, rest: blocks.dropFirst(), done: done))
  }

  mutating func keepLonger(_ block: Block) {
    table.insert(block)
    act(.prolonged(block))
  }

  // MARK: Before the first event

  package mutating func remember(_ offenders: Offenders) { self.offenders = offenders }

  /// Takes over what was in force before a stop, a crash or a reboot.
  ///
  /// - Returns: those of what is in force again that need a command for it, and what must not be any more: its time over, or become
  ///   forbidden, while no sentry ran.
  package mutating func restore(
    _ records: some Collection<Block.Record>, at now: Timestamp
  ) -> (byCommand: [Block], over: [Block.Record]) {
    table.reserve(records.count)
    responded.reserve(records.count)
    var byCommand: [Block] = []
    var over: [Block.Record] = []
    for record in records {
      guard let block = policy.restore(record, now: now) else {
        over.append(record)
        continue
      }
      table.insert(block)
      if record.isProven { aggregation.insert(block.network) }
      if block.network.isHost { recall(record) }
      if block.methods.contains(.command) { byCommand.append(block) }
    }
    return (byCommand, over)
  }

  /// Takes over a host that a predecessor has blocked.
  package mutating func takeOver(_ address: IPAddress, from file: String, at now: Timestamp) -> Block? {
    guard table.block(covering: address) == nil,
      let block = try? policy.order(
        IPNetwork(address), duration: policy.settings.duration, reason: "taken over from \(file)",
        inForce: table.budget, now: now)
    else { return nil }
    table.insert(block)
    recall(block.record)
    return block
  }

  private mutating func recall(_ record: Block.Record) {
    responded.restore(
      Responded.Entry(
        address: record.network.address, time: record.since, port: record.port, transport: record.transport),
      as: key(record.network.address, record.transport))
  }
}
