import Testing
import Wire

@testable import Detection

/// `#expect` cannot look into values that are not copied.
private func check(_ holds: Bool, _ what: String = "", at place: SourceLocation = #_sourceLocation) {
  #expect(holds, "\(what)", sourceLocation: place)
}

/// A live host that serves TCP 22, by what it answers.
private struct Host: ~Copyable {
  enum Answer: CaseIterable { case reset, decoy, service, silence }

  static let v4 = IPAddress("192.0.2.10")!
  static let v6 = IPAddress("2001:db8::10")!
  var detector: Detector
  var now = Timestamp(seconds: 1_700_000_000)
  var probes: [Probe] = []
  var verdicts: [Verdict] = []
  /// What a look at the socket table would say of every port.
  var hasListener = false

  init(isLive: Bool = true, _ change: (inout Detector.Settings) -> Void = { _ in }) {
    var settings = Detector.Settings()
    let all = PortSet(ranges: [0...65535])
    settings.tcp = Detector.Watch(mode: .advanced, ports: all)
    settings.udp = Detector.Watch(mode: .advanced, ports: all)
    (settings.nativeTCP, settings.nativeUDP, settings.judgesOtherProtocols) = (all, all, true)
    settings.asksForConnections = isLive
    change(&settings)
    var exposure = Exposure()
    exposure.setLocal([IPNetwork(Self.v4), IPNetwork(Self.v6)])
    exposure.serveEverywhere(.tcp, 22, v4: true, v6: true)
    detector = Detector(settings, exposure: exposure, key: (3, 4))
  }

  static func stranger(_ number: Int, _ isV4: Bool) -> IPAddress {
    isV4
      ? IPAddress(v4: 0xcb00_7100 + UInt32(number)) : IPAddress(high: 0x2001_0db8_0077_0000, low: UInt64(number))
  }

  mutating func send(_ packet: Packet) {
    var packet = packet
    packet.time = now
    packet.checksum = .valid
    let none: [UInt8] = []
    if case .candidate = unsafe detector.consider(&packet, in: none.span.bytes) {
      if !detector.awaitAnswer(&packet) {
        if detector.settings.asksForConnections {
          if hasListener { detector.learnService(packet) } else { detector.makeProbe(of: &packet) }
        } else {
          detector.wait(&packet)
        }
      }
    }
    take()
  }

  mutating func pass(milliseconds: Int64) {
    now = now + .milliseconds(milliseconds)
    let hasListener = hasListener
    _ = detector.takeUnanswered(at: now) { _ in hasListener }
    detector.advance(to: now)
    take()
  }

  mutating func take() {
    detector.takeProbes { probes.append($0) }
    detector.takeVerdicts { verdicts.append($0) }
  }

  static func syn(_ source: IPAddress, _ port: UInt16, from sourcePort: UInt16 = 40_000) -> Packet {
    var packet = Packet()
    (packet.source, packet.sourcePort) = (source, sourcePort)
    (packet.target, packet.targetPort) = (source.isV4 ? v4 : v6, port)
    (packet.flags, packet.sequence, packet.protocolNumber) = (.syn, 1000, 6)
    (packet.tcpOptionsLength, packet.dontFragment) = (20, true)
    return packet
  }

  static func answer(to packet: Packet, _ flags: TCPFlags) -> Packet {
    var reply = packet
    (reply.source, reply.target) = (packet.target, packet.source)
    (reply.sourcePort, reply.targetPort) = (packet.targetPort, packet.sourcePort)
    (reply.flags, reply.isOutgoing) = (flags, true)
    (reply.sequence, reply.acknowledgment) = (flags.contains(.rst) ? 0 : 5000, packet.sequence &+ 1)
    return reply
  }

