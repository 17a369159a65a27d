import Daemon
import Database
import Journal
import Platform
import Report
import Wire

/// Answers requests: who may see what, which page it is, and what a form orders: the sentry obeys, nothing is changed here.
final class Site {
  let settings: PageSettings
  private let secrets: PageSecrets
  private var sessions: Sessions
  private var tickets = LoginTickets()
  let pages: Pages
  /// What the last form of a session led to, said on its next page.
  private var said: [String: String] = [:]

  init(_ settings: PageSettings, _ secrets: PageSecrets) {
    self.settings = settings
    self.secrets = secrets
    sessions = Sessions(token: secrets.token)
    pages = Pages(settings)
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
      return .once(HTTPResponse(200, .metrics, pages.metrics(now)))
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
    case "/unblock", "/block", "/allow", "/allow-end":
      guard let network = request.fields["target"].flatMap({ IPNetwork($0) }),
        let message = order(request.path, network, request.fields["seconds"] ?? "")
      else {
        return HTTPResponse(
          400,
          Template.message(
            "Not done", "That is not a valid address or length of time.", here: "", session: session,
            host: settings.host))
      }
      if said.count >= Sessions.capacity { said = [:] }
      said[name] = pages.ask(message)?.text ?? "No sentry answers: nothing was done."
      let back = request.fields["back"].flatMap { IPAddress($0) }
      return .redirect(to: back.flatMap { Template.link(IPNetwork($0)) } ?? "/blocks")
    default:
      return notFound(session)
    }
  }

  /// What a form asks for; nil where its time is none.
  private func order(_ path: String, _ network: IPNetwork, _ seconds: String) -> ControlMessage? {
    let target = "\(network)"
    let time = seconds.isEmpty ? nil : Int64(seconds)
    guard seconds.isEmpty || time.map({ (0...315_360_000).contains($0) }) == true else { return nil }
    switch path {
    case "/unblock": return .unblock(target: target)
    case "/allow-end": return .endAllowance(target: target)
    case "/allow": return time == 0 ? nil : .allow(target: target, seconds: time)
    default: return .block(target: target, seconds: time, reason: "by operator, on the page")
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
      // What the sentry answers ends with a line end.
      let lines = said.removeValue(forKey: name).map { $0.byteLines.map { "<p>\(String($0))</p>" as HTML } } ?? []
      let text: HTML = lines.isEmpty ? HTML() : "<div class=\"said\" role=\"status\">\(lines)</div>"
      return .once(
        HTTPResponse(
          200,
          Template.page(
            title, here: request.path, session: session, host: settings.host,
            live: isLive ? "as of \(settings.zone.clock(now))" : nil, text + body)))
    }
    func wrong(_ title: StaticString, _ text: String) -> PageServer.Answer {
      .once(HTTPResponse(400, Template.message(title, text, here: "", session: session, host: settings.host)))
    }
    let fields = request.fields
    let period = fields["span"].flatMap(Period.init(rawValue:)) ?? .day
    do throws(DatabaseError) {
      switch request.path {
      case "/": return page("Overview", isLive: true, try pages.overviewPage(period, now))
      case "/events": return .follow(first: "retry: 3000\n\n" + (try pages.news(now, isForced: true) ?? ""))
      case "/source":
        guard let address = fields["address"].flatMap({ IPAddress($0) }) else {
          return wrong("No address", "Give an IPv4 or IPv6 address.")
        }
        return page("\(address)", try pages.sourcePage(address, session, now))
      case "/port":
        guard let port = fields["port"].flatMap(Template.port) else {
          return wrong("No port", "Give a port such as 23/tcp.")
        }
        return page("\(port)", try pages.portPage(port, period, now))
      case "/hour":
        let last = now.seconds / 3600
        guard let first = fields["at"].flatMap(Int64.init), (0...last).contains(first),
          let count = Int64(fields["hours"] ?? "1"), (1...HourPage.most).contains(count)
        else { return wrong("No hour", "Follow a column or a cell of the overview.") }
        let window = Window(first: first, last: min(first + count - 1, last))
        return page("An hour", try pages.hourPage(window, fields["port"].flatMap(Template.port), now))
      case "/blocks": return page("Blocks", try pages.blocksPage(request, session, now))
      case "/report": return page("Report", try pages.reportPage(fields["since"] ?? "30d", now))
      case "/card.svg": return .once(HTTPResponse(200, .svg, try pages.card(now).text))
      case "/configuration": return page("Configuration", pages.configurationPage())
      default: return .once(notFound(session))
      }
    } catch {
      pages.closeJournal()
      return .once(
        HTTPResponse(
          503,
          Template.message(
            "The journal cannot be read", "\(error)", here: request.path, session: session, host: settings.host)))
    }
  }
}
