import Capture
import CLinux
import Detection
import EventLog
import Platform
import Response
import Wire

/// What is known of whether strangers reach the decoys.
struct DecoyVisibility {
  var sight = DecoySight()
  /// nil where it is not to be had, or not tried yet.
  var test: Owned<DecoyTest>?
  var hasTriedTest = false
  /// The rules were made anew because of br_netfilter.
  var hasRenewed = false
  /// When the next test is due, when the last one was, and how long there is none after it.
  var next: Int64 = .max
  var last: Int64 = 0
  var pause = DecoyVisibility.leastPause
  static let (leastPause, longestPause): (Int64, Int64) = (5_000_000_000, 600_000_000_000)
  var soonest: Int64 { last == 0 ? 0 : last + pause }
  /// What was said last, and the chains that were named.
  var said: [DecoySight.Obstacle] = []
  var chains: [String] = []
  /// Since when the rules are as they are.
  var since: Int64 = .max
}

extension Sentry {
  /// Strangers' touches ask for a test where it may tell something new; without them one an hour is enough. While decoys are hidden
  /// each packet may be a line in the log of whoever drops it.
  private static let (interval, hiddenInterval): (Int64, Int64) = (3_600_000_000_000, 600_000_000_000)
  private static let packetsInTest = 4

  /// Our rules have changed.
  func decoysChanged() {
    visibility.since = Clock.monotonic
    visibility.pause = DecoyVisibility.leastPause
    visibility.next = min(visibility.next, max(visibility.soonest, Clock.monotonic))
  }

  /// Somebody asks: what hid the decoys may have been mended.
  func testHiddenDecoys() {
    if !visibility.said.isEmpty, deception.state == .active, Clock.monotonic >= visibility.soonest { testDecoys() }
  }

  /// Tests where one is due. The first is over before we say that we are active.
  func testDecoysIfDue() {
    guard deception.state == .active else { return }
    let now = Clock.monotonic
    if now >= visibility.next || (visibility.sight.wantsTest && now >= visibility.soonest) { testDecoys() }
  }

  private func testDecoys() {
    let isWanted = visibility.sight.wantsTest
    if !visibility.hasTriedTest {
      visibility.hasTriedTest = true
      do throws(Errno) {
        visibility.test = Owned(try DecoyTest.open(listeners: deception.group?.listeners ?? []))
      } catch {
        say("\(error): only packets of strangers now show whether a firewall of this host hides the decoys")
      }
    }
    // A bridge that is new, or filtered only now.
    refreshTrap()
    let ways = (try? DecoyWay.discover(with: surroundings.reader)) ?? []
    visibility.sight.learn(visibility.test == nil ? [:] : testOnce(ways))
    if visibility.sight.isUndecided { visibility.sight.learn(testOnce(ways)) }
    if !visibility.hasRenewed, visibility.sight.obstacles.contains(where: { $0.loss == .bridge }) {
      // br_netfilter has come after our rules, and so before them: once more, in the other order.
      visibility.hasRenewed = true
      try? blocker.setTrap(nil)
      deception.trap = nil
      refreshTrap()
      visibility.sight.learn(testOnce(ways))
    }
    let before = visibility.said
    noteSight()
    // Where strangers ask for tests that tell nothing new, as somebody whom a firewall drops alone does, they become rarer.
    if visibility.said.map(\.way) != before.map(\.way) {
      visibility.pause = DecoyVisibility.leastPause
    } else if isWanted {
      visibility.pause = min(visibility.pause * 2, DecoyVisibility.longestPause)
    }
    visibility.last = Clock.monotonic
    visibility.next = visibility.last + (visibility.said.isEmpty ? Self.interval : Self.hiddenInterval)
  }

  /// What is sent by one way: the ports that are left to be tried, and what has gone out.
  private struct Trip {
    let way: DecoyWay
    var ports: ArraySlice<UInt16>
    var packets: [TestPacket] = []
  }

