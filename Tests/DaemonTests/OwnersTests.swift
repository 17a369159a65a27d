import Configuration
import Detection
import EventLog
import Platform
@testable import Response
import TestSupport
import Testing
import Wire

@testable import Daemon

private let second: Int64 = 1_000_000_000
private let start = Timestamp(seconds: 1_700_000_000)

private func address(_ text: String) -> IPAddress { IPAddress(text)! }

private func probe(_ source: String = "203.0.113.1") -> Probe {
  Probe(
    time: start, source: address(source), sourcePort: 40_000, target: address("192.0.2.1"), targetPort: 23,
    transport: .tcp, mode: .stealth, technique: .syn)
}

@Suite struct DeadlinesTests {
  @Test func `A tick is due at once, then once a second, or when somebody wants it sooner`() {
    var deadlines = Deadlines()
    var isDue = deadlines.takesTick(at: 0)
    #expect(isDue && deadlines.next == second)
    isDue = deadlines.takesTick(at: second - 1)
    #expect(!isDue)
    deadlines.wake(at: 5 * second)
    #expect(deadlines.next == second)
    deadlines.wake(at: second / 2)
    #expect(deadlines.next == second / 2)
  }

  @Test func `The watchdog is served by half of its time, and only where there is one`() {
    var deadlines = Deadlines()
    _ = deadlines.takesTick(at: 100 * second)
    deadlines.startWatchdog(every: nil, at: 0)
    var isDue = deadlines.takesWatchdog(every: .seconds(1), at: 200 * second)
    #expect(!isDue)
    deadlines.startWatchdog(every: .seconds(10), at: 0)
    #expect(deadlines.next == 10 * second)
    isDue = deadlines.takesWatchdog(every: .seconds(10), at: 10 * second)
    #expect(isDue && deadlines.next == 20 * second)
  }

  @Test func `The start is over once, a second after it`() {
    var deadlines = Deadlines()
    var isOver = deadlines.takesStartOver(at: 100 * second)
    #expect(!isOver)
    deadlines.started(at: 100 * second)
    isOver = deadlines.takesStartOver(at: 101 * second - 1)
    #expect(!isOver)
    isOver = deadlines.takesStartOver(at: 101 * second)
    #expect(isOver)
    isOver = deadlines.takesStartOver(at: 200 * second)
    #expect(!isOver)
  }

  @Test func `What is in force is compared every minute, five seconds after a failure, and soon after a touch`() {
    var deadlines = Deadlines()
    #expect(deadlines.isReconcileDue(at: 0))
    deadlines.reconcileBegins(at: 0)
    #expect(!deadlines.isReconcileDue(at: 60 * second - 1) && deadlines.isReconcileDue(at: 60 * second))
    deadlines.reconcileFailed(at: 0)
    #expect(!deadlines.isReconcileDue(at: 5 * second - 1) && deadlines.isReconcileDue(at: 5 * second))
    deadlines.reconcileBegins(at: 0)
    _ = deadlines.takesTick(at: 0)
    deadlines.tableTouched(at: 0)
    #expect(deadlines.next == second / 10 && deadlines.isReconcileDue(at: second / 10))
    deadlines.reconcileBegins(at: 0)
    deadlines.reconcileSoon()
    #expect(deadlines.isReconcileDue(at: 0))
  }

  @Test func `The safe list is read every 30 s; after a change at once, but for a tenth of the time at most`() {
    var deadlines = Deadlines()
    deadlines.safeListRead(from: 0, to: second / 10)
    #expect(!deadlines.isSafeListDue(at: 30 * second - 1) && deadlines.isSafeListDue(at: 30 * second))
    deadlines.networkChanged(at: second / 5)
    #expect(!deadlines.isSafeListDue(at: second) && deadlines.isSafeListDue(at: second + second / 10))
    deadlines.safeListRead(from: 0, to: 0)
    deadlines.networkChanged(at: 0)
    #expect(!deadlines.isSafeListDue(at: second / 2 - 1) && deadlines.isSafeListDue(at: second / 2))
  }
}

