import ArgumentParser
import Configuration
import Daemon
import Platform
import Response
import Wire

struct Migrate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show a configuration of 1.2 or 2.x beside its native form; with --write make a file of it.",
    usage: "portsentry migrate [<options>]",
    discussion: """
      The native form watches, ignores and writes the same. Known KILL_ROUTE commands become BLOCK_METHOD, and blocks are \
      of verified scanners and for a time; comments in it say how to keep the old way. Without --write nothing is written, \
      and no file is ever replaced.

      Exit status: 0 done; 1 the new file cannot be written; 64 wrong usage; 66 there is no configuration; 78 the \
      configuration has errors.
      """)

  @Option(
    name: [.customShort("c", allowingJoined: true), .customLong("configfile"), .customLong("config")],
    help: ArgumentHelp(
      "Read this configuration instead of \(RunOptions.defaultConfigurationPath).", valueName: "path"))
  var configuration: String?
  @Option(name: .customLong("control-socket"), help: .hidden)
  var controlSocket: String?
  @Option(
    name: .customLong("dialect"),
    help: ArgumentHelp(
      "Read the configuration as PortSentry 1.2 or 2.x did (1.2, 2). Otherwise this is found out.", valueName: "1.2|2"))
  var dialect: Dialect?
  @Option(help: ArgumentHelp("Write the native form into this new file.", valueName: "path"))
  var write: String?

  func run() throws {
    let path = configuration ?? RunOptions.defaultConfigurationPath
    let bytes: [UInt8]
    do throws(Errno) { bytes = try Files.read(path, limit: 4 << 20) } catch {
      Console.error("portsentry: cannot read \(SafeText.line(path)): \(error.reason); name the configuration with -c")
      throw ExitCode(66)
    }
    let migration = Migration(bytes, path: path, dialect: dialect)
    for problem in migration.diagnostics { Console.error("\(problem)") }
    Console.print(migration.sideBySide(width: Console.width ?? 100), terminator: "")
    guard !migration.diagnostics.contains(where: { $0.severity == .error }) else {
      Console.error("portsentry: the configuration has errors; nothing was written")
      throw ExitCode(78)
    }
    guard let write else {
      Console.print("Nothing is written. `portsentry migrate --write PATH` makes a new file of the right column.")
      return
    }
    do throws(Errno) {
      let file = try FileDescriptor.create(write)
      try file.writeAll(migration.file(from: SafeText.line(path)).preservedBytes)
    } catch {
      Console.error(
        "portsentry: \(SafeText.line(write)) cannot be written: \(error.isThereAlready ? "it is there already; name a new file" : error.reason)"
      )
      throw ExitCode(1)
    }
    Console.print(
      "\(SafeText.line(write)) is written. Look at what it does: portsentry check -c \(SafeText.line(write))")
  }
}
