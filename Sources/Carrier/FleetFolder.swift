import Fleet
import Platform
import Signing
import Wire

/// The folder of whoever runs a fleet: its key, the operator's and the coordinators' places, those of the nodes until they are handed
/// over, and what is to be said to the engine. Nothing here asks anybody: the fleet's key may stay on a machine without a network.
package struct FleetFolder: Sendable {
  package let path: String

  package init(_ path: String) { self.path = path }

  private var keyPath: String { "\(path)/fleet.key" }
  package var operatorPath: String { "\(path)/operator.node" }
  package var coordinatorPath: String { "\(path)/coordinator.node" }
  /// Commands for redis-cli, or valkey-cli: users, and certificates.
  package var enginePath: String { "\(path)/engine.redis" }
  package func nodePath(_ name: String) -> String { "\(path)/\(name).node" }
  /// Who has which number.
  private var rollPath: String { "\(path)/members" }

  package enum Fault: Error, Sendable, CustomStringConvertible {
    case system(Errno)
    case exists(String)
    case membership(Membership.Fault)
    /// There is no fleet in the folder.
    case none(String)
    case name(String)
    case taken(String)
    case unknown(String)
    case damaged(String)

    package var description: String {
      switch self {
      case .system(let error): "\(error)"
      case .exists(let path): "\(path) is there already: a fleet has one key, and its members know it"
      case .membership(let fault): "\(fault)"
      case .none(let path): "there is no fleet in \(path): make one with `portsentry fleet init`"
      case .name(let name): "\(name) is no name for a node: letters, digits, `.`, `_` and `-`, at most 63"
      case .taken(let name): "\(name) is enrolled already; to enrol it anew revoke it first, and give it another name"
      case .unknown(let name): "\(name) is no node that was enrolled here"
      case .damaged(let path): "\(path) cannot be read"
      }
    }
  }

  /// Of the operator and the first node.
  private static let operatorNumber: NodeNumber = 1_000_000
  private static let validity = Duration.seconds(10 * 365 * 86_400)
  /// Certificates begin a day before they are made: clocks differ.
  private static let before = Duration.seconds(-86_400)

  /// A line of the roll.
  package struct Member: Equatable, Sendable {
    package var number: NodeNumber
    package var zone: UInt16
    package var name: String
  }

  // MARK: Making

  /// A new fleet.
  package func make(
    engine: EngineAddress, plain: [IPNetwork], tls: TLSIdentity? = nil, now: Timestamp
  ) throws(Fault) {
    if Files.stamp(keyPath) != nil { throw .exists(keyPath) }
    if let tls {
      if case .unix = engine { throw .membership(.needless(engine)) }
      do throws(TLSFault) { _ = try TLSContext(tls) } catch { throw .membership(.tls(error)) }
    } else if !engine.isReachedSafely(permitting: IPNetworkSet(plain)) {
      throw .membership(.unencrypted(engine))
    }
    let seed = SigningKey.newSeed()
    let operatorSeed = SigningKey.newSeed()
    guard let key = SigningKey(seed: seed), let operatorKey = SigningKey(seed: operatorSeed) else {
      throw .damaged(keyPath)
    }
    let fleet = FleetID(key.publicKey)
    let certificate = Certificate(
      Certificate.Body(
        .operator_, Self.operatorNumber, zone: 0, key: operatorKey.publicKey, from: now + Self.before,
        until: now + Self.validity,
        name: "operator"), in: fleet, signedBy: key)
    let operators = Membership(
      fleet: fleet, engine: engine, plain: IPNetworkSet(plain), tls: tls, user: "ps-\(fleet.name)-operator",
      password: Self.newPassword(), seed: operatorSeed, certificate: certificate)
    let coordinators = Membership(
      fleet: fleet, engine: engine, plain: IPNetworkSet(plain), tls: tls, user: "ps-\(fleet.name)-coordinator",
      password: Self.newPassword())
    do throws(Errno) {
      try Files.createFolder(path, mode: 0o700)
      try Files.replace(operatorPath, with: Array(operators.text.utf8))
      try Files.replace(coordinatorPath, with: Array(coordinators.text.utf8))
      try Files.replace(rollPath, with: [])
      try Files.replace(
        enginePath,
        with: Array(
          EngineACL.head(fleet, operators: operators, coordinators: coordinators, certificate: certificate).utf8))
      // Last: with it there is a fleet.
      try Files.replace(keyPath, with: Array((Hexadecimal.text(seed) + "\n").utf8))
    } catch { throw .system(error) }
  }

  /// A new node: its file, and its lines for the engine.
  ///
  /// - Parameter addresses: where it is itself; nobody is banned there.
  package func enrol(_ name: String, zone: UInt16, addresses: [IPNetwork], now: Timestamp) throws(Fault) -> Member {
    let (key, operators) = try open()
    var roll = try members()
    if roll.contains(where: { $0.name == name }) { throw .taken(name) }
    let member = Member(number: (roll.map(\.number).max() ?? 0) + 1, zone: zone, name: name)
    let seed = SigningKey.newSeed()
    guard let own = SigningKey(seed: seed) else { throw .damaged(keyPath) }
    let body = Certificate.Body(
      .node, member.number, zone: zone, key: own.publicKey, from: now + Self.before, until: now + Self.validity,
      name: name,
      addresses: addresses)
    guard body.isSound else { throw .name(name) }
    let certificate = Certificate(body, in: operators.fleet, signedBy: key)
    let membership = Membership(
      fleet: operators.fleet, engine: operators.engine, plain: operators.plain, tls: operators.tls,
      user: EngineACL.user(operators.fleet, member.number), password: Self.newPassword(), seed: seed,
      certificate: certificate)
    roll.append(member)
    do throws(Errno) {
      try Files.replace(nodePath(name), with: Array(membership.text.utf8))
      let commands = try Files.read(enginePath)
      try Files.replace(enginePath, with: commands + Array(EngineACL.node(membership, certificate).utf8))
      try Files.replace(
        rollPath, with: Array(roll.map { "\($0.number) \($0.zone) \($0.name)\n" }.joined().utf8))
    } catch { throw .system(error) }
    return member
  }

  // MARK: Reading

  package func members() throws(Fault) -> [Member] {
    let bytes: [UInt8]
    do throws(Errno) { bytes = try Files.read(rollPath) } catch {
      if error.isMissing { throw .none(path) }
      throw .system(error)
    }
    var members: [Member] = []
    for line in String(decoding: bytes, as: UTF8.self).byteLines {
      let words = line.splitBytes(" ")
      guard words.count == 3, let number = NodeNumber(words[0]), let zone = UInt16(words[1]) else {
        throw .damaged(rollPath)
      }
      members.append(Member(number: number, zone: zone, name: String(words[2])))
    }
    return members
  }

  package func operators() throws(Fault) -> Membership {
    do throws(Membership.Fault) { return try Membership.read(operatorPath) } catch {
      if case .system(let system) = error, system.isMissing { throw .none(path) }
      throw .membership(error)
    }
  }

  private func open() throws(Fault) -> (SigningKey, Membership) {
    let operators = try operators()
    let bytes: [UInt8]
    do throws(Errno) { bytes = try Files.read(keyPath, limit: 1 << 10) } catch { throw .system(error) }
    let text = String(decoding: bytes.prefix { $0 != 0x0a }, as: UTF8.self)
    guard let key = Hexadecimal.bytes(text).flatMap({ SigningKey(seed: $0) }), key.publicKey == operators.fleet.key
    else { throw .damaged(keyPath) }
    return (key, operators)
  }

  private static func newPassword() -> String { Hexadecimal.text(SigningKey.newSeed()) }
}

