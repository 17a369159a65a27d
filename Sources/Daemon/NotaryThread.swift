import Carrier
import Fleet
import Platform
import Response
import Signing
import Wire

/// Verifies; but not what comes from our own disk, where only what was verified is written.
private final class NotaryVerifier: Verifier, @unchecked Sendable {
  private let openSSL = OpenSSLVerifier()
  /// Only while the notary's thread reads its own file, before anything else can come.
  var isReadingOwn = false

  func isValid(_ signature: Signature, of message: [UInt8], by key: PublicKey) -> Bool {
    isReadingOwn || openSSL.isValid(signature, of: message, by: key)
  }

  func digest(_ bytes: [UInt8]) -> Digest { openSSL.digest(bytes) }
}

/// What runs in the notary's thread.
final class NotaryThread {
  private static let second: Int64 = 1_000_000_000
  /// Records on their way to the carrier at a time.
  private static let window = 64
  /// Orders told again after a loss: the stream has room for so many beside what is ours.
  private static let mostAgain = 256
  /// Frames taken in one turn, so that others have theirs.
  private static let turn = 64

  private let notary: Notary
  private let key: SigningKey
  private let body: Certificate.Body
  private let verifier = NotaryVerifier()
  private var ledger: FleetLedger<NotaryVerifier>
  private var store: FleetStore
  private var outbox: FleetOutbox
  private let carrier = FleetCarrier()
  private let membership: Membership
  private var places: (proofs: StreamPosition, orders: StreamPosition)
  private var arePlacesNew = false
  private var statistics = Notary.Statistics()
  private var outage = Outage()

  /// The newest of ours that the engine has; nil until it has said so, and where it has none.
  private var newest: StreamPosition?
  /// It has said what it has, and what it lacks may be sent.
  private var isSending: Bool { sendAt != nil }
  /// After a loss all nodes tell again what they know, spread over a minute.
  private var sendAt: Int64?
  /// The last that was handed to the carrier.
  private var sent: StreamPosition?
  private var inFlight = 0
  /// Certificate and orders that the engine has lost, and nobody has put back yet.
  private var again: [[UInt8]] = []
  /// The carrier's number for its connection.
  private var connection: UInt64 = 0
  private var next: (alive: Int64, tick: Int64) = (0, 0)
  private var rereadAt: Int64?
  private var isCaughtUp = false
  private var wanted: Set<NodeNumber> = []
  private var snapshot = SnapshotReader()
  private var news: [Notary.News] = []

  /// nil where the membership is no node's.
  init?(_ notary: Notary, _ membership: Membership, _ settings: Notary.Settings, folder: String?) {
    guard let seed = membership.seed, let key = SigningKey(seed: seed), let certificate = membership.certificate,
      certificate.body.role == .node
    else { return nil }
    self.notary = notary
    self.key = key
    self.membership = membership
    body = certificate.body
    let now = Clock.now
    store = FleetStore(folder: folder)
    outbox = FleetOutbox(folder: store.fault == nil ? folder : nil, now: now)
    places = store.places()
    ledger = FleetLedger(
      Self.settings(settings, body), fleet: membership.fleet, verifier: verifier, secret: store.secret())
    (statistics.name, statistics.number, statistics.zone) = (body.name, body.number, body.zone)
    ledger.take(certificate, at: now)
    readOwn(now)
  }

  private var fleet: FleetID { membership.fleet }

  private static func settings(_ settings: Notary.Settings, _ body: Certificate.Body) -> FleetSettings {
    var result = FleetSettings(node: body.number, zone: body.zone)
    (result.quorum, result.zones, result.time, result.maximum) = (
      settings.quorum, settings.zones, settings.time, settings.most
    )
    return result
  }

  /// What was verified before a restart counts at once; the bans themselves are in force already, from the file of blocks.
  private func readOwn(_ now: Timestamp) {
    verifier.isReadingOwn = true
    store.load { kind, record in
      switch kind {
      case .certificate: if let certificate = try? Certificate(record) { ledger.take(certificate, at: now) }
      case .order: if let order = try? Order(record) { ledger.take(order, at: now) }
      case .proof: if let proof = try? Proof(record) { ledger.take(proof, at: now) }
      }
    }
    verifier.isReadingOwn = false
    tell(ledger.drain())
    rewrite(now)
    // The file was in memory twice.
    Heap.giveBack()
  }

  private func rewrite(_ now: Timestamp) {
    let banned = Set(ledger.banned(at: now))
    store.rewrite(
      ledger.roster.certificates, ledger.orders.orders + ledger.roster.revokingOrders,
      keeping: { banned.contains($0.address) })
  }

  // MARK: The loop

