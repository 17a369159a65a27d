import Configuration
import Detection
import EventLog
import Journal
import Platform
import Response
import Wire

/// What should be in force and what is: at the start, and compared from then on.
extension Sentry {
  /// Brings back the blocks that were in force before a stop, a crash or a reboot.
  func restoreBlocks() {
    let now = Clock.now
    do throws(Errno) {
      if let directory = plan.keptDirectory { try Files.createFolder(directory, mode: 0o755) }
      decisions.remember(try ledger.offenders.load(now: now))
      let contents = try ledger.blocks.load()
      if contents.damagedLines > 0 {
        say("\(ledger.blocks.path): \(contents.damagedLines) lines could not be read and were left out", isError: true)
      }
      let isReboot = contents.bootID != BlockStore.bootID
      let (byCommand, over) = decisions.restore(contents.records.values, at: now)
      if isReboot { for block in byCommand { runAgain(block) } }
      // Over, or become forbidden, while no sentry ran: what does not end by itself is undone.
      if !over.isEmpty { decide(.over(over)) }
      if contents.bootID == nil, contents.records.isEmpty { takeOverPredecessor() }
      let count = decisions.table.count
      if contents.bootID == nil || isReboot || !over.isEmpty || contents.damagedLines > 0
        || contents.lines > 2 * count + 1000
      {
        try ledger.blocks.rewrite(decisions.table)
      }
      if count > 0 { say("\(count) blocks of before are in force again") }
    } catch {
      say("\(error): blocks will not survive a restart", isError: true)
    }
    blockedFiles.change()
    reconcile()
    blocker.watchTable()
    blocker.seal()
    comparison.hasStarted = true
  }

  private func runAgain(_ block: Block) {
    guard let problem = blocker.runAgain(block) else { return }
    say("Host \(block.network) could not be blocked again: \(problem)", isError: true)
  }

  /// The first start after a predecessor: its blocked hosts become blocks of ours.
  private func takeOverPredecessor() {
    guard let path = plan.configuration.blockedFile, plan.foreign.blockedFile == nil else { return }
    let layout = BlockedFiles.Layout(plan)
    var taken = 0
    for transport in TransportProtocol.allCases where plan.configuration.response.action(for: transport) == .block {
      guard let file = layout.paths[transport], let bytes = try? Files.read(file, limit: 256 << 20) else { continue }
      let (entries, problem) = BlockedFile.decode(bytes)
      if let problem { say("\(file): \(problem)", isError: true) }
      // Older than this boot: its routes and rules are gone.
      let isBeforeBoot = (Files.stamp(file)?.modified ?? 0) < Clock.now.nanoseconds - Clock.monotonic
      for entry in entries {
        guard let block = decisions.takeOver(entry.address, from: file, at: Clock.now) else { continue }
        if isBeforeBoot { runAgain(block) }
        taken += 1
      }
    }
    if taken > 0 { say("\(taken) blocked hosts were taken over from \(path)") }
  }

  /// Compares the block table with what the kernel and hosts.deny hold, and mends the difference.
  func reconcile() {
    deadlines.reconcileBegins(at: Clock.monotonic)
    if deception.state != .off, deception.state != .active { refreshTrap() }
    do throws(ResponderError) {
      let mended = try blocker.mend(decisions.table, isFirst: !comparison.hasStarted, at: Clock.now)
      if mended > 0 { say("\(mended) blocks had been lifted or added by somebody else and were put right") }
      if comparison.outage.ends() { say("blocks are in force again") }
    } catch {
      deadlines.reconcileFailed(at: Clock.monotonic)
      if comparison.outage.begins() {
        say("blocks cannot be compared with what is in force: \(error); tried again every five seconds", isError: true)
      }
    }
  }

  // MARK: The predecessors' blocked files

  func flushBlockedFiles() {
    let now = Clock.monotonic
    switch blockedFiles.due(at: now) {
    case .nothing: break
    case .later(let time): deadlines.wake(at: time)
    case .whole: writeBlockedFiles(at: now)
    case .hosts: appendBlockedFiles(at: now)
    }
  }

  private func writeBlockedFiles(at now: Int64) {
    let layout = BlockedFiles.Layout(plan)
    var hosts: [IPAddress] = []
    var responded = Array(decisions.responded.entries)
    if layout.dialect == .modern {
      hosts = decisions.table.unordered.filter(\.network.isHost).map(\.network.address)
      responded.removeAll { decisions.table[IPNetwork($0.address)] != nil }
    }
    for problem in blockedFiles.write(layout, hosts: hosts, responded: responded, at: now) {
      say(problem, isError: true)
    }
  }

  private func appendBlockedFiles(at now: Int64) {
    let layout = BlockedFiles.Layout(plan)
    for (path, entries) in blockedFiles.takeAdded(layout, at: now) where blockedFiles.canAppend(to: path) {
      // What somebody has done to the file meanwhile comes first.
      rereadBlockedFiles()
      if let problem = blockedFiles.append(entries, to: path, layout.dialect, at: now) { say(problem, isError: true) }
    }
  }

  /// 1.2's way to re-arm: a line deleted by hand from its blocked file. The host is released.
  func rereadBlockedFiles() {
    guard plan.foreign.blockedFile == nil else { return }
    for (present, transport) in blockedFiles.edited(BlockedFiles.Layout(plan)) { decide(.listed(present, transport)) }
  }
}
