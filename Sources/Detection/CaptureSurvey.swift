import Wire

/// The first look at a capture: whose it is, and what is served there. For `replay`, where no kernel can be asked.
///
/// Fixed memory: flows that fall out of the table are seen as new when they go on; addresses and services beyond the
/// bounds are counted, not kept.
package struct CaptureSurvey: Sendable {
  /// How the address that captured was found.
  package enum Evidence: Sendable, Equatable {
    /// Frames that the capture marks as sent came from there.
    case sentFrames
    /// More flows were opened to it than to any other.
    case mostFlowsOpened
  }

  private struct Tally: Sendable, BitwiseCopyable {
    /// Flows whose first packet went to this address.
    var opened: UInt32 = 0
    /// Flows it answered.
    var answered: UInt32 = 0
    /// Packets from it that are marked as sent here, and as received here.
    var sent: UInt32 = 0
    var received: UInt32 = 0
  }

  private static let flowCapacity = 1 << 20
  package static let maximumAddresses = 100_000
  package static let maximumServices = 1_000_000
  /// A capture with more senders than this was taken on a router: then the marks say nothing of who is meant.
  private static let maximumLocal = 64

  private let local: [IPNetwork]
  private let hash: KeyedHash
  /// Tags of flows, in the direction of their first packet; the lowest bit says that there was an answer. 0 is empty.
  private var flows: [UInt64]
  private var tallies: [IPAddress: Tally] = [:]
  private var services: Set<Endpoint> = []
  /// Addresses and services that found no room.
  package private(set) var overflow: UInt64 = 0

  /// - Parameters:
  ///   - local: what is known to be local; empty: to be found out.
  ///   - key: random, so that nobody can choose addresses that collide.
  package init(local: [IPNetwork], key: (UInt64, UInt64)) {
    self.local = local
    hash = KeyedHash(key: key)
    flows = Array(repeating: 0, count: Self.flowCapacity)
  }

  /// Takes note of one packet, whatever its direction.
  package mutating func observe(_ packet: Packet, _ direction: LinkLayer.Direction) {
    let isAnswer = noteFlow(packet)
    switch packet.transport {
    case .tcp:
      // Only a listener answers so (RFC 9293 section 3.10.7.2).
      if packet.flags.isSuperset(of: .synAck), !packet.flags.contains(.rst) { serve(packet) }
    case .udp:
      if isAnswer { serve(packet) }
    }
    guard local.isEmpty else { return }
    switch direction {
    case .outgoing: tally(packet.source) { $0.sent &+= 1 }
    // Strangers must not fill the table by talking to us.
    case .incoming: if tallies[packet.source] != nil { tallies[packet.source]!.received &+= 1 }
    case .unknown: break
    }
  }

  /// Whether this packet goes against the first of its flow.
  private mutating func noteFlow(_ packet: Packet) -> Bool {
    let (back, backTag) = place(packet, reversed: true)
    if flows[back] & ~1 == backTag {
      if flows[back] & 1 == 0 {
        flows[back] |= 1
        if local.isEmpty { tally(packet.source) { $0.answered &+= 1 } }
      }
      return true
    }
    let (index, tag) = place(packet, reversed: false)
    if flows[index] & ~1 != tag {
      flows[index] = tag
      if local.isEmpty, packet.target.isPossiblePeer { tally(packet.target) { $0.opened &+= 1 } }
    }
    return false
  }

  private func place(_ packet: Packet, reversed: Bool) -> (Int, UInt64) {
    let (a, b) = reversed ? (packet.target, packet.source) : (packet.source, packet.target)
    let (x, y) = reversed ? (packet.targetPort, packet.sourcePort) : (packet.sourcePort, packet.targetPort)
    let first = hash(a, UInt64(x) << 8 | UInt64(packet.transport.rawValue))
    let value = hash(b, first ^ UInt64(y))
    return (Int(truncatingIfNeeded: value) & (Self.flowCapacity - 1), (value | 2) & ~1)
  }

  private mutating func tally(_ address: IPAddress, _ change: (inout Tally) -> Void) {
    guard tallies[address] != nil || tallies.count < Self.maximumAddresses else {
      overflow &+= 1
      return
    }
    change(&tallies[address, default: Tally()])
  }

  private mutating func serve(_ packet: Packet) {
    guard local.isEmpty || local.contains(where: { $0.contains(packet.source) }) else { return }
    guard services.count < Self.maximumServices else {
      overflow &+= 1
      return
    }
    services.insert(Endpoint(packet.transport, packet.source, packet.sourcePort))
  }

  /// The addresses the capture was most probably taken at, and why; nil when there was nothing to go by.
  package func inferredLocal() -> (addresses: [IPAddress], evidence: Evidence)? {
    // What a router passes on is received first and sent then; what the host itself says is sent only.
    let senders = tallies.filter { $0.value.sent > 0 && $0.value.received &* 2 < $0.value.sent }.keys.sorted()
    if (1...Self.maximumLocal).contains(senders.count) { return (senders, .sentFrames) }
    let best = tallies.max {
      // The lowest address on a tie, so that the answer does not change from run to run.
      ($0.value.opened, $0.value.answered, $1.key) < ($1.value.opened, $1.value.answered, $0.key)
    }
    guard let best, best.value.opened > 0 else { return nil }
    return ([best.key], .mostFlowsOpened)
  }

  /// What a host with these addresses showed the network, by what it answered.
  package func exposure(of local: [IPNetwork]) -> Exposure {
    var exposure = Exposure()
    exposure.setLocal(local)
    // With one address of a family the bitmaps will do, which are faster.
    let isPlain = [true, false].allSatisfy { v4 in
      local.count { $0.isV4 == v4 } <= 1 && local.allSatisfy(\.isHost)
    }
    for service in services where local.contains(where: { $0.contains(service.address) }) {
      if isPlain {
        exposure.serveEverywhere(
          service.transport, service.port, v4: service.address.isV4, v6: !service.address.isV4)
      } else {
        exposure.serve(service)
      }
    }
    return exposure
  }
}
