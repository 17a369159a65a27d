import Configuration
import Detection
import EventLog
import Platform
import Response
import Wire

/// What is read again while the sentry runs: settings, the ignore file, the safe list.
extension Sentry {
  /// Starts, changes or ends the keeping of what happens, as the settings say.
  func setUpRecorder() {
    let settings = plan.recorderSettings
    if let recorder {
      recorder.update(settings)
    } else if !settings.keepsNothing {
      do throws(Errno) { companions.recorder = try Recorder(settings) } catch {
        say("\(error): nothing is kept in the journal", isError: true)
      }
    }
  }

  /// Tells everybody who does not look into the plan.
  func applyPlan() {
    scribe.linesPerMinute = plan.configuration.logLimit
    scribe.ignoreFile = plan.configuration.ignoreFile
    scribe.tellsProbes = plan.configuration.logsProbes || options.level < .notice
    surroundings.peers.traps = plan.tcpMode == .connect ? plan.ports(.tcp) : PortSet()
    decide(.settings(plan.decisionSettings(options), plan.configuration.response))
  }

  func lookUpNames() {
    do throws(Errno) { try scribe.look(up: plan.configuration.resolveHost) } catch {
      say("cannot look up names: \(error); addresses are written alone", isError: true)
    }
  }

  /// The ignore file counts from the moment it is changed.
  func refreshIgnoreFile() {
    let now = Clock.monotonic
    guard let path = plan.configuration.ignoreFile, now >= ignoring.nextLook else { return }
    ignoring.nextLook = now + 20_000_000
    let stamp = Files.stamp(path)
    guard stamp != ignoring.stamp else { return }
    ignoring.stamp = stamp
    do throws(Errno) {
      let (networks, problems) = IgnoreFile.parse(try Files.read(path, limit: 16 << 20), path: path)
      for problem in problems { say("\(problem)", isError: problem.severity == .error) }
      ignoring.file = networks
    } catch {
      // As 1.2: an ignore file that is gone ignores nobody. The safe list still holds.
      ignoring.file = IPNetworkSet()
      say(.cannotOpenIgnoreFile(in: dialect))
    }
    adoptIgnored()
  }

  /// Takes what the ignore file and the command line name. `plan.ignored` holds both from here on.
  func adoptIgnored() {
    plan.ignored = ignoring.all
    link.update { $0.ignored = plan.ignored }
    decide(.ignored(plan.ignored))
    if comparison.hasStarted { refreshTrap() }
  }

  func refreshSafeList() {
    do throws(Errno) {
      let safe = try surroundings.safeNetworks()
      if safe == decisions.policy.safe { return }
      decide(.safe(safe))
      if comparison.hasStarted { refreshTrap() }
    } catch {
      say("cannot find out gateways and addresses: \(error); what was known before stays protected", isError: true)
    }
  }

  /// HUP: new settings, all or nothing.
  func reload() {
    let new = Plan.make(options)
    for problem in new.diagnostics { say("\(problem)", isError: problem.severity == .error) }
    if new.hasErrors {
      say("the new configuration has errors: the old settings stay in force", isError: true)
    } else {
      adopt(new)
      say("configuration read again: \(plan.configurationPath ?? "built-in settings")")
    }
    notifyReady()
  }

  private func adopt(_ new: Plan) {
    let before = plan
    let next = continued(new)
    for what in rights.rights.lacks(Rights(next)) {
      say("\(what) before the sentry is started anew: it has given that right up", isError: true)
    }
    if next.historySettings != before.historySettings {
      flush()
      scribe.keep(next.history)
    }
    plan = next
    setUpRecorder()
    setUpNotify()
    setUpFleet()
    setUpCrowdSec()
    if plan.configuration.recording.consoleListen != before.configuration.recording.consoleListen { setUpConsole() }
    applyPlan()
    blocker.reconfigure(plan.configuration.response)
    lookUpNames()
    ignoring.file = plan.ignored
    ignoring.stamp = plan.configuration.ignoreFile.flatMap(Files.stamp)
    refreshSafeList()
    decide(.narrowed)
    adoptIgnored()
    let settings = plan.sensorSettings(options)
    link.update { $0.settings = settings }
    refreshTrap()
  }

  /// New settings, with what cannot change while we run.
  private func continued(_ new: Plan) -> Plan {
    var next = new
    // Modes that a second call added stay.
    if options.isClassicCall {
      next.tcpMode = next.tcpMode ?? plan.tcpMode
      next.udpMode = next.udpMode ?? plan.udpMode
    }
    next.logDialect = plan.logDialect
    next.configuration.controlSocket = plan.configuration.controlSocket
    if next.configuration.stateDirectory != plan.configuration.stateDirectory {
      say("STATE_DIR is taken over at the next start only", isError: true)
      next.configuration.stateDirectory = plan.configuration.stateDirectory
    }
    next.foreign.state = plan.foreign.state
    return next
  }
}

extension Plan {
  /// What decides about strangers.
  func decisionSettings(_ options: RunOptions) -> Decisions.Settings {
    var settings = Decisions.Settings()
    settings.dialect = logDialect
    (settings.tcpMode, settings.udpMode) = (tcpMode, udpMode)
    settings.watched = ports(.tcp)
    settings.scanTrigger = configuration.scanTrigger
    settings.verdictThreshold = configuration.ruleThreshold
    settings.actsOnOwnAddress = options.actsOnOwnAddress
    settings.listsUnblocked = logDialect == .modern && configuration.historyFormat.contains(.classic)
    return settings
  }

  struct HistorySettings: Equatable {
    var path: String?
    var formats: [Dialect]
    var limits: FileLimits
  }

  var historySettings: HistorySettings {
    HistorySettings(path: configuration.historyFile, formats: configuration.historyFormat, limits: fileLimits)
  }

  /// The history in its forms; nil where none is kept.
  var history: Owned<HistoryFile>? {
    guard let path = configuration.historyFile else { return nil }
    let forms = configuration.historyFormat
    let form: HistoryFile.Form = forms.count > 1 ? .both : forms.first == .modern ? .modern : .classic
    return Owned(HistoryFile(path: path, form: form, limits: fileLimits))
  }
}
