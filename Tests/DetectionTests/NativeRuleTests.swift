import Strangers
import Testing
import Wire

@testable import Detection

private let stranger = IPAddress("203.0.113.7")!
private let other = IPAddress("198.51.100.9")!

/// `#expect` cannot look into values that are not copied.
private func check(_ holds: Bool, _ what: String = "", at place: SourceLocation = #_sourceLocation) {
  #expect(holds, "\(what)", sourceLocation: place)
}

extension World {
  fileprivate init(small: Void) { self.init(sources: 1024) }

  /// What is known of a source at this moment.
  fileprivate mutating func standing(_ source: IPAddress = stranger) -> Verdict? { detector.standing(of: source) }

  fileprivate mutating func score(_ source: IPAddress = stranger) -> Int32 { standing(source)?.score ?? 0 }

  /// One packet with these flags to each of these ports, a tenth of a second apart.
  fileprivate mutating func probe(
    _ ports: some Sequence<UInt16>, _ flags: TCPFlags = .syn, from source: IPAddress = stranger, isRaw: Bool = false
  ) {
    for port in ports {
      var packet =
        flags == .syn
        ? World.syn(source, 40_000 &+ port, port, UInt32(port) &* 2_654_435_761)
        : World.tcp(source, 40_000, port, flags)
      if isRaw { (packet.tcpOptionsLength, packet.dontFragment, packet.synOptions) = (0, false, SYNOptions()) }
      send(packet)
      wait(seconds: 0.1)
    }
    wait(seconds: 4)
    detector.advance(to: Timestamp(nanoseconds: now))
    take()
  }

  fileprivate var isAccused: Bool { accused.contains(IPNetwork(stranger)) }
}

@Suite struct NativeRuleTests {
  // MARK: How much is a scan

  @Test func `Two unused ports are no scan, three are`() {
    var world = World(small: ())
    world.probe([1001, 1002])
    check(!world.isAccused)
    check(world.score() == 4400)
    world.probe([1003])
    check(world.isAccused)
    check(world.verdicts.count == 1)
  }

  @Test func `One port asked for a thousand times is one port`() {
    var world = World(small: ())
    for _ in 0..<1000 { world.probe([1001]) }
    check(!world.isAccused)
    check(world.score() == 2200 && world.standing()?.probes == 1000)
  }

  @Test(
    arguments: [
      (.fin, 2), ([], 2), ([.fin, .psh, .urg], 2), ([.syn, .fin], 2), ([.syn, .urg], 2), (.ack, 6), ([.fin, .ack], 6),
    ] as [(TCPFlags, Int)])
  func `Flags that no TCP sends are a scan after two, stray acknowledgments after six`(flags: TCPFlags, enough: Int) {
    var world = World(small: ())
    world.probe((0..<UInt16(enough - 1)).map { 1001 + $0 }, flags)
    check(!world.isAccused)
    world.probe([2000], flags)
    check(world.isAccused)
  }

  @Test func `Four unused UDP ports are a scan and three are not`() {
    var world = World(small: ())
    for port: UInt16 in 1001...1003 { world.send(World.udp(stranger, 40_000, port, 8)) }
    world.finish()
    check(!world.isAccused)
    world.send(World.udp(stranger, 40_000, 1004, 8))
    world.finish()
    check(world.isAccused)
  }

  @Test func `SCTP, protocols and pings of many addresses count`() {
    var world = World(small: ())
    for port: UInt16 in 1...3 {
      var packet = World.tcp(stranger, 50_000, port, [])
      (packet.protocolNumber, packet.messageType) = (132, 1)
      world.send(packet, .sctp)
    }
    world.finish()
    check(world.isAccused)

    world = World(small: ())
    for number: UInt8 in [7, 99, 200, 253] {
      var packet = World.tcp(stranger, 0, 0, [])
      packet.protocolNumber = number
      world.send(packet, .otherProtocol)
    }
    check(world.isAccused)
    world = World(small: ())
    for number: UInt8 in [2, 4, 41, 47, 50, 51, 89, 103, 112] {
      var packet = World.tcp(stranger, 0, 0, [])
      packet.protocolNumber = number
      world.send(packet, .otherProtocol)
    }
    check(!world.isAccused, "tunnels and routing protocols are in daily use")
  }

