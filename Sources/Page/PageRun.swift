import CLinux
import Configuration
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
  package var zone: Zone
  package var host: String
  /// What the configuration says now.
  package var plan: @Sendable () -> Plan

  package init(
    listen: ListenAddress, journalPath: String, controlSocket: String, tokenPath: String, geoIPFiles: [String] = [],
    zone: Zone = .local, host: String, plan: @escaping @Sendable () -> Plan
  ) {
    self.listen = listen
    self.journalPath = journalPath
    self.controlSocket = controlSocket
    self.tokenPath = tokenPath
    self.geoIPFiles = geoIPFiles
    self.zone = zone
    self.host = host
    self.plan = plan
  }

  var isTCP: Bool { if case .tcp = listen { true } else { false } }

  /// Where a browser finds the page; nil for a socket.
  package var url: String? { isTCP ? "http://\(listen)/" : nil }
}

/// The process that serves the page, apart from the sentry: whatever happens to it, watching goes on.
package enum PageRun {
  /// The token: made once, for root only.
  package static func token(_ path: String) throws(Errno) -> String {
    do throws(Errno) {
      let text = String(decoding: try Files.read(path, limit: 4096), as: UTF8.self)
      let token = String(text.prefix { !$0.isWhitespace })
      if token.utf8.count >= 16 { return token }
    } catch {
      guard error.code == ENOENT else { throw error }
    }
    if let slash = path.lastIndex(of: "/"), slash > path.startIndex { try Files.createFolder(String(path[..<slash])) }
    let token = Sessions.hex(Clock.randomKey())
    try Files.replace(path, with: Array((token + "\n").utf8), mode: 0o600)
    return token
  }

  /// From one look at the sentry's counts to the next. Without followers only seldom, so that whoever comes sees the last minutes.
  private static func pause(_ server: PageServer) -> Int64 { server.followers > 0 ? 1_000_000_000 : 5_000_000_000 }

  /// Serves until the process is ended.
  ///
  /// - Parameter parent: the sentry that started it, with which it ends; nil when it runs by itself.
  /// - Throws: when the address cannot be had.
  package static func run(_ settings: PageSettings, parent: Int32?) throws(Errno) {
    CLinux_ignore_signal(SIGPIPE)
    let token = try token(settings.tokenPath)
    let server = try PageServer(settings.listen)
    let site = Site(settings, token: token)
    if let parent { CLinux_end_with_parent(); if getppid() != parent { return } }
    var lastBeat: Int64 = 0
    while true {
      server.turn(milliseconds: Int32(max(0, (lastBeat + pause(server) - Clock.monotonic) / 1_000_000 + 1))) {
        site.answer($0)
      }
      guard Clock.monotonic >= lastBeat + pause(server) else { continue }
      lastBeat = Clock.monotonic
      let time = Clock.now
      site.beat(time)
      guard server.followers > 0 else { continue }
      // A journal that cannot be read for a moment is read at the next beat.
      if let news = try? site.news(time) { server.publish(news) }
    }
  }
}
