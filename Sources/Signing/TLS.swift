import COpenSSL

/// How an engine is asked by TLS: whose certificates are believed, under which name it has to show one, and what is shown to it. Certificates
/// and key are the base64 between the lines of a PEM file.
package struct TLSIdentity: Equatable, Sendable {
  /// Nobody else's certificate is believed: neither the system's authorities nor anybody on the way.
  package var authorities: [String]
  /// A host name, or an address.
  package var name: String
  /// Shown where the engine asks for it.
  package var certificate: String?
  package var key: String?

  package init(authorities: [String], name: String, certificate: String? = nil, key: String? = nil) {
    self.authorities = authorities
    self.name = name
    self.certificate = certificate
    self.key = key
  }
}

/// Why there is no TLS, in words for people.
package enum TLSFault: Error, Equatable, Sendable, CustomStringConvertible {
  /// What the file says of an authority, a certificate or a key cannot be read.
  case unreadable(String)
  /// Key and certificate do not belong together.
  case mismatch
  /// The certificate of the other side is over, or not valid yet.
  case expired
  case notYetValid
  /// It is for another name.
  case name(String)
  /// It is not of the authority that was named.
  case authority
  /// The other side speaks something else.
  case noTLS
  /// It says nothing for so many seconds, as an engine does that takes our first word for the beginning of a line.
  case silent(Int)
  /// It wants to see a certificate, or another one.
  case wantsCertificate
  case other(String)

  package var description: String {
    switch self {
    case .unreadable(let what): "\(what) in the file cannot be read"
    case .mismatch: "client certificate and key in the file do not belong together"
    case .expired: "the engine's certificate has expired (or the clock of this host is wrong)"
    case .notYetValid: "the engine's certificate is not valid yet (or the clock of this host is wrong)"
    case .name(let name): "the engine's certificate is not for \(name)"
    case .authority:
      "the engine's certificate is not of the authority in the file: another engine, or somebody is in between"
    case .silent(let seconds): "the engine has not answered for \(seconds) s: it may speak no TLS at this port"
    case .noTLS: "the engine speaks no TLS at this port"
    case .wantsCertificate: "the engine wants to see a certificate of this host's, and accepts none that it was shown"
    case .other(let words): "TLS: \(words)"
    }
  }
}

/// What the connections to one engine have in common. Made before a process gives its files up: OpenSSL then reads its configuration.
@safe
package final class TLSContext {
  fileprivate let context: OpaquePointer
  fileprivate let name: String

  package init(_ identity: TLSIdentity) throws(TLSFault) {
    name = identity.name
    // The C library reads the time zone at the first date, those of certificates too.
    tzset()
    guard let context = unsafe SSL_CTX_new(TLS_client_method()) else { throw .other("no memory") }
    unsafe self.context = context
    // SSL_CTRL_SET_MIN_PROTO_VERSION.
    unsafe SSL_CTX_ctrl(context, 123, Int(TLS1_2_VERSION), nil)
    // SSL_OP_NO_RENEGOTIATION.
    unsafe SSL_CTX_set_options(context, 1 << 30)
    unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
    guard !identity.authorities.isEmpty, let store = unsafe SSL_CTX_get_cert_store(context) else {
      throw .unreadable("the authority")
    }
    for authority in identity.authorities {
      guard let certificate = unsafe Self.certificate(authority) else { throw .unreadable("the authority") }
      let added = unsafe X509_STORE_add_cert(store, certificate)
      unsafe X509_free(certificate)
      guard added == 1 else { throw .unreadable("the authority") }
    }
    try show(identity)
  }

  deinit { unsafe SSL_CTX_free(context) }

  private func show(_ identity: TLSIdentity) throws(TLSFault) {
    guard let text = identity.certificate, let keyText = identity.key else { return }
    guard let certificate = unsafe Self.certificate(text) else { throw .unreadable("the client certificate") }
    defer { unsafe X509_free(certificate) }
    guard let key = unsafe Self.key(keyText) else { throw .unreadable("the client key") }
    defer { unsafe EVP_PKEY_free(key) }
    guard unsafe SSL_CTX_use_certificate(context, certificate) == 1, unsafe SSL_CTX_use_PrivateKey(context, key) == 1,
      unsafe SSL_CTX_check_private_key(context) == 1
    else {
      ERR_clear_error()
      throw .mismatch
    }
  }

  private static func certificate(_ text: String) -> OpaquePointer? {
    unsafe reading(text, as: "CERTIFICATE") { unsafe PEM_read_bio_X509($0, nil, nil, nil) }
  }

  private static func key(_ text: String) -> OpaquePointer? {
    unsafe reading(text, as: "PRIVATE KEY") { unsafe PEM_read_bio_PrivateKey($0, nil, nil, nil) }
  }

  private static func reading(
    _ text: String, as kind: String, _ read: (OpaquePointer) -> OpaquePointer?
  ) -> OpaquePointer? {
    var lines = "-----BEGIN \(kind)-----\n"
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      lines += String(decoding: rest.prefix(64), as: UTF8.self) + "\n"
      rest = rest.dropFirst(64)
    }
    lines += "-----END \(kind)-----\n"
    let bytes = Array(lines.utf8)
    let found: OpaquePointer? = unsafe bytes.withUnsafeBufferPointer { buffer in
      guard let memory = unsafe BIO_new_mem_buf(buffer.baseAddress, Int32(buffer.count)) else { return nil }
      defer { unsafe BIO_free(memory) }
      return unsafe read(memory)
    }
    ERR_clear_error()
    return unsafe found
  }
}

