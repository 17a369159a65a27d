import Configuration
import Detection
import Foundation
import Journal
import Platform
import Report
import Response
import Synchronization
import Testing
import TestSupport
import Wire

@testable import Daemon
@testable import Page

/// What owners of reverse zones might put into a name.
private let hostile = [
  "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onmouseover='x", "a/b", "line\nbreak\r\n\r\nx",
  "\u{1b}[2J", "\u{202e}gnp.exe", "data: x\n\nevent: news",
]

/// A running sentry, as far as the page asks it.
private final class FakeSentry: Sendable {
  private let isOver = Mutex(false)
  private let orders = Mutex([ControlMessage]())
  /// What it says of itself; nil: something hostile.
  let status = Mutex<String?>(nil)

  /// What it was told to do.
  var obeyed: [ControlMessage] { orders.withLock(\.self) }

  /// Answers until `stop`.
  func start(_ path: String) throws {
    _ = try Platform.Thread.start(name: "sentry") { [self] in
      guard let server = try? ControlServer(path: path) else { return }
      while !isOver.withLock(\.self) {
        if !Poll.readable([server.descriptor], milliseconds: 20).isEmpty { server.serve { answer($0) } }
      }
    }
    for _ in 0..<500 where !ControlClient.isAnswering(path) { Clock.sleep(.milliseconds(10)) }
  }

  func stop() { isOver.withLock { $0 = true } }

  private func answer(_ message: ControlMessage) -> ControlReply {
    let evil = JSON.string(hostile.joined(separator: " ")).text
    switch message {
    case .pulse:
      return ControlReply(
        """
        {"version": "3", "started": 1793577600, "seen": 9, "alerts": 0, "ignored": 0, "blocks": 1, "blocks_made": 1, \
        "lost": 0, "journal_lost": 0, "journal_failing": false, "interfaces": ["eth0"], "tcp_mode": "atcp", \
        "udp_mode": null, "response": \(evil)}
        """)
    case .status: return ControlReply(status.withLock(\.self) ?? "{\"tcp_mode\": \"atcp\", \"response\": \(evil)}")
    case .blocked:
      return ControlReply(
        """
        [{"network": "10.0.0.1", "since": 1793577600, "until": null, "methods": ["nftables"], "port": 23, \
        "protocol": "TCP", "mode": \(evil), "reason": \(evil)}]
        """)
    default:
      orders.withLock { $0.append(message) }
      return ControlReply("done <b>so</b>\n")
    }
  }
}

@Suite struct SiteTests {
  static let token = "0123456789abcdef0123456789abcdef"
  private static let secrets = PageSecrets(token: token, name: "s0123456789abcdef")
  private static let origin = "http://s0123456789abcdef.localhost:8080"

  /// A site over a journal that has something of everything.
  private func inSite(_ body: (Site, FakeSentry) throws -> Void) throws {
    try inFolder { folder in
      let writer = try JournalWriter(JournalWriter.Settings(path: folder + "/journal.db"))
      let now = Clock.now
      var batch = Batch()
      for (index, name) in hostile.enumerated() {
        let address = IPAddress("10.0.0.\(index + 1)")!
        for port: UInt16 in [23, 80] {
          batch.add(
            .probe(
              Probe(
                time: now, source: address, sourcePort: 4_000, target: IPAddress("192.0.2.1")!, targetPort: port,
                transport: .tcp, mode: .advanced, technique: .syn)))
        }
        batch.add(.named(address, name))
        batch.add(.refused(address, because: name, at: now))
        let record = Block.Record(
          network: IPNetwork(address), since: now, until: nil, methods: [.nftables], port: 23, transport: .tcp,
          modeName: name, reason: name)
        batch.add(.blocked(record, repeats: 0))
        if index > 0 { batch.add(.released(IPNetwork(address), because: name, at: now)) }
      }
      try writer.write(batch, now: now)
      let sentry = FakeSentry()
      try sentry.start(folder + "/control")
      defer { sentry.stop() }
      let settings = PageSettings(
        listen: .tcp(IPAddress("127.0.0.1")!, port: 8080), journalPath: folder + "/journal.db",
        controlSocket: folder + "/control", tokenPath: folder + "/token", zone: .utc, host: "<i>host</i>"
      ) { _ in Plan.embedded(.advanced) }
      try body(Site(settings, Self.secrets), sentry)
    }
  }

