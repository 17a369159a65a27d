import Testing
import Wire

@testable import CrowdSec

private let second: Int64 = 1_000_000_000

private func answer(_ status: Int, _ body: String = "") -> APIAnswer {
  APIAnswer(status: status, body: Array(body.utf8))
}

extension APICall {
  fileprivate var text: String { String(decoding: input, as: UTF8.self) }
  /// `POST /v1/alerts`.
  fileprivate var what: String {
    let lines = text.split(separator: "\n")
    func value(_ name: String) -> String {
      lines.first { $0.hasPrefix(name + " = ") }.map { String($0.dropFirst(name.count + 4).dropLast()) } ?? ""
    }
    return value("request") + " " + value("url").replacing("http://h:1", with: "")
  }
}

@Suite struct LaneTests {
  private let login = MachineLogin(Array("url: http://x\nlogin: web1\npassword: 'top secret'\n".utf8))!
  private let now = Timestamp(seconds: 1_700_000_000)

  private func lane() -> AlertLane { AlertLane(login, url: "http://h:1") }

  private func ban(_ address: String) -> AlertLane.Entry {
    .alert(
      CrowdSecAlert.ban(
        IPNetwork(address)!, until: now + .seconds(3600), reason: "a scan", host: "web1", [], now: now))
  }

