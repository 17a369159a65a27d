import Enforcement
import Platform
import Response
import Wire

extension Blocker: Enforcer {
  // MARK: Making

  mutating func attempt(_ attempt: Attempt, at now: Timestamp) -> Effect {
    let block = attempt.block
    do throws(ResponderError) {
      switch attempt {
      case .step(.hostsDeny, _): return denyHost(block.record)
      case .step(.killRoute, let job): return try killRoute(job, now)
      case .step(.runCommand, let job): return runCommand(job)
      case .step(.nftables, _):
        do throws(ResponderError) { try put(block, .sets, at: now) } catch {
          return .failed("nftables: \(error)")
        }
        return .took(nftables(block))
      case .step(.route, _):
        try put(block, .blackhole, at: now)
        return .took(.blackholeRoute(block.duration))
      case .prefix, .fleet: return try whole(block, now)
      case .longer:
        try put(block, ways(block), at: now)
        return .lasts
      }
    } catch {
      if case .step = attempt { return .failed("route: \(error)") }
      return .failed("\(error)")
    }
  }

  private func nftables(_ block: Block) -> BlockedBy {
    let set = "inet portsentry banned\(block.network.isV4 ? 4 : 6)\(block.network.isHost ? "" : "net")"
    return .nftables(set: set, block.duration)
  }

  private mutating func whole(_ block: Block, _ now: Timestamp) throws(ResponderError) -> Effect {
    let isInSets = block.methods.contains(.nftables)
    try put(block, ways(block), at: now)
    return .took(isInSets ? nftables(block) : .blackholeRoute(block.duration))
  }

  private func denyHost(_ record: Block.Record) -> Effect {
    guard let line = hostsDenyLine(record.network, port: record.port, mode: record.modeName) else {
      return .noTarget(in: "KILL_HOSTS_DENY")
    }
    do throws(ResponderError) {
      if try hostsDeny.contains(line) { return .alreadyInHostsDeny }
      try hostsDeny.add(line)
      return .took(.hostsDeny(line))
    } catch {
      return .hostsDenyFailed(path: hostsDeny.path, reason: "\(error)")
    }
  }

  private mutating func killRoute(_ job: Job, _ now: Timestamp) throws(ResponderError) -> Effect {
    guard let template = settings.killRoute else { return .noTarget(in: "KILL_ROUTE") }
    let command = command(template, job.block.record)
    if CommandTemplate.isClassicReject(template) {
      // The one line of 1.2's example that needs no program: the same route by netlink, for IPv6 too.
      try put(job.block, .unreachable, at: now)
      return .took(.command(command))
    }
    if !template.containsBytes("$TARGET$") { return .noTarget(in: "KILL_ROUTE") }
    if !job.block.network.isV4, let problem = CommandTemplate.ipv6Problem(template) {
      return .unfit(command: command, because: problem)
    }
    return submit(command, for: .job(job.probe.source)) ? .running : .failed(Self.tooMany)
  }

  private mutating func runCommand(_ job: Job) -> Effect {
    guard let template = settings.killRunCommand else { return .noTarget(in: "KILL_RUN_CMD") }
    return submit(command(template, job.block.record), for: .job(job.probe.source)) ? .running : .failed(Self.tooMany)
  }

  private static let tooMany = "too many commands wait already"

  private func command(_ template: String, _ record: Block.Record) -> String {
    CommandTemplate(template).command(target: record.network, port: record.port, mode: record.modeName)
  }

  private mutating func submit(_ command: String, for owner: Commands.Owner) -> Bool {
    commands.submit(command, for: owner, timeout: settings.commandTimeout, at: Clock.monotonic)
  }

  // MARK: Lifting

  mutating func lift(_ records: [Block.Record]) -> Lifted {
    var lifted = Lifted(problems: [])
    let inSets = records.filter { $0.methods.contains(.nftables) }.map(\.network)
    if !inSets.isEmpty {
      do throws(ResponderError) { try removeFromTable(inSets) } catch {
        lifted.setsFailed = ("\(error)", inSets.count)
      }
    }
    lifted.problems = records.map { record in
      record.methods.compactMap { $0 == .nftables ? nil : undo(record, $0) }
    }
    return lifted
  }