@Suite struct OutageTests {
  @Test func `A failure is said once, and its end`() {
    var outage = Outage()
    var isNews = outage.ends()
    #expect(!isNews)
    isNews = outage.begins()
    #expect(isNews && outage.isOn)
    isNews = outage.begins()
    #expect(!isNews)
    isNews = outage.ends()
    #expect(isNews && !outage.isOn)
    isNews = outage.ends()
    #expect(!isNews)
  }
}

@Suite struct GrowthTests {
  @Test(arguments: [
    ([0, 0], [0, 0]), ([3, 3, 5], [3, 0, 2]), ([7, 2, 2], [7, 2, 0]), ([4, 0, 1], [4, 0, 1]),
  ])
  func `What has come since is told once, and a count that begins anew from its beginning`(
    _ counts: [UInt64], _ news: [UInt64]
  ) {
    var growth = Growth()
    let told = counts.map { growth.advance(to: $0) }
    #expect(told == news && growth.told == counts.last)
  }
}

@Suite struct HeldLinesTests {
  @Test func `Lines of a source come in their order, each once`() {
    var held = HeldLines()
    var said: [String] = []
    let source = address("203.0.113.1")
    #expect(!held.isAwaited(source))
    held.beginAwaiting(source)
    #expect(held.isAwaited(source))
    for number in 0..<3 {
      let isHeld = held.hold(for: source) { said.append("\(number) \($0 ?? "-")") }
      #expect(isHeld)
    }
    for line in held.take(source) { line("name") }
    #expect(said == ["0 name", "1 name", "2 name"] && held.count == 0 && !held.isAwaited(source))
    #expect(held.take(source).isEmpty)
  }

  @Test func `There is room for so many in all`() {
    var held = HeldLines()
    for number in 0..<HeldLines.capacity { _ = held.hold(for: IPAddress(v4: UInt32(number))) { _ in } }
    let isHeld = held.hold(for: address("203.0.113.1")) { _ in }
    #expect(!isHeld)
    #expect(held.takeAll().count == HeldLines.capacity && held.count == 0)
  }
}

@Suite struct ToldVerdictsTests {
  private func verdict(_ number: Int, _ verdictClass: Verdict.Class = .scan) -> Verdict {
    Verdict(verdictClass, source: IPNetwork(IPAddress(v4: UInt32(number))), first: start, last: start)
  }

  @Test func `Of one source once an hour, each kind by itself`() {
    var told = ToldVerdicts()
    #expect(told.add(verdict(1), at: 0).isTold)
    #expect(!told.add(verdict(1), at: 3_599 * second).isTold)
    #expect(told.add(verdict(1, .anomaly), at: 3_599 * second).isTold)
    #expect(told.add(verdict(1), at: 3_600 * second).isTold)
  }

  @Test func `No more than sixty in a minute; the next one says how many were left out`() {
    var told = ToldVerdicts()
    let first = (0..<75).map { told.add(verdict($0), at: 0) }
    #expect(first.count { $0.isTold } == ToldVerdicts.mostPerMinute && first.allSatisfy { $0.leftOut == 0 })
    let next = told.add(verdict(80), at: 60 * second)
    #expect(next.isTold && next.leftOut == 15)
    #expect(told.add(verdict(81), at: 120 * second).leftOut == 0)
  }
}

@Suite struct CommandsTests {
  private func wait(_ commands: inout Commands) -> [(owner: Commands.Owner, result: CommandRunner.Result)] {
    for _ in 0..<2_000 {
      _ = Poll.readable(commands.pollDescriptors, milliseconds: 10)
      let ended = commands.advance(at: Clock.monotonic)
      if !ended.isEmpty { return ended }
    }
    return []
  }

  @Test func `What ends is told with what it was for`() throws {
    var commands = Commands()
    let network = IPNetwork("203.0.113.1")!
    var isTaken = commands.submit("exit 3", for: .release(network), timeout: .seconds(60), at: Clock.monotonic)
    #expect(isTaken)
    let first = wait(&commands)
    #expect(first.map(\.owner) == [.release(network)])
    #expect(first.first?.result.outcome == .failed(status: 3, output: ""))
    isTaken = commands.submit("true", for: .job(network.address), timeout: .seconds(60), at: Clock.monotonic)
    #expect(isTaken)
    let next = wait(&commands)
    #expect(next.map(\.owner) == [.job(network.address)] && next.first?.result.outcome == .succeeded)
    #expect(commands.nextDeadline == nil && commands.advance(at: Clock.monotonic).isEmpty)
  }
}