  @Test func `Every verdict's reasons add up to its score`() {
    var world = World(small: ())
    var dice = Dice(3)
    for _ in 0..<200 {
      let source = dice.address()
      for _ in 0..<dice.below(8) {
        switch dice.below(4) {
        case 0: world.probe([dice.unused()], from: source)
        case 1: world.probe([dice.unused()], .fin, from: source)
        case 2: world.connect(source, dice.ephemeral(), dice.pick(World.services), dice.word(), says: 10)
        default: world.probe([dice.unused()], .ack, from: source)
        }
      }
    }
    world.detector.checkInvariants()
    check(world.accused.count > 10)
    for verdict in world.verdicts where verdict.verdictClass == .scan && verdict.kind != .distributed {
      check(verdict.evidence.reduce(0) { $0 + Int32($1.weight) } == verdict.score)
      check(verdict.score >= verdict.threshold)
    }
  }

  @Test func `A verdict is told once, and again when its source has doubled, when it returns, and when it is proven`() {
    var world = World(small: ())
    world.probe([1001, 1002, 1003])
    check(world.verdicts.count == 1)
    world.probe([1004])
    check(world.verdicts.count == 2, "four are twice two")
    world.probe([1005, 1006, 1007])
    check(world.verdicts.count == 2)
    world.probe([1008])
    check(world.verdicts.count == 3, "eight are twice four")
    world.wait(seconds: 100)
    world.probe([1009])
    check(world.verdicts.count == 4, "it came back")
    world.connect(stranger, 50_000, 443, 1, says: 10)
    check(world.verdicts.count == 5 && world.verdicts.last?.origin == .proven)
    world.connect(stranger, 50_001, 443, 1, says: 10)
    check(world.verdicts.count == 5)
  }

  // MARK: What speaks for a source

  @Test func `A conversation with a service outweighs part of a wrong port, and two of them all of it`() {
    var world = World(small: ())
    world.probe([1001])
    world.connect(stranger, 50_000, 443, 7, says: 100)
    check(world.score() == 800)
    world.connect(stranger, 50_001, 443, 7, says: 100)
    check(world.score() == 800, "the same service says it once")
    world.connect(stranger, 50_002, 80, 7, says: 100)
    check(world.score() == 0 && world.standing()?.evidence.isEmpty == true)
  }

  @Test func `Who talks with a service over IPv6 is told of, once a minute, at most 256 at a time`() {
    func customers(_ detector: inout Detector) -> [IPAddress] {
      var result: [IPAddress] = []
      detector.takeCustomers { result.append($0) }
      return result
    }
    var world = World(small: ())
    let neighbour = IPAddress("2001:db8:f::7")!
    world.connect(stranger, 50_000, 443, 7, says: 100)
    check(!world.detector.hasCustomers, "no IPv4 prefix is ever blocked")
    var news = CustomerNews()
    for second in [0, 1, 59, 60, 61, 119, 120] as [Int64] { news.note(neighbour, at: Timestamp(seconds: second)) }
    check(news.addresses == [neighbour, neighbour, neighbour])
    for number in 0..<1000 { news.note(IPAddress(high: 7, low: UInt64(number)), at: Timestamp(seconds: 200)) }
    check(news.addresses.count == 256)
    news.removeAll()
    check(news.isEmpty && customers(&world.detector).isEmpty)
  }

  @Test func `A long honest past buys no immunity`() {
    var world = World(small: ())
    for port in 0..<UInt16(200) { world.connect(stranger, 50_000 + port, World.services[Int(port) % 7], 7, says: 100) }
    world.probe([1001, 1002, 1003])
    check(world.isAccused)
  }

  @Test func `Whoever talks to services after every probe is found all the same`() {
    for conversations in 1...7 {
      var world = World(small: ())
      var needed = 0
      for port: UInt16 in 1001...1040 where needed == 0 {
        world.probe([port])
        if world.isAccused { needed = Int(port) - 1000 }
        for service in World.services.prefix(conversations) {
          world.connect(stranger, 50_000, service, UInt32(port), says: 20)
          world.wait(seconds: 1)
        }
      }
      check((1...12).contains(needed), "\(conversations) conversations after each probe: \(needed) probes")
    }
  }