  /// Undoes one way of blocking; says what stands in the way.
  private mutating func undo(_ record: Block.Record, _ method: BlockMethod) -> String? {
    do throws(ResponderError) {
      switch method {
      case .nftables: return nil
      case .route: try removeRoute(record.network)
      case .hostsDeny:
        if let line = hostsDenyLine(record.network, port: record.port, mode: record.modeName) {
          try hostsDeny.remove(line)
        }
      case .command: return try undoCommand(record)
      }
      return nil
    } catch {
      return "\(error)"
    }
  }

  private mutating func undoCommand(_ record: Block.Record) throws(ResponderError) -> String? {
    if let template = settings.killRoute, settings.unkillRoute == nil, CommandTemplate.isClassicReject(template) {
      try removeRoute(record.network)
      return nil
    }
    guard
      let undo = settings.unkillRoute.map(CommandTemplate.init)
        ?? settings.killRoute.flatMap({ CommandTemplate($0).undo })
    else { return "it is not known how to undo KILL_ROUTE: set UNKILL_ROUTE, and undo this one by hand" }
    let command = undo.command(target: record.network, port: record.port, mode: record.modeName)
    return submit(command, for: .release(record.network)) ? nil : Self.tooMany
  }

  // MARK: After a reboot

  /// The kernel forgets routes and rules at a reboot; the administrator's command is the only way to make them again.
  ///
  /// - Returns: what stands in the way.
  mutating func runAgain(_ block: Block) -> String? {
    guard block.methods.contains(.command), let template = settings.killRoute,
      !CommandTemplate.isClassicReject(template)
    else { return nil }
    return submit(command(template, block.record), for: .restore(block.network)) ? nil : Self.tooMany
  }

  // MARK: What should be and what is

  /// Compares what should be in force with what the kernel and hosts.deny hold, and mends the difference.
  ///
  /// - Parameter isFirst: blocks of before come into force: what is missing is nobody's doing.
  /// - Returns: how many blocks somebody else had lifted or added.
  mutating func mend(_ table: BlockTable, isFirst: Bool, at now: Timestamp) throws(ResponderError) -> Int {
    let wantsTable =
      hasTable || table.unordered.contains { $0.methods.contains(.nftables) }
      || (settings.methods.contains(.nftables) && (settings.tcp == .block || settings.udp == .block))
    let isReject = settings.killRoute.map(CommandTemplate.isClassicReject) ?? false
    var bans: [EnforcerOrder.Ban] = []
    for block in table.unordered {
      let ways = ways(block, isReject: isReject)
      guard !ways.isEmpty else { continue }
      bans.append(
        EnforcerOrder.Ban(block.network, block.record.claim, ways, remaining: block.remaining(at: now)))
    }
    var mended = 0
    if wantsTable || !bans.isEmpty || hasRoutes { mended += try mend(bans, needsTable: wantsTable) }
    hasRoutes = bans.contains { $0.ways.route != nil }
    mended += try mendHostsDeny(table)
    return isFirst ? 0 : mended
  }

  /// In what ways of the kernel a block is in force.
  private func ways(_ block: Block, isReject: Bool = false) -> Permit.Ways {
    var ways: Permit.Ways = block.methods.contains(.nftables) ? .sets : []
    if block.methods.contains(.route) {
      ways.insert(.blackhole)
    } else if isReject, block.methods.contains(.command) {
      ways.insert(.unreachable)
    }
    return ways
  }

  private func mendHostsDeny(_ table: BlockTable) throws(ResponderError) -> Int {
    let lines = table.unordered.filter { $0.methods.contains(.hostsDeny) }.compactMap {
      hostsDenyLine($0.network, port: $0.record.port, mode: $0.record.modeName)
    }
    let missing = try hostsDeny.missing(of: lines)
    for line in missing { try hostsDeny.add(line) }
    return missing.count
  }
}

extension Block {
  /// How long it lasts in all; nil for ever.
  var duration: Duration? { until.map { $0 - record.since } }
}
