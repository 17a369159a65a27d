/// An IPv4 or IPv6 address as one 128-bit value.
///
/// An IPv4 address is held in its IPv4-mapped form (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2), so the two ways in
/// which a kernel may present the same peer are one value here and nothing later has to canonicalise.
// Public, as all that the packet path reads in other modules: Swift 6.3.1 inlines `@inlinable public` across modules, and `package`
// not, which costs half of the time.
public struct IPAddress: Hashable, Sendable, BitwiseCopyable {
  /// The first eight bytes of the address, as a big-endian number.
  public let high: UInt64
  /// The last eight bytes of the address, as a big-endian number.
  public let low: UInt64

  @inlinable @inline(__always)
  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// An IPv4 address from its 32-bit number: `0x7f000001` is 127.0.0.1.
  @inlinable @inline(__always)
  public init(v4 bits: UInt32) {
    self.init(high: 0, low: 0xffff_0000_0000 | UInt64(bits))
  }

  @inlinable @inline(__always)
  public static func == (a: IPAddress, b: IPAddress) -> Bool { a.low == b.low && a.high == b.high }

  /// `::`, which is also what a listener on all addresses is bound to.
  @inlinable public static var unspecified: IPAddress { IPAddress(high: 0, low: 0) }
  /// 0.0.0.0.
  @inlinable public static var unspecifiedV4: IPAddress { IPAddress(v4: 0) }

  /// Whether this is an IPv4 address, however it was spelt.
  @inlinable @inline(__always)
  public var isV4: Bool { high == 0 && low >> 32 == 0xffff }

  /// The 32-bit number of an IPv4 address; meaningless for IPv6.
  @inlinable @inline(__always)
  public var v4Bits: UInt32 { UInt32(truncatingIfNeeded: low) }

  /// The length of the whole address as a prefix: 32 or 128.
  public var bitWidth: Int { isV4 ? 32 : 128 }

  /// The address in network byte order: 4 bytes for IPv4, 16 for IPv6.
  public var bytes: [UInt8] {
    let all =
      (0..<8).map { UInt8(truncatingIfNeeded: high >> (56 - 8 * $0)) }
      + (0..<8).map { UInt8(truncatingIfNeeded: low >> (56 - 8 * $0)) }
    return isV4 ? Array(all[12...]) : all
  }

  /// Reads an address from 4 or 16 bytes in network byte order; nil for any other count.
  public init?(bytes: some Collection<UInt8>) {
    switch bytes.count {
    case 4:
      self.init(v4: bytes.reduce(0) { $0 << 8 | UInt32($1) })
    case 16:
      self.init(
        high: bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) },
        low: bytes.dropFirst(8).reduce(0) { $0 << 8 | UInt64($1) })
    default:
      return nil
    }
  }

  /// 127.0.0.0/8 or ::1.
  @inlinable public var isLoopback: Bool { isV4 ? v4Bits >> 24 == 127 : high == 0 && low == 1 }
  /// 224.0.0.0/4 or ff00::/8.
  @inlinable public var isMulticast: Bool { isV4 ? v4Bits >> 28 == 0xe : high >> 56 == 0xff }
  /// 0.0.0.0/8 or ::, which no packet may carry as its source (RFC 1122 section 3.2.1.3).
  @inlinable public var isUnspecified: Bool { isV4 ? v4Bits >> 24 == 0 : high == 0 && low == 0 }
  /// 255.255.255.255.
  @inlinable public var isLimitedBroadcast: Bool { isV4 && v4Bits == .max }

  /// Whether an address is somebody's on the Internet: of none of the ranges that are for private use, documentation,
  /// measurement or nobody (IANA's special-purpose registries, RFC 6890).
  package var isPublic: Bool {
    guard isPossiblePeer else { return false }
    if isV4 {
      let b = v4Bits
      switch b >> 24 {
      case 10, 127, 240...255: return false
      default: break
      }
      switch b >> 16 {
      case 0xa9fe, 0xac10...0xac1f, 0xc0a8, 0xc612, 0xc613, 0x6440...0x647f: return false
      default: break
      }
      switch b >> 8 {
      case 0xc0_0000, 0xc0_0002, 0xc6_3364, 0xcb_0071, 0xc0_5863: return false
      default: return true
      }
    }
    // Only 2000::/3 has been given out; in it 2001::/23 is for protocols, 2001:db8::/32 and 3fff::/20 for documentation,
    // 2002::/16 for addresses of IPv4 in disguise.
    return high >> 61 == 1 && high >> 41 != 0x2001_0000_0000_0000 >> 41 && high >> 32 != 0x2001_0db8
      && high >> 48 != 0x2002 && high >> 44 != 0x3fff_0
  }

  /// Whether an address may be somebody: not unspecified, multicast, the limited broadcast, or loopback.
  @inlinable public var isPossiblePeer: Bool { !isUnspecified && !isMulticast && !isLimitedBroadcast && !isLoopback }
}

extension IPAddress: Comparable {
  @inlinable
  public static func < (a: IPAddress, b: IPAddress) -> Bool { (a.high, a.low) < (b.high, b.low) }
}

extension IPAddress: LosslessStringConvertible {
  /// Reads dotted IPv4 or any RFC 4291 text form of IPv6, upper or lower case, without a zone.
  public init?(_ text: some StringProtocol) {
    guard let address = AddressText.parse(Array(text.utf8)[...]) else { return nil }
    self = address
  }
}

extension IPAddress: CustomStringConvertible {
  /// Dotted decimal, or the canonical IPv6 text of RFC 5952.
  public var description: String {
    if isV4 {
      let b = v4Bits
      return "\(b >> 24).\(b >> 16 & 255).\(b >> 8 & 255).\(b & 255)"
    }
    let groups = (0..<8).map { UInt16(truncatingIfNeeded: ($0 < 4 ? high : low) >> (48 - 16 * UInt64($0 % 4))) }
    // RFC 5952 section 4.2: the longest run of two or more zero groups is shortened, the first one on a tie.
    var best = 0..<0
    var start = 0
    while start < 8 {
      var end = start
      while end < 8, groups[end] == 0 { end += 1 }
      if end - start > max(best.count, 1) { best = start..<end }
      start = max(end, start + 1)
    }
    func text(_ slice: ArraySlice<UInt16>) -> String {
      slice.map { String($0, radix: 16) }.joined(separator: ":")
    }
    if best.isEmpty { return text(groups[...]) }
    return text(groups[..<best.lowerBound]) + "::" + text(groups[best.upperBound...])
  }
}