/// One conversation by TLS, as a client. It knows no socket: bytes go in and out.
@safe
package final class TLSSession {
  /// Read or written in one turn.
  private static let turn = 16 << 10

  private let ssl: OpaquePointer
  /// What came, and what is to be sent.
  private let incoming: OpaquePointer
  private let outgoing: OpaquePointer
  private let name: String
  private var buffer = [UInt8](repeating: 0, count: turn)
  /// Who the other side is was proven.
  package private(set) var isEstablished = false

  package init(_ context: TLSContext) throws(TLSFault) {
    guard let ssl = unsafe SSL_new(context.context), let incoming = unsafe BIO_new(BIO_s_mem()),
      let outgoing = unsafe BIO_new(BIO_s_mem())
    else { throw .other("no memory") }
    unsafe SSL_set_bio(ssl, incoming, outgoing)
    unsafe (self.ssl, self.incoming, self.outgoing, name) = (ssl, incoming, outgoing, context.name)
    let isAddress = unsafe X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1
    ERR_clear_error()
    if !isAddress {
      guard unsafe SSL_set1_host(ssl, name) == 1 else { throw .name(name) }
      // SSL_CTRL_SET_TLSEXT_HOSTNAME, of the kind host_name: the engine may have a certificate for each of its names.
      var bytes = Array(name.utf8) + [0]
      let isSet = unsafe bytes.withUnsafeMutableBufferPointer { unsafe SSL_ctrl(ssl, 55, 0, $0.baseAddress) }
      guard isSet == 1 else { throw .name(name) }
    }
    unsafe SSL_set_connect_state(ssl)
  }

  // Frees both memories with it.
  deinit { unsafe SSL_free(ssl) }

  /// Bytes of the other side's.
  package func receive(_ bytes: [UInt8]) {
    unsafe bytes.withUnsafeBufferPointer { _ = unsafe BIO_write(incoming, $0.baseAddress, Int32($0.count)) }
  }

  /// What is to be sent to the other side.
  package func takeOutput() -> [UInt8] {
    var output: [UInt8] = []
    while true {
      let count = unsafe buffer.withUnsafeMutableBufferPointer {
        unsafe BIO_read(outgoing, $0.baseAddress, Int32($0.count))
      }
      if count <= 0 { return output }
      output += buffer[..<Int(count)]
    }
  }

  /// Goes on with the handshake as far as what came permits.
  package func advance() throws(TLSFault) {
    if isEstablished { return }
    let result = unsafe SSL_do_handshake(ssl)
    if result == 1 { isEstablished = true } else { try check(result) }
  }

  /// What the other side says.
  ///
  /// - Returns: nothing where more has to come; nil where it has ended the conversation.
  package func read() throws(TLSFault) -> [UInt8]? {
    try advance()
    guard isEstablished else { return [] }
    var plain: [UInt8] = []
    while true {
      let count = unsafe buffer.withUnsafeMutableBufferPointer { unsafe SSL_read(ssl, $0.baseAddress, Int32($0.count)) }
      if count > 0 {
        plain += buffer[..<Int(count)]
        continue
      }
      if unsafe SSL_get_error(ssl, count) == SSL_ERROR_ZERO_RETURN { return plain.isEmpty ? nil : plain }
      try check(count)
      return plain
    }
  }

  /// Says something to the other side, once it is known who that is.
  ///
  /// - Returns: how much of it was taken.
  package func write(_ plain: ArraySlice<UInt8>) throws(TLSFault) -> Int {
    guard isEstablished, !plain.isEmpty else { return 0 }
    let part = Array(plain.prefix(Self.turn))
    let count = unsafe part.withUnsafeBufferPointer { unsafe SSL_write(ssl, $0.baseAddress, Int32($0.count)) }
    if count > 0 { return Int(count) }
    try check(count)
    return 0
  }

  /// Throws unless there is only more to come.
  private func check(_ result: Int32) throws(TLSFault) {
    let code = unsafe SSL_get_error(ssl, result)
    if code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE { return }
    let error = ERR_get_error()
    ERR_clear_error()
    throw fault(error)
  }

  private func fault(_ error: UInt) -> TLSFault {
    switch Int32(truncatingIfNeeded: unsafe SSL_get_verify_result(ssl)) {
    case X509_V_OK: break
    case X509_V_ERR_CERT_HAS_EXPIRED: return .expired
    case X509_V_ERR_CERT_NOT_YET_VALID: return .notYetValid
    case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH: return .name(name)
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
      X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
      X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return .authority
    case let other:
      return .other(unsafe X509_verify_cert_error_string(Int(other)).map { unsafe String(cString: $0) } ?? "\(other)")
    }
    // Reasons of libssl; those from 1,000 on are alerts of the other side (RFC 8446 section 6).
    switch Int32(truncatingIfNeeded: error & 0x7f_ffff) {
    case SSL_R_WRONG_VERSION_NUMBER, SSL_R_HTTP_REQUEST, SSL_R_PACKET_LENGTH_TOO_LONG:
      return .noTLS
    case 1_042, 1_043, 1_044, 1_045, 1_046, 1_048, 1_116: return .wantsCertificate
    default:
      return .other(
        unsafe ERR_reason_error_string(error).map { unsafe String(cString: $0) } ?? "the engine has ended it")
    }
  }
}
