import Detection
import Wire

/// What was done, and who it was: probes, connections to decoys, verdicts.
extension Decisions {
  // MARK: Probes

  /// Takes one probe through the order of the predecessors: ignored, trigger, own address, setting, already blocked,
  /// response.
  mutating func handle(_ seen: Probe) {
    if announcements.isAnnounced(seen, at: here.monotonic) { return }
    var probe = seen
    counters.probes += 1
    probe.isIgnored = policy.ignored.contains(probe.source)
    act(.seen(probe))
    // What no mode watches is for the journal alone.
    guard probe.isWatched else { return }
    if probe.isIgnored {
      probe.isTriggered = false
      counters.ignored += 1
      act(.event(probe, nil))
      return
    }
    if probe.technique == .connect, probe.transport == .tcp,
      !probe.isGuessable
        || cookies.proves(probe.source, from: probe.sourcePort, to: probe.targetPort, at: probe.time)
    {
      _ = prove(probe.source, Grounds.ProofOfOrigin(.listener, port: probe.targetPort, at: probe.time))
    }
    guard probe.isTriggered else {
      counters.untriggered += 1
      act(.event(probe, nil))
      return
    }
    counters.alerts += 1
    if jobs[probe.source] != nil {
      hold(probe)
    } else if probe.isOwnAddress, !settings.actsOnOwnAddress, settings.dialect != .classic {
      act(.event(probe, .ownAddress))
    } else {
      answer(probe)
    }
  }

  /// A response is under way: what comes of it decides about this one too. Beyond `mostHeld` the line is written at once.
  private mutating func hold(_ probe: Probe) {
    if jobs[probe.source]!.held.count < Job.mostHeld {
      jobs[probe.source]!.held.append(probe)
    } else {
      act(.alert(probe))
      act(.event(probe, .failed))
    }
  }

  private mutating func answer(_ probe: Probe) {
    let action = policy.settings.action(for: probe.transport)
    if action == .logOnly {
      respondByLog(probe)
    } else if isDone(probe) {
      act(.alert(probe))
      act(.alreadyBlocked(probe))
      act(.event(probe, .blocked))
    } else {
      act(.alert(probe))
      weigh(probe, action)
    }
  }

  /// BLOCK 0. 1.2 writes the host down as if it were blocked, and readers (fail2ban) live on that line.
  private mutating func respondByLog(_ probe: Probe) {
    if settings.dialect == .classic {
      act(.alert(probe))
      if responded.contains(key(probe)) {
        act(.alreadyBlocked(probe))
      } else {
        act(.responseIsOff(probe))
        list(probe)
      }
    } else if settings.listsUnblocked, !noted.contains(key(probe)) {
      let entry = entry(probe)
      _ = noted.insert(entry, as: key(probe))
      act(.list(entry, probe, isListed: false))
    }
    act(.event(probe, .logged))
  }

  func key(_ probe: Probe) -> Responded.Key { key(probe.source, probe.transport) }

  func key(_ address: IPAddress, _ transport: TransportProtocol) -> Responded.Key {
    Responded.Key(address: address, transport: settings.dialect == .classic ? transport : nil)
  }

  private func isDone(_ probe: Probe) -> Bool {
    table.block(covering: probe.source) != nil || responded.contains(key(probe))
  }

  /// Takes a responded host into the blocked files and 1.2's history.
  mutating func list(_ probe: Probe) {
    let entry = entry(probe)
    act(.list(entry, probe, isListed: responded.insert(entry, as: key(probe))))
  }

  private func entry(_ probe: Probe) -> Responded.Entry {
    Responded.Entry(address: probe.source, time: here.time, port: probe.targetPort, transport: probe.transport)
  }

  // MARK: Evidence

  /// A triggered probe where sources are blocked: joins it with what is known of its source.
  private mutating func weigh(_ probe: Probe, _ action: BlockAction) {
    // BLOCK 2 shuts nobody out.
    guard action == .block else {
      respond(probe, action, Grounds(accusation(probe), nil))
      return
    }
    announcements.tell(probe)
    // A decoy told first, and the gate is closed.
    if setups.isUntold(probe.source) { afterwards(.openGate(probe.source)) }
    let outcome =
      policy.settings.rule == .classic && !isSetup(probe, isTold: true)
      ? suspect(probe)
      : suspects.outcome(
        for: probe.source, at: probe.time, demanding: policy.settings.proof, isUser: isServed(probe.source))
    follow(joined(outcome, probe.source), probe, action)
  }

