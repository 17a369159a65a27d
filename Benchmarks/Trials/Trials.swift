import CLinux
import Detection
import Platform
import Strangers
import Wire

/// What is promised of the detector, tried on simulated sources in simulated time. `trials [NAME...]`; status 1 when a promise is
/// not kept.
@main
enum Trials {
  static let all: [(name: String, run: @Sendable () -> Outcome)] = [
    ("slowness", slowness), ("innocents", innocents), ("busyWeek", busyWeek), ("systems", systems),
    ("distributed", distributed), ("invented", invented),
  ]

  struct Outcome {
    let text: String
    let isKept: Bool
  }

  static func main() {
    let wanted = CommandLine.arguments.dropFirst()
    for name in wanted where !all.contains(where: { $0.name == name }) {
      print("no trial \(name); there are \(all.map(\.name).joined(separator: ", "))")
      exit(64)
    }
    var isKept = true
    for trial in all where wanted.isEmpty || wanted.contains(trial.name) {
      let outcome = trial.run()
      print("\(outcome.isKept ? "ok  " : "FAIL") \(trial.name): \(outcome.text)")
      isKept = isKept && outcome.isKept
    }
    exit(isKept ? 0 : 1)
  }

  /// What most of the Internet's scanners ask for.
  static let popular: [UInt16] = [
    23, 8080, 3389, 5900, 8443, 2323, 1433, 3306, 6379, 5555, 8888, 81, 21, 9200, 2375, 445, 110, 143, 5432, 8000,
  ]

  // MARK: Slowness

  /// How many distinct unused ports it takes at any pace, through 200 other newcomers an hour.
  static func slowness() -> Outcome {
    let bar = 8
    var worst = 0
    var lines: [String] = []
    for (name, gap) in [("1 s", 1.0), ("5 min", 300), ("1 h", 3600), ("1 day", 86_400)] {
      for asksPopular in [false, true] {
        var dice = Dice(UInt64(gap) &+ (asksPopular ? 7 : 0))
        var world = World()
        // The port counts are those of a host that has stood there for a month.
        for _ in 0..<100_000 { noise(&world, &dice) }
        world.finish()
        world.forgetVerdicts()
        let scanners = (0..<20).map { _ in dice.address() }
        let orders = scanners.map { _ in asksPopular ? popular.shuffled(&dice) : (0..<20).map { _ in dice.unused() } }
        var needed = Array(repeating: 0, count: scanners.count)
        for step in 0..<20 {
          for (index, scanner) in scanners.enumerated() where needed[index] == 0 {
            world.knock(scanner, dice.ephemeral(), orders[index][step], dice.word())
            if world.accused.contains(IPNetwork(scanner)) { needed[index] = step + 1 }
          }
          world.forgetVerdicts()
          for _ in 0..<Int(min(gap / 3600 * 200, 4800)) { noise(&world, &dice) }
          world.wait(seconds: gap)
        }
        let most = needed.map { $0 == 0 ? 99 : $0 }.max()!
        worst = max(worst, most)
        lines.append("\(name) \(asksPopular ? "popular" : "any") \(most)")
      }
    }
    return Outcome(
      text:
        "distinct unused ports until the verdict, the most of 20 scanners: \(lines.joined(separator: ", ")) (at most \(bar))",
      isKept: worst <= bar)
  }

  /// One more stranger, who asks for what strangers ask for.
  static func noise(_ world: inout World, _ dice: inout Dice) {
    let port = dice.chance(0.7) ? dice.pick(popular) : dice.unused()
    world.knock(dice.address(), dice.ephemeral(), port, dice.word())
    world.wait(seconds: 0.01)
  }

  // MARK: Innocents

