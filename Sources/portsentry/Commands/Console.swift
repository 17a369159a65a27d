import ArgumentParser
import Configuration
import Daemon
import Page
import Platform
import Report
import Wire

struct ServePage: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "console", abstract: "Serve the page that shows what is going on, to this host only.",
    usage: "portsentry console [<options>]",
    discussion: """
      The sentry does this by itself where CONSOLE_LISTEN is set. Whoever wants to see the page needs a link of --url, \
      which lets in once within two minutes. Programs ask for /metrics with the token, the first line of STATE_DIR/console.token.

      Exit status: 0 ended; 1 the address cannot be had, or is held by somebody else; 64 wrong usage, or no address; 77 no permission.
      """)

  @OptionGroup var access: JournalAccess
  @Flag(help: "Tell times in UTC instead of in the zone of this host.")
  var utc = false
  @Option(
    help: ArgumentHelp(
      "Where, instead of CONSOLE_LISTEN: 127.0.0.1:8087, [::1]:8087, or the path of a socket.", valueName: "address"))
  var listen: String?
  @Flag(help: "Print a link to the page that lets in once, within two minutes, and end.")
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
    let folder = journalPath.lastByte("/").map { String(journalPath[..<$0]) } ?? "."
    let tokenPath = "\(folder)/console.token"
    if let fault = FolderTrust.sentry.fault(ofFolder: folder, for: .readBack) {
      Console.error("portsentry: \(fault): nothing in \(folder) is read back, so there is no page")
      throw ExitCode(1)
    }
    let controlOptions = access.control
    let settings = PageSettings(
      listen: address, journalPath: journalPath,
      controlSocket: controlOptions.controlSocket ?? plan.configuration.controlSocket, tokenPath: tokenPath,
      geoIPFiles: plan.configuration.recording.geoIPFiles,
      configurationFiles: [
        controlOptions.configuration ?? RunOptions.defaultConfigurationPath, RunOptions().defaultsPath,
        plan.configuration.ignoreFile,
      ].compactMap(\.self), zone: utc ? .utc : .local, host: Host.name,
      plan: { running in
        var options = RunOptions()
        options.running = running
        options.configurationPath = controlOptions.configuration
        return Plan.make(options)
      })
    if url { return try printLink(settings) }
    do throws(Errno) {
      try PageRun.run(settings, parent: parent, announce: parent == nil ? { Self.show(settings, $0, $1) } : nil)
    } catch {
      Console.error("portsentry: \(error)")
      throw ExitCode(error.isForbidden ? 77 : 1)
    }
  }

  /// Asks the sentry for a ticket, after a look who would get it.
  private func printLink(_ settings: PageSettings) throws(any Error) {
    do throws(PageOwner.Fault) { try PageOwner.check(settings.listen, controlSocket: settings.controlSocket) } catch {
      Console.error("portsentry: \(error)")
      throw ExitCode(1)
    }
    let secrets: PageSecrets?
    let ticket: String
    do throws(Errno) {
      secrets = try PageSecrets.read(settings.tokenPath)
      ticket = try ControlClient.ask(settings.controlSocket, .ticket, patience: 5).text
    } catch {
      Console.error("portsentry: \(error): a link is made by the running sentry, for root and for its own user")
      throw ExitCode(error.isForbidden ? 77 : 1)
    }
    guard let secrets else {
      Console.error("portsentry: the page has not made \(settings.tokenPath) yet: ask again in a moment")
      throw ExitCode(1)
    }
    Self.show(settings, secrets, ticket)
  }

  private static func show(_ settings: PageSettings, _ secrets: PageSecrets, _ ticket: String) {
    Console.print(
      settings.url(secrets).map { "\($0)?login=\(ticket)" } ?? "\(settings.listen), login \(ticket)")
  }
}