@Suite struct BlockedFilesTests {
  private func entry(_ number: Int) -> Responded.Entry {
    Responded.Entry(
      address: IPAddress(v4: 0xcb00_7100 | UInt32(number)), time: start + .seconds(Int64(number)), port: 23,
      transport: .tcp)
  }

  private func layout(_ folder: String, _ dialect: Dialect) -> BlockedFiles.Layout {
    var plan = Plan.embedded(.stealth)
    plan.configuration.dialect = dialect
    plan.configuration.blockedFile = folder + "/blocked"
    (plan.tcpMode, plan.udpMode) = (.stealth, nil)
    return BlockedFiles.Layout(plan)
  }

  @Test func `New hosts are added to the end, ten times a second; a release writes the whole`() throws {
    try inFolder { folder in
      var files = BlockedFiles()
      let layout = layout(folder, .classic)
      let path = try #require(layout.paths[.tcp])
      #expect(layout.paths[.udp] == nil && files.due(at: 0) == .nothing)
      files.change()
      #expect(files.due(at: 0) == .whole)
      #expect(files.write(layout, hosts: [], responded: [entry(2), entry(1)], at: 0) == [])
      #expect(text(of: path)?.split(separator: "\n").map { $0.contains("203.0.113.1/") } == [true, false])
      files.hurry()
      files.add(entry(3))
      #expect(files.due(at: second) == .hosts)
      for (path, entries) in files.takeAdded(layout, at: second) {
        let takesMore = files.canAppend(to: path)
        #expect(takesMore)
        #expect(files.append(entries, to: path, layout.dialect, at: second) == nil)
      }
      #expect(text(of: path)?.split(separator: "\n").count == 3)
      files.add(entry(4))
      #expect(files.due(at: second) == .later(second + second / 10))
    }
  }

  @Test func `A line that somebody deletes is seen, once; what we wrote is not`() throws {
    try inFolder { folder in
      var files = BlockedFiles()
      let layout = layout(folder, .classic)
      let path = try #require(layout.paths[.tcp])
      _ = files.write(layout, hosts: [], responded: [entry(1), entry(2)], at: 0)
      #expect(files.edited(layout).isEmpty)
      let lines = try #require(text(of: path)).split(separator: "\n")
      try write(lines[1] + "\n", to: path)
      let edited = files.edited(layout)
      #expect(edited.map(\.present) == [[entry(2).address]] && edited.first?.transport == .tcp)
      #expect(files.edited(layout).isEmpty)
    }
  }

  @Test func `A file that is gone is written as a whole`() throws {
    try inFolder { folder in
      var files = BlockedFiles()
      let layout = layout(folder, .classic)
      let path = try #require(layout.paths[.tcp])
      let takesMore = files.canAppend(to: path)
      #expect(!takesMore)
      files.hurry()
      #expect(files.due(at: 0) == .whole)
    }
  }

  @Test func `2.x has one file of addresses`() throws {
    try inFolder { folder in
      var files = BlockedFiles()
      let layout = layout(folder, .modern)
      #expect(files.write(layout, hosts: [address("203.0.113.9")], responded: [entry(1)], at: 0) == [])
      let (entries, problem) = BlockedFile.decode(try Files.read(folder + "/blocked"))
      #expect(problem == nil && Set(entries.map(\.address)) == [address("203.0.113.9"), entry(1).address])
      #expect(files.edited(layout).isEmpty)
    }
  }

  @Test func `What cannot be written is said once a minute`() {
    var files = BlockedFiles()
    let layout = layout("/proc/nowhere", .classic)
    #expect(files.write(layout, hosts: [], responded: [], at: 0).count == 1)
    #expect(files.write(layout, hosts: [], responded: [], at: 59 * second).count == 0)
    #expect(files.write(layout, hosts: [], responded: [], at: 200 * second).count == 1)
  }
}

@Suite struct LedgerTests {
  private func table() throws -> BlockTable {
    var settings = ResponsePolicy.Settings()
    settings.tcp = .block
    let policy = ResponsePolicy(settings)
    var table = BlockTable()
    table.insert(
      try policy.order(
        IPNetwork("203.0.113.1")!, duration: nil, reason: "by operator", inForce: table.budget, now: start))
    return table
  }

