import Wire

/// How this node judges what the fleet says. Each node has its own.
package struct FleetSettings: Sendable, Equatable {
  /// `FLEET_QUORUM`, 2...8: so many nodes must have seen a source themselves. More asks for more nodes to be taken over before they ban
  /// an innocent, and lets a scanner reach more hosts.
  package var quorum = 3
  /// `FLEET_ZONES`, 1...quorum: in so many zones these must be. For what is private it is always one, the node's own.
  package var zones = 1
  /// `FLEET_TIME`: how long a ban lasts from the moment its quorum was complete, less up to `spread`.
  package var time = Duration.seconds(86_400)
  /// `FLEET_MAX`, up to `mostBans`: how many bans of the fleet are in force here. At the end no more are, and that is counted.
  package var maximum = 100_000
  /// Whose certificate this node has; its zone decides about private addresses.
  package var node: NodeNumber
  package var zone: UInt16

  package init(node: NodeNumber, zone: UInt16) {
    self.node = node
    self.zone = zone
  }

  package static let mostBans = 1_000_000
  /// Witnesses of one source must lie within this, and a single one is forgotten after it.
  package static let window = Duration.seconds(86_400)
  /// A record may be ahead of this node's clock by so much.
  package static let mostAhead = Duration.seconds(120)
  /// From here a node's clock is shown as wrong.
  package static let shownSkew = Duration.seconds(60)
  /// Addresses that fewer than a quorum speak against. At the end new ones are not watched, and counted.
  package static let mostWatches = 65_536
  /// Addresses against which one node alone speaks: an eighth, so that a liar does not use up all.
  package static let mostWatchesOfOne = mostWatches / 8

  /// Half-open probes of several nodes belong together within this.
  package static let campaignWindow = Duration.seconds(3600)

  /// By how much bans that began together end apart: a tenth of their time, or half an hour, so that of 100,000 no more than a thousandth
  /// ends in one second; but half of their time at most, so that from an hour down it is more.
  package var spread: Duration { max(time / 10, min(.seconds(1800), time / 2)) }

  static let windowSeconds: Int64 = 86_400
  var timeSeconds: Int64 { time.wholeNanoseconds / 1_000_000_000 }
}

/// Why a record, or one testimony of a proof, is not taken. Counted, never a reason to stop.
package enum Refusal: Int, Error, Sendable, CaseIterable {
  case malformed
  /// The node has no certificate that is known here.
  case unknownNode
  case revoked
  /// It was written before its certificate begins or after it ends.
  case outsideCertificate
  /// There is a newer certificate for the number.
  case supersededCertificate
  case badSignature
  /// More than 120 s ahead of this node's clock.
  case ahead
  /// Of 24 hours ago or more, and not part of a ban in force.
  case old
  /// Loopback, multicast, unspecified: no address that somebody can have.
  case noSource
  /// A private address of another zone.
  case otherZone
  /// Against a member of the fleet: an alarm.
  case member
  /// An order says that it does not count.
  case overruled
  /// `FLEET_MAX` bans are in force.
  case full
  /// Too many addresses are watched, or too many for this node alone.
  case watchesFull
  /// Not an operator's.
  case notOperator
  /// No more members, orders or retractions are kept.
  case noRoom
  /// Its node writes more than a coordinator reads.
  case tooFast
  /// It stands in the stream of another node.
  case foreignStream

  package var name: String {
    switch self {
    case .malformed: "malformed"
    case .unknownNode: "unknown-node"
    case .revoked: "revoked"
    case .outsideCertificate: "outside-certificate"
    case .supersededCertificate: "superseded-certificate"
    case .badSignature: "bad-signature"
    case .ahead: "ahead"
    case .old: "old"
    case .noSource: "no-source"
    case .otherZone: "other-zone"
    case .member: "member"
    case .overruled: "overruled"
    case .full: "full"
    case .watchesFull: "watches-full"
    case .notOperator: "not-operator"
    case .noRoom: "no-room"
    case .tooFast: "too-fast"
    case .foreignStream: "foreign-stream"
    }
  }
}

