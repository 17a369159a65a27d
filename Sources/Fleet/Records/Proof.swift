import Wire

/// What several nodes say of one address. With as many as the quorum it is a ban wherever its signatures hold; with fewer it is watched.
///
/// version 1 · count 1 · testimonies 115 each: 347 bytes for three.
package struct Proof: FleetRecord, Hashable {
  static let version: UInt8 = 1
  /// The largest quorum there may be.
  package static let mostWitnesses = 8
  package static let mostBytes = 2 + mostWitnesses * Testimony.size

  /// At least one, all of one address, of one node each.
  package let testimonies: [Testimony]

  package var address: IPAddress { testimonies[0].body.address }
  /// Whether anything in it speaks against the address, or takes that back.
  package var accuses: Bool { testimonies.contains { $0.body.kind != .probe } }

  /// nil where the testimonies are of several addresses, of one node twice, none, or too many.
  package init?(_ testimonies: [Testimony]) {
    guard (1...Self.mostWitnesses).contains(testimonies.count),
      testimonies.allSatisfy({ $0.body.address == testimonies[0].body.address && $0.body.kind != .alive }),
      Set(testimonies.lazy.map(\.body.node)).count == testimonies.count
    else { return nil }
    self.testimonies = testimonies
  }

  package var encoded: [UInt8] {
    var bytes: [UInt8] = [Self.version, UInt8(testimonies.count)]
    bytes.reserveCapacity(2 + testimonies.count * Testimony.size)
    for testimony in testimonies { bytes += testimony.encoded }
    return bytes
  }

  package init(_ bytes: RawSpan) throws(MalformedRecord) {
    var reader = FieldReader(bytes)
    self = try Self(reading: &reader)
    try reader.end()
  }

  /// One of several in a row.
  init(reading reader: inout FieldReader) throws(MalformedRecord) {
    try reader.need(2)
    let version = reader.u8()
    guard version == Self.version else { throw .version(version) }
    let count = Int(reader.u8())
    guard (1...Self.mostWitnesses).contains(count) else { throw .field(.count) }
    try reader.need(count * Testimony.size)
    var testimonies: [Testimony] = []
    for _ in 0..<count { testimonies.append(try Testimony(reader.part(Testimony.size))) }
    guard let proof = Self(testimonies) else { throw .field(.address) }
    self = proof
  }
}

/// A place in a stream of the engine's: Redis' `milliseconds-sequence`.
package struct StreamPosition: Hashable, Comparable, Sendable {
  package var milliseconds: UInt64
  package var sequence: UInt64

  package init(_ milliseconds: UInt64 = 0, _ sequence: UInt64 = 0) {
    self.milliseconds = milliseconds
    self.sequence = sequence
  }

  /// Before the first entry.
  package static let start = StreamPosition()

  package static func < (a: Self, b: Self) -> Bool { (a.milliseconds, a.sequence) < (b.milliseconds, b.sequence) }
}

extension StreamPosition: LosslessStringConvertible {
  package var description: String { "\(milliseconds)-\(sequence)" }

  package init?(_ text: some StringProtocol) {
    let parts = text.splitBytes("-", omittingEmptySubsequences: false)
    guard parts.count == 2, let milliseconds = Self.number(parts[0]), let sequence = Self.number(parts[1])
    else { return nil }
    self.init(milliseconds, sequence)
  }

  private static func number(_ digits: some StringProtocol) -> UInt64? {
    digits.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt64(digits) : nil
  }
}

/// What coordinators send over the channel when they have appended a proof to the stream of proofs: where it stands, and what stood
/// before it as far as the sender knows. Whoever has not seen that reads the stream.
///
/// version 1 · previous 8 + 8 · own position 8 + 8 · proof.
package struct Announcement: FleetRecord, Hashable {
  static let version: UInt8 = 1
  package static let mostBytes = 33 + Proof.mostBytes

  package var previous: StreamPosition
  package var position: StreamPosition
  package var proof: Proof

  package init(_ proof: Proof, at position: StreamPosition, after previous: StreamPosition) {
    self.proof = proof
    self.position = position
    self.previous = previous
  }

  package var encoded: [UInt8] {
    var bytes: [UInt8] = [Self.version]
    for place in [previous, position] {
      bytes.put(place.milliseconds)
      bytes.put(place.sequence)
    }
    return bytes + proof.encoded
  }

  package init(_ bytes: RawSpan) throws(MalformedRecord) {
    var reader = FieldReader(bytes)
    try reader.need(33)
    let version = reader.u8()
    guard version == Self.version else { throw .version(version) }
    previous = StreamPosition(reader.u64(), reader.u64())
    position = StreamPosition(reader.u64(), reader.u64())
    proof = try Proof(reading: &reader)
    try reader.end()
  }
}