  @Test func `Whom we wrote to may ask back by ident and active FTP`() {
    var world = World(small: ())
    world.send(World.reply(to: World.syn(stranger, 21, 50_000, 1), .syn), isOurs: true)
    for port: UInt16 in [113, 40_001, 40_002, 40_003, 40_004] {
      world.knock(stranger, port == 113 ? 50_000 : 20, port, 5)
    }
    check(!world.isAccused)
    check(world.score() == 120, "\(world.score()) \(world.standing()?.evidence ?? [])")
  }

  // MARK: Neighbours of services

  /// How a source has used a service before.
  enum Use: Sendable { case not, open, spoke, silent, halfOpen }

  struct Neighbours: Sendable, CustomTestStringConvertible {
    let testDescription: String
    var before: [UInt16] = []
    let use: Use
    var service: UInt16 = 993
    var hours = 0.0
    let then: [UInt16]
    let isScan: Bool
  }

  private static let mail: [UInt16] = [110, 143, 995, 2525, 4190]
  private static let web: [UInt16] = [8000, 8008, 8080, 8081, 8443, 8888]
  private static let neighbours = [
    Neighbours(testDescription: "a stranger", use: .not, then: mail, isScan: true),
    Neighbours(testDescription: "an open session", use: .open, then: mail, isScan: false),
    Neighbours(testDescription: "a session of before", use: .spoke, then: mail, isScan: false),
    Neighbours(testDescription: "one wrong port before", before: [81], use: .open, then: mail, isScan: false),
    Neighbours(testDescription: "one wrong port before, closed", before: [81], use: .spoke, then: mail, isScan: false),
    Neighbours(testDescription: "one wrong port after", use: .spoke, then: mail + [81], isScan: false),
    Neighbours(testDescription: "three wrong ports after", use: .spoke, then: mail + [81, 1001, 1002], isScan: true),
    Neighbours(testDescription: "three wrong ports alone", use: .spoke, then: [81, 1001, 1002], isScan: true),
    Neighbours(testDescription: "left without a word", use: .silent, then: mail, isScan: true),
    Neighbours(testDescription: "half-open, from a raw socket", use: .halfOpen, then: mail, isScan: true),
    Neighbours(testDescription: "another service", use: .spoke, service: 22, then: mail, isScan: true),
    Neighbours(testDescription: "eleven hours ago", use: .spoke, hours: 11, then: mail, isScan: false),
    Neighbours(testDescription: "an open session of eleven hours", use: .open, hours: 11, then: mail, isScan: false),
    Neighbours(testDescription: "thirteen hours ago", use: .spoke, hours: 13, then: mail, isScan: true),
    Neighbours(testDescription: "mail, asking for the web", use: .spoke, then: web, isScan: true),
    Neighbours(testDescription: "the web", use: .spoke, service: 443, then: web, isScan: false),
    Neighbours(testDescription: "the web, open", use: .open, service: 443, then: web, isScan: false),
    Neighbours(testDescription: "the web, without a word", use: .silent, service: 443, then: web, isScan: true),
    Neighbours(testDescription: "the web, asking for mail", use: .spoke, service: 443, then: mail, isScan: true),
    Neighbours(
      testDescription: "printing", use: .spoke, service: 631, then: [515, 9100, 9101, 9102, 139, 445], isScan: false),
    Neighbours(testDescription: "printing, never used", use: .not, then: [515, 9100, 9101, 9102], isScan: true),
  ]

