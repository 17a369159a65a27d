import Detection
import Response
import Testing
import Wire

private let now = Timestamp(seconds: 1_700_000_000)

private func probe(from source: String = "203.0.113.7", _ transport: TransportProtocol = .tcp) -> Probe {
  Probe(
    time: now, source: IPAddress(source)!, sourcePort: 40_000, target: IPAddress("192.0.2.10")!, targetPort: 23,
    transport: transport, mode: .advanced, technique: transport == .tcp ? .syn : .udp)
}

/// So many blocks by order.
private func blocks(_ count: Int) -> BlockBudget {
  var budget = BlockBudget()
  for _ in 0..<count { budget.insert(.order) }
  return budget
}

private func end(_ limit: Int) -> BlockBudget.Exhausted { BlockBudget.Exhausted(limit: limit, share: nil) }

@Suite struct ResponsePolicyTests {
  private func policy(_ change: (inout ResponsePolicy.Settings) -> Void = { _ in }) -> ResponsePolicy {
    var settings = ResponsePolicy.Settings()
    settings.tcp = .block
    settings.udp = .block
    change(&settings)
    return ResponsePolicy(
      settings, safe: SafeNetworks([(IPNetwork("192.0.2.1")!, "the default gateway")]),
      ignored: IPNetworkSet([IPNetwork("198.51.100.0/24")!, IPNetwork("2001:db8:1::/48")!]))
  }

  private func decide(
    _ policy: inout ResponsePolicy, _ probe: Probe = probe(), inForce: Int = 0, at time: Timestamp = now
  ) -> Result<Block, ResponsePolicy.Refusal> {
    do throws(ResponsePolicy.Refusal) {
      return .success(
        try policy.decide(
          probe, Grounds(.touch(.syn, .tcp, port: 23, trigger: 1), nil), modeName: "atcp", repeats: 0,
          inForce: blocks(inForce), now: time))
    } catch {
      return .failure(error)
    }
  }

  @Test func aBlockSaysWhatItIs() throws {
    var policy = policy {
      $0.methods = [.nftables, .hostsDeny]
      $0.duration = .seconds(600)
    }
    let block = try decide(&policy).get()
    #expect(block.network == IPNetwork("203.0.113.7")! && block.methods == [.nftables, .hostsDeny])
    #expect(block.record.since == now && block.until == now + .seconds(600))
    #expect(block.record.port == 23 && block.record.modeName == "atcp" && block.record.reason == "syn to TCP port 23")
    #expect(block.record.evidence == "classic syn TCP 23 1" && block.record.grounds?.origin == nil)
    #expect(block.limited(until: now + .seconds(5)).until == now + .seconds(5))
    #expect(block.limited(until: now + .seconds(5000)).until == block.until)
    #expect(block.remaining(at: now + .seconds(599)) == .seconds(1))
    #expect(block.remaining(at: now + .seconds(700)) == .milliseconds(1))
    #expect(block.limited(to: [.nftables]).methods == [.nftables])
    policy.settings.duration = nil
    let endless = try decide(&policy).get()
    #expect(endless.until == nil && endless.remaining(at: now) == nil)
  }

  @Test func onlyTheCommandMeansNoMethod() throws {
    var policy = policy { $0.udp = .runCommand }
    #expect(try decide(&policy, probe(.udp)).get().methods == [])
    #expect(try decide(&policy).get().methods == [.nftables])
  }

  @Test(
    "Refused",
    arguments: [
      ("192.0.2.1", "it is the default gateway"), ("127.0.0.1", "it is loopback"), ("::1", "it is loopback"),
      ("0.0.0.0", "it is the unspecified address"), ("224.0.0.1", "it is a multicast address"),
      ("ff02::1", "it is a multicast address"), ("255.255.255.255", "it is the broadcast address"),
      ("198.51.100.77", "the ignore file or `portsentry allow` names it"),
      ("2001:db8:1::5", "the ignore file or `portsentry allow` names it"),
    ])
  func refused(source: String, why: String) {
    var policy = policy { $0.perMinute = 1 }
    guard case .failure(let refusal) = decide(&policy, probe(from: source)) else {
      Issue.record("\(source) was blocked")
      return
    }
    #expect(refusal.description == why)
    // What was refused does not use up the rate.
    #expect(throws: Never.self) { try decide(&policy).get() }
  }

