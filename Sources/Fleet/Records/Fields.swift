import Wire

/// Why bytes are no record. One encoding is valid for each value.
package enum MalformedRecord: Error, Equatable, Sendable, CustomStringConvertible {
  case length(Int)
  /// From a newer program, or none of ours.
  case version(UInt8)
  case kind(UInt8)
  /// A field has a value that it cannot have.
  case field(StaticName)

  package enum StaticName: String, Sendable {
    case address, time, name, role, reason, count, prefix, validity, ports
  }

  package var description: String {
    switch self {
    case .length(let count): "a record of \(count) bytes"
    case .version(let version): "a record of version \(version), which this program does not know"
    case .kind(let kind): "a record of kind \(kind), which this program does not know"
    case .field(let name): "a record with an invalid \(name.rawValue)"
    }
  }
}

/// Reads fields one after another, all of them big-endian. `need` comes before each group.
struct FieldReader: ~Escapable {
  private var bytes: RawSpan
  private let total: Int

  @_lifetime(copy bytes)
  init(_ bytes: RawSpan) {
    self.bytes = bytes
    total = bytes.byteCount
  }

  var left: Int { bytes.byteCount }

  func need(_ count: Int) throws(MalformedRecord) { if bytes.byteCount < count { throw .length(total) } }

  /// Throws where something is left.
  func end() throws(MalformedRecord) { if bytes.byteCount != 0 { throw .length(total) } }

  mutating func u8() -> UInt8 {
    defer { drop(1) }
    return bytes.u8(at: 0)
  }

  mutating func u16() -> UInt16 {
    defer { drop(2) }
    return bytes.u16(at: 0)
  }

  mutating func u32() -> UInt32 {
    defer { drop(4) }
    return bytes.u32(at: 0)
  }

  mutating func u64() -> UInt64 {
    defer { drop(8) }
    return bytes.u64(at: 0)
  }

  /// A moment in microseconds; throws for one beyond the year 2262.
  mutating func time() throws(MalformedRecord) -> Timestamp {
    let microseconds = u64()
    guard microseconds < 1 << 53 else { throw .field(.time) }
    return Timestamp(nanoseconds: Int64(microseconds) * 1000)
  }

  mutating func address() -> IPAddress { IPAddress(high: u64(), low: u64()) }

  /// An address and its prefix length within 128 bits: an IPv4 /24 is 120. Throws where host bits are set.
  mutating func network() throws(MalformedRecord) -> IPNetwork {
    let address = address()
    let length = Int(u8())
    guard length <= 128, !address.isV4 || length >= 96,
      let network = IPNetwork(address, length: address.isV4 ? length - 96 : length), network.address == address
    else { throw .field(.prefix) }
    return network
  }

  mutating func array(_ count: Int) -> [UInt8] {
    defer { drop(count) }
    var array: [UInt8] = []
    array.reserveCapacity(count)
    for index in 0..<count { array.append(bytes.u8(at: index)) }
    return array
  }

  mutating func publicKey() -> PublicKey {
    defer { drop(32) }
    // The span checks its bounds.
    return PublicKey(unsafe bytes.unsafeLoadUnaligned(as: SIMD32<UInt8>.self))
  }

  mutating func signature() -> Signature {
    defer { drop(64) }
    return Signature(unsafe bytes.unsafeLoadUnaligned(as: SIMD64<UInt8>.self))
  }

  /// A part of what is left, to be read by itself.
  @_lifetime(copy self)
  mutating func part(_ count: Int) -> RawSpan {
    let part = bytes.extracting(first: count)
    drop(count)
    return part
  }

  private mutating func drop(_ count: Int) { bytes = bytes.extracting(droppingFirst: count) }
}

/// What is written down, and read again to the byte.
package protocol FleetRecord: Sendable, Equatable {
  var encoded: [UInt8] { get }
  init(_ bytes: RawSpan) throws(MalformedRecord)
}

extension FleetRecord {
  package init(_ bytes: [UInt8]) throws(MalformedRecord) { self = try unsafe Self(bytes.span.bytes) }
}

// Not named `append`: an array of bytes would take a number without a type for any of them.
extension [UInt8] {
  mutating func put(_ value: UInt8) { append(value) }

  mutating func put(_ value: UInt16) {
    append(UInt8(value >> 8))
    append(UInt8(truncatingIfNeeded: value))
  }

  mutating func put(_ value: UInt32) {
    put(UInt16(value >> 16))
    put(UInt16(truncatingIfNeeded: value))
  }

  mutating func put(_ value: UInt64) {
    put(UInt32(value >> 32))
    put(UInt32(truncatingIfNeeded: value))
  }

  mutating func put(_ time: Timestamp) { put(UInt64(clamping: time.nanoseconds / 1000)) }

  mutating func put(_ address: IPAddress) {
    put(address.high)
    put(address.low)
  }

  mutating func put(_ network: IPNetwork) {
    put(network.address)
    put(UInt8(network.isV4 ? network.length + 96 : network.length))
  }
}

extension Timestamp {
  /// Cut to what records carry.
  var inMicroseconds: Timestamp { Timestamp(nanoseconds: nanoseconds / 1000 * 1000) }
}
