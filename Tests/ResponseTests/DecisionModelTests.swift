import Detection
import Response
import TestSupport
import Testing
import Wire

/// Who is shut out and until when, said once more as plainly as can be: lists that only grow, and a rule that reads them from the start
/// each time. Shares nothing with `Decisions` but the settings.
///
/// It knows single IPv4 sources, one method, and no limits; prefixes, commands and limits are in `DecisionWalkTests`.
private struct PlainModel {
  enum Fact: Equatable {
    /// The native rule has a verdict, or the classic one counts a touch of a trigger port.
    case verdict
    case proof(port: Int)
  }

  let rule: VerdictRule
  let proof: ProofDemand
  let duration: Duration?
  let longest: Duration
  var now: Timestamp
  /// What is known of each source since it began anew, with the time and whether it was served then.
  var facts: [String: [(fact: Fact, time: Timestamp, isServed: Bool)]] = [:]
  /// How often a source was blocked with a proof.
  var times: [String: Int] = [:]
  /// Who is blocked until when; nil for ever.
  var blocked: [String: Timestamp?] = [:]
  var served: Set<String> = []
  var asked: Set<String> = []
  var ignored: String?
  var gateway: String?

  /// - Returns: who is put into force by this.
  mutating func play(_ sentence: String) -> [String] {
    let words = sentence.split(separator: " ").map(String.init)
    let name = words[0]
    switch words.dropFirst().joined(separator: " ") {
    case "s pass":
      now = now + .seconds(Int64(name)!)
      for (name, until) in blocked { if let until, until <= now { blocked[name] = nil } }
    case "is served": served.insert(name)
    case "is served no more": served.remove(name)
    case "is asked": asked.insert(name)
    case "is ignored":
      ignored = name
      blocked[name] = nil
    case "is the gateway":
      gateway = name
      blocked[name] = nil
    case "is let in": if blocked.removeValue(forKey: name) != nil { facts[name] = nil }
    case "is allowed": facts[name] = nil
    case "are let in":
      for name in blocked.keys { facts[name] = nil }
      blocked = [:]
    case "is ordered", "is ordered for ever":
      guard !mustStay(name) else { return [] }
      let isForEver = words.last == "ever"
      blocked.updateValue(isForEver ? nil : now + .seconds(60), forKey: name)
      return [name]
    case "is called a scanner":
      guard rule == .native, name != ignored else { return [] }
      know(.verdict, of: name)
      return decide(name)
    case "is called a flood", "used a service": break
    default: return touch(name, words)
    }
    return []
  }

  private mutating func touch(_ name: String, _ words: [String]) -> [String] {
    guard name != ignored else { return [] }
    switch words[1] {
    // A decoy on a port that no mode watches.
    case "meets": know(.proof(port: Int(words[3])!), of: name)
    case "connects":
      know(.proof(port: Int(words[3])!), of: name)
      if rule == .classic, blocked[name] == nil { know(.verdict, of: name) }
    default:
      if words.last == "below" || words.last == "unwatched" { return [] }
      if rule == .classic, blocked[name] == nil { know(.verdict, of: name) }
    }
    return decide(name)
  }

  private mutating func know(_ fact: Fact, of name: String) {
    facts[name, default: []].append((fact, now, served.contains(name)))
  }

  private func mustStay(_ name: String) -> Bool { name == ignored || name == gateway }

  private func isLately(_ time: Timestamp) -> Bool { now - time <= .seconds(3_600) }

  private mutating func decide(_ name: String) -> [String] {
    let known = facts[name] ?? []
    guard blocked[name] == nil, let verdict = known.last(where: { $0.fact == .verdict }), isLately(verdict.time) else {
      return []
    }
    let proofs = known.filter { $0.fact != .verdict }
    let isProven = proofs.last.map { isLately($0.time) } ?? false
    guard isProven || proof == .none, !mustStay(name), !asked.contains(name) else { return [] }
    if served.contains(name) {
      if usedUsBefore(known) { return [] }
      // What may be forged does not speak against a user; three ports that he asked for himself do.
      if rule == .native, proof == .handshake, ports(proofs) < 3 { return [] }
    }
    let repeats = times[name] ?? 0
    let length = duration.map { base in
      (0..<repeats).reduce(base) { length, _ in length < longest ? length * 2 : length }
    }
    blocked.updateValue(length.map { now + min($0, max(longest, duration!)) }, forKey: name)
    if isProven { times[name, default: 0] += 1 }
    return [name]
  }

