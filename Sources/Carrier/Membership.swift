import Fleet
import Platform
import Signing
import Wire

/// A place in a fleet, as a file says it that `portsentry fleet` wrote: where the engine is, who this is, and by what it shows it. A
/// coordinator's has neither key nor certificate.
package struct Membership: Sendable {
  package var fleet: FleetID
  package var engine: EngineAddress
  /// Networks in which the engine may be asked without TLS, beside this host.
  package var plain: IPNetworkSet
  /// How the engine proves who it is; nil: it is asked without TLS.
  package var tls: TLSIdentity?
  package var user: String
  package var password: String
  /// 32 bytes, of which the private key is made.
  package var seed: [UInt8]?
  package var certificate: Certificate?

  package init(
    fleet: FleetID, engine: EngineAddress, plain: IPNetworkSet, tls: TLSIdentity? = nil, user: String,
    password: String, seed: [UInt8]? = nil, certificate: Certificate? = nil
  ) {
    self.fleet = fleet
    self.engine = engine
    self.plain = plain
    self.tls = tls
    self.user = user
    self.password = password
    self.seed = seed
    self.certificate = certificate
  }

  /// Why a file is none. It holds secrets, so nothing of it is shown.
  package enum Fault: Error, Equatable, Sendable, CustomStringConvertible {
    case system(Errno)
    /// Others can read it.
    case readable(String)
    case missing(String)
    case word(String)
    /// Its parts do not belong together.
    case mismatch
    case unencrypted(EngineAddress)
    /// A Unix socket knows no TLS.
    case needless(EngineAddress)
    case tls(TLSFault)

    package var description: String {
      switch self {
      case .system(let error): "\(error)"
      case .readable(let path): "\(path) can be read by others than its owner: chmod 600 \(path)"
      case .missing(let name): "the file has no line \(name): is it one of `portsentry fleet`?"
      case .word(let name): "what the file says after \(name) cannot be read"
      case .mismatch: "key, certificate and fleet in the file do not belong together"
      case .unencrypted(let address):
        "the engine at \(address) is not on this host: whoever is on the way could read the password. Name the authority of its TLS"
          + " certificate (portsentry fleet init --authority), or allow its network (--plain), or use a tunnel"
      case .needless(let address): "\(address) is on this host: there is no TLS to it"
      case .tls(let fault): "\(fault)"
      }
    }
  }

  /// - Parameter path: must be readable by its owner alone.
  package static func read(_ path: String) throws(Fault) -> Membership {
    let bytes: [UInt8]
    let isOpen: Bool
    do throws(Errno) {
      isOpen = try Files.isOpenToOthers(path)
      bytes = try Files.read(path, limit: 1 << 16)
    } catch { throw .system(error) }
    if isOpen { throw .readable(path) }
    return try Membership(text: String(decoding: bytes, as: UTF8.self))
  }

  package init(text: String) throws(Fault) {
    var words: [String: String] = [:]
    for line in text.byteLines where !line.startsWithBytes("#") {
      let parts = line.splitBytes(" ", maxSplits: 1)
      if parts.count == 2 { words[String(parts[0])] = String(parts[1]) }
    }
    func value<Value>(_ name: String, _ read: (String) -> Value?) throws(Fault) -> Value {
      guard let word = words[name] else { throw .missing(name) }
      guard let value = read(word) else { throw .word(name) }
      return value
    }
    fleet = FleetID(try value("fleet") { Hexadecimal.bytes($0).flatMap { PublicKey($0) } })
    engine = try value("engine") { EngineAddress($0) }
    user = try value("user") { $0.utf8.count <= 64 ? $0 : nil }
    password = try value("password") { $0.utf8.count <= 256 ? $0 : nil }
    plain = IPNetworkSet((words["plain"] ?? "").splitBytes(" ").compactMap { IPNetwork($0) })
    if words["key"] != nil {
      seed = try value("key") { Hexadecimal.bytes($0).flatMap { $0.count == 32 ? $0 : nil } }
      certificate = try value("certificate") { text in
        Hexadecimal.bytes(text).flatMap { try? Certificate(unsafe $0.span.bytes) }
      }
    }
    if let seed, let certificate {
      guard SigningKey(seed: seed)?.publicKey == certificate.body.key,
        certificate.isSigned(in: fleet, OpenSSLVerifier())
      else { throw .mismatch }
    }
    if words["authority"] != nil {
      let identity = TLSIdentity(
        authorities: try value("authority") { $0.splitBytes(" ").map(String.init) },
        name: try value("name") { PEMText.isName($0) ? $0 : nil }, certificate: words["tls-certificate"],
        key: words["tls-key"])
      if !identity.isSound { throw .word("authority") }
      tls = identity
      if case .unix = engine { throw .needless(engine) }
      _ = try context()
    } else if !engine.isReachedSafely(permitting: plain) {
      throw .unencrypted(engine)
    }
  }

  /// What connections to the engine have in common; nil where there is no TLS.
  package func context() throws(Fault) -> TLSContext? {
    guard let tls else { return nil }
    do throws(TLSFault) { return try TLSContext(tls) } catch { throw .tls(error) }
  }

  /// The file.
  package var text: String {
    var lines = ["# A place in a fleet of PortSentry's: keep it secret."]
    if let certificate {
      lines.append("# \(certificate.body.name), number \(certificate.body.number), zone \(certificate.body.zone)")
    }
    lines += [
      "fleet \(Hexadecimal.text(fleet.key.array))", "engine \(engine)",
      "user \(user)", "password \(password)",
    ]
    if !plain.sorted.isEmpty { lines.append("plain \(plain.sorted.map { "\($0)" }.joined(separator: " "))") }
    if let tls {
      lines += ["authority \(tls.authorities.joined(separator: " "))", "name \(tls.name)"]
      if let certificate = tls.certificate { lines.append("tls-certificate \(certificate)") }
      if let key = tls.key { lines.append("tls-key \(key)") }
    }
    if let seed { lines.append("key \(Hexadecimal.text(seed))") }
    if let certificate { lines.append("certificate \(Hexadecimal.text(certificate.encoded))") }
    return lines.joined(separator: "\n") + "\n"
  }

  /// The engine, asked as this member.
  ///
  /// - Parameter context: of `context()`, made before the process gave its files up.
  package func connect(_ context: TLSContext?, patience: Int = 10) throws(EngineFault) -> Engine {
    try Engine(engine, tls: context, user: user, password: password, patience: patience)
  }
}

/// Bytes as text.
package enum Hexadecimal {
  private static let digits = Array("0123456789abcdef".utf8)

  package static func text(_ bytes: some Sequence<UInt8>) -> String {
    String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  /// nil for an odd number of digits, and for what is none.
  package static func bytes(_ text: String) -> [UInt8]? {
    let all = Array(text.utf8)
    guard all.count % 2 == 0 else { return nil }
    var result: [UInt8] = []
    for index in stride(from: 0, to: all.count, by: 2) {
      guard let high = digits.firstIndex(of: all[index]), let low = digits.firstIndex(of: all[index + 1]) else {
        return nil
      }
      result.append(UInt8(high << 4 | low))
    }
    return result
  }
}
