import Detection
import Platform
import Report
import Response
import Wire

extension Sentry {
  /// Everything that is known of an address at this moment, for `portsentry why`.
  private struct Account {
    let address: IPAddress
    let block: Block?
    let entry: Suspects.Entry?
    let repeats: Int
    let doubt: Duration?
    let safe: String?
    let isIgnored: Bool
    let isServed: Bool
    let fleet: FleetSight?

    /// What the block rests on, or what speaks against the source without a block.
    var grounds: Grounds? {
      block?.record.grounds ?? entry.flatMap { entry in entry.accusation.map { Grounds($0, entry.origin) } }
    }
    /// Better than what `grounds` knows where only the connection was seen.
    var origin: Grounds.ProofOfOrigin? { grounds?.origin ?? entry?.origin }
    var isKnown: Bool {
      block != nil || entry != nil || doubt != nil || repeats > 0 || safe != nil || isIgnored || fleet != nil
    }
  }

  func why(_ target: String, json: Bool) -> ControlReply {
    guard let address = IPAddress(target) else { return .usage("\(target) is not an address") }
    let account = Account(
      address: address, block: decisions.table.block(covering: address), entry: decisions.suspects.entry(for: address),
      repeats: earlierBlocks(of: address),
      doubt: deception.trap?.doubt == nil ? nil : (try? blocker.doubt(of: address)) ?? nil,
      safe: decisions.policy.safe.reason(protecting: address),
      isIgnored: plan.ignored.contains(address),
      isServed: surroundings.peers.current(at: Clock.monotonic).served.contains(address),
      fleet: decisions.fleetSight(of: address, at: Clock.now))
    if json { return ControlReply(self.json(account).text + "\n") }
    guard account.isKnown else { return .notFound("nothing is known of \(address)") }
    let rows = [LiveWhy.Row(name: "address", text: "\(account.address)")] + self.rows(account)
    return ControlReply(LiveWhy.lines(rows).map { $0 + "\n" }.joined())
  }

  /// How often it was blocked before the block that is in force.
  private func earlierBlocks(of address: IPAddress) -> Int {
    let isCounted = decisions.table.block(covering: address)?.record.grounds?.origin != nil
    return max(decisions.offenders.repeats(of: IPNetwork(address), at: Clock.now) - (isCounted ? 1 : 0), 0)
  }

  private func rows(_ account: Account) -> [LiveWhy.Row] {
    guard account.isKnown else { return [] }
    var rows: [(String, String)] = []
    if let reason = account.safe { rows.append(("never blocked", "it is \(reason)")) }
    if let reason = ignoring.reason(for: account.address) { rows.append(("never blocked", reason)) }
    if let grounds = account.grounds {
      rows.append(("seen", grounds.accusation.summary))
      switch grounds.accusation {
      case .touch(let technique, let transport, let port, let trigger):
        let which = trigger == 1 ? "the first touch counts" : "touch number \(trigger) counts"
        rows.append(
          (
            "evidence",
            "\(technique.name) to \(transport.name) port \(port), a watched, unused port; \(which) (SCAN_TRIGGER)"
          ))
        rows.append(("verdict", "a scan, by the classic rule"))
      case .fleet(let cause): rows += Self.rows(cause)
      case .verdict(_, _, let evidence, let score, let threshold):
        for (index, reason) in evidence.enumerated() {
          rows.append(
            (
              index == 0 ? "evidence" : "",
              "\(Self.nats(Int(reason.weight), sign: true))  \(reason.sentence)"
            ))
        }
        let sum = Grounds.Accusation.sum(evidence)
        let more = Int(score) == sum ? "" : ", \(Self.nats(Int(score))) with what came later"
        rows.append(
          (
            "verdict",
            grounds.accusation.holds
              ? "a scan, by the native rule: \(Self.nats(sum)) of \(Self.nats(Int(threshold))) needed\(more); counted anew just now"
              : "NOT A SCAN by this evidence: \(Self.nats(sum)) of \(Self.nats(Int(threshold))) needed"
          ))
      }
    } else if account.entry != nil {
      rows.append(("seen", "nothing that makes a scan"))
    }
    if let fleet = account.fleet, fleet.standing != .banned, fleet.standing != .ordered { rows += Self.rows(fleet) }
    rows.append(("origin", originText(account)))
    rows.append(("done", doneText(account)))
    if let refusal = account.entry?.refusal, account.block == nil { rows.append(("refused", refusal)) }
    if account.repeats > 0 {
      rows.append(("before", account.repeats == 1 ? "blocked once" : "blocked \(account.repeats) times"))
    }
    return rows.map { LiveWhy.Row(name: $0.0, text: $0.1) }
  }

