import Detection
import EventLog
import Journal
import Platform
import Response
import Wire

/// Carries out what was decided.
extension Sentry {
  /// Has an event decided, and does what comes of it, in its order. An attempt's effect decides how it goes on.
  ///
  /// - Returns: what an operator is to be told.
  @discardableResult
  func decide(_ event: Decisions.Event) -> Decisions.Answer? {
    var answer: Decisions.Answer?
    var next: Decisions.Event? = event
    while let event = next {
      next = nil
      let actions = decisions.handle(event, circumstances)
      let effect = effectAhead(of: actions)
      for action in actions {
        switch action {
        case .attempt(let attempt): next = .attempted(effect ?? blocker.attempt(attempt, at: time.now))
        case .answer(let text): answer = text
        default: perform(action)
        }
      }
    }
    return answer
  }

  /// An attempt is the last of its list. Where the enforcer alone makes it, and nothing before it is the kernel's to do, it comes first:
  /// what is written down is written once the source is shut out.
  private func effectAhead(of actions: [Decisions.Action]) -> Effect? {
    guard case .attempt(let attempt) = actions.last, case .step(.nftables, _) = attempt else { return nil }
    for case .release in actions { return nil }
    return blocker.attempt(attempt, at: time.now)
  }

  var circumstances: Circumstances {
    Circumstances(at: time.now, monotonic: time.monotonic, conversations: surroundings.conversations)
  }

  private func perform(_ action: Decisions.Action) {
    switch action {
    case .seen(let probe):
      noteTouch(probe)
      keep(.probe(probe))
      tellFleet(probe)
      scribe.count(probe)
    case .alert(let probe): scribe.alert(probe)
    case .alreadyBlocked(let probe): scribe.alreadyBlocked(probe)
    case .responseIsOff(let probe): scribe.say(.ignoringResponse(probe.transport), after: probe)
    case .event(let probe, let result): scribe.sayEvent(probe, result)
    case .list(let entry, let probe, let isListed):
      if isListed { blockedFiles.add(entry) }
      scribe.list(entry, probe)
    case .met(let contact): visibility.sight.touch(from: contact.source, isAnswered: true)
    case .proven(let source, let origin):
      keep(.proven(source, origin.proof, port: origin.port, at: origin.time))
      tellFleet(source, origin)
    case .keepVerdict(let verdict):
      keep(.verdict(verdict))
      tellCrowdSec(verdict)
    case .sayVerdict(let verdict): scribe.say(verdict)
    case .commandEnded(let command, let outcome, let job): say(command, outcome, job)
    case .latency(let nanoseconds): intake.note(latency: nanoseconds)
    case .effect(let effect, let attempt): say(effect, of: attempt)
    case .inForce(let block, let repeats):
      ledger.blocks.add(block)
      keep(.blocked(block.record, repeats: repeats))
      deception.link.drop(block.network)
      tellFleet(block)
      tellCrowdSec(block)
    case .offender(let line): ledger.offenders.add(line)
    case .prolonged(let block):
      ledger.blocks.add(block)
      tellCrowdSec(block)
    case .release(let records, let reason): lift(records, reason)
    case .blockedFilesChanged: blockedFiles.change()
    case .awaitProof(let source): try? deception.gate?.value.want(source)
    case .openGate(let source): openGate(source)
    case .gateChanged: refreshGate()
    case .fleetRefused(let network, let reason): fleetRefused(network, reason)
    case .refused, .spared, .unproven, .furtherUnproven, .notWidened, .couldNotBlock, .trialOver: sayWhyNot(action)
    case .attempt, .answer: break
    }
  }

  /// Lifts blocks whose end was decided.
  private func lift(_ records: [Block.Record], _ reason: ReleaseReason) {
    retractFromFleet(records, reason)
    tellCrowdSec(released: records, reason)
    let lifted = blocker.lift(records)
    if let (reason, count) = lifted.setsFailed {
      say("nftables: \(reason); \(count) hosts may stay blocked until their time is over", isError: true)
      deadlines.reconcileSoon()
    }
    for (record, problems) in zip(records, lifted.problems) {
      ledger.blocks.remove(record.network)
      keep(.released(record.network, because: reason.text, at: Clock.now))
      if problems.isEmpty {
        say(.released(record.network, reason, in: dialect))
      } else {
        say(.couldNotRelease(record.network, because: problems.joined(separator: "; "), in: dialect))
      }
    }
    blockedFiles.change()
  }

