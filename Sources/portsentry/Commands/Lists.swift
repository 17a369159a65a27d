import ArgumentParser
import Daemon
import Database
import Detection
import Journal
import Platform
import Report
import Wire

private let exitCodes =
  "Exit status: 0 done; 64 wrong usage; 65 the journal is damaged; 69 there is no journal; 77 no permission."

struct Status: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Say what is watched, what comes in, what is lost, who is most active, and whether all is well.",
    usage: "portsentry status [<options>]",
    discussion: """
      Exit status: 0 done; 64 wrong usage; 69 no sentry runs; 77 no permission. With --nagios: 0 OK, 1 WARNING, \
      2 CRITICAL, 3 UNKNOWN.
      """)

  @OptionGroup var options: JournalOptions
  @Flag(help: "Print one line for Nagios or Icinga, and end with the state it names.")
  var nagios = false
  @Flag(help: "List the processes of the running sentry: their users and what they may do.")
  var health = false

  func validate() throws {
    if nagios, options.json || health { throw ValidationError("Use --nagios alone.") }
  }

  func run() throws {
    if nagios { return try answerNagios() }
    if health { return try options.access.control.ask(.health(json: options.json), isJSON: options.json) }
    if options.json { return try options.access.control.ask(.status(json: true), isJSON: true) }
    let plan = options.plan
    let now = Clock.now
    let live = options.liveStatus(plan)
    var glance: Glance?
    var problem: String?
    do throws(JournalError) {
      let reader = try JournalReader(path: options.journalPath(plan))
      glance = try? reader.snapshot { () throws(DatabaseError) in try reader.glance(now: now) }
    } catch {
      problem =
        if case .system(let system) = error, system.isMissing {
          plan.configuration.recording.keepsJournal ? "there is none yet" : "none is kept (JOURNAL=\"0\")"
        } else { "\(error)" }
    }
    if live == nil, glance == nil { return try options.access.control.ask(.status(json: false)) }
    Console.print(
      StatusText.render(
        live, glance, journalProblem: problem, now: now, options.zone, isPlain: Console.isPlain, .console),
      terminator: "")
    if live == nil { throw ExitCode(69) }
  }

  private func answerNagios() throws {
    let answer: NagiosText
    switch options.access.control.attempt(.status(json: true), patience: 8) {
    case .success(let text): answer = NagiosText(JournalAccess.decode(text))
    case .failure(let error): answer = NagiosText(noAnswer: "\(error.text)", isForbidden: error.code == 77)
    }
    Console.print(answer.line)
    if answer.state != .ok { throw ExitCode(answer.state.rawValue) }
  }
}

struct Sources: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List who touched this host.", discussion: "Without --since those of the last 24 hours.\n\n" + exitCodes)

  @OptionGroup var options: JournalOptions
  @OptionGroup var list: ListOptions
  @Option(
    help: ArgumentHelp("The most probes, the most ports, the last or the first seen come first.", valueName: "order"))
  var sort = SourceOrder.probes
  @Option(help: ArgumentHelp("Only those in this network.", valueName: "network"))
  var network: String?
  @Option(help: ArgumentHelp("Only those with such a verdict.", valueName: "class"))
  var verdict: Verdict.Class?
  @Option(
    help: ArgumentHelp(
      "Only those that touched this port, such as 23 or 53/udp; PROBES counts these touches.", valueName: "port"))
  var port: String?
  @Option(help: ArgumentHelp("Only those with this tool, such as nmap, masscan or mirai.", valueName: "name"))
  var tool: String?
  @Flag(help: "Only those that have proven where they are.")
  var proven = false

  func validate() throws {
    if let network, IPNetwork(network) == nil {
      throw ValidationError("\(SafeText.line(network)) is neither an address nor a network.")
    }
    if let port, PortChoice(port) == nil {
      throw ValidationError("\(SafeText.line(port)) is no port: write 23, 23/tcp or 53/udp.")
    }
    if let tool, Tool(name: tool) == nil {
      let names = Tool.Family.allCases.filter { $0 != .unnamed }.map { "\($0)" }.joined(separator: ", ")
      throw ValidationError(
        "\(SafeText.line(tool)) is not a known tool: write one of \(names), or unnamed- and a number as in a list."
      )
    }
  }

  func run() throws {
    let plan = options.plan
    let now = Clock.now
    let reader = try options.reader(plan)
    var filter = SourceFilter()
    filter.network = network.flatMap { IPNetwork($0) }
    filter.verdict = verdict
    filter.port = port.flatMap { PortChoice($0) }
    filter.tool = tool.flatMap { Tool(name: $0) }
    if proven { filter.isProven = true }
    let window = list.window(options.zone, now: now, otherwise: .seconds(86_400))
    let lines = try options.asking { () throws(DatabaseError) in
      try reader.snapshot { () throws(DatabaseError) in
        try reader.sources(window, by: sort, filter, limit: list.limit ?? 20)
      }
    }
    let atlas = options.atlas(plan)
    func country(_ address: IPAddress) -> String? { atlas.place(of: address)?.country }
    if options.json {
      Console.print(JSON.array(lines.map { SourceList.json($0, country: country) }).text)
    } else if lines.isEmpty {
      Console.print("no sources since \(options.zone.minute(window.start)) \(options.zone.name(at: now))")
    } else {
      Console.print(
        SourceList.text(lines, now: now, options.zone, width: Console.width, country: country), terminator: "")
    }
  }
}