  /// A touch is the verdict by the classic rule.
  private mutating func suspect(_ probe: Probe) -> Suspects.Outcome {
    suspects.accuse(
      IPNetwork(probe.source), accusation(probe), isServed: isServed(probe.source), at: probe.time,
      demanding: policy.settings.proof)
  }

  /// Whether a touch need not count by itself, since a program of an honest user's makes such. Only where a block wants proof: with
  /// `PROOF="none"` the classic rule is that of the predecessors to the letter.
  private mutating func isSetup(_ probe: Probe, isTold: Bool) -> Bool {
    policy.settings.proof == .handshake && setups.take(probe, isTold: isTold, at: here.monotonic) != .counts
  }

  /// No service beside which it asked has answered its source: its touch counts after all.
  mutating func count(_ request: Setups.Request) {
    let probe = request.probe
    let source = probe.source
    if !request.isTold { afterwards(.openGate(source)) }
    guard policy.settings.rule == .classic, policy.settings.action(for: .tcp) == .block, !isDone(probe),
      jobs[source] == nil, !policy.ignored.contains(source)
    else { return }
    let outcome = suspect(probe)
    switch outcome {
    case .ban:
      if !request.isTold { announce(probe) }
      follow(outcome, probe, .block)
    case .unproven: waitForProof(source)
    case .spared: saySpared(source)
    case .noVerdict: break
    }
  }

  private func accusation(_ probe: Probe) -> Grounds.Accusation {
    .touch(probe.technique, probe.transport, port: probe.targetPort, trigger: max(settings.scanTrigger, 1))
  }

  /// Takes what became clear about a source.
  mutating func handle(_ verdict: Verdict) {
    if verdict.source.isHost, policy.ignored.contains(verdict.source.address) { return }
    act(.keepVerdict(verdict))
    afterwards(.sayVerdict(verdict))
    weigh(verdict)
  }

  /// A verdict of the native rule: joins it with what is known of its source. Under the classic rule it decides nothing.
  ///
  /// `verdict.origin` is no proof here: the detector takes a handshake with any port for one, services included, and every
  /// customer of a service completes those. Somebody who forges a scan in his name would have him blocked.
  private mutating func weigh(_ verdict: Verdict) {
    guard verdict.verdictClass == .scan, policy.settings.rule == .native else { return }
    let source = verdict.source.address
    let accusation = Grounds.Accusation(verdict)
    let action = policy.settings.action(for: accusation.transport)
    let outcome = suspects.accuse(
      verdict.source, accusation, isServed: action == .block && isServed(source), at: verdict.last,
      demanding: policy.settings.proof)
    guard action == .block else { return }
    let probe = Probe(
      time: verdict.last, source: source, sourcePort: 0, target: .unspecified, targetPort: verdict.port,
      transport: verdict.transport, mode: settings.mode(verdict.transport) ?? .stealth,
      technique: verdict.evidence.last?.technique ?? .syn)
    switch outcome {
    case .ban where !verdict.source.isHost:
      // One after another: whoever is blocked with his prefix needs no block of his own.
      for member in suspects.provenMembers(of: verdict.source, near: verdict.last).reversed() {
        afterwards(.follow(member, probe, at: verdict.last))
      }
    case .ban: follow(outcome, probe, action)
    // The probes behind it have been written down.
    // Of many sources that act as one each would have to prove itself: there is nobody to wait for, and to name.
    case .unproven where verdict.kind == .distributed: break
    case .unproven: waitForProof(source)
    case .spared: saySpared(source)
    case .noVerdict: break
    }
  }

  /// One of a prefix about which there is a verdict.
  mutating func follow(_ member: IPAddress, _ probe: Probe, at time: Timestamp) {
    follow(
      suspects.outcome(for: member, at: time, demanding: policy.settings.proof, isUser: isServed(member)), probe, .block
    )
  }