  /// Thirty days of those who mean no harm, some of whom blunder.
  static func innocents() -> Outcome {
    let (days, bar) = (30, 1)
    var dice = Dice(30)
    var world = World()
    let clients = (0..<4000).map { _ in dice.address() }
    let offices = (0..<20).map { _ in dice.address() }
    let checkers = (0..<5).map { _ in dice.address() }
    let stale = (0..<40).map { _ in dice.address() }
    let peers = (0..<60).map { _ in dice.address() }
    var events = 0
    for _ in 0..<days {
      for minute in 0..<1440 {
        world.wait(seconds: 60)
        // Clients talk to services; now and then one mistypes a port, and some try again at once.
        for _ in 0..<6 {
          let client = dice.pick(clients)
          if dice.chance(0.01) {
            let port = dice.chance(0.6) ? dice.pick([8080, 8443, 21, 110, 143]) : dice.unused()
            for _ in 0...dice.below(3) { world.knock(client, dice.ephemeral(), port, dice.word()) }
          }
          world.connect(client, dice.ephemeral(), dice.pick([443, 443, 443, 80, 993, 587, 22]), dice.word(), says: 300)
          events += 1
        }
        // A NAT: many people behind one address, each with blunders of their own.
        if minute % 10 == 0 {
          for office in offices {
            for port: UInt16 in [443, 993, 587] where dice.chance(0.5) {
              world.connect(office, dice.ephemeral(), port, dice.word(), says: 200)
            }
            if dice.chance(1.0 / 1000) { world.knock(office, dice.ephemeral(), dice.unused(), dice.word()) }
          }
        }
        // Health checks say nothing, and go on asking for what has been switched off.
        for (index, checker) in checkers.enumerated() {
          world.connect(checker, dice.ephemeral(), World.services[index], dice.word(), says: 0)
          if index < 2 { world.knock(checker, dice.ephemeral(), 8081, dice.word()) }
          var ping = Packet()
          (ping.source, ping.target, ping.protocolNumber, ping.messageType) = (checker, World.us, 1, 8)
          world.send(ping, .icmp)
        }
        // One that looks at five services in a row.
        if minute % 5 == 0 {
          for port in World.services.prefix(5) {
            world.connect(checkers[0], dice.ephemeral(), port, dice.word(), says: 0)
          }
        }
        // A client that keeps a wrong port for ever.
        if minute % 3 == 0 { world.knock(stale[0], dice.ephemeral(), 5060, dice.word()) }
        // Peers of a program that has gone: each asks for its one port, over UDP and TCP.
        if dice.chance(0.3) {
          let peer = dice.pick(peers)
          world.send(World.udp(peer, dice.ephemeral(), 51_413, 60))
          world.knock(peer, dice.ephemeral(), 51_413, dice.word())
        }
        // Whom we write to asks back: ident, active FTP.
        if dice.chance(0.2) {
          let server = dice.pick(stale)
          world.send(World.reply(to: World.syn(server, 25, dice.ephemeral(), dice.word()), .syn), isOurs: true)
          world.knock(server, dice.ephemeral(), 113, dice.word())
          world.knock(server, 20, UInt16(40_000 + dice.below(20_000)), dice.word())
        }
        // Late answers to our questions, and answers to what others asked in our name.
        if dice.chance(0.5) {
          let resolver = dice.pick(stale)
          let port = dice.ephemeral()
          world.send(World.reply(to: World.udp(resolver, 53, port, 40), []), isOurs: true)
          var late = World.udp(resolver, 53, port, 120)
          late.payloadStart = 0x1234_8180
          world.send(late)
        }
        if dice.chance(0.1) {
          world.send(World.tcp(dice.address(), 80, UInt16(1024 + dice.below(60_000)), .synAck))
          world.send(World.tcp(dice.address(), 443, UInt16(1024 + dice.below(60_000)), .rst))
        }
        if dice.chance(0.02) {
          let tracer = dice.address()
          for hop in 0..<3 as Range<UInt16> {
            var packet = World.udp(tracer, dice.ephemeral(), 33_434 + 30 + hop, 32)
            packet.hopLimit = 1
            world.send(packet)
          }
        }
      }
    }
    world.finish()
    let accused = Set(world.accused)
    return Outcome(
      text:
        "\(days) days, \(events) connections of clients and all that goes wrong beside: \(accused.count) accused (at most \(bar))",
      isKept: accused.count <= bar)
  }

  // MARK: Systems