  private func answer(_ site: Site, _ request: HTTPRequest) -> HTTPResponse {
    switch site.answer(request) {
    case .once(let response): response
    case .follow(let first): HTTPResponse(200, .events, first)
    }
  }

  private func get(_ path: String, _ fields: [String: String] = [:], cookie: String? = nil) -> HTTPRequest {
    var headers = ["host": "\(Self.secrets.host):8080"]
    headers["cookie"] = cookie
    return HTTPRequest(path: path, fields: fields, headers: headers)
  }

  private func post(
    _ path: String, _ fields: [String: String], cookie: String, origin: String? = SiteTests.origin
  ) -> HTTPRequest {
    var headers = ["host": "\(Self.secrets.host):8080", "cookie": cookie]
    headers["origin"] = origin
    return HTTPRequest(method: .post, path: path, fields: fields, headers: headers)
  }

  /// Logs in.
  private func logIn(_ site: Site) throws -> (cookie: String, key: String) {
    let response = answer(site, get("/", ["login": site.issueTicket()]))
    #expect(response.status == 303)
    let header = try #require(response.headers.first { $0.name == "Set-Cookie" }?.value)
    #expect(header.contains("HttpOnly; SameSite=Strict; Path=/"))
    #expect(response.headers.contains { $0.name == "Location" && $0.value == "/" })
    let cookie = String(header.prefix { $0 != ";" })
    let page = answer(site, get("/blocks", cookie: cookie)).body
    let mark = "name=\"key\" value=\""
    let start = try #require(page.firstRange(of: mark)).upperBound
    return (cookie, String(page[start...].prefix { $0 != "\"" }))
  }

  static let pages = [
    ("/", [:]), ("/blocks", [:]), ("/report", ["since": "24h"]), ("/configuration", [:]), ("/events", [:]),
    ("/source", ["address": "10.0.0.1"]), ("/source", ["address": "10.0.0.2"]), ("/source", ["address": "10.9.9.9"]),
    ("/source", ["address": "<script>"]), ("/<script>", [:]), ("/", ["span": "7d"]), ("/", ["span": "<script>"]),
    ("/port", ["port": "23/tcp"]), ("/port", ["port": "<script>"]), ("/hour", ["at": "<script>"]),
    ("/hour", ["at": "\(Clock.now.seconds / 3600)", "hours": "2"]), ("/blocks", ["q": "<script>", "page": "9"]),
    ("/hour", ["at": "\(Clock.now.seconds / 3600)", "port": "23/tcp"]), ("/card.svg", [:]),
  ]