  func run() {
    while true {
      let work = notary.takeWork()
      if work.isStopping { break }
      if let settings = work.settings { renew(settings) }
      for sighting in work.sightings { testify(sighting) }
      statistics.signed &+= UInt64(work.sightings.count) &+ work.lost
      if work.lost > 0 { say("\(work.lost) sightings were lost: the fleet is not told of them", isError: true) }
      let now = Clock.monotonic
      if let why = carrier.advance(now: now, hello: hello) { disconnected(why) }
      let isMore = takeFrames(room: work.room)
      if now >= next.tick { tick(now) }
      if now >= next.alive { tellAlive(now) }
      if let at = rereadAt, now >= at { reread() }
      sendNext(now)
      publish()
      wait(isMore: isMore)
    }
    carrier.stop()
    if arePlacesNew { store.keep(places: places) }
  }

  private func hello() -> CarrierFrame.Hello {
    CarrierFrame.Hello(
      address: "\(membership.engine)", user: membership.user, password: membership.password, fleet: fleet.key,
      node: body.number, proofs: places.proofs, orders: places.orders, tls: membership.tls)
  }

  private func wait(isMore: Bool) {
    let now = Clock.monotonic
    var due = min(next.tick, next.alive)
    if let next = carrier.due { due = min(due, next) }
    if isSending, !outbox.entries(above: sent ?? newest).isEmpty, inFlight < Self.window {
      due = min(due, max(sendAt ?? now, now))
    }
    if let at = rereadAt { due = min(due, at) }
    let milliseconds = isMore ? 0 : Int32(clamping: max(0, (due - now + 999_999) / 1_000_000))
    _ = Poll.readable([notary.wakeDescriptor] + carrier.descriptors, milliseconds: milliseconds)
  }

  private func tick(_ now: Int64) {
    next.tick = now + Self.second
    ledger.tick(at: Clock.now)
    tell(ledger.drain())
    outbox.forget(before: Clock.now)
    wanted = []
    if arePlacesNew {
      store.keep(places: places)
      arePlacesNew = false
    }
  }

  /// Another quorum or length: all is counted anew from what is kept.
  private func renew(_ settings: Notary.Settings) {
    let before = ledger.banned(at: Clock.now)
    ledger = FleetLedger(Self.settings(settings, body), fleet: fleet, verifier: verifier, secret: store.secret())
    readOwn(Clock.now)
    let after = Set(ledger.banned(at: Clock.now))
    for address in before where !after.contains(address) {
      news.append(.word(.lift(IPNetwork(address), isOrder: false, because: "by other settings of the fleet")))
    }
  }

  // MARK: What this host says

  private func testify(_ sighting: FleetDesk.Sighting) {
    var said = Testimony.Body(sighting.kind, by: body.number, of: sighting.source, at: sighting.time)
    said.distinctPorts = 1
    said.ports[0] = sighting.port
    let testimony = Testimony(said, in: fleet, signedBy: key)
    if sighting.kind == .probe {
      // What anybody can forge is not kept for an engine that is away.
      _ = tellNow(testimony)
      return
    }
    ledger.take(testimony, at: Clock.now)
    tell(ledger.drain())
    let entry = FleetOutbox.Entry(position: outbox.place(at: Clock.now, above: newest), record: testimony.encoded)
    do throws(Errno) { try outbox.add(entry, now: Clock.now) } catch {
      if outage.begins() { say("fleet: \(error): what is told of it now is lost if this process ends", isError: true) }
    }
  }

  /// Each minute: that we live, and what our clock says.
  private func tellAlive(_ now: Int64) {
    next.alive = now + Self.second / 2
    let testimony = Testimony(Testimony.Body(.alive, by: body.number, at: Clock.now), in: fleet, signedBy: key)
    if tellNow(testimony) { next.alive = now + 60 * Self.second }
  }

  /// Hands over what is not kept, where nothing waits that is.
  private func tellNow(_ testimony: Testimony) -> Bool { tellNow(testimony.encoded) }

  private func tellNow(_ record: [UInt8]) -> Bool {
    guard statistics.isConnected, let sendAt, Clock.monotonic >= sendAt, inFlight < Self.window,
      outbox.entries(above: sent ?? newest).isEmpty
    else { return false }
    let position = outbox.place(at: Clock.now, above: newest)
    guard (try? carrier.pair?.send(.append(connection: connection, position, record))) == true else { return false }
    sent = position
    inFlight += 1
    return true
  }

  private func sendNext(_ now: Int64) {
    guard let sendAt, now >= sendAt, let pair = carrier.pair else { return }
    for entry in outbox.entries(above: sent ?? newest) {
      guard inFlight < Self.window,
        (try? pair.send(.append(connection: connection, entry.position, entry.record))) == true
      else { return }
      sent = entry.position
      inFlight += 1
    }
    // Of what the engine has lost whoever knows it puts it back; coordinators mostly were faster.
    while let record = again.last, tellNow(record) { again.removeLast() }
  }