/// Users of the engine and what they may, as lines for redis-cli. Each is set anew as a whole, so that saying it twice does nothing.
package enum EngineACL {
  package static func user(_ fleet: FleetID, _ node: NodeNumber) -> String { "ps-\(fleet.name)-n\(node)" }

  static func head(
    _ fleet: FleetID, operators: Membership, coordinators: Membership, certificate: Certificate
  ) -> String {
    let keys = EngineKeys(fleet)
    let all = "ps:\(fleet.name):*"
    return """
      ACL SETUSER \(operators.user) reset on \(hash(operators.password)) ~\(all) &\(keys.proofs) -@all +auth +ping +xadd +xread +xrange +xrevrange +get +hget +hgetall +hset +hlen +publish
      ACL SETUSER \(coordinators.user) reset on \(hash(coordinators.password)) ~\(all) &\(keys.proofs) -@all +auth +ping +xadd +xread +xrange +xrevrange +xtrim +xlen +get +set +del +hget +hgetall +hset +hlen +publish +scan
      \(entry(keys, certificate))

      """
  }

  static func node(_ membership: Membership, _ certificate: Certificate) -> String {
    let keys = EngineKeys(membership.fleet)
    let own = keys.stream(of: certificate.body.number)
    return """
      ACL SETUSER \(membership.user) reset on \(hash(membership.password)) %RW~\(own) %R~\(keys.proofs) %R~\(keys.orders) %R~\(keys.certificates) %R~\(keys.manifest)* &\(keys.proofs) -@all +auth +ping +xadd +xread +xrange +xrevrange +get +hget +hgetall +subscribe
      \(entry(keys, certificate))

      """
  }

  private static func hash(_ password: String) -> String {
    "#" + Hexadecimal.text(OpenSSLVerifier().digest(Array(password.utf8)).array)
  }

  private static func entry(_ keys: EngineKeys, _ certificate: Certificate) -> String {
    let bytes = certificate.encoded.map { "\\x" + Hexadecimal.text([$0]) }.joined()
    return "HSET \(keys.certificates) \(certificate.body.number) \"\(bytes)\""
  }
}
