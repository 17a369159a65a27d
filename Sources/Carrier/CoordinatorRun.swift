import Fleet
import Platform
import Signing
import Wire

/// A coordinator's work at the engine: reads what nodes write, and passes on what belongs together. It keeps nothing on disk, knows no
/// key, and is believed by nobody; any number may run.
package final class CoordinatorRun {
  private static let second: Int64 = 1_000_000_000
  /// Entries of each stream asked for at a time, at most; of all streams together no more than the reader takes at once.
  private static let most = 256
  private static let mostOfAll = 40_000
  /// How long an answer is waited for when there is nothing to read, in milliseconds; and with how many streams nothing is waited for,
  /// since the engine would have to note each of them each time.
  private static let block = 400
  private static let many = 200
  /// With many streams one part in so many of the time is spent asking, by this process's own CPU time.
  private static let share: Int64 = 14
  private static let longestPause: Int64 = 200_000_000
  /// Proofs appended at a time.
  private static let mostAtOnce = 256
  /// Entries that stay in a stream which was flooded.
  private static let leftOfFlood = "64"
  /// Bytes that no record of ours has: whoever writes more floods.
  private static let mostBytes = max(Certificate.mostBytes, Proof.mostBytes)
  /// Questions for keys, each for a thousand or so.
  private static let mostScans = 10_000
  /// Orders that are known to stand in the engine; beyond these it is not asked whether it has lost one.
  private static let mostOrders = 131_072
  /// Entries in the stream of proofs; who was away for longer reads the snapshot.
  private static let mostProofs = "131072"

  private let membership: Membership
  private let context: TLSContext?
  private let keys: EngineKeys
  private var mind: Coordinator<OpenSSLVerifier>
  /// How far each node's stream was read.
  private var streams = NodeStreams()
  private var proofs = StreamPosition.start
  private var orders = StreamPosition.start
  private var certificates = 0
  /// Revoked nodes, whose streams are emptied and not read.
  private var cutOff: Set<NodeNumber> = []
  /// Orders that stand in the engine, by their signatures.
  private var ordersThere: Set<Signature> = []
  /// Streams are read one by one: together they hold more than is taken at once, so that one of them is flooded.
  private var isCareful = false
  /// Whose stream was being read by itself.
  private var suspect: NodeNumber?
  /// Of whom it was said.
  private var flooding: Set<NodeNumber> = []
  private var epoch: UInt64?
  private var generation: UInt64 = 0
  private var isSnapshotOld = true
  private var chunks = 0
  private var nextTick: Int64 = 0
  private var nextSnapshot: Int64 = 0
  private var nextMembers: Int64 = 0

  package init(
    _ membership: Membership, _ settings: Coordinator<OpenSSLVerifier>.Settings
  ) throws(Membership.Fault) {
    self.membership = membership
    context = try membership.context()
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
        let engine = try membership.connect(context)
        streams = NodeStreams()
        (proofs, orders, certificates, epoch) = (.start, .start, 0, nil)
        ordersThere = []
        if let suspect {
          self.suspect = nil
          try empty(engine, suspect)
        }
        try learn(engine)
        say("coordinating \(mind.roster.count) members")
        isSaid = false
        while true {
          try turn(engine)
          sayWhatIsWrong(say)
        }
      } catch {
        // More came than is taken at once: whoever wrote it is looked for.
        if case .reply(.tooLong) = error { isCareful = true }
        if !isSaid { say("\(error); tried again") }
        isSaid = true
        Clock.sleep(.milliseconds(isCareful ? 10 : Int64.random(in: 200...2_000)))
      }
    }
  }

  private func words(_ words: String...) -> [[UInt8]] { words.map { Array($0.utf8) } }

  private func sayWhatIsWrong(_ say: (String) -> Void) {
    for (node, skew) in mind.drainClocks() {
      let seconds = skew.wholeNanoseconds / Self.second
      let how = seconds > 0 ? "\(seconds) s ahead" : "\(-seconds) s behind"
      say("the clock of \(mind.roster.name(of: node)) is \(how): what it says counts for nobody until that is mended")
    }
    for node in mind.drainFlooders() where flooding.insert(node).inserted {
      say(
        "\(mind.roster.name(of: node)) writes more than it may: its stream is cut; revoke it if it is not yours any more"
      )
    }
  }

  /// Takes away what a node wrote: its next entry is the first.
  private func empty(_ engine: Engine, _ node: NodeNumber) throws(EngineFault) {
    _ = try engine.ask("DEL", keys.stream(of: node))
    mind.noteFlood(by: node)
  }

  // MARK: What is there

  private func learn(_ engine: Engine) throws(EngineFault) {
    try learnMembers(engine)
    while true {
      let entries = StreamReply.entries(
        try engine.ask("XRANGE", keys.orders, "(\(orders)", "+", "COUNT", "256"))
      for (position, record) in entries { note(order: record, at: position) }
      if entries.count < 256 { break }
    }
    try obeyRevocations(engine)
    try learnProofs(engine)
    try find(engine)
  }

  /// What was passed on before this coordinator began is not passed on again.
  private func learnProofs(_ engine: Engine) throws(EngineFault) {
    for index in 0..<Snapshot.mostChunks {
      guard let bytes = try engine.ask("GET", keys.chunk(index)).bytes else { break }
      guard let chunk = unsafe try? Snapshot.Chunk(bytes.span.bytes) else { continue }
      for proof in chunk.proofs { mind.saw(proof) }
    }
    while true {
      let entries = StreamReply.entries(
        try engine.ask("XRANGE", keys.proofs, "(\(proofs)", "+", "COUNT", "2048"))
      for (position, record) in entries {
        proofs = max(proofs, position)
        if let proof = unsafe try? Proof(record.span.bytes) { mind.saw(proof) }
      }
      if entries.count < 2048 { break }
    }
  }

  private func learnMembers(_ engine: Engine) throws(EngineFault) {
    nextMembers = Clock.monotonic + 60 * Self.second
    let records = StreamReply.values(try engine.ask("HGETALL", keys.certificates))
    certificates = records.count
    for record in records {
      if let certificate = unsafe try? Certificate(record.span.bytes) { mind.take(certificate, at: Clock.now) }
    }
    // Where it has lost them all nodes tell of themselves.
    if mind.roster.count == 0 { try findStreams(engine) }
    for certificate in mind.roster.certificates where certificate.body.role == .node {
      let number = certificate.body.number
      if !mind.roster.isRevoked(number) { streams.add(number, key: keys.stream(of: number)) }
    }
    // Those that the engine has lost.
    if mind.roster.count > certificates { try putBack(engine) }
  }

  /// Streams of nodes whose certificates are not known.
  private func findStreams(_ engine: Engine) throws(EngineFault) {
    let prefix = keys.streams
    var cursor = Array("0".utf8)
    for _ in 0..<Self.mostScans {
      let parts = try engine.ask(words("SCAN") + [cursor] + words("MATCH", prefix + "*", "COUNT", "1000")).elements
      guard parts.count == 2, let next = parts[0].bytes else { throw .unexpected }
      for key in parts[1].elements {
        let name = String(decoding: key.bytes ?? [], as: UTF8.self)
        guard name.startsWithBytes(prefix),
          let number = NodeNumber(String(decoding: name.utf8.dropFirst(prefix.utf8.count), as: UTF8.self)),
          name == keys.stream(of: number), streams.count < Roster.mostMembers
        else { continue }
        streams.add(number, key: name)
      }
      cursor = next
      if cursor == Array("0".utf8) { return }
    }
  }

  private func note(order record: [UInt8], at position: StreamPosition) {
    orders = max(orders, position)
    guard let order = unsafe try? Order(record.span.bytes) else { return }
    if ordersThere.count < Self.mostOrders { ordersThere.insert(order.signature) }
    mind.take(order, at: Clock.now)
  }

  /// What a node was cast out for may have filled the engine: its stream goes, as long as it writes, and is read no more.
  private func obeyRevocations(_ engine: Engine) throws(EngineFault) {
    for number in streams.numbers where mind.roster.isRevoked(number) {
      cutOff.insert(number)
      streams.remove(number, key: keys.stream(of: number))
    }
    for number in cutOff {
      if mind.roster.isRevoked(number) {
        _ = try engine.ask("DEL", keys.stream(of: number))
      } else {
        cutOff.remove(number)
      }
    }
  }

  // MARK: One turn

  private func turn(_ engine: Engine) throws(EngineFault) {
    let begin = Clock.processTime
    try isCareful ? readCarefully(engine) : read(engine)
    try pass(engine)
    for flood in mind.drainFloods() {
      _ = try engine.ask("XTRIM", keys.stream(of: flood), "MAXLEN", Self.leftOfFlood)
    }
    if !cutOff.isEmpty { try obeyRevocations(engine) }
    let now = Clock.monotonic
    if now >= nextTick {
      nextTick = now + Self.second
      mind.tick(at: Clock.now)
      try lookForLoss(engine)
    }
    if now >= nextSnapshot, isSnapshotOld { try writeSnapshot(engine) }
    // With many streams each question costs milliseconds, here and in the engine.
    if streams.count > Self.many, !isCareful {
      Clock.sleep(.nanoseconds(min((Clock.processTime - begin) * Self.share, Self.longestPause)))
    }
  }

  private func read(_ engine: Engine) throws(EngineFault) {
    // Whoever waits whether another is first must not sleep too long.
    let block = streams.count > Self.many ? nil : mind.settings.delay > .zero ? 50 : Self.block
    let count = min(max(Self.mostOfAll / max(streams.count, 1), 1), Self.most)
    let question = streams.question(
      count: count, block: block, others: [(keys.proofs, proofs), (keys.orders, orders)])
    try take(StreamReply.streams(try engine.ask(encoded: question)), engine)
  }

  /// Each stream by itself, a few entries at a time. What cannot be read like that ends the connection, and the stream.
  private func readCarefully(_ engine: Engine) throws(EngineFault) {
    for number in streams.numbers {
      guard let index = streams.index(of: Array(keys.stream(of: number).utf8)) else { continue }
      suspect = number
      let replies = StreamReply.streams(try engine.ask(encoded: streams.question(of: index, count: 4)))
      suspect = nil
      try take(replies, engine)
    }
    isCareful = false
  }

  private func take(
    _ replies: [(key: [UInt8], entries: [StreamReply.Entry])], _ engine: Engine
  ) throws(EngineFault) {
    let now = Clock.now
    for (key, entries) in replies {
      if key == Array(keys.proofs.utf8) {
        for (position, record) in entries {
          proofs = max(proofs, position)
          if let proof = unsafe try? Proof(record.span.bytes) { mind.saw(proof) }
        }
      } else if key == Array(keys.orders.utf8) {
        for (position, record) in entries { note(order: record, at: position) }
        try obeyRevocations(engine)
      } else if let index = streams.index(of: key) {
        let node = streams.numbers[index]
        let members = mind.roster.count
        for (position, record) in entries {
          streams.advance(index, to: position)
          hear(record, from: node, at: now)
        }
        // What it said before its certificate counts as well.
        if mind.roster.count > members { streams.forgetPlaces() }
        // What is no record of ours, or as long as none, would fill the engine, whose room is everybody's.
        if entries.contains(where: { $0.record.isEmpty || $0.record.count > Self.mostBytes }) {
          try empty(engine, node)
        }
      }
    }
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
    } else if mind.roster.count > certificates
      || ordersThere.count < Self.mostOrders
        && mind.allOrders.contains(where: { !ordersThere.contains($0.signature) })
    {
      // Nodes have told of them after a loss.
      try putBack(engine)
      _ = try engine.ask("PUBLISH", keys.proofs, "look")
    }
  }

  /// Whoever has lost it gets it again: certificates and orders prove themselves.
  private func putBack(_ engine: Engine) throws(EngineFault) {
    var commands: [[[UInt8]]] = mind.roster.certificates.map {
      words("HSET", keys.certificates, "\($0.body.number)") + [$0.encoded]
    }
    if case .integer(0) = try engine.ask("XLEN", keys.orders) { (orders, ordersThere) = (.start, []) }
    for order in mind.allOrders where ordersThere.insert(order.signature).inserted {
      commands.append(words("XADD", keys.orders, "*", StreamReply.field) + [order.encoded])
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
    streams.forgetPlaces()
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
