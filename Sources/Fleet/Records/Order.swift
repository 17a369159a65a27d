import Wire

/// What an operator wants of all nodes, signed by the operator's key.
///
/// version 1 · verb 1 · operator's number 4 · time µs 8 · network 16 + 1 · until µs 8 · node 4 · length of reason 1 · reason · signature 64.
package struct Order: FleetRecord, Hashable {
  package enum Verb: UInt8, Sendable, CaseIterable {
    /// Ends all bans in the network, and what was said of it up to then never counts again.
    case unban = 1
    /// Nobody in the network is banned by the fleet until then. Until its own time or earlier: the allowance ends.
    case allow = 2
    /// Nothing counts that the node said or says with certificates that begin no later than this order.
    case revoke = 3
    /// Bans the network until then, on nodes where nothing speaks against it.
    case ban = 4
  }

  static let version: UInt8 = 1
  static let tag = "portsentry fleet order"
  package static let longestReason = 80
  /// The longest there is.
  package static let mostBytes = 44 + longestReason + 64

  package struct Body: Hashable, Sendable {
    package var verb: Verb
    /// The operator's number, from his certificate.
    package var issuer: NodeNumber
    package var time: Timestamp
    /// `::/128` for `.revoke`.
    package var network: IPNetwork
    /// 0 where it is not used: `.unban`, `.revoke`.
    package var until: Timestamp
    /// 0 but for `.revoke`.
    package var node: NodeNumber
    /// Printable ASCII, for people.
    package var reason: String

    package init(
      _ verb: Verb, by issuer: NodeNumber, at time: Timestamp, network: IPNetwork = IPNetwork(.unspecified),
      until: Timestamp = .distantPast, node: NodeNumber = 0, reason: String = ""
    ) {
      self.verb = verb
      self.issuer = issuer
      self.time = time.inMicroseconds
      self.network = network
      self.until = until.inMicroseconds
      self.node = node
      self.reason = reason
    }

    /// Why it cannot be written down; nil where it can.
    package var problem: MalformedRecord? {
      let reason = Array(reason.utf8)
      if reason.count > Order.longestReason || !reason.allSatisfy({ (0x20...0x7e).contains($0) }) {
        return .field(.reason)
      }
      switch verb {
      case .revoke:
        if network != IPNetwork(.unspecified) { return .field(.address) }
      case .ban, .unban, .allow:
        if node != 0 { return .field(.count) }
      }
      // Whole providers are not shut out by one order, nor is a network from which all of a fleet could be.
      if verb == .ban, network.length < (network.isV4 ? 16 : 32) { return .field(.prefix) }
      if verb == .ban ? until <= time : verb != .allow && until != .distantPast { return .field(.time) }
      return nil
    }
  }

  package let body: Body
  package let signature: Signature

  package init(_ body: Body, _ signature: Signature) {
    self.body = body
    self.signature = signature
  }

  /// - Parameter body: without a `problem`.
  package init(_ body: Body, in fleet: FleetID, signedBy signer: some Signer) {
    precondition(body.problem == nil)
    self.init(body, signer.sign(fleet.message(Self.tag, body.encoded)))
  }

  package func isSigned(by key: PublicKey, in fleet: FleetID, _ verifier: some Verifier) -> Bool {
    verifier.isValid(signature, of: fleet.message(Self.tag, body.encoded), by: key)
  }

  package var encoded: [UInt8] { body.encoded + signature.array }

  package init(_ bytes: RawSpan) throws(MalformedRecord) {
    var reader = FieldReader(bytes)
    body = try Body(&reader)
    try reader.need(64)
    signature = reader.signature()
    try reader.end()
    if let problem = body.problem { throw problem }
  }
}

extension Order.Body {
  package var encoded: [UInt8] {
    var bytes: [UInt8] = [Order.version, verb.rawValue]
    bytes.put(issuer)
    bytes.put(time)
    bytes.put(network)
    bytes.put(until)
    bytes.put(node)
    bytes.put(UInt8(clamping: reason.utf8.count))
    bytes += reason.utf8
    return bytes
  }

  fileprivate init(_ reader: inout FieldReader) throws(MalformedRecord) {
    try reader.need(44)
    let version = reader.u8()
    guard version == Order.version else { throw .version(version) }
    let number = reader.u8()
    guard let verb = Order.Verb(rawValue: number) else { throw .kind(number) }
    self.verb = verb
    issuer = reader.u32()
    time = try reader.time()
    network = try reader.network()
    until = try reader.time()
    node = reader.u32()
    let length = Int(reader.u8())
    guard length <= Order.longestReason else { throw .field(.reason) }
    try reader.need(length)
    reason = String(decoding: reader.array(length), as: UTF8.self)
  }
}
