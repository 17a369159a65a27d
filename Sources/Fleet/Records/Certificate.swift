import Wire

/// Who is of the fleet, signed by the fleet's key: a hash of the engine has one for each member.
///
/// version 1 · role 1 · number 4 · zone 2 · key 32 · valid from µs 8 · until µs 8 · length of name 1 · name · count of addresses 1 ·
/// (address 16 · prefix length 1) each · signature 64.
package struct Certificate: FleetRecord, Hashable {
  package enum Role: UInt8, Sendable, CaseIterable {
    /// Testifies.
    case node = 1
    /// Gives orders.
    case operator_ = 2
  }

  static let version: UInt8 = 1
  static let tag = "portsentry fleet certificate"
  /// Of one member.
  package static let mostAddresses = 64
  package static let longestName = 63
  /// The longest there is.
  package static let mostBytes = 58 + longestName + 17 * mostAddresses + 64

  package struct Body: Hashable, Sendable {
    package var role: Role
    package var number: NodeNumber
    /// Nodes that one administrator, provider or break-in may have together are of one zone.
    package var zone: UInt16
    package var key: PublicKey
    /// Of two certificates for one number the one that begins later counts.
    package var from: Timestamp
    package var until: Timestamp
    /// For people: letters, digits, `.`, `_` and `-`.
    package var name: String
    /// Where the member is itself: nobody is banned there.
    package var addresses: [IPNetwork]

    package init(
      _ role: Role, _ number: NodeNumber, zone: UInt16, key: PublicKey, from: Timestamp, until: Timestamp,
      name: String, addresses: [IPNetwork] = []
    ) {
      self.role = role
      self.number = number
      self.zone = zone
      self.key = key
      self.from = from.inMicroseconds
      self.until = until.inMicroseconds
      self.name = name
      self.addresses = addresses
    }

    /// Whether it can be written down.
    package var isSound: Bool {
      Self.isName(Array(name.utf8)) && addresses.count <= Certificate.mostAddresses && from <= until
    }

    static func isName(_ bytes: [UInt8]) -> Bool {
      (1...Certificate.longestName).contains(bytes.count)
        && bytes.allSatisfy {
          switch $0 {
          case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
          default: false
          }
        }
    }
  }

  package let body: Body
  package let signature: Signature

  package init(_ body: Body, _ signature: Signature) {
    self.body = body
    self.signature = signature
  }

  /// - Parameter signer: the holder of the fleet's key.
  package init(_ body: Body, in fleet: FleetID, signedBy signer: some Signer) {
    precondition(body.isSound)
    self.init(body, signer.sign(fleet.message(Self.tag, body.encoded)))
  }

  package func isSigned(in fleet: FleetID, _ verifier: some Verifier) -> Bool {
    verifier.isValid(signature, of: fleet.message(Self.tag, body.encoded), by: fleet.key)
  }

  package var encoded: [UInt8] { body.encoded + signature.array }

  package init(_ bytes: RawSpan) throws(MalformedRecord) {
    var reader = FieldReader(bytes)
    body = try Body(&reader)
    try reader.need(64)
    signature = reader.signature()
    try reader.end()
  }
}

extension Certificate.Body {
  package var encoded: [UInt8] {
    var bytes: [UInt8] = [Certificate.version, role.rawValue]
    bytes.put(number)
    bytes.put(zone)
    bytes += key.array
    bytes.put(from)
    bytes.put(until)
    bytes.put(UInt8(clamping: name.utf8.count))
    bytes += name.utf8
    bytes.put(UInt8(clamping: addresses.count))
    for network in addresses { bytes.put(network) }
    return bytes
  }

  fileprivate init(_ reader: inout FieldReader) throws(MalformedRecord) {
    try reader.need(57)
    let version = reader.u8()
    guard version == Certificate.version else { throw .version(version) }
    guard let role = Certificate.Role(rawValue: reader.u8()) else { throw .field(.role) }
    self.role = role
    number = reader.u32()
    zone = reader.u16()
    key = reader.publicKey()
    from = try reader.time()
    until = try reader.time()
    guard from <= until else { throw .field(.validity) }
    let length = Int(reader.u8())
    try reader.need(length + 1)
    let name = reader.array(length)
    guard Self.isName(name) else { throw .field(.name) }
    self.name = String(decoding: name, as: UTF8.self)
    let count = Int(reader.u8())
    guard count <= Certificate.mostAddresses else { throw .field(.count) }
    try reader.need(17 * count)
    addresses = []
    for _ in 0..<count { addresses.append(try reader.network()) }
  }
}
