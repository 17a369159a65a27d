import CLinux
import Fleet
import Platform
import Signing

/// The two streams that every node reads.
package enum SharedStream: UInt8, Sendable {
  case proofs = 1
  case orders = 2
}

/// What sentry and carrier say to each other: one frame a datagram (SOCK_SEQPACKET), so that none is ever read in part.
package enum CarrierFrame: Equatable, Sendable {
  /// The largest frame; a chunk of a snapshot goes in pieces.
  package static let most = 48 << 10

  // MARK: To the carrier

  /// Where to go, as whom, and from where on to read.
  case hello(Hello)
  /// To be appended to this node's stream. Twice is once: the engine takes no entry that is not above the last.
  /// Of another connection than the one that is open it is dropped: what was before it may be lost, and is sent again first.
  case append(connection: UInt64, StreamPosition, [UInt8])
  /// The certificate of a node that a record names and nobody here knows.
  case wantCertificate(NodeNumber)
  /// Something that was refused may count now: snapshot and proofs are to be read again.
  case reread

  // MARK: To the sentry

  /// With its number.
  case connected(UInt64)
  case disconnected(String)
  /// The newest entry of this node's own stream; nil where the engine has none.
  case newest(StreamPosition?)
  case appended(StreamPosition)
  case entry(SharedStream, StreamPosition, [UInt8])
  case certificate([UInt8])
  /// A part of the manifest (index -1) or of a chunk; the last one has `isLast`.
  case snapshot(index: Int32, isLast: Bool, [UInt8])
  /// All that was there when we connected has been handed over.
  case caughtUp

  package struct Hello: Equatable, Sendable {
    package var address: String
    package var user: String
    package var password: String
    /// The fleet's public key.
    package var fleet: PublicKey
    package var node: NodeNumber
    package var proofs: StreamPosition
    package var orders: StreamPosition
    package var tls: TLSIdentity?

    package init(
      address: String, user: String, password: String, fleet: PublicKey, node: NodeNumber, proofs: StreamPosition,
      orders: StreamPosition, tls: TLSIdentity? = nil
    ) {
      self.tls = tls
      self.address = address
      self.user = user
      self.password = password
      self.fleet = fleet
      self.node = node
      self.proofs = proofs
      self.orders = orders
    }

    fileprivate var words: [String] {
      [address, user, password]
        + (tls.map { [$0.authorities.joined(separator: " "), $0.name, $0.certificate ?? "", $0.key ?? ""] } ?? [])
    }
  }

  private enum Kind: UInt8 {
    case hello = 1
    case append, wantCertificate, connected, disconnected, newest, appended, entry, certificate, snapshot, caughtUp,
      reread
  }

  package var bytes: [UInt8] {
    switch self {
    case .hello(let hello):
      return [Kind.hello.rawValue] + BigEndian.bytes(UInt64(hello.node)) + hello.proofs.bytes + hello.orders.bytes
        + hello.fleet.array + hello.words.flatMap { Array($0.utf8) + [0] }
    case .append(let connection, let id, let record):
      return [Kind.append.rawValue] + BigEndian.bytes(connection) + id.bytes + record
    case .wantCertificate(let node): return [Kind.wantCertificate.rawValue] + BigEndian.bytes(UInt64(node))
    case .reread: return [Kind.reread.rawValue]
    case .connected(let connection): return [Kind.connected.rawValue] + BigEndian.bytes(connection)
    case .disconnected(let why): return [Kind.disconnected.rawValue] + Array(why.utf8.prefix(400))
    case .newest(let id): return [Kind.newest.rawValue] + (id?.bytes ?? [])
    case .appended(let id): return [Kind.appended.rawValue] + id.bytes
    case .entry(let stream, let id, let record): return [Kind.entry.rawValue, stream.rawValue] + id.bytes + record
    case .certificate(let record): return [Kind.certificate.rawValue] + record
    case .snapshot(let index, let isLast, let part):
      return [Kind.snapshot.rawValue, isLast ? 1 : 0] + BigEndian.bytes(UInt64(bitPattern: Int64(index))) + part
    case .caughtUp: return [Kind.caughtUp.rawValue]
    }
  }

  /// Reads what `bytes` wrote; nil for anything else.
  package init?(bytes: [UInt8]) {
    guard let first = bytes.first, let kind = Kind(rawValue: first), bytes.count <= Self.most else { return nil }
    let rest = bytes.dropFirst()
    switch kind {
    case .hello:
      guard let hello = Self.hello(rest) else { return nil }
      self = .hello(hello)
    case .append:
      guard rest.count > 24, let id = StreamPosition(bytes: rest.dropFirst(8).prefix(16)) else { return nil }
      self = .append(connection: BigEndian.number(rest.prefix(8)), id, Array(rest.dropFirst(24)))
    case .wantCertificate:
      guard rest.count == 8, let node = UInt32(exactly: BigEndian.number(rest)) else { return nil }
      self = .wantCertificate(node)
    case .reread: self = .reread
    case .connected:
      guard rest.count == 8 else { return nil }
      self = .connected(BigEndian.number(rest))
    case .disconnected: self = .disconnected(SafeText.line(bytes: rest, limit: 400))
    case .newest:
      if rest.isEmpty {
        self = .newest(nil)
      } else {
        guard let id = StreamPosition(bytes: rest) else { return nil }
        self = .newest(id)
      }
    case .appended:
      guard let id = StreamPosition(bytes: rest) else { return nil }
      self = .appended(id)
    case .entry:
      guard rest.count >= 17, let stream = rest.first.flatMap(SharedStream.init),
        let id = StreamPosition(bytes: rest.dropFirst().prefix(16))
      else { return nil }
      self = .entry(stream, id, Array(rest.dropFirst(17)))
    case .certificate: self = .certificate(Array(rest))
    case .snapshot:
      guard rest.count >= 9, let last = rest.first, last < 2,
        let index = Int32(exactly: Int64(bitPattern: BigEndian.number(rest.dropFirst().prefix(8))))
      else { return nil }
      self = .snapshot(index: index, isLast: last == 1, Array(rest.dropFirst(9)))
    case .caughtUp: self = .caughtUp
    }
  }

  private static func hello(_ bytes: ArraySlice<UInt8>) -> Hello? {
    guard bytes.count > 72, let node = UInt32(exactly: BigEndian.number(bytes.prefix(8))),
      let proofs = StreamPosition(bytes: bytes.dropFirst(8).prefix(16)),
      let orders = StreamPosition(bytes: bytes.dropFirst(24).prefix(16)),
      let fleet = PublicKey(bytes.dropFirst(40).prefix(32))
    else { return nil }
    let words = bytes.dropFirst(72).split(separator: 0, omittingEmptySubsequences: false)
      .map { String(decoding: $0, as: UTF8.self) }
    guard [4, 8].contains(words.count), words[words.count - 1].isEmpty else { return nil }
    var tls: TLSIdentity?
    if words.count == 8 {
      let (certificate, key) = (words[5].isEmpty ? nil : words[5], words[6].isEmpty ? nil : words[6])
      tls = TLSIdentity(
        authorities: words[3].splitBytes(" ").map(String.init), name: words[4], certificate: certificate, key: key)
      guard tls?.isSound == true else { return nil }
    }
    return Hello(
      address: words[0], user: words[1], password: words[2], fleet: fleet, node: node, proofs: proofs, orders: orders,
      tls: tls)
  }
}

