import Detection
import Wire

/// What the fleet says of a source, once its signatures have been verified and its witnesses counted.
package enum FleetWord: Equatable, Sendable {
  case ban(IPNetwork, until: Timestamp, [Grounds.Witness])
  /// What it rests on does not hold any more: the fleet's ban ends, a block of this host's own stays.
  case end(IPNetwork)
  /// An operator of the fleet lets a network in: also what this host blocked by itself.
  case letIn(IPNetwork)
}

extension Decisions {
  mutating func take(_ word: FleetWord) {
    switch word {
    case .ban(let network, let until, let witnesses): fleetBans(network, until, witnesses)
    case .end(let network):
      if let block = table[network], block.record.isFleets { release([block], .byFleet) }
    case .letIn(let network):
      let blocks = table.unordered.filter { network.contains($0.network) }
      for block in blocks { suspects.forget(within: block.network) }
      if !blocks.isEmpty { release(Array(blocks), .byFleet) }
    }
  }

  /// Many bans at once, as a host that joins late gets them: taken into the table, to be put into force together.
  ///
  /// - Returns: those that are new.
  package mutating func adopt(_ words: [FleetWord], at now: Timestamp) -> [Block] {
    var blocks: [Block] = []
    for case .ban(let network, let until, let witnesses) in words {
      guard let block = try? fleetBlock(network, until, witnesses, at: now) else { continue }
      table.insert(block)
      blocks.append(block)
    }
    counters.blocks += UInt64(blocks.count)
    return blocks
  }

  /// - Returns: nil where there is nothing to do.
  private func fleetBlock(
    _ network: IPNetwork, _ until: Timestamp, _ witnesses: [Grounds.Witness], at now: Timestamp
  ) throws(ResponsePolicy.Refusal) -> Block? {
    guard until > now, jobs[network.address] == nil else { return nil }
    guard policy.settings.tcp == .block || policy.settings.udp == .block else { return nil }
    // What this host found by itself stays, and so does what the fleet has said before.
    if let block = table[network], !block.record.isFleets || block.until.map({ $0 >= until }) ?? true { return nil }
    if let trial, trial.isOver { throw .trialOver }
    var block = try policy.fleet(network, until: until, witnesses, inForce: table.budget, now: now)
    if let trial { block = block.limited(until: trial.end) }
    return block.methods.isEmpty ? nil : block
  }

  private mutating func fleetBans(_ network: IPNetwork, _ until: Timestamp, _ witnesses: [Grounds.Witness]) {
    let first = network.address
    do throws(ResponsePolicy.Refusal) {
      if network.isHost, isServed(first) || isAsked(first) { throw .safe("the peer of an established connection") }
      guard let block = try fleetBlock(network, until, witnesses, at: here.time) else { return }
      let probe = Probe(
        time: here.time, source: first, sourcePort: 0, target: .unspecified, targetPort: block.record.port,
        transport: .tcp, mode: .stealth, technique: .connect)
      let steps = block.methods.map { $0 == .nftables ? Attempt.Step.nftables : .route }
      go(on: Job(probe: probe, block: block, action: .block, isOrder: true, steps: steps))
    } catch {
      act(.fleetRefused(network, because: "\(error)"))
    }
  }
}
