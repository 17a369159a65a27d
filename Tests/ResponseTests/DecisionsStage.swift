import Detection
import Response
import Wire

/// Addresses by name: of IPv4 `A` to `F`, each in a network of its own; of IPv6 `X1`, `X2`, … in one /64, which is `X`.
enum Cast {
  static func network(_ name: Substring) -> IPNetwork {
    if name == "X" { return IPNetwork("2001:db8:1:1::/64")! }
    if name.hasPrefix("X") { return IPNetwork(IPAddress("2001:db8:1:1::\(name.dropFirst())")!) }
    if let letter = name.utf8.first, name.utf8.count == 1, (0x41...0x46).contains(letter) {
      return IPNetwork(IPAddress("203.0.\(letter).1")!)
    }
    return IPNetwork(String(name))!
  }

  static func address(_ name: Substring) -> IPAddress { network(name).address }

  static func name(_ network: IPNetwork) -> String {
    let text = "\(network)"
    if text == "2001:db8:1:1::/64" { return "X" }
    if text.hasPrefix("2001:db8:1:1::") { return "X" + text.dropFirst("2001:db8:1:1::".count) }
    let parts = text.split(separator: ".")
    guard parts.count == 4, parts[0] == "203", parts[3] == "1", let letter = UInt8(parts[2]) else { return text }
    return String(UnicodeScalar(letter))
  }

  static func name(_ address: IPAddress) -> String { name(IPNetwork(address)) }
}

/// Keeps what was put into force, and fails as told.
struct RecordingEnforcer: Enforcer {
  var inForce: Set<IPNetwork> = []
  /// Networks for which a command is to be waited for.
  var fails: Set<String> = []
  /// All attempts, in order.
  var attempts: [(network: IPNetwork, what: String)] = []

  static func name(_ attempt: Attempt) -> String {
    switch attempt {
    case .step(.hostsDeny, _): "hosts.deny"
    case .step(.killRoute, _): "command"
    case .step(.nftables, _): "nftables"
    case .step(.route, _): "route"
    case .step(.runCommand, _): "run"
    case .prefix: "prefix"
    case .fleet: "fleet"
    case .longer: "longer"
    }
  }

  mutating func attempt(_ attempt: Attempt, at now: Timestamp) -> Effect {
    let name = Self.name(attempt)
    let network = attempt.block.network
    attempts.append((network, name))
    if fails.contains(name) { return name == "hosts.deny" ? .hostsDenyFailed(path: "/", reason: "") : .failed(name) }
    switch attempt {
    case .step(.killRoute, _), .step(.runCommand, _): return .running
    case .longer: return .lasts
    default:
      inForce.insert(network)
      return .took(.nftables(set: name, nil))
    }
  }

  mutating func lift(_ records: [Block.Record]) -> Lifted {
    for record in records { inForce.remove(record.network) }
    return Lifted(problems: records.map { _ in [] })
  }
}

/// A sentry without kernel and words: plays sentences to `Decisions`, and tells in sentences what it does.
struct Stage {
  var decisions: Decisions
  var enforcer = RecordingEnforcer()
  var now = Timestamp(seconds: 1_700_000_000)
  var conversations = Conversations()
  /// What came of the last event.
  var told: [String] = []
  /// Whose command runs, and what it is.
  var running: [IPAddress] = []
  var answers: [Decisions.Answer] = []
  var released: [IPNetwork] = []

  static func policySettings(_ change: (inout ResponsePolicy.Settings) -> Void = { _ in }) -> ResponsePolicy.Settings {
    var settings = ResponsePolicy.Settings()
    (settings.tcp, settings.udp) = (.block, .block)
    change(&settings)
    return settings
  }

  init(_ settings: Decisions.Settings, _ policy: ResponsePolicy, trial: Duration? = nil) {
    decisions = Decisions(settings, policy, trial: trial.map { [now] in Trial(duration: $0, now: now) })
  }

  /// Carries out an event to its end, as the sentry does.
  mutating func play(_ event: Decisions.Event) {
    told = []
    var next: Decisions.Event? = event
    while let event = next {
      next = nil
      let conversations = conversations
      let circumstances = Circumstances(at: now, monotonic: now.nanoseconds) { conversations }
      for action in decisions.handle(event, circumstances) {
        if let sentence = Self.sentence(action) { told.append(sentence) }
        switch action {
        case .attempt(let attempt):
          let effect = enforcer.attempt(attempt, at: now)
          if effect == .running, case .step(_, let job) = attempt { running.append(job.probe.source) }
          next = .attempted(effect)
        case .release(let records, _):
          _ = enforcer.lift(records)
          released += records.map(\.network)
        case .commandEnded(_, let outcome, let job):
          if outcome == .succeeded, job.steps.first == .killRoute { enforcer.inForce.insert(job.block.network) }
        case .answer(let answer): answers.append(answer)
        default: break
        }
      }
    }
  }

  // MARK: Sentences

