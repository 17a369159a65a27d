import Testing
import Wire

@testable import CrowdSec

/// What the local API answered: 1.4.6 as it was recorded, 1.7 by its specification.
enum Recorded {
  static let new146 =
    #"{"deleted":null,"new":[{"duration":"59m59.83124845s","id":1,"origin":"cscli","scenario":"manual 'ban' from 'x'","scope":"Ip","type":"ban","value":"45.1.2.3"},{"duration":"3h59m58s","id":2,"origin":"crowdsec","scenario":"crowdsecurity/ssh-bf","scope":"Range","type":"ban","value":"46.9.9.0/24"}]}"#
  static let deleted146 =
    #"{"deleted":[{"duration":"-7.787459ms","id":1,"origin":"cscli","scenario":"x","scope":"Ip","type":"ban","value":"45.1.2.3"}],"new":null}"#
  /// With what 1.5 to 1.7 added.
  static let new17 =
    #"{"deleted":[],"new":[{"created_at":"2026-11-29T23:00:00Z","duration":"14399.5s","id":77,"origin":"CAPI","scenario":"crowdsecurity/community-blocklist","scope":"Ip","simulated":false,"type":"ban","until":"2026-11-30T03:00:00Z","uuid":"6fa3ed0e-7a5b-4c1f-8d0e-0a3c9b1d2e4f","value":"2001:db8:5::7"}],"links":{"blocklists":[]}}"#
}

private func items(_ body: String) throws -> [DecisionStream.Item] {
  var stream = DecisionStream(Array(body.utf8))
  var items: [DecisionStream.Item] = []
  for _ in 0..<10_000 where !stream.isOver { if let item = try stream.next() { items.append(item) } }
  #expect(stream.isOver)
  return items
}

private func decision(
  _ id: Int64, _ network: String, _ seconds: Int64 = 3600, origin: String = "crowdsec"
) -> CrowdSecDecision {
  CrowdSecDecision(
    id: id, network: IPNetwork(network)!, duration: .seconds(seconds), scenario: "a/b", origin: origin)
}

@Suite struct DecisionTests {
  private let now = Timestamp(seconds: 1_700_000_000)

  @Test func `Answers of both versions are read`() throws {
    let old = try items(Recorded.new146)
    #expect(old.count == 2)
    guard case .new(let first) = old[0], case .new(let second) = old[1] else {
      Issue.record("\(old)")
      return
    }
    #expect(first.id == 1 && first.network == IPNetwork("45.1.2.3") && first.scenario == "manual--ban--from--x-")
    #expect(abs((first.duration - .seconds(3600)).components.seconds) <= 1)
    #expect(second.network == IPNetwork("46.9.9.0/24") && second.duration == .seconds(14_398))
    guard case .deleted(let gone)? = try items(Recorded.deleted146).first else {
      Issue.record("none")
      return
    }
    #expect(gone.id == 1 && gone.duration < .zero)
    guard case .new(let new)? = try items(Recorded.new17).first else {
      Issue.record("none")
      return
    }
    #expect(new.id == 77 && new.network == IPNetwork("2001:db8:5::7") && new.origin == "CAPI")
    for nothing in [#"{"new":null,"deleted":null}"#, "{}", #"{"new":[],"deleted":[]}"#, #"{"new":5}"#] {
      #expect(try items(nothing).isEmpty)
    }
    for wrong in ["", "[]", "{", #"{"new":[}"#, #"{"new":[{"id":1}"#, "<html>"] {
      #expect(throws: JSONReader.Fault.self) { try items(wrong) }
    }
  }

