import Detection
import Wire

/// What other hosts have seen. Their bans pass the same permit as all; this host's safe list, ignore file and BLOCK_TCP="0" hold
/// against all of them.
extension Decisions {
  mutating func hear(_ news: FleetWord) {
    switch news {
    case .ban(let network, let until, let cause): fleetBan(network, FleetWatch.Waiting(until: until, cause: cause))
    case .watch(let address, let weight, let until, let witnesses):
      fleet.watch(
        address,
        weight <= 0
          ? nil
          : FleetWatch.Entry(weight: min(weight, FleetCause.mostHearsay), until: until, witnesses: witnesses))
      followHearsay(of: address)
    case .lift(let network, let isOrder, let reason):
      if !isOrder, network.isHost {
        fleet.watch(network.address, nil)
        fleet.forgetSeen(network.address)
      }
      if let waiting = fleet.waiting[network], waiting.cause.blockBasis == (isOrder ? .order : .quorum) {
        _ = fleet.stopWaiting(network)
      }
      guard let block = table[network], block.record.fleetBasis == (isOrder ? .order : .quorum) else { return }
      release([block], .fleet(reason))
    case .unban(let network, let number):
      let blocks = table.unordered.filter { network.contains($0.network) && !$0.record.isByHand }
        .sorted { $0.network < $1.network }
      fleet.forget(within: network)
      setups.forget(within: network)
      suspects.forget(within: network)
      if !blocks.isEmpty { release(blocks, .fleet("unbanned by the fleet's operator \(number)")) }
    case .crowdSecWatch(let network, let until, let time):
      fleet.decide(network, until: until, at: time)
      if until != nil, network.isHost { followHearsay(of: network.address) }
    case .crowdSecLift(let network):
      if fleet.waiting[network]?.cause.blockBasis == .crowdSec { _ = fleet.stopWaiting(network) }
      guard let block = table[network], block.record.fleetBasis == .crowdSec else { return }
      release([block], .fleet("CrowdSec bans it no more"))
    }
  }

  /// Networks that are blocked because CrowdSec bans them.
  package var crowdSecBans: [IPNetwork] {
    table.unordered.filter { $0.record.fleetBasis == .crowdSec }.map(\.network).sorted()
  }

  /// Whether a network is blocked because CrowdSec bans it.
  package func followsCrowdSec(_ network: IPNetwork) -> Bool { table[network]?.record.fleetBasis == .crowdSec }

  /// Many bans at once, as a host that joins late gets them: taken into the table, to be put into force together.
  ///
  /// - Returns: those that are new. The others wait, or are refused and counted.
  package mutating func adopt(_ words: [FleetWord], _ circumstances: Circumstances) -> [Block] {
    here = circumstances
    var blocks: [Block] = []
    // Asked once for all.
    let conversations = here.conversations
    here = Circumstances(at: circumstances.time, monotonic: circumstances.monotonic) { conversations }
    for case .ban(let network, let until, let cause) in words {
      let ban = FleetWatch.Waiting(until: until, cause: cause)
      guard isWanted(network, ban) else { continue }
      do throws(ResponsePolicy.Refusal) {
        let block = try fleetPermit(network, ban)
        let isNew = table[network] == nil
        table.insert(block)
        if isNew { counters.blocks += 1 }
        blocks.append(block)
      } catch {
        counters.refused += 1
        if case .safe = error { fleet.wait(network, ban) }
      }
    }
    return blocks
  }

  private mutating func fleetBan(_ network: IPNetwork, _ ban: FleetWatch.Waiting) {
    guard isWanted(network, ban) else { return }
    do throws(ResponsePolicy.Refusal) { attempt(.fleet(try fleetPermit(network, ban))) } catch {
      refuse(network, ban, error)
    }
  }

  /// Whether a ban is to be in force that is not; one that can be later waits.
  private mutating func isWanted(_ network: IPNetwork, _ ban: FleetWatch.Waiting) -> Bool {
    if ban.until <= here.time { return false }
    _ = fleet.stopWaiting(network)
    // The site bans nobody. What the fleet says then is for the ledger to show.
    guard policy.settings.tcp == .block else {
      fleet.note(network, ban)
      return false
    }
    // After the trial it gets its whole time.
    if let trial, !trial.isOver, ban.until > trial.end { fleet.wait(network, ban) }
    if let block = table[network], stands(block, against: ban) {
      if (block.until ?? ban.until) < ban.until { fleet.wait(network, ban) }
      if block.record.fleetBasis == nil { fleet.note(network, ban) }
      return false
    }
    guard network.isHost, jobs[network.address] != nil else { return true }
    fleet.wait(network, ban)
    return false
  }

  /// Whether the block there is stays as it is: one of this host's own; of two of the fleet for different reasons the longer one.
  private func stands(_ block: Block, against ban: FleetWatch.Waiting) -> Bool {
    guard let basis = block.record.fleetBasis else { return true }
    let end = min(min(ban.until, here.time + policy.settings.longest), trial?.end ?? ban.until)
    if basis == ban.cause.blockBasis { return block.until == end }
    return (block.until ?? .distantPast) >= end
  }

