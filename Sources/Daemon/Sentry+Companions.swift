import Configuration
import Confinement
import Notify
import Platform
import Report
import Wire

/// The programs that run beside the sentry.
struct Companions {
  /// Serves the page; nil where there is none.
  var console: ConsoleProcess?
  /// Keeps what happens; nil where nothing is to be kept.
  var recorder: Recorder?
  /// Tells somebody what happens; nil where nobody is to be told.
  var notify: NotifyClient?
  /// Tells other hosts what this one saw; nil where this host is of no fleet.
  var fleet: FleetCompanion?
  /// Exchanges bans with CrowdSec; nil where nothing is exchanged.
  var crowdSec: CrowdSecClient?

  /// To be polled.
  var descriptors: [Int32] {
    (console?.descriptors ?? []) + (notify?.descriptors ?? []) + (fleet.map { [$0.notary.toSentry.fd] } ?? [])
      + (crowdSec?.descriptors ?? [])
  }

  /// When one of them has something to do, whatever the descriptors say.
  var due: Int64? { [console?.due, notify?.due, fleet?.desk.due, crowdSec?.due].compactMap(\.self).min() }

  /// What `protection` and the messages about it say, for Prometheus.
  func metrics(_ protection: Protection) -> [Metric] {
    [
      Metric(
        "decoys_hidden", .gauge, "Ways to this host on which its firewall hides the decoys.",
        UInt64(protection.hiding.count)),
      Metric(
        "protection_lost", .gauge, "1 while there are no decoys where there should be, or blocks may not be in force.",
        by: "what", [("decoys", protection.decoyFault == nil ? 0 : 1), ("blocks", protection.blocksInDoubt ? 1 : 0)]),
      Metric("notifications_sent_total", .counter, "Messages of NOTIFY that were taken.", notify?.sent ?? 0),
      Metric("notifications_failed_total", .counter, "Messages of NOTIFY that were given up.", notify?.failed ?? 0),
    ] + fleetMetrics + crowdSecMetrics
  }

  func stop() {
    console?.stop()
    notify?.stop()
    fleet?.notary.stop()
    crowdSec?.stop()
  }
}

extension Sentry {
  /// Starts or ends the page, as the settings say.
  func setUpConsole() {
    companions.console?.stop()
    companions.console = nil
    // The page's token would be read back from there.
    guard let listen = plan.configuration.recording.consoleListen, plan.keptDirectory != nil else { return }
    var arguments = [
      "console", "--listen", "\(listen)", "--journal", plan.journalPath, "--control-socket",
      plan.configuration.controlSocket, "--parent", String(Version.processID),
    ]
    if let path = plan.configurationPath { arguments += ["-c", path] }
    if let account = PageUser.current.account {
      do throws(Errno) { try door.control.admit(account.user, group: account.group) } catch {
        say("\(error): the page, which runs as user \(account.name), cannot ask the sentry", isError: true)
      }
    }
    companions.console = ConsoleProcess(arguments: arguments)
  }

  /// Whom to tell, as the settings say. What was sent within the last hour still counts.
  func setUpNotify() {
    let settings = plan.configuration.recording.notify
    if let notify = companions.notify {
      notify.update(settings)
    } else if settings.target != nil {
      companions.notify = NotifyClient(settings, confiner: ConsoleProcess.program)
    }
  }

  func advanceCompanions() {
    advanceConsole()
    advanceFleet()
    advanceCrowdSec()
    switch companions.notify?.advance(now: Clock.monotonic, time: Clock.now) {
    case nil: break
    case .failed(let why):
      say("NOTIFY: a message could not be sent: \(why); it is tried again, and watching goes on", isError: true)
    case .worksAgain: say("NOTIFY: messages are sent again")
    }
  }

  private func advanceConsole() {
    guard let console = companions.console else { return }
    let notice = console.advance(now: Clock.monotonic)
    door.control.page.pid = console.pid
    guard let notice else { return }
    let place = plan.configuration.recording.consoleListen.map { "\($0)" } ?? ""
    switch notice {
    case .started: say("The page is served on \(place); `portsentry console --url` shows the way in")
    case .ended(let why):
      say("the page on \(place) is not served: \(why); it is tried again, and watching goes on", isError: true)
    }
  }

  /// What protects this host now.
  var protection: Protection {
    var protection = Protection()
    protection.hiding = hiddenWays
    if case .failed(let why) = deception.state { protection.decoyFault = why }
    protection.blocksInDoubt = comparison.outage.isOn || !blocker.enforcer.isUp
    protection.isJournalFailing = recorder?.statistics.isFailing ?? false
    protection.lostLines = UInt64(scribe.lost) &+ scribe.historyLost
    return protection
  }

  /// Looks once a second whether a protection is lost.
  func observeProtection() {
    let lost = UInt64(scribe.lost) &+ scribe.historyLost
    if lost > linesLost.count { linesLost = (lost, time.now) }
    companions.notify?.observe(protection, now: Clock.monotonic, time: Clock.now)
  }
}