  @Test func `It logs in, tells, and takes back what is its own`() throws {
    var lane = lane()
    #expect(lane.next(at: 0)?.what == "POST /v1/watchers/login")
    #expect(lane.next(at: 0) == nil && lane.due == nil)
    try lane.answered(answer(200, #"{"code":200,"expire":"x","token":"abc.def"}"#), at: 0)
    // Nothing waits: that it lives.
    #expect(lane.next(at: 0)?.what == "GET /v1/heartbeat")
    try lane.answered(answer(200), at: 0)
    #expect(lane.next(at: 1) == nil && lane.due == 60 * second)
    lane.add(ban("45.1.2.3"))
    lane.add(ban("45.1.2.4"))
    lane.add(.release(IPNetwork("45.1.2.3")!))
    let asked = lane.next(at: second)
    let call = try #require(asked)
    #expect(call.what == "POST /v1/alerts")
    #expect(call.text.contains("Authorization: Bearer abc.def"))
    #expect(call.text.contains(#"\"value\":\"45.1.2.3\""#) && call.text.contains(#"\"duration\":\"3600s\""#))
    try lane.answered(answer(201, #"["1","2"]"#), at: second)
    #expect(lane.told == 2)
    #expect(lane.next(at: second)?.what == "GET /v1/alerts?ip=45.1.2.3&has_active_decision=true&limit=100")
    let decision = #"{"id":ID,"type":"ban","value":"45.1.2.3","duration":"1h","scenario":"s","origin":"portsentry"}"#
    func alert(_ machine: String, _ scenario: String, _ id: String) -> String {
      #"{"machine_id":"\#(machine)","scenario":"\#(scenario)","decisions":[\#(decision.replacing("ID", with: id))]}"#
    }
    let others = [
      alert("web1", "portsentry/ban", "7"), alert("db", "portsentry/ban", "8"), alert("web1", "a/b", "9"),
      alert("web1", "portsentry/ban", "10"), #"{"machine_id":"web1","scenario":"portsentry/ban","decisions":null}"#,
    ]
    try lane.answered(answer(200, "[\(others.joined(separator: ","))]"), at: second)
    #expect(lane.next(at: second)?.what == "DELETE /v1/decisions/7")
    try lane.answered(answer(200, #"{"nbDeleted":"1"}"#), at: second)
    #expect(lane.next(at: second)?.what == "DELETE /v1/decisions/10")
    try lane.answered(answer(404), at: second)
    #expect(lane.next(at: second) == nil && lane.waitingCount == 0)
  }

  @Test func `No secret is outside of what curl reads from its input`() throws {
    var lane = lane()
    let asked = lane.next(at: 0)
    let call = try #require(asked)
    #expect(call.arguments == ["--disable", "--config", "-"])
    #expect(call.text.contains("top secret"))
    #expect(call.harmless("\ncurl: (22) top secret is wrong\nmore") == "curl: (22) ... is wrong")
    var decisions = DecisionLane(key: "k3y", url: "http://h:1", jitter: 0)
    let next = decisions.next(at: 0)
    let question = try #require(next)
    #expect(question.text.contains("X-Api-Key: k3y") && question.harmless("k3y k3y") == "... ...")
  }

  @Test func `What a stranger wrote ends neither line nor quotes`() throws {
    var lane = lane()
    _ = lane.next(at: 0)
    try lane.answered(answer(200, #"{"token":"t"}"#), at: 0)
    lane.add(
      .alert(
        CrowdSecAlert.ban(
          IPNetwork("45.1.2.3")!, until: nil, reason: "\"\n output = \"/etc/passwd\" \\", host: "h\"\n", [], now: now)))
    let asked = lane.next(at: 0)
    let lines = try #require(asked).text.split(separator: "\n")
    #expect(!lines.contains { $0.hasPrefix(" output") || $0.hasPrefix("output") })
    #expect(lines.filter { $0.hasPrefix("data-raw") }.count == 1 && lines.count == 13)
  }

  @Test func `A token that is over is asked for anew, and nothing is lost`() throws {
    var lane = lane()
    _ = lane.next(at: 0)
    try lane.answered(answer(200, #"{"token":"t"}"#), at: 0)
    _ = lane.next(at: 0)
    try lane.answered(answer(200), at: 0)
    lane.add(ban("45.1.2.3"))
    #expect(lane.next(at: 0)?.what == "POST /v1/alerts")
    try lane.answered(answer(401, #"{"message":"expired"}"#), at: 0)
    #expect(lane.waitingCount == 1 && lane.next(at: 0)?.what == "POST /v1/watchers/login")
    try lane.answered(answer(200, #"{"token":"t2"}"#), at: 0)
    #expect(lane.next(at: 0)?.text.contains("Bearer t2") == true)
    try lane.answered(answer(201), at: 0)
    #expect(lane.waitingCount == 0)
    // By its own clock an hour later.
    lane.add(ban("45.1.2.4"))
    #expect(lane.next(at: 3600 * second)?.what == "POST /v1/watchers/login")
  }

  @Test func `A token that is not taken even once is not asked for again and again`() throws {
    var lane = lane()
    lane.add(ban("45.1.2.3"))
    _ = lane.next(at: 0)
    try lane.answered(answer(200, #"{"token":"t"}"#), at: 0)
    #expect(lane.next(at: 0)?.what == "POST /v1/alerts")
    #expect(throws: APIFault.self) { try lane.answered(answer(401), at: 0) }
    #expect(lane.next(at: second) == nil && lane.due == 10 * second && lane.waitingCount == 1)
  }

  @Test func `A ban that is taken back stays at the head until that is done, however much comes`() throws {
    var lane = lane()
    lane.add(.release(IPNetwork("45.1.2.3")!))
    _ = lane.next(at: 0)
    try lane.answered(answer(200, #"{"token":"t"}"#), at: 0)
    _ = lane.next(at: 0)
    let decision = #"{"id":7,"type":"ban","value":"45.1.2.3","duration":"1h","scenario":"s","origin":"portsentry"}"#
    try lane.answered(
      answer(200, #"[{"machine_id":"web1","scenario":"portsentry/ban","decisions":[\#(decision)]}]"#), at: 0)
    _ = lane.next(at: 0)
    #expect(throws: APIFault.self) { try lane.answered(answer(503), at: 0) }
    for number in 0..<AlertLane.capacity { lane.add(.release(IPNetwork("46.1.\(number / 250).\(number % 250)")!)) }
    #expect(lane.lost == 1 && lane.next(at: 60 * second)?.what == "DELETE /v1/decisions/7")
    try lane.answered(answer(200), at: 60 * second)
    #expect(lane.waitingCount == AlertLane.capacity - 1)
    #expect(lane.next(at: 60 * second)?.what.hasPrefix("GET /v1/alerts?ip=46.1.") == true)
  }

  @Test func `Bans are followed at the rate of blocks, and none is lost`() {
    var queue = FollowQueue()
    let networks = (0..<250).map { IPNetwork(IPAddress(v4: 0x2d01_0000 + UInt32($0))) }
    for network in networks { queue.add(network) }
    queue.remove(networks[0])
    #expect(queue.due(limit: 100) == 0)
    var found = queue.take(limit: 100, most: 60, at: second)
    #expect(found.count == 60 && queue.due(limit: 100) == 0)
    found += queue.take(limit: 100, most: 60, at: 2 * second)
    #expect(found.count == 100 && queue.due(limit: 100) == 62 * second)
    #expect(queue.take(limit: 100, most: 60, at: 61 * second).isEmpty)
    found += queue.take(limit: 100, most: 1_000, at: 62 * second)
    #expect(found.count == 160)
    // Without a limit, as many as one turn takes.
    found += queue.take(limit: 0, most: 50, at: 62 * second)
    found += queue.take(limit: 0, most: 50, at: 62 * second)
    #expect(Set(found) == Set(networks.dropFirst()) && found.count == 249 && queue.due(limit: 100) == nil)
  }

  @Test
  func `A server that is away is asked less and less often; one that refuses an alert does not hold the others up`()
    throws
  {
    var lane = lane()
    lane.add(ban("45.1.2.3"))
    var (now, pauses) = (Int64(0), [Int64]())
    for _ in 0..<9 {
      #expect(lane.next(at: now) != nil)
      lane.failed(at: now)
      let due = try #require(lane.due)
      pauses.append((due - now) / second)
      now = due
    }
    #expect(pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60])
    #expect(lane.waitingCount == 1)
    _ = lane.next(at: now)
    #expect(throws: APIFault.self) { try lane.answered(answer(403, #"{"message":"no"}"#), at: now) }
    now += 60 * second
    _ = lane.next(at: now)
    try lane.answered(answer(200, #"{"token":"t"}"#), at: now)
    _ = lane.next(at: now)
    #expect(throws: APIFault.self) { try lane.answered(answer(500), at: now) }
    #expect(lane.waitingCount == 1)
    now += 60 * second
    _ = lane.next(at: now)
    #expect(throws: APIFault.self) { try lane.answered(answer(422, #"{"message":"validation"}"#), at: now) }
    #expect(lane.waitingCount == 0 && lane.lost == 1)
  }

  @Test func `A question fits into a pipe, and what waits has a bound`() throws {
    var lane = lane()
    for number in 0..<AlertLane.capacity + 50 { lane.add(ban("45.1.\(number / 250).\(number % 250)")) }
    #expect(lane.waitingCount == AlertLane.capacity && lane.lost == 50)
    _ = lane.next(at: 0)
    try lane.answered(answer(200, #"{"token":"t"}"#), at: 0)
    var questions = 0
    while lane.waitingCount > 0 {
      let asked = lane.next(at: 0)
      let call = try #require(asked)
      #expect(call.input.count < 65_536)
      try lane.answered(answer(201), at: 0)
      questions += 1
    }
    #expect(lane.told == 1_024 && questions <= 1_024 / 16)
  }

  @Test func `Decisions are asked for as a bouncer does, and all of them after each doubt`() throws {
    var lane = DecisionLane(key: "k", url: "http://h:1", jitter: 0)
    let all = "GET /v1/decisions/stream?startup=true&scopes=ip,range"
    let more = "GET /v1/decisions/stream?startup=false&scopes=ip,range"
    func read(_ body: String, _ at: Int64) throws -> [DecisionBook.Change] {
      try lane.answered(answer(200, body), at: at)
      return try lane.advance(most: 1_000, at: now, monotonic: at)
    }
    #expect(lane.next(at: 0)?.what == all)
    #expect(try read(Recorded.new146, 0).count == 2)
    #expect(lane.isWhole && lane.next(at: second) == nil && lane.due == DecisionLane.pause)
    #expect(lane.next(at: 10 * second)?.what == more)
    #expect(try read(Recorded.deleted146, 10 * second) == [.ends(IPNetwork("45.1.2.3")!)])
    // An answer that did not come may have been the one that told of it.
    #expect(lane.next(at: 20 * second)?.what == more)
    lane.failed(at: 20 * second)
    #expect(lane.next(at: 30 * second)?.what == all)
    #expect(try read(#"{"new":null,"deleted":null}"#, 30 * second) == [.ends(IPNetwork("46.9.9.0/24")!)])
    #expect(lane.next(at: 3700 * second)?.what == all)
    #expect(throws: APIFault.self) { try lane.answered(answer(403), at: 3700 * second) }
    #expect(lane.next(at: 3720 * second)?.what == all)
    #expect(throws: APIFault.self) { try read("<html>", 3720 * second) }
  }

  @Test func `A long list is gone through in parts`() throws {
    var lane = DecisionLane(key: "k", url: "http://h:1", jitter: 0)
    _ = lane.next(at: 0)
    let list = (0..<5_000).map {
      #"{"id":\#($0),"type":"ban","value":"45.\#($0 / 62_500).\#($0 / 250 % 250).\#($0 % 250)","duration":"1h","scenario":"s","origin":"o"}"#
    }
    try lane.answered(answer(200, "{\"new\":[\(list.joined(separator: ","))],\"deleted\":null}"), at: 0)
    var (parts, found) = (0, 0)
    while lane.isReading {
      parts += 1
      found += try lane.advance(most: 1_000, at: now, monotonic: 0).count
    }
    #expect(parts == 6 && found == 5_000 && lane.book.count == 5_000)
  }

  @Test(
    "Files of a login",
    arguments: [
      ("login: a\npassword: b\n", "a", "b", nil),
      ("url: http://h:8080/\r\nlogin: \"a\"\r\npassword: 'b c'\r\n", "a", "b c", "http://h:8080"),
      ("password: b:c\nlogin: a", "a", "b:c", nil), ("url: ftp://h\nlogin: a\npassword: b", "a", "b", nil),
      ("login: a", nil, nil, nil), ("", nil, nil, nil), ("login:\npassword: b", nil, nil, nil),
      ("login: a\npassword: b\u{1b}", nil, nil, nil),
    ] as [(String, String?, String?, String?)])
  func files(text: String, login: String?, password: String?, url: String?) {
    let found = MachineLogin(Array(text.utf8))
    #expect(found?.login == login && found?.password == password && found?.url == url)
  }

  @Test(
    "Addresses of a server",
    arguments: [
      ("http://127.0.0.1:8080", true, false), ("https://lapi.example:8080", true, false),
      ("http://lapi.example:8080", true, true), ("http://[::1]:8080", true, false),
      ("http://localhost:8080", true, false), ("http://localhost", true, false), ("http://127.0.0.1", true, false),
      ("http://localhost.example:8080", true, true), ("http://127.example/", true, true),
      ("ftp://h", false, false), ("http://", false, false), ("http://a b", false, false), ("http://u@h", false, true),
      ("http://h/?x", false, true), ("http://h\"", false, true), ("lapi:8080", false, false),
    ])
  func addresses(text: String, isURL: Bool, isUnencrypted: Bool) {
    #expect(CrowdSecSettings.isURL(text) == isURL)
    if isURL { #expect(CrowdSecSettings.isUnencrypted(text) == isUnencrypted) }
  }

  @Test func `Alerts have all that the specification asks for`() {
    let ban = CrowdSecAlert.ban(
      IPNetwork("2001:db8::/64")!, until: nil, reason: "r", host: "h", [("tool", "nmap\u{1b}")], now: now)
    for member in [
      "scenario", "scenario_hash", "scenario_version", "message", "events_count", "start_at", "stop_at", "capacity",
      "leakspeed", "simulated", "events", "source", "decisions",
    ] { #expect(ban.contains("\"\(member)\":"), "\(member)") }
    #expect(ban.contains(#""scope":"Range","value":"2001:db8::/64","range":"2001:db8::/64""#))
    #expect(ban.contains(#""duration":"315360000s""#) && !ban.contains("\u{1b}"))
    let scan = CrowdSecAlert.scan(
      IPNetwork("45.1.2.3")!, from: now, to: now, isProven: false, words: "w", host: "h", [])
    // Nothing follows from it by itself: anybody may have written the address.
    #expect(scan.contains(#""remediation":false"#) && !scan.contains("decisions"))
    #expect(scan.contains("portsentry/scan-unverified"))
  }
}
