import Wire

/// What hosts of the fleet have seen of a source. It comes from a ledger that has proven each of them; here it is only joined with what is
/// known of this host.
package struct FleetCause: Equatable, Sendable {
  package struct Witness: Equatable, Sendable {
    package var node: UInt32
    /// From its certificate: letters, digits, `.`, `_` and `-`.
    package var name: String
    package var time: Timestamp

    package init(node: UInt32, name: String, at time: Timestamp) {
      self.node = node
      self.name = name
      self.time = time
    }
  }

  package enum Basis: Equatable, Sendable {
    /// So many hosts have to have seen it.
    case quorum(Int)
    /// Fewer did: their word, and connections with decoys of this host; thousandths of a nat.
    case hearsay(weight: Int32, ownPorts: [UInt16], threshold: Int32)
    /// An operator of the fleet ordered it.
    case order(operator: UInt32)
    /// CrowdSec bans it, for what is named here, and this host is to follow.
    case crowdSec(scenario: String)
  }

  /// The number of the witness that stands for CrowdSec: no node of a fleet has it.
  package static let crowdSecNode: UInt32 = 0

  package var basis: Basis
  package var witnesses: [Witness]

  package init(_ basis: Basis, _ witnesses: [Witness]) {
    self.basis = basis
    self.witnesses = witnesses
  }

  /// What one connection with a decoy of this host weighs beside hearsay: as much as the rarest port does by the native rule.
  package static let ownContact: Int32 = 2200
  /// What hearsay weighs at most: with one own connection just the threshold of 4,595.
  package static let mostHearsay: Int32 = 2395

  /// Whether what is kept is enough, counted anew.
  package var holds: Bool {
    switch basis {
    case .quorum(let quorum): Set(witnesses.map(\.node)).count >= quorum
    case .hearsay(let weight, let ports, let threshold):
      !ports.isEmpty && weight <= Self.mostHearsay && weight + Int32(ports.count) * Self.ownContact >= threshold
    case .order, .crowdSec: true
    }
  }

  /// In few words.
  package var summary: String {
    let hosts = Self.hosts(witnesses)
    switch basis {
    case .quorum: return hosts
    case .hearsay(_, let ports, _):
      return
        "connections with \(ports.count == 1 ? "port" : "ports") \(ports.map { "\($0)" }.joined(separator: ", ")); \(hosts)"
    case .order(let number): return "order of the fleet's operator \(number)"
    case .crowdSec(let scenario): return "CrowdSec bans it (\(scenario))"
    }
  }
}

extension FleetCause {
  /// In one word, for programs.
  package var basisName: String {
    switch basis {
    case .quorum: "quorum"
    case .hearsay: "hearsay"
    case .order: "order"
    case .crowdSec: "crowdsec"
    }
  }

  /// `3 hosts of the fleet saw it (web1, web2, db)`, `CrowdSec bans it`, or both.
  package static func hosts(_ witnesses: [Witness]) -> String {
    let hosts = witnesses.filter { !$0.isCrowdSec }
    let count = Set(hosts.map(\.node)).count
    let names = hosts.map(\.shownName).joined(separator: ", ")
    var parts = ["\(count) \(count == 1 ? "host" : "hosts") of the fleet saw it (\(names))"]
    if hosts.count < witnesses.count { parts = (hosts.isEmpty ? [] : parts) + ["CrowdSec bans it"] }
    return parts.joined(separator: "; ")
  }
}

extension FleetCause.Witness {
  /// It is no host: CrowdSec's local API said so.
  package var isCrowdSec: Bool { node == FleetCause.crowdSecNode }

  package static func crowdSec(at time: Timestamp) -> Self {
    Self(node: FleetCause.crowdSecNode, name: "CrowdSec", at: time)
  }

  /// Its name, or its number where no certificate gave one.
  package var shownName: String { name.isEmpty ? "node \(node)" : name }
}

// MARK: Written down

extension FleetCause {
  /// `quorum 3 7:web1:1800000000 …`, `hearsay 2395 4595 22,23 7:web1:1800000000 …` or `order 60000`: words parted by blanks.
  var words: [String] {
    let seen = witnesses.map { "\($0.node):\($0.name):\($0.time.seconds)" }
    switch basis {
    case .quorum(let quorum): return ["quorum", "\(quorum)"] + seen
    case .hearsay(let weight, let ports, let threshold):
      return ["hearsay", "\(weight)", "\(threshold)", ports.map { "\($0)" }.joined(separator: ",")] + seen
    case .order(let number): return ["order", "\(number)"]
    case .crowdSec(let scenario): return ["crowdsec", scenario] + seen
    }
  }

