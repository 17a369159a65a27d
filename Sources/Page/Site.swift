import Configuration
import Daemon
import Database
import Detection
import FoundationEssentials
import GeoIP
import Journal
import Platform
import Report
import Wire

/// Answers requests: who may see what, and which page it is. Reads the journal, asks the running sentry, and has it lift and make
/// blocks; changes nothing itself.
final class Site {
  let settings: PageSettings
  private let secrets: PageSecrets
  private var sessions: Sessions
  private var tickets = LoginTickets()
  private var reader: JournalReader?
  private let atlas: Atlas
  private var rate = RateHistory()
  private var pulse: LivePulse?
  /// The ports of the last day, which only a commit changes.
  private var ports: (edition: Int64, hour: Int64, lines: [(port: PortName, byHour: [UInt64])])?
  private var lastParts: [String] = []
  /// What the last form of a session led to, said on its next page.
  private var said: [String: String] = [:]
  private var reports: [String: (made: Int64, page: HTML)] = [:]

  init(_ settings: PageSettings, _ secrets: PageSecrets) {
    self.settings = settings
    self.secrets = secrets
    sessions = Sessions(token: secrets.token)
    atlas = Atlas(
      settings.geoIPFiles.compactMap { path in (try? Files.read(path, limit: 1 << 30)).flatMap { try? GeoDatabase($0) }
      })
  }

  // MARK: Who may see what

  func answer(_ request: HTTPRequest) -> PageServer.Answer {
    // A foreign name that points here (DNS rebinding) would make a stranger's script one of ours, and a name that others of this
    // host have would give them our cookie. Programs that bear the token have neither.
    if settings.isTCP, !request.isFor(secrets.host), !(request.isForLoopback && request.path == "/metrics") {
      return .once(
        HTTPResponse(
          421, .text, "This page has a name of its own: use the link that `portsentry console --url` prints.\n"))
    }
    switch request.path {
    case "/style.css":
      return .once(HTTPResponse(200, .css, "\(Style.sheet)\n\(Template.style)\n"))
    case "/page.js": return .once(HTTPResponse(200, .script, "\(Template.script)\n"))
    case "/favicon.svg": return .once(HTTPResponse(200, .svg, "\(Template.favicon)\n"))
    default: break
    }
    let now = Clock.now
    if let response = logIn(request, now) { return .once(response) }
    let name = request.cookie(Sessions.cookie)
    if request.path == "/metrics", request.method != .post {
      let bearer = request.headers["authorization"].flatMap {
        $0.startsWithBytes("Bearer ") ? String(Substring($0.utf8.dropFirst(7))) : nil
      }
      guard sessions.session(name, now: now) != nil || bearer.map(sessions.accepts) == true else {
        return .once(HTTPResponse(401, .text, "The token is wanted, as Authorization: Bearer.\n"))
      }
      return .once(metrics(now))
    }
    guard let session = sessions.session(name, now: now) else {
      return .once(
        HTTPResponse(401, Template.login(host: settings.host, isWrong: false)))
    }
    if request.method == .post { return .once(obey(request, session, name ?? "", now)) }
    return show(request, session, name ?? "", now)
  }

  /// A ticket of this process's own, for where no sentry runs.
  func issueTicket() -> String { tickets.issue(bits: Clock.randomKey(), now: Clock.monotonic) }

  /// Whether it lets in, now and never again.
  private func redeem(_ ticket: String) -> Bool {
    if tickets.redeem(ticket, now: Clock.monotonic) { return true }
    guard LoginMessage(line: Array(LoginMessage.redeem(ticket).line.utf8)) != nil else { return false }
    return (try? ControlClient.ask(settings.controlSocket, .redeem(ticket), patience: 3))?.exitCode == 0
  }

