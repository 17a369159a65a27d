import Detection
import Response
import TestSupport
import Testing
import Wire

/// Anything in any order, and after each step what must hold whatever happened, held against a plain list of what did.
@Suite("Decisions, a random walk") struct DecisionWalkTests {
  private static let names: [Substring] = ["A", "B", "C", "D", "X1", "X2", "X3", "X4", "X5"]

  /// What happened to a source, as plainly as can be.
  private struct Fact {
    enum Kind {
      case accused
      case proven
      /// Let in by an operator: what was before counts no more.
      case forgotten
    }
    let kind: Kind
    let network: IPNetwork
    let time: Timestamp
  }

  private struct Walk {
    var stage: Stage
    var generator: SeededGenerator
    let policy: ResponsePolicy.Settings
    var facts: [Fact] = []
    var everOdd: Set<IPNetwork> = []
    var said: [Substring] = []

    init(seed: UInt64) {
      var generator = SeededGenerator(seed: seed)
      var settings = Decisions.Settings()
      (settings.tcpMode, settings.udpMode) = (.stealth, .stealth)
      settings.watched = PortSet(ranges: [1...1024])
      settings.dialect = [.native, .classic, .modern].randomElement(using: &generator)!
      var policy = ResponsePolicy.Settings()
      (policy.tcp, policy.udp) = (.block, .block)
      policy.rule = generator.chance(70) ? .native : .classic
      policy.proof = generator.chance(80) ? .handshake : .none
      policy.duration = [.seconds(60), .seconds(86_400), nil].randomElement(using: &generator)!
      policy.maximum = [3, 40, 131_072].randomElement(using: &generator)!
      policy.perMinute = [2, 30, 1_000].randomElement(using: &generator)!
      policy.methods = [[.nftables], [.route, .nftables], [.command], [.command, .nftables]].randomElement(
        using: &generator)!
      if policy.methods.contains(.command) { policy.killRoute = "/bin/true $TARGET$" }
      if generator.chance(20) { policy.killRunCommand = "/bin/true" }
      self.policy = policy
      stage = Stage(
        settings, ResponsePolicy(policy),
        trial: generator.chance(15) ? .seconds(Int64.random(in: 10...9_000, using: &generator)) : nil)
      self.generator = generator
    }

    /// A sentence of `Stage`.
    mutating func sentence() -> Substring {
      let name = names.randomElement(using: &generator)!
      let port = Int.random(in: 20...26, using: &generator)
      let accused: Substring = name.hasPrefix("X") && generator.chance(30) ? "X" : name
      switch Int.random(in: 0..<100, using: &generator) {
      case 0..<22: return "\(accused) is called a scanner"
      case 22..<47: return "\(name) meets decoy \(port)"
      case 47..<60:
        return "\(name) probes \(port)\(["", "", " below", " unwatched", " as us"].randomElement(using: &generator)!)"
      case 60..<64: return "\(name) connects to \(port)"
      case 64..<66: return "\(name) probes udp 53"
      case 66..<67: return "\(name) is called a scanner of udp"
      case 67..<80: return "\([1, 1, 2, 5, 61, 3_700].randomElement(using: &generator)!) s pass"
      case 80..<86:
        return stage.running.isEmpty ? "1 s pass" : generator.chance(70) ? "the command succeeds" : "the command fails"
      case 86..<88: return "\(accused) is ordered\(["", " for ever"].randomElement(using: &generator)!)"
      case 88..<91: return "\(accused) is let in"
      case 91..<92: return "all are let in"
      case 92..<93: return "\(name) is ignored"
      case 93..<94: return "\(name) is the gateway"
      case 94..<95: return "\(name) is served\(["", " no more"].randomElement(using: &generator)!)"
      case 95..<96: return "\(name) is asked"
      case 96..<97: return "\(name) used a service"
      case 97..<98: return "the trial is confirmed"
      case 98..<99: return "nftables \(["fails", "works"].randomElement(using: &generator)!)"
      default: return "\(name) is allowed"
      }
    }

    mutating func step() {
      let sentence = sentence()
      said.append(sentence)
      let before = Set(stage.decisions.table.unordered.map(\.network))
      let runningBefore = stage.running
      let attempted = stage.enforcer.attempts.count
      stage.play(sentence)
      note(sentence)
      let after = stage.decisions.table.unordered
      for block in after { check(block) }
      checkAttempts(stage.enforcer.attempts[attempted...], before, runningBefore, sentence)
      checkForce()
      checkLimits()
      if sentence.hasSuffix("s pass") { checkEnds() }
      checkLiveness(sentence)
    }

    private mutating func note(_ sentence: Substring) {
      let words = sentence.split(separator: " ")
      let rest = words.dropFirst().joined(separator: " ")
      if rest == "are let in" {
        for network in stage.released.suffix(64) {
          facts.append(Fact(kind: .forgotten, network: network, time: stage.now))
        }
        return
      }
      guard words[0].hasPrefix("X") || names.contains(words[0]) else { return }
      let network = Cast.network(words[0])
      if rest.hasPrefix("is called a scanner")
        || (policy.rule == .classic && (rest.hasPrefix("probes") || rest.hasPrefix("meets")))
      {
        facts.append(Fact(kind: .accused, network: network, time: stage.now))
      }
      if policy.rule == .classic, rest.hasPrefix("connects") {
        facts.append(Fact(kind: .accused, network: network, time: stage.now))
      }
      if rest.hasPrefix("meets") || rest.hasPrefix("connects") {
        facts.append(Fact(kind: .proven, network: network, time: stage.now))
      }
      if rest == "is let in" || rest == "is allowed" {
        facts.append(Fact(kind: .forgotten, network: network, time: stage.now))
      }
      if rest.hasPrefix("is served") || rest.hasPrefix("is asked") || rest.hasPrefix("is ignored")
        || rest.hasPrefix("is the gateway")
        || rest.hasPrefix("used")
      {
        everOdd.insert(network)
      }
    }

