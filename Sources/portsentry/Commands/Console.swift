import ArgumentParser
import Configuration
import Daemon
import Page
import Platform
import Report

struct ServePage: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "console", abstract: "Serve the page that shows what is going on, to this host only.",
    discussion: """
      The sentry does this by itself where CONSOLE_LISTEN is set. Whoever wants to see the page needs the token, which lies in \
      STATE_DIR/console.token and is made at the first time.

      Exit status: 0 ended; 1 the address cannot be had; 64 wrong usage, or no address; 77 no permission.
      """)

  @OptionGroup var access: JournalAccess
  @Flag(help: "Tell times in UTC instead of in the zone of this host.")
  var utc = false
  @Option(
    help: ArgumentHelp(
      "Where, instead of CONSOLE_LISTEN: 127.0.0.1:8087, [::1]:8087, or the path of a socket.", valueName: "address"))
  var listen: String?
  @Flag(help: "Print the address of the page with the token in it, and end.")
  var url = false
  @Option(help: .hidden)
  var parent: Int32?

  func validate() throws {
    if let listen, (try? ListenAddress(listen)) == nil {
      throw ValidationError(
        "\(SafeText.line(listen)) is neither a loopback address with a port, such as 127.0.0.1:8087, nor the path of a socket."
      )
    }
  }

  func run() throws {
    let plan = access.plan
    guard let address = listen.flatMap({ try? ListenAddress($0) }) ?? plan.configuration.recording.consoleListen else {
      Console.error("portsentry: CONSOLE_LISTEN is not set; say --listen 127.0.0.1:8087")
      throw ExitCode(64)
    }
    // Beside the journal, so that both are of one sentry.
    let journalPath = access.journalPath(plan)
    let folder = journalPath.lastIndex(of: "/").map { String(journalPath[..<$0]) } ?? "."
    let tokenPath = "\(folder)/console.token"
    let controlOptions = access.control
    let settings = PageSettings(
      listen: address, journalPath: journalPath,
      controlSocket: controlOptions.controlSocket ?? plan.configuration.controlSocket, tokenPath: tokenPath,
      geoIPFiles: plan.configuration.recording.geoIPFiles, zone: utc ? .utc : .local, host: Host.name,
      plan: {
        var options = RunOptions()
        options.configurationPath = controlOptions.configuration
        return Plan.make(options)
      })
    do throws(Errno) {
      let token = try PageRun.token(tokenPath)
      if let page = settings.url {
        if url || parent == nil { Console.print("\(page)?token=\(token)") }
      } else if url || parent == nil {
        Console.print("\(address), token \(token)")
      }
      if url { return }
      try PageRun.run(settings, parent: parent)
    } catch {
      Console.error("portsentry: \(error)")
      throw ExitCode(error.isForbidden ? 77 : 1)
    }
  }
}