  /// A SYN and what this host does with it, within a tenth of a second.
  mutating func ask(
    _ source: IPAddress, _ port: UInt16, _ answer: Answer, from sourcePort: UInt16 = 40_000, after delay: Int64 = 0
  ) {
    let question = Self.syn(source, port, from: sourcePort)
    send(question)
    pass(milliseconds: delay)
    switch answer {
    case .reset: send(Self.answer(to: question, [.rst, .ack]))
    case .service: send(Self.answer(to: question, .synAck))
    case .decoy:
      var reply = Self.answer(to: question, .synAck)
      reply.isOfDecoy = true
      send(reply)
    case .silence: break
    }
    pass(milliseconds: 100 - delay)
  }

  /// A whole connection: the client says so many bytes, and hears so many.
  mutating func visit(
    _ source: IPAddress, _ port: UInt16, says: UInt16 = 0, hears: UInt32 = 0, from sourcePort: UInt16 = 40_000,
    ends end: TCPFlags = .fin
  ) {
    let question = Self.syn(source, port, from: sourcePort)
    send(question)
    send(Self.answer(to: question, .synAck))
    var packet = question
    (packet.flags, packet.sequence, packet.acknowledgment) = (.ack, 1001, 5001)
    packet.tcpOptionsLength = 12
    send(packet)
    if says > 0 {
      packet.payloadLength = says
      send(packet)
      packet.payloadLength = 0
    }
    (packet.flags, packet.sequence, packet.acknowledgment) = (end.union(.ack), 1001 + UInt32(says), 5001 + hears)
    send(packet)
    pass(milliseconds: 100)
  }

  func isAccused(_ source: IPAddress) -> Bool {
    verdicts.contains { $0.verdictClass == .scan && $0.source == IPNetwork(source) }
  }
}

@Suite struct AnswersTests {
  private static let families = [true, false]

  @Test(arguments: families)
  func `A service that answers and is not known has the socket tables looked at, once`(_ isV4: Bool) {
    var host = Host()
    for answer in Host.Answer.allCases where answer != .service { host.ask(Host.stranger(1, isV4), 8080, answer) }
    host.visit(Host.stranger(2, isV4), 22, says: 10, hears: 10)
    check(!host.detector.takeIncompleteness(), "nothing new")
    host.ask(Host.stranger(3, isV4), 8081, .service)
    check(host.detector.takeIncompleteness() && !host.detector.takeIncompleteness())
  }

  @Test(arguments: families)
  func `A server that we came to may look for proxies here, and a stranger may not`(_ isV4: Bool) {
    let proxies: [UInt16] = [23, 80, 81, 113, 1080, 3128, 4480, 6588, 8000, 8001, 8080, 8081]
    for isFriend in [true, false] {
      var host = Host()
      let server = Host.stranger(1, isV4)
      if isFriend {
        var ours = Host.syn(server, 51_000)
        (ours.source, ours.target) = (ours.target, ours.source)
        (ours.sourcePort, ours.targetPort, ours.isOutgoing) = (51_000, 6667, true)
        host.send(ours)
      }
      for answer in [Host.Answer.reset, .decoy] {
        for port in proxies { host.ask(server, port, answer, from: answer == .reset ? 40_000 : 40_001) }
      }
      check(host.isAccused(server) != isFriend)
      for port in 200..<206 as Range<UInt16> { host.ask(server, port, .reset) }
      check(host.isAccused(server), "what is no proxy's port counts")
    }
  }

  @Test(arguments: families)
  func `Live, an open session speaks for whoever asks for its neighbours, and one left in silence does not`(
    isV4: Bool
  ) {
    for isSilent in [false, true] {
      var host = Host()
      let source = Host.stranger(1, isV4)
      if isSilent {
        host.visit(source, 993)
      } else {
        let question = Host.syn(source, 993)
        host.send(question)
        host.send(Host.answer(to: question, .synAck))
      }
      for port: UInt16 in [143, 995, 110, 465, 587] { host.ask(source, port, .decoy) }
      // Touches beside a service wait for a second.
      host.pass(milliseconds: 1_100)
      check(host.isAccused(source) == isSilent, "\(isSilent)")
      check(host.probes.count == 5)
    }
  }