struct Top: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List the ports, sources, tools, networks or countries that stand out.",
    usage: "portsentry top <subject> [<options>]",
    discussion: """
      Without --since those of the last 24 hours. Beyond two days, SOURCES/DAY is the number of distinct sources on a day \
      in the mean.

      """ + exitCodes)

  enum Subject: String, ExpressibleByArgument, CaseIterable {
    case ports, sources, tools, networks, countries
  }

  @Argument(help: "ports, sources, tools, networks or countries.")
  var subject: Subject
  @OptionGroup var options: JournalOptions
  @OptionGroup var list: ListOptions

  func run() throws {
    let plan = options.plan
    let now = Clock.now
    let reader = try options.reader(plan)
    let atlas = options.atlas(plan)
    let window = list.window(options.zone, now: now, otherwise: .seconds(86_400))
    let limit = list.limit ?? 20
    func country(_ address: IPAddress) -> String? { atlas.place(of: address)?.country }
    let (text, json): (String, [JSON]) = try options.asking { () throws(DatabaseError) in
      try reader.snapshot { () throws(DatabaseError) in
        switch subject {
        case .ports:
          let (lines, count) = try reader.topPorts(window, limit: limit)
          let all = try reader.hours(window).reduce(0) { $0 + $1.probes }
          return (TopTable.ports(lines, count, all: all), lines.map { TopTable.json($0, count) })
        case .sources:
          let lines = try reader.sources(window, by: .probes, limit: limit)
          return (
            SourceList.text(lines, now: now, options.zone, width: Console.width, country: country),
            lines.map { SourceList.json($0, country: country) }
          )
        case .tools:
          let lines = try reader.topTools(window, limit: limit)
          return (TopTable.tools(lines), lines.map(TopTable.json))
        case .networks:
          let lines = try reader.topNetworks(window, limit: limit)
          return (
            TopTable.networks(lines, country: country), lines.map { TopTable.json($0, country: country) }
          )
        case .countries:
          let lines = try reader.topCountries(window, limit: limit) { atlas.place(of: $0)?.country }
          return (TopTable.countries(lines), lines.map(TopTable.json))
        }
      }
    }
    if subject == .countries, atlas.isEmpty {
      Console.error("portsentry: no GEOIP_FILE is configured, so no country is known")
    }
    if options.json {
      Console.print(JSON.array(json).text)
    } else if json.isEmpty {
      Console.print("nothing since \(options.zone.minute(window.start)) \(options.zone.name(at: now))")
    } else {
      Console.print(text, terminator: "")
    }
  }
}