  /// Takes the results of commands that have ended, and goes on with what waited for them.
  func advanceCommands() {
    for (owner, result) in blocker.commands.advance(at: Clock.monotonic) {
      switch owner {
      case .job(let source): decide(.commandEnded(source, command: result.command, result.outcome))
      case .release(let network):
        if result.outcome != .succeeded {
          say(.couldNotRelease(network, because: "`\(result.command)` \(result.outcome)", in: dialect))
        }
      case .restore(let network):
        if result.outcome != .succeeded {
          say("Host \(network) could not be blocked again: `\(result.command)` \(result.outcome)", isError: true)
        }
      }
    }
  }

  // MARK: Words

  private func say(_ effect: Effect, of attempt: Attempt) {
    switch attempt {
    case .step(_, let job): say(effect, of: job)
    case .prefix(let block, _):
      switch effect {
      case .took(let means): say(.blocked(block.network, by: means, in: dialect))
      case .failed(let why):
        say("\(block.network) could not be blocked as a whole: \(why); its members are", isError: true)
      default: break
      }
    case .fleet(let block):
      switch effect {
      case .took(let means): for line in linesOfBlock(block, by: means) { say(line) }
      case .failed(let why): say("\(block.network), which the fleet bans, could not be blocked: \(why)", isError: true)
      default: break
      }
    case .longer(let block, _, _):
      guard case .failed(let why) = effect else { return }
      say("\(block.network) stays blocked only until the trial would have ended: \(why)", isError: true)
    }
  }

  /// That a block is in force, and of one that rests on the fleet why: no verdict of this host's went before it.
  private func linesOfBlock(_ block: Block, by means: BlockedBy) -> [LogLine] {
    let reason = block.record.fleetCause?.summary
    var lines: [LogLine] = [.blocked(block.network, by: means, because: reason, in: dialect)]
    if dialect != .native, let reason { lines.append(.bannedByFleet(block.network, because: reason, in: dialect)) }
    return lines
  }

  private func say(_ effect: Effect, of job: Job) {
    let network = job.block.network
    switch effect {
    case .took(let means): for line in linesOfBlock(job.block, by: means) { scribe.say(line, after: job.probe) }
    case .alreadyInHostsDeny: scribe.say(.alreadyInHostsDeny(network.address, in: dialect), after: job.probe)
    case .noTarget(let key): scribe.say(.noTarget(in: key, dialect), after: job.probe)
    case .hostsDenyFailed(let path, let reason):
      scribe.say(.hostsDenyFailed(path, reason: reason, in: dialect), after: job.probe)
    case .unfit(let command, let problem):
      scribe.say(.commandFailed(command, runCommand: false, reason: problem, in: dialect), after: job.probe)
    case .failed(let reason): say(reason, isError: true)
    case .running, .lasts: break
    }
  }

  private func say(_ command: String, _ outcome: CommandRunner.Outcome, _ job: Job) {
    let isRunCommand = job.steps.first == .runCommand
    if outcome != .succeeded {
      scribe.say(
        .commandFailed(command, runCommand: isRunCommand, reason: "\(outcome)", in: dialect), after: job.probe)
    } else if isRunCommand {
      scribe.say(.commandRun(job.probe.source, command: command, in: dialect), after: job.probe)
    } else {
      scribe.say(.blocked(job.block.network, by: .command(command), in: dialect), after: job.probe)
    }
  }

  /// Who is not blocked, or not any more, and why.
  private func sayWhyNot(_ action: Decisions.Action) {
    switch action {
    case .refused(let probe, let reason):
      keep(.refused(probe.source, because: reason, at: Clock.now))
      scribe.say(.refused(probe.source, because: reason, in: dialect), after: probe)
    case .spared(let source, let reason): say(.refused(source, because: reason, in: dialect))
    case .unproven(let source): scribe.sayUnproven(source, isLiedTo: deception.state == .active)
    case .furtherUnproven(let count):
      say("\(count) further sources scanned and are not blocked, because nothing proves that it was they")
    case .notWidened(let prefix, let members, let refusal):
      say("\(prefix) is not blocked as a whole, but \(members) addresses in it are: \(refusal)")
    case .couldNotBlock(let probe):
      let dialect = dialect
      scribe.say(probe) { .couldNotBlock(probe, name: $0, in: dialect) }
    case .trialOver(let count):
      say(
        "TRIAL OVER: nobody confirmed it. \(count) blocks were lifted, and nothing is blocked any more; what is seen is still logged. To block again, start anew, or say: portsentry confirm",
        isError: true)
    default: break
    }
  }
}