  /// SYNs of ordinary systems with all options in any order: no tool may be seen in them.
  static func systems() -> Outcome {
    let count = 1_000_000
    var dice = Dice(4)
    var hits: [String: Int] = [:]
    let options: [(kind: UInt64, size: UInt8)] = [(4, 2), (8, 10), (3, 3), (2, 4)]
    for _ in 0..<count / 4 {
      var packet = World.syn(dice.address(), dice.ephemeral(), dice.port(), dice.word())
      packet.hopLimit = UInt8([64, 128, 255][dice.below(3)] - dice.below(30))
      packet.identification = dice.port()
      packet.dontFragment = dice.chance(0.9)
      packet.window = dice.pick([64_240, 65_535, 29_200, 14_600, 5840, 8192, 16_384, 32_768, 1024, 512, 42_340])
      packet.synOptions.windowScale = UInt8(dice.below(15))
      packet.synOptions.maximumSegmentSize = dice.pick([1460, 1440, 1400, 1380, 1360, 536, 8960])
      // MSS, and at least one other: all systems of this century.
      var chosen = options.shuffled(&dice)
      let others = 1 + dice.below(3)
      chosen = Array(chosen.filter { $0.kind != 2 }.prefix(others)) + [options[3]]
      chosen = chosen.shuffled(&dice)
      var (list, length, number): (UInt64, UInt8, UInt64) = (0, 0, 0)
      for option in chosen {
        for _ in 0..<dice.below(3) {
          list |= 1 << (number * 4)
          number += 1
          length += 1
        }
        list |= option.kind << (number * 4)
        number += 1
        length += option.size
      }
      packet.synOptions.kinds = list | 1 << (number * 4)
      packet.tcpOptionsLength = (length + 3) & ~3
      // Four of one system: some tools are told by two packets of theirs.
      var packets: [Packet] = []
      for _ in 0..<4 {
        packet.sequence = dice.word()
        packet.identification = dice.port()
        (packet.sourcePort, packet.targetPort) = (dice.ephemeral(), dice.port())
        packets.append(packet)
      }
      let tool = Detector.tool(of: packets)
      if ![.unknown, .unnamed, .connect].contains(tool.family) { hits[tool.name, default: 0] += 1 }
    }
    let named = hits.map { "\($0.key) \($0.value)" }.sorted().joined(separator: ", ")
    return Outcome(
      text:
        "\(count) SYNs with permuted options: \(hits.values.reduce(0, +)) called a tool\(named.isEmpty ? "" : " (\(named))") (none)",
      isKept: hits.isEmpty)
  }

  // MARK: Distributed

  /// A thousand sources with a port each out of one run, among a thousand that have nothing to do with it.
  static func distributed() -> Outcome {
    let bar = 0.95
    var worst = (precision: 1.0, recall: 1.0)
    var lines: [String] = []
    for (name, make) in runs {
      var dice = Dice(UInt64(name.utf8.count))
      var world = World()
      let members = (0..<1000).map { _ in dice.address() }
      let isMember = Set(members)
      let ports = (1...65_535).map { UInt16($0) }.filter { !World.services.contains($0) }.shuffled(&dice)
      var steps: [(source: IPAddress, port: UInt16, isMember: Bool)] = []
      for (index, member) in members.enumerated() { steps.append((member, ports[index], true)) }
      for _ in 0..<1000 {
        steps.append((dice.address(), dice.chance(0.7) ? dice.pick(popular) : dice.unused(), false))
      }
      for step in steps.shuffled(&dice) {
        let packet =
          step.isMember
          ? make(step.source, step.port, &dice) : background(step.source, step.port, &dice)
        world.send(packet)
        world.wait(seconds: 0.9)
      }
      world.finish()
      // A group without any of the run is another matter: bots of one worm are one, whoever they are.
      var found: Set<IPAddress> = []
      for campaign in world.detector.campaigns() where !campaign.members.allSatisfy({ !isMember.contains($0) }) {
        found.formUnion(campaign.members)
      }
      let right = Double(found.intersection(members).count)
      let precision = found.isEmpty ? 0 : right / Double(found.count)
      let recall = right / Double(members.count)
      worst = (min(worst.precision, precision), min(worst.recall, recall))
      lines.append("\(name) \(percent(precision))/\(percent(recall))")
    }
    return Outcome(
      text: "1,000 sources of one run among 1,000 others, precision/recall: \(lines.joined(separator: ", ")) (95/95)",
      isKept: worst.precision >= bar && worst.recall >= bar)
  }

  private static func percent(_ part: Double) -> String { "\(Int((part * 100).rounded()))" }