  @Test func `What is added is read again`() throws {
    try inFolder { folder in
      var ledger = Ledger(directory: folder)
      let table = try table()
      for block in table.all { ledger.blocks.add(block) }
      #expect(ledger.flush(table, Offenders(), at: 0) == nil)
      var again = Ledger(directory: folder)
      var records = try again.blocks.load().records
      #expect(Array(records.keys) == [IPNetwork("203.0.113.1")!])
      let offenders = try again.offenders.load(now: start)
      #expect(offenders.count == 0)
      ledger.blocks.remove(IPNetwork("203.0.113.1")!)
      _ = ledger.flush(BlockTable(), Offenders(), at: 0)
      records = try again.blocks.load().records
      #expect(records.isEmpty)
    }
  }

  @Test func `A disk that fails is said once, tried again each second, and nothing is lost`() throws {
    try inFolder { folder in
      let missing = folder + "/later"
      var ledger = Ledger(directory: missing)
      let table = try table()
      for block in table.all { ledger.blocks.add(block) }
      let failure = ledger.flush(table, Offenders(), at: 0)
      #expect(failure?.isError == true && failure?.text.contains("would not survive a restart") == true)
      #expect(ledger.flush(table, Offenders(), at: second / 2) == nil)
      #expect(ledger.flush(table, Offenders(), at: 2 * second) == nil)
      try Files.createFolder(missing)
      let recovery = ledger.flush(table, Offenders(), at: 4 * second)
      #expect(recovery == News("\(missing)/blocks is written again; nothing was lost"))
      var again = Ledger(directory: missing)
      let records = try again.blocks.load().records
      #expect(records.count == 1)
    }
  }

  @Test func `Offenders are remembered`() throws {
    try inFolder { folder in
      var ledger = Ledger(directory: folder)
      var offenders = Offenders()
      ledger.offenders.add(offenders.note(IPNetwork("203.0.113.1")!, at: start))
      ledger.offenders.add(offenders.note(IPNetwork("203.0.113.1")!, at: start))
      _ = ledger.flush(BlockTable(), offenders, at: 0)
      var again = OffenderStore(directory: folder)
      let known = try again.load(now: start)
      #expect(known.repeats(of: IPNetwork("203.0.113.1")!, at: start) == 2)
    }
  }

  @Test func `Nothing is written where nothing is kept`() throws {
    var ledger = Ledger(directory: nil)
    let table = try table()
    for block in table.all { ledger.blocks.add(block) }
    #expect(ledger.flush(table, Offenders(), at: 0) == nil)
    let isDirty = ledger.blocks.isDirty
    #expect(!isDirty)
  }
}

@Suite struct NeededServersTests {
  @Test func `Servers that files name are spared, and those that were seen to be asked, up to a number`() {
    var servers = NeededServers()
    servers.note([(address("192.0.2.53"), 123), (address("192.0.2.67"), 67), (address("192.0.2.99"), 9)])
    let networks = servers.networks(
      named: [(ServerFiles.Server(name: "192.0.2.1", role: "a time server"), "/etc/ntp.conf")], at: 0)
    let texts = Set(networks.map { "\($0.network) \($0.reason)" })
    #expect(
      texts == [
        "192.0.2.1 a time server in /etc/ntp.conf", "192.0.2.53 a time server that a program of this host asks",
        "192.0.2.67 the DHCP server that a program of this host asks",
      ])
    servers.note((0..<1_000).map { (IPAddress(v4: 0x0a00_0000 | $0), 123) })
    #expect(servers.networks(named: [], at: 0).count == NeededServers.capacity)
  }
}

@Suite struct ServerNamesTests {
  @Test func `A name is looked up beside the caller, once an hour`() {
    let names = ServerNames()
    #expect(names.addresses(of: "localhost").isEmpty)
    names.lookUp(["localhost"], now: 0)
    var found: [IPAddress] = []
    for _ in 0..<6_000 where found.isEmpty {
      Clock.sleep(.milliseconds(10))
      found = names.addresses(of: "localhost")
    }
    #expect(found.contains { $0.isLoopback })
  }
}

