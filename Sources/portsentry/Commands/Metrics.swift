import ArgumentParser
import Daemon
import Database
import Journal
import Platform
import Report

struct ShowMetrics: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "metrics", abstract: "Print counts for Prometheus, of the running sentry and of the journal.",
    usage: "portsentry metrics [<options>]",
    discussion: """
      Addresses are in none of them. For the textfile collector METRICS_FILE is the better way; the page has them under /metrics.

      Exit status: 0 done; 64 wrong usage; 69 neither a sentry nor a journal; 77 no permission.
      """)

  @OptionGroup var access: JournalAccess

  func run() throws {
    let plan = access.plan
    let live = access.live(plan, .metrics)
    guard live != nil || Files.stamp(access.journalPath(plan)) != nil else {
      // For the words on what is missing.
      _ = try access.control.request(.metrics)
      return
    }
    Console.print(live ?? "", terminator: "")
    Console.print(
      Metrics.text([Metric("up", .gauge, "1 while a sentry answers.", live == nil ? 0 : 1)]), terminator: "")
    guard plan.configuration.recording.keepsJournal || access.journal != nil else { return }
    let reader = try access.reader(plan)
    let more = try access.asking { () throws(DatabaseError) in try reader.dayMetrics(now: Clock.now) }
    Console.print(Metrics.text(more), terminator: "")
  }
}
