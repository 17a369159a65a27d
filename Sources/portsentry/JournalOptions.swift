import ArgumentParser
import Configuration
import Daemon
import Database
import FoundationEssentials
import GeoIP
import Journal
import Platform
import Report
import Wire

/// How answers from the journal are written.
struct JournalOptions: ParsableArguments {
  @OptionGroup var access: JournalAccess

  @Flag(help: "Tell times in UTC instead of in the zone of this host.")
  var utc = false

  @Flag(help: "Print JSON. Times are seconds since 1970.")
  var json = false

  var zone: Zone { utc ? .utc : .local }
}

/// Where the journal and the running sentry are.
struct JournalAccess: ParsableArguments {
  @OptionGroup var control: ControlOptions

  @Option(
    help: ArgumentHelp("Read this journal instead of STATE_DIR/journal.db, e.g. a copy.", valueName: "path"))
  var journal: String?

  /// What the configuration says, as far as it can be read.
  var plan: Plan {
    var options = RunOptions()
    options.configurationPath = control.configuration
    return Plan.make(options)
  }

  func journalPath(_ plan: Plan) -> String { journal ?? plan.journalPath }

  /// The journal, or the end with a word why not.
  func reader(_ plan: Plan) throws -> JournalReader {
    let path = journalPath(plan)
    do throws(JournalError) { return try JournalReader(path: path) } catch {
      switch error {
      case .system(let system) where system.isMissing:
        Console.error("portsentry: there is no journal: \(path) is not there. A sentry with JOURNAL=\"1\" makes it")
        throw ExitCode(69)
      case .system(let system) where system.isForbidden:
        Console.error("portsentry: no permission to read \(path): be root, or the user the sentry runs as")
        throw ExitCode(77)
      default:
        Console.error("portsentry: \(error)")
        throw ExitCode(69)
      }
    }
  }

  /// Runs questions to the journal; what goes wrong there ends the program with a word.
  func asking<Result>(_ body: () throws(DatabaseError) -> Result) throws -> Result {
    do throws(DatabaseError) { return try body() } catch {
      Console.error("portsentry: the journal cannot be read: \(error)")
      throw ExitCode(error.kind == .damaged ? 65 : 69)
    }
  }

  // MARK: The running sentry

  /// What a running sentry answers; nil when none runs, or it may not be asked.
  func live(_ plan: Plan, _ message: ControlMessage) -> String? {
    let path = control.controlSocket ?? plan.configuration.controlSocket
    guard let reply = try? ControlClient.ask(path, message), reply.exitCode == 0 else { return nil }
    return reply.text
  }

  func liveStatus(_ plan: Plan) -> LiveStatus? { live(plan, .status(json: true)).flatMap { Self.decode($0) } }
  func liveBlocks(_ plan: Plan) -> [LiveBlock]? { live(plan, .blocked).flatMap { Self.decode($0) } }
  func liveWhy(_ plan: Plan, _ address: IPAddress) -> [LiveWhy.Row]? {
    let why: LiveWhy? = live(plan, .why(target: "\(address)", json: true)).flatMap { Self.decode($0) }
    return why?.known
  }

  static func decode<Value: Decodable>(_ text: String) -> Value? {
    try? JSONDecoder().decode(Value.self, from: Data(text.utf8))
  }

  // MARK: Places

  /// The databases of GEOIP_FILE; what is wrong with one is said, and it is left out.
  func atlas(_ plan: Plan) -> Atlas {
    var databases: [GeoDatabase] = []
    for path in plan.configuration.recording.geoIPFiles {
      do {
        databases.append(try GeoDatabase(try Files.read(path, limit: 1 << 30)))
      } catch {
        Console.error("portsentry: GEOIP_FILE \(path): \(error)")
      }
    }
    return Atlas(databases)
  }
}

extension JournalOptions {
  var plan: Plan { access.plan }
  func journalPath(_ plan: Plan) -> String { access.journalPath(plan) }
  func reader(_ plan: Plan) throws -> JournalReader { try access.reader(plan) }
  func asking<Result>(_ body: () throws(DatabaseError) -> Result) throws -> Result { try access.asking(body) }
  func liveStatus(_ plan: Plan) -> LiveStatus? { access.liveStatus(plan) }
  func liveBlocks(_ plan: Plan) -> [LiveBlock]? { access.liveBlocks(plan) }
  func liveWhy(_ plan: Plan, _ address: IPAddress) -> [LiveWhy.Row]? { access.liveWhy(plan, address) }
  func atlas(_ plan: Plan) -> Atlas { access.atlas(plan) }
}

/// What part of a list is wanted.
struct ListOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Since when: a length of time such as 90m, 24h, 7d or 2w, or a moment such as 2026-11-01 or \"2026-11-01 12:30\".",
      valueName: "time"))
  var since: String?

  @Option(help: ArgumentHelp("At most so many lines.", valueName: "number"))
  var limit: Int?

  func validate() throws {
    if let since, Moment.parse(since, now: Clock.now, .utc) == nil {
      throw ValidationError(
        "\(SafeText.line(since)) is neither a length of time (90m, 24h, 7d, 2w) nor a moment (2026-11-01, \"2026-11-01 12:30\")."
      )
    }
    if let limit, !(1...10_000_000).contains(limit) { throw ValidationError("--limit must be at least 1.") }
  }

  /// From when on.
  func start(_ zone: Zone, now: Timestamp, otherwise length: Duration) -> Timestamp {
    since.flatMap { Moment.parse($0, now: now, zone) }
      ?? Timestamp(nanoseconds: now.nanoseconds - length.wholeNanoseconds)
  }

  func window(_ zone: Zone, now: Timestamp, otherwise length: Duration) -> Window {
    guard let since, let start = Moment.parse(since, now: now, zone) else { return Window(last: length, now: now) }
    return Window(from: min(start, now), to: now)
  }
}
