import Detection
import TestSupport
import Testing
import Wire

private let epoch = Timestamp(seconds: 1_700_000_000)
private let host = IPAddress("192.0.2.10")!
private let host6 = IPAddress("2001:db8::10")!
private let stranger = IPAddress("203.0.113.7")!

/// A host that serves TCP 22 and UDP 53 and has every other port watched.
private struct Scene: ~Copyable {
  var detector: Detector

  init(_ change: (inout Detector.Settings) -> Void = { _ in }) {
    var settings = Detector.Settings()
    let all = PortSet(ranges: [0...65535])
    settings.tcp = Detector.Watch(mode: .advanced, ports: all)
    settings.udp = Detector.Watch(mode: .advanced, ports: all)
    change(&settings)
    var exposure = Exposure()
    exposure.setLocal(
      [
        IPNetwork(host), IPNetwork(host6), IPNetwork("127.0.0.0/8")!, IPNetwork(IPAddress("127.0.0.1")!),
        IPNetwork("198.51.100.0/24")!,
      ])
    exposure.serveEverywhere(.tcp, 22, v4: true, v6: true)
    exposure.serveEverywhere(.udp, 53, v4: true, v6: false)
    exposure.serve(Endpoint(.tcp, IPAddress("127.0.0.1")!, 5432))
    detector = Detector(settings, exposure: exposure, key: (11, 22))
  }

  /// "candidate", or why not.
  mutating func judge(_ packet: Packet) -> String {
    var packet = packet
    // The checksums of these packets are known, so no bytes are looked at.
    let none: [UInt8] = []
    return switch unsafe detector.consider(&packet, in: none.span.bytes) {
    case .candidate: "candidate"
    case .dismissed(let dismissal): "\(dismissal)"
    }
  }

  /// The probe that a candidate becomes.
  mutating func probe(_ packet: Packet) -> Probe {
    var packet = packet
    detector.makeProbe(of: &packet)
    var probe: Probe?
    detector.takeProbes { probe = $0 }
    return probe!
  }
}

private func tcp(
  _ flags: TCPFlags, to port: UInt16 = 23, at seconds: Int64 = 0, _ change: (inout Packet) -> Void = { _ in }
) -> Packet {
  var packet = Packet()
  packet.time = Timestamp(seconds: 1_700_000_000 + seconds)
  (packet.source, packet.sourcePort) = (stranger, 40_000)
  (packet.target, packet.targetPort) = (host, port)
  packet.flags = flags
  packet.checksum = .valid
  change(&packet)
  return packet
}

private func udp(to port: UInt16 = 69, at seconds: Int64 = 0, _ change: (inout Packet) -> Void = { _ in }) -> Packet {
  tcp([], to: port, at: seconds) {
    $0.transport = .udp
    change(&$0)
  }
}

/// The other direction of a packet.
private func sent(_ packet: Packet, at seconds: Int64) -> Packet {
  var reply = packet
  reply.time = Timestamp(seconds: 1_700_000_000 + seconds)
  (reply.source, reply.target) = (packet.target, packet.source)
  (reply.sourcePort, reply.targetPort) = (packet.targetPort, packet.sourcePort)
  reply.isOutgoing = true
  return reply
}

