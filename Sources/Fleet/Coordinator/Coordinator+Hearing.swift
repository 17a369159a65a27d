import Wire

/// Testimonies of nodes, and what is passed on for them.
extension Coordinator {
  mutating func hear(_ testimony: Testimony, from stream: NodeNumber, at now: Timestamp) throws(Refusal) {
    let body = testimony.body
    // Only the node can write its stream: what stands there is on its account.
    guard body.node == stream else { throw .foreignStream }
    let slot: UInt16
    do throws(Refusal) { slot = try roster.holder(stream, .node, at: body.time) } catch {
      if error == .outsideCertificate, body.kind == .alive, let slot = roster.slot(of: stream) {
        let skew = body.time - now
        if max(skew, .zero - skew) >= FleetSettings.window { noteClock(slot, skew, at: now) }
      }
      throw error
    }
    guard health[Int(slot)].tokens.take(settings.rate, at: now) else {
      floods.insert(stream)
      flooders.insert(stream)
      throw .tooFast
    }
    if body.time - now > FleetSettings.mostAhead {
      noteClock(slot, body.time - now, at: now)
      throw .ahead
    }
    if now - body.time >= FleetSettings.window {
      // What is older may have waited for the engine; a sign of life does not.
      if body.kind == .alive { noteClock(slot, body.time - now, at: now) }
      throw .old
    }
    if body.kind != .alive {
      guard body.address.isPossiblePeer else { throw .noSource }
      if orders.overrules(body.address, at: body.time) != nil { throw .overruled }
    }
    let key = TestimonyStore.Key(
      address: body.address, zone: body.address.isBoundToZone ? roster.zone(slot) : 0)
    if body.kind == .probe { return try hearProbe(testimony, key, at: now) }
    let source = store.source(of: key)
    let former = source.flatMap { newest(by: slot, of: $0) }
    if let former, time(of: former) >= body.time { return }
    guard testimony.isSigned(by: roster.member(at: slot).body.key, in: fleet, verifier) else { throw .badSignature }
    note(body, slot, at: now)
    if body.kind == .alive { return }
    let place = try keep(testimony, slot, key, source, former, at: now)
    pass(on: testimony, slot, place, at: now)
  }

  private mutating func noteClock(_ slot: UInt16, _ skew: Duration, at now: Timestamp) {
    guard now - health[Int(slot)].clockTold >= .seconds(3600) else { return }
    health[Int(slot)].clockTold = now
    clocks[roster.member(at: slot).body.number] = skew
  }

  private mutating func note(_ body: Testimony.Body, _ slot: UInt16, at now: Timestamp) {
    health[Int(slot)].lastSeen = max(health[Int(slot)].lastSeen, now)
    if body.kind == .alive { health[Int(slot)].skew = body.time - now } else { health[Int(slot)].testimonies &+= 1 }
  }

  /// - Returns: the source.
  private mutating func keep(
    _ testimony: Testimony, _ slot: UInt16, _ key: TestimonyStore.Key, _ known: Int?, _ former: Int?,
    at now: Timestamp
  ) throws(Refusal) -> Int {
    if let known, let former {
      if testimony.body.kind == .retraction {
        forget(of: known) { place, coordinator in place != former && coordinator.store.owner(of: place) == slot }
      } else if undoes(testimony, at: former, of: known), store.places(of: known).count < Self.mostWitnesses,
        store.add(testimony, from: slot, to: known)
      {
        health[Int(slot)].held += 1
        return known
      }
      store.write(testimony, from: slot, at: former)
      return known
    }
    if store.count >= store.capacity || known == nil && store.sourceCount >= store.sourceCapacity {
      try makeRoom(for: slot)
    }
    // Making room may have moved it.
    guard let source = store.source(of: key) ?? insert(key) else { throw .noRoom }
    if store.places(of: source).count >= Self.mostWitnesses { throw .noRoom }
    guard store.add(testimony, from: slot, to: source) else { throw .noRoom }
    health[Int(slot)].held += 1
    return source
  }