  @Test(arguments: families) func `A probe says what this host answered`(isV4: Bool) {
    var host = Host()
    let source = Host.stranger(1, isV4)
    for (port, answer) in zip(1000..., [Host.Answer.reset, .decoy, .silence, .service]) {
      host.ask(source, UInt16(port), answer)
    }
    check(host.probes.map(\.answer) == [.reset, .decoy, .silence])
  }

  @Test(arguments: families) func `Who asks for what answers as a service is no scanner`(isV4: Bool) {
    var host = Host()
    let visitor = Host.stranger(1, isV4)
    for round in 0..<40 {
      host.ask(visitor, [80, 443, 25, 8080, 993][round % 5], .service, from: 40_000 + UInt16(round))
    }
    check(host.probes.isEmpty)
    check(host.verdicts.isEmpty)
  }

  @Test(arguments: families) func `Who asks for what refuses, is a decoy, or keeps silent is one`(isV4: Bool) {
    for answer in [Host.Answer.reset, .decoy, .silence] {
      var host = Host()
      let scanner = Host.stranger(2, isV4)
      for port: UInt16 in [1001, 1002, 1003] { host.ask(scanner, port, answer) }
      check(host.probes.map(\.targetPort) == [1001, 1002, 1003], "\(answer)")
      let isAccused = host.isAccused(scanner)
      check(isAccused, "\(answer)")
    }
  }

  @Test func `A refusal is judged at once, and silence after four milliseconds`() {
    var host = Host()
    let scanner = Host.stranger(2, true)
    let question = Host.syn(scanner, 1001)
    host.send(question)
    check(host.probes.isEmpty)
    host.send(Host.answer(to: question, [.rst, .ack]))
    check(host.probes.count == 1)
    host.send(Host.syn(scanner, 1002))
    host.pass(milliseconds: 3)
    check(host.probes.count == 1)
    host.pass(milliseconds: 1)
    check(host.probes.count == 2)
  }

  @Test func `Where packets were lost nobody is accused of what was not answered`() {
    var host = Host()
    host.send(Host.syn(Host.stranger(2, true), 1001))
    host.now = host.now + .milliseconds(10)
    _ = host.detector.takeUnanswered(at: host.now) { _ in nil }
    host.take()
    check(host.probes.isEmpty)
  }

  @Test func `A firewall before a service is no probe, since the look finds it`() {
    var host = Host()
    host.hasListener = true
    host.ask(Host.stranger(2, true), 1001, .silence)
    check(host.probes.isEmpty)
  }

  @Test func `What is translated to somebody far away may take its time, once it has answered`() {
    var host = Host()
    host.ask(Host.stranger(1, true), 8443, .service)
    host.ask(Host.stranger(2, true), 8443, .service, after: 60)
    host.pass(milliseconds: 5000)
    check(host.probes.isEmpty)
    host.ask(Host.stranger(3, true), 8443, .silence)
    host.pass(milliseconds: 5000)
    check(host.probes.count == 1)
  }

  @Test(arguments: families) func `A scanner among visitors of translated services is found`(isV4: Bool) {
    var host = Host()
    let scanner = Host.stranger(99, isV4)
    for index in 0..<90 {
      host.ask(Host.stranger(index % 30, isV4), [80, 443, 25][index % 3], .service, from: 40_000 + UInt16(index))
      if index % 10 == 0 { host.ask(scanner, 2000 + UInt16(index), index % 20 == 0 ? .reset : .decoy) }
    }
    let accused = Set(host.verdicts.map(\.source))
    check(accused == [IPNetwork(scanner)])
    check(Set(host.probes.map(\.source)) == [scanner])
  }

  @Test func `More questions than there is room for are looked into at once`() {
    var host = Host()
    var refused = 0
    for index in 0..<5000 {
      var packet = Host.syn(Host.stranger(index, false), 1001)
      packet.time = host.now
      if !host.detector.awaitAnswer(&packet) { refused += 1 }
    }
    check(refused >= 5000 - Detector.Settings.answerCapacity)
    check(refused < 1500)
  }

  // MARK: Contacts

