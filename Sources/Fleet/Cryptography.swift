/// An Ed25519 public key.
package struct PublicKey: Hashable, Sendable, BitwiseCopyable {
  package let bytes: SIMD32<UInt8>

  package init(_ bytes: SIMD32<UInt8>) { self.bytes = bytes }

  /// nil unless there are 32 bytes.
  package init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == 32 else { return nil }
    self.bytes = SIMD32(bytes)
  }

  package var array: [UInt8] { unsafe withUnsafeBytes(of: bytes) { unsafe Array($0) } }
}

/// An Ed25519 signature.
package struct Signature: Hashable, Sendable, BitwiseCopyable {
  package let bytes: SIMD64<UInt8>

  package init(_ bytes: SIMD64<UInt8>) { self.bytes = bytes }

  /// nil unless there are 64 bytes.
  package init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == 64 else { return nil }
    self.bytes = SIMD64(bytes)
  }

  package var array: [UInt8] { unsafe withUnsafeBytes(of: bytes) { unsafe Array($0) } }
}

/// A SHA-256.
package struct Digest: Hashable, Sendable, BitwiseCopyable {
  package let bytes: SIMD32<UInt8>

  package init(_ bytes: SIMD32<UInt8>) { self.bytes = bytes }

  package var array: [UInt8] { unsafe withUnsafeBytes(of: bytes) { unsafe Array($0) } }
}

/// What the fleet needs of cryptography beside a private key. `Signing` has it from OpenSSL; simulations have a cheaper one.
package protocol Verifier: Sendable {
  /// Whether a signature is that of a message by the holder of a key. False for a key that is none.
  func isValid(_ signature: Signature, of message: [UInt8], by key: PublicKey) -> Bool
  func digest(_ bytes: [UInt8]) -> Digest
}

/// Somebody's private key. It never leaves the process that holds it.
package protocol Signer {
  var publicKey: PublicKey { get }
  func sign(_ message: [UInt8]) -> Signature
}

/// Which fleet: its public key, by which all certificates are signed. The private half is kept offline.
package struct FleetID: Hashable, Sendable {
  package let key: PublicKey

  package init(_ key: PublicKey) { self.key = key }

  /// Sixteen hexadecimal digits, in the names of the engine's keys. What is signed names the whole key.
  package var name: String { (0..<8).map { Self.hex(key.bytes[$0]) }.joined() }

  private static func hex(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }

  /// What is signed: a tag for the kind of record, the fleet, the body. A record of one kind or fleet is none of another.
  func message(_ tag: String, _ body: [UInt8]) -> [UInt8] {
    var message: [UInt8] = []
    message.reserveCapacity(tag.utf8.count + 33 + body.count)
    message += tag.utf8
    message.append(0)
    message += key.array
    message += body
    return message
  }
}