  /// Served when it first came to notice, or more than a second later when a first verdict came.
  private func usedUsBefore(_ known: [(fact: Fact, time: Timestamp, isServed: Bool)]) -> Bool {
    guard let first = known.first, let verdict = known.first(where: { $0.fact == .verdict }) else { return true }
    return first.isServed || (verdict.isServed && verdict.time - first.time > .seconds(1))
  }

  /// The ports of the proofs that are no more than an hour from one to the next, up to now.
  private func ports(_ proofs: [(fact: Fact, time: Timestamp, isServed: Bool)]) -> Int {
    var ports: [Fact] = []
    var last: Timestamp?
    for proof in proofs {
      if let last, proof.time - last > .seconds(3_600) { ports = [] }
      if !ports.contains(proof.fact) { ports.append(proof.fact) }
      last = proof.time
    }
    return ports.count
  }
}

@Suite("Decisions beside a plain model") struct DecisionModelTests {
  private static let names = ["A", "B", "C", "D"]

  private static func sentence(_ generator: inout SeededGenerator) -> String {
    let name = names.randomElement(using: &generator)!
    let port = Int.random(in: 20...26, using: &generator)
    switch Int.random(in: 0..<100, using: &generator) {
    case 0..<20: return "\(name) is called a scanner"
    case 20..<40: return "\(name) meets decoy \(port + 2_000)"
    case 40..<55: return "\(name) probes \(port)\(["", "", " below", " unwatched"].randomElement(using: &generator)!)"
    case 55..<62: return "\(name) connects to \(port)"
    case 62..<64: return "\(name) probes udp 53"
    case 64..<78: return "\([1, 2, 30, 61, 1_200, 3_599, 3_600, 3_601].randomElement(using: &generator)!) s pass"
    case 78..<81: return "\(name) is ordered\(["", " for ever"].randomElement(using: &generator)!)"
    case 81..<85: return "\(name) is let in"
    case 85..<86: return "all are let in"
    case 86..<87: return "\(name) is ignored"
    case 87..<88: return "\(name) is the gateway"
    case 88..<94: return "\(name) is served\(["", " no more"].randomElement(using: &generator)!)"
    case 94..<95: return "\(name) is asked"
    case 95..<97: return "\(name) is called a flood"
    case 97..<98: return "\(name) used a service"
    default: return "\(name) is allowed"
    }
  }

  @Test(arguments: 0..<20) func `Both block the same, at the same step, until the same moment`(_ batch: UInt64) throws {
    var blocks = 0
    for seed in batch * 10..<batch * 10 + 10 {
      var generator = SeededGenerator(seed: seed)
      var settings = Decisions.Settings()
      (settings.tcpMode, settings.udpMode) = (.stealth, .stealth)
      settings.watched = PortSet(ranges: [1...1024])
      var policy = Stage.policySettings()
      policy.rule = generator.chance(70) ? .native : .classic
      policy.proof = generator.chance(80) ? .handshake : .none
      policy.duration = [.seconds(60), .seconds(5_000), nil].randomElement(using: &generator)!
      policy.longest = [.seconds(10_000), .seconds(90_000)].randomElement(using: &generator)!
      policy.methods = [.nftables]
      var stage = Stage(settings, ResponsePolicy(policy))
      var model = PlainModel(
        rule: policy.rule, proof: policy.proof, duration: policy.duration, longest: policy.longest, now: stage.now)
      var said: [String] = []
      for _ in 0..<300 {
        let sentence = Self.sentence(&generator)
        said.append(sentence)
        let before = stage.enforcer.attempts.count
        stage.play(sentence[...])
        let expected = model.play(sentence)
        let attempts = stage.enforcer.attempts[before...].map { Cast.name($0.network) }
        try #require(attempts == expected, "seed \(seed): \(said.suffix(14))")
        blocks += expected.count
        let table = Dictionary(
          uniqueKeysWithValues: stage.decisions.table.unordered.map { (Cast.name($0.network), $0.until) })
        #expect(table == model.blocked, "seed \(seed): \(said.suffix(14))")
        let inForce = Set(stage.enforcer.inForce.map { Cast.name($0) })
        #expect(inForce == Set(table.keys), "seed \(seed): \(said.suffix(14))")
      }
    }
    #expect(blocks > 100, "the walk goes nowhere")
  }
}
