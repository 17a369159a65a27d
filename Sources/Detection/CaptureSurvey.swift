import Wire

/// The first look at a capture: whose it is. For `replay`, where no kernel can be asked and nobody has said.
///
/// Fixed memory: flows that fall out of the table are seen as new when they go on; addresses beyond the bound are
/// counted, not kept.
package struct CaptureSurvey: Sendable {
  /// How the address that captured was found.
  package enum Evidence: Sendable, Equatable {
    /// Frames that the capture marks as sent came from there.
    case sentFrames
    /// More flows were opened to it than to any other.
    case mostFlowsOpened
    /// Flows were opened to so many of its addresses that it is a network that is watched.
    case manyTargets
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
  /// So many addresses of one prefix that flows were opened to make it a network.
  private static let networkTargets = 32
  /// A capture with more senders than this was taken on a router: then the marks say nothing of who is meant.
  private static let maximumLocal = 64

  private let hash: KeyedHash
  /// Tags of flows, in the direction of their first packet; the lowest bit says that there was an answer. 0 is empty.
  private var flows: [UInt64]
  private var tallies: [IPAddress: Tally] = [:]
  /// Addresses that found no room.
  package private(set) var overflow: UInt64 = 0

  /// - Parameter key: random, so that nobody can choose addresses that collide.
  package init(key: (UInt64, UInt64)) {
    hash = KeyedHash(key: key)
    flows = Array(repeating: 0, count: Self.flowCapacity)
  }

  /// Takes note of one packet, whatever its direction.
  package mutating func observe(_ packet: Packet, _ direction: LinkLayer.Direction) {
    noteFlow(packet)
    switch direction {
    case .outgoing: tally(packet.source) { $0.sent &+= 1 }
    // Strangers must not fill the table by talking to us.
    case .incoming: if tallies[packet.source] != nil { tallies[packet.source]!.received &+= 1 }
    case .unknown: break
    }
  }

  private mutating func noteFlow(_ packet: Packet) {
    let (back, backTag) = place(packet, reversed: true)
    if flows[back] & ~1 == backTag {
      guard flows[back] & 1 == 0 else { return }
      if packet.transport == .tcp, packet.flags.subtracting(.congestion) == .syn {
        // Captures of several queues or taps have answers before their questions: a SYN is never the answer.
        flows[back] = 0
        let (index, tag) = place(packet, reversed: false)
        flows[index] = tag | 1
        if tallies[packet.source] != nil, packet.source.isPossiblePeer { tally(packet.source) { $0.opened &-= 1 } }
        tally(packet.target) {
          $0.opened &+= 1
          $0.answered &+= 1
        }
        return
      }
      flows[back] |= 1
      tally(packet.source) { $0.answered &+= 1 }
      return
    }
    let (index, tag) = place(packet, reversed: false)
    guard flows[index] & ~1 != tag else { return }
    flows[index] = tag
    if packet.target.isPossiblePeer { tally(packet.target) { $0.opened &+= 1 } }
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

  /// Where the capture was most probably taken, and why; nil when there was nothing to go by.
  package func inferredLocal() -> (networks: [IPNetwork], evidence: Evidence)? {
    // What a router passes on is received first and sent then; what the host itself says is sent only.
    let senders = tallies.filter { $0.value.sent > 0 && $0.value.received &* 2 < $0.value.sent }.keys.sorted()
    if (1...Self.maximumLocal).contains(senders.count) { return (senders.map { IPNetwork($0) }, .sentFrames) }
    let best = tallies.max {
      // The lowest address on a tie, so that the answer does not change from run to run.
      ($0.value.opened, $0.value.answered, $1.key) < ($1.value.opened, $1.value.answered, $0.key)
    }
    guard let best, best.value.opened > 0 else { return nil }
    let networks = targetedNetworks()
    if !networks.isEmpty { return (networks, .manyTargets) }
    return ([IPNetwork(best.key)], .mostFlowsOpened)
  }

  /// Prefixes (/16, /48) of which so many addresses were called that no single host can be meant: where the busiest address
  /// has less than a tenth of what the prefix has.
  private func targetedNetworks() -> [IPNetwork] {
    var prefixes: [IPNetwork: (targets: Int, opened: Int, most: Int)] = [:]
    for (address, tally) in tallies where tally.opened > 0 {
      guard let prefix = IPNetwork(address, length: address.isV4 ? 16 : 48) else { continue }
      var sum = prefixes[prefix] ?? (0, 0, 0)
      sum.targets += 1
      sum.opened += Int(tally.opened)
      sum.most = max(sum.most, Int(tally.opened))
      prefixes[prefix] = sum
    }
    let wide = prefixes.filter { $0.value.targets >= Self.networkTargets && $0.value.most * 10 < $0.value.opened }
    guard let largest = wide.values.map(\.targets).max() else { return [] }
    return wide.filter { $0.value.targets * 10 >= largest }.keys.sorted()
  }
}