@Suite struct DetectorTests {
  /// One packet to a host that has seen nothing yet.
  private static let rows: [(sentence: String, packet: Packet, expected: String)] = [
    ("a SYN to an unused port is a candidate", tcp(.syn), "candidate"),
    ("a SYN to a served port is not", tcp(.syn, to: 22), "served"),
    (
      "a SYN over IPv6 is a candidate", tcp(.syn) { ($0.source, $0.target) = (IPAddress("2001:db8::7")!, host6) },
      "candidate"
    ),
    ("a port served over both families is served over IPv6", tcp(.syn, to: 22) { $0.target = host6 }, "served"),
    ("a port served over IPv4 alone is unused over IPv6", udp(to: 53) { $0.target = host6 }, "candidate"),
    ("a port served on 127.0.0.1 is unused on other addresses", tcp(.syn, to: 5432), "candidate"),
    ("port 0 is a port like others", tcp(.syn, to: 0), "candidate"),
    ("port 65535 is a port like others", tcp(.syn, to: 65535), "candidate"),
    ("a SYN with ECN bits is a candidate", tcp([.syn, .ece, .cwr]), "candidate"),
    ("a SYN with data is a candidate", tcp(.syn) { $0.payloadLength = 5 }, "candidate"),
    ("FIN is a candidate", tcp(.fin), "candidate"),
    ("no flags is a candidate", tcp([]), "candidate"),
    ("FIN, PSH and URG is a candidate", tcp([.fin, .psh, .urg]), "candidate"),
    ("SYN and FIN is a candidate", tcp([.syn, .fin]), "candidate"),
    ("a bare ACK to an unused low port is a candidate", tcp(.ack), "candidate"),
    ("FIN and ACK to an unused low port is a candidate", tcp([.fin, .ack]), "candidate"),
    ("a bare ACK to an ephemeral port is not", tcp(.ack, to: 32_768), "straggler"),
    ("nor one to the last of them", tcp(.ack, to: 60_999), "straggler"),
    ("one beyond them is", tcp(.ack, to: 61_000), "candidate"),
    ("a SYN to an ephemeral port is", tcp(.syn, to: 40_000), "candidate"),
    ("an ACK with timestamps is a straggler", tcp(.ack) { $0.tcpOptionsLength = 12 }, "straggler"),
    ("a FIN/ACK with timestamps is a straggler", tcp([.fin, .ack]) { $0.tcpOptionsLength = 12 }, "straggler"),
    ("an ACK with data is a straggler", tcp([.psh, .ack]) { $0.payloadLength = 100 }, "straggler"),
    ("RST never is", tcp(.rst), "answer"),
    ("RST/ACK never is", tcp([.rst, .ack]), "answer"),
    ("RST with everything else never is", tcp([.rst, .syn, .fin, .psh, .urg]), "answer"),
    ("SYN/ACK never is", tcp([.syn, .ack]), "answer"),
    ("SYN/ACK with more bits never is", tcp([.syn, .ack, .ece, .urg]), "answer"),
    ("UDP to an unused port is a candidate", udp(), "candidate"),
    ("UDP to a served port is not", udp(to: 53), "served"),
    ("a wrong checksum never is", tcp(.syn) { $0.checksum = .wrong }, "wrongChecksum"),
    ("nor over UDP", udp { $0.checksum = .wrong }, "wrongChecksum"),
    ("a checksum that cannot be known does not matter", tcp(.syn) { $0.checksum = .unknown }, "candidate"),
    ("a packet to somebody else is not ours", tcp(.syn) { $0.target = IPAddress("192.0.2.11")! }, "notOurs"),
    ("nor one to a multicast address", udp { $0.target = IPAddress("224.0.0.251")! }, "notOurs"),
    ("nor one to the broadcast address", udp { $0.target = IPAddress("255.255.255.255")! }, "notOurs"),
    (
      "one into a network that is local as a whole is ours", tcp(.syn) { $0.target = IPAddress("198.51.100.200")! },
      "candidate"
    ),
    ("nobody is 0.0.0.0", tcp(.syn) { $0.source = IPAddress("0.0.0.0")! }, "impossibleSource"),
    ("nobody is in 0.0.0.0/8", tcp(.syn) { $0.source = IPAddress("0.1.2.3")! }, "impossibleSource"),
    ("nobody is 127.0.0.1 from outside", tcp(.syn) { $0.source = IPAddress("127.0.0.1")! }, "impossibleSource"),
    ("nobody is 224.0.0.1", udp { $0.source = IPAddress("224.0.0.1")! }, "impossibleSource"),
    ("nobody is 255.255.255.255", udp { $0.source = IPAddress("255.255.255.255")! }, "impossibleSource"),
    ("nobody is ::", tcp(.syn) { ($0.source, $0.target) = (IPAddress("::")!, host6) }, "impossibleSource"),
    (
      "nobody is ::1 from outside", tcp(.syn) { ($0.source, $0.target) = (IPAddress("::1")!, host6) },
      "impossibleSource"
    ),
    ("nobody is ff02::1", udp { ($0.source, $0.target) = (IPAddress("ff02::1")!, host6) }, "impossibleSource"),
    (
      "127.0.0.1 may talk to itself",
      tcp(.syn) {
        ($0.source, $0.target) = (IPAddress("127.0.0.1")!, IPAddress("127.0.0.1")!)
      }, "candidate"
    ),
    ("what we send is not judged", sent(tcp(.syn), at: 0), "outgoing"),
  ]