  /// The most witnesses that are read.
  static let mostWitnesses = 32

  /// Reads what `words` wrote up to `origin` or the end, and takes it away; nil for anything else.
  init?(words: inout ArraySlice<Substring>) {
    switch words.popFirst() {
    case "quorum":
      guard let quorum = words.popFirst().flatMap({ Int($0) }), (1...Self.mostWitnesses).contains(quorum) else {
        return nil
      }
      basis = .quorum(quorum)
    case "hearsay":
      guard let weight = words.popFirst().flatMap({ Int32($0) }), (0...Self.mostHearsay).contains(weight),
        let threshold = words.popFirst().flatMap({ Int32($0) }), threshold >= 0, let list = words.popFirst()
      else { return nil }
      let ports = list.splitBytes(",", omittingEmptySubsequences: false).map { UInt16($0) }
      guard (1...Suspects.contactsOfUser).contains(ports.count), !ports.contains(nil) else { return nil }
      basis = .hearsay(weight: weight, ownPorts: ports.compactMap(\.self), threshold: threshold)
    case "order":
      guard let number = words.popFirst().flatMap({ UInt32($0) }) else { return nil }
      basis = .order(operator: number)
    case "crowdsec":
      guard let scenario = words.popFirst(), Self.isScenario(scenario) else { return nil }
      basis = .crowdSec(scenario: String(scenario))
    default: return nil
    }
    witnesses = []
    while let word = words.first, word != "origin" {
      words.removeFirst()
      let parts = word.splitBytes(":", omittingEmptySubsequences: false)
      guard parts.count == 3, let node = UInt32(parts[0]), Self.isName(parts[1]), let second = Int64(parts[2]),
        (0...9_000_000_000).contains(second), witnesses.count < Self.mostWitnesses
      else { return nil }
      witnesses.append(Witness(node: node, name: String(parts[1]), at: Timestamp(seconds: second)))
    }
  }

  /// A name of CrowdSec's, as `crowdsecurity/ssh-bf`; `-` for none.
  package static func isScenario(_ name: Substring) -> Bool {
    (1...80).contains(name.utf8.count)
      && name.utf8.allSatisfy {
        switch $0 {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x2f, 0x5f: true
        default: false
        }
      }
  }

  private static func isName(_ name: Substring) -> Bool {
    name.utf8.count <= 63
      && name.utf8.allSatisfy {
        switch $0 {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
        default: false
        }
      }
  }
}

/// What hosts of the fleet saw of an address, and what follows here.
package struct FleetSight: Equatable, Sendable {
  /// What follows. The words are those of `why`.
  package enum Standing: String, Sendable {
    /// It is blocked here because of it.
    case banned
    /// An operator of the fleet bans it.
    case ordered
    /// As many saw it as a ban needs, and that is not why it is blocked here, or it is not.
    case spared
    /// Fewer saw it: a connection with a decoy of this host would be enough, or two.
    case watched
  }

  package var standing: Standing
  package var witnesses: [FleetCause.Witness]

  package init(_ standing: Standing, _ witnesses: [FleetCause.Witness]) {
    self.standing = standing
    self.witnesses = witnesses
  }
}

/// What the fleet says of somebody, as an event for `Decisions`. All of it is proven where it comes from.
package enum FleetWord: Equatable, Sendable {
  /// To be banned until then, or until then instead of before. An address, or a network by order.
  case ban(IPNetwork, until: Timestamp, FleetCause)
  /// Fewer than a quorum speak against it; thousandths of a nat, 0 for not any more.
  case watch(IPAddress, weight: Int32, until: Timestamp, [FleetCause.Witness])
  /// What a ban of the fleet, or a watch, rests on is gone.
  case lift(IPNetwork, isOrder: Bool, because: String)
  /// An operator of the fleet lets in, whoever banned.
  case unban(IPNetwork, operator: UInt32)
  /// CrowdSec bans it until then: one connection with a decoy of this host is enough; nil: not any more.
  case crowdSecWatch(IPNetwork, until: Timestamp?, at: Timestamp)
  /// CrowdSec bans it no more; a block that rests on that ends.
  case crowdSecLift(IPNetwork)
}