  private func fleetPermit(_ network: IPNetwork, _ ban: FleetWatch.Waiting) throws(ResponsePolicy.Refusal) -> Block {
    if let trial, trial.isOver { throw .trialOver }
    let held = table[network]?.record.fleetBasis != nil
    let block = try policy.fleet(
      network, until: ban.until, Grounds(.fleet(ban.cause), nil), inForce: held ? nil : table.budget, now: here.time)
    if network.isHost {
      // A handshake elsewhere is no reason to cut who works here; whoever was a suspect here before is.
      if suspects.entry(for: network.address)?.wasServed ?? true, isServed(network.address) {
        throw .safe("the peer of an established connection")
      }
      if isAsked(network.address) { throw .safe("the peer of a connection that this host opened") }
    } else if let user = here.conversations.served.union(here.conversations.asked).filter({ network.contains($0) })
      .min()
    {
      throw .hasUser(user)
    }
    return trial.map { block.limited(until: $0.end) } ?? block
  }

  private mutating func refuse(_ network: IPNetwork, _ ban: FleetWatch.Waiting, _ refusal: ResponsePolicy.Refusal) {
    counters.refused += 1
    switch refusal {
    case .safe, .hasUser: fleet.wait(network, ban)
    case .ignored, .tableFull, .tooFast, .trialOver: fleet.note(network, ban)
    }
    let isLimit =
      switch refusal {
      case .tableFull, .tooFast, .trialOver: true
      case .safe, .ignored, .hasUser: false
      }
    // Once a minute for a source, and once a minute for all when a limit is the reason.
    if isNews(of: isLimit ? IPAddress(v4: 1) : network.address) { act(.fleetRefused(network, because: refusal)) }
  }

  /// Once a minute: what waited is tried again, one after another.
  mutating func retryFleet() {
    for network in fleet.due(at: here.time, monotonic: here.monotonic).reversed() { afterwards(.retryFleet(network)) }
  }

  mutating func retryFleet(_ network: IPNetwork) {
    if let ban = fleet.waiting[network] { fleetBan(network, ban) }
  }

  /// What hosts of the fleet saw of an address, as far as it is known here; nil for nothing.
  package func fleetSight(of address: IPAddress, at now: Timestamp) -> FleetSight? {
    if let cause = table.block(covering: address)?.record.fleetCause {
      return FleetSight(cause.isOrder ? .ordered : .banned, cause.witnesses)
    }
    if let ban = fleet.waiting[IPNetwork(address)], ban.until > now {
      return FleetSight(ban.cause.isOrder ? .ordered : .spared, ban.cause.witnesses)
    }
    if let ban = fleet.seen[address], ban.until > now { return FleetSight(.spared, ban.cause.witnesses) }
    return fleet.entry(for: address, at: now).map { FleetSight(.watched, $0.witnesses) }
  }

  /// How many blocks rest on what others saw, by what exactly.
  package var fleetOrigins: [(name: String, count: UInt64)] {
    var counts = (quorum: UInt64(0), order: UInt64(0), crowdSec: UInt64(0), hearsay: UInt64(0))
    for block in table.unordered {
      switch block.record.fleetBasis {
      case .quorum: counts.quorum += 1
      case .order: counts.order += 1
      case .crowdSec: counts.crowdSec += 1
      case nil: if block.record.evidence.startsWithBytes("fleet ") { counts.hearsay += 1 }
      }
    }
    return [
      ("quorum", counts.quorum), ("hearsay", counts.hearsay), ("order", counts.order), ("crowdsec", counts.crowdSec),
    ]
  }

  // MARK: Hearsay

  /// What others say of a source and what it did here, together: a ban, where that is enough. Hearsay alone never is.
  func joined(_ outcome: Suspects.Outcome, _ source: IPAddress) -> Suspects.Outcome {
    guard case .noVerdict = outcome, let entry = fleet.entry(for: source, at: here.time),
      let suspect = suspects.entry(for: source), let origin = suspect.origin, !suspect.contacts.isEmpty,
      here.time - origin.time <= Suspects.window
    else { return outcome }
    let cause = FleetCause(
      .hearsay(weight: entry.weight, ownPorts: suspect.contacts, threshold: settings.verdictThreshold),
      entry.witnesses)
    guard cause.holds else { return outcome }
    // One mistyped port of a customer, and a liar elsewhere.
    if suspect.contacts.count < Suspects.contactsOfUser, isServed(source) { return .spared }
    return .ban(source, Grounds(.fleet(cause), origin))
  }

  /// Somebody who connected here before others told of him.
  private mutating func followHearsay(of source: IPAddress) {
    guard policy.settings.tcp == .block, table.block(covering: source) == nil, jobs[source] == nil,
      !policy.ignored.contains(source), case .ban(_, let grounds) = joined(.noVerdict, source),
      let origin = grounds.origin
    else { return }
    let probe = Probe(
      time: here.time, source: source, sourcePort: 0, target: .unspecified, targetPort: origin.port, transport: .tcp,
      mode: settings.tcpMode ?? .stealth, technique: .syn)
    respond(probe, .block, grounds)
  }
}

extension FleetCause {
  var isOrder: Bool { blockBasis == .order }

  /// What a ban of the fleet's with this cause rests on.
  var blockBasis: Block.Record.FleetBasis {
    switch basis {
    case .order: .order
    case .crowdSec: .crowdSec
    case .quorum, .hearsay: .quorum
    }
  }
}
