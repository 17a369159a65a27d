import Carrier
import Configuration
import Detection
import Fleet
import Platform
import Report
import Response
import Wire

/// This host's place in a fleet; where it has none there is nothing of it.
struct FleetCompanion {
  let notary: Notary
  let path: String
  var desk = FleetDesk()
  /// What the fleet bans and this host does not: said once a minute.
  var refusals = Lately()
  var refused: UInt64 = 0
  var browsersLost = Growth()
  var pending = FleetPending(folder: nil)
  /// What was handed to the notary.
  var handed: UInt64 = 0
}

extension Sentry {
  /// Joins or leaves, as the settings say.
  func setUpFleet() {
    let wanted = plan.configuration.fleet
    let path = wanted.file.flatMap { Files.stamp($0) == nil && !wanted.isNamed ? nil : $0 }
    if let fleet = companions.fleet {
      guard fleet.path != path else { return fleet.notary.update(Notary.Settings(wanted)) }
      fleet.notary.stop()
      companions.fleet = nil
    }
    guard let path else { return }
    do throws(Membership.Fault) {
      let membership = try Membership.read(path)
      guard membership.certificate?.body.role == .node else { throw .missing("certificate of a node") }
      let folder = plan.keptDirectory.map { "\($0)/fleet" }
      do throws(Errno) {
        companions.fleet = FleetCompanion(
          notary: try Notary(membership, Notary.Settings(wanted), folder: folder), path: path,
          pending: FleetPending(folder: folder))
      } catch { throw .system(error) }
      // Of those who had not waited long enough when the sentry was killed.
      for sighting in companions.fleet?.pending.load() ?? [] { see(sighting) }
    } catch {
      say("FLEET: \(error): this host goes on by itself", isError: true)
    }
  }

  // MARK: What this host saw

  /// A source has shown where it is, by a connection to a decoy of this host.
  func tellFleet(_ source: IPAddress, _ origin: Grounds.ProofOfOrigin) {
    guard companions.fleet != nil, origin.proof == .decoy else { return }
    let isAccused = decisions.suspects.entry(for: source)?.accusation != nil
    see(
      FleetDesk.Sighting(kind: isAccused ? .verdict : .contact, source: source, time: origin.time, port: origin.port))
  }

  private func see(_ sighting: FleetDesk.Sighting) {
    if companions.fleet?.desk.see(sighting, at: Clock.monotonic) == true { companions.fleet?.pending.add(sighting) }
  }

  /// A packet that anybody can have sent touched this host. It accuses nobody; that many hosts were touched is news to the fleet.
  func tellFleet(_ probe: Probe) {
    guard companions.fleet != nil, probe.transport == .tcp, probe.technique != .connect, !probe.isIgnored,
      !probe.isOwnAddress
    else { return }
    companions.fleet?.desk.glimpse(
      FleetDesk.Sighting(kind: .probe, source: probe.source, time: probe.time, port: probe.targetPort),
      at: Clock.monotonic)
  }

  /// This host has blocked it for a scan of its own.
  func tellFleet(_ block: Block) {
    guard companions.fleet != nil, block.network.isHost, let origin = block.record.grounds?.origin,
      origin.proof == .decoy
    else { return }
    see(FleetDesk.Sighting(kind: .verdict, source: block.network.address, time: Clock.now, port: origin.port))
  }

  /// An operator of this host lets it in: what was said of it is taken back.
  func retractFromFleet(_ records: [Block.Record], _ reason: ReleaseReason) {
    guard companions.fleet != nil, reason == .byOperator else { return }
    for record in records where record.network.isHost {
      if let sighting = companions.fleet?.desk.retract(record.network.address, at: Clock.now) {
        companions.fleet?.handed &+= 1
        companions.fleet?.notary.tell(sighting)
      }
    }
  }

  // MARK: What the fleet says

  func advanceFleet() {
    guard companions.fleet != nil else { return }
    while let word = deception.browsers.value.pop() {
      if word.isBrowsers {
        companions.fleet?.desk.dismiss(word.source)
      } else {
        companions.fleet?.desk.left(word.source)
      }
    }
    if (companions.fleet?.browsersLost.advance(to: deception.browsers.value.refused) ?? 0) > 0 {
      companions.fleet?.desk.dismissAll()
    }
    for sighting in companions.fleet?.desk.take(at: Clock.monotonic) ?? [] {
      companions.fleet?.handed &+= 1
      companions.fleet?.notary.tell(sighting)
    }
    if let fleet = companions.fleet, fleet.pending.size > 0, fleet.desk.isEmpty,
      fleet.notary.statistics.signed >= fleet.handed
    {
      companions.fleet?.pending.clear()
    }
    let news = companions.fleet?.notary.takeNews() ?? []
    let words = news.count { if case .word = $0 { true } else { false } }
    if words > Self.wordsAtOnce { return adoptMany(news) }
    for item in news {
      switch item {
      case .word(let word):
        if case .unban(let network, _) = word { companions.fleet?.desk.forget(within: network) }
        decide(.fleet(word))
      case .note(let text, let isError): say(text, isError: isError)
      }
    }
  }