  /// The engine says what it has of us last. Where that is less than it took, it has lost something.
  private func heardNewest(_ position: StreamPosition?) {
    let hasLost = newest.map { $0 > position ?? .start } ?? false
    if isSending, !hasLost { return }
    if hasLost { say("fleet: the engine has lost what it was told; it is told again within a minute", isError: false) }
    newest = position
    (sent, inFlight) = (nil, 0)
    if hasLost {
      let orders = ledger.roster.revokingOrders + ledger.orders.orders
      again = orders.prefix(Self.mostAgain).map(\.encoded)
      // Told before them, since an order proves itself by its operator's certificate.
      for issuer in Set(orders.map(\.body.issuer)) {
        if let certificate = ledger.roster.certificate(of: issuer) { again.append(certificate.encoded) }
      }
      if let certificate = membership.certificate { again.append(certificate.encoded) }
    }
    sendAt = hasLost ? Clock.monotonic + Int64.random(in: 0...55 * Self.second) : 0
  }

  // MARK: What the fleet says

  /// - Returns: whether more is there.
  private func takeFrames(room: Int) -> Bool {
    guard let pair = carrier.pair else { return false }
    for _ in 0..<Self.turn {
      // The sentry has to take some words first; it wakes us.
      guard news.count < room else { return false }
      switch pair.receive() {
      case .frame(let frame): handle(frame)
      case .nothing, .closed, .nonsense: return false
      }
    }
    return true
  }

  private func handle(_ frame: CarrierFrame) {
    switch frame {
    case .connected(let number):
      connection = number
      connected()
    case .disconnected(let why): disconnected(why)
    case .newest(let position): heardNewest(position)
    case .appended(let position):
      newest = max(newest ?? .start, position)
      inFlight = max(inFlight - 1, 0)
      statistics.told += 1
    case .entry(let stream, let position, let record):
      hear(record, of: stream)
      if stream == .proofs { places.proofs = max(places.proofs, position) }
      if stream == .orders { places.orders = max(places.orders, position) }
      arePlacesNew = true
    case .certificate(let record): hearCertificate(record)
    case .snapshot(let index, let isLast, let part): hearSnapshot(index, isLast, part)
    case .caughtUp: isCaughtUp = true
    case .hello, .append, .wantCertificate, .reread: break
    }
  }

  private func hearCertificate(_ record: [UInt8]) {
    guard let certificate = unsafe try? Certificate(record.span.bytes) else { return ledger.noteMalformed() }
    ledger.take(certificate, at: Clock.now)
    let changes = ledger.drain()
    if !changes.isEmpty { store.add(.certificate, record) }
    tell(changes)
  }

  private func hear(_ record: [UInt8], of stream: SharedStream) {
    statistics.taken += 1
    switch stream {
    case .proofs:
      guard let proof = unsafe try? Proof(record.span.bytes) else { return ledger.noteMalformed() }
      hear(proof, record)
    case .orders:
      guard let order = unsafe try? Order(record.span.bytes) else { return ledger.noteMalformed() }
      want(order.body.issuer)
      again.removeAll { $0 == record }
      ledger.take(order, at: Clock.now)
      let changes = ledger.drain()
      if !changes.isEmpty || order.body.verb == .allow { store.add(.order, record) }
      tell(changes)
    }
  }

  private func hear(_ proof: Proof, _ record: [UInt8]) {
    for testimony in proof.testimonies { want(testimony.body.node) }
    ledger.take(proof, at: Clock.now)
    let changes = ledger.drain()
    if !changes.isEmpty, proof.accuses { store.add(.proof, record) }
    tell(changes)
  }

  /// Asks for the certificate of a node that is not known yet; each once a second.
  private func want(_ node: NodeNumber) {
    guard ledger.roster.certificate(of: node) == nil, wanted.count < 256, wanted.insert(node).inserted else { return }
    _ = try? carrier.pair?.send(.wantCertificate(node))
  }

  private func hearSnapshot(_ index: Int32, _ isLast: Bool, _ part: [UInt8]) {
    guard let chunk = snapshot.take(index, isLast, part, verifier) else { return }
    for proof in chunk { hear(proof, proof.encoded) }
    if let position = snapshot.position { places.proofs = max(places.proofs, position) }
  }

  private func reread() {
    rereadAt = nil
    snapshot = SnapshotReader()
    if (try? carrier.pair?.send(.reread)) != true { rereadAt = Clock.monotonic + Self.second }
  }

  private func connected() {
    statistics.isConnected = true
    statistics.fault = ""
    outage = Outage()
    say("The fleet is reached: this host is \(body.name), zone \(body.zone)", isError: false)
    next.alive = 0
  }

