import Wire

/// What one node saw of one source, signed by it: 115 bytes. Only a handshake of the source with a decoy of the node's own makes one that
/// accuses.
///
/// version 1 · kind 1 · node 4 · time µs 8 · address 16 · prefix length 1 · first 4 · last 4 · distinct ports 2 · tool 1 ·
/// technique 1 · four ports 8 · signature 64. Big-endian.
package struct Testimony: FleetRecord, Hashable {
  package enum Kind: UInt8, Sendable, CaseIterable {
    /// The node lives, and this is its clock. Of no address.
    case alive = 0
    /// The address completed a connection with a decoy.
    case contact = 1
    /// The same, and the node's own rule calls it a scanner.
    case verdict = 2
    /// The node takes back what it said of the address up to then.
    case retraction = 3
    /// A packet with the address touched the node, without a connection: anybody can have sent it. It accuses nobody; where many nodes
    /// were touched it is a campaign.
    case probe = 4

    /// Whether it speaks against its address.
    package var accuses: Bool { self == .contact || self == .verdict }
  }

  package static let size = 115
  static let version: UInt8 = 1
  static let tag = "portsentry fleet testimony"

  /// What is signed.
  package struct Body: Hashable, Sendable {
    package var kind: Kind
    package var node: NodeNumber
    /// When it was written, by the node's clock; whole microseconds.
    package var time: Timestamp
    /// `::` for `.alive`.
    package var address: IPAddress
    /// First and last contact, in seconds since 1970.
    package var first: UInt32 = 0
    package var last: UInt32 = 0
    /// How many different ports of the node's it touched.
    package var distinctPorts: UInt16 = 0
    /// Number of the tool and technique, as the journal keeps them; 0 for none.
    package var tool: UInt8 = 0
    package var technique: UInt8 = 0
    /// The first ports; 0 for none.
    package var ports = SIMD4<UInt16>()

    package init(_ kind: Kind, by node: NodeNumber, of address: IPAddress = .unspecified, at time: Timestamp) {
      self.kind = kind
      self.node = node
      self.address = address
      self.time = time.inMicroseconds
      first = UInt32(clamping: time.seconds)
      last = first
    }
  }

  package let body: Body
  package let signature: Signature

  package init(_ body: Body, _ signature: Signature) {
    self.body = body
    self.signature = signature
  }

  package init(_ body: Body, in fleet: FleetID, signedBy signer: some Signer) {
    self.init(body, signer.sign(fleet.message(Self.tag, body.encoded)))
  }

  package func isSigned(by key: PublicKey, in fleet: FleetID, _ verifier: some Verifier) -> Bool {
    verifier.isValid(signature, of: fleet.message(Self.tag, body.encoded), by: key)
  }

  package var encoded: [UInt8] { body.encoded + signature.array }

  /// Reads what `encoded` wrote. Whether the signature is right is another question.
  package init(_ bytes: RawSpan) throws(MalformedRecord) {
    guard bytes.byteCount == Self.size else { throw .length(bytes.byteCount) }
    var reader = FieldReader(bytes)
    body = try Body(&reader)
    signature = reader.signature()
  }
}

/// A node's number in the fleet, from its certificate.
package typealias NodeNumber = UInt32

extension Testimony.Body {
  package var encoded: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Testimony.size - 64)
    bytes.put(Testimony.version)
    bytes.put(kind.rawValue)
    bytes.put(node)
    bytes.put(time)
    bytes.put(address)
    bytes.put(UInt8(128))
    bytes.put(first)
    bytes.put(last)
    bytes.put(distinctPorts)
    bytes.put(tool)
    bytes.put(technique)
    for index in 0..<4 { bytes.put(ports[index]) }
    return bytes
  }

  /// From at least 51 bytes.
  fileprivate init(_ reader: inout FieldReader) throws(MalformedRecord) {
    let version = reader.u8()
    guard version == Testimony.version else { throw .version(version) }
    let number = reader.u8()
    guard let kind = Testimony.Kind(rawValue: number) else { throw .kind(number) }
    self.kind = kind
    node = reader.u32()
    time = try reader.time()
    address = reader.address()
    // A testimony names one address; what is made of neighbours each node decides by itself.
    guard reader.u8() == 128 else { throw .field(.prefix) }
    first = reader.u32()
    last = reader.u32()
    distinctPorts = reader.u16()
    tool = reader.u8()
    technique = reader.u8()
    for index in 0..<4 { ports[index] = reader.u16() }
    guard (kind == .alive) == (address == .unspecified) else { throw .field(.address) }
    guard first <= last else { throw .field(.time) }
  }
}
