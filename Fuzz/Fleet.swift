import Fleet
import Wire

/// All records of the fleet: what is read is written to the byte, as each value has one encoding. The first byte chooses.
func fuzzFleetRecords(_ bytes: [UInt8]) {
  guard let choice = bytes.first else { return }
  let bytes = Array(bytes.dropFirst())
  func check<Record: FleetRecord>(_: Record.Type) {
    guard let record = try? Record(bytes) else { return }
    precondition(record.encoded == bytes)
    precondition((try? Record(record.encoded)) == record)
  }
  switch choice % 7 {
  case 0: check(Testimony.self)
  case 1: check(Certificate.self)
  case 2: check(Order.self)
  case 3: check(Proof.self)
  case 4: check(Announcement.self)
  case 5: check(Snapshot.Manifest.self)
  default: check(Snapshot.Chunk.self)
  }
  if let text = String(validating: bytes, as: UTF8.self), let position = StreamPosition(text) {
    precondition(StreamPosition(position.description) == position)
  }
}

/// Believes every signature, so that all behind it is reached.
private struct Credulous: Verifier {
  func isValid(_ signature: Signature, of message: [UInt8], by key: PublicKey) -> Bool { true }
  func digest(_ bytes: [UInt8]) -> Digest { Digest(SIMD32()) }
}

/// A ledger and a coordinator that are told anything by anybody: eight bytes each. What was counted has to be what is there.
func fuzzFleetLedger(_ bytes: [UInt8]) {
  let fleet = FleetID(PublicKey(SIMD32(repeating: 7)))
  let signature = Signature(SIMD64())
  var now = Timestamp(seconds: 1_800_000_000)
  var settings = FleetSettings(node: 1, zone: 0)
  settings.quorum = 2 + Int((bytes.first ?? 0) % 3)
  settings.zones = 1 + Int((bytes.first ?? 0) / 3 % 2)
  settings.maximum = 12
  var ledger = FleetLedger(settings, fleet: fleet, verifier: Credulous(), secret: (1, 2))
  var of = Coordinator<Credulous>.Settings()
  (of.capacity, of.sources) = (40, 20)
  var coordinator = Coordinator(of, fleet: fleet, verifier: Credulous(), secret: (3, 4))
  func certificate(_ number: NodeNumber, _ role: Certificate.Role, from: Timestamp, at place: [IPNetwork] = []) -> Certificate {
    Certificate(
      Certificate.Body(
        role, number, zone: UInt16(number % 3), key: fleet.key, from: from, until: now + .seconds(1 << 30), name: "n",
        addresses: place), signature)
  }
  for number in NodeNumber(0)..<8 {
    let own = certificate(number, number == 0 ? .operator_ : .node, from: now + .seconds(-99_999))
    ledger.take(own, at: now)
    coordinator.take(own, at: now)
  }
  for start in stride(from: 1, to: bytes.count - 7, by: 8) {
    let word = Array(bytes[start..<start + 8])
    let number = UInt32(word[2])
    let address = word[1] & 1 == 0 ? IPAddress(v4: 0x5000_0000 | number % 24) : IPAddress(high: 0x2001 << 48, low: UInt64(number % 24))
    let network = IPNetwork(address, length: address.bitWidth - Int(word[3] % 5)) ?? IPNetwork(address)
    let node = NodeNumber(word[4] % 9)
    let time = now + .seconds(Int64(Int8(bitPattern: word[5])) * 900)
    switch word[0] % 8 {
    case 0...2:
      let kind = Testimony.Kind(rawValue: 1 + word[6] % 3)!
      let testimony = Testimony(Testimony.Body(kind, by: node, of: address, at: time), signature)
      ledger.take(testimony, at: now)
      coordinator.take(testimony, from: node, at: now)
    case 3:
      let witnesses = (0..<NodeNumber(1 + word[6] % 4)).map {
        Testimony(Testimony.Body(.contact, by: (node + $0) % 9, of: address, at: time), signature)
      }
      if let proof = Proof(witnesses) { ledger.take(proof, at: now) }
    case 4:
      let verb = Order.Verb(rawValue: 1 + word[6] % 4)!
      let body = Order.Body(
        verb, by: 0, at: time, network: verb == .revoke ? IPNetwork(.unspecified) : network,
        until: verb == .ban || verb == .allow ? time + .seconds(Int64(word[7]) * 3600) : .distantPast,
        node: verb == .revoke ? node : 0)
      if body.problem == nil {
        ledger.take(Order(body, signature), at: now)
        coordinator.take(Order(body, signature), at: now)
      }
    case 5:
      let other = certificate(node, node == 0 ? .operator_ : .node, from: time, at: word[6] % 4 == 0 ? [network] : [])
      ledger.take(other, at: now)
      coordinator.take(other, at: now)
    case 6:
      for proof in coordinator.drain(99, at: now) { ledger.take(proof, at: now) }
    default:
      now = now + .seconds(Int64(word[5]) * 600)
      for _ in 0..<3 { ledger.tick(at: now) }
      coordinator.tick(at: now)
    }
    _ = ledger.drain()
    precondition(ledger.bans >= 0 && ledger.watches >= 0 && ledger.bans <= settings.maximum)
    precondition(ledger.banned(at: now).count <= ledger.bans)
    precondition(coordinator.testimonies <= of.capacity && coordinator.sources <= of.sources)
  }
  _ = coordinator.snapshot(epoch: 1, generation: 1, position: .start, at: now) { _, chunk in
    precondition((try? Snapshot.Chunk(chunk))?.encoded == chunk)
  }
}