  /// A new address; what was passed on of it before is not passed on again.
  private mutating func insert(_ key: TestimonyStore.Key) -> Int? {
    guard let source = store.insert(key) else { return nil }
    if let before = said[key] {
      store.pass(before.passed, of: source)
      store.tell(before.told, of: source)
    }
    return source
  }

  private func newest(by slot: UInt16, of source: Int) -> Int? {
    store.places(of: source).filter { store.owner(of: $0) == slot }.max { time(of: $0) < time(of: $1) }
  }

  /// Whether a node's newer word in the place of its older one would undo the quorum there is: then both are kept.
  private func undoes(_ testimony: Testimony, at former: Int, of source: Int) -> Bool {
    let quorum = quorum(of: source)
    let sightings = sightings(of: source)
    guard quorum.complete(sightings.map(\.sighting), zone: roster.zone) != nil else { return false }
    let second = UInt32(clamping: testimony.body.time.seconds)
    let replaced = sightings.map { $0.place == former ? Sighting(slot: $0.sighting.slot, second: second) : $0.sighting }
    return quorum.complete(replaced, zone: roster.zone) == nil
  }

  /// Forgets an address that one node alone speaks of, of the node that has most; whoever has more than his share gets no room.
  private mutating func makeRoom(for slot: UInt16) throws(Refusal) {
    let share = max(store.capacity / max(roster.count, 1), 1)
    if health[Int(slot)].held >= share { throw .noRoom }
    for _ in 0..<Self.mostLooked where store.sourceCount > 0 {
      evictionHand = evictionHand >= store.sourceCount - 1 ? 0 : evictionHand + 1
      let places = store.places(of: evictionHand)
      guard places.count == 1, health[Int(store.owner(of: places[0]))].held > share else { continue }
      health[Int(store.owner(of: places[0]))].held -= 1
      store.remove(evictionHand)
      return
    }
    throw .noRoom
  }

  /// How many addresses are looked at to make room for one.
  static var mostLooked: Int { 4096 }

  // MARK: Passing on

  private mutating func pass(on testimony: Testimony, _ slot: UInt16, _ source: Int, at now: Timestamp) {
    if testimony.body.kind == .retraction {
      enqueue([testimony], at: now)
      // Nodes keep few witnesses: those who are left may be others.
      if complete(source) != nil { enqueue(witnesses(of: source), at: now) }
      return
    }
    let told = store.told(of: source)
    let wasTold = takeSaid(store.key(of: source))
    if let second = complete(source) {
      let passed = store.passed(of: source)
      if passed == 0 || Int64(second) - Int64(passed) >= Self.renewal {
        store.pass(second, of: source)
        store.tell(UInt8(clamping: max(Int(told), settings.quorum)), of: source)
        return enqueue(witnesses(of: source), at: now)
      }
      // Some nodes ask for more witnesses.
      guard !wasTold, Int(told) < Proof.mostWitnesses else { return }
    } else {
      guard !wasTold, Int(told) < Proof.mostWitnesses, health[Int(slot)].watchTokens.take(settings.watchRate, at: now)
      else {
        return
      }
    }
    store.tell(told + 1, of: source)
    enqueue([testimony], at: now)
  }

  /// Whether a witness that is read now was passed on before this coordinator began.
  private mutating func takeSaid(_ key: TestimonyStore.Key) -> Bool {
    guard var before = said[key], before.unread > 0 else { return false }
    before.unread -= 1
    said[key] = before.unread > 0 ? before : nil
    return true
  }

  /// A ban is renewed at most once an hour.
  static var renewal: Int64 { 3600 }