  @Test(arguments: families) func `A contact is evidence whatever was seen of it, and counts once`(isV4: Bool) {
    var host = Host()
    let scanner = Host.stranger(2, isV4)
    for port: UInt16 in [1001, 1002, 1003] {
      let segment = Segment(scanner, 40_000, isV4 ? Host.v4 : Host.v6, port, host.now)
      host.detector.noteContact(segment)
      host.detector.noteContact(segment)
      host.take()
    }
    check(host.probes.count == 3)
    let verdict = host.verdicts.first
    check(verdict?.source == IPNetwork(scanner))
    check(host.verdicts.last?.origin == .proven)
  }

  @Test(arguments: families) func `A contact that may have been guessed is evidence and no proof`(isV4: Bool) {
    var host = Host()
    let scanner = Host.stranger(2, isV4)
    for port: UInt16 in [1001, 1002, 1003] {
      host.detector.noteContact(
        Segment(scanner, 40_000, isV4 ? Host.v4 : Host.v6, port, host.now), isGuessable: true)
      host.take()
    }
    check(host.probes.count == 3)
    check(host.verdicts.last?.source == IPNetwork(scanner))
    check(host.verdicts.last?.origin == .unproven)
  }

  @Test func `A contact whose SYN was seen is not counted again`() {
    var host = Host()
    let scanner = Host.stranger(2, true)
    host.ask(scanner, 1001, .decoy)
    host.detector.noteContact(Segment(scanner, 40_000, Host.v4, 1001, host.now))
    // Told before the answer was seen.
    host.send(Host.syn(scanner, 1002))
    host.detector.noteContact(Segment(scanner, 40_000, Host.v4, 1002, host.now))
    host.take()
    host.pass(milliseconds: 100)
    check(host.probes.count == 2)
    check(!host.isAccused(scanner))
  }

  // MARK: Grace

  @Test(arguments: families) func `Who used a service may ask again after it stopped`(isV4: Bool) {
    for answer in [Host.Answer.reset, .decoy, .silence] {
      for says: UInt16 in [0, 100] {
        var host = Host()
        let (monitor, scanner) = (Host.stranger(1, isV4), Host.stranger(2, isV4))
        for port: UInt16 in [80, 443, 993] { host.visit(monitor, port, says: says) }
        for port: UInt16 in [80, 443, 993] {
          host.ask(monitor, port, answer, from: 41_000)
          host.detector.noteContact(Segment(monitor, 41_000, isV4 ? Host.v4 : Host.v6, port, host.now))
          host.ask(scanner, port, answer)
        }
        host.pass(milliseconds: 4000)
        check(Set(host.probes.map(\.source)) == [scanner], "\(answer)")
        check(!host.isAccused(monitor))
        check(host.isAccused(scanner))
      }
    }
  }

  @Test func `Grace ends after ten minutes, and after twelve hours for what was served for days`() {
    for (days, hours, isForgiven) in [(0, 0.1, true), (0, 1, false), (3, 1, true), (3, 11, true), (3, 13, false)] {
      var host = Host()
      let monitor = Host.stranger(1, true)
      for _ in 0...days * 24 {
        host.visit(monitor, 80)
        host.pass(milliseconds: days == 0 ? 0 : 3_600_000)
      }
      if days > 0 { host.now = host.now + .seconds(-3600) }
      host.pass(milliseconds: Int64(hours * 3_600_000))
      host.ask(monitor, 80, .reset)
      check(host.probes.isEmpty == isForgiven, "\(days) days, \(hours) hours")
    }
  }

  @Test func `Grace is for that port alone`() {
    var host = Host()
    let monitor = Host.stranger(1, true)
    host.visit(monitor, 80)
    for port: UInt16 in [1001, 1002, 1003] { host.ask(monitor, port, .reset) }
    check(host.isAccused(monitor))
  }

  // MARK: Whoever listens is not silent