  @Test func theTableHasAnEnd() {
    var policy = policy { $0.maximum = 10 }
    #expect(throws: Never.self) { try decide(&policy, inForce: 9).get() }
    #expect(decide(&policy, inForce: 10) == .failure(.tableFull(end(10))))
    #expect(decide(&policy, inForce: 11) == .failure(.tableFull(end(10))))
  }

  @Test func aWindowOfOneMinute() {
    var policy = policy { $0.perMinute = 3 }
    func made(_ seconds: Int) -> Bool {
      if case .success = decide(&policy, at: now + .seconds(seconds)) { true } else { false }
    }
    #expect([0, 10, 20, 30, 60].map(made) == [true, true, true, false, false])
    #expect([61, 62].map(made) == [true, false], "the first is out of the window")
    #expect(decide(&policy, at: now + .seconds(63)) == .failure(.tooFast(end(3))))
    #expect([71, 81, 82, 121, 122].map(made) == [true, true, false, false, true])
  }

  @Test func theWindowStaysSmallAndRight() {
    var policy = policy { $0.perMinute = 100 }
    var made = 0
    for second in 0..<6_000 {
      let source = probe(from: "10.\(second % 200).0.1")
      if case .success = decide(&policy, source, at: now + .seconds(second)) { made += 1 }
    }
    #expect(made == 6_000, "one a second is 61 within a minute")
    policy.settings.perMinute = 0
    for _ in 0..<5_000 { #expect(throws: Never.self) { try decide(&policy, at: now).get() } }
  }

  @Test func aClockSetBackStopsNobody() {
    var policy = policy { $0.perMinute = 2 }
    _ = decide(&policy, at: now + .seconds(86_400))
    _ = decide(&policy, at: now + .seconds(86_400))
    // The clock was wrong by a day: those two are no reason to refuse blocks until tomorrow.
    #expect(throws: Never.self) { try decide(&policy, at: now).get() }
  }

  @Test func anOrder() throws {
    var policy = policy {
      $0.methods = [.hostsDeny, .command]
      $0.perMinute = 1
    }
    _ = decide(&policy)
    let host = try policy.order(
      IPNetwork("203.0.113.9")!, duration: nil, reason: "by hand", inForce: BlockBudget(), now: now)
    #expect(host.methods == [.hostsDeny, .command] && host.until == nil && host.record.modeName == "operator")
    let network = try policy.order(
      IPNetwork("203.0.113.0/24")!, duration: .seconds(5), reason: "", inForce: BlockBudget(), now: now)
    #expect(network.methods == [.nftables] && network.until == now + .seconds(5))
    policy.settings.methods = [.route, .command]
    #expect(
      try policy.order(IPNetwork("203.0.113.0/24")!, duration: nil, reason: "", inForce: BlockBudget(), now: now)
        .methods == [
          .route
        ])
    // A network that only overlaps what is safe or ignored is as bad.
    for text in ["192.0.2.0/24", "0.0.0.0/0", "::/0", "198.51.0.0/16", "198.51.100.4", "127.0.0.0/9", "2001:db8::/32"] {
      #expect(throws: ResponsePolicy.Refusal.self, "\(text)") {
        try policy.order(IPNetwork(text)!, duration: nil, reason: "", inForce: BlockBudget(), now: now)
      }
    }
    #expect(throws: ResponsePolicy.Refusal.tableFull(end(131_072))) {
      try policy.order(IPNetwork("203.0.113.9")!, duration: nil, reason: "", inForce: blocks(131_072), now: now)
    }
  }

  @Test func whatWasInForceBefore() throws {
    let policy = policy()
    var record = Block.Record(
      network: IPNetwork("203.0.113.7")!, since: now, until: now + .seconds(10), methods: [.route], port: 5,
      transport: .udp, modeName: "sudp", reason: "UDP scan")
    #expect(try #require(policy.restore(record, now: now + .seconds(9))).record == record)
    #expect(policy.restore(record, now: now + .seconds(10)) == nil)
    record.until = nil
    #expect(policy.restore(record, now: now + .seconds(1_000_000)) != nil)
    record.network = IPNetwork("192.0.2.1")!
    #expect(policy.restore(record, now: now) == nil, "it has become the gateway")
    record.network = IPNetwork("198.51.100.5")!
    #expect(policy.restore(record, now: now) == nil, "it is ignored now")
  }
}