  /// More than these come into force together, in one exchange with the kernel and with one line.
  private static let wordsAtOnce = 64

  private func adoptMany(_ news: [Notary.News]) {
    var bans: [FleetWord] = []
    for item in news {
      switch item {
      case .word(let word):
        if case .unban(let network, _) = word { companions.fleet?.desk.forget(within: network) }
        if case .ban = word { bans.append(word) } else { decide(.fleet(word)) }
      case .note(let text, let isError): say(text, isError: isError)
      }
    }
    let blocks = decisions.adopt(bans, circumstances)
    if blocks.isEmpty { return }
    for block in blocks { ledger.blocks.add(block) }
    say("\(blocks.count) bans of the fleet are in force")
    reconcile()
  }

  func fleetRefused(_ network: IPNetwork, _ reason: ResponsePolicy.Refusal) {
    guard companions.fleet != nil else { return }
    companions.fleet?.refused += 1
    companions.fleet?.refusals.trim()
    if companions.fleet?.refusals.holds(network.address, at: Clock.monotonic) ?? true { return }
    companions.fleet?.refusals.noteIfRoom(network.address, for: 60_000_000_000, at: Clock.monotonic)
    say("the fleet bans \(network), and it is let in here: \(reason)")
  }

  // MARK: Sight

  /// For `status`.
  var fleetRows: [(String, String)] {
    guard let fleet = companions.fleet else { return [] }
    let s = fleet.notary.statistics
    let reached = s.isConnected ? "reached" : "NOT REACHED\(s.fault.isEmpty ? "" : ", \(s.fault)")"
    var rows = [
      (
        "fleet",
        "\(reached); as \(s.name), zone \(s.zone), one of \(s.members) members; \(s.bans) bans, \(s.waiting) records wait to be told"
      )
    ]
    if !s.refused.isEmpty || fleet.refused > 0 {
      let reasons = s.refused.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
      rows.append(
        (
          "",
          "not believed: \((reasons + (fleet.refused > 0 ? ["\(fleet.refused) spared here"] : [])).joined(separator: ", "))"
        ))
    }
    return rows
  }

  var fleetJSON: JSON {
    guard let fleet = companions.fleet else { return .null }
    let s = fleet.notary.statistics
    return .object([
      "name": .string(s.name), "number": JSON(Int(s.number)), "zone": JSON(Int(s.zone)),
      "connected": .bool(s.isConnected),
      "fault": s.fault.isEmpty ? .null : .string(s.fault), "members": JSON(s.members), "bans": JSON(s.bans),
      "waiting": JSON(s.waiting), "told": JSON(s.told), "taken": JSON(s.taken), "spared": JSON(fleet.refused),
      "browsers": JSON(fleet.desk.browsers), "carrier_pid": s.carrier.map { JSON(Int($0)) } ?? .null,
      "refused": .members(s.refused.sorted { $0.key < $1.key }.map { ($0.key, JSON($0.value)) }),
    ])
  }
}

extension Sentry {
  /// For Prometheus; nothing where nobody else is heard.
  var fleetOriginMetrics: [Metric] {
    guard companions.fleet != nil || companions.crowdSec != nil else { return [] }
    return [
      Metric(
        "fleet_blocks", .gauge, "Blocks in force that rest on what others saw, by what exactly.", by: "origin",
        decisions.fleetOrigins.map { ($0.name, $0.count) })
    ]
  }
}

extension Companions {
  /// For Prometheus; nothing where there is no fleet.
  var fleetMetrics: [Metric] {
    guard let fleet else { return [] }
    let s = fleet.notary.statistics
    return [
      Metric("fleet_connected", .gauge, "1 while the fleet's engine is reached.", s.isConnected ? 1 : 0),
      Metric("fleet_members", .gauge, "Members of the fleet that are known.", UInt64(s.members)),
      Metric("fleet_bans", .gauge, "Bans of the fleet in force.", UInt64(s.bans)),
      Metric("fleet_waiting", .gauge, "Records that the engine has not taken yet.", UInt64(s.waiting)),
      Metric(
        "fleet_lag_seconds", .gauge, "How long the oldest record waits that the engine has not taken; 0 for none.",
        s.waitingSince.map { UInt64(clamping: (Clock.now - $0).components.seconds) } ?? 0),
      Metric("fleet_told_total", .counter, "Records that the engine took.", s.told),
      Metric("fleet_taken_total", .counter, "Records that came from the fleet.", s.taken),
      Metric(
        "fleet_refused_total", .counter, "Testimonies and records that were not believed, by reason.", by: "reason",
        Refusal.allCases.map { ($0.name, s.refused[$0.name] ?? 0) }),
      Metric("fleet_spared_total", .counter, "Bans of the fleet for whom this host lets in.", fleet.refused),
    ]
  }
}
