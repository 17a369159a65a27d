import Detection
import EventLog
import Journal
import Platform
import Response
import Wire

/// By what a connection to a decoy and the probe that opened it are known as one.
struct Touch: Equatable {
  let sourcePort: UInt16
  let targetPort: UInt16

  init(_ probe: Probe) {
    sourcePort = probe.sourcePort
    targetPort = probe.targetPort
  }
}

extension Sentry {
  // MARK: Evidence

  /// A verdict of the native rule: joins it with what is known of its source. Under the classic rule it decides nothing.
  ///
  /// `verdict.origin` is no proof here: the detector takes a handshake with any port for one, services included, and every
  /// customer of a service completes those. Somebody who forges a scan in his name would have him blocked.
  func weigh(_ verdict: Verdict) {
    guard verdict.verdictClass == .scan, policy.settings.rule == .native else { return }
    let source = verdict.source.address
    let accusation = Grounds.Accusation(verdict)
    let action = policy.settings.action(for: accusation.transport)
    let outcome = suspects.accuse(
      verdict.source, accusation, isServed: action == .block && isConnected(source), at: verdict.last,
      demanding: policy.settings.proof)
    guard action == .block else { return }
    let mode = (verdict.transport == .tcp ? plan.tcpMode : plan.udpMode) ?? .stealth
    let probe = Probe(
      time: verdict.last, source: source, sourcePort: 0, target: .unspecified, targetPort: verdict.port,
      transport: verdict.transport, mode: mode, technique: verdict.evidence.last?.technique ?? .syn)
    switch outcome {
    case .ban where !verdict.source.isHost:
      for member in suspects.provenMembers(of: verdict.source, near: verdict.last) {
        follow(
          suspects.outcome(
            for: member, at: verdict.last, demanding: policy.settings.proof, isUser: isConnected(member)),
          probe, action)
      }
    case .ban: follow(outcome, probe, action)
    // The probes behind it have been written down.
    case .unproven: waitForProof(source)
    case .spared: sayUser(source)
    case .noVerdict: break
    }
  }

  /// Connections to decoys, at most 1,024 at a time.
  func takeContacts() {
    var count = 0
    while count < 1024, let contact = deception.contacts.value.pop() {
      meet(contact)
      count += 1
    }
    if count == 1024 { link.toSentry.signal() }
  }

  private func meet(_ contact: Contact) {
    counters.contacts += 1
    link.tell(contact)
    let source = contact.source
    // A job whose command still runs goes on; the block is in force, or refused, or not asked for otherwise.
    defer { if jobs[source] == nil { openGate(source) } }
    if plan.ignored.contains(source) { return }
    visibility.sight.touch(from: source, isAnswered: true)
    var outcome = prove(source, Grounds.Origin(.decoy, port: contact.port, at: contact.time))
    let probe = Probe(
      time: contact.time, source: source, sourcePort: contact.sourcePort, target: contact.target,
      targetPort: contact.port, transport: .tcp, mode: plan.tcpMode ?? .stealth, technique: .syn)
    guard blocksAnybody, !isDone(probe, recordedKey(probe)), jobs[source] == nil else { return }
    // A touch of a watched port that the sensor has not told of yet: it will, and find everything said.
    if policy.settings.tcp == .block, plan.tcpMode != .connect, plan.ports(.tcp).contains(contact.port),
      told[source]?.contains(Touch(probe)) != true
    {
      // Under the classic rule it is the verdict too, where the first one counts.
      if case .noVerdict = outcome, policy.settings.rule == .classic, plan.configuration.scanTrigger <= 1 {
        outcome = suspects.accuse(
          IPNetwork(source), accusation(probe), isServed: isConnected(source), at: probe.time,
          demanding: policy.settings.proof)
      }
      if case .ban = outcome { announce(probe) }
    }
    switch outcome {
    case .ban: follow(outcome, probe, .block)
    case .spared: sayUser(source)
    case .unproven, .noVerdict: break
    }
  }

  private var blocksAnybody: Bool { policy.settings.tcp == .block || policy.settings.udp == .block }

  /// Notes that a source is where it says.
  func prove(_ source: IPAddress, _ origin: Grounds.Origin) -> Suspects.Outcome {
    let (isNews, outcome) = suspects.prove(
      source, origin, isServed: blocksAnybody && isConnected(source), demanding: policy.settings.proof)
    if isNews {
      counters.proven += 1
      keep(.proven(source, origin.proof, port: origin.port, at: origin.time))
    }
    return outcome
  }