  @Test func `Nothing is shown to who has not shown the token`() throws {
    try inSite { site, _ in
      for (path, fields) in Self.pages {
        for cookie in [nil, "portsentry=", "portsentry=00000000000000000000000000000000", "portsentry=\(Self.token)"] {
          let response = answer(site, get(path, fields, cookie: cookie))
          #expect(response.status == 401)
          #expect(!response.body.contains("10.0.0."))
        }
      }
      #expect(answer(site, get("/metrics")).status == 401)
      let ticket = site.issueTicket()
      for fields in [
        ["token": Self.token], ["login": Self.token], ["login": "0123456789abcdef0123456789abcdee"], ["login": ""],
        ["login": ticket + "0"], ["login": ticket + "\u{301}"], ["login": "x\tstatus"],
      ] {
        for request in [get("/", fields), post("/login", fields, cookie: "")] {
          let wrong = answer(site, request)
          #expect(wrong.status == 401 || wrong.status == 303 && fields["login"] == nil)
          #expect(!wrong.headers.contains { $0.name == "Set-Cookie" })
        }
      }
      // Once, whoever is first.
      #expect(answer(site, get("/", ["login": ticket])).status == 303)
      #expect(answer(site, get("/", ["login": ticket])).status == 401)
      // What is the same for everybody.
      for path in ["/style.css", "/page.js", "/favicon.svg"] { #expect(answer(site, get(path)).status == 200) }
    }
  }

  @Test func `A foreign name that points here is not served`() throws {
    try inSite { site, _ in
      let (cookie, key) = try logIn(site)
      for path in ["/", "/style.css", "/metrics", "/login"] {
        let request = HTTPRequest(path: path, headers: ["host": "evil.example:8080", "cookie": cookie])
        #expect(answer(site, request).status == 421)
      }
      var order = post("/unblock", ["key": key, "target": "10.0.0.1"], cookie: cookie, origin: "http://evil.example")
      order.headers["host"] = "evil.example"
      #expect(answer(site, order).status == 421)
      #expect(answer(site, HTTPRequest(path: "/")).status == 421)
      // Nor are the names that other programs of this host share, but for those who bear the token.
      for host in ["localhost", "127.0.0.1", "[::1]", "x.localhost", "\(Self.secrets.host).", "a.\(Self.secrets.host)"]
      {
        for path in ["/", "/blocks", "/events", "/style.css", "/login"] {
          let request = HTTPRequest(
            path: path, fields: ["login": site.issueTicket()], headers: ["host": "\(host):8080", "cookie": cookie])
          #expect(answer(site, request).status == 421)
        }
      }
    }
  }

  @Test func `Hostile texts are text on every page`() throws {
    try inSite { site, _ in
      let (cookie, _) = try logIn(site)
      var seen = ""
      for (path, fields) in Self.pages {
        let response = answer(site, get(path, fields, cookie: cookie))
        let isWrong = ["address", "port", "at"].contains { fields[$0] == "<script>" }
        #expect(response.status == (path.contains("<") ? 404 : isWrong ? 400 : 200), "\(path)")
        seen += response.body
        // Every tag in it is one of ours.
        for tag in ["<script>", "<img", "<i>host", "<b>so"] { #expect(!response.body.contains(tag), "\(path): \(tag)") }
        #expect(!response.body.contains("onerror=alert(1)>"))
        // Nor is one of ours escaped.
        #expect(!response.body.contains("HTML(text") && !response.body.contains("&lt;ul"))
        #expect(
          response.body.unicodeScalars.allSatisfy {
            $0 == "\n" || $0.value >= 0x20 && $0 != "\u{7f}" && $0 != "\u{202e}"
          })
      }
      // They are there, and not left out.
      #expect(seen.contains("&lt;script&gt;alert(1)&lt;/script&gt;"))
      #expect(seen.contains("onerror=alert(1)&gt;"))
    }
  }

  @Test func `News are one event of one line, whatever is in them`() throws {
    try inSite { site, _ in
      site.pages.beat(Clock.now)
      let news = try #require(try site.pages.news(Clock.now))
      let lines = news.split(separator: "\n", omittingEmptySubsequences: false)
      #expect(lines.count == 4)
      #expect(lines[0] == "event: news")
      #expect(lines[1].hasPrefix("data: {"))
      #expect(lines[2].isEmpty && lines[3].isEmpty)
      let (cookie, _) = try logIn(site)
      let first = answer(site, get("/events", cookie: cookie)).body
      #expect(first.hasPrefix("retry: 3000\n\nevent: news\ndata: {"))
      #expect(first.filter { $0 == "\n" }.count == 5)
    }
  }

  @Test func `Orders are obeyed when the form is of this session and of our own page`() throws {
    try inSite { site, sentry in
      let (cookie, key) = try logIn(site)
      let (other, otherKey) = try logIn(site)
      #expect(key != otherKey)
      let target = ["target": "10.0.0.1"]
      func status(_ request: HTTPRequest) -> Int { answer(site, request).status }
      #expect(status(post("/unblock", target, cookie: cookie)) == 403)
      #expect(status(post("/unblock", target.merging(["key": otherKey]) { $1 }, cookie: cookie)) == 403)
      let signed = target.merging(["key": key]) { $1 }
      #expect(status(post("/unblock", signed, cookie: other)) == 403)
      #expect(status(post("/unblock", signed, cookie: cookie, origin: "http://evil.example")) == 403)
      #expect(status(post("/unblock", signed, cookie: cookie, origin: nil)) == 403)
      // As a link it is a page that is not there.
      #expect(status(get("/unblock", signed, cookie: cookie)) == 404)
      #expect(sentry.obeyed.isEmpty)
      #expect(status(post("/unblock", signed, cookie: cookie)) == 303)
      #expect(sentry.obeyed == [.unblock(target: "10.0.0.1")])
      // What came of it is said once, as text.
      let after = answer(site, get("/blocks", cookie: cookie)).body
      #expect(!after.contains("so&lt;/b&gt;\\x0a"))
      #expect(after.contains("done &lt;b&gt;so&lt;/b&gt;"))
      #expect(!answer(site, get("/blocks", cookie: cookie)).body.contains("done "))
      #expect(status(post("/block", signed.merging(["seconds": "3600"]) { $1 }, cookie: cookie)) == 303)
      #expect(
        sentry.obeyed.last == .block(target: "10.0.0.1", seconds: 3600, reason: "by operator, on the page"))
      #expect(status(post("/allow", signed.merging(["seconds": "7200"]) { $1 }, cookie: cookie)) == 303)
      #expect(sentry.obeyed.last == .allow(target: "10.0.0.1", seconds: 7200))
      #expect(status(post("/allow", signed.merging(["seconds": ""]) { $1 }, cookie: cookie)) == 303)
      #expect(sentry.obeyed.last == .allow(target: "10.0.0.1", seconds: nil))
      #expect(status(post("/allow-end", signed, cookie: cookie)) == 303)
      #expect(sentry.obeyed.last == .endAllowance(target: "10.0.0.1"))
      let count = sentry.obeyed.count
      for bad in ["", "x", "10.0.0.1; reboot", "10.0.0.1\tunblock-all"] {
        for path in ["/unblock", "/block", "/allow", "/allow-end"] {
          #expect(status(post(path, ["key": key, "target": bad], cookie: cookie)) == 400)
        }
      }
      for (path, time) in [("/allow", "0"), ("/allow", "x"), ("/block", "-1"), ("/block", "9999999999999")] {
        #expect(status(post(path, signed.merging(["seconds": time]) { $1 }, cookie: cookie)) == 400)
      }
      for path in ["/allow", "/allow-end"] {
        #expect(status(post(path, target, cookie: cookie)) == 403)
        #expect(status(post(path, signed, cookie: cookie, origin: "http://evil.example")) == 403)
      }
      #expect(sentry.obeyed.count == count)
      // Back to where it was pressed, and nowhere else.
      for (back, place) in [
        ("10.0.0.1", "/source?address=10.0.0.1"), ("//evil.example", "/blocks"), ("x\r\ny", "/blocks"),
      ] {
        let answered = answer(site, post("/unblock", signed.merging(["back": back]) { $1 }, cookie: cookie))
        #expect(answered.headers.first { $0.name == "Location" }?.value == place)
      }
    }
  }