  mutating func enqueue(_ testimonies: [Testimony], at now: Timestamp) {
    guard let proof = Proof(testimonies) else { return }
    if pending.count >= Self.mostPending {
      if testimonies.count < settings.quorum { return }
      // A quorum's comes before what is only to be watched.
      if let index = pending.firstIndex(where: { $0.proof.testimonies.count < settings.quorum }) {
        pending.remove(at: index)
      } else {
        return
      }
    }
    pending.append((now + settings.delay, proof))
  }

  // MARK: The quorum

  /// What was said of an address, and not taken back.
  private func sightings(of source: Int) -> [(place: Int, sighting: Sighting)] {
    store.places(of: source).compactMap { place in
      let slot = store.owner(of: place)
      guard store.kind(of: place).accuses, roster.speaks(slot, at: time(of: place)) else { return nil }
      return (place, Sighting(slot: slot, second: UInt32(clamping: time(of: place).seconds)))
    }
  }

  private func quorum(of source: Int) -> Quorum {
    Quorum(
      nodes: settings.quorum, zones: store.address(of: source).isBoundToZone ? 1 : settings.zones)
  }

  func complete(_ source: Int) -> UInt32? {
    quorum(of: source).complete(sightings(of: source).map(\.sighting), zone: roster.zone)
  }

  /// The testimonies on which the last quorum of an address rests.
  private func witnesses(of source: Int) -> [Testimony] {
    let sightings = sightings(of: source)
    let quorum = quorum(of: source)
    guard let second = quorum.complete(sightings.map(\.sighting), zone: roster.zone) else { return [] }
    let within = sightings.map(\.sighting).filter {
      $0.second <= second && Int64(second) - Int64($0.second) <= FleetSettings.windowSeconds
    }
    let kept = quorum.kept(within, width: settings.quorum, zone: roster.zone)
    return kept.compactMap { sighting in
      guard let place = sightings.first(where: { $0.sighting == sighting })?.place else { return nil }
      return store.testimony(
        at: place, of: store.address(of: source), by: roster.member(at: sighting.slot).body.number)
    }
  }

  func time(of place: Int) -> Timestamp { Timestamp(nanoseconds: Int64(store.microseconds(of: place)) * 1000) }

  /// Takes testimonies of an address out.
  mutating func forget(of source: Int, where isOver: (Int, borrowing Self) -> Bool) {
    let over = store.places(of: source).filter { isOver($0, self) }
    guard !over.isEmpty else { return }
    for place in over { health[Int(store.owner(of: place))].held -= 1 }
    store.remove(of: source) { over.contains($0) }
  }

  // MARK: Snapshot

  /// All that a quorum speaks against and that may still be in force somewhere, in chunks.
  ///
  /// - Parameters:
  ///   - position: the place in the stream of proofs up to which all is in it.
  ///   - write: gets each chunk's index and bytes, before the manifest that belongs to them.
  package func snapshot(
    epoch: UInt64, generation: UInt64, position: StreamPosition, at now: Timestamp, _ write: (Int, [UInt8]) -> Void
  ) -> Snapshot.Manifest {
    var manifest = Snapshot.Manifest(epoch: epoch, generation: generation, position: position, proofs: 0, parts: [])
    var chunk: [UInt8] = []
    func close() {
      manifest.parts.append(
        Snapshot.Manifest.Part(length: UInt32(chunk.count), digest: verifier.digest(chunk)))
      write(manifest.parts.count - 1, chunk)
      chunk = []
    }
    for source in 0..<store.sourceCount {
      guard let second = complete(source), Timestamp(seconds: Int64(second)) + settings.time > now,
        let proof = Proof(witnesses(of: source))
      else { continue }
      let bytes = proof.encoded
      if !chunk.isEmpty, chunk.count + bytes.count > Snapshot.chunkBytes { close() }
      if manifest.parts.count >= Snapshot.mostChunks { break }
      if chunk.isEmpty {
        chunk = Snapshot.Chunk.header(generation: generation, index: UInt16(manifest.parts.count))
      }
      chunk += bytes
      manifest.proofs += 1
    }
    if !chunk.isEmpty { close() }
    return manifest
  }
}