  /// A ticket opens a session; it does not stay in the address.
  private func logIn(_ request: HTTPRequest, _ now: Timestamp) -> HTTPResponse? {
    let isForm = request.path == "/login" && request.method == .post
    guard let offered = request.fields["login"], isForm || request.method == .get else {
      return request.path == "/login" ? HTTPResponse.redirect(to: "/") : nil
    }
    guard redeem(offered) else {
      return HTTPResponse(401, Template.login(host: settings.host, isWrong: true))
    }
    let name = sessions.open(bits: (Clock.randomKey(), Clock.randomKey()), now: now)
    let cookie =
      "\(Sessions.cookie)=\(name); HttpOnly; SameSite=Strict; Path=/; Max-Age=\(Sessions.lifetime.components.seconds)"
    return HTTPResponse.redirect(to: "/", headers: [("Set-Cookie", cookie)])
  }

  private func obey(_ request: HTTPRequest, _ session: Sessions.Session, _ name: String, _ now: Timestamp)
    -> HTTPResponse
  {
    // Both: a form of this session, sent by a page of ours.
    guard request.fields["key"] == session.formKey, request.isFromOurselves else {
      return HTTPResponse(
        403,
        Template.message(
          "Not done", "This form is not of this session. Go back and try again.", here: "", session: session,
          host: settings.host))
    }
    switch request.path {
    case "/logout":
      sessions.close(name)
      return .redirect(
        to: "/", headers: [("Set-Cookie", "\(Sessions.cookie)=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0")])
    case "/unblock", "/block":
      guard let network = request.fields["target"].flatMap({ IPNetwork($0) }) else {
        return HTTPResponse(
          400, Template.message("Not done", "That is no address.", here: "", session: session, host: settings.host))
      }
      let message: ControlMessage
      if request.path == "/unblock" {
        message = .unblock(target: "\(network)")
      } else {
        let seconds = request.fields["seconds"].flatMap(Int64.init).flatMap {
          (0...315_360_000).contains($0) ? $0 : nil
        }
        message = .block(target: "\(network)", seconds: seconds, reason: "by operator, on the page")
      }
      if said.count >= Sessions.capacity { said = [:] }
      said[name] = ask(message)?.text ?? "No sentry answers: nothing was done."
      return .redirect(
        to: request.fields["back"] == "source" && network.isHost ? "/source?address=\(network)" : "/blocks")
    default:
      return notFound(session)
    }
  }

  private func notFound(_ session: Sessions.Session) -> HTTPResponse {
    HTTPResponse(
      404, Template.message("Not here", "There is no such page.", here: "", session: session, host: settings.host))
  }

  private func show(
    _ request: HTTPRequest, _ session: Sessions.Session, _ name: String, _ now: Timestamp
  ) -> PageServer.Answer {
    func page(_ title: String, isLive: Bool = false, _ body: HTML) -> PageServer.Answer {
      let text = said.removeValue(forKey: name).map { "<p class=\"said\" role=\"status\">\($0)</p>" as HTML } ?? HTML()
      return .once(
        HTTPResponse(
          200,
          Template.page(title, here: request.path, session: session, host: settings.host, isLive: isLive, text + body)))
    }
    do throws(DatabaseError) {
      switch request.path {
      case "/": return page("Overview", isLive: true, try overviewPage(now))
      case "/events": return .follow(first: "retry: 3000\n\n" + (try news(now, isForced: true) ?? ""))
      case "/source":
        guard let address = request.fields["address"].flatMap({ IPAddress($0) }) else {
          return .once(
            HTTPResponse(
              400,
              Template.message(
                "No address", "Give an IPv4 or IPv6 address.", here: "", session: session, host: settings.host)))
        }
        return page("\(address)", try sourcePage(address, session, now))
      case "/blocks": return page("Blocks", try blocksPage(session, now))
      case "/report": return page("Report", try reportPage(request.fields["since"] ?? "30d", now))
      case "/configuration": return page("Configuration", configurationPage())
      default: return .once(notFound(session))
      }
    } catch {
      // Opened anew at the next request: the file may have been replaced.
      reader = nil
      return .once(
        HTTPResponse(
          503,
          Template.message(
            "The journal cannot be read", "\(error)", here: request.path, session: session, host: settings.host)))
    }
  }

  // MARK: Sources of what is shown

  private func ask(_ message: ControlMessage) -> ControlReply? {
    try? ControlClient.ask(settings.controlSocket, message, patience: 3)
  }

