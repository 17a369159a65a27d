import Detection
import Wire

/// What a block rests on: evidence of *what* was done, and evidence of *who* did it. It can be written down and read again,
/// and says by itself whether it still comes to the same verdict.
package struct Grounds: Equatable, Sendable {
  /// Why the source is called a scanner.
  package enum Accusation: Equatable, Sendable {
    /// The classic rule: this touch of a trigger port was the one that SCAN_TRIGGER asks for.
    case touch(Technique, TransportProtocol, port: UInt16, trigger: Int)
    /// The native rule: the weights of the evidence passed the threshold. Thousandths of a nat.
    case verdict(ScanKind, Tool, [Evidence], score: Int32, threshold: Int32)
    /// Other hosts of the fleet have seen it.
    case fleet(FleetCause)
  }

  /// Why the address is taken for the true one.
  package struct ProofOfOrigin: Equatable, Sendable {
    package var proof: Proof
    /// The port of ours on which it was given.
    package var port: UInt16
    package var time: Timestamp

    package init(_ proof: Proof, port: UInt16, at time: Timestamp) {
      self.proof = proof
      self.port = port
      self.time = time
    }
  }

  package var accusation: Accusation
  /// nil where nothing was proven and nothing had to be (`PROOF="none"`).
  package var origin: ProofOfOrigin?

  package init(_ accusation: Accusation, _ origin: ProofOfOrigin?) {
    self.accusation = accusation
    self.origin = origin
  }
}

extension Grounds.Accusation {
  package init(_ verdict: Verdict) {
    self = .verdict(
      verdict.kind, verdict.tool, verdict.evidence, score: verdict.score, threshold: verdict.threshold)
  }

  /// Whether the evidence kept is enough for the verdict, counted anew.
  ///
  /// A verdict keeps its first sixteen reasons, among them all by which it passed the threshold.
  package var holds: Bool {
    switch self {
    case .touch: true
    case .verdict(_, _, let evidence, _, let threshold): Self.sum(evidence) >= Int(threshold)
    case .fleet(let cause): cause.holds
    }
  }

  /// Whether BLOCK_TCP or BLOCK_UDP speaks for it.
  package var transport: TransportProtocol {
    switch self {
    case .touch(_, let transport, _, _): transport
    case .verdict(_, _, let evidence, _, _):
      !evidence.isEmpty && evidence.allSatisfy { $0.technique == .udp } ? .udp : .tcp
    // Only handshakes make testimonies.
    case .fleet: .tcp
    }
  }

  package static func sum(_ evidence: [Evidence]) -> Int { evidence.reduce(0) { $0 + Int($1.weight) } }

  /// In few words.
  package var summary: String {
    switch self {
    case .touch(let technique, let transport, let port, _):
      return "\(technique.name) to \(transport.name) port \(port)"
    case .verdict(let kind, let tool, let evidence, _, _):
      var techniques = TechniqueSet()
      for reason in evidence { techniques.insert(TechniqueSet(reason.technique)) }
      let how = techniques.techniques.map(\.name).joined(separator: ", ")
      let whose = tool.family == .unknown ? "" : " by \(tool.name)"
      return "\(kind.name) scan\(whose)\(how.isEmpty ? "" : " (\(how))")"
    case .fleet(let cause): return cause.summary
    }
  }
}

extension Grounds: CustomStringConvertible {
  /// In few words, as `portsentry blocked` shows it.
  package var description: String {
    accusation.summary + (origin.map { "; proven by \($0.proof.name) port \($0.port)" } ?? "")
  }

  /// Of a ban of the fleet, as it is kept for each of a hundred thousand: at most 15 bytes, which need no memory of their own. `line` has
  /// the names.
  var fleetReason: String {
    guard case .fleet(let cause) = accusation else { return description }
    return switch cause.basis {
    case .order: "fleet operator"
    case .crowdSec: "CrowdSec"
    case .quorum, .hearsay: "\(cause.witnesses.count) fleet hosts"
    }
  }
}

extension Grounds {
  /// Whether it follows CrowdSec, and nothing else.
  var isCrowdSec: Bool {
    if case .fleet(let cause) = accusation, cause.blockBasis == .crowdSec { true } else { false }
  }
}

// MARK: Written down

extension Grounds {
  /// The form in which it is kept beside a block: words parted by blanks.
  ///
  /// `classic syn TCP 594 1` or `native vertical nmap 5544 4595 unused-port,syn,23,1386 …`, then `origin decoy 594
  /// NANOSECONDS` where it is proven.
  package var line: String {
    var words: [String]
    switch accusation {
    case .touch(let technique, let transport, let port, let trigger):
      words = ["classic", technique.name, transport.name, "\(port)", "\(trigger)"]
    case .verdict(let kind, let tool, let evidence, let score, let threshold):
      words = ["native", kind.name, tool.name, "\(score)", "\(threshold)"]
      words += evidence.map { "\(Self.word($0.kind)),\($0.technique.name),\($0.port),\($0.weight)" }
    case .fleet(let cause): words = ["fleet"] + cause.words
    }
    if let origin { words += ["origin", origin.proof.name, "\(origin.port)", "\(origin.time.nanoseconds)"] }
    return words.joined(separator: " ")
  }

  /// Reads what `line` wrote; nil for anything else. Of more reasons than a verdict carries those beyond are not taken.
  package init?(line: String) {
    var words = line.splitBytes(" ")[...]
    func next() -> Substring? { words.popFirst() }
    switch next() {
    case "classic":
      guard let technique = next().flatMap({ name in Technique.allCases.first { $0.name == name } }),
        let transport = next().flatMap({ name in TransportProtocol.allCases.first { $0.name == name } }),
        let port = next().flatMap({ UInt16($0) }), let trigger = next().flatMap({ Int($0) })
      else { return nil }
      accusation = .touch(technique, transport, port: port, trigger: trigger)
    case "native":
      guard let kind = next().flatMap({ name in ScanKind.allCases.first { $0.name == name } }),
        let tool = next().flatMap({ Tool(name: String($0)) }), let score = next().flatMap({ Int32($0) }),
        let threshold = next().flatMap({ Int32($0) })
      else { return nil }
      var evidence: [Evidence] = []
      while let word = words.first, word != "origin" {
        words.removeFirst()
        guard let reason = Self.evidence(word) else { return nil }
        if evidence.count < Verdict.evidenceCapacity { evidence.append(reason) }
      }
      accusation = .verdict(kind, tool, evidence, score: score, threshold: threshold)
    case "fleet":
      guard let cause = FleetCause(words: &words) else { return nil }
      accusation = .fleet(cause)
    default: return nil
    }
    guard let word = next() else {
      origin = nil
      return
    }
    guard word == "origin", let proof = next().flatMap({ name in Proof.allCases.first { $0.name == name } }),
      let port = next().flatMap({ UInt16($0) }), let time = next().flatMap({ Int64($0) }), words.isEmpty
    else { return nil }
    origin = ProofOfOrigin(proof, port: port, at: Timestamp(nanoseconds: time))
  }

  private static func word(_ kind: Evidence.Kind) -> String {
    kind.name.replacingBytes(" ", with: "-")
  }

  private static func evidence(_ word: Substring) -> Evidence? {
    let parts = word.splitBytes(",", omittingEmptySubsequences: false)
    guard parts.count == 4, let kind = Evidence.Kind.allCases.first(where: { Self.word($0) == parts[0] }),
      let technique = Technique.allCases.first(where: { $0.name == parts[1] }), let port = UInt16(parts[2]),
      let weight = Int16(parts[3])
    else { return nil }
    return Evidence(kind, technique, port: port, weight: weight)
  }
}
