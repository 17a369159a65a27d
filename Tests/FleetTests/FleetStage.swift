import Fleet
import Wire

/// Signatures that cost nothing: a hash of key and message. Whoever tests a liar does not use others' keys.
struct PlainVerifier: Verifier {
  func isValid(_ signature: Signature, of message: [UInt8], by key: PublicKey) -> Bool {
    signature == PlainKey.signature(of: message, by: key)
  }

  func digest(_ bytes: [UInt8]) -> Digest {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    var digest = SIMD32<UInt8>()
    for index in 0..<8 { digest[index] = UInt8(truncatingIfNeeded: hash >> (8 * UInt64(index))) }
    return Digest(digest)
  }
}

struct PlainKey: Signer {
  let publicKey: PublicKey

  init(_ number: UInt32) {
    var bytes = SIMD32<UInt8>()
    for index in 0..<4 { bytes[index] = UInt8(truncatingIfNeeded: number >> (8 * UInt32(index))) }
    bytes[31] = 1
    publicKey = PublicKey(bytes)
  }

  func sign(_ message: [UInt8]) -> Signature { Self.signature(of: message, by: publicKey) }

  static func signature(of message: [UInt8], by key: PublicKey) -> Signature {
    var hash: UInt64 = 0x9e37_79b9_7f4a_7c15
    for byte in key.array + message { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    var signature = SIMD64<UInt8>()
    for index in 0..<8 { signature[index] = UInt8(truncatingIfNeeded: hash >> (8 * UInt64(index))) }
    return Signature(signature)
  }
}

/// A fleet with operator 900 and as many nodes as are asked for, 1 and up; node n is in zone (n - 1) % zones.
struct FleetStage {
  static let begin = Timestamp(seconds: 1_800_000_000)
  static let operatorNumber: NodeNumber = 60_000

  let fleetKey: PlainKey
  let fleet: FleetID
  let zones: Int
  var certificates: [Certificate] = []

  init(nodes: Int, zones: Int = 1, fleetNumber: UInt32 = 0xffff_0000) {
    fleetKey = PlainKey(fleetNumber)
    fleet = FleetID(fleetKey.publicKey)
    self.zones = zones
    certificates.append(certificate(Self.operatorNumber, role: .operator_))
    for number in 1...NodeNumber(max(nodes, 1)) { certificates.append(certificate(number)) }
  }

  func key(_ number: NodeNumber) -> PlainKey { PlainKey(number) }
  func zone(_ number: NodeNumber) -> UInt16 { UInt16((Int(number) - 1) % zones) }

  func certificate(
    _ number: NodeNumber, role: Certificate.Role = .node, from: Timestamp? = nil, addresses: [IPNetwork] = []
  ) -> Certificate {
    Certificate(
      Certificate.Body(
        role, number, zone: zone(number), key: key(number).publicKey, from: from ?? Self.begin + .seconds(-90 * 86_400),
        until: Self.begin + .seconds(365 * 86_400), name: "n\(number)", addresses: addresses), in: fleet,
      signedBy: fleetKey)
  }

  func testimony(
    _ kind: Testimony.Kind = .contact, by node: NodeNumber, of address: IPAddress, at time: Timestamp
  ) -> Testimony {
    Testimony(Testimony.Body(kind, by: node, of: address, at: time), in: fleet, signedBy: key(node))
  }

  func order(
    _ verb: Order.Verb, _ network: IPNetwork = IPNetwork(.unspecified), at time: Timestamp,
    until: Timestamp = .distantPast, node: NodeNumber = 0, by issuer: NodeNumber = operatorNumber
  ) -> Order {
    Order(
      Order.Body(verb, by: issuer, at: time, network: network, until: until, node: node), in: fleet,
      signedBy: key(issuer))
  }

  func ledger(
    _ node: NodeNumber = 1, secret: UInt64 = 5, _ change: (inout FleetSettings) -> Void = { _ in }
  ) -> FleetLedger<PlainVerifier> {
    var settings = FleetSettings(node: node, zone: zone(node))
    change(&settings)
    var ledger = FleetLedger(settings, fleet: fleet, verifier: PlainVerifier(), secret: (secret, 77))
    for certificate in certificates { ledger.take(certificate, at: Self.begin) }
    _ = ledger.drain()
    return ledger
  }

  func coordinator(
    _ change: (inout Coordinator<PlainVerifier>.Settings) -> Void = { _ in }
  ) -> Coordinator<PlainVerifier> {
    var settings = Coordinator<PlainVerifier>.Settings()
    settings.capacity = 20_000
    settings.sources = 10_000
    change(&settings)
    var coordinator = Coordinator(settings, fleet: fleet, verifier: PlainVerifier(), secret: (3, 4))
    for certificate in certificates { coordinator.take(certificate, at: Self.begin) }
    return coordinator
  }
}

/// A public address by number.
func stranger(_ number: Int) -> IPAddress { IPAddress(v4: 0x5000_0000 &+ UInt32(number)) }

extension [FleetChange] {
  var bans: [IPAddress] {
    compactMap {
      if case .ban(let address, _, _) = $0 { address } else { nil }
    }
  }
  var lifts: [IPAddress] {
    compactMap {
      if case .lift(let address, _) = $0 { address } else { nil }
    }
  }
  var watches: [IPAddress] {
    compactMap {
      if case .watch(let address, _, _, _) = $0 { address } else { nil }
    }
  }
  var alarms: [IPAddress] {
    compactMap {
      if case .alarm(let address, _, _) = $0 { address } else { nil }
    }
  }
  var ordered: [IPNetwork] {
    compactMap {
      if case .banByOrder(let network, _, _, _) = $0 { network } else { nil }
    }
  }
}

/// What cannot be copied, in an array.
final class Held<Value: ~Copyable> {
  var value: Value
  init(_ value: consuming Value) { self.value = value }
}