  private func decode<Value: Decodable>(_ message: ControlMessage) -> Value? {
    guard let reply = ask(message), reply.exitCode == 0 else { return nil }
    return try? JSONDecoder().decode(Value.self, from: Data(reply.text.utf8))
  }

  private func journal() throws(DatabaseError) -> JournalReader {
    if let reader, !reader.isReplaced { return reader }
    do throws(JournalError) {
      let opened = try JournalReader(path: settings.journalPath)
      reader = opened
      // Editions of another file are not ours.
      (ports, reports) = (nil, [:])
      return opened
    } catch {
      if case .database(let failure) = error { throw failure }
      throw DatabaseError(code: 14, message: "\(error)", subject: settings.journalPath)
    }
  }

  // MARK: Overview

  /// Looks at the sentry's counts; once a second.
  func beat(_ now: Timestamp) {
    pulse = decode(.pulse)
    rate.add(pulse?.seen, at: Clock.monotonic / 1_000_000_000)
  }

  private func overview(_ now: Timestamp) throws(DatabaseError) -> Overview {
    let reader = try journal()
    let window = Window(last: .seconds(86_400), now: now)
    return try reader.snapshot { () throws(DatabaseError) in
      var overview = Overview(
        pulse: pulse, rate: rate, glance: try reader.glance(now: now, sources: 12, notes: 14), now: now,
        zone: settings.zone)
      let edition = try reader.edition()
      if let ports, ports.edition == edition, ports.hour == window.last {
        overview.ports = ports.lines
        return overview
      }
      overview.ports = try reader.portsByHour(window, limit: 12)
      ports = (edition, window.last, overview.ports)
      return overview
    }
  }

  private func overviewPage(_ now: Timestamp) throws(DatabaseError) -> HTML {
    if pulse == nil { beat(now) }
    let parts = Dictionary(uniqueKeysWithValues: try overview(now).parts.map { ($0.id.description, $0.html) })
    func part(_ id: String) -> HTML { parts[id] ?? HTML() }
    return """
      <p class="state" id="state">\(part("state"))</p>
      <div class="figures" id="figures">\(part("figures"))</div>
      <section><h2>The last five minutes</h2><div id="rate">\(part("rate"))</div></section>
      <section><h2>Ports of the last 24 hours</h2><div id="heat">\(part("heat"))</div></section>
      <section><h2>Most active</h2><p class="kicker">In this hour and the one before it.</p><table class="list"><thead><tr><th>address</th><th class="n">probes</th>\
      <th class="n">ports</th><th class="late">origin</th><th class="late">verdict</th><th class="late">tool</th><th class="n">last seen</th></tr></thead>\
      <tbody id="active">\(part("active"))</tbody></table>
      <form class="row" action="/source" method="get"><label for="address">Look up an address</label><input id="address" name="address" required> <button>Show</button></form></section>
      <section><h2>What happened</h2><table class="list events"><tbody id="events">\(part("events"))</tbody></table></section>
      """
  }

  /// The parts of the overview that are not as they were; nil when nothing is new.
  func news(_ now: Timestamp, isForced: Bool = false) throws(DatabaseError) -> String? {
    let parts = try overview(now).parts
    let texts = parts.map(\.html.text)
    // Who has just come is told all; that is no news for the others.
    defer { if !isForced { lastParts = texts } }
    let changed = parts.indices.filter { isForced || lastParts.count != texts.count || texts[$0] != lastParts[$0] }
    guard !changed.isEmpty else { return nil }
    let object = JSON.members(changed.map { (parts[$0].id.description, .string(texts[$0])) })
    return "event: news\ndata: \(object.text)\n\n"
  }

  // MARK: One address

  private func sourcePage(_ address: IPAddress, _ session: Sessions.Session, _ now: Timestamp) throws(DatabaseError)
    -> HTML
  {
    let reader = try journal()
    let story = try reader.snapshot { () throws(DatabaseError) in
      try reader.story(of: address, Window(last: .seconds(3650 * 86_400), now: now))
    }
    var around = ShowText.Surroundings()
    around.live = decode(.status(json: true))
    let blocks: [LiveBlock] = decode(.blocked) ?? []
    around.block = blocks.first { IPNetwork($0.network)?.contains(address) == true }
    around.place = atlas.place(of: address)
    return SourcePage.html(story, around, session, now: now, settings.zone)
  }