  /// Tools as they are run from many addresses.
  static let runs: [(String, @Sendable (IPAddress, UInt16, inout Dice) -> Packet)] = [
    (
      "masscan",
      { source, port, dice in
        var packet = raw(source, 61_000, port, dice.word(), window: 1024, hopLimit: 238)
        packet.identification = UInt16(
          truncatingIfNeeded: World.us.v4Bits ^ UInt32(port) ^ packet.sequence)
        return packet
      }
    ),
    (
      "zmap",
      { source, port, dice in
        var packet = raw(source, UInt16(32_768 + dice.below(28_232)), port, dice.word(), window: 65_535, hopLimit: 240)
        packet.identification = 54_321
        return packet
      }
    ),
    (
      "nmap",
      { source, port, dice in
        var packet = raw(source, 40_125, port, 0x1234_5678, window: 1024, hopLimit: UInt8(37 + dice.below(23)))
        packet.tcpOptionsLength = 4
        packet.synOptions.kinds = 0x12
        packet.synOptions.maximumSegmentSize = 1460
        packet.identification = dice.port()
        return packet
      }
    ),
    (
      "a program of one's own",
      { source, port, dice in
        var packet = raw(source, dice.ephemeral(), port, dice.word(), window: 31_337, hopLimit: 50)
        packet.identification = dice.port()
        return packet
      }
    ),
  ]

  static func raw(
    _ source: IPAddress, _ sourcePort: UInt16, _ port: UInt16, _ sequence: UInt32, window: UInt16, hopLimit: UInt8
  ) -> Packet {
    var packet = World.tcp(source, sourcePort, port, .syn)
    packet.sequence = sequence
    packet.window = window
    packet.hopLimit = hopLimit
    packet.dontFragment = false
    packet.length = 40
    return packet
  }

  /// Strangers that have nothing to do with each other: every tool there is, run by somebody else each time.
  static func background(_ source: IPAddress, _ port: UInt16, _ dice: inout Dice) -> Packet {
    switch dice.below(5) {
    case 0: return World.syn(source, dice.ephemeral(), port, dice.word())
    case 1:
      var packet = runs[0].1(source, port, &dice)
      packet.sourcePort = UInt16(40_000 + dice.below(20_000))
      packet.hopLimit = UInt8(215 + dice.below(35))
      packet.identification = UInt16(truncatingIfNeeded: World.us.v4Bits ^ UInt32(port) ^ packet.sequence)
      return packet
    case 2:
      var packet = runs[1].1(source, port, &dice)
      packet.hopLimit = UInt8(215 + dice.below(35))
      return packet
    case 3:
      return raw(
        source, dice.ephemeral(), dice.pick([23, 23, 23, 2323]), World.us.v4Bits, window: dice.port(),
        hopLimit: UInt8(40 + dice.below(20)))
    default:
      return raw(
        source, dice.ephemeral(), port, dice.word(), window: dice.pick([8192, 29_200, 5840, 65_535]),
        hopLimit: UInt8(40 + dice.below(200)))
    }
  }

  // MARK: Invented sources

  /// Ten million sources that nobody has, and scanners behind them.
  static func invented() -> Outcome {
    let count = 10_000_000
    var dice = Dice(10)
    var world = World()
    let before = residentMegabytes()
    // Slower ones are pushed out before they come again: such a flood turns over all that is held every ten seconds.
    let scanners = [(1, dice.address()), (3, dice.address())]
    var found: [Int: Int] = [:]
    let perSecond = 100_000
    for index in 0..<count {
      world.send(raw(dice.address(), dice.ephemeral(), dice.unused(), dice.word(), window: 512, hopLimit: 60))
      world.now += 10_000
      if index % perSecond == 0 {
        let second = index / perSecond
        for (gap, scanner) in scanners where second % gap == 0 {
          world.knock(scanner, dice.ephemeral(), dice.unused(), dice.word())
        }
        for (gap, scanner) in scanners where found[gap] == nil {
          if world.accused.contains(IPNetwork(scanner)) { found[gap] = second / gap + 1 }
        }
      }
    }
    world.finish()
    for (gap, scanner) in scanners where found[gap] == nil && world.accused.contains(IPNetwork(scanner)) {
      found[gap] = count / perSecond / gap
    }
    let wrongly = Set(world.accused).subtracting(scanners.map { IPNetwork($0.1) }).count
    let grown = residentMegabytes() - before
    let bound = (1 << 20) * 128 / 1_000_000 + 32
    let told = scanners.map { "one port every \($0.0) s after \(found[$0.0].map(String.init) ?? "no") ports" }
    return Outcome(
      text:
        "\(count) invented sources, 1,048,576 held: memory grew by \(grown) MB (at most \(bound)); hidden scanners: \(told.joined(separator: ", ")); \(wrongly) invented ones accused",
      isKept: grown <= bound && found.count == scanners.count && wrongly <= 10)
  }

  private static func residentMegabytes() -> Int {
    let text = String(decoding: (try? Files.read("/proc/self/statm", limit: 4096)) ?? [], as: UTF8.self)
    return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096 / 1_000_000
  }
}