  @Test func `Logging out ends the session`() throws {
    try inSite { site, _ in
      let (cookie, key) = try logIn(site)
      #expect(answer(site, get("/", cookie: cookie)).status == 200)
      #expect(answer(site, post("/logout", ["key": key], cookie: cookie)).status == 303)
      #expect(answer(site, get("/", cookie: cookie)).status == 401)
    }
  }

  @Test func `Metrics are for a session or a bearer of the token, and name no address`() throws {
    try inSite { site, _ in
      var request = get("/metrics")
      request.headers["authorization"] = "Bearer \(Self.token)"
      let response = answer(site, request)
      #expect(response.status == 200)
      #expect(response.body.contains("portsentry_up 1"))
      #expect(!response.body.contains("10.0.0."))
      request.headers["authorization"] = "Bearer 0"
      #expect(answer(site, request).status == 401)
    }
  }

  @Test func `Without a sentry and without a journal it says so`() throws {
    try inFolder { folder in
      let settings = PageSettings(
        listen: .unix("\(folder)/page"), journalPath: folder + "/journal.db", controlSocket: folder + "/control",
        tokenPath: folder + "/token", zone: .utc, host: "h"
      ) { _ in Plan.embedded(.advanced) }
      let site = Site(settings, Self.secrets)
      // Behind a socket the name does not matter: no browser gets there by itself.
      var request = get("/", ["login": site.issueTicket()])
      request.headers["host"] = "sentry.example"
      let cookie = try #require(answer(site, request).headers.first { $0.name == "Set-Cookie" }?.value)
      let page = answer(site, get("/", cookie: String(cookie.prefix { $0 != ";" })))
      #expect(page.status == 503)
      #expect(page.body.contains("The journal cannot be read"))
      _ = try JournalWriter(JournalWriter.Settings(path: folder + "/journal.db"))
      let later = answer(site, get("/", cookie: String(cookie.prefix { $0 != ";" })))
      #expect(later.status == 200)
      #expect(later.body.contains("<h1 class=\"answer bad\">No sentry is running: nothing is watched.</h1>"))
      #expect(later.body.contains("<code>systemctl start portsentry</code>"))
      // Nor does an open page call it live.
      let news = try #require(try site.pages.news(Clock.now, isForced: true))
      #expect(news.contains("\"live\": \"no sentry\"") || news.contains("\"live\":\"no sentry\""))
    }
  }

