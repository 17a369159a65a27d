import Fleet
import Platform
import Signing
import Wire

/// Carries records between this host's sentry and the fleet's engine. It holds no key that signs and judges nothing: taken over, it can
/// withhold, delay, replay and erase, no more. One poll loop, in a process of its own.
package final class Carrier {
  /// Frames for the sentry beyond which nothing more is read from the engine.
  private static let crowded = 256
  /// Frames for the sentry beyond which no chunk of a snapshot is asked for: one is some twenty of the largest.
  private static let fewForChunk = 4
  /// Records for the engine beyond which nothing more is read from the sentry.
  private static let mostAppends = 256
  /// Entries asked for at a time.
  private static let batch = 256
  /// Chunks of a snapshot, at most: of a million bans.
  private static let mostChunks: Int32 = 512
  private static let patience: Int64 = 15_000_000_000
  private static let second: Int64 = 1_000_000_000

  /// What a reply on the line of commands answers.
  private enum Asked {
    case identity
    case newest
    case certificates
    case certificate
    case first
    case streams
    case snapshot(Int32)
    case append(StreamPosition)
  }

  private let pair: CarrierPair
  private let hello: CarrierFrame.Hello
  private let address: EngineAddress
  private let context: TLSContext?
  private let keys: EngineKeys
  private var line: EngineConnection?
  private var ear: EngineConnection?
  private var asked: [Asked] = []
  /// Replies of the line that listens: to AUTH and SUBSCRIBE, then pushes.
  private var earReplies = 0
  private var toSentry: [CarrierFrame] = []
  private var handedOver = 0
  private var appends: [(StreamPosition, [UInt8])] = []
  private var isAppending = false
  private var isReading = false
  /// The chunk of a snapshot to be asked for once the sentry has taken what came.
  private var nextChunk: Int32?
  /// There are more entries, to be asked for once the sentry has taken what came.
  private var isMore = false
  private var isBatchDue: Bool { isMore && toSentry.count - handedOver < Self.crowded }
  private var isChunkDue: Bool { nextChunk != nil && toSentry.count - handedOver < Self.fewForChunk }
  private var retryAppend: Int64 = 0
  private var proofs: StreamPosition
  private var orders: StreamPosition
  private var lastReply: Int64 = 0
  private var nextLook: Int64 = 0
  private var nextTry: Int64 = 0
  private var failures = 0
  /// How many connections there were.
  private var connection: UInt64 = 0

  /// - Parameter context: how the engine proves who it is; made before the process gave its files up.
  package init?(_ pair: CarrierPair, _ hello: CarrierFrame.Hello, _ context: TLSContext?) {
    guard let address = EngineAddress(hello.address) else { return nil }
    self.pair = pair
    self.hello = hello
    self.address = address
    self.context = context
    keys = EngineKeys(FleetID(hello.fleet))
    (proofs, orders) = (hello.proofs, hello.orders)
  }

  /// Runs until the sentry lets go of its end.
  package func run() {
    while true {
      let now = Clock.monotonic
      if line == nil, now >= nextTry { connect() }
      poll(now)
      guard takeFrames() else { return }
      do throws(EngineFault) { try serve() } catch { disconnect("\(error)") }
      guard handOver() else { return }
    }
  }

  private func poll(_ now: Int64) {
    var reading: [Int32] = appends.count < Self.mostAppends ? [pair.descriptor] : []
    var writing: [Int32] = toSentry.isEmpty ? [] : [pair.descriptor]
    for connection in [line, ear].compactMap(\.self) {
      if toSentry.count < Self.crowded { reading.append(connection.descriptor) }
      if connection.wantsToWrite { writing.append(connection.descriptor) }
    }
    var due = line == nil ? nextTry : min(nextLook, asked.isEmpty ? Int64.max : lastReply + Self.patience)
    if !appends.isEmpty, line != nil, !isAppending { due = min(due, retryAppend) }
    // Nothing else wakes us for it where the sentry has taken all at once.
    if isChunkDue || isBatchDue { due = now }
    _ = Poll.ready(
      reading: reading, writing: writing, milliseconds: Int32(clamping: max(0, (due - now + 999_999) / 1_000_000)))
  }

  // MARK: The sentry

  /// - Returns: false when the sentry has gone.
  private func takeFrames() -> Bool {
    while appends.count < Self.mostAppends {
      switch pair.receive() {
      case .frame(.append(let number, let id, let record)): if number == connection { appends.append((id, record)) }
      case .frame(.wantCertificate(let node)):
        if line != nil, asked.count < 1_024 { ask(.certificate, "HGET", keys.certificates, "\(node)") }
      case .frame(.reread):
        proofs = .start
        if line != nil, earReplies >= 2, asked.count < 1_024 { ask(.snapshot(-1), "GET", keys.manifest) }
      case .frame: break
      case .nothing: return true
      case .closed, .nonsense: return false
      }
    }
    return true
  }

  /// - Returns: false when the sentry has gone.
  private func handOver() -> Bool {
    while handedOver < toSentry.count {
      guard let sent = try? pair.send(toSentry[handedOver]) else { return false }
      if !sent { break }
      handedOver += 1
    }
    // Soon: what was handed over keeps its bytes until then.
    if handedOver == toSentry.count || handedOver > Self.fewForChunk {
      toSentry.removeFirst(handedOver)
      handedOver = 0
    }
    return true
  }

  // MARK: Connections

  private func connect() {
    do throws(EngineFault) {
      let line = try EngineConnection(address, tls: context)
      self.line = line
      lastReply = Clock.monotonic
      nextLook = Int64.max
      ask(.identity, "AUTH", hello.user, hello.password)
    } catch {
      disconnect("\(error)")
    }
  }

  /// Lets go, and tries again after a pause that doubles up to 40 s, of which a part by chance is waited: a thousand hosts do not come back
  /// in the same second, and all are back within a minute.
  private func disconnect(_ why: String) {
    (line, ear) = (nil, nil)
    (asked, earReplies, isAppending, isReading, isMore, nextChunk) = ([], 0, false, false, false, nil)
    // What was not taken is sent anew by the sentry, which asks what is stored.
    appends = []
    connection += 1
    toSentry.append(.disconnected(why))
    let longest = min(Self.second << Int64(min(failures, 6)), 40 * Self.second)
    failures += 1
    nextTry = Clock.monotonic + Int64.random(in: Self.second / 20...longest)
  }

  private func ask(_ question: Asked, _ words: String...) {
    if asked.isEmpty { lastReply = Clock.monotonic }
    asked.append(question)
    line?.send(words.map { Array($0.utf8) })
  }

  private func serve() throws(EngineFault) {
    let now = Clock.monotonic
    if toSentry.count < Self.crowded {
      if let line {
        for reply in try line.advance() {
          guard !asked.isEmpty else { throw .unexpected }
          lastReply = now
          try handle(reply, of: asked.removeFirst())
        }
      }
      if let ear { for reply in try ear.advance() { try hear(reply) } }
      if !asked.isEmpty, now - lastReply >= Self.patience {
        let seconds = Int(Self.patience / Self.second)
        throw line?.silence(seconds) ?? .silent(seconds)
      }
    }
    if line != nil, now >= nextLook { look() }
    if isBatchDue { read() }
    if isChunkDue, let index = nextChunk {
      nextChunk = nil
      ask(.snapshot(index), "GET", keys.chunk(Int(index)))
    }
    appendNext(now)
    // What was asked just now goes out at once.
    if let line, line.wantsToWrite {
      for reply in try line.advance() {
        guard !asked.isEmpty else { throw .unexpected }
        try handle(reply, of: asked.removeFirst())
      }
    }
  }

  private func appendNext(_ now: Int64) {
    guard !isAppending, earReplies >= 2, now >= retryAppend, let (id, record) = appends.first else { return }
    isAppending = true
    if asked.isEmpty { lastReply = now }
    asked.append(.append(id))
    let words = ["XADD", keys.stream(of: hello.node), "MAXLEN", "~", "512", "\(id)", StreamReply.field]
    line?.send(words.map { Array($0.utf8) } + [record])
  }

  /// Every half minute or so: whether the engine still has what we gave it, and what a push may have missed.
  private func look() {
    nextLook = Clock.monotonic + Int64.random(in: 18 * Self.second...26 * Self.second)
    ask(.newest, "XREVRANGE", keys.stream(of: hello.node), "+", "-", "COUNT", "1")
    read()
  }

  private func read() {
    guard !isReading else { return }
    (isReading, isMore) = (true, false)
    ask(
      .streams, "XREAD", "COUNT", "\(Self.batch)", "STREAMS", keys.proofs, keys.orders, "\(proofs)", "\(orders)")
  }

  // MARK: What the engine says

  private func handle(_ reply: RESPValue, of question: Asked) throws(EngineFault) {
    if case .append(let id) = question { return try handleAppended(reply, id) }
    if let words = reply.refusal { throw .refused(words) }
    switch question {
    case .identity:
      let ear = try EngineConnection(address, tls: context)
      ear.send("AUTH", hello.user, hello.password)
      ear.send("SUBSCRIBE", keys.proofs)
      self.ear = ear
    case .newest:
      toSentry.append(.newest(StreamReply.entries(reply).first?.position))
    case .certificates:
      for record in StreamReply.values(reply) { handOverCertificate(record) }
    case .certificate: if let record = reply.bytes { handOverCertificate(record) }
    case .first:
      let first = StreamReply.entries(reply).first?.position
      if proofs == .start || first.map({ $0 > proofs }) ?? false {
        ask(.snapshot(-1), "GET", keys.manifest)
      } else {
        read()
      }
    case .snapshot(let index): handOverSnapshot(reply, index)
    case .streams: handOverStreams(reply)
    case .append: break
    }
  }

  private func handleAppended(_ reply: RESPValue, _ id: StreamPosition) throws(EngineFault) {
    isAppending = false
    if let words = reply.refusal {
      // No room (maxmemory): others flood. It is tried again until there is.
      if words.startsWithBytes("OOM") {
        retryAppend = Clock.monotonic + Self.second / 4
        return
      }
      // It is there already.
      guard words.containsBytes("equal or smaller") else { throw .refused(words) }
    }
    if appends.first?.0 == id { appends.removeFirst() }
    toSentry.append(.appended(id))
  }

  private func handOverCertificate(_ record: [UInt8]) {
    if record.count <= Certificate.mostBytes { toSentry.append(.certificate(record)) }
  }

  private func handOverSnapshot(_ reply: RESPValue, _ index: Int32) {
    guard let bytes = reply.bytes, index < Self.mostChunks else {
      // The end of the chunks, or there is no snapshot.
      read()
      return
    }
    var rest = bytes[...]
    repeat {
      let part = rest.prefix(CarrierFrame.most - 64)
      rest = rest.dropFirst(part.count)
      toSentry.append(.snapshot(index: index, isLast: rest.isEmpty, Array(part)))
    } while !rest.isEmpty
    nextChunk = index + 1
  }

  private func handOverStreams(_ reply: RESPValue) {
    (isReading, isMore) = (false, false)
    for (key, entries) in StreamReply.streams(reply) {
      let stream: SharedStream = key == Array(keys.orders.utf8) ? .orders : .proofs
      for (position, record) in entries { pass(stream, position, record) }
      if entries.count >= Self.batch { isMore = true }
    }
    if !isMore { toSentry.append(.caughtUp) }
  }

  private func pass(_ stream: SharedStream, _ id: StreamPosition, _ record: [UInt8]) {
    // A place of the far future would hide all that comes.
    guard id.milliseconds < UInt64(max(Clock.now.nanoseconds, 0)) / 1_000_000 + 86_400_000 else { return }
    switch stream {
    case .proofs where id > proofs: proofs = id
    case .orders where id > orders: orders = id
    default: return
    }
    if record.count <= CarrierFrame.most - 64 { toSentry.append(.entry(stream, id, record)) }
  }

  private func hear(_ reply: RESPValue) throws(EngineFault) {
    if let words = reply.refusal { throw .refused(words) }
    earReplies += 1
    if earReplies < 2 { return }
    if earReplies == 2 { return begin() }
    let parts = reply.elements
    guard parts.count == 3, let bytes = parts[2].bytes else { return }
    // Anything else is a hint that there is something to read, an order, or that something was lost.
    guard let news = try? Announcement(unsafe bytes.span.bytes) else { return look() }
    if news.previous == proofs {
      pass(.proofs, news.position, news.proof.encoded)
    } else if news.position > proofs {
      read()
    }
  }

  /// Both lines are open: what is there is handed over, and from here on what comes.
  private func begin() {
    failures = 0
    toSentry.append(.connected(connection))
    nextLook = Clock.monotonic + Int64.random(in: 18 * Self.second...26 * Self.second)
    ask(.newest, "XREVRANGE", keys.stream(of: hello.node), "+", "-", "COUNT", "1")
    ask(.certificates, "HGETALL", keys.certificates)
    ask(.first, "XRANGE", keys.proofs, "-", "+", "COUNT", "1")
  }
}
