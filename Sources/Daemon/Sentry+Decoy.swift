import Detection
import EventLog
import Platform
import Response
import Wire

/// What stands between strangers and the truth: the decoy's thread, and the rules that steer to it.
struct Deception {
  enum State: Equatable {
    /// Nothing in the configuration asks for it.
    case off
    case active
    /// It was asked for and is not to be had; in words.
    case failed(String)
  }

  let link: DecoyLink
  let queue = BoundedQueue<Contact>(capacity: 8_192)
  let contacts: Owned<BoundedQueue<Contact>.Consumer>
  let browserQueue = BoundedQueue<DecoyWord>(capacity: 1_024)
  /// Who spoke to a decoy as a browser does, and who left without a word; asked for by a fleet.
  let browsers: Owned<BoundedQueue<DecoyWord>.Consumer>
  var thread: Owned<Thread?> = Owned(nil)
  /// What the rules lie about at this moment.
  var trap: NFTablesTrap?
  var doors: (v4: NFTablesTrap.Door?, v6: NFTablesTrap.Door?)?
  var state = State.off
  /// Why the decoy cannot listen; it is tried once.
  var decoyFailure: String?
  /// The decoy's listeners; nil before there are any.
  var group: DecoyGroup?
  /// Whether many ask decoys, and what of that was lost before it was counted.
  var demand = DecoyDemand()
  /// Whether decoys may answer with SYN cookies, or may have.
  var meetsCookies = DecoyQueue.alwaysSendsCookies
  var losses = Growth()
  /// Closes before a block does; nil where it is not needed, or not to be had.
  var gate: Owned<HandshakeGate>?
  var hasTriedGate = false
  var rest = PortRest()
  var contactDrops = Growth()
  var doubtsLost = Growth()

  init() throws(Errno) {
    link = try DecoyLink()
    contacts = Owned(queue.makeConsumer())
    browsers = Owned(browserQueue.makeConsumer())
  }
}

extension Sentry {
  /// Makes the kernel lie as configured, and only as far: called whenever settings, modes, or those who are spared change.
  func refreshTrap() {
    guard var trap = plan.trap(options) else {
      removeTrap()
      deception.state = .off
      return
    }
    let settings = DecoyLink.Settings(
      banner: plan.configuration.portBanner, holds: plan.configuration.decoyTarpit,
      hears: companions.fleet != nil)
    deception.link.update { $0.settings = settings }
    openDecoy()
    guard let doors = deception.doors else {
      failDeception("the decoy cannot listen: \(deception.decoyFailure ?? "")")
      return
    }
    (trap.v4, trap.v6) = (doors.v4, doors.v6)
    let now = Clock.monotonic
    trap.closed4.formUnion(deception.rest.ports(v4: true, at: now))
    trap.closed6.formUnion(deception.rest.ports(v4: false, at: now))
    trap.bridges = DecoyWay.filteredBridges(with: surroundings.reader).filter {
      trap.interfaces.isEmpty || trap.interfaces.contains($0)
    }
    trap.mayMeetCookies = deception.meetsCookies
    trap.spared = IPNetworkSet(decisions.policy.safe.entries.map(\.network) + plan.ignored.sorted)
    guard trap != deception.trap || deception.state != .active else { return }
    do throws(ResponderError) {
      try blocker.setTrap(trap)
      deception.trap = trap
      if case .failed = deception.state { say("strangers are deceived again") }
      deception.state = .active
      refreshGate()
      decoysChanged()
    } catch {
      failDeception("\(error)")
    }
  }

  /// No decoy stands in at once for a service that has ended: monitors and balancers would be told that it is there.
  func restPorts() {
    let statistics = link.shared.withLock { $0.statistics }
    if deception.rest.update(
      served: statistics.servedTCP, everywhere4: statistics.everywhere4, everywhere6: statistics.everywhere6,
      at: Clock.monotonic), deception.state == .active
    {
      refreshTrap()
    }
  }

  /// Puts the gate before the sockets, where proof makes blocks.
  func refreshGate() {
    guard plan.configuration.response.doubts else {
      deception.gate = nil
      return
    }
    do throws(Errno) {
      if deception.gate == nil, !deception.hasTriedGate {
        deception.hasTriedGate = true
        deception.gate = Owned(try HandshakeGate.open(listeners: deception.group?.listeners ?? []))
      }
      try deception.gate?.value.catchesAll(
        plan.configuration.response.rule == .classic && plan.configuration.scanTrigger <= 1
          && decisions.trial?.isOver != true)
    } catch {
      deception.gate = nil
      say(
        "\(error): a few packets may pass between the proof and the block, since no eBPF program can shut the source out at once"
      )
    }
  }

