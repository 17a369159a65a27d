/// The ones' complement sum of RFC 1071, over spans and numbers in any order of 16-bit words.
package struct InternetChecksum: ~Copyable {
  var sum: UInt64 = 0

  package init() {}

  /// Adds bytes that start on an even offset; an odd last byte is padded with zero.
  package mutating func add(_ bytes: RawSpan) {
    var offset = 0
    let even = bytes.byteCount & ~1
    // 32 bits at a time: the ones' complement sum does not mind (RFC 1071 section 2 (C)).
    while offset &+ 4 <= even {
      sum &+= UInt64(bytes.u32(at: offset))
      offset &+= 4
    }
    if offset < even {
      sum &+= UInt64(bytes.u16(at: offset))
      offset &+= 2
    }
    if offset < bytes.byteCount { sum &+= UInt64(bytes.u8(at: offset)) << 8 }
  }

  mutating func add(_ address: IPAddress) {
    if address.isV4 {
      sum &+= UInt64(address.v4Bits)
    } else {
      sum &+= (address.high >> 32) &+ (address.high & 0xffff_ffff) &+ (address.low >> 32) &+ (address.low & 0xffff_ffff)
    }
  }

  /// The sum folded to 16 bits: 0xffff over data that carries a right checksum.
  package var folded: UInt16 {
    var s = sum
    while s >> 16 != 0 { s = (s & 0xffff) &+ (s >> 16) }
    return UInt16(truncatingIfNeeded: s)
  }
}

extension RawSpan {
  // Each load is bounds-checked: a wrong offset traps, it does not read beyond the frame.
  @inlinable @inline(__always)
  public func u8(at offset: Int) -> UInt8 {
    unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
  }

  @inlinable @inline(__always)
  public func u16(at offset: Int) -> UInt16 {
    UInt16(bigEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  @inlinable @inline(__always)
  public func u32(at offset: Int) -> UInt32 {
    UInt32(bigEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  @inlinable @inline(__always)
  public func u64(at offset: Int) -> UInt64 {
    UInt64(bigEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  /// Two 32-bit numbers of a little-endian file, the first in the lower half.
  @inlinable @inline(__always)
  public func littlePair(at offset: Int) -> UInt64 {
    UInt64(littleEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
}
