import Fleet
import Platform
import Signing
import Wire

/// A coordinator's work at the engine: reads what nodes write, and passes on what belongs together. It keeps nothing on disk, knows no
/// key, and is believed by nobody; any number may run.
package final class CoordinatorRun {
  private static let second: Int64 = 1_000_000_000
  /// Entries of each stream asked for at a time.
  private static let batch = "256"
  /// How long an answer is waited for when there is nothing to read, in milliseconds.
  private static let block = 400
  /// Proofs appended at a time.
  private static let mostAtOnce = 256
  /// Entries that stay in a stream which was flooded.
  private static let leftOfFlood = "64"
  /// Entries in the stream of proofs; who was away for longer reads the snapshot.
  private static let mostProofs = "131072"

  private let membership: Membership
  private let keys: EngineKeys
  private var mind: Coordinator<OpenSSLVerifier>
  /// How far each stream was read.
  private var places: [NodeNumber: StreamPosition] = [:]
  private var proofs = StreamPosition.start
  private var orders = StreamPosition.start
  private var certificates = 0
  private var cutOff: Set<NodeNumber> = []
  private var epoch: UInt64?
  private var generation: UInt64 = 0
  private var isSnapshotOld = true
  private var chunks = 0
  private var nextTick: Int64 = 0
  private var nextSnapshot: Int64 = 0
  private var nextMembers: Int64 = 0

  package init(_ membership: Membership, _ settings: Coordinator<OpenSSLVerifier>.Settings) {
    self.membership = membership
    keys = EngineKeys(membership.fleet)
    mind = Coordinator(settings, fleet: membership.fleet, verifier: OpenSSLVerifier(), secret: Clock.randomKey())
    Self.wakeCryptography()
  }

  /// OpenSSL reads its configuration at the first use, when a confined process has no files any more.
  private static func wakeCryptography() {
    let verifier = OpenSSLVerifier()
    _ = verifier.digest([])
    guard let key = SigningKey(seed: SigningKey.newSeed()) else { return }
    _ = verifier.isValid(key.sign([1]), of: [1], by: key.publicKey)
  }

  /// Runs for ever; what goes wrong is said, and tried again.
  package func run(say: (String) -> Void) -> Never {
    var isSaid = false
    while true {
      do throws(EngineFault) {
        let engine = try membership.connect()
        places = [:]
        (proofs, orders, certificates, epoch) = (.start, .start, 0, nil)
        try learn(engine)
        say("coordinating \(mind.roster.count) members")
        isSaid = false
        while true { try turn(engine) }
      } catch {
        if !isSaid { say("\(error); tried again") }
        isSaid = true
        Clock.sleep(.milliseconds(Int64.random(in: 200...2_000)))
      }
    }
  }

  private func words(_ words: String...) -> [[UInt8]] { words.map { Array($0.utf8) } }

  // MARK: What is there

  private func learn(_ engine: Engine) throws(EngineFault) {
    try learnMembers(engine)
    while true {
      let entries = StreamReply.entries(
        try engine.ask("XRANGE", keys.orders, "(\(orders)", "+", "COUNT", Self.batch))
      for (position, record) in entries { note(order: record, at: position) }
      if entries.count < 256 { break }
    }
    try obeyRevocations(engine)
    try find(engine)
  }

  private func learnMembers(_ engine: Engine) throws(EngineFault) {
    nextMembers = Clock.monotonic + 60 * Self.second
    let records = StreamReply.values(try engine.ask("HGETALL", keys.certificates))
    certificates = records.count
    for record in records {
      if let certificate = unsafe try? Certificate(record.span.bytes) { mind.take(certificate, at: Clock.now) }
    }
    for certificate in mind.roster.certificates where certificate.body.role == .node {
      if places[certificate.body.number] == nil { places[certificate.body.number] = .start }
    }
    // Those that the engine has lost.
    if mind.roster.count > certificates { try putBack(engine) }
  }

  private func note(order record: [UInt8], at position: StreamPosition) {
    orders = max(orders, position)
    if let order = unsafe try? Order(record.span.bytes) { mind.take(order, at: Clock.now) }
  }

  /// What a node was cast out for may have filled the engine: its stream goes, and is read no more.
  private func obeyRevocations(_ engine: Engine) throws(EngineFault) {
    for number in places.keys where mind.roster.isRevoked(number) && cutOff.insert(number).inserted {
      places[number] = nil
      _ = try engine.ask("DEL", keys.stream(of: number))
    }
  }

  // MARK: One turn

  private func turn(_ engine: Engine) throws(EngineFault) {
    let begin = Clock.monotonic
    let isIdle = try !read(engine)
    try pass(engine)
    for flood in mind.drainFloods() {
      _ = try engine.ask("XTRIM", keys.stream(of: flood), "MAXLEN", Self.leftOfFlood)
    }
    let now = Clock.monotonic
    if now >= nextTick {
      nextTick = now + Self.second
      mind.tick(at: Clock.now)
      try lookForLoss(engine)
    }
    if now >= nextSnapshot, isSnapshotOld { try writeSnapshot(engine) }
    // With many streams a question costs the engine milliseconds: a tenth of the time at most.
    let took = now - begin
    if !isIdle, places.count > 200 { Clock.sleep(.nanoseconds(min(took * 9, 200_000_000))) }
  }

  /// - Returns: whether there was something.
  private func read(_ engine: Engine) throws(EngineFault) -> Bool {
    let nodes = Array(places)
    // Whoever waits whether another is first must not sleep too long.
    let block = mind.settings.delay > .zero ? "50" : "\(Self.block)"
    var question = words("XREAD", "COUNT", Self.batch, "BLOCK", block, "STREAMS")
    question += nodes.map { Array(keys.stream(of: $0.key).utf8) }
    question += words(keys.proofs, keys.orders)
    question += nodes.map { Array("\($0.value)".utf8) }
    question += words("\(proofs)", "\(orders)")
    let streams = StreamReply.streams(try engine.ask(all: [question])[0])
    let now = Clock.now
    for (key, entries) in streams {
      if key == Array(keys.proofs.utf8) {
        for (position, record) in entries {
          proofs = max(proofs, position)
          if let proof = unsafe try? Proof(record.span.bytes) { mind.saw(proof) }
        }
      } else if key == Array(keys.orders.utf8) {
        for (position, record) in entries { note(order: record, at: position) }
        try obeyRevocations(engine)
      } else if let node = nodes.first(where: { Array(keys.stream(of: $0.key).utf8) == key })?.key {
        for (position, record) in entries {
          places[node] = max(places[node] ?? .start, position)
          hear(record, from: node, at: now)
        }
      }
    }
    return !streams.isEmpty
  }

  private func hear(_ record: [UInt8], from node: NodeNumber, at now: Timestamp) {
    if record.count == Testimony.size, let testimony = unsafe try? Testimony(record.span.bytes) {
      mind.take(testimony, from: node, at: now)
    } else if let certificate = unsafe try? Certificate(record.span.bytes) {
      mind.take(certificate, at: now)
    } else if let order = unsafe try? Order(record.span.bytes) {
      mind.take(order, at: now)
    } else {
      mind.noteMalformed(from: node)
    }
  }

  private func pass(_ engine: Engine) throws(EngineFault) {
    while true {
      let due = mind.drain(Self.mostAtOnce, at: Clock.now)
      if due.isEmpty { return }
      isSnapshotOld = true
      let appended = try engine.ask(
        all: due.map {
          words("XADD", keys.proofs, "MAXLEN", "~", Self.mostProofs, "*", StreamReply.field) + [$0.encoded]
        })
      var announcements: [[[UInt8]]] = []
      for (proof, reply) in zip(due, appended) {
        guard let position = reply.bytes.flatMap({ StreamPosition(String(decoding: $0, as: UTF8.self)) }) else {
          throw .unexpected
        }
        announcements.append(
          words("PUBLISH", keys.proofs) + [Announcement(proof, at: position, after: proofs).encoded])
        proofs = max(proofs, position)
      }
      _ = try engine.ask(all: announcements)
    }
  }

  // MARK: Losses and snapshots

  private func lookForLoss(_ engine: Engine) throws(EngineFault) {
    let count = try engine.ask("HLEN", keys.certificates)
    guard case .integer(let found) = count else { throw .unexpected }
    if Int(clamping: found) != certificates || Clock.monotonic >= nextMembers { try learnMembers(engine) }
    let manifest = try engine.ask("GET", keys.manifest).bytes.flatMap { unsafe try? Snapshot.Manifest($0.span.bytes) }
    // It is gone, or another coordinator has made a new one after a loss.
    if manifest?.epoch != epoch {
      forgetPlaces()
      try putBack(engine)
      try find(engine)
      // Nodes look whether the engine still has what they told it.
      _ = try engine.ask("PUBLISH", keys.proofs, "look")
    }
  }

  /// Whoever has lost it gets it again: certificates and orders prove themselves.
  private func putBack(_ engine: Engine) throws(EngineFault) {
    var commands: [[[UInt8]]] = mind.roster.certificates.map {
      words("HSET", keys.certificates, "\($0.body.number)") + [$0.encoded]
    }
    if case .integer(0) = try engine.ask("XLEN", keys.orders) {
      orders = .start
      for order in mind.roster.certificates.isEmpty ? [] : mind.orders.orders + mind.roster.revokingOrders {
        commands.append(words("XADD", keys.orders, "*", StreamReply.field) + [order.encoded])
      }
    }
    _ = try engine.ask(all: commands)
    certificates = mind.roster.count
  }

  /// The snapshot that there is, or the first.
  private func find(_ engine: Engine) throws(EngineFault) {
    let manifest = try engine.ask("GET", keys.manifest).bytes.flatMap { unsafe try? Snapshot.Manifest($0.span.bytes) }
    if let manifest {
      (epoch, generation, chunks) = (manifest.epoch, manifest.generation, manifest.parts.count)
      return
    }
    forgetPlaces()
    chunks = 0
    epoch = UInt64.random(in: 1...UInt64.max)
    try writeSnapshot(engine)
  }

  /// Streams begin anew.
  private func forgetPlaces() {
    proofs = .start
    for number in places.keys { places[number] = .start }
  }

  private func writeSnapshot(_ engine: Engine) throws(EngineFault) {
    nextSnapshot = Clock.monotonic + 30 * Self.second
    isSnapshotOld = false
    generation += 1
    var commands: [[[UInt8]]] = []
    let manifest = mind.snapshot(
      epoch: epoch ?? 0, generation: generation, position: proofs, at: Clock.now
    ) { index, bytes in
      commands.append(words("SET", keys.chunk(index)) + [bytes])
    }
    for index in manifest.parts.count..<max(chunks, manifest.parts.count) {
      commands.append(words("DEL", keys.chunk(index)))
    }
    chunks = manifest.parts.count
    commands.append(words("SET", keys.manifest) + [manifest.encoded])
    _ = try engine.ask(all: commands)
  }
}
