import Wire

/// Who is of the fleet: certificates and revocations. A function of what was taken, in whatever order.
package struct Roster: Sendable {
  /// At most so many numbers.
  package static let mostMembers = 65_535

  struct Member: Sendable {
    var certificate: Certificate
    var body: Certificate.Body { certificate.body }
  }

  private let fleet: FleetID
  /// Private addresses of members elsewhere are others' here; nil: none is of anywhere.
  private let ownZone: UInt16?
  /// By slot: what tables keep instead of numbers. Slots are not given back.
  private(set) var members: [Member] = []
  private var slots: [NodeNumber: UInt16] = [:]
  /// Also of numbers whose certificate is not known yet.
  private var revocations: [NodeNumber: Order] = [:]
  /// Where members are.
  private var places = NetworkMap<NodeNumber>()

  init(of fleet: FleetID, in zone: UInt16?) {
    self.fleet = fleet
    ownZone = zone
  }

  package var count: Int { members.count }
  package var certificates: [Certificate] { members.map(\.certificate) }
  package var revokingOrders: [Order] { Array(revocations.values) }

  package func certificate(of number: NodeNumber) -> Certificate? { slots[number].map { members[Int($0)].certificate } }
  package func name(of number: NodeNumber) -> String { certificate(of: number)?.body.name ?? "node \(number)" }
  package func isRevoked(_ number: NodeNumber) -> Bool {
    slots[number].map { isRevoked(slot: $0) } ?? (revocations[number] != nil)
  }

  func slot(of number: NodeNumber) -> UInt16? { slots[number] }
  func member(at slot: UInt16) -> Member { members[Int(slot)] }
  func zone(_ slot: UInt16) -> UInt16 { members[Int(slot)].body.zone }

  func isRevoked(slot: UInt16) -> Bool {
    let body = members[Int(slot)].body
    return revocations[body.number].map { $0.body.time >= body.from } ?? false
  }

  /// Whose certificate speaks for a record of that moment.
  func holder(_ number: NodeNumber, _ role: Certificate.Role, at time: Timestamp) throws(Refusal) -> UInt16 {
    guard let slot = slots[number] else { throw .unknownNode }
    let body = members[Int(slot)].body
    guard body.role == role else { throw role == .node ? .unknownNode : .notOperator }
    if isRevoked(slot: slot) { throw .revoked }
    guard Self.covers(body, time) else { throw .outsideCertificate }
    return slot
  }

  /// Whether the member's certificate speaks for a record of that moment.
  func speaks(_ slot: UInt16, at time: Timestamp) -> Bool {
    !isRevoked(slot: slot) && Self.covers(members[Int(slot)].body, time)
  }

  /// In whole seconds, as the tables keep time.
  private static func covers(_ body: Certificate.Body, _ time: Timestamp) -> Bool {
    time.seconds >= body.from.seconds && time.seconds <= body.until.seconds
  }

  /// The member who is at an address.
  func member(at address: IPAddress) -> NodeNumber? { places.first(around: address)?.1 }
  func member(overlapping network: IPNetwork) -> NodeNumber? { places.first(overlapping: network)?.1 }

  enum News: Sendable { case known, joined, replaced(former: Certificate) }

  mutating func take(_ certificate: Certificate, _ verifier: some Verifier, at now: Timestamp) throws(Refusal) -> News {
    let body = certificate.body
    let slot = slots[body.number]
    if let former = slot.map({ members[Int($0)].certificate }) {
      if former == certificate { return .known }
      if !Self.supersedes(certificate, former) { throw .supersededCertificate }
    } else if members.count >= Self.mostMembers {
      throw .noRoom
    }
    if body.until < now { throw .old }
    guard certificate.isSigned(in: fleet, verifier) else { throw .badSignature }
    guard let slot else {
      slots[body.number] = UInt16(members.count)
      members.append(Member(certificate: certificate))
      place(body)
      return .joined
    }
    let former = members[Int(slot)].certificate
    members[Int(slot)].certificate = certificate
    findPlaces()
    return .replaced(former: former)
  }

  /// The later beginning, then the later end: a renewed certificate begins when the former did, one after a revocation after that.
  private static func supersedes(_ new: Certificate, _ old: Certificate) -> Bool {
    if new.body.from != old.body.from { return new.body.from > old.body.from }
    if new.body.until != old.body.until { return new.body.until > old.body.until }
    return old.encoded.lexicographicallyPrecedes(new.encoded)
  }

  /// - Returns: whether it is news.
  @discardableResult
  mutating func revoke(_ order: Order) throws(Refusal) -> Bool {
    let number = order.body.node
    if let former = revocations[number] {
      if former.body.time >= order.body.time { return false }
    } else if revocations.count >= Self.mostMembers {
      throw .noRoom
    }
    revocations[number] = order
    findPlaces()
    return true
  }

  /// Forgets the revocations of an operator who is revoked.
  ///
  /// - Returns: the nodes that are none any more.
  mutating func dropRevocations(by issuer: NodeNumber) -> [NodeNumber] {
    let dropped = revocations.filter { $0.value.body.issuer == issuer && $0.key != issuer }.map(\.key)
    for number in dropped { revocations[number] = nil }
    if !dropped.isEmpty { findPlaces() }
    return dropped
  }

  /// Whoever is revoked may have been taken over, and is no member whom the fleet protects.
  private mutating func findPlaces() {
    places = NetworkMap()
    for slot in members.indices where !isRevoked(slot: UInt16(slot)) { place(members[slot].body) }
  }

  private mutating func place(_ body: Certificate.Body) {
    if revocations[body.number].map({ $0.body.time >= body.from }) ?? false { return }
    // Of two members with one address the lower number, whichever came first.
    for network in body.addresses where !network.address.isBoundToZone || body.zone == ownZone {
      places[network] = min(places[network] ?? body.number, body.number)
    }
  }
}