  /// The block of a source is in force, or none is to come: the gate lets go of it.
  func openGate(_ source: IPAddress) { try? deception.gate?.value.release(source) }

  private func failDeception(_ reason: String) {
    deception.trap = nil
    if deception.state == .failed(reason) { return }
    deception.state = .failed(reason)
    say(
      "NO DECEPTION: \(reason). Unused ports answer as closed, and a source with an unverified address is only logged",
      isError: true)
  }

  /// Takes the lies away; the bans stay.
  func removeTrap() {
    guard deception.trap != nil else { return }
    deception.trap = nil
    do throws(ResponderError) { try blocker.setTrap(nil) } catch {
      say(
        "the rules that deceive strangers could not be removed: \(error); without the decoy they do nothing",
        isError: true)
    }
  }

  private func openDecoy() {
    guard deception.doors == nil, deception.decoyFailure == nil else { return }
    do throws(Errno) {
      FileLimit.raise(to: UInt(Decoy.capacity + 2 * DecoyQueue.most + 2_048))
      let decoy = try Decoy.open(
        contacts: deception.queue.makeProducer(), browsers: deception.browserQueue.makeProducer(), link: deception.link,
        sentry: link)
      deception.doors = (decoy.v4, decoy.v6)
      deception.group = decoy.group
      if let failure = decoy.yieldFailure {
        say(
          "\(failure): a service that does not set SO_REUSEADDR cannot take a port while a stranger holds a connection to its decoy"
        )
      }
      let handover = Handover(decoy)
      deception.thread.value = try Thread.start(name: "decoy") { handover.take()?.run() }
    } catch {
      deception.doors = nil
      deception.decoyFailure = "\(error)"
    }
  }

  /// Makes the queue of half-open connections longer before it is full.
  ///
  /// - Parameter probes: how many were seen since the last call.
  func noteDemand(_ probes: Int) {
    guard deception.demand.isHigh(adding: probes, at: Clock.monotonic) else { return }
    expectCookies()
    guard var group = deception.group, !group.isLong else { return }
    defer { deception.group = group }
    do throws(Errno) {
      try group.lengthen(to: DecoyQueue.listeners()) { (fresh) throws(Errno) in
        try deception.gate?.value.watch(fresh)
        try visibility.test?.value.watch(fresh)
      }
    } catch {
      say(
        "\(error): a flood of half-open connections may tell decoys from services, since their queue cannot be made longer"
      )
    }
  }

  /// From now on decoys may answer with SYN cookies. The rules know that long before a queue is full: at rest it has sixteen times as
  /// many places as make a demand.
  private func expectCookies() {
    guard !deception.meetsCookies else { return }
    deception.meetsCookies = true
    if deception.state == .active { refreshTrap() }
  }

  /// What came to decoys and was not told as a probe.
  func noteLostDemand() {
    let statistics = link.shared.withLock { $0.statistics }
    let lost = statistics.ringDropped &+ statistics.dismissed[Int(Detector.Dismissal.flood.rawValue)] &+ intake.refused
    // More than enough is enough.
    noteDemand(Int(min(deception.losses.advance(to: lost), UInt64(DecoyDemand.enough) * 2)))
  }

  /// Ends the decoy's thread and takes our rules away; what is blocked stays blocked.
  func endDeception() {
    removeTrap()
    deception.gate = nil
    deception.link.update { $0.isStopping = true }
    deception.thread.value.take()?.join()
    deception.group?.close()
    let hasBans = decisions.table.unordered.contains { $0.methods.contains(.nftables) }
    if !hasBans { try? blocker.removeTable() }
  }

  /// Says what found no room: doubts, and connections of the decoy's.
  func reportLostDoubts() {
    if DecoyQueue.alwaysSendsCookies { expectCookies() }
    try? deception.gate?.value.rest()
    if case .active = deception.state, let lost = try? blocker.doubtsLost() {
      // The count begins anew with the rules.
      let news = deception.doubtsLost.advance(to: lost)
      if news > 0 {
        keep(.lost(.doubts, count: news, at: Clock.now))
        say("more sources were doubted than there is room for (\(news) packets): everybody is deceived for a while")
      }
    }
    let refused = deception.contactDrops.advance(to: deception.contacts.value.refused)
    if refused > 0 { say("\(refused) connections to decoys came faster than they could be taken", isError: true) }
  }
}