  @Test(
    "What is of no use",
    arguments: [
      ("type", #""captcha""#), ("value", #""alice""#), ("value", #""0.0.0.0/0""#), ("value", #""10.0.0.0/15""#),
      ("value", #""2001:db8::/31""#), ("duration", #""soon""#), ("duration", #""""#), ("simulated", "true"),
      ("id", "null"), ("id", "1.5"),
    ])
  func useless(name: String, value: String) throws {
    var members = [
      "id": "1", "type": #""ban""#, "value": #""45.1.2.3""#, "duration": #""1h""#, "scenario": #""s""#,
      "origin": #""o""#, "simulated": "false",
    ]
    func body() -> String {
      "{\"new\":[{\(members.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ","))}]}"
    }
    #expect(try items(body()).count == 1)
    members[name] = value
    #expect(try items(body()).isEmpty)
  }

  @Test(
    "Lengths of time as Go writes them",
    arguments: [
      ("1h", 3600.0), ("59m59.5s", 3599.5), ("1h0m0s", 3600), ("-7.5ms", -0.0075), ("0s", 0), ("100us", 0.0001),
      ("100µs", 0.0001), ("9999999h", 315_360_000),
      (String(repeating: "9", count: 300) + "h", 315_360_000),
      ("-" + String(repeating: "9", count: 300) + "h", -315_360_000),
      ("h", nil), ("5", nil), ("", nil), ("-", nil), ("1x", nil),
      ("1h x", nil), ("1..5s", nil),
    ] as [(String, Double?)])
  func durations(text: String, seconds: Double?) {
    let found = CrowdSecDecision.duration(text).map { Double($0.wholeNanoseconds) / 1e9 }
    #expect(found.map { ($0 * 1e6).rounded() } == seconds.map { ($0 * 1e6).rounded() })
  }

  @Test func `Several decisions about one address are one until the last ends`() {
    var book = DecisionBook()
    let network = IPNetwork("45.1.2.3")!
    #expect(
      book.take(.new(decision(1, "45.1.2.3")), at: now)
        == .begins(network, until: now + .seconds(3600), scenario: "a/b"))
    // Said again, it is no news; one that lasts less is none, either.
    #expect(book.take(.new(decision(1, "45.1.2.3", 3599)), at: now + .seconds(1)) == nil)
    #expect(book.take(.new(decision(2, "45.1.2.3", 60)), at: now) == nil)
    #expect(
      book.take(.new(decision(3, "45.1.2.3", 7200)), at: now)
        == .begins(network, until: now + .seconds(7200), scenario: "a/b"))
    // Deletions are repeated.
    for _ in 0..<3 { #expect(book.take(.deleted(decision(2, "45.1.2.3", -1)), at: now) == nil) }
    #expect(
      book.take(.deleted(decision(3, "45.1.2.3", -1)), at: now)
        == .begins(network, until: now + .seconds(3600), scenario: "a/b"))
    #expect(book.take(.deleted(decision(1, "45.1.2.3", -1)), at: now) == .ends(network))
    #expect(book.take(.deleted(decision(1, "45.1.2.3", -1)), at: now) == nil)
    #expect(book.count == 0 && book.networks.isEmpty)
  }

  @Test func `What we told is no news, and an id means one thing`() {
    var book = DecisionBook()
    #expect(book.take(.new(decision(1, "45.1.2.3", origin: "portsentry")), at: now) == nil)
    #expect(book.count == 0)
    #expect(book.take(.new(decision(2, "45.1.2.4")), at: now) != nil)
    #expect(book.take(.new(decision(2, "45.1.2.5")), at: now) == nil)
    #expect(Array(book.networks) == [IPNetwork("45.1.2.4")!])
  }

  @Test func `What is not in a list of all is gone`() {
    var book = DecisionBook()
    for id in 1...3 { _ = book.take(.new(decision(Int64(id), "45.1.2.\(id)")), at: now) }
    book.beginRound()
    _ = book.take(.new(decision(2, "45.1.2.2")), at: now)
    _ = book.take(.new(decision(4, "45.1.2.4")), at: now)
    #expect(book.endRound(at: now) == [.ends(IPNetwork("45.1.2.1")!), .ends(IPNetwork("45.1.2.3")!)])
    #expect(book.count == 2)
    book.trim(at: now + .seconds(4000))
    #expect(book.count == 0)
  }

  @Test func `The book has a bound`() {
    var book = DecisionBook()
    for id in 0..<DecisionBook.capacity + 10 {
      let address = IPAddress(v4: 0x0b00_0000 + UInt32(id))
      _ = book.take(
        .new(
          CrowdSecDecision(
            id: Int64(id), network: IPNetwork(address), duration: .seconds(60), scenario: "s", origin: "o")), at: now)
    }
    #expect(book.count == DecisionBook.capacity && book.refused == 10)
  }
}