  @Test(arguments: neighbours)
  func `Who used a service lately needs more than its neighbours to be a scanner`(_ item: Neighbours) {
    var world = World(small: ())
    world.probe(item.before)
    let (port, sequence) = (item.service, UInt32(77))
    switch item.use {
    case .not: break
    case .spoke: world.connect(stranger, 50_000, port, sequence, says: 30)
    case .silent: world.connect(stranger, 50_000, port, sequence, says: 0)
    case .open, .halfOpen:
      var question = World.syn(stranger, 50_000, port, sequence)
      if item.use == .halfOpen { (question.tcpOptionsLength, question.synOptions) = (0, SYNOptions()) }
      world.send(question)
      world.send(World.reply(to: question, .synAck), isOurs: true)
    }
    world.wait(seconds: 5 + item.hours * 3600)
    world.probe(item.then)
    check(world.isAccused == item.isScan, "\(world.score()) \(world.standing()?.evidence ?? [])")
  }

  @Test func `All neighbours of all families together are no verdict`() {
    var ports: Set<UInt16> = []
    for family in ServiceFamily.allCases {
      for port: UInt16 in 1...65_535 where family.isNear(port) { ports.insert(port) }
      for service in family.services { check(ServiceFamily.of(service) == family && family.isNear(service)) }
    }
    for port: UInt16 in 1...65_535 where ServiceFamily.isAskedBack(port) { ports.insert(port) }
    check(ports.count * Weights.neighbour < Int(Detector.Settings().threshold), "\(ports.count)")
    for family in ServiceFamily.allCases {
      let near = (1...65_535).count { family.isNear(UInt16($0)) }
      check(near * Weights.neighbour + Weights.unusedTCP < Int(Detector.Settings().threshold), "\(family)")
    }
  }

  // MARK: Services

  @Test func `Ten services touched within a second without a word are a scan, nine are not`() {
    for count in [9, 10] {
      var world = World(small: ())
      let services = (0..<UInt16(count)).map { 2000 + $0 * 100 }
      for port in services {
        var question = World.syn(other, 60_000, port, 1)
        world.send(question)
        question = World.reply(to: question, .synAck)
        world.send(question, isOurs: true)
      }
      for port in services { world.connect(stranger, 50_000 &+ port, port, 9, says: 0) }
      check(world.isAccused == (count == 10), "\(count)")
      if count == 10 {
        check(world.verdicts.last?.kind == .services && world.verdicts.last?.origin == .proven)
      }
    }
  }

  @Test func `Services with a word each, or slowly, are no scan`() {
    var world = World(small: ())
    for port in 0..<UInt16(300) {
      world.connect(stranger, 50_000 + port, World.services[Int(port) % 7], 9, says: 5)
    }
    check(!world.isAccused)
    for port in 0..<UInt16(300) {
      world.connect(stranger, 50_000 + port, World.services[Int(port) % 7], 9, says: 0)
      world.wait(seconds: 4)
    }
    check(!world.isAccused)
  }

  @Test func `Half-open touches of services from a raw socket are a scan after three`() {
    var world = World(small: ())
    for (index, port) in World.services.prefix(3).enumerated() {
      check(!world.isAccused)
      var packet = World.syn(stranger, 50_000, port, 7)
      (packet.tcpOptionsLength, packet.dontFragment, packet.window) = (4, false, 1024)
      packet.synOptions.kinds = 0x12
      packet.synOptions.maximumSegmentSize = 1460
      packet.hopLimit = 50
      world.send(packet)
      world.send(World.reply(to: packet, .synAck), isOurs: true)
      packet.flags = .rst
      packet.sequence &+= 1
      world.send(packet)
      world.wait(seconds: 4)
      world.detector.advance(to: Timestamp(nanoseconds: world.now))
      world.take()
      if index == 2 { check(world.isAccused) }
    }
    check(world.verdicts.last?.tool == Tool(.nmap))
  }

  // MARK: What is no scan

  @Test func `Answers to what others sent in our name are backscatter`() {
    var world = World(small: ())
    var dice = Dice(8)
    for _ in 0..<200 {
      world.send(World.tcp(stranger, 80, UInt16(1024 + dice.below(60_000)), .synAck))
      world.wait(seconds: 0.01)
    }
    world.finish()
    check(!world.isAccused)
    check(
      world.detector.otherVerdicts().contains { $0.verdictClass == .backscatter && $0.source == IPNetwork(stranger) })
  }

