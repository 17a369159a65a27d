import COpenSSL
import Fleet

/// Ed25519 and SHA-256 of the system's OpenSSL.
package struct OpenSSLVerifier: Verifier {
  package init() {}

  package func isValid(_ signature: Signature, of message: [UInt8], by key: PublicKey) -> Bool {
    var key = key.bytes
    let loaded = unsafe withUnsafeBytes(of: &key) {
      unsafe EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, $0.baseAddress, 32)
    }
    // It takes any 32 bytes for a key, and finds out at the signature.
    guard let loaded = unsafe loaded, let context = unsafe EVP_MD_CTX_new() else { return false }
    defer {
      unsafe EVP_MD_CTX_free(context)
      unsafe EVP_PKEY_free(loaded)
    }
    guard unsafe EVP_DigestVerifyInit(context, nil, nil, nil, loaded) == 1 else { return false }
    var bytes = signature.bytes
    let result = unsafe withUnsafeBytes(of: &bytes) { signature in
      unsafe message.withUnsafeBufferPointer { message in
        unsafe EVP_DigestVerify(context, signature.baseAddress, 64, message.baseAddress, message.count)
      }
    }
    // A wrong signature leaves an entry in the thread's queue of errors.
    if result != 1 { ERR_clear_error() }
    return result == 1
  }

  package func digest(_ bytes: [UInt8]) -> Digest {
    var digest = SIMD32<UInt8>()
    unsafe withUnsafeMutableBytes(of: &digest) { digest in
      unsafe bytes.withUnsafeBufferPointer { bytes in
        _ = unsafe SHA256(bytes.baseAddress, bytes.count, digest.baseAddress)
      }
    }
    return Digest(digest)
  }
}

/// A private key. Wiped when it is let go.
@safe
package final class SigningKey: Signer {
  private let key: OpaquePointer
  package let publicKey: PublicKey

  /// - Parameter seed: 32 bytes; nil for any other count.
  package init?(seed: [UInt8]) {
    guard seed.count == 32,
      let key = unsafe seed.withUnsafeBufferPointer({
        unsafe EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, $0.baseAddress, 32)
      })
    else { return nil }
    var bytes = SIMD32<UInt8>()
    var count = 32
    let got = unsafe withUnsafeMutableBytes(of: &bytes) {
      unsafe EVP_PKEY_get_raw_public_key(key, $0.baseAddress, &count)
    }
    guard got == 1, count == 32 else {
      unsafe EVP_PKEY_free(key)
      return nil
    }
    unsafe self.key = key
    publicKey = PublicKey(bytes)
  }

  deinit { unsafe EVP_PKEY_free(key) }

  /// 32 bytes of chance for a new key.
  package static func newSeed() -> [UInt8] {
    var seed = [UInt8](repeating: 0, count: 32)
    let got = unsafe seed.withUnsafeMutableBufferPointer { unsafe RAND_priv_bytes($0.baseAddress, 32) }
    precondition(got == 1, "the system gives no random bytes")
    return seed
  }

  package func sign(_ message: [UInt8]) -> Signature {
    var signature = SIMD64<UInt8>()
    var count = 64
    let context = unsafe EVP_MD_CTX_new()
    defer { unsafe EVP_MD_CTX_free(context) }
    let signed = unsafe withUnsafeMutableBytes(of: &signature) { signature in
      unsafe message.withUnsafeBufferPointer { message in
        unsafe EVP_DigestSignInit(context, nil, nil, nil, key) == 1
          && EVP_DigestSign(context, signature.baseAddress, &count, message.baseAddress, message.count) == 1
      }
    }
    precondition(signed && count == 64, "OpenSSL could not sign: out of memory")
    return Signature(signature)
  }
}
