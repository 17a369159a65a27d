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
  package var user: String
  package var password: String
  /// 32 bytes, of which the private key is made.
  package var seed: [UInt8]?
  package var certificate: Certificate?

  package init(
    fleet: FleetID, engine: EngineAddress, plain: IPNetworkSet, user: String, password: String, seed: [UInt8]? = nil,
    certificate: Certificate? = nil
  ) {
    self.fleet = fleet
    self.engine = engine
    self.plain = plain
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

    package var description: String {
      switch self {
      case .system(let error): "\(error)"
      case .readable(let path): "\(path) can be read by others than its owner: chmod 600 \(path)"
      case .missing(let name): "the file has no line \(name): is it one of `portsentry fleet`?"
      case .word(let name): "what the file says after \(name) cannot be read"
      case .mismatch: "key, certificate and fleet in the file do not belong together"
      case .unencrypted(let address):
        "the engine at \(address) is not on this host, and this program speaks no TLS: whoever is on the way can read the password."
          + " Use a tunnel (stunnel, WireGuard, ssh -L), or allow its network: portsentry fleet init --plain"
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
    guard engine.isReachedSafely(permitting: plain) else { throw .unencrypted(engine) }
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
    if let seed { lines.append("key \(Hexadecimal.text(seed))") }
    if let certificate { lines.append("certificate \(Hexadecimal.text(certificate.encoded))") }
    return lines.joined(separator: "\n") + "\n"
  }

  /// The engine, asked as this member.
  package func connect(patience: Int = 10) throws(EngineFault) -> Engine {
    try Engine(engine, user: user, password: password, patience: patience)
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