  /// Sends to one port after another by each way until one packet arrives: mostly the first.
  private func testOnce(_ ways: [DecoyWay]) -> [DecoySight.Way: DecoySight.Round] {
    guard let test = visibility.test, let trap = deception.trap else { return [:] }
    var trips = ways.filter { trap.interfaces.isEmpty || trap.interfaces.contains($0.way.interface) }.compactMap {
      trip($0, trap)
    }
    var doubted: [IPAddress] = []
    for _ in 0..<Self.packetsInTest {
      for index in trips.indices where !trips[index].packets.contains(where: { test.value.hasArrived($0) }) {
        // Each of another: a firewall may drop the addresses of half the world, and not hide the decoys from the rest.
        guard let port = trips[index].ports.popFirst(), let source = stranger(trips[index].way) else { continue }
        let way = trips[index].way
        if (try? blocker.doubt(of: source)) == nil { doubted.append(source) }
        let packet = TestPacket(
          from: source, .random(in: 32_768...60_999), to: way.address, port, number: .random(in: 1 ... .max),
          hardware: way.hardware)
        if (try? test.value.send(packet, on: way.entrance, mark: KernelFilter.decoyMark)) != nil {
          trips[index].packets.append(packet)
        }
      }
      // Mostly they are there before `send` returns.
      for _ in 0..<10 {
        if trips.allSatisfy({ $0.packets.contains { test.value.hasArrived($0) } }) { break }
        Clock.sleep(.milliseconds(1))
      }
    }
    var rounds: [DecoySight.Way: DecoySight.Round] = [:]
    for trip in trips where !trip.packets.isEmpty {
      let reached = trip.packets.count { test.value.hasArrived($0) }
      for packet in trip.packets { test.value.forget(packet) }
      rounds[trip.way.way] = DecoySight.Round(
        sent: trip.packets.count, reached: reached, loss: reached > 0 ? .late : loss(trip.way, trip.packets))
    }
    // Whoever has such an address did nothing; of IPv6 it is all of a /64.
    try? blocker.endDoubts(of: doubted)
    return rounds
  }

  private func trip(_ way: DecoyWay, _ trap: NFTablesTrap) -> Trip? {
    guard way.way.isV4 ? trap.v4 != nil : trap.v6 != nil else { return nil }
    let served = link.shared.withLock { $0.statistics.servedTCP }
    let ports = Self.spread(
      trap.tcp.union(trap.decoy).subtracting(way.way.isV4 ? trap.closed4 : trap.closed6).subtracting(served))
    // Nothing arrives at any of them: one shows as well as four whether that is still so.
    if visibility.sight.isHidden(way.way), let port = ports.randomElement() { return Trip(way: way, ports: [port]) }
    return Trip(way: way, ports: ports[...])
  }

  /// Where packets were lost: our rules have doubted a source, or have seen none.
  private func loss(_ way: DecoyWay, _ packets: [TestPacket]) -> DecoySight.Loss {
    guard packets.contains(where: { (try? blocker.doubt(of: $0.source)) != nil }) else { return .early }
    let setting = "/proc/sys/net/bridge/bridge-nf-call-\(way.way.isV4 ? "iptables" : "ip6tables")"
    if way.isBridged, (try? Files.read(setting, limit: 16))?.first == UInt8(ascii: "1") { return .bridge }
    return .late
  }

  /// A few ports of many, the same each time, so that a firewall which hides some of them does not change what is said.
  static func spread(_ ports: PortSet) -> [UInt16] {
    let all = ports.ports
    guard all.count > packetsInTest else { return all }
    return (0..<packetsInTest).map { all[(2 * $0 + 1) * all.count / (2 * packetsInTest)] }
  }

  /// An address that somebody might come from by this way, and that no rule of ours spares or blocks.
  private func stranger(_ way: DecoyWay) -> IPAddress? {
    for _ in 0..<64 {
      guard let address = Self.address(near: way.neighbours, isV4: way.way.isV4), address != way.address,
        !plan.ignored.contains(address), decisions.policy.safe.reason(protecting: IPNetwork(address)) == nil,
        decisions.table.block(covering: address) == nil,
        // Of IPv6 all neighbours are in doubt or none.
        !address.isV4 || (try? blocker.doubt(of: address)) == nil
      else { continue }
      return address
    }
    return nil
  }

  /// Any address of a network; of the Internet where there is none.
  static func address(near network: IPNetwork?, isV4: Bool) -> IPAddress? {
    guard let network else {
      let address =
        isV4
        ? IPAddress(v4: .random(in: 0x0100_0000...0xdfff_ffff))
        : IPAddress(high: 0x2a00_0000_0000_0000 | .random(in: 0...0x000f_ffff_ffff_ffff), low: .random(in: 1 ... .max))
      return address.isPublic ? address : nil
    }
    let hostBits = (isV4 ? 32 : 128) - network.length
    guard hostBits >= 2 else { return nil }
    let mask: UInt64 = hostBits >= 64 ? .max : (1 << UInt64(hostBits)) - 1
    // Neither the network's own address nor its broadcast.
    let host = UInt64.random(in: 1...mask - 1)
    return IPAddress(high: network.address.high, low: network.address.low | host)
  }