  @Test func `The RSTs of a scanner's own kernel to what decoys answered are not backscatter`() {
    var world = World(small: ())
    for port: UInt16 in 1001...1040 {
      world.send(World.syn(stranger, 50_000, port, 7))
      world.wait(seconds: 4)
      world.detector.advance(to: Timestamp(nanoseconds: world.now))
      world.send(World.tcp(stranger, 50_000, port, .rst))
    }
    world.finish()
    world.take()
    check(world.isAccused)
    check(world.detector.otherVerdicts().isEmpty)
  }

  @Test func `A flood of SYNs from invented sources accuses nobody and is told as a flood`() {
    var world = World(sources: 1 << 14)
    var dice = Dice(9)
    for _ in 0..<40_000 {
      world.send(World.tcp(dice.address(), dice.ephemeral(), 80, .syn))
      world.now += 100_000
    }
    world.finish()
    check(world.accused.isEmpty)
    let flood = world.detector.otherVerdicts().first { $0.verdictClass == .flood }
    check(flood?.port == 80 && (flood?.sources ?? 0) > 10_000)
  }

  @Test func `A flood of two hundred ports is a bounded number of floods, told once each`() {
    var world = World(sources: 1 << 14)
    var dice = Dice(15)
    for _ in 0..<200_000 {
      world.send(World.tcp(stranger, dice.ephemeral(), UInt16(1000 + dice.below(200)), .ack))
      world.now += 1_000
    }
    world.finish()
    let told = world.verdicts.filter { $0.verdictClass == .flood }
    check((2...70).contains(told.count), "\(told.count)")
    check(world.detector.otherVerdicts().reduce(0) { $0 + Int($1.probes) } <= 330_000)
  }

  @Test func `Thousands of connections a second to a busy service are no flood`() {
    var world = World(sources: 1 << 14)
    var dice = Dice(14)
    var open: [Packet] = []
    // 1,500 a second, each finished a quarter of a second later, in the first two seconds sooner: only so much shows that they are.
    for step in 0..<9000 {
      let opening = World.syn(dice.address(), dice.ephemeral(), 443, dice.word())
      world.send(opening)
      var answer = World.reply(to: opening, .synAck)
      answer.sequence = 77
      world.send(answer, isOurs: true)
      open.append(opening)
      if open.count > (step < 3000 ? 100 : 375) {
        let first = open.removeFirst()
        var packet = World.tcp(first.source, first.sourcePort, 443, .ack)
        (packet.sequence, packet.acknowledgment, packet.tcpOptionsLength) = (first.sequence &+ 1, 78, 12)
        world.send(packet)
      }
      world.now += 666_667
    }
    world.finish()
    check(world.detector.otherVerdicts().allSatisfy { $0.verdictClass != .flood }, "\(world.detector.otherVerdicts())")
    check(world.accused.isEmpty)
  }

  @Test func `Late answers of a resolver are no scan`() {
    var world = World(small: ())
    var dice = Dice(10)
    for _ in 0..<100 {
      let port = dice.ephemeral()
      world.send(World.reply(to: World.udp(stranger, 53, port, 40), []), isOurs: true)
      world.wait(seconds: 20)
      world.send(World.udp(stranger, 53, port, 120))
    }
    world.finish()
    check(!world.isAccused && world.score() == 0)
  }

  // MARK: Many as one

  @Test func `Forty sources with a port each and the same marks are one scan`() {
    var world = World(small: ())
    var dice = Dice(11)
    var members: Set<IPAddress> = []
    for port in 0..<UInt16(40) {
      var packet = World.tcp(dice.address(), 61_000, 1000 + port * 7, .syn)
      (packet.window, packet.hopLimit, packet.dontFragment, packet.sequence) = (31_337, 47, false, dice.word())
      members.insert(packet.source)
      world.send(packet)
      world.wait(seconds: 1)
    }
    world.finish()
    let campaigns = world.detector.campaigns()
    check(campaigns.count == 1 && Set(campaigns[0].members) == members)
    check(campaigns.first?.verdict.kind == .distributed)
    check(world.verdicts.contains { $0.kind == .distributed && $0.sources >= 12 })
  }