  @Test("One packet", arguments: rows.indices)
  func onePacket(index: Int) {
    let row = Self.rows[index]
    var scene = Scene()
    let judged = scene.judge(row.packet)
    #expect(judged == row.expected, "\(row.sentence)")
    for reason in Detector.Dismissal.allCases {
      #expect(scene.detector.dismissals(reason) == ("\(reason)" == row.expected ? 1 : 0), "\(row.sentence)")
    }
  }

  @Test func everyReasonHasWordsOfItsOwn() {
    #expect(Set(Detector.Dismissal.allCases.map(\.reason)).count == Detector.Dismissal.allCases.count)
  }

  @Test func portsThatAreNotWatched() {
    var scene = Scene {
      $0.tcp = Detector.Watch(mode: .stealth, ports: PortSet([11, 15] as [UInt16]))
      $0.udp = nil
    }
    #expect(scene.judge(tcp(.syn, to: 11)) == "candidate")
    #expect(scene.judge(tcp(.syn, to: 12)) == "notWatched")
    #expect(scene.judge(udp(to: 11)) == "notWatched")
  }

  @Test func servicesDoNotCountWithoutTheCheck() {
    var scene = Scene { $0.checksServices = false }
    #expect(scene.judge(tcp(.syn, to: 22)) == "candidate")
  }

  @Test func aLateDNSAnswerIsNoProbe() {
    var scene = Scene()
    let answer = udp(to: 45_678) { $0.sourcePort = 53 }
    #expect(scene.judge(sent(answer, at: 0)) == "outgoing")
    for seconds: Int64 in [0, 5, 600] {
      #expect(scene.judge(udp(to: 45_678, at: seconds) { $0.sourcePort = 53 }) == "ownFlow", "after \(seconds) s")
    }
    #expect(scene.judge(udp(to: 45_678, at: 601) { $0.sourcePort = 53 }) == "candidate")
    // From another host, or to another port, it is none of ours.
    #expect(scene.judge(udp(to: 45_679, at: 1)) == "candidate")
    #expect(scene.judge(udp(to: 45_678, at: 1) { $0.source = IPAddress("203.0.113.8")! }) == "candidate")
    // TFTP answers from another port (RFC 1350 section 4).
    #expect(scene.judge(udp(to: 45_678, at: 1) { $0.sourcePort = 31_000 }) == "ownFlow")
  }

  @Test func aPeerOfOursMayNotScanUsBySYN() {
    var scene = Scene()
    _ = scene.judge(sent(tcp(.syn, to: 1025), at: 0))
    #expect(scene.judge(tcp(.ack, to: 1025, at: 1)) == "ownFlow")
    #expect(scene.judge(tcp([.fin, .ack], to: 1025, at: 1)) == "ownFlow")
    #expect(scene.judge(tcp(.syn, to: 1025, at: 1)) == "candidate")
    #expect(scene.judge(tcp(.fin, to: 1025, at: 1)) == "candidate")
    #expect(scene.judge(tcp(.ack, to: 1026, at: 1)) == "candidate")
  }

  @Test func aForgedOutgoingPacketTeachesNothing() {
    // Forwarded or bridged: not from an address of ours.
    var scene = Scene()
    var packet = sent(udp(to: 45_678), at: 0)
    packet.source = IPAddress("192.0.2.99")!
    _ = scene.judge(packet)
    #expect(scene.judge(udp(to: 45_678)) == "candidate")
  }

  @Test func aPortServedTenMinutesAgo() {
    var scene = Scene()
    scene.detector.noteServices(PortSet([80] as [UInt16]), at: epoch)
    #expect(scene.judge(tcp(.ack, to: 80, at: 600)) == "straggler")
    #expect(scene.judge(tcp([.fin, .ack], to: 80, at: 600)) == "straggler")
    #expect(scene.judge(tcp(.ack, to: 80, at: 601)) == "candidate")
    #expect(scene.judge(tcp(.syn, to: 80, at: 1)) == "candidate")
    // A packet that met the service has the same effect.
    #expect(scene.judge(tcp(.syn, to: 22, at: 700)) == "served")
    scene.detector.exposure.removeServices()
    #expect(scene.judge(tcp(.ack, to: 22, at: 1300)) == "straggler")
    #expect(scene.judge(tcp(.ack, to: 22, at: 1301)) == "candidate")
  }