    private func fail(_ text: String) { Issue.record("\(text), after \(said.suffix(12).joined(separator: "; "))") }

    /// No block without a verdict and as much proof as is asked for, none of what is safe, none without end but by wish.
    private func check(_ block: Block) {
      let policyNow = stage.decisions.policy
      if policyNow.safe.reason(protecting: block.network) != nil { fail("\(block.network) is safe and blocked") }
      if policyNow.ignored.network(overlapping: block.network) != nil {
        fail("\(block.network) is ignored and blocked")
      }
      guard block.record.modeName != "operator" else { return }
      guard let grounds = block.record.grounds, grounds.accusation.holds else {
        return fail("\(block.network) has no grounds")
      }
      if policy.duration != nil, block.until == nil { fail("\(block.network) has no end") }
      if policy.proof == .handshake, grounds.origin == nil { return fail("\(block.network) has no proof") }
      if block.network.isHost, !isJustified(block) { fail("\(block.network) is blocked for nothing") }
    }

    /// Somewhere in the list there are a verdict about it or its prefix and a proof of it, no more than an hour apart.
    private func isJustified(_ block: Block) -> Bool {
      let accused = facts.filter {
        $0.kind == .accused && $0.network.contains(block.network.address) && $0.time <= block.record.since
      }
      if policy.proof == .none { return !accused.isEmpty }
      return facts.contains { proof in
        proof.kind == .proven && proof.network == block.network && proof.time <= block.record.since
          && accused.contains { abs(($0.time - proof.time).components.seconds) <= 3_600 }
      }
    }

    /// No way twice for a source, none of what is blocked already, none while a command decides.
    private func checkAttempts(
      _ attempts: ArraySlice<(network: IPNetwork, what: String)>, _ before: Set<IPNetwork>, _ running: [IPAddress],
      _ sentence: Substring
    ) {
      if Set(attempts.map { "\($0.network) \($0.what)" }).count != attempts.count { fail("twice: \(attempts)") }
      let isOrder = sentence.contains("ordered")
      let isCommand = sentence.hasPrefix("the command")
      for attempt in attempts where attempt.what != "longer" {
        if before.contains(attempt.network), !isOrder, !isCommand { fail("\(attempt.network) is blocked already") }
        if !isCommand, attempt.what != "prefix", running.contains(attempt.network.address), attempt.network.isHost {
          fail("\(attempt.network) waits for a command")
        }
      }
    }

    /// What is in force is in the table, and the other way round; but for those whose command has not ended.
    private func checkForce() {
      let table = Set(stage.decisions.table.unordered.map(\.network))
      for network in stage.enforcer.inForce where !table.contains(network) && !stage.running.contains(network.address) {
        fail("\(network) is in force and in no list")
      }
      for network in table where !stage.enforcer.inForce.contains(network) {
        fail("\(network) is in the list and not in force")
      }
      if Set(stage.running).count != stage.running.count { fail("two jobs of a source") }
      for source in stage.running where !stage.decisions.isResponding(to: source) { fail("\(source) has no job") }
    }

    private func checkLimits() {
      let table = stage.decisions.table
      // A prefix stands beside its members, whatever the room.
      let hosts = table.unordered.count { $0.network.isHost }
      // What a command decides is counted once it has.
      let mayBeMore = policy.methods.contains(.command) || policy.killRunCommand != nil
      if hosts > policy.maximum, !mayBeMore { fail("\(hosts) blocks") }
      if table.budget.count != table.count { fail("the budget counts \(table.budget.count) of \(table.count)") }
    }

    private func checkEnds() {
      for block in stage.decisions.table.unordered {
        guard let until = block.until else { continue }
        if until <= stage.now { fail("\(block.network) is over and blocked") }
        if let next = stage.decisions.table.nextEnd, next <= until { continue }
        fail("nobody looks at the end of \(block.network)")
      }
    }

    /// Whoever is called a scanner and proven within an hour is shut out, where nothing speaks against it.
    private func checkLiveness(_ sentence: Substring) {
      guard policy.rule == .native, policy.maximum > 100, policy.perMinute > 100, stage.decisions.trial?.isOver != true,
        stage.enforcer.fails.isEmpty, sentence.hasSuffix("called a scanner") || sentence.contains("meets decoy")
      else { return }
      let network = Cast.network(sentence.split(separator: " ")[0])
      guard network.isHost, !everOdd.contains(network) else { return }
      let mine = facts.filter { $0.network.contains(network.address) }
      let since = mine.lastIndex { $0.kind == .forgotten }.map { mine[($0 + 1)...] } ?? mine[...]
      func isNear(_ kind: Fact.Kind) -> Bool {
        since.contains { $0.kind == kind && $0.network == network && (stage.now - $0.time).components.seconds <= 3_600 }
      }
      guard isNear(.accused), isNear(.proven) || policy.proof == .none else { return }
      if policy.methods.contains(.command) || policy.killRunCommand != nil { return }
      if stage.decisions.table.block(covering: network.address) == nil { fail("\(network) is not blocked") }
    }
  }

  @Test(arguments: 0..<40) func `What must hold after each step`(_ batch: UInt64) {
    for seed in 0..<5 {
      var walk = Walk(seed: batch * 5 + UInt64(seed))
      for _ in 0..<400 { walk.step() }
    }
  }
}