  @Test func `Forty strangers with programs of their own are not`() {
    var world = World(small: ())
    var dice = Dice(12)
    for port in 0..<UInt16(40) {
      var packet = World.tcp(dice.address(), dice.ephemeral(), 1000 + port * 7, .syn)
      (packet.window, packet.hopLimit) = (dice.port(), UInt8(30 + dice.below(200)))
      packet.sequence = dice.word()
      world.send(packet)
      world.wait(seconds: 1)
    }
    world.finish()
    check(world.detector.campaigns().isEmpty && world.accused.isEmpty)
  }

  // MARK: Over a restart

  @Test func `What was known is known after a restart`() throws {
    var before = World(small: ())
    before.probe([1001, 1002])
    before.probe([1001, 1002, 1003], from: other)
    let memory = before.detector.memory(sources: 100)
    var after = World(small: ())
    check(try after.detector.restore(memory) == 2)
    check(after.score() == before.score() && after.standing()?.evidence == before.standing()?.evidence)
    check(after.standing()?.first == before.standing()?.first)
    after.now = before.now
    after.probe([1003])
    check(after.isAccused)
    after.detector.checkInvariants()
  }

  @Test func `Of many sources the dearest are kept`() throws {
    var before = World(sources: 4096)
    var dice = Dice(13)
    for _ in 0..<500 { before.probe([dice.unused()], from: dice.address()) }
    before.probe([1001, 1002])
    let memory = before.detector.memory(sources: 10)
    var after = World(small: ())
    check(try after.detector.restore(memory) == 10)
    check(after.score() == before.score())
  }

  @Test func `A damaged memory is refused, whichever byte it is`() throws {
    var before = World(small: ())
    before.probe([1001, 1002])
    let memory = before.detector.memory(sources: 100)
    for offset in stride(from: 0, to: memory.count, by: 19) {
      var damaged = memory
      damaged[offset] ^= 0x55
      #expect(throws: DetectorMemoryError.self) { try restored(damaged) }
    }
    for length in stride(from: 0, to: memory.count, by: 37) {
      #expect(throws: DetectorMemoryError.self) { try restored(Array(memory.prefix(length))) }
    }
  }

  private func restored(_ memory: [UInt8]) throws(DetectorMemoryError) -> Int {
    var world = World(small: ())
    return try world.detector.restore(memory)
  }

  // MARK: Memory

  @Test func `A source takes 128 bytes`() {
    // With eight in the index.
    check(MemoryLayout<SourceRecord>.stride == 120)
  }
}

@Suite struct SourceTableTests {
  private static func time(_ seconds: Int64) -> Timestamp { Timestamp(seconds: 1_700_000_000 + seconds) }

  @Test func `What is claimed is found, and nothing else, while there is room`() {
    var table = SourceTable(capacity: 4096, key: (1, 2))
    var dice = Dice(1)
    var model: [IPAddress: UInt32] = [:]
    for _ in 0..<1500 {
      let address = dice.address()
      let index = table.claim(address, at: Self.time(0))
      table[index].probes += 1
      model[address, default: 0] += 1
    }
    table.checkInvariants()
    // Eight of a hash are held: of 1,500 in 512 buckets hardly any is full.
    check(table.count + Int(table.evictions) == model.count && table.evictions < 5)
    var found = 0
    for (address, probes) in model {
      guard let index = table.find(address) else { continue }
      found += 1
      check(table[index].probes == probes && table[index].address == address)
    }
    check(found == table.count)
    for _ in 0..<1000 { check(table.find(IPAddress(high: dice.next() | 1, low: dice.next())) == nil) }
  }

  @Test func `A flood of strangers pushes out its own kind, never the proven`() {
    var table = SourceTable(capacity: 1024, key: (3, 4))
    var dice = Dice(2)
    let proven = (0..<64).map { _ in dice.address() }
    for address in proven {
      let index = table.claim(address, at: Self.time(0))
      table[index].origin = .proven
      table.rerank(index)
    }
    for _ in 0..<100_000 {
      let index = table.claim(dice.address(), at: Self.time(1))
      table[index].score = 2200
      _ = table[index].add(PackedEvidence(.syn, port: 1, tag: 0, weight: 2200))
      table.rerank(index)
    }
    table.checkInvariants()
    check(table.count == table.capacity)
    for address in proven { check(table.find(address) != nil) }
    check(Set(table.dearest(64)) == Set(proven.compactMap { table.find($0) }))
  }
}