  /// A triggered probe where sources are blocked: joins it with what is known of its source.
  func weigh(_ probe: Probe, _ action: BlockAction) {
    // BLOCK 2 shuts nobody out.
    guard action == .block else {
      respond(probe, action, Grounds(accusation(probe), nil))
      return
    }
    // At most 4,096; when full all are forgotten, and a line may be written twice.
    if told.count >= 4096 { told = [:] }
    if told[probe.source, default: []].count >= 16 { told[probe.source]!.removeFirst() }
    told[probe.source, default: []].append(Touch(probe))
    let demand = policy.settings.proof
    let outcome =
      policy.settings.rule == .classic
      ? suspects.accuse(
        IPNetwork(probe.source), accusation(probe), isServed: isConnected(probe.source), at: probe.time,
        demanding: demand)
      : suspects.outcome(
        for: probe.source, at: probe.time, demanding: demand, isUser: isConnected(probe.source))
    follow(outcome, probe, action)
  }

  private func accusation(_ probe: Probe) -> Grounds.Accusation {
    .touch(
      probe.technique, probe.transport, port: probe.targetPort, trigger: max(plan.configuration.scanTrigger, 1))
  }

  private func follow(_ outcome: Suspects.Outcome, _ probe: Probe, _ action: BlockAction) {
    switch outcome {
    case .ban(let address, let grounds):
      var probe = probe
      probe.source = address
      // A proof by TCP does not turn a scan of UDP into one of TCP.
      guard policy.settings.action(for: grounds.accusation.transport) == .block, table.block(covering: address) == nil,
        jobs[address] == nil
      else { return record(probe, .waiting) }
      respond(probe, action, grounds)
    case .unproven:
      waitForProof(probe.source)
      record(probe, .waiting)
    case .spared:
      sayUser(probe.source)
      record(probe, .waiting)
    case .noVerdict:
      record(probe, .waiting)
    }
  }

  // MARK: Words

  /// Only the proof is missing. Whoever has proven nothing two seconds later is named as not blocked; a connect scan has by
  /// then.
  private func waitForProof(_ source: IPAddress) {
    if unproven[source] != nil || table.block(covering: source) != nil { return }
    let now = Clock.monotonic
    if let muted = refusals[source], muted > now { return }
    if unproven.count < 4096 { unproven[source] = now + 2_000_000_000 } else { furtherUnproven += 1 }
    try? deception.gate?.value.want(source)
  }

  /// Once a minute for each source.
  private func sayUser(_ source: IPAddress) {
    guard isNews(of: source) else { return }
    let reason =
      "it works with a service here and connected to fewer than \(Suspects.contactsOfUser) ports that nothing serves; the rest may be forged"
    suspects.refuse(source, because: reason)
    say(.refused(source, because: reason, in: dialect))
  }

  /// At most ten lines a second; of more sources their number.
  func sayUnproven() {
    let now = Clock.monotonic
    let due = unproven.filter { $0.value <= now }
    let lied = deception.state == .active ? "; until something does, it is lied to" : ""
    // Whoever has been blocked meanwhile is: by a contact, an operator, or as part of a prefix.
    for (source, _) in due.prefix(10) where table.block(covering: source) == nil {
      if dialect == .native, scanLog.noteUnverified(source) { continue }
      say(.refused(source, because: "nothing proves that it sent this (PROOF)\(lied)", in: dialect))
    }
    for source in due.keys {
      unproven[source] = nil
      if refusals.count < 10_000 { refusals[source] = now + 60_000_000_000 }
    }
    furtherUnproven += max(due.count - 10, 0)
    if furtherUnproven > 0, unproven.isEmpty || due.count > 10 {
      note("\(furtherUnproven) further sources scanned and are not blocked, because nothing proves that it was they")
      furtherUnproven = 0
    }
  }

  private func announce(_ probe: Probe) {
    counters.probes += 1
    counters.alerts += 1
    keep(.probe(probe))
    if dialect == .native { scanLog.count(probe) }
    alert(probe)
    let now = Clock.monotonic
    if announced.count >= 1024 { announced = announced.filter { $0.value.until > now } }
    guard announced.count < 1024 else { return }
    announced[probe.source] = (Touch(probe), now + 2_000_000_000)
  }

  /// Whether a probe was told of already, by the decoy that took its connection.
  func isAnnounced(_ probe: Probe) -> Bool {
    guard let known = announced[probe.source], known.touch == Touch(probe), probe.technique == .syn else {
      return false
    }
    announced[probe.source] = nil
    return known.until > Clock.monotonic
  }
}