  private func disconnected(_ why: String) {
    if statistics.isConnected || statistics.fault.isEmpty {
      say("The fleet is not reached: \(why). It is tried again; this host goes on by itself", isError: true)
    }
    statistics.isConnected = false
    statistics.fault = why
    (sendAt, inFlight, sent, isCaughtUp) = (nil, 0, nil, false)
  }

  // MARK: Words

  private func tell(_ changes: [FleetChange]) {
    for change in changes {
      switch change {
      case .ban(let address, let until, let witnesses):
        let cause = FleetCause(.quorum(ledger.settings.quorum), Self.seen(witnesses))
        news.append(.word(.ban(IPNetwork(address), until: until, cause)))
      case .banByOrder(let network, let until, let number, _):
        news.append(.word(.ban(network, until: until, FleetCause(.order(operator: number), []))))
      case .watch(let address, let weight, let until, let witnesses):
        news.append(.word(.watch(address, weight: weight, until: until, Self.seen(witnesses))))
      case .lift(let address, let reason):
        news.append(.word(.lift(IPNetwork(address), isOrder: false, because: text(reason))))
      case .liftOrder(let network, let reason):
        news.append(.word(.lift(network, isOrder: true, because: text(reason))))
      case .unban(let network, let number): news.append(.word(.unban(network, operator: number)))
      case .alarm(let address, let member, let by):
        say(
          "FLEET ALARM: \(ledger.roster.name(of: by)) accuses \(address), which is \(ledger.roster.name(of: member)) of the fleet: one of the two is not to be trusted",
          isError: true)
      case .campaign(let address, let witnesses):
        let names = witnesses.map(\.name).joined(separator: ", ")
        say(
          "FLEET CAMPAIGN: \(address) probes \(witnesses.count) hosts of the fleet without completing a connection: \(names). Nobody is banned for that, as anybody can write any address",
          isError: false)
      case .resync where isCaughtUp: rereadAt = rereadAt ?? Clock.monotonic + 2 * Self.second
      // Bans there are end; this host's own rule goes on.
      case .allow(let network, let until, let number) where until.map({ $0 > Clock.now }) ?? true:
        news.append(.word(.unban(network, operator: number)))
      case .allow, .resync: break
      }
    }
  }

  private static func seen(_ witnesses: [Witness]) -> [FleetCause.Witness] {
    witnesses.map { FleetCause.Witness(node: $0.node, name: $0.name, at: $0.time) }
  }

  private func text(_ reason: LiftReason) -> String {
    switch reason {
    case .revoked(let node): "\(ledger.roster.name(of: node)) of the fleet was revoked"
    case .retracted(let node): "\(ledger.roster.name(of: node)) of the fleet takes it back"
    case .overruled(let number): "by the fleet's operator \(number)"
    case .member(let node): "now an address of \(ledger.roster.name(of: node)) of the fleet"
    case .recertified(let node): "\(ledger.roster.name(of: node)) of the fleet has another certificate"
    }
  }

  private func say(_ text: String, isError: Bool) { news.append(.note(text, isError: isError)) }

  private func publish() {
    notary.hand(news)
    news = []
    statistics.members = ledger.roster.count
    statistics.bans = ledger.bans
    let waiting = outbox.entries(above: newest)
    statistics.waiting = waiting.count
    statistics.waitingSince = waiting.first.map {
      Timestamp(nanoseconds: Int64(clamping: $0.position.milliseconds) &* 1_000_000)
    }
    statistics.refused = Dictionary(uniqueKeysWithValues: ledger.refusals.nonzero.map { ($0.refusal.name, $0.count) })
    statistics.carrier = carrier.pid
    notary.publish(statistics)
  }
}

/// Puts a snapshot together from its parts. What it says proves itself; digests only show that its parts belong together.
struct SnapshotReader {
  private var manifest: Snapshot.Manifest?
  private var buffer: [UInt8] = []
  private var next: Int32 = 0

  /// Up to where the stream of proofs is in it, once all was read.
  private(set) var position: StreamPosition?

  /// - Returns: the proofs of a chunk that is whole.
  mutating func take(_ index: Int32, _ isLast: Bool, _ part: [UInt8], _ verifier: some Verifier) -> [Proof]? {
    guard buffer.count + part.count <= Snapshot.chunkBytes else {
      self = SnapshotReader()
      return nil
    }
    buffer += part
    guard isLast else { return nil }
    defer { buffer = [] }
    if index == -1 {
      manifest = unsafe try? Snapshot.Manifest(buffer.span.bytes)
      (next, position) = (0, nil)
      return nil
    }
    guard let manifest, index == next, Int(index) < manifest.parts.count,
      manifest.parts[Int(index)].digest == verifier.digest(buffer),
      let chunk = unsafe try? Snapshot.Chunk(buffer.span.bytes)
    else { return nil }
    next += 1
    if Int(next) == manifest.parts.count { position = manifest.position }
    return chunk.proofs
  }
}
