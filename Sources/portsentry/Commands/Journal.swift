import ArgumentParser
import Daemon
import Database
import Journal
import Platform
import Report
import Wire

struct KeepJournal: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "journal", abstract: "Look after the journal: check it, copy it, make its file small.",
    subcommands: [CheckJournal.self, BackUpJournal.self, CompactJournal.self])
}

private let exitCodes =
  "Exit status: 0 done; 1 not done, and it says why; 64 wrong usage; 65 the journal is damaged; 69 there is no journal; 77 no permission."

struct CheckJournal: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Read all of it, and say whether it is whole and its sums are right.",
    usage: "portsentry journal check [<options>]",
    discussion: exitCodes)

  @OptionGroup var access: JournalAccess
  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    let reader = try access.reader(access.plan)
    let check = try access.asking { () throws(DatabaseError) in
      try reader.snapshot { () throws(DatabaseError) in try JournalCheck.run(reader) }
    }
    if json {
      Console.print(
        JSON.object([
          "whole": .bool(check.problems.isEmpty), "problems": .array(check.problems.map(JSON.string)),
          "sources": JSON(check.sources), "probes": JSON(check.probes), "hours": JSON(check.hours),
          "scans": JSON(check.scans), "blocks": JSON(check.blocks), "bytes": JSON(check.bytes),
        ]).text)
    } else {
      for problem in check.problems { Console.error(SafeText.line(problem)) }
      Console.print(
        "\(Units.plural(check.sources, "source")), \(Units.plural(check.probes, "probe")) in \(Units.plural(check.hours, "hour")), "
          + "\(Units.plural(check.scans, "verdict")), \(Units.plural(check.blocks, "block")), \(Units.bytes(check.bytes)): "
          + (check.problems.isEmpty ? "whole" : "NOT whole"))
    }
    if !check.problems.isEmpty { throw ExitCode(65) }
  }
}

struct BackUpJournal: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backup", abstract: "Copy it, as it is at one moment, into a file that must not be there yet.",
    usage: "portsentry journal backup <file> [<options>]",
    discussion: "A running sentry goes on writing. The copy is read with --journal.\n\n" + exitCodes)

  @Argument(help: ArgumentHelp("The copy.", valueName: "file"))
  var file: String
  @OptionGroup var access: JournalAccess

  func run() throws {
    let reader = try access.reader(access.plan)
    guard Files.stamp(file) == nil else {
      Console.error("portsentry: \(SafeText.line(file)) is there already, and is not overwritten")
      throw ExitCode(1)
    }
    do {
      // As private as the journal itself.
      _ = try FileDescriptor.create(file)
      try reader.backup(to: file)
    } catch {
      Console.error("portsentry: \(error)")
      throw ExitCode(1)
    }
    Console.print("\(SafeText.line(file)): \(Units.bytes(Int(Files.stamp(file)?.size ?? 0)))")
  }
}

struct CompactJournal: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compact", abstract: "Write it anew without the space of what was thrown away.",
    usage: "portsentry journal compact [<options>]",
    discussion:
      "Needs as much free space again. A running sentry waits meanwhile, and what it has to write waits with it, as far as it fits.\n\n"
      + exitCodes)

  @OptionGroup var access: JournalAccess

  func run() throws {
    let plan = access.plan
    // For the words on what is missing.
    _ = try access.reader(plan)
    let path = access.journalPath(plan)
    let before = Files.stamp(path)?.size ?? 0
    do throws(JournalError) { try JournalCheck.compact(path) } catch {
      Console.error("portsentry: \(error)")
      throw ExitCode(error.isDamage ? 65 : 1)
    }
    Console.print("\(Units.bytes(Int(before))) before, \(Units.bytes(Int(Files.stamp(path)?.size ?? 0))) now")
  }
}