  /// One line for each host that saw it.
  private static func rows(_ witnesses: [FleetCause.Witness], _ name: String) -> [(String, String)] {
    witnesses.enumerated().map { index, witness in
      (
        index == 0 ? name : "",
        witness.isCrowdSec
          ? "CrowdSec bans it, as is known since \(LocalTime.short(witness.time))"
          : "\(witness.shownName) saw it at a decoy of its own, \(LocalTime.short(witness.time))"
      )
    }
  }

  /// What others saw of somebody whom this host does not block for that.
  private static func rows(_ sight: FleetSight) -> [(String, String)] {
    let isEnough = Set(sight.witnesses.map(\.node)).count > 1 || sight.witnesses.contains { $0.isCrowdSec }
    let what =
      switch sight.standing {
      case .watched where isEnough: "one connection with a decoy of this host is enough to block it"
      case .watched: "two connections with decoys of this host are enough to block it"
      default: "enough for a ban of the fleet, which is not in force here"
      }
    return [("fleet", "\(FleetCause.hosts(sight.witnesses)); \(what)")] + rows(sight.witnesses, "")
  }

  private static func rows(_ cause: FleetCause) -> [(String, String)] {
    var rows = rows(cause.witnesses, "evidence")
    switch cause.basis {
    case .quorum(let quorum):
      rows.append(("verdict", "a scanner, by the fleet: \(cause.witnesses.count) of \(quorum) hosts needed"))
    case .hearsay(let weight, let ports, let threshold):
      let own = nats(Int(FleetCause.ownContact) * ports.count)
      rows.append(
        (
          "verdict",
          "a scanner: \(own) by connections with decoys here, \(nats(Int(weight))) by what the fleet says, of \(nats(Int(threshold))) needed"
        ))
    case .order: rows.append(("verdict", "an operator of the fleet bans it"))
    case .crowdSec(let scenario):
      rows.append(("verdict", "CrowdSec bans it for \(scenario), and its bans are followed here (CROWDSEC_DECISIONS)"))
    }
    return rows
  }

  private static func json(_ cause: FleetCause) -> JSON {
    .object([
      "rule": "fleet", "basis": .string(cause.basisName), "holds": .bool(cause.holds),
      "witnesses": .array(cause.witnesses.map(EventText.json)),
    ])
  }

  private func originText(_ account: Account) -> String {
    guard let origin = account.origin else {
      if case .fleet(let cause)? = account.grounds?.accusation, !cause.witnesses.isEmpty {
        return "proven to others: it completed TCP handshakes with their decoys"
      }
      return account.entry == nil && account.block == nil
        ? "nothing to prove"
        : "unproven: anybody can write this address on a packet"
    }
    let how =
      switch origin.proof {
      case .decoy: "it completed a TCP handshake with the decoy on port \(origin.port)"
      case .listener: "it completed a TCP handshake on port \(origin.port)"
      case .handshake: "it acknowledged what only a receiver of our packets can know, on port \(origin.port)"
      }
    return "proven: \(how), \(LocalTime.short(origin.time))"
  }