@Suite struct ScribeTests {
  /// What a scribe writes to standard output and error.
  private func written(
    _ dialect: LogDialect, level: Severity = .notice, _ body: (Scribe) -> Void
  ) throws -> [String] {
    try inFolder { folder in
      let path = folder + "/out"
      try write("", to: path)
      let file = try FileDescriptor.open(path, Files.appending)
      let scribe = Scribe(
        LogSink([.stdout], level: level, outputFD: file.raw, errorFD: file.raw), in: dialect, linesPerMinute: 2)
      body(scribe)
      scribe.finish()
      scribe.flush()
      return (text(of: path) ?? "").split(separator: "\n").map(String.init)
    }
  }

  @Test func `1.2 has a line for each detection, 2.x for each event, people for neither`() throws {
    func speak(_ scribe: Scribe) {
      scribe.alert(probe())
      scribe.sayEvent(probe(), .waiting)
    }
    let classic = try written(.classic, speak)
    #expect(classic == ["attackalert: TCP SYN/Normal scan from host: 203.0.113.1/203.0.113.1 to TCP port: 23"])
    #expect(try written(.modern, speak).count == 1)
    #expect(try written(.native, speak).isEmpty)
  }

  @Test func `Beyond LOG_LIMIT the lines of a source are counted`() throws {
    let lines = try written(.classic) { scribe in for _ in 0..<5 { scribe.alert(probe()) } }
    #expect(lines.count == 3 && lines.last?.contains("3") == true)
  }

  @Test func `Whoever is unproven is named, or his scan is`() throws {
    let lines = try written(.classic) { $0.sayUnproven(address("203.0.113.1"), isLiedTo: true) }
    #expect(
      lines.count == 1
        && lines[0].hasSuffix("nothing proves that it sent this (PROOF); until something does, it is shown decoys"))
    var verdict = Verdict(.scan, source: IPNetwork("203.0.113.1")!, first: Clock.now, last: Clock.now)
    (verdict.ports, verdict.probes) = (4, 4)
    let people = try written(.native) {
      $0.say(verdict)
      $0.sayUnproven(address("203.0.113.1"), isLiedTo: true)
    }
    #expect(people.count == 2 && !people.contains { $0.contains("nothing proves that it sent this") })
  }

  @Test func `The history is written with what it is about`() throws {
    try inFolder { folder in
      let scribe = Scribe(LogSink([], level: .notice), in: .native, linesPerMinute: 0)
      scribe.keep(Owned(HistoryFile(path: folder + "/history", form: .both)))
      scribe.sayEvent(probe(), .blocked)
      scribe.list(
        Responded.Entry(address: address("203.0.113.1"), time: start, port: 23, transport: .tcp), probe())
      scribe.flush()
      #expect(text(of: folder + "/history")?.split(separator: "\n").count == 2)
      #expect(scribe.historyLost == 0)
    }
  }
}

@Suite struct MemoryKeeperTests {
  @Test func `What the sensor hands over is on disk at the end, and nothing is kept without a folder`() throws {
    try inFolder { folder in
      let link = try SensorLink()
      link.shared.withLock { $0.memory = [1, 2, 3] }
      let keeper = MemoryKeeper(directory: folder)
      #expect(keeper.finish(link) == nil)
      #expect(try Files.read(folder + "/sources") == [1, 2, 3])
      link.shared.withLock { $0.memory = [4] }
      keeper.keep(link)
      #expect(link.shared.withLock { $0.memory } == nil)
      #expect(keeper.finish(link) == nil)
      #expect(try Files.read(folder + "/sources") == [4])
      link.shared.withLock { $0.memory = [5] }
      MemoryKeeper(directory: nil).keep(link)
      #expect(link.shared.withLock { $0.memory } == nil)
    }
  }
}

@Suite struct IgnoreListTests {
  @Test func `Says who names an address: the operator before the file`() {
    var plan = Plan.embedded(.stealth)
    plan.ignored = IPNetworkSet([IPNetwork("192.0.2.0/24")!])
    var list = IgnoreList(plan)
    #expect(list.reason(for: address("192.0.2.1")) == "the ignore file names it")
    #expect(list.reason(for: address("203.0.113.1")) == nil)
    let isTaken = list.allowed.add(
      Allowances.Entry(network: IPNetwork("192.0.2.1")!, since: start, until: nil))
    #expect(isTaken)
    #expect(list.reason(for: address("192.0.2.1")) == "it was allowed (`portsentry allow`)")
    #expect(list.all.contains(address("192.0.2.1")) && list.all.contains(address("192.0.2.2")))
  }
}

