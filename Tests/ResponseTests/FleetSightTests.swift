import Testing
import Wire

@testable import Response

/// What `why` and the pages say of the fleet, in every way an address can stand.
@Suite struct FleetSightTests {
  private func stage(blocking: Bool = true) -> Stage {
    var settings = Decisions.Settings()
    settings.tcpMode = .stealth
    settings.watched = PortSet(ranges: [1...1024])
    let policy = Stage.policySettings {
      ($0.rule, $0.methods) = (.native, [.nftables])
      if !blocking { ($0.tcp, $0.udp) = (.logOnly, .logOnly) }
    }
    return Stage(settings, ResponsePolicy(policy))
  }

  @Test(
    "How it stands, and who saw it",
    arguments: [
      (["A probes 23"], nil, 0),
      (["A is banned by the fleet"], .banned, 3),
      (["A is banned by order"], .ordered, 0),
      (["A is watched by the fleet at 2200"], .watched, 2),
      // Two hosts and one decoy here: this host's own ban, and the fleet's word is part of it.
      (["A is watched by the fleet at 2395", "A meets decoy 23"], .banned, 2),
      (["A is served", "A is banned by the fleet"], .spared, 3),
      (["A is ignored", "A is banned by the fleet"], .spared, 3),
      // Blocked for what it did here; what others saw is known as well.
      (["A is ordered", "A is banned by the fleet"], .spared, 3),
      (["A is ordered", "A is banned by the fleet for 30"], .spared, 3),
      (["A is banned by the fleet", "A is lifted by the fleet"], nil, 0),
      (["A is ignored", "A is banned by the fleet", "A is lifted by the fleet"], nil, 0),
      (["A is ignored", "A is banned by the fleet", "A is unbanned by order"], nil, 0),
      (["A is ignored", "A is banned by the fleet for 60", "61 s pass"], nil, 0),
      (["A is watched by the fleet at 2200", "86401 s pass"], nil, 0),
      (["A is watched by crowdsec"], .watched, 1),
      (["A is watched by crowdsec", "A is watched by the fleet at 2200"], .watched, 3),
      (["203.0.65.0/24 is watched by crowdsec", "A meets decoy 23"], .banned, 1),
      (["A is banned by crowdsec"], .banned, 1),
      (["A is ordered", "A is banned by crowdsec"], .spared, 1),
    ] as [([String], FleetSight.Standing?, Int)])
  func standing(sentences: [String], standing: FleetSight.Standing?, hosts: Int) {
    var stage = stage()
    for sentence in sentences { stage.play(sentence[...]) }
    let sight = stage.decisions.fleetSight(of: Cast.address("A"), at: stage.now)
    #expect(sight?.standing == standing)
    #expect(sight?.witnesses.count ?? 0 == hosts)
    #expect(stage.decisions.fleetSight(of: Cast.address("B"), at: stage.now) == nil)
  }

  @Test func `Where nobody is blocked it is still known who saw it`() {
    var stage = stage(blocking: false)
    stage.play("A is banned by the fleet")
    #expect(stage.decisions.fleetSight(of: Cast.address("A"), at: stage.now)?.standing == .spared)
    #expect(stage.decisions.table.count == 0)
  }

  @Test func `What is only to be shown has a bound`() {
    var watch = FleetWatch()
    let now = Timestamp(seconds: 1_700_000_000)
    let cause = FleetCause(.quorum(3), [FleetCause.Witness(node: 1, name: "n1", at: now)])
    for number in 0..<UInt32(FleetWatch.mostWaiting + 100) {
      watch.note(
        IPNetwork(IPAddress(v4: 0x0b00_0000 + number)), FleetWatch.Waiting(until: now + .seconds(60), cause: cause))
    }
    #expect(watch.seen.count == FleetWatch.mostWaiting)
    _ = watch.due(at: now + .seconds(61), monotonic: 1 << 50)
    #expect(watch.seen.isEmpty)
  }

  @Test func `A record of the fleet's says it in full, and one of this host's as it is`() {
    let names = ["web1", "", "db"].enumerated().map {
      FleetCause.Witness(node: UInt32($0.offset + 1), name: $0.element, at: Timestamp(seconds: 1_700_000_000))
    }
    #expect(FleetCause.hosts(names) == "3 hosts of the fleet saw it (web1, node 2, db)")
    var record = Block.Record(
      network: IPNetwork("203.0.113.1")!, since: Timestamp(seconds: 1_700_000_000), until: nil, methods: [.nftables],
      port: 0, transport: .tcp, modeName: Block.Record.fleetMode, reason: "3 fleet hosts",
      evidence: Grounds(.fleet(FleetCause(.quorum(3), names)), nil).line)
    #expect(record.fullReason == "3 hosts of the fleet saw it (web1, node 2, db)")
    #expect(record.fleetCause?.witnesses.count == 3)
    (record.modeName, record.evidence, record.reason) = ("atcp", "native vertical nmap 5544 4595", "a scan")
    #expect(record.fullReason == "a scan" && record.fleetCause == nil)
  }
}