/// How often what was refused.
package struct RefusalCounts: Sendable, Equatable {
  private var counts = [UInt64](repeating: 0, count: Refusal.allCases.count)

  package init() {}

  package subscript(refusal: Refusal) -> UInt64 { counts[refusal.rawValue] }
  package var total: UInt64 { counts.reduce(0, &+) }
  mutating func note(_ refusal: Refusal) { counts[refusal.rawValue] &+= 1 }

  /// Those that happened.
  package var nonzero: [(refusal: Refusal, count: UInt64)] {
    Refusal.allCases.filter { self[$0] > 0 }.map { ($0, self[$0]) }
  }
}

/// Somebody who saw a source, and when.
package struct Witness: Hashable, Sendable {
  package var node: NodeNumber
  package var zone: UInt16
  /// From its certificate.
  package var name: String
  /// Whole seconds.
  package var time: Timestamp

  package init(node: NodeNumber, zone: UInt16, name: String, time: Timestamp) {
    self.node = node
    self.zone = zone
    self.name = name
    self.time = time
  }
}

/// What follows for this node from what was taken.
package enum FleetChange: Sendable, Equatable {
  /// A quorum has seen it: to be banned until then, or until then instead of earlier.
  case ban(IPAddress, until: Timestamp, witnesses: [Witness])
  /// An operator bans it.
  case banByOrder(IPNetwork, until: Timestamp, operator: NodeNumber, reason: String)
  /// Fewer have seen it: what they say counts as so many thousandths of a nat, beside an own handshake with a decoy.
  case watch(IPAddress, weight: Int32, until: Timestamp, witnesses: [Witness])
  /// The ban of the fleet, and the watch, end: what they rest on is gone.
  case lift(IPAddress, LiftReason)
  /// An operator lets in.
  case unban(IPNetwork, operator: NodeNumber)
  /// The fleet bans nobody in it until then; nil for ever. In the past: not any more.
  case allow(IPNetwork, until: Timestamp?, operator: NodeNumber)
  /// The ban by order ends: its operator was revoked, or somebody in it is allowed.
  case liftOrder(IPNetwork, LiftReason)
  /// Somebody speaks against a member of the fleet. Once an hour for each address.
  case alarm(IPAddress, member: NodeNumber, by: NodeNumber)
  /// So many nodes as a quorum asks for were touched by packets with the address within an hour, which anybody can have sent. Once an
  /// hour for each address.
  case campaign(IPAddress, witnesses: [Witness])
  /// Something that was refused before may count now: the snapshot is to be read again.
  case resync
}

package enum LiftReason: Hashable, Sendable {
  /// A witness was revoked.
  case revoked(NodeNumber)
  /// A witness took it back.
  case retracted(NodeNumber)
  case overruled(operator: NodeNumber)
  /// It is the address of a member.
  case member(NodeNumber)
  /// The certificate of a witness was replaced by one that begins later.
  case recertified(NodeNumber)
}

/// What hearsay weighs, in thousandths of a nat.
package enum Hearsay {
  /// A connection with a decoy weighs 2,200, and the threshold is 4,595: with two witnesses one own handshake is enough, with one two are.
  package static let ofOne: Int32 = 2200
  /// However many say so.
  package static let most: Int32 = 2395

  package static func weight(witnesses: Int) -> Int32 { witnesses <= 0 ? 0 : witnesses == 1 ? ofOne : most }
}

extension IPAddress {
  /// Whether another network may have another host of this address: private, shared (CGNAT) or link-local.
  package var isBoundToZone: Bool {
    guard isV4 else { return high >> 57 == 0xfc >> 1 || high >> 54 == 0xfe80 >> 6 }
    let bits = v4Bits
    return bits >> 24 == 10 || bits >> 20 == 0xac1 || bits >> 16 == 0xc0a8 || bits >> 22 == 0x6440 >> 6
      || bits >> 16 == 0xa9fe
  }
}
