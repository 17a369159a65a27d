import ArgumentParser
import Daemon
import Database
import Journal
import Platform
import Report
import Wire

struct MakeReport: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report", abstract: "Report what the Internet threw at this host.",
    usage: "portsentry report [<options>]",
    discussion: """
      Without --html or --json as text. The page is one file that needs nothing else: no network, no script.

      Exit status: 0 done; 1 the file could not be written; 64 wrong usage; 65 the journal is damaged; 69 there is no \
      journal; 77 no permission.
      """)

  @OptionGroup var options: JournalOptions
  @Option(
    help: ArgumentHelp(
      "Since when: a length of time such as 24h, 7d or 12w, or a moment such as 2026-11-01. Otherwise 30d.",
      valueName: "time"))
  var since: String?
  @Option(help: ArgumentHelp("Write a page into this file, or with - to standard output.", valueName: "file"))
  var html: String?
  @Option(
    help: ArgumentHelp("Write the last week as a picture (SVG) into this file, to show to others.", valueName: "file"))
  var card: String?
  @Flag(help: "As text, to standard output, also when a page is written.")
  var text = false
  @Option(help: ArgumentHelp("What the report calls this host, instead of its name.", valueName: "name"))
  var host: String?

  func validate() throws {
    if let since, Moment.parse(since, now: Clock.now, .utc) == nil {
      throw ValidationError(
        "\(SafeText.line(since)) is neither a length of time (24h, 7d, 12w) nor a moment (2026-11-01).")
    }
  }

  func run() throws {
    let plan = options.plan
    let now = Clock.now
    let reader = try options.reader(plan)
    let start = since.flatMap { Moment.parse($0, now: now, options.zone) }
    let window = start.map { Window(from: min($0, now), to: now) } ?? Window(last: .seconds(30 * 86_400), now: now)
    let atlas = options.atlas(plan)
    let name = host ?? Host.name
    let summary = try options.asking { () throws(DatabaseError) in
      try Summary.make(reader, window, now: now, zone: options.zone, host: name, version: Version.text, atlas: atlas)
    }
    if let html {
      let page = ReportPage.html(summary).text
      if html == "-" {
        Console.print(page, terminator: "")
      } else {
        do { try Files.replace(html, with: Array(page.utf8), mode: 0o644) } catch {
          Console.error("portsentry: \(error)")
          throw ExitCode(1)
        }
      }
    }
    if let card {
      let week = Window(last: .seconds(7 * 86_400), now: now)
      let summary = try options.asking { () throws(DatabaseError) in
        try Summary.make(reader, week, now: now, zone: options.zone, host: name, version: Version.text, atlas: atlas)
      }
      do { try Files.replace(card, with: Array(WeekCard.svg(summary).text.utf8), mode: 0o644) } catch {
        Console.error("portsentry: \(error)")
        throw ExitCode(1)
      }
    }
    if options.json { Console.print(ReportJSON.value(summary).text) }
    if text || (html == nil && card == nil && !options.json) {
      Console.print(ReportText.render(summary, isPlain: Console.isPlain), terminator: "")
    }
  }
}
