import ArgumentParser
import Daemon
import Database
import Detection
import Journal
import Platform
import Report
import Wire

struct ExportSources: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Give what was seen to other programs, or report it to others.",
    discussion: """
      Sources of private networks are left out, and, where the format accuses somebody (STIX, AbuseIPDB, XARF, CrowdSec), those that were \
      not found to be scanners or have not proven their address: it may be forged. Without --since those of the last 24 hours.

      Exit status: 0 done; 64 wrong usage; 65 the journal is damaged; 69 there is no journal; 77 no permission.
      """)

  @Flag(help: "A line for each source, for spreadsheets.")
  var csv = false
  @Flag(help: "An object a line for each source.")
  var json = false
  @Flag(help: "A STIX 2.1 bundle: addresses, observations, indicators.")
  var stix = false
  @Flag(help: "For AbuseIPDB's bulk report: at most 10,000 lines.")
  var abuseipdb = false
  @Flag(help: "In DShield's own form: a line for each hour, source and port.")
  var dshield = false
  @Flag(help: "Decisions as CSV, for `cscli decisions import`.")
  var crowdsec = false
  @Flag(help: "Reports in XARF 4, an object a line; needs --org, --contact and --domain.")
  var xarf = false

  @OptionGroup var access: JournalAccess
  @Flag(help: "Read --since in UTC instead of in the zone of this host. Times are always written in UTC.")
  var utc = false
  @OptionGroup var list: ListOptions
  @Option(
    help: ArgumentHelp(
      "Our own addresses: keep them, mask their first part, or omit them.", valueName: "keep|mask|omit"))
  var own = Export.Own.keep
  @Flag(help: "Sources of private and other special networks, too.")
  var `private` = false
  @Flag(help: "Where the format accuses, also those whose address is not proven.")
  var unproven = false
  @Option(help: ArgumentHelp("XARF: the organisation that reports.", valueName: "name"))
  var org: String?
  @Option(help: ArgumentHelp("XARF: its mail address.", valueName: "address"))
  var contact: String?
  @Option(help: ArgumentHelp("XARF: its domain.", valueName: "name"))
  var domain: String?
  @Option(help: ArgumentHelp("DShield: the number of your account.", valueName: "number"))
  var account = "0"

  @Option(help: ArgumentHelp("CrowdSec: how long a source is to be banned, e.g. 24h.", valueName: "time"))
  var duration = "24h"

  private var format: Export.Format? {
    let chosen: [(Bool, Export.Format)] = [
      (csv, .csv), (json, .json), (stix, .stix), (abuseipdb, .abuseipdb), (dshield, .dshield), (xarf, .xarf),
      (crowdsec, .crowdsec),
    ]
    let formats = chosen.filter(\.0).map(\.1)
    return formats.count == 1 ? formats[0] : nil
  }

  func validate() throws {
    if format == nil {
      throw ValidationError("Say one of --csv, --json, --stix, --abuseipdb, --dshield, --crowdsec and --xarf.")
    }
    if xarf, org == nil || contact == nil || domain == nil {
      throw ValidationError("An XARF report names who reports: --org, --contact and --domain are needed.")
    }
    if Term.seconds(duration) == nil {
      throw ValidationError("\(SafeText.line(duration)) is no length of time: write 4h, 24h or 7d.")
    }
    if !account.utf8.allSatisfy({ (0x30...0x39).contains($0) }) || !(1...18).contains(account.utf8.count) {
      throw ValidationError("--account is a number.")
    }
  }

  func run() throws {
    guard let format else { return }
    let now = Clock.now
    let reader = try access.reader(access.plan)
    let window = list.window(utc ? .utc : .local, now: now, otherwise: .seconds(86_400))
    var export = Export(now: now)
    export.own = own
    export.withPrivate = `private`
    export.withUnproven = unproven
    export.account = account
    export.version = Version.text
    if let org, let contact, let domain {
      export.reporter = Export.Reporter(organisation: org, contact: contact, domain: domain)
    }
    let output = PieceOutput()
    try access.asking { () throws(DatabaseError) in
      try reader.snapshot { () throws(DatabaseError) in
        if format == .dshield {
          try writeDetail(reader, window, export, output)
        } else {
          try writeSources(reader, window, export, format, output)
        }
      }
    }
    output.flush()
  }

  private func writeSources(
    _ reader: JournalReader, _ window: Window, _ export: Export, _ format: Export.Format, _ output: PieceOutput
  ) throws(DatabaseError) {
    let most = min(list.limit ?? .max, format == .abuseipdb ? Export.abuseIPDBLines - 1 : .max)
    let lines = try reader.sources(window, by: .probes, limit: .max).filter { export.accepts($0.source, format) }
      .prefix(most)
    switch format {
    case .csv: output.write(Export.csvHead)
    case .crowdsec: output.write(Export.crowdsecHead)
    case .abuseipdb: output.write(Export.abuseIPDBHead)
    case .stix: output.write(export.stixHead(id: Clock.randomKey()))
    case .json, .xarf, .dshield: break
    }
    for line in lines {
      switch format {
      case .csv: output.write(export.csv(line))
      case .crowdsec: output.write(export.crowdsec(line, for: .seconds(Term.seconds(duration) ?? 86_400)))
      case .json: output.write(export.json(line))
      case .abuseipdb: output.write(export.abuseIPDB(line))
      case .stix: output.write(export.stix(line))
      case .xarf:
        var counts: [PortCounts.Key: UInt64] = [:]
        for detail in try reader.detail(of: line.source, window) {
          counts[PortCounts.Key(detail.technique, detail.port), default: 0] += detail.probes
        }
        let most = counts.max { ($0.value, $1.key) < ($1.value, $0.key) }
        let use = most.flatMap { entry in entry.key.port.map { (technique: entry.key.technique, port: $0) } }
        if let text = export.xarf(line, use, id: Clock.randomKey()) { output.write(text) }
      case .dshield: break
      }
    }
    if format == .stix { output.write(Export.stixTail) }
  }

  private func writeDetail(
    _ reader: JournalReader, _ window: Window, _ export: Export, _ output: PieceOutput
  ) throws(DatabaseError) {
    var sources: [Int64: Source] = [:]
    try reader.forEachSource(since: window.start) { source in
      if export.accepts(source, .dshield) { sources[source.id] = source }
    }
    var left = list.limit ?? .max
    try reader.forEachDetail(window) { id, detail in
      guard left > 0 else { return false }
      if let source = sources[id], let line = export.dshield(source, detail) {
        output.write(line)
        left -= 1
      }
      return true
    }
  }
}

extension Export.Own: ExpressibleByArgument {}

/// Standard output in pieces of a useful size.
private final class PieceOutput {
  private var text = ""

  func write(_ piece: String) {
    text += piece
    if text.utf8.count > 1 << 16 { flush() }
  }

  func flush() {
    Console.print(text, terminator: "")
    text = ""
  }
}