  @Test(arguments: [true, false]) func `A client that only receives is not silent`(isLive: Bool) {
    var host = Host(isLive: isLive)
    let (reader, sweeper) = (Host.stranger(1, true), Host.stranger(2, true))
    for port: UInt16 in 50_000..<50_012 {
      host.visit(reader, port, hears: 100_000)
      // The server's FIN is no word.
      host.visit(sweeper, port, hears: 1)
    }
    host.pass(milliseconds: 4000)
    check(!host.isAccused(reader))
    check(host.isAccused(sweeper))
    check(host.verdicts.first?.evidence.last?.sentence == "silent touches of 10 services")
  }

  @Test func `Who hangs up in the midst of a greeting is silent`() {
    var host = Host()
    let scanner = Host.stranger(2, true)
    for port: UInt16 in 50_000..<50_012 { host.visit(scanner, port, hears: 40, ends: .rst) }
    check(host.isAccused(scanner))
  }

  // MARK: One port

  @Test(arguments: families) func `A SYN, a FIN and an ACK to one port are one question`(isV4: Bool) {
    for order: [TCPFlags] in [[.syn, .fin, .ack], [.fin, .syn, [.fin, .ack]], [.ack, .syn, .fin]] {
      var host = Host()
      let source = Host.stranger(1, isV4)
      for flags in order {
        var packet = Host.syn(source, 1001)
        packet.flags = flags
        packet.tcpOptionsLength = 0
        host.send(packet)
        host.pass(milliseconds: 100)
      }
      check(!host.isAccused(source), "\(order)")
      host.ask(source, 1002, .reset)
      check(host.isAccused(source), "\(order)")
    }
  }

  // MARK: SCTP

  private static func chunk(_ type: UInt8, _ source: IPAddress, _ port: UInt16, isAnswer: Bool = false) -> Packet {
    var packet = Host.syn(source, port)
    (packet.protocolNumber, packet.messageType, packet.flags) = (132, type, [])
    return isAnswer ? Host.answer(to: packet, []) : packet
  }

  @Test(arguments: families, [true, false]) func `SCTP associations are no scan, refused ones are`(
    isV4: Bool, isLive: Bool
  ) {
    var host = Host(isLive: isLive)
    let (peer, scanner, prober) = (Host.stranger(1, isV4), Host.stranger(2, isV4), Host.stranger(3, isV4))
    for port: UInt16 in 3000..<3006 {
      for (source, answer) in [(peer, UInt8(2)), (scanner, 6), (prober, 0)] {
        let port = source == peer ? port : port + 100
        for var packet in [Self.chunk(1, source, port), Self.chunk(answer, source, port, isAnswer: true)]
        where packet.messageType != 0 {
          packet.time = host.now
          host.detector.considerOther(&packet, .sctp)
        }
      }
      host.pass(milliseconds: 5000)
    }
    check(!host.isAccused(peer))
    check(host.isAccused(scanner))
    check(host.isAccused(prober))
  }

  // MARK: UDP

  @Test(arguments: ["239.255.255.250", "198.51.100.255", "255.255.255.255", "192.0.2.127"])
  func `Answers to what was asked of everybody are no scan`(group: String) {
    var host = Host()
    var question = Host.syn(Host.stranger(1, true), 45_678)
    (question.transport, question.flags, question.isOutgoing) = (.udp, [], true)
    (question.source, question.sourcePort) = (Host.v4, 45_678)
    (question.target, question.targetPort) = (IPAddress(group)!, 1900)
    host.send(question)
    for index in 1...6 {
      var answer = Host.syn(Host.stranger(index, true), 45_678, from: 1900 + UInt16(index))
      (answer.transport, answer.flags, answer.payloadLength) = (.udp, [], 60)
      host.send(answer)
      host.pass(milliseconds: 100)
      // To another port it is none.
      answer.targetPort = 5000
      host.send(answer)
      host.pass(milliseconds: 100)
    }
    check(host.probes.count == 6)
    check(host.probes.allSatisfy { $0.targetPort == 5000 })
  }

  @Test func `A datagram that is answered was no probe`() {
    var host = Host()
    for port: UInt16 in [5000, 5001, 5002, 5003, 5004] {
      var question = Host.syn(Host.stranger(1, true), port)
      (question.transport, question.flags) = (.udp, [])
      host.send(question)
      host.send(Host.answer(to: question, []))
      host.pass(milliseconds: 100)
    }
    check(host.probes.isEmpty)
  }