@Suite struct SensorLinkTests {
  @Test func `What waits unread has a bound`() throws {
    let link = try SensorLink()
    let contact = Contact(time: start, source: address("203.0.113.1"), sourcePort: 1, target: .unspecified, port: 23)
    for _ in 0..<2_000 { link.tell(contact) }
    for _ in 0..<200 { link.notify(.watchingAgain) }
    #expect(link.shared.withLock { $0.contacts.count } == 1_024)
    #expect(link.takeNotices().count == 100)
    #expect(link.takeNotices().isEmpty)
  }
}

/// What a `Blocker` does where it needs no kernel table.
@Suite struct BlockerTests {
  private func job(_ settings: ResponsePolicy.Settings, _ source: String = "203.0.113.1") throws -> Block {
    try ResponsePolicy(settings).order(
      IPNetwork(source)!, duration: .seconds(60), reason: "by operator", inForce: BlockBudget(), now: start)
  }

  /// The effect of each step that an order makes.
  private func effects(_ settings: ResponsePolicy.Settings, _ source: String = "203.0.113.1") -> [Effect] {
    var blocker = Blocker(settings)
    var decisions = Decisions(Decisions.Settings(), ResponsePolicy(settings))
    let circumstances = Circumstances(at: start, monotonic: 0) { Conversations() }
    var effects: [Effect] = []
    var next: Decisions.Event? = .order(IPNetwork(source)!, duration: .seconds(60), reason: "by operator")
    while let event = next {
      next = nil
      for case .attempt(let attempt) in decisions.handle(event, circumstances) {
        let effect = blocker.attempt(attempt, at: start)
        effects.append(effect)
        next = .attempted(effect)
      }
    }
    return effects
  }

  private func settings(_ change: (inout ResponsePolicy.Settings) -> Void) -> ResponsePolicy.Settings {
    var settings = ResponsePolicy.Settings()
    settings.tcp = .block
    change(&settings)
    return settings
  }

  @Test func `A line of hosts.deny is written once, and taken out again`() throws {
    try inFolder { folder in
      let settings = settings {
        $0.methods = [.hostsDeny]
        $0.killHostsDeny = "ALL: $TARGET$"
        $0.hostsDenyFile = folder + "/hosts.deny"
      }
      try write("", to: settings.hostsDenyFile)
      #expect(effects(settings) == [.took(.hostsDeny("ALL: 203.0.113.1"))])
      #expect(effects(settings) == [.alreadyInHostsDeny])
      var blocker = Blocker(settings)
      let block = try job(settings)
      let lifted = blocker.lift([block.record])
      #expect(lifted.problems == [[]] && lifted.setsFailed == nil)
      #expect(text(of: settings.hostsDenyFile)?.contains("203.0.113.1") == false)
    }
  }

  @Test func `Templates without a target, and commands that cannot be meant, are not run`() {
    let noTarget = settings {
      ($0.methods, $0.killHostsDeny, $0.killRoute) = ([.hostsDeny, .command], "ALL: all", "/bin/false")
    }
    #expect(effects(noTarget) == [.noTarget(in: "KILL_HOSTS_DENY"), .noTarget(in: "KILL_ROUTE")])
    let classic = settings { ($0.methods, $0.killRoute) = ([.command], "/sbin/iptables -I INPUT -s $TARGET$ -j DROP") }
    guard case .unfit = effects(classic, "2001:db8::1").first else {
      Issue.record("iptables knows no IPv6")
      return
    }
  }

  @Test func `How to undo a strange command is not known, and is said`() throws {
    let settings = settings { ($0.methods, $0.killRoute) = ([.command], "/usr/local/bin/shut $TARGET$") }
    var blocker = Blocker(settings)
    let lifted = blocker.lift([try job(settings).record])
    #expect(lifted.problems.first?.first?.hasPrefix("it is not known how to undo KILL_ROUTE") == true)
  }

  @Test func `A command is started and waited for`() {
    let settings = settings { ($0.methods, $0.killRoute) = ([.command], "true $TARGET$") }
    #expect(effects(settings) == [.running])
  }
}