  private func doneText(_ account: Account) -> String {
    var parts: [String] = []
    if let block = account.block {
      let whole = block.network.isHost ? "" : " as part of \(block.network)"
      let end = block.until.map { "until \(LocalTime.short($0))" } ?? "until released"
      parts.append(
        "blocked\(whole) by \(block.methods.map(\.rawValue).joined(separator: ", ")) since \(LocalTime.short(block.record.since)), \(end)"
      )
      if block.record.grounds == nil { parts.append("because: \(block.record.reason)") }
    }
    if account.block == nil, let doubt = account.doubt {
      parts.append("doubted for \(Term.text(doubt)) more: it sees every port open")
    }
    return parts.isEmpty ? "nothing" : parts.joined(separator: "; ")
  }

  /// Thousandths of a nat as a decimal number.
  private static func nats(_ thousandths: Int, sign: Bool = false) -> String {
    let digits = String(thousandths.magnitude % 1000)
    let lead = thousandths < 0 ? "-" : sign ? "+" : ""
    return "\(lead)\(thousandths.magnitude / 1000).\(String(repeating: "0", count: 3 - digits.count))\(digits)"
  }

  private static func json(_ accusation: Grounds.Accusation) -> JSON {
    switch accusation {
    case .touch(let technique, let transport, let port, let trigger):
      return .object([
        "rule": "classic", "technique": .string(technique.name), "protocol": .string(transport.name),
        "port": JSON(Int(port)), "scan_trigger": JSON(trigger), "holds": .bool(accusation.holds),
      ])
    case .fleet(let cause): return json(cause)
    case .verdict(let kind, let tool, let evidence, let score, let threshold):
      return .object([
        "rule": "native", "kind": .string(kind.name), "tool": .string(tool.name), "score": .points(score),
        "threshold": .points(threshold), "sum": .points(Grounds.Accusation.sum(evidence)),
        "holds": .bool(accusation.holds),
        "evidence": .array(
          evidence.map {
            .object([
              "kind": .string($0.kind.name), "technique": .string($0.technique.name), "port": JSON(Int($0.port)),
              "weight": .points($0.weight),
            ])
          }),
      ])
    }
  }

  private static func json(_ sight: FleetSight) -> JSON {
    .object([
      "standing": .string(sight.standing.rawValue),
      "hosts": JSON(Set(sight.witnesses.lazy.filter { !$0.isCrowdSec }.map(\.node)).count),
      "witnesses": .array(sight.witnesses.map(EventText.json)),
    ])
  }

  private func json(_ account: Account) -> JSON {
    var members: [(String, JSON)] = [("shape", 1), ("address", .string("\(account.address)"))]
    members.append(("verdict", account.grounds.map { Self.json($0.accusation) } ?? .null))
    members.append(("origin", .string(account.origin == nil ? Origin.unproven.name : Origin.proven.name)))
    members.append(
      (
        "proof",
        account.origin.map {
          .object(["by": .string($0.proof.name), "port": JSON(Int($0.port)), "time": .time($0.time)])
        } ?? .null
      ))
    members.append(
      (
        "block",
        account.block.map { block in
          .object([
            "network": .string("\(block.network)"), "since": JSON(Int(block.record.since.seconds)),
            "until": block.until.map { JSON(Int($0.seconds)) } ?? .null,
            "methods": .array(block.methods.map { .string($0.rawValue) }), "reason": .string(block.record.reason),
          ])
        } ?? .null
      ))
    members.append(("doubted_seconds", account.doubt.map { JSON(Int($0.components.seconds)) } ?? .null))
    members.append(("refused", JSON(account.entry?.refusal)))
    members.append(("never_blocked", JSON(account.safe ?? ignoring.reason(for: account.address))))
    members.append(("fleet", account.fleet.map(Self.json) ?? .null))
    members += [("is_served", .bool(account.isServed)), ("blocked_before", JSON(account.repeats))]
    let rows = rows(account).map { JSON.object(["name": .string($0.name), "text": .string($0.text)]) }
    members.append(("rows", .array(rows)))
    return .members(members)
  }
}
