import Detection
import Wire

extension Decisions {
  /// One thing that is to be done, in the order in which it was decided. Whoever carries actions out knows the kernel, the files and the
  /// words; whoever decides knows none of them.
  package enum Action: Sendable {
    // MARK: What is kept and said

    /// A probe is new: kept, and counted to its scan.
    case seen(Probe)
    /// 1.2's line about a probe.
    case alert(Probe)
    /// A probe of a source that is shut out.
    case alreadyBlocked(Probe)
    /// 1.2's line that BLOCK 0 lets it be.
    case responseIsOff(Probe)
    /// 2.x's event line, and what the history keeps.
    case event(Probe, ScanResult?)
    /// A responded host for the blocked files and 1.2's history.
    ///
    /// - Parameter isListed: false where there was no room in the list, or where only the history has it.
    case list(Responded.Entry, Probe, isListed: Bool)
    /// The connection to a decoy shows that strangers reach it.
    case met(Contact)
    case proven(IPAddress, Grounds.ProofOfOrigin)
    /// A verdict for the journal, and the same for the log once all that follows from it is done.
    indirect case keepVerdict(Verdict)
    indirect case sayVerdict(Verdict)
    /// A rule forbids the block.
    case refused(Probe, because: String)
    /// An honest user of a service, who may have been forged.
    case spared(IPAddress, because: String)
    /// Nothing has proven that it was this source.
    case unproven(IPAddress)
    case furtherUnproven(Int)
    /// A prefix is not blocked as a whole, although so many addresses in it are.
    case notWidened(IPNetwork, members: Int, because: ResponsePolicy.Refusal)
    /// A ban of the fleet is not in force here.
    case fleetRefused(IPNetwork, because: ResponsePolicy.Refusal)
    /// The response failed, wholly or in part.
    case couldNotBlock(Probe)

    // MARK: What is done

    /// To be tried at once. Always the last of a list; what comes of it is the next event.
    indirect case attempt(Attempt)
    /// What came of an attempt, for the log.
    indirect case effect(Effect, of: Attempt)
    /// What came of a command that one step of a job waited for.
    indirect case commandEnded(command: String, CommandRunner.Outcome, Job)
    /// From the trigger packet to the block in force, in nanoseconds.
    case latency(Int64)
    /// A block is in force and to be kept.
    indirect case inForce(Block, repeats: Int)
    /// Repeat offenders have one more: its line.
    case offender(String)
    /// The block of before is kept with another end.
    indirect case prolonged(Block)
    /// Blocks are over: they are lifted in every way they are in force.
    case release([Block.Record], ReleaseReason)
    /// The blocked files must be written anew.
    case blockedFilesChanged

    // MARK: Gate and trial

    /// A source may prove itself any moment: the gate is to close behind it.
    case awaitProof(IPAddress)
    /// The block of a source is in force, or none is to come.
    case openGate(IPAddress)
    /// Whether the gate catches everybody may have changed.
    case gateChanged
    case trialOver(released: Int)

    /// What an operator is told.
    case answer(Answer)
  }
}

extension Decisions {
  /// What an operator is told of an order.
  package enum Answer: Equatable, Sendable {
    case refused(ResponsePolicy.Refusal)
    /// A command decides, and has not ended.
    case running
    /// Why none of the ways took effect.
    case failed([String])
    case blocked(Block)
    /// Of an address or network that is let in: what became of it, and the prefixes that were opened for it.
    case letIn(LetIn, opened: [IPNetwork])
    case allLetIn(Int)
    case noTrial
    case confirmed(Int)

    package enum LetIn: Equatable, Sendable {
      /// Its own block has ended, or that of a prefix around it.
      case released
      /// It was on a blocked file only.
      case unlisted
      /// It is blocked as part of this network.
      case partOf(IPNetwork)
      case unknown
    }
  }
}

extension Decisions {
  /// What happens, as far as somebody may be shut out or let in for it.
  package enum Event {
    case probe(Probe)
    case contact(Contact)
    case verdict(Verdict)
    /// Addresses that ended a conversation with a service of this host properly.
    case customers([IPAddress])
    /// Somebody asked for a port beside a service of this host, and that service answers him.
    case setup(IPAddress, ServiceFamilies)
    /// What came of the attempt asked for.
    case attempted(Effect)
    /// A command has ended that a source's job waited for.
    case commandEnded(IPAddress, command: String, CommandRunner.Outcome)
    /// Once a second or so: the trial, and what is to be said of whom nothing proves.
    case tick
    /// The same; blocks whose time is over.
    case expiry
    /// An operator blocks.
    case order(IPNetwork, duration: Duration?, reason: String)
    /// An operator lets in.
    case letIn(IPNetwork)
    case letAllIn
    case confirmTrial
    /// An operator allows a network: what was known of it is forgotten.
    case allowed(IPNetwork)
    /// Nothing is done to these from now on.
    case ignored(IPNetworkSet)
    /// What must stay reachable is known anew.
    case safe(SafeNetworks)
    /// Other settings.
    case settings(Decisions.Settings, ResponsePolicy.Settings)
    /// Prefixes wider than the settings allow are opened.
    case narrowed
    /// Records of blocks that must not be in force any more.
    case over([Block.Record])
    /// Somebody has edited a blocked file of 1.2: these are still on it.
    case listed(Set<IPAddress>, TransportProtocol)
    /// What the fleet says of somebody.
    case fleet(FleetWord)
  }
}

/// What became of a triggered probe.
package enum ScanResult: Sendable, Equatable {
  /// `BLOCK_TCP` or `BLOCK_UDP` is 0.
  case logged
  /// It came from our own address, which is never acted on without `-L`.
  case ownAddress
  /// Responded to, or blocked already.
  case blocked
  /// The response failed, or was refused.
  case failed
  /// Not blocked so far: what it did makes no scan yet, or nothing proves that it was this address.
  case waiting
}