  @Test func `The first line is the answer`() throws {
    try inSite { site, sentry in
      let well =
        "\"interfaces\": [\"eth0\"], \"response\": \"TCP: block by nftables who scans\", \"blocks\": {\"enforced\": true}"
      func head(_ more: String) throws -> String {
        sentry.status.withLock { $0 = "{\(well)\(more)}" }
        // Another site has not asked yet.
        let fresh = Site(site.settings, Self.secrets)
        let (cookie, _) = try logIn(fresh)
        let page = answer(fresh, get("/", cookie: cookie)).body
        let start = try #require(page.firstRange(of: "<main id=\"main\">")).upperBound
        return String(page[start...].prefix(3000))
      }
      #expect(try head("").contains("<h1 class=\"answer good\">Protected, nothing needs you.</h1>"))
      let hidden = try head(", \"deception\": {\"hidden\": [\"lan0 IPv4\"]}")
      #expect(hidden.contains("<h1 class=\"answer bad\">The firewall of this host hides the decoys on lan0 IPv4"))
      #expect(hidden.contains("Run <code>portsentry firewall</code>"))
      let two = try head(", \"journal\": {\"failing\": true}, \"trial\": {\"ends\": 5, \"is_over\": true}")
      #expect(two.contains("2 things need you.") && two.contains("<code>portsentry confirm</code>"))
    }
  }