struct Show: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Tell all about one address: when, which ports, by what tool, on what evidence, and why it is blocked or not.",
    usage: "portsentry show <address> [<options>]",
    discussion: "Without --since all that is kept.\n\n" + exitCodes)

  @Argument(help: "An IPv4 or IPv6 address.")
  var address: String
  @OptionGroup var options: JournalOptions
  @OptionGroup var list: ListOptions

  func validate() throws {
    if IPAddress(address) == nil {
      throw ValidationError("'\(SafeText.line(address))' is not a valid IP address.")
    }
  }

  func run() throws {
    guard let address = IPAddress(address) else { return }
    let plan = options.plan
    let now = Clock.now
    let reader = try options.reader(plan)
    let window = list.window(options.zone, now: now, otherwise: .seconds(3650 * 86_400))
    let story = try options.asking { () throws(DatabaseError) in
      try reader.snapshot { () throws(DatabaseError) in try reader.story(of: address, window) }
    }
    var around = ShowText.Surroundings()
    around.live = options.liveStatus(plan)
    around.block = options.liveBlocks(plan)?.first { IPNetwork($0.network)?.contains(address) == true }
    around.why = options.liveWhy(plan, address)
    around.place = options.atlas(plan).place(of: address)
    if options.json {
      Console.print(ShowText.json(story, around, now: now, options.zone).text)
    } else {
      Console.printFolded(
        ShowText.render(story, around, now: now, options.zone, isPlain: Console.isPlain), terminator: "")
    }
  }
}

struct Blocked: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List what is blocked: since when, until when, how and why.",
    usage: "portsentry blocked [<options>]",
    discussion: """
      With --since blocks of the past are listed too, with how they ended and whether the source came back; for that no \
      sentry has to run.

      Exit status: 0 done; 64 wrong usage; 65 the journal is damaged; 69 no sentry runs, or there is no journal; 77 no \
      permission.
      """)

  @OptionGroup var options: JournalOptions
  @OptionGroup var list: ListOptions

  func run() throws {
    let now = Clock.now
    guard list.since != nil else {
      let text = try options.access.control.request(.blocked)
      guard var blocks: [LiveBlock] = JournalAccess.decode(text) else { throw ExitCode(69) }
      let all = blocks.count
      if let limit = list.limit { blocks = Array(blocks.prefix(limit)) }
      if options.json {
        Console.print(JSON.array(blocks.map(BlockedText.json)).text)
      } else {
        Console.printFolded(BlockedText.render(blocks, all: all, now: now, options.zone), terminator: "")
      }
      return
    }
    let reader = try options.reader(options.plan)
    let start = list.start(options.zone, now: now, otherwise: .seconds(86_400))
    let blocks = try options.asking { () throws(DatabaseError) in
      try reader.snapshot { () throws(DatabaseError) in
        try reader.blocks(since: start, limit: list.limit ?? 1000)
      }
    }
    if options.json {
      Console.print(JSON.array(blocks.map(EventText.json)).text)
    } else {
      Console.printFolded(BlockedText.render(past: blocks, now: now, options.zone), terminator: "")
    }
  }
}

struct Events: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List what happened: verdicts, proofs, blocks and their ends, refusals, losses, starts.",
    usage: "portsentry events [<options>]",
    discussion: "Without --since the last 50. Probes are counted, not listed: see `portsentry sources` and `show`.\n\n"
      + exitCodes)

  @OptionGroup var options: JournalOptions
  @OptionGroup var list: ListOptions
  @Flag(name: .shortAndLong, help: "Go on and print what comes. With --json an object a line.")
  var follow = false

  func run() throws {
    let now = Clock.now
    let plan = options.plan
    var reader = try options.reader(plan)
    let start = list.since == nil ? Timestamp.distantPast : list.start(options.zone, now: now, otherwise: .zero)
    var (notes, last) = try options.asking { () throws(DatabaseError) in
      try reader.snapshot { () throws(DatabaseError) in
        (
          try reader.notes(since: start, limit: list.limit ?? (list.since == nil ? 50 : 100_000)), try reader.lastNote()
        )
      }
    }
    if options.json, !follow {
      Console.print(JSON.array(notes.map(EventText.json)).text)
      return
    }
    while true {
      for note in notes {
        if options.json {
          Console.print(EventText.json(note).text)
        } else {
          Console.printFolded(EventText.line(note, options.zone))
        }
      }
      guard follow else { return }
      Clock.sleep(.milliseconds(250))
      // A journal that was begun anew is told from its beginning.
      if reader.isReplaced { (reader, last) = (try options.reader(plan), 0) }
      notes = try options.asking { () throws(DatabaseError) in try reader.notes(after: last, limit: 1000) }
      last = notes.last?.id ?? last
    }
  }
}

extension SourceOrder: ExpressibleByArgument {}
extension Verdict.Class: ExpressibleByArgument {
  public init?(argument: String) {
    guard let value = Self.allCases.first(where: { $0.name == argument }) else { return nil }
    self = value
  }

  public static var allValueStrings: [String] { allCases.map(\.name) }
}