  /// What an action is in words; nil for what only counts and keeps.
  static func sentence(_ action: Decisions.Action) -> String? {
    switch action {
    case .seen, .met, .latency, .offender, .keepVerdict, .effect: nil
    case .alert(let probe): "tells of \(Cast.name(probe.source))"
    case .alreadyBlocked(let probe): "\(Cast.name(probe.source)) is blocked already"
    case .responseIsOff: "says that it lets it be"
    case .event(let probe, let result): "writes \(Cast.name(probe.source)) down\(result.map { " as \($0)" } ?? "")"
    case .list(let entry, _, let isListed): "\(isListed ? "lists" : "cannot list") \(Cast.name(entry.address))"
    case .proven(let source, _): "\(Cast.name(source)) is proven"
    case .sayVerdict(let verdict): "says the verdict on \(Cast.name(verdict.source))"
    case .refused(let probe, let why): "refuses \(Cast.name(probe.source)): \(why)"
    case .spared(let source, _): "spares \(Cast.name(source))"
    case .unproven(let source): "says that \(Cast.name(source)) is unproven"
    case .furtherUnproven(let count): "says that \(count) further are"
    case .notWidened(let prefix, let members, let why): "leaves \(Cast.name(prefix)) to its \(members): \(why)"
    case .fleetRefused(let network, let why): "refuses the fleet \(Cast.name(network)): \(why)"
    case .couldNotBlock(let probe): "could not block \(Cast.name(probe.source))"
    case .attempt(let attempt): "tries \(RecordingEnforcer.name(attempt)) on \(Cast.name(attempt.block.network))"
    case .commandEnded(_, let outcome, _): outcome == .succeeded ? "the command is done" : "the command has failed"
    case .inForce(let block, _): "\(Cast.name(block.network)) is blocked\(length(block))"
    case .prolonged(let block): "\(Cast.name(block.network)) stays blocked\(length(block))"
    case .release(let records, let why):
      "lifts \(records.map { Cast.name($0.network) }.joined(separator: ", ")) (\(why.text))"
    case .blockedFilesChanged: "writes the blocked files"
    case .awaitProof(let source): "waits for proof of \(Cast.name(source))"
    case .openGate(let source): "opens the gate to \(Cast.name(source))"
    case .gateChanged: "sets the gate anew"
    case .trialOver(let count): "says that the trial is over with \(count)"
    case .answer(let answer): "answers: \(sentence(answer))"
    }
  }

  private static func length(_ block: Block) -> String {
    guard let until = block.until else { return " for ever" }
    let seconds = (until - block.record.since).components.seconds
    if seconds % 86_400 == 0 { return " for \(seconds / 86_400)d" }
    return " for \(seconds)s"
  }

  private static func sentence(_ answer: Decisions.Answer) -> String {
    switch answer {
    case .refused(let why): "refused, \(why)"
    case .running: "it runs"
    case .failed(let reasons): "failed, \(reasons.joined(separator: " and "))"
    case .blocked(let block): "\(Cast.name(block.network)) is blocked"
    case .letIn(let what, let opened):
      "\(what)" + (opened.isEmpty ? "" : ", opened \(opened.map { Cast.name($0) }.joined(separator: ", "))")
    case .allLetIn(let count): "\(count) let in"
    case .noTrial: "there is no trial"
    case .confirmed(let count): "\(count) stay"
    }
  }

  /// `A probes 23`, `A meets decoy 23`, `B is served`, `2 s pass` and so on.
  mutating func play(_ sentence: Substring) {
    let words = sentence.split(separator: " ")
    let rest = words.dropFirst().joined(separator: " ")
    switch rest {
    case "s pass": pass(Int64(words[0])!)
    case "is served": conversations.served.insert(Cast.address(words[0]))
    case "is served no more": conversations.served.remove(Cast.address(words[0]))
    case "is asked": conversations.asked.insert(Cast.address(words[0]))
    case "fails": enforcer.fails.insert(String(words[0]))
    case "works": enforcer.fails.remove(String(words[0]))
    case "command succeeds": end(.succeeded)
    case "command fails": end(.failed(status: 1, output: ""))
    case "is called a scanner": play(.verdict(verdict(words[0], .scan)))
    case "is called a scanner of udp": play(.verdict(verdict(words[0], .scan, .udp)))
    case "is called a flood": play(.verdict(verdict(words[0], .flood)))
    case "is answered by mail": play(.setup(Cast.address(words[0]), .mail))
    case "used a service": play(.customers([Cast.address(words[0])]))
    case "is ordered": play(.order(Cast.network(words[0]), duration: .seconds(60), reason: "by operator"))
    case "is ordered for ever": play(.order(Cast.network(words[0]), duration: nil, reason: "by operator"))
    case "is let in": play(.letIn(Cast.network(words[0])))
    case "are let in": play(.letAllIn)
    case "is allowed": play(.allowed(Cast.network(words[0])))
    case "is ignored": play(.ignored(IPNetworkSet([Cast.network(words[0])])))
    case "is the gateway": play(.safe(SafeNetworks([(Cast.network(words[0]), "the gateway")])))
    case "trial is confirmed": play(.confirmTrial)
    case "is struck out of tcp": play(.listed([], .tcp))
    case "to X3 meet decoys": for name in ["X1", "X2", "X3"] { meet(Cast.address(name[...]), 23) }
    case "to X4 meet decoys": for name in ["X1", "X2", "X3", "X4"] { meet(Cast.address(name[...]), 23) }
    case "is watched by crowdsec", "is banned by crowdsec", "is watched by crowdsec no more",
      "is banned by crowdsec no more":
      crowdSec(Cast.network(words[0]), isWatch: words[2] == "watched", isOver: words.last == "more")
    case let rest where rest.contains(" the fleet") || rest.contains(" by order"): tell(Cast.network(words[0]), words)
    default: touch(Cast.address(words[0]), Array(words.dropFirst()))
    }
  }