@Suite struct ToolMarksTests {
  private static func raw(_ port: UInt16, _ change: (inout Packet) -> Void) -> Packet {
    var packet = World.tcp(stranger, 40_000, port, .syn)
    packet.dontFragment = false
    (packet.window, packet.length) = (1024, 40)
    change(&packet)
    return packet
  }

  private static func name(_ make: (UInt16, inout Dice) -> Packet) -> String {
    var dice = Dice(5)
    return Detector.tool(of: (0..<6).map { make(1000 + UInt16($0) * 17, &dice) }).name
  }

  @Test func `Tools are named by their marks`() {
    let us = World.us.v4Bits
    check(
      Self.name { port, dice in
        Self.raw(port) {
          ($0.tcpOptionsLength, $0.synOptions.kinds, $0.synOptions.maximumSegmentSize) = (4, 0x12, 1460)
          ($0.hopLimit, $0.sequence) = (UInt8(37 + dice.below(23)), 0x1234_5678)
        }
      } == "nmap")
    check(
      Self.name { port, dice in
        Self.raw(port) {
          ($0.sequence, $0.sourcePort, $0.hopLimit) = (dice.word(), 61_000, 240)
          $0.identification = UInt16(truncatingIfNeeded: us ^ UInt32(port) ^ $0.sequence)
        }
      } == "masscan")
    check(
      Self.name { port, dice in
        Self.raw(port) {
          ($0.sequence, $0.window, $0.identification, $0.hopLimit) = (dice.word(), 65_535, 54_321, 240)
        }
      } == "zmap")
    check(
      Self.name { port, dice in
        Self.raw(port) {
          ($0.sequence, $0.window, $0.identification, $0.hopLimit) = (dice.word(), 65_535, dice.port(), 50)
          ($0.tcpOptionsLength, $0.synOptions.kinds) = (12, 0x141_1312)
          ($0.synOptions.windowScale, $0.synOptions.maximumSegmentSize) = (8, 1460)
        }
      } == "zmap")
    check(
      Self.name { port, dice in
        Self.raw(port) { ($0.sequence, $0.window, $0.hopLimit) = (us, dice.port(), 50) }
      } == "mirai")
    check(
      Self.name { port, dice in
        Self.raw(port) { ($0.sequence, $0.window, $0.hopLimit) = (dice.word(), 512, 60) }
      } == "hping3")
    check(
      Self.name { port, _ in Self.raw(port) { ($0.sequence, $0.window, $0.hopLimit) = (0, 8192, 60) } } == "scapy")
    check(
      Self.name { port, dice in
        Self.raw(port) {
          ($0.window, $0.hopLimit, $0.sourcePort) = (16_384, 120, dice.ephemeral())
          $0.sequence = 0xdead_beef ^ (UInt32($0.sourcePort) << 16 + UInt32(port))
        }
      } == "unicornscan")
    check(
      Self.name { port, dice in
        var packet = World.syn(stranger, dice.ephemeral(), port, dice.word())
        packet.identification = dice.port()
        return packet
      } == "connect")
  }

  @Test func `An unknown program has a stable name of its own`() {
    func program(_ window: UInt16) -> String {
      Self.name { port, dice in
        Self.raw(port) { ($0.sequence, $0.window, $0.hopLimit) = (dice.word(), window, 100) }
      }
    }
    check(program(31_337).hasPrefix("unnamed-") && program(31_337) == program(31_337))
    check(program(31_337) != program(31_338))
    check(Tool(name: program(31_337))?.family == .unnamed)
  }

  @Test func `Marks are the same after a restart, whatever the bits`() {
    var dice = Dice(6)
    for _ in 0..<1000 {
      let words = (dice.next(), dice.next(), dice.next())
      let marks = ToolMarks(words: words)
      check(marks.words == words)
      _ = marks.tool
    }
  }
}