/// One end of the pair between sentry and carrier. No call waits.
package final class CarrierPair {
  private let file: FileDescriptor

  package init(_ file: consuming FileDescriptor) throws(Errno) {
    try file.setNonBlocking()
    self.file = file
  }

  /// A pair: ours, and the descriptor for the other process.
  package static func make(_ theirs: (borrowing FileDescriptor) throws(Errno) -> Void) throws(Errno) -> CarrierPair {
    var ends: [Int32] = [-1, -1]
    try check("socketpair") {
      unsafe socketpair(AF_UNIX, CLinux_SOCK_SEQPACKET | CLinux_SOCK_CLOEXEC, 0, &ends)
    }
    let other = FileDescriptor(owning: ends[1])
    let ours = try CarrierPair(FileDescriptor(owning: ends[0]))
    try theirs(other)
    return ours
  }

  package var descriptor: Int32 { file.raw }

  /// - Returns: false where there is no room: the same frame is to be sent again once the descriptor can be written to.
  package func send(_ frame: CarrierFrame) throws(Errno) -> Bool {
    let bytes = frame.bytes
    let count = unsafe bytes.withUnsafeBytes {
      unsafe CLinux.send(file.raw, $0.baseAddress, $0.count, Int32(CLinux_MSG_NOSIGNAL))
    }
    if count == bytes.count { return true }
    let code = CLinux_errno()
    if code == EAGAIN || code == EINTR || code == ENOBUFS { return false }
    throw Errno(code, "send")
  }

  /// What one look brings.
  package enum Received: Equatable, Sendable {
    case frame(CarrierFrame)
    case nothing
    /// The other end is gone.
    case closed
    /// The other end says what is no frame.
    case nonsense
  }

  package func receive() -> Received {
    var buffer = [UInt8](repeating: 0, count: CarrierFrame.most + 1)
    let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(file.raw, $0.baseAddress, $0.count, 0) }
    if count < 0 { return [EAGAIN, EINTR].contains(CLinux_errno()) ? .nothing : .closed }
    if count == 0 { return .closed }
    return CarrierFrame(bytes: Array(buffer[..<count])).map { .frame($0) } ?? .nonsense
  }
}