  /// `A is banned by the fleet for 7200`, `A is watched by the fleet at 2395`, `A is lifted by the fleet`; `A is banned by order`,
  /// `A is lifted by order`, `A is unbanned by order`.
  private mutating func tell(_ network: IPNetwork, _ words: [Substring]) {
    let isOrder = words.last == "order" || words.contains("order")
    let seen = (1...3).map { FleetCause.Witness(node: $0, name: "n\($0)", at: now) }
    let number = words.last.flatMap { Int64($0) }
    let until = now + .seconds(words.contains("for") ? number! : 86_400)
    switch words[2] {
    case "banned":
      play(
        .fleet(
          .ban(network, until: until, isOrder ? FleetCause(.order(operator: 9), []) : FleetCause(.quorum(3), seen))))
    case "watched":
      play(.fleet(.watch(network.address, weight: Int32(number!), until: until, Array(seen.prefix(2)))))
    case "lifted": play(.fleet(.lift(network, isOrder: isOrder, because: "n2 was revoked")))
    default: play(.fleet(.unban(network, operator: 9)))
    }
  }

  private mutating func crowdSec(_ network: IPNetwork, isWatch: Bool, isOver: Bool) {
    let until = now + .seconds(7200)
    switch (isWatch, isOver) {
    case (true, _): play(.fleet(.crowdSecWatch(network, until: isOver ? nil : until, at: now)))
    case (false, false):
      play(.fleet(.ban(network, until: until, FleetCause(.crowdSec(scenario: "a/b"), [.crowdSec(at: now)]))))
    case (false, true): play(.fleet(.crowdSecLift(network)))
    }
  }

  private mutating func pass(_ seconds: Int64) {
    now = now + .seconds(seconds)
    play(.tick)
    let before = told
    play(.expiry)
    told = before + told
  }

  private mutating func end(_ outcome: CommandRunner.Outcome) {
    play(.commandEnded(running.removeFirst(), command: "/bin/true", outcome))
  }

  private mutating func meet(_ source: IPAddress, _ port: UInt16, byCookie: Bool = false) {
    play(
      .contact(
        Contact(
          time: now, source: source, sourcePort: 40_000, target: .unspecified, port: port, isGuessable: byCookie)))
  }

  private mutating func touch(_ source: IPAddress, _ said: [Substring]) {
    let words = said.filter { $0 != "to" }
    if words[0] == "meets" { return meet(source, UInt16(words[2])!, byCookie: words.last == "cookie") }
    let isUDP = words[1] == "udp"
    let isConnection = words[0] == "connects"
    var probe = Probe(
      time: now, source: source, sourcePort: isConnection ? 40_001 : 40_000, target: .unspecified,
      targetPort: UInt16(words[isUDP ? 2 : 1])!, transport: isUDP ? .udp : .tcp,
      mode: isConnection ? .connect : .stealth, technique: isConnection ? .connect : isUDP ? .udp : .syn)
    switch words.dropFirst(isUDP ? 3 : 2).joined(separator: " ") {
    case "below": probe.isTriggered = false
    case "unwatched": probe.isWatched = false
    case "as us": probe.isOwnAddress = true
    case "by cookie": probe.isGuessable = true
    case "beside mail": probe.asked = .mail
    case "beside web": probe.asked = .web
    case "beside mail and web": probe.asked = [.mail, .web]
    case "beside mail in use": (probe.asked, probe.used) = (.mail, .mail)
    case "beside mail and web in use": (probe.asked, probe.used) = ([.mail, .web], .web)
    default: break
    }
    play(.probe(probe))
  }

  func verdict(
    _ name: Substring, _ verdictClass: Verdict.Class, _ transport: TransportProtocol = .tcp
  ) -> Verdict {
    var verdict = Verdict(verdictClass, source: Cast.network(name), first: now, last: now)
    (verdict.score, verdict.threshold, verdict.port) = (4_700, 4_595, 23)
    verdict.transport = transport
    for port in [21, 22, 23, 24] as [UInt16] {
      verdict.add(Evidence(.unusedPort, transport == .udp ? .udp : .syn, port: port, weight: 1_386))
    }
    return verdict
  }
}
