import Wire

/// A keyed 64-bit hash, so that a stranger cannot choose addresses that collide in our tables. Two rounds of multiply
/// and fold over secret keys (wyhash's mixing step): not a MAC, but unpredictable without the key.
struct KeyedHash: Sendable {
  private let a: UInt64
  private let b: UInt64

  init(key: (UInt64, UInt64)) {
    // Odd constants keep a zero key from making a zero product.
    a = key.0 | 1
    b = key.1 | 1
  }

  @inline(__always)
  func callAsFunction(_ address: IPAddress, _ extra: UInt64) -> UInt64 {
    let first = Self.fold(address.high ^ a, address.low ^ b)
    return Self.fold(first ^ extra ^ b, a ^ 0x9e37_79b9_7f4a_7c15)
  }

  /// Of a flow whose first packet went from `source` to `target`; odd.
  @inline(__always)
  func callAsFunction(
    _ source: IPAddress, _ sourcePort: UInt16, _ target: IPAddress, _ targetPort: UInt16, _ number: UInt8
  ) -> UInt64 {
    let first = self(source, UInt64(sourcePort) << 24 | UInt64(targetPort) << 8 | UInt64(number))
    return self(target, first) | 1
  }

  @inline(__always)
  private static func fold(_ x: UInt64, _ y: UInt64) -> UInt64 {
    let product = x.multipliedFullWidth(by: y)
    return product.high ^ product.low
  }
}