  // MARK: Blocks

  private func blocksPage(_ session: Sessions.Session, _ now: Timestamp) throws(DatabaseError) -> HTML {
    let live: [LiveBlock]? = decode(.blocked)
    let reader = try journal()
    let past = try reader.snapshot { () throws(DatabaseError) in
      try reader.blocks(since: Timestamp(seconds: now.seconds - 7 * 86_400), limit: 500)
    }
    return BlocksPage.html(live, past.filter { $0.ended != nil }, session, now: now, settings.zone)
  }

  // MARK: Report

  private static let spans: [(name: String, seconds: Int64)] = [
    ("24h", 86_400), ("7d", 7 * 86_400), ("30d", 30 * 86_400), ("365d", 365 * 86_400),
  ]

  private func reportPage(_ since: String, _ now: Timestamp) throws(DatabaseError) -> HTML {
    let span = Self.spans.first { $0.name == since } ?? ("30d", 30 * 86_400)
    let links = Self.spans.map { other -> HTML in
      other.name == span.name ? "<b>\(other.name)</b> " : "<a href=\"/report?since=\(other.name)\">\(other.name)</a> "
    }
    // A month is counted in a second; once a minute is often enough.
    if let known = reports[span.name], Clock.monotonic - known.made < 60_000_000_000 {
      return "<p class=\"span\">\(links)</p>\(known.page)"
    }
    let summary = try Summary.make(
      try journal(), Window(last: .seconds(span.seconds), now: now), now: now, zone: settings.zone, host: settings.host,
      version: Version.text, atlas: atlas)
    let page: HTML = """
      <h1>\(Prose.title(summary))</h1><p class="span">\(Prose.span(summary))</p><p class="lead">\(Prose.lead(summary))</p>
      \(Sections.figures(summary))\(ReportPage.body(summary) { Template.link($0) })
      """
    reports[span.name] = (Clock.monotonic, page)
    return "<p class=\"span\">\(links)</p>\(page)"
  }

  // MARK: Configuration, metrics

  private func configurationPage() -> HTML {
    let plan = settings.plan()
    // What the running sentry was told on its command line is only known to itself.
    let live: LivePulse? = decode(.pulse)
    func mode(_ name: String?, _ transport: TransportProtocol) -> Mode? {
      Mode.allCases.first { $0.classicName(transport) == name }
    }
    let (tcp, udp) = live.map { (mode($0.tcp_mode, .tcp), mode($0.udp_mode, .udp)) } ?? (plan.tcpMode, plan.udpMode)
    let words = Explanation.explain(
      plan.configuration, tcpMode: tcp, udpMode: udp, ignoredNetworks: plan.ignored.count)
    let lines = words.byteLines.map { "<p>\(String($0))</p>" as HTML }
    let problems = plan.diagnostics.map { "\($0)" }
    let list: HTML =
      problems.isEmpty ? "<p>Nothing is wrong with it.</p>" : "<pre>\(problems.map { "\($0)\n" as HTML })</pre>"
    return """
      <section><h1>Configuration</h1><p class="span">\(plan.configurationPath ?? "built-in settings"), read as PortSentry \(plan.configuration.dialect.rawValue); \
      modes \(live == nil ? "from \(plan.modesFrom)" : "as the running sentry has them")</p>\(lines)</section><section><h2>What is wrong with it</h2>\(list)</section>
      """
  }

  private func metrics(_ now: Timestamp) -> HTTPResponse {
    var text = ask(.metrics)?.text ?? ""
    text += Metrics.text([Metric("up", .gauge, "1 while a sentry answers.", text.isEmpty ? 0 : 1)])
    if let reader = try? journal(), let more = try? reader.dayMetrics(now: now) { text += Metrics.text(more) }
    return HTTPResponse(200, .metrics, text)
  }
}
