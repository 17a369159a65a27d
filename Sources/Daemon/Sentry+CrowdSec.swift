import CrowdSec
import Detection
import EventLog
import Platform
import Report
import Response
import Wire

/// CrowdSec, both ways: it is told of our bans and scans, and its decisions are heard here. What came from there is never told back.
extension Sentry {
  /// Begins, changes or ends it, as the settings say.
  func setUpCrowdSec() {
    let wanted = plan.configuration.crowdSec
    guard companions.crowdSec?.settings ?? CrowdSecSettings() != wanted else { return }
    if let client = companions.crowdSec {
      for network in client.banned { decide(.fleet(.crowdSecWatch(network, until: nil, at: time.now))) }
      client.stop()
      companions.crowdSec = nil
    }
    if wanted.isOn { companions.crowdSec = CrowdSecClient(wanted, confiner: ConsoleProcess.program) }
    liftCrowdSecBans()
  }

  /// Where its bans are not followed any more none of them stays, nor one of before a restart.
  func liftCrowdSecBans() {
    let wanted = plan.configuration.crowdSec
    guard wanted.keyFile == nil || wanted.use == .watch else { return }
    for network in decisions.crowdSecBans { decide(.fleet(.crowdSecLift(network))) }
  }

  // MARK: What it is told

  /// A block is in force, or lasts longer.
  func tellCrowdSec(_ block: Block) {
    guard let client = companions.crowdSec, client.isTold, block.record.isNewsForCrowdSec else { return }
    let record = block.record
    var meta: CrowdSecAlert.Meta = [("mode", record.modeName)]
    if !record.isWithoutProbe { meta += [("target_port", "\(record.port)"), ("protocol", record.transport.name)] }
    if let cause = record.fleetCause { meta.append(("fleet", FleetCause.hosts(cause.witnesses))) }
    client.tell(
      .alert(
        CrowdSecAlert.ban(
          record.network, until: record.until, reason: record.fullReason, host: Host.name, meta, now: time.now)))
  }

  /// A block has ended. One whose time is over is over there as well.
  func tellCrowdSec(released records: [Block.Record], _ reason: ReleaseReason) {
    guard let client = companions.crowdSec, client.isTold, reason != .expired else { return }
    for record in records where record.isNewsForCrowdSec { client.tell(.release(record.network)) }
  }

  /// A source is a scanner.
  func tellCrowdSec(_ verdict: Verdict) {
    guard let client = companions.crowdSec, verdict.verdictClass == .scan, verdict.kind != .distributed,
      client.mayTell(of: verdict.source.address, at: time.monotonic)
    else { return }
    let meta: CrowdSecAlert.Meta = [
      ("kind", verdict.kind.name), ("tool", verdict.tool.name), ("ports", "\(verdict.ports)"),
      ("probes", "\(verdict.probes)"), ("target_port", "\(verdict.port)"), ("protocol", verdict.transport.name),
      ("techniques", verdict.techniques.techniques.map(\.name).joined(separator: " ")),
      ("origin", verdict.origin.name),
    ]
    client.tell(
      .alert(
        CrowdSecAlert.scan(
          verdict.source, from: verdict.first, to: verdict.last, isProven: verdict.origin == .proven,
          words: "\(verdict.kind.name) scan of \(Units.plural(verdict.ports, "port"))", host: Host.name, meta)))
  }

  // MARK: What it decides

  func advanceCrowdSec() {
    guard let client = companions.crowdSec else { return }
    let wasWhole = client.isWhole
    let (changes, news) = client.advance(at: time.monotonic, time: time.now)
    for item in news { say(item.text, isError: item.isError) }
    for change in changes { hear(change, client) }
    client.bansAMinute = decisions.policy.settings.perMinute
    for ban in client.takeBans(at: time.monotonic) { follow(ban.network, until: ban.until, ban.scenario) }
    // Bans of before a restart for which there is no decision any more.
    if client.isWhole, !wasWhole, client.settings.use == .ban {
      let banned = client.banned
      for network in decisions.crowdSecBans where !banned.contains(network) { decide(.fleet(.crowdSecLift(network))) }
    }
  }

  private func hear(_ change: DecisionBook.Change, _ client: CrowdSecClient) {
    switch (change, client.settings.use) {
    case (.begins(let network, let until, _), .watch):
      decide(.fleet(.crowdSecWatch(network, until: until, at: time.now)))
    case (.ends(let network), .watch): decide(.fleet(.crowdSecWatch(network, until: nil, at: time.now)))
    case (.begins(let network, let until, let scenario), .ban):
      // One that is followed already gets its new end at once.
      if decisions.followsCrowdSec(network) { follow(network, until: until, scenario) } else { client.follow(network) }
    case (.ends(let network), .ban):
      client.followNoMore(network)
      decide(.fleet(.crowdSecLift(network)))
    }
  }

  private func follow(_ network: IPNetwork, until: Timestamp, _ scenario: String) {
    let name = scenario.isEmpty ? "-" : scenario
    decide(.fleet(.ban(network, until: until, FleetCause(.crowdSec(scenario: name), [.crowdSec(at: time.now)]))))
  }

  // MARK: Sight

  var crowdSecJSON: JSON {
    guard let client = companions.crowdSec else { return .null }
    let s = client.statistics
    return .object([
      "failing": .bool(s.isFailing), "told": JSON(s.told), "waiting": JSON(s.waiting), "lost": JSON(s.lost),
      "scans_left_out": JSON(client.scansLeftOut), "decisions": JSON(s.decisions), "refused": JSON(s.refused),
      "use": .string(client.settings.use.rawValue),
    ])
  }
}

extension Companions {
  /// For Prometheus; nothing where CrowdSec is not asked and not told.
  var crowdSecMetrics: [Metric] {
    guard let crowdSec else { return [] }
    let s = crowdSec.statistics
    return [
      Metric(
        "crowdsec_failing", .gauge, "1 while CrowdSec's local API does not answer, or refuses.", s.isFailing ? 1 : 0),
      Metric("crowdsec_alerts_total", .counter, "Alerts that CrowdSec's local API took.", s.told),
      Metric("crowdsec_alerts_lost_total", .counter, "Alerts that were given up.", s.lost),
      Metric("crowdsec_alerts_waiting", .gauge, "Alerts that wait.", UInt64(s.waiting)),
      Metric("crowdsec_decisions", .gauge, "Decisions of CrowdSec's that are heard here.", UInt64(s.decisions)),
    ]
  }
}
