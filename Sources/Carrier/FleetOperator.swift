import Fleet
import Platform
import Signing
import Wire

/// What an operator asks of the engine and tells the fleet over it.
package struct FleetOperator {
  private let membership: Membership
  private let engine: Engine
  private let keys: EngineKeys
  private let verifier = OpenSSLVerifier()
  /// How long an order is tried in nanoseconds, where the engine is full.
  private static let patience: Int64 = 15_000_000_000

  package init(_ membership: Membership) throws(EngineFault) {
    self.membership = membership
    let context: TLSContext?
    do throws(Membership.Fault) { context = try membership.context() } catch { throw .refused("\(error)") }
    engine = try membership.connect(context)
    keys = EngineKeys(membership.fleet)
  }

  /// Members by number, those whose certificates are the fleet's.
  package func certificates() throws(EngineFault) -> [Certificate] {
    StreamReply.values(try engine.ask("HGETALL", keys.certificates)).compactMap { bytes in
      guard let certificate = try? Certificate(unsafe bytes.span.bytes),
        certificate.isSigned(in: membership.fleet, verifier)
      else { return nil }
      return certificate
    }.sorted { $0.body.number < $1.body.number }
  }

  /// Signs an order and tells everybody. It stays in the stream of orders for who is away.
  package func give(_ body: Order.Body) throws(EngineFault) {
    guard let key = membership.seed.flatMap({ SigningKey(seed: $0) }) else { throw .refused("the file has no key") }
    let order = Order(body, in: membership.fleet, signedBy: key)
    let commands = [
      ["XADD", keys.orders, "*", StreamReply.field].map { Array($0.utf8) } + [order.encoded],
      ["PUBLISH", keys.proofs, "order"].map { Array($0.utf8) },
    ]
    // A node that floods may have used up the engine's memory, and this may be what ends it: coordinators make room, time and again.
    let end = Clock.monotonic + Self.patience
    while true {
      do throws(EngineFault) {
        _ = try engine.ask(all: commands)
        return
      } catch {
        guard case .refused(let words) = error, words.startsWithBytes("OOM"), Clock.monotonic < end else { throw error }
        Clock.sleep(.milliseconds(5))
      }
    }
  }

  /// When each node last said something, by its own clock; nil for one that never did.
  package func lastWords(of nodes: [NodeNumber]) throws(EngineFault) -> [Timestamp?] {
    try engine.ask(
      all: nodes.map { ["XREVRANGE", keys.stream(of: $0), "+", "-", "COUNT", "1"].map { Array($0.utf8) } }
    ).map { reply in
      StreamReply.entries(reply).first.map {
        Timestamp(nanoseconds: Int64(clamping: $0.position.milliseconds.multipliedReportingOverflow(by: 1_000_000).0))
      }
    }
  }

  /// What nodes say of an address, with signatures that hold.
  package func testimonies(
    of address: IPAddress, by members: [Certificate]
  ) throws(EngineFault) -> [(by: Certificate, Testimony)] {
    var found: [(by: Certificate, Testimony)] = []
    let nodes = members.filter { $0.body.role == .node }
    let replies = try engine.ask(
      all: nodes.map { ["XRANGE", keys.stream(of: $0.body.number), "-", "+"].map { Array($0.utf8) } })
    for (node, reply) in zip(nodes, replies) {
      for (_, record) in StreamReply.entries(reply) {
        guard let testimony = try? Testimony(unsafe record.span.bytes), testimony.body.address == address,
          testimony.body.node == node.body.number,
          testimony.isSigned(by: node.body.key, in: membership.fleet, verifier)
        else { continue }
        found.append((node, testimony))
      }
    }
    return found.sorted { $0.1.body.time < $1.1.body.time }
  }

  /// The orders there are, the oldest first.
  package func orders() throws(EngineFault) -> [Order] {
    StreamReply.entries(try engine.ask("XRANGE", keys.orders, "-", "+")).compactMap {
      try? Order(unsafe $0.record.span.bytes)
    }
  }
}