  /// A connection to a decoy.
  mutating func meet(_ contact: Contact) {
    counters.contacts += 1
    let source = contact.source
    afterwards(.openGate(source))
    if policy.ignored.contains(source) { return }
    act(.met(contact))
    if contact.isGuessable,
      !cookies.proves(source, from: contact.sourcePort, to: contact.port, at: contact.time)
    {
      return
    }
    var outcome = prove(source, Grounds.ProofOfOrigin(.decoy, port: contact.port, at: contact.time))
    outcome = joined(outcome, source)
    let probe = Probe(
      time: contact.time, source: source, sourcePort: contact.sourcePort, target: contact.target,
      targetPort: contact.port, transport: .tcp, mode: settings.tcpMode ?? .stealth, technique: .syn)
    guard blocksAnybody, !isDone(probe), jobs[source] == nil else { return }
    // A touch of a watched port that the sensor has not told of yet: it will, and find everything said.
    if policy.settings.tcp == .block, settings.tcpMode != .connect, settings.watched.contains(contact.port),
      !announcements.wasTold(probe)
    {
      // Under the classic rule it is the verdict too, where the first one counts.
      if case .noVerdict = outcome, policy.settings.rule == .classic, settings.scanTrigger <= 1,
        !isSetup(probe, isTold: false)
      {
        outcome = suspect(probe)
      }
      if case .ban = outcome { announce(probe) }
    }
    switch outcome {
    case .ban: follow(outcome, probe, .block)
    case .spared: saySpared(source)
    case .unproven, .noVerdict: break
    }
  }

  private var blocksAnybody: Bool { policy.settings.tcp == .block || policy.settings.udp == .block }

  private mutating func announce(_ probe: Probe) {
    counters.probes += 1
    counters.alerts += 1
    act(.seen(probe))
    act(.alert(probe))
    announcements.announce(probe, at: here.monotonic)
  }

  /// Notes that a source is where it says.
  private mutating func prove(_ source: IPAddress, _ origin: Grounds.ProofOfOrigin) -> Suspects.Outcome {
    let (isNews, outcome) = suspects.prove(
      source, origin, isServed: blocksAnybody && isServed(source), demanding: policy.settings.proof)
    if isNews {
      counters.proven += 1
      act(.proven(source, origin))
    }
    return outcome
  }

  private mutating func follow(_ outcome: Suspects.Outcome, _ probe: Probe, _ action: BlockAction) {
    switch outcome {
    case .ban(let address, let grounds):
      var probe = probe
      probe.source = address
      // A proof by TCP does not turn a scan of UDP into one of TCP.
      guard policy.settings.action(for: grounds.accusation.transport) == .block, table.block(covering: address) == nil,
        jobs[address] == nil
      else { return act(.event(probe, .waiting)) }
      respond(probe, action, grounds)
    case .unproven:
      waitForProof(probe.source)
      act(.event(probe, .waiting))
    case .spared:
      saySpared(probe.source)
      act(.event(probe, .waiting))
    case .noVerdict:
      act(.event(probe, .waiting))
    }
  }

  // MARK: Who is not blocked

  /// Only the proof is missing.
  private mutating func waitForProof(_ source: IPAddress) {
    if unproven.contains(source) || table.block(covering: source) != nil { return }
    if refusals.holds(source, at: here.monotonic) { return }
    unproven.wait(for: source, at: here.monotonic)
    act(.awaitProof(source))
  }

  /// Once a minute for each source.
  private mutating func saySpared(_ source: IPAddress) {
    guard isNews(of: source) else { return }
    let reason =
      "it works with a service here and connected to fewer than \(Suspects.contactsOfUser) unused ports; the other packets may be forged"
    suspects.refuse(source, because: reason)
    act(.spared(source, because: reason))
  }

  mutating func sayUnproven() {
    let news = unproven.take(at: here.monotonic)
    // Whoever has been blocked meanwhile is: by a contact, an operator, or as part of a prefix.
    for source in news.named where table.block(covering: source) == nil { act(.unproven(source)) }
    for source in news.due { refusals.noteIfRoom(source, for: Self.minute, at: here.monotonic) }
    if news.further > 0 { act(.furtherUnproven(news.further)) }
  }
}