  @Test func whatTheKernelFoundIsRemembered() {
    var scene = Scene()
    let packet = udp(to: 7_000)
    #expect(scene.judge(packet) == "candidate")
    scene.detector.learnService(packet)
    #expect(scene.judge(udp(to: 7_000, at: 600)) == "ownFlow")
    #expect(scene.detector.dismissals(.served) == 1)
    let opening = tcp(.syn, to: 7_001)
    scene.detector.learnService(opening)
    #expect(scene.judge(tcp(.ack, to: 7_001, at: 600)) == "straggler")
    scene.detector.learnFlow(.tcp, localPort: 7_002, peer: stranger, at: epoch)
    #expect(scene.judge(tcp(.ack, to: 7_002, at: 1)) == "ownFlow")
  }

  @Test func aClockSetBackAccusesAtWorst() {
    var scene = Scene()
    _ = scene.judge(sent(udp(to: 45_678), at: 1000))
    #expect(scene.judge(udp(to: 45_678, at: 500)) == "candidate")
    #expect(scene.judge(udp(to: 45_678, at: 1001)) == "ownFlow")
  }

  @Test(
    "The probe at which the response begins",
    arguments: [(0, 1), (1, 1), (2, 2), (3, 3), (50, 50)])
  func trigger(setting: Int, first: Int) {
    var scene = Scene { $0.scanTrigger = setting }
    // Packets count, not ports: all go to one.
    let triggered = (1...60).map { _ in scene.probe(tcp(.syn)).isTriggered }
    #expect(triggered.firstIndex(of: true) == first - 1)
    #expect(triggered[(first - 1)...].allSatisfy { $0 })
    // Each source on its own, each IPv6 address, too; no time window.
    #expect(scene.probe(tcp(.syn) { $0.source = IPAddress("203.0.113.8")! }).isTriggered == (first == 1))
    let other = { (seconds: Int64) in tcp(.syn, at: seconds) { $0.source = IPAddress("2001:db8::99")! } }
    let slow = (0..<Int64(first)).map { scene.probe(other($0 * 30 * 86_400)).isTriggered }
    #expect(slow.last == true && slow.dropLast().allSatisfy { !$0 })
  }

  @Test func protocolsCountTogetherOrApart() {
    var together = Scene { $0.scanTrigger = 2 }
    #expect(!together.probe(tcp(.syn)).isTriggered)
    #expect(together.probe(udp()).isTriggered)
    var apart = Scene {
      $0.scanTrigger = 2
      $0.countsModesApart = true
    }
    #expect(!apart.probe(tcp(.syn)).isTriggered)
    #expect(!apart.probe(udp()).isTriggered)
    #expect(apart.probe(tcp(.syn)).isTriggered)
    #expect(apart.probe(udp()).isTriggered)
  }

  @Test func aProbeSaysWhatThePacketDid() {
    var scene = Scene { $0.udp?.mode = .stealth }
    let packet = tcp([.fin, .psh, .urg], to: 7) { $0.hasIPOptions = true }
    let probe = scene.probe(packet)
    #expect(probe.technique == .xmas && probe.mode == .advanced && probe.transport == .tcp && probe.hasIPOptions)
    #expect(probe.source == stranger && probe.sourcePort == 40_000 && probe.target == host && probe.targetPort == 7)
    #expect(probe.time == packet.time && probe.flags == packet.flags && !probe.isOwnAddress && !probe.isIgnored)
    let second = scene.probe(udp())
    #expect(second.technique == .udp && second.mode == .stealth)
    #expect(scene.probe(tcp(.syn) { $0.source = host }).isOwnAddress)
    #expect(scene.probe(tcp(.syn) { $0.source = host6 }).isOwnAddress)
  }

  @Test func newSettingsKeepWhatIsKnown() {
    var scene = Scene { $0.scanTrigger = 2 }
    _ = scene.probe(tcp(.syn))
    var settings = scene.detector.settings
    settings.scanTrigger = 3
    scene.detector.reconfigure(settings)
    #expect(!scene.probe(tcp(.syn)).isTriggered)
    #expect(scene.probe(tcp(.syn)).isTriggered)
  }
}
