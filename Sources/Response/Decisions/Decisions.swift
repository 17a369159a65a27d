import Detection
import Wire

/// Who is shut out, why, and until when: events in, actions out. No clock, no descriptor, and no word of the log's.
///
/// One event is taken at a time. An action that may fail (`Attempt`) is the last of its list; what came of it is the next event, and
/// what was left to do waits on the agenda, so that each decision knows how those before it ended.
package struct Decisions {
  package struct Settings: Sendable, Equatable {
    /// Whose words the log has: those of 1.2 have an order of their own.
    package var dialect = LogDialect.native
    package var tcpMode: Mode?
    package var udpMode: Mode?
    /// The TCP ports that are watched.
    package var watched = PortSet()
    /// `SCAN_TRIGGER`.
    package var scanTrigger = 1
    /// `-L` of 2.x.
    package var actsOnOwnAddress = false
    /// The history has 1.2's lines in the words of 2.x: with BLOCK 0, too, where 1.2 wrote them.
    package var listsUnblocked = false
    /// What makes a scan by the native rule, in thousandths of a nat.
    package var verdictThreshold: Int32 = 4595

    package init() {}

    func mode(_ transport: TransportProtocol) -> Mode? { transport == .tcp ? tcpMode : udpMode }
  }

  package struct Counters: Sendable, Equatable {
    package var probes: UInt64 = 0
    package var ignored: UInt64 = 0
    package var untriggered: UInt64 = 0
    package var alerts: UInt64 = 0
    package var blocks: UInt64 = 0
    package var releases: UInt64 = 0
    package var refused: UInt64 = 0
    package var failed: UInt64 = 0
    /// Connections to decoys, and sources that proved themselves by one or at a listener.
    package var contacts: UInt64 = 0
    package var proven: UInt64 = 0
  }

  /// What is left to do, the next one last.
  enum Duty {
    case handle(Probe)
    case follow(IPAddress, Probe, at: Timestamp)
    case sayVerdict(Verdict)
    case openGate(IPAddress)
    case count(Setups.Request)
    case conclude(Job)
    case retryFleet(IPNetwork)
  }

  package internal(set) var settings: Settings
  package internal(set) var policy: ResponsePolicy
  /// Whom something speaks against, and who has proven to be there.
  package internal(set) var suspects = Suspects()
  package internal(set) var offenders = Offenders()
  package internal(set) var aggregation = Aggregation()
  /// What should be in force.
  package internal(set) var table = BlockTable()
  /// `--trial`; nil where there is none, or it was confirmed.
  package internal(set) var trial: Trial?
  package internal(set) var responded = Responded()
  package internal(set) var counters = Counters()
  /// Responses of which a command has not ended, by source.
  var jobs: [IPAddress: Job] = [:]
  /// Sources whose response failed, and those whose refusal was said.
  var retries = Lately()
  var refusals = Lately()
  var unproven = Unproven()
  /// Who has a line in that history and is in no list.
  var noted = Responded()
  var announcements = Announcements()
  var cookies = CookieContacts()
  var setups = Setups()
  var fleet = FleetWatch()
  private var agenda: [Duty] = []
  private var attempting: Attempt?
  private var actions: [Action] = []
  /// What the event at hand finds.
  var here = Circumstances.none

  package init(_ settings: Settings, _ policy: ResponsePolicy, trial: Trial? = nil) {
    self.settings = settings
    self.policy = policy
    self.trial = trial
  }

  /// Takes one event.
  ///
  /// - Returns: what is to be done, in this order. Where the last is an attempt, the next event says what came of it.
  package mutating func handle(_ event: Event, _ circumstances: Circumstances) -> [Action] {
    here = circumstances
    begin(event)
    while attempting == nil, let duty = agenda.popLast() { perform(duty) }
    defer { actions = [] }
    return actions
  }

  /// Whether a command decides about a source.
  package func isResponding(to source: IPAddress) -> Bool { jobs[source] != nil }

  private mutating func begin(_ event: Event) {
    if let attempt = attempting {
      guard case .attempted(let effect) = event else { preconditionFailure("an attempt has not been answered") }
      attempting = nil
      attempted(attempt, effect)
      return
    }
    switch event {
    case .probe(let probe): handle(probe)
    case .contact(let contact): meet(contact)
    case .verdict(let verdict): handle(verdict)
    case .customers(let addresses):
      for address in addresses where isHonest(address) { noteHonest(address, .memberHonest(address)) }
    case .setup(let source, let families):
      if setups.isUntold(source) { afterwards(.openGate(source)) }
      setups.answered(source, families, at: here.monotonic)
    case .attempted: preconditionFailure("nothing was attempted")
    case .commandEnded(let source, let command, let outcome): commandEnded(source, command, outcome)
    case .tick:
      retries.trim()
      refusals.trim()
      for request in setups.takeDue(at: here.monotonic).reversed() { afterwards(.count(request)) }
      endTrial()
      sayUnproven()
      retryFleet()
    case .expiry:
      let over = table.removeExpired(at: here.time)
      if !over.isEmpty { release(over, .expired) }
      for block in over.reversed() where fleet.waiting[block.network] != nil { afterwards(.retryFleet(block.network)) }
    case .order(let network, let duration, let reason): order(network, duration, reason)
    case .letIn(let network): act(.answer(letIn(network)))
    case .letAllIn: letAllIn()
    case .confirmTrial: confirmTrial()
    case .allowed(let network):
      suspects.forget(within: network)
      setups.forget(within: network)
    case .ignored(let networks): ignore(networks)
    case .safe(let networks): spare(networks)
    case .settings(let settings, let policySettings):
      self.settings = settings
      policy.settings = policySettings
    case .narrowed:
      let blocks = table.unordered.filter { policy.isTooWide($0.record) }
      if !blocks.isEmpty { release(Array(blocks), .tooWide) }
    case .over(let records): release(records, .expired)
    case .listed(let addresses, let transport): unlist(addresses, transport)
    case .fleet(let news): hear(news)
    }
  }

  private mutating func perform(_ duty: Duty) {
    switch duty {
    case .handle(let probe): handle(probe)
    case .follow(let member, let probe, let time): follow(member, probe, at: time)
    case .sayVerdict(let verdict): act(.sayVerdict(verdict))
    case .openGate(let source):
      // A job whose command still runs goes on; the block is in force, or refused, or not asked for otherwise.
      if jobs[source] == nil, !setups.isUntold(source) { act(.openGate(source)) }
    case .count(let request): count(request)
    case .conclude(let job): settle(job)
    case .retryFleet(let network): retryFleet(network)
    }
  }

  // MARK: For the rest of this type

  mutating func act(_ action: Action) { actions.append(action) }

  /// Asks for an attempt; nothing more is done before its effect is known.
  mutating func attempt(_ attempt: Attempt) {
    attempting = attempt
    act(.attempt(attempt))
  }

  /// What is to be done after that at hand, before what was left already.
  mutating func afterwards(_ duty: Duty) { agenda.append(duty) }

  // MARK: Conversations

  /// Whether an address is in conversation with a service of this host, over TCP.
  func isServed(_ address: IPAddress) -> Bool { here.conversations.served.contains(address) }

  /// Whether this host has opened a TCP connection to an address, over which both sides talk.
  func isAsked(_ address: IPAddress) -> Bool { here.conversations.asked.contains(address) }

  /// Whether it may be said of an address that it is not blocked: once a minute. Asking is saying.
  mutating func isNews(of address: IPAddress) -> Bool {
    if refusals.holds(address, at: here.monotonic) { return false }
    refusals.note(address, for: Self.minute, at: here.monotonic)
    return true
  }

  static let minute: Int64 = 60_000_000_000
}
