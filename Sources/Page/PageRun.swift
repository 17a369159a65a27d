import CLinux
import Configuration
import Confinement
import Daemon
import Database
import Journal
import Platform
import Report
import Wire

/// What the page needs to know.
package struct PageSettings: Sendable {
  package var listen: ListenAddress
  package var journalPath: String
  package var controlSocket: String
  package var tokenPath: String
  package var geoIPFiles: [String]
  /// What `plan` reads.
  package var configurationFiles: [String]
  package var zone: Zone
  package var host: String
  /// What the configuration says now, for a sentry that watches so; nil: none runs.
  package var plan: @Sendable (RunningModes?) -> Plan

  package init(
    listen: ListenAddress, journalPath: String, controlSocket: String, tokenPath: String, geoIPFiles: [String] = [],
    configurationFiles: [String] = [], zone: Zone = .local, host: String,
    plan: @escaping @Sendable (RunningModes?) -> Plan
  ) {
    self.listen = listen
    self.journalPath = journalPath
    self.controlSocket = controlSocket
    self.tokenPath = tokenPath
    self.geoIPFiles = geoIPFiles
    self.configurationFiles = configurationFiles
    self.zone = zone
    self.host = host
    self.plan = plan
  }

  var isTCP: Bool { if case .tcp = listen { true } else { false } }

  /// Where a browser finds the page; nil for a socket. The name is one that no other program of this host is asked by: a
  /// cookie does not know ports, and one of 127.0.0.1 would go to whoever listens there.
  package func url(_ secrets: PageSecrets) -> String? {
    guard case .tcp(_, let port) = listen else { return nil }
    return "http://\(secrets.host):\(port)/"
  }
}

/// The process that serves the page, apart from the sentry: whatever happens to it, watching goes on.
package enum PageRun {
  /// What the page keeps secret, made once, for its user only.
  package static func secrets(_ path: String) throws(Errno) -> PageSecrets {
    let kept = try PageSecrets.read(path)
    if let kept, kept.isWhole { return kept }
    if let slash = path.lastByte("/"), slash > path.startIndex { try Files.createFolder(String(path[..<slash])) }
    let secrets = PageSecrets(
      token: kept?.token ?? Sessions.hex(Clock.randomKey()), name: "s" + Sessions.hex(Clock.randomKey()))
    try Files.replace(path, with: Array("\(secrets.token)\n\(secrets.name)\n".utf8), mode: 0o600)
    return secrets
  }

  /// A sentry lets the user of its page read its journal. By hand it is another user only where the journal is that user's anyway.
  private static func byHand(_ settings: PageSettings) -> PageUser {
    let user = PageUser.current
    var info = stat()
    guard let account = user.account, unsafe stat(settings.journalPath, &info) == 0, info.st_uid != account.user else {
      return user
    }
    return .same(because: "the journal is not \(account.name)'s")
  }

  /// From one look at the sentry's counts to the next. Without followers only seldom, so that whoever comes sees the last minutes.
  private static func pause(_ server: PageServer) -> Int64 { server.followers > 0 ? 1_000_000_000 : 5_000_000_000 }

  /// Serves until the process is ended, confined (`PageConfinement`).
  ///
  /// - Parameter parent: the sentry that started it, with which it ends; nil when it runs by itself.
  /// - Parameter announce: gets a link that lets in once, as soon as the address is ours.
  /// - Throws: when the address cannot be had.
  package static func run(
    _ settings: PageSettings, parent: Int32?, announce: ((_ secrets: PageSecrets, _ ticket: String) -> Void)? = nil
  ) throws(Errno) {
    CLinux_ignore_signal(SIGPIPE)
    let secrets = try secrets(settings.tokenPath)
    let server = try PageServer(settings.listen)
    let site = Site(settings, secrets)
    announce?(secrets, site.issueTicket())
    // Files of the zone are read at the first time that is told.
    _ = settings.zone.clock(Clock.now)
    try PageConfinement.enter(settings, as: parent == nil ? byHand(settings) : .current)
    // A change of user takes this back.
    if let parent { CLinux_end_with_parent(); if getppid() != parent { return } }
    Code.giveBack()
    var lastBeat: Int64 = 0
    while true {
      server.turn(milliseconds: Int32(max(0, (lastBeat + pause(server) - Clock.monotonic) / 1_000_000 + 1))) {
        site.answer($0)
      }
      guard Clock.monotonic >= lastBeat + pause(server) else { continue }
      lastBeat = Clock.monotonic
      let time = Clock.now
      site.pages.beat(time)
      guard server.followers > 0 else { continue }
      // A journal that cannot be read for a moment is read at the next beat.
      if let news = try? site.pages.news(time) { server.publish(news) }
    }
  }
}