  /// A probe of a port that should have looked open says whether decoys are seen.
  func noteTouch(_ probe: Probe) {
    guard probe.answer != .unknown, probe.transport == .tcp, probe.technique == .syn, !probe.isIgnored,
      !probe.isOwnAddress, deception.state == .active, let trap = deception.trap,
      Clock.monotonic - visibility.since > 1_000_000_000,
      trap.tcp.contains(probe.targetPort) || trap.decoy.contains(probe.targetPort),
      !(probe.source.isV4 ? trap.closed4 : trap.closed6).contains(probe.targetPort),
      probe.source.isV4 ? trap.v4 != nil : trap.v6 != nil, !trap.spared.contains(probe.source),
      !decisions.isResponding(to: probe.source), decisions.table.block(covering: probe.source) == nil
    else { return }
    visibility.sight.touch(from: probe.source, isAnswered: probe.answer == .decoy)
    if visibility.test == nil, visibility.hasTriedTest { noteSight() }
  }

  /// Says when decoys have become hidden or visible, and what helps: while they are hidden scanners prove nothing, and nobody is
  /// blocked.
  private func noteSight() {
    let found = visibility.sight.obstacles
    guard found != visibility.said else { return }
    let before = visibility.said
    visibility.said = found
    if found.contains(where: { $0.loss == .late || $0.loss == .untested }) {
      visibility.chains = (try? blocker.inputChains()) ?? []
    }
    for loss: DecoySight.Loss in [.early, .late, .bridge, .untested] {
      let those = found.filter { $0.loss == loss }
      let known = Set(before.filter { $0.loss == loss }.map(\.way))
      guard those.contains(where: { !known.contains($0.way) }) else { continue }
      say(
        "DECOYS ARE HIDDEN by the firewall of this host\(Self.places(those)): \(Self.evidence(those)). Scanners cannot connect to decoys, so no address is verified and nobody is blocked. \(Self.help(loss, visibility.chains))",
        isError: true)
    }
    let gone = before.filter { old in !found.contains { $0.way == old.way } }
    if !gone.isEmpty { say("decoys are visible again\(Self.places(gone))") }
  }

  /// ` on lan0 (IPv4, IPv6)`.
  static func places(_ obstacles: [DecoySight.Obstacle]) -> String {
    var names: [String] = []
    for obstacle in obstacles where !names.contains(obstacle.way.interface) { names.append(obstacle.way.interface) }
    let texts = names.map { name in
      let families = obstacles.filter { $0.way.interface == name }.map { $0.way.isV4 ? "IPv4" : "IPv6" }
      return name.isEmpty
        ? families.joined(separator: " and ") : "\(SafeText.line(name)) (\(families.joined(separator: ", ")))"
    }
    return texts == [] ? "" : names == [""] ? " for \(texts[0])" : " on \(texts.joined(separator: " and "))"
  }

  private static func evidence(_ obstacles: [DecoySight.Obstacle]) -> String {
    let packets = obstacles.reduce(0) { $0 + $1.packets }
    return switch obstacles[0].loss {
    case .early: "none of \(packets) test packets reached the rules of PortSentry"
    case .late: "none of \(packets) test packets got from the rules of PortSentry to the decoys"
    case .bridge: "none of \(packets) test packets got from the bridge to the decoys"
    case .untested: "\(packets) connection attempts to them were not answered, and none was"
    }
  }

  private static func help(_ loss: DecoySight.Loss, _ chains: [String]) -> String {
    let iptables = "iptables -I INPUT -m socket --transparent -j ACCEPT, likewise ip6tables"
    switch loss {
    case .early:
      return
        "A chain at prerouting with a priority below -90, a chain at ingress, or XDP drops them. To let them: drop such packets at the input hook instead, and accept there `socket transparent 1` (iptables or ufw: \(iptables))"
    case .late, .untested:
      let rules = chains.isEmpty ? ["inet filter input"] : chains
      return
        "To let them, run `portsentry firewall --apply`, or "
        + rules.prefix(4).map { "nft insert rule \(SafeText.line($0)) socket transparent 1 accept" }
        .joined(separator: "; ") + " (with iptables or ufw: \(iptables))"
    case .bridge:
      return
        "br_netfilter does this. To let them, where no rule has to filter between the ports of the bridge: sysctl -w net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0"
    }
  }

  /// For `status`; nil where decoys are seen.
  var hiddenText: String? {
    guard deception.state == .active, !visibility.said.isEmpty else { return nil }
    let said = visibility.said
    let reason = said.allSatisfy { $0.loss == .bridge } ? "br_netfilter" : "the firewall of this host"
    let advice =
      said.contains { $0.loss == .late || $0.loss == .untested }
      ? "run `portsentry firewall`" : "the log says what helps"
    return "HIDDEN by \(reason)\(Self.places(said)): strangers do not reach the decoys; \(advice)"
  }

  /// For scripts: the ways on which decoys are hidden.
  var hiddenWays: [String] {
    deception.state == .active
      ? visibility.said.map {
        "\($0.way.interface.isEmpty ? "any" : $0.way.interface) \($0.way.isV4 ? "IPv4" : "IPv6")"
      }
      : []
  }
}