  // MARK: The inequality

  /// Touches of a source in every state the rule may be in: whoever goes on asking reaches the threshold.
  @Test(arguments: [true, false], [true, false]) func `No state of the rule puts a verdict out of reach`(
    isCrowded: Bool, isFriend: Bool
  ) {
    var settings = Detector.Settings()
    settings.sourceCapacity = 4096
    var rule = NativeRule(settings, key: (1, 2))
    let start = Timestamp(seconds: 1_700_000_000)
    // Every port has been asked for by so many that it weighs the least there is.
    for port: UInt16 in 1000..<1200 { rule.rarity.set(Int(port), .max) }
    if isCrowded {
      for index in 0..<600 {
        rule.charge(Self.touch(Host.stranger(index, false), 9, start))
      }
      check(rule.isCrowded(at: start))
    }
    let scanner = Host.stranger(7, true)
    for port: UInt16 in 1000..<1200 where !rule.isConvicted(scanner) {
      var touch = Self.touch(scanner, port, start)
      touch.isFriend = isFriend
      rule.charge(touch)
    }
    check(rule.isConvicted(scanner))
    let verdict = rule.standing(of: scanner)!
    check(verdict.evidence.reduce(0) { $0 + Int32($1.weight) } == verdict.score)
  }

  @Test func `A proven source is not subject to a crowd's doubt, in either order`() {
    for isProvenFirst in [true, false] {
      var rule = NativeRule(Detector.Settings(), key: (1, 2))
      let start = Timestamp(seconds: 1_700_000_000)
      for index in 0..<600 { rule.charge(Self.touch(Host.stranger(index, false), 9, start)) }
      let scanner = Host.stranger(7, true)
      for port: UInt16 in [1001, 1002, 1003] {
        rule.charge(Self.touch(scanner, port, start))
        if isProvenFirst { rule.prove(scanner) }
      }
      if !isProvenFirst {
        check(!rule.isConvicted(scanner))
        rule.prove(scanner)
      }
      check(rule.isConvicted(scanner))
    }
  }

  @Test func `The same few ports over and over never add up`() {
    var rule = NativeRule(Detector.Settings(), key: (1, 2))
    for port: UInt16 in 1000..<1200 { rule.rarity.set(Int(port), .max) }
    let source = Host.stranger(7, true)
    for round in 0..<200 {
      for port: UInt16 in 1000..<1007 {
        rule.charge(Self.touch(source, port, Timestamp(seconds: 1_700_000_000 + Int64(round))))
      }
    }
    check(!rule.isConvicted(source))
  }

  @Test func `What has no place of its own is kept over a restart`() {
    var record = SourceRecord(address: Host.stranger(1, true), at: Timestamp(seconds: 1))
    for port: UInt16 in 0..<30 {
      let isNew = record.touch(port: port, target: 1)
      let reason = PackedEvidence(.syn, port: port, tag: 0, weight: 600 + Int(port) % 3 * 40)
      if record.add(reason, isNewPort: isNew) { record.score += Int32(reason.weight) }
    }
    check(record.furtherWeight > 0)
    var bytes: [UInt8] = []
    record.encode(into: &bytes)
    check(bytes.count == SourceRecord.encodedSize)
    let restored = unsafe SourceRecord(bytes.span.bytes, at: 0)
    check(restored?.score == record.score)
    check(restored?.furtherWeight == record.furtherWeight)
  }

  private static func touch(_ source: IPAddress, _ port: UInt16, _ time: Timestamp) -> NativeRule.Touch {
    NativeRule.Touch(source: source, target: Host.v4, time: time, technique: .syn, kind: .syn, port: port)
  }

  // MARK: Neighbours

