import Detection
import Journal
import Response
import TestSupport
import Wire

/// A month of the Internet's background radiation as one host would see it, the same for the same seed.
///
/// Shares follow what telescopes report (docs/architecture.md names the figures): a few hundred research scanners send most
/// probes, bots by the ten thousand ask for telnet, most sources send a handful of probes and are never seen again.
/// Addresses are of 240.0.0.0/4, which nobody has, and of 2001:db8::/32.
package struct Simulation {
  package struct Settings: Sendable {
    package var seed: UInt64 = 1
    package var start = Timestamp(seconds: 1_761_955_200)  // 2025-11-01 00:00 UTC
    package var days = 30
    package var sources = 200_000
    package var probes = 5_000_000
    /// Our own address.
    package var target = IPAddress("192.0.2.10")!

    package init() {}
  }

  /// What a source is after.
  package enum Trade: UInt8, Sendable, CaseIterable {
    /// An infected device looking for telnet and the like.
    case bot
    /// One popular port, a few times.
    case opportunist
    case datagrams
    /// Completes connections and reads what is said.
    case grabber
    /// nmap, pointed at us.
    case nmap
    /// Scans all of the Internet, all ports, all the time.
    case research
    /// A port every few hours.
    case slow
    /// The hole that became known in the third week.
    case wave
    case stray
  }

  private struct Touch {
    /// Milliseconds since the start.
    var time: UInt32
    var source: UInt32
    var port: UInt16
    var technique: Technique
  }

  package let settings: Settings
  private var random: SeededGenerator
  private var addresses: [IPAddress] = []
  private var trades: [Trade] = []
  private var touches: [Touch] = []
  /// Everything but probes, by time.
  private var events: [Event] = []
  private var nextTouch = 0
  private var nextEvent = 0
  private var hour: Int64 = 0

  private var milliseconds: UInt32 { UInt32(settings.days) * 86_400_000 }

  package init(_ settings: Settings = Settings()) {
    self.settings = settings
    random = SeededGenerator(seed: settings.seed)
    people()
    touch()
    judge()
    service()
    touches.sort { ($0.time, $0.source, $0.port) < ($1.time, $1.source, $1.port) }
    events.sort { $0.time < $1.time }
  }

  package var probeCount: Int { touches.count }
  package var sourceCount: Int { addresses.count }

  /// The events of the next hour in order, and its end; nil when the month is over.
  package mutating func nextHour() -> (now: Timestamp, events: [Event])? {
    guard hour < Int64(settings.days) * 24 else { return nil }
    hour += 1
    let end = settings.start + .seconds(hour * 3600)
    var result: [Event] = []
    while nextTouch < touches.count, time(touches[nextTouch].time) < end {
      let touch = touches[nextTouch]
      nextTouch += 1
      let at = time(touch.time)
      while nextEvent < events.count, events[nextEvent].time <= at { takeEvent(&result) }
      if !isUnseen(touch.time) { result.append(.probe(probe(touch))) }
    }
    while nextEvent < events.count, events[nextEvent].time < end { takeEvent(&result) }
    return (end, result)
  }

  private mutating func takeEvent(_ result: inout [Event]) {
    result.append(events[nextEvent])
    nextEvent += 1
  }

  private func time(_ milliseconds: UInt32) -> Timestamp { settings.start + .milliseconds(Int64(milliseconds)) }

  private func probe(_ touch: Touch) -> Probe {
    Probe(
      time: time(touch.time), source: addresses[Int(touch.source)],
      sourcePort: UInt16(truncatingIfNeeded: touch.time | 1024),
      target: settings.target, targetPort: touch.port, transport: touch.technique == .udp ? .udp : .tcp,
      mode: .advanced, technique: touch.technique, flags: .syn)
  }

  // MARK: Who

  private mutating func people() {
    let shares: [(Trade, Double)] = [
      (.bot, 0.42), (.opportunist, 0.38), (.datagrams, 0.09), (.grabber, 0.04), (.wave, 0.03), (.nmap, 0.0008),
      (.research, 0.003), (.slow, 0.0002),
    ]
    for (trade, share) in shares {
      trades += Array(
        repeating: trade, count: max(trade == .nmap || trade == .slow ? 3 : 1, Int(Double(settings.sources) * share)))
    }
    while trades.count < settings.sources { trades.append(.stray) }
    trades.removeLast(max(0, trades.count - settings.sources))
    var taken: Set<IPAddress> = []
    for (index, trade) in trades.enumerated() {
      var address: IPAddress
      repeat { address = self.address(trade, index) } while !taken.insert(address).inserted
      addresses.append(address)
    }
  }

  private mutating func address(_ trade: Trade, _ index: Int) -> IPAddress {
    if trade != .bot, random.next() % 40 == 0 {
      return IPAddress(high: 0x2001_0db8_0000_0000 | (random.next() & 0xff) << 16, low: random.next())
    }
    if trade == .research {
      // Two dozen operators with a network each.
      return IPAddress(v4: 0xf800_0000 | UInt32(index % 24) << 16 | UInt32(random.next() & 0xffff))
    }
    // Some networks have many, most have one: the square favours the low numbers.
    let unit = Double(random.next() >> 11) / 9_007_199_254_740_992
    let network = UInt32(unit * unit * 200_000)
    let scattered = (network &* 2_654_435_761) >> 13
    return IPAddress(v4: 0xf000_0000 | (scattered & 0x7_ffff) << 8 | UInt32(random.next() & 0xff))
  }

  // MARK: What they touch

  private static let popular: [UInt16] = [
    445, 3389, 8080, 80, 443, 5900, 1433, 6379, 8443, 22, 81, 8728, 5555, 2375, 3306, 5432, 9200, 8081, 8888, 21, 25,
    110,
    7547, 8291, 27017, 11211, 1080, 3128, 8000, 9000, 5060, 2222, 10000, 49152, 993, 995, 111, 139, 135, 179,
  ]
  private static let botPorts: [UInt16] = [23, 23, 23, 23, 23, 23, 2323, 23, 37215, 52869, 5555, 60001, 8080, 81]
  private static let datagramPorts: [UInt16] = [
    161, 1900, 123, 53, 5060, 11211, 389, 69, 137, 111, 500, 1434, 3283, 5683, 10001, 30120,
  ]
  private static let wavePort: UInt16 = 9034

  /// Zipf-like: the first of a list about as often as all behind the eighth.
  private mutating func pick(_ ports: [UInt16]) -> UInt16 {
    let unit = Double(random.next() >> 11) / 9_007_199_254_740_992
    return ports[min(ports.count - 1, Int(unit * unit * unit * Double(ports.count)))]
  }

  private mutating func below(_ bound: Int) -> Int { Int(random.next() % UInt64(max(bound, 1))) }

  /// 1 and up; each further one with this chance.
  private mutating func some(_ chance: Double, atMost most: Int) -> Int {
    var count = 1
    while count < most, Double(random.next() >> 11) / 9_007_199_254_740_992 < chance { count += 1 }
    return count
  }

  /// A moment from `first` on within `length`, more likely when it is day where the source lives.
  private mutating func moment(from first: UInt32, within span: UInt32, phase: Int) -> UInt32 {
    // The month ends, they do not.
    let length = min(span, milliseconds - first)
    for _ in 0..<4 {
      let at = first &+ UInt32(random.next() % UInt64(max(length, 1)))
      let hour = (Int(at / 3_600_000) + phase) % 24
      let weight = hour < 6 ? 25 : hour < 9 ? 60 : hour < 20 ? 100 : 70
      if below(100) < weight { return min(at, milliseconds - 1) }
    }
    return min(first &+ UInt32(random.next() % UInt64(max(length, 1))), milliseconds - 1)
  }

  private mutating func touch() {
    touches.reserveCapacity(settings.probes)
    for (index, trade) in trades.enumerated() where trade != .research { touch(UInt32(index), trade) }
    let research = trades.indices.filter { trades[$0] == .research }
    // Whatever is left is theirs; the first of them have more.
    let rest = max(settings.probes - touches.count, 0)
    // Each operator has its own hours, and now and then a port on which it dwells for some days.
    let sweeps = (0..<24).map { _ in
      (
        start: UInt32(random.next() % UInt64(milliseconds)), port: pick(Self.popular),
        length: UInt32(1 + below(4)) * 86_400_000
      )
    }
    for (rank, index) in research.enumerated() {
      let count = rest / max(research.count, 1) * (2 * (research.count - rank)) / (research.count + 1)
      let operatorNumber = index % 24
      let sweep = sweeps[operatorNumber]
      for _ in 0..<count {
        let kind = below(10)
        if kind < 2 {
          add(moment(from: sweep.start, within: sweep.length, phase: operatorNumber), UInt32(index), sweep.port, .syn)
        } else {
          let port = kind < 5 ? pick(Self.popular) : UInt16(truncatingIfNeeded: random.next())
          let at = moment(from: 0, within: milliseconds, phase: operatorNumber * 5)
          add(at, UInt32(index), port, below(12) == 0 ? .udp : .syn)
        }
      }
    }
    while touches.count < settings.probes, let first = research.first {
      add(UInt32(random.next() % UInt64(milliseconds)), UInt32(first), pick(Self.popular), .syn)
    }
    if touches.count > settings.probes { touches.removeLast(touches.count - settings.probes) }
  }

  private mutating func touch(_ index: UInt32, _ trade: Trade) {
    let day: UInt32 = 86_400_000
    let phase = below(24)
    var first = UInt32(random.next() % UInt64(milliseconds))
    switch trade {
    case .bot:
      let length = day * UInt32(1 + below(6))
      for _ in 0..<some(0.82, atMost: 40) {
        add(moment(from: first, within: length, phase: phase), index, pick(Self.botPorts), .syn)
      }
    case .opportunist:
      let port = pick(Self.popular)
      let length = day * UInt32(1 + below(2))
      for _ in 0..<some(0.65, atMost: 12) {
        add(moment(from: first, within: length, phase: phase), index, port, .syn)
      }
    case .datagrams:
      let port = pick(Self.datagramPorts)
      for _ in 0..<some(0.6, atMost: 8) { add(moment(from: first, within: day, phase: phase), index, port, .udp) }
    case .grabber:
      let ports = (0..<(1 + below(5))).map { _ in pick(Self.popular) }
      for _ in 0..<some(0.9, atMost: 60) {
        add(first &+ UInt32(below(7_200_000)), index, ports[below(ports.count)], .connect)
      }
    case .wave:
      // From the twentieth day on, more each day.
      let begin = Double(settings.days) * 0.66
      let unit = Double(random.next() >> 11) / 9_007_199_254_740_992
      first = UInt32((begin + (Double(settings.days) - begin) * unit.squareRoot()) * Double(day) * 0.999)
      for _ in 0..<some(0.75, atMost: 20) {
        add(moment(from: first, within: day, phase: phase), index, Self.wavePort, .syn)
      }
    case .nmap:
      // Six of the month look at every port.
      let isFull = index % 27 == 0
      let count = isFull ? min(65_535, settings.probes / 70) : 20 + below(1000)
      let technique: Technique = [.syn, .syn, .syn, .connect, .fin, .xmas, .null, .udp][below(8)]
      let gap = isFull ? 3 : 20 + below(3000)
      for step in 0..<count {
        add(
          first &+ UInt32(step * gap), index,
          isFull ? UInt16(truncatingIfNeeded: step + 1) : UInt16(1 + below(step % 3 == 0 ? 10_000 : 1024)), technique)
      }
    case .slow:
      first = UInt32(random.next() % UInt64(day))
      let gap = UInt32(4 + below(20)) * 3_600_000
      var at = first
      while at < milliseconds {
        add(at, index, UInt16(1 + below(9000)), .syn)
        at += gap &- UInt32(below(600_000))
      }
    case .stray: add(first, index, UInt16(truncatingIfNeeded: random.next() | 1024), .syn)
    case .research: break
    }
  }

  private mutating func add(_ time: UInt32, _ source: UInt32, _ port: UInt16, _ technique: Technique) {
    guard touches.count < settings.probes || trades[Int(source)] == .research else { return }
    touches.append(Touch(time: min(time, milliseconds - 1), source: source, port: max(port, 1), technique: technique))
  }

  // MARK: What is made of it

  private mutating func judge() {
    var spans: [UInt32: (first: UInt32, last: UInt32, count: Int, ports: Set<UInt16>)] = [:]
    for touch in touches {
      spans[touch.source, default: (touch.time, touch.time, 0, [])].count += 1
      spans[touch.source]!.first = min(spans[touch.source]!.first, touch.time)
      spans[touch.source]!.last = max(spans[touch.source]!.last, touch.time)
      let most = trades[Int(touch.source)] == .nmap ? 65_536 : 2000
      if spans[touch.source]!.ports.count < most { spans[touch.source]!.ports.insert(touch.port) }
    }
    for index in trades.indices {
      guard let span = spans[UInt32(index)] else { continue }
      let isJudged =
        switch trades[index] {
        case .nmap, .research, .slow: true
        case .grabber: below(10) < 3
        case .wave: below(10) < 2
        case .bot: below(100) < 15 && span.count > 3
        case .opportunist: below(100) < 8
        case .datagrams, .stray: false
        }
      if isJudged { judge(index, span) }
    }
    victims()
  }

  private mutating func judge(
    _ index: Int, _ span: (first: UInt32, last: UInt32, count: Int, ports: Set<UInt16>)
  ) {
    let trade = trades[index]
    let network = IPNetwork(addresses[index])
    let isProven = trade == .grabber || (trade == .nmap && below(2) == 0)
    var verdict = Verdict(
      .scan, source: network, first: time(span.first), last: time(min(span.last, span.first &+ 120_000)))
    verdict.origin = isProven ? .proven : below(2) == 0 ? .alive : .unproven
    verdict.techniques = TechniqueSet(trade == .grabber ? .connect : .syn)
    verdict.kind = trade == .research ? .block : trade == .bot || trade == .wave ? .horizontal : .vertical
    verdict.isSlow = trade == .slow
    verdict.tool = tool(trade)
    verdict.probes = UInt32(min(span.count, 5))
    verdict.ports = UInt32(min(span.ports.count, 5))
    verdict.targets = 1
    verdict.threshold = 4595
    let ports = span.ports.sorted().prefix(4)
    verdict.evidence =
      ports.map {
        Evidence(.unusedPort, trade == .grabber ? .connect : .syn, port: $0, weight: Int16(1100 + Int($0) % 400))
      }
      + [Evidence(.toolMarks, .syn, port: ports.first ?? 0, weight: 900)]
    verdict.score = verdict.evidence.reduce(0) { $0 + Int32($1.weight) }
    verdict.port = ports.last ?? 0
    events.append(.verdict(verdict))
    // The detector says more when there is more.
    if span.count > 20 {
      verdict.last = time(span.first &+ (span.last - span.first) / 2)
      verdict.probes = UInt32(span.count / 2)
      verdict.ports = UInt32(span.ports.count * 3 / 4)
      if verdict.last - time(span.first) < .seconds(3000) || trade == .slow { events.append(.verdict(verdict)) }
      verdict.last = time(span.last)
      verdict.probes = UInt32(span.count)
      verdict.ports = UInt32(span.ports.count)
      if trade == .nmap || trade == .slow { events.append(.verdict(verdict)) }
    }
    guard isProven else { return }
    events.append(.proven(addresses[index], trade == .nmap ? .decoy : .handshake, port: verdict.port, at: verdict.last))
    block(index, at: verdict.last + .milliseconds(40), repeats: 0, port: verdict.port)
  }

  private mutating func tool(_ trade: Trade) -> Tool {
    switch trade {
    case .bot, .wave: below(3) == 0 ? Tool(.unnamed, variant: 0x2323_0a01) : Tool(.mirai)
    case .opportunist: [Tool(.masscan), Tool(.zmap), Tool(.unnamed, variant: 0x0041_2bc7), Tool(.connect)][below(4)]
    case .grabber: Tool(.connect)
    case .nmap: Tool(.nmap)
    case .research: [Tool(.zmap), Tool(.zmap), Tool(.masscan), Tool(.unnamed, variant: 0x91c0_77e2)][below(4)]
    case .slow: Tool(.nmap)
    case .datagrams, .stray: .unknown
    }
  }

  private mutating func block(_ index: Int, at: Timestamp, repeats: Int, port: UInt16) {
    let network = IPNetwork(addresses[index])
    let length = Duration.seconds(86_400 << repeats)
    events.append(
      .blocked(
        Block.Record(
          network: network, since: at, until: at + length, methods: [.nftables], port: port, transport: .tcp,
          modeName: "atcp", reason: "a scan, and a completed connection to port \(port)"), repeats: repeats))
    let end = at + length
    guard end < time(milliseconds - 1) else { return }
    events.append(.released(network, because: "expired", at: end))
    // One in eight comes again within some days.
    guard repeats < 3, below(8) == 0 else { return }
    let back = end + .seconds(Int64(3600 + below(4 * 86_400)))
    guard back < time(milliseconds - 3_600_000) else { return }
    let milliseconds = UInt32((back - settings.start).wholeNanoseconds / 1_000_000)
    touches.append(Touch(time: milliseconds, source: UInt32(index), port: port, technique: .connect))
    block(index, at: back + .milliseconds(300), repeats: repeats + 1, port: port)
  }

  /// Those who answer packets that somebody else sent in our name.
  private mutating func victims() {
    for _ in 0..<max(settings.sources / 130, 2) {
      let first = UInt32(random.next() % UInt64(milliseconds))
      let address = IPAddress(v4: 0xfc00_0000 | UInt32(random.next() & 0x00ff_ffff))
      var verdict = Verdict(
        .backscatter, source: IPNetwork(address), first: time(first),
        last: time(min(first &+ UInt32(below(5_400_000)), milliseconds - 1)))
      verdict.probes = UInt32(3 + below(400))
      verdict.ports = UInt32(min(Int(verdict.probes), 3 + below(200)))
      verdict.port = [80, 443, 443, 53, 22, 25565, 8080][below(7)]
      verdict.targets = 1
      verdict.transport = verdict.port == 53 ? .udp : .tcp
      verdict.evidence = []
      events.append(.verdict(verdict))
    }
  }

  // MARK: How we were

  /// Out from the eleventh day, 3:00 to 6:00; blind on the seventeenth, 14:00 to 14:40.
  private var outage: ClosedRange<UInt32> { hours(at: 10, 3)...hours(at: 10, 6) }
  private var blindness: ClosedRange<UInt32> { hours(at: 16, 14)...(hours(at: 16, 14) + 2_400_000) }

  private func hours(at day: Int, _ hour: Int) -> UInt32 {
    UInt32(day * settings.days / 30) * 86_400_000 + UInt32(hour) * 3_600_000
  }

  private func isUnseen(_ time: UInt32) -> Bool { outage.contains(time) || blindness.contains(time) }

  private mutating func service() {
    events.append(.started(at: settings.start))
    events.append(.stopped(at: time(outage.lowerBound)))
    events.append(.started(at: time(outage.upperBound)))
    events.append(.blind(at: time(blindness.lowerBound)))
    events.append(.seeing(at: time(blindness.upperBound)))
    events.append(.lost(.ring, count: 1840, at: time(hours(at: 8, 20) + 11_000)))
    events.append(.lost(.queue, count: 77, at: time(hours(at: 8, 20) + 12_000)))
    for number in 0..<5 {
      events.append(
        .refused(
          IPAddress(v4: 0xc633_6401), because: "it is the default gateway", at: time(hours(at: 3 + number * 4, 5))))
    }
  }
}