  @Test func `What the fleet saw is on the pages`() throws {
    try inSite { site, sentry in
      func overview(_ fleet: String) throws -> String {
        sentry.status.withLock { $0 = "{\"interfaces\": [\"eth0\"], \"fleet\": \(fleet)}" }
        let fresh = Site(site.settings, Self.secrets)
        let (cookie, _) = try logIn(fresh)
        return answer(fresh, get("/", cookie: cookie)).body
      }
      #expect(try !overview("null").contains("Fleet:"))
      let reached = """
        {"name": "web1", "zone": 2, "connected": true, "fault": null, "members": 5, "bans": 12, "waiting": 0, "spared": 1}
        """
      #expect(
        try overview(reached).contains(
          "<p class=\"span\">Fleet: reached; this host is web1 of zone 2, one of 5 members; 12 bans, 1 not in force here.</p>"
        ))
      let away = """
        {"name": "<b>", "zone": 2, "connected": false, "fault": "<i>refused</i>", "members": 5, "bans": 1, "waiting": 3}
        """
      let page = try overview(away)
      #expect(page.contains("Fleet: NOT REACHED, &lt;i&gt;refused&lt;/i&gt;; this host is &lt;b&gt; of zone 2"))
      #expect(page.contains("3 records not sent yet") && page.contains("<p class=\"span bad\">Fleet:"))
    }
  }

  @Test func `Blocks of the fleet name their hosts`() {
    var live = LiveBlock(
      network: "10.1.0.1", since: 1_793_577_600, until: nil, methods: ["nftables"], port: 0, protocol: "TCP",
      mode: "fleet", reason: "2 hosts of the fleet saw it (web1, db)")
    live.witnesses = [
      LiveWitness(host: "web1", time: 1_793_577_540.5), LiveWitness(host: "<b>db", time: 1_793_577_541),
    ]
    let seen = FleetCause.Witness(node: 3, name: "mail", at: Timestamp(seconds: 1_793_577_000))
    let past = PastBlock(
      id: 1,
      record: PastBlock.BlockRecord(
        network: IPNetwork("10.1.0.2")!, since: Timestamp(seconds: 1_793_577_600), until: nil, methods: "nftables",
        port: 0, transport: .tcp, mode: "fleet", reason: "x", witnesses: [seen]),
      ended: Timestamp(seconds: 1_793_577_700), because: "expired")
    let page = BlocksPage(
      live: [live], past: [past], search: "", page: 1, pastPage: 1,
      session: Sessions.Session(formKey: "k", until: .init(seconds: 0)), now: .init(seconds: 1_793_577_900), zone: .utc
    ).html.text
    #expect(page.contains("<small>web1 2026-11-01 23:59:00, &lt;b&gt;db 2026-11-01 23:59:01</small>"))
    #expect(page.contains("<small>mail 2026-11-01 23:50:00</small>"))
    let story = SourceStory(
      address: IPAddress("10.1.0.2")!, source: nil,
      window: Window(last: .seconds(86_400), now: .init(seconds: 1_793_577_900)), blocks: [past])
    let dossier = Dossier(
      story: story, around: ShowText.Surroundings(), isAnswered: true, neighbours: [], neighbourCount: 0,
      session: Sessions.Session(formKey: "k", until: .init(seconds: 0)), now: .init(seconds: 1_793_577_900), zone: .utc
    ).html.text
    #expect(dossier.contains("<h2>1 host of the fleet saw it</h2>") && dossier.contains("<td>mail</td>"))
  }

  @Test func `Who may still be in the kernel's set is not called free`() throws {
    try inSite { site, sentry in
      let (cookie, _) = try logIn(site)
      // 10.0.0.1 is blocked, and says so; 10.0.0.2 was released.
      #expect(answer(site, get("/source", ["address": "10.0.0.1"], cookie: cookie)).body.contains("<h2>Blocked</h2>"))
      #expect(
        answer(site, get("/source", ["address": "10.0.0.2"], cookie: cookie)).body.contains("<h2>Not blocked</h2>"))
      sentry.stop()
      for _ in 0..<500 where ControlClient.isAnswering(site.settings.controlSocket) { Clock.sleep(.milliseconds(10)) }
      let gone = answer(site, get("/source", ["address": "10.0.0.1"], cookie: cookie)).body
      #expect(gone.contains("<h2>Blocked when the sentry last ran</h2>"))
      let other = answer(site, get("/source", ["address": "10.0.0.2"], cookie: cookie)).body
      #expect(other.contains("<h2>Not known whether it is blocked</h2>"))
      let blocks = answer(site, get("/blocks", cookie: cookie)).body
      #expect(blocks.contains("nft list table inet portsentry") && blocks.contains("10.0.0.1"))
    }
  }

  @Test func `Blocks have pages and a search`() {
    let live = (0..<120).map { number in
      LiveBlock(
        network: "10.1.0.\(number)", since: 1_793_577_600 + Int64(number), until: nil, methods: ["nftables"], port: 23,
        protocol: "TCP", mode: "atcp", reason: number == 7 ? "by operator" : "scan")
    }
    func page(_ search: String, _ number: Int = 1) -> String {
      BlocksPage(
        live: live, past: [], search: search, page: number, pastPage: 1,
        session: Sessions.Session(formKey: "k", until: .init(seconds: 0)), now: .init(seconds: 1_793_577_900),
        zone: .utc
      ).html.text
    }
    func rows(_ page: String) -> Int { page.components(separatedBy: "action=\"/unblock\"").count - 1 }
    #expect(rows(page("")) == 50 && rows(page("", 3)) == 20 && rows(page("", 99)) == 20 && rows(page("", -1)) == 50)
    // The newest first.
    #expect(page("").contains("10.1.0.119") && !page("").contains("10.1.0.20<") && page("", 3).contains("10.1.0.0<"))
    #expect(
      page("").contains("href=\"/blocks?q=&page=2&past=1\"")
        || page("").contains("href=\"/blocks?q=&amp;page=2&amp;past=1\""))
    #expect(rows(page("10.1.0.64/26")) == 50 && rows(page("10.1.0.5")) == 1 && rows(page("OPERATOR")) == 1)
    #expect(page("10.9.0.0/16").contains("No block matches."))
    #expect(page("\"><b>").contains("value=\"&quot;&gt;&lt;b&gt;\""))
  }

  @Test func `Verdicts are folded, everything else stands`() {
    func note(_ id: Int64, _ kind: NoteKind) -> Note {
      Note(
        id: id, time: .init(seconds: 1_793_577_600 + id), kind: kind, subject: IPNetwork("10.0.0.\(id % 3)"),
        text: "decoy")
    }
    let kinds: [NoteKind] = [.verdict, .verdict, .blocked, .verdict, .proven, .verdict, .verdict, .released]
    let html = Feed.html(kinds.enumerated().map { note(100 - Int64($0.offset), $0.element) }, .utc).text
    #expect(html.components(separatedBy: "<details").count == 2)
    #expect(html.contains("<details id=\"fold-94\"><summary>"))
    #expect(html.contains("<b>3 verdicts, 1 proof</b> of 3 addresses"))
    // Two in a row are not worth a fold.
    #expect(html.components(separatedBy: "class=\"kind verdict\"").count == 6)
  }

  @Test func `Faults that only the page has with a file are none of the configuration`() {
    var plan = Plan.embedded(.advanced)
    let secret = Diagnostic(
      severity: .error, file: RunOptions.defaultConfigurationPath, line: 0, message: "cannot read it: Permission denied"
    )
    plan.diagnostics = [secret]
    let hidden = ConfigurationPage.html(plan, isLive: true).text
    #expect(hidden.contains("The page may not read") && !hidden.contains("error:"))
    // What the built-in settings would do is not what happens.
    #expect(!hidden.contains("watches packets"))
    plan.diagnostics = [Diagnostic(severity: .error, file: "/x", line: 3, message: "wrong")]
    #expect(ConfigurationPage.html(plan, isLive: true).text.contains("/x:3: error: wrong"))
    // Modes come from the sentry that runs, so what files lack of them is no fault.
    let lacksModes = { (plan: Plan) in
      plan.diagnostics.contains { $0.message.contains("neither TCP_MODE nor UDP_MODE") }
    }
    let made = inFolderPlan(RunningModes(tcp: "atcp", udp: nil))
    #expect(made.tcpMode == .advanced && made.udpMode == nil && !lacksModes(made))
    #expect(lacksModes(inFolderPlan(nil)))
  }

  /// Of files that name no mode.
  private func inFolderPlan(_ running: RunningModes?) -> Plan {
    var plan: Plan?
    try? inFolder { folder in
      try write("# nothing\n", to: folder + "/default")
      var options = RunOptions()
      options.defaultsPath = folder + "/default"
      options.stateDirectory = folder + "/state"
      options.running = running
      plan = Plan.make(options)
    }
    return plan ?? .embedded(.stealth)
  }

  @Test func `Every answer forbids what a page of strangers' texts must not do`() {
    for response in [HTTPResponse(200, .html, "x"), HTTPResponse(200, .events), HTTPResponse.redirect(to: "/")] {
      let text = String(decoding: response.bytes(), as: UTF8.self)
      #expect(text.contains("Content-Security-Policy: default-src 'none'; style-src 'self'; script-src 'self';"))
      #expect(!text.contains("unsafe-"))
      #expect(text.contains("\r\nX-Content-Type-Options: nosniff\r\n"))
      #expect(text.contains("\r\nX-Frame-Options: DENY\r\n"))
      #expect(text.contains("\r\nCache-Control: no-store\r\n"))
      #expect(!text.split(separator: "\r\n", omittingEmptySubsequences: false).contains { $0.contains("\n") })
    }
    #expect(!String(decoding: HTTPResponse(200, .html, "body").bytes(withBody: false), as: UTF8.self).hasSuffix("body"))
  }

  @Test func `The token is made once, for its owner only`() throws {
    try inFolder { folder in
      let path = folder + "/state/token"
      let secrets = try PageRun.secrets(path)
      #expect(secrets.token.utf8.count == 32 && secrets.name.utf8.count == 33)
      #expect(try PageRun.secrets(path) == secrets)
      #expect(try PageSecrets.read(path) == secrets)
      #expect(shell("stat -c %a '\(path)'").output.hasPrefix("600"))
      try write("short\n", to: path)
      #expect(try PageRun.secrets(path).token != "short")
      // One of before there was a name keeps its token.
      try write("0123456789abcdef0123456789abcdef\n", to: path)
      let named = try PageRun.secrets(path)
      #expect(named.token == Self.token && named.name.utf8.count == 33)
      #expect(try PageRun.secrets(path) == named)
    }
  }
}