  @Test(arguments: families) func `Four neighbours with a wrong port each in a day are no scan, in an hour they are`(
    isV4: Bool
  ) {
    for (gap, isScan) in [(Int64(7 * 3600), false), (600, true)] {
      var host = Host()
      for index in 0..<4 {
        host.ask(Host.stranger(60 + index, isV4), 7000 + UInt16(index * 131), .reset)
        host.pass(milliseconds: gap * 1000)
      }
      check(host.verdicts.contains { $0.kind == .distributed } == isScan, "\(gap)")
    }
  }

  @Test(arguments: families) func `A distributed scan by proven sources is proven`(isV4: Bool) {
    for isProven in [true, false] {
      var host = Host()
      for index in 0..<24 {
        let source = Host.stranger(60 + index, isV4)
        let port = 7000 + UInt16(index * 131 % 900)
        host.ask(source, port, .decoy)
        if isProven { host.detector.noteContact(Segment(source, 40_000, isV4 ? Host.v4 : Host.v6, port, host.now)) }
        host.take()
      }
      host.pass(milliseconds: 2000)
      let expected: Origin = isProven ? .proven : .unproven
      check(host.detector.campaigns().first?.verdict.origin == expected)
      // And so it was told, each time.
      let told = host.verdicts.filter { $0.kind == .distributed }
      check(!told.isEmpty && told.allSatisfy { $0.origin == expected })
    }
  }

  /// A mail program that makes an account asks for all ports of mail, whichever it finds: each probe says of which families its port is
  /// whose services are here, and whether its source uses one.
  @Test(arguments: families) func `A probe tells of the services beside which it asks`(_ isV4: Bool) {
    var host = Host()
    for port: UInt16 in [143, 993, 80] { host.visit(Host.stranger(90, isV4), port, says: 10, hears: 10) }
    let (mailer, scanner, other) = (Host.stranger(1, isV4), Host.stranger(2, isV4), Host.stranger(3, isV4))
    host.ask(scanner, 110, .decoy)
    host.ask(scanner, 23, .decoy)
    host.ask(scanner, 443, .decoy)
    host.ask(scanner, 9100, .decoy)
    host.ask(mailer, 995, .decoy)
    host.visit(mailer, 993, says: 40, from: 40_001)
    host.ask(mailer, 110, .decoy)
    host.ask(other, 8443, .reset)
    check(
      host.probes.map(\.asked) == [.mail, [], [.mail, .web], [], .mail, .mail, .web], "\(host.probes.map(\.asked))")
    check(host.probes.map(\.used) == [[], [], [], [], [], .mail, []], "\(host.probes.map(\.used))")
    var news: [(IPAddress, ServiceFamilies)] = []
    host.detector.takeSetups { news.append(($0, $1)) }
    check(news.count == 1 && news[0] == (mailer, .mail), "\(news)")
    // Too late for anybody who waits, and of another family.
    host.pass(milliseconds: 7_000)
    host.visit(other, 80)
    host.ask(other, 110, .reset)
    host.visit(other, 80, from: 40_001)
    check(!host.detector.hasSetups)
  }

  @Test func `What connect mode listens on is no service`() {
    var host = Host { $0.traps = PortSet([143]) }
    var exposure = host.detector.exposure
    exposure.serveEverywhere(.tcp, 143, v4: true, v6: true)
    host.detector.exposure = exposure
    host.ask(Host.stranger(1, true), 995, .reset)
    check(host.probes.map(\.asked) == [[]])
  }
}

@Suite struct AnswersFirstTests {
  @Test(arguments: [TCPFlags.synAck, [.rst, .ack]]) func `Whose capture it is does not depend on the order of pairs`(
    flags: TCPFlags
  ) {
    for isSwapped in [false, true] {
      var survey = CaptureSurvey(key: (1, 2))
      for port: UInt16 in 1..<17 {
        let question = Host.syn(Host.stranger(1, true), port)
        var answer = Host.answer(to: question, flags)
        answer.isOutgoing = false
        for packet in isSwapped ? [answer, question] : [question, answer] { survey.observe(packet, .unknown) }
      }
      check(survey.inferredLocal()?.networks == [IPNetwork(Host.v4)])
    }
  }
}
