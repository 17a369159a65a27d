import Configuration
import Confinement
import Detection
import EventLog
import Journal
import Platform
import Response
import Wire

/// Everything that is decided before the sentry starts, from command line and files: what `check` shows and `run` does.
package struct Plan: Sendable {
  package var configuration: Configuration
  package var tcpMode: Mode?
  package var udpMode: Mode?
  /// Whose words the log speaks.
  package var logDialect: LogDialect
  /// The configuration file that was read; nil for built-in settings.
  package var configurationPath: String?
  /// Where the modes come from, in words.
  package var modesFrom: String
  package var ignored = IPNetworkSet()
  package var diagnostics: [Diagnostic] = []
  package var foreign = Foreign()

  package var hasErrors: Bool { diagnostics.contains { $0.severity == .error } }

  /// Reads all files. Never fails: what is wrong is in `diagnostics`.
  package static func make(_ options: RunOptions) -> Plan {
    let path = options.configurationPath ?? RunOptions.defaultConfigurationPath
    var diagnostics: [Diagnostic] = []
    var configuration = Configuration.embedded
    var foundPath: String?
    do throws(Errno) {
      let bytes = try Files.read(path, limit: 4 << 20)
      let preferred: Dialect? = options.isClassicCall ? .classic : nil
      let (parsed, problems) = Configuration.parse(bytes, path: path, dialect: options.dialect, preferring: preferred)
      configuration = parsed
      diagnostics += problems
      foundPath = path
    } catch {
      if options.configurationPath != nil || !error.isMissing {
        diagnostics.append(
          Diagnostic(severity: .error, file: path, line: 0, message: "cannot read it: \(error.reason)"))
      }
    }
    if let directory = options.stateDirectory { configuration.stateDirectory = directory }
    if let socket = options.controlSocket { configuration.controlSocket = socket }
    configuration.response.actsOnOwnAddress = options.actsOnOwnAddress
    var plan = Plan(
      configuration: configuration, logDialect: .modern, configurationPath: foundPath, modesFrom: "",
      diagnostics: diagnostics)
    let usedDefaults = plan.chooseModes(options)
    // Without a configuration the way of starting tells whose words are expected.
    let startsAsBefore = options.isClassicCall || options.modernMode != nil || usedDefaults
    let chosen = foundPath == nil && startsAsBefore ? nil : configuration.logFormat
    plan.logDialect =
      options.logFormat ?? chosen ?? (options.isClassicCall || usedDefaults ? .classic : .modern)
    plan.readIgnoreFile()
    plan.checkPorts()
    if let user = options.commandUser { plan.checkCommands(runBy: user) }
    plan.checkFolders(options.trust)
    return plan
  }

  /// Whose configuration it is, for a sentence: nothing where it speaks in this version's own words.
  package var formText: String {
    logDialect == .native ? "" : ", read as PortSentry \(configuration.dialect.rawValue)"
  }

  /// Built-in settings, whatever lies in /etc.
  package static func embedded(_ mode: Mode) -> Plan {
    var plan = Plan(
      configuration: .embedded, logDialect: .modern, configurationPath: nil, modesFrom: "built-in settings")
    plan.setBoth(mode)
    return plan
  }

  /// Whether the modes came from /etc/default/portsentry.
  private mutating func chooseModes(_ options: RunOptions) -> Bool {
    if let running = options.running {
      (tcpMode, udpMode) = (running.tcp, running.udp)
      modesFrom = "the running sentry"
      return false
    }
    if options.isClassicCall {
      (tcpMode, udpMode) = (options.tcpMode, options.udpMode)
      modesFrom = "the command line"
      return false
    }
    if let mode = options.modernMode {
      setBoth(mode)
      modesFrom = "the command line"
      return false
    }
    if configurationPath == nil || configuration.dialect == .classic,
      let bytes = try? Files.read(options.defaultsPath, limit: 1 << 20)
    {
      let (tcp, udp, problems) = DefaultsFile.parse(bytes, path: options.defaultsPath)
      diagnostics += problems
      if tcp == nil, udp == nil, !problems.contains(where: { $0.severity == .error }) {
        diagnostics.append(
          Diagnostic(
            severity: .error, file: options.defaultsPath, line: 0,
            message:
              "neither TCP_MODE nor UDP_MODE is set, so nothing would be watched: set TCP_MODE=\"atcp\" or UDP_MODE=\"audp\""
          ))
      }
      (tcpMode, udpMode) = (tcp, udp)
      modesFrom = options.defaultsPath
      return true
    }
    if configurationPath == nil {
      (tcpMode, udpMode) = (.advanced, .advanced)
      modesFrom = "built-in settings"
      return false
    }
    setBoth(.stealth)
    modesFrom = "the default (--stealth)"
    return false
  }

  /// 2.x: one mode for both protocols, each where ports are named for it.
  private mutating func setBoth(_ mode: Mode) {
    tcpMode = configuration.tcpPorts.isEmpty ? nil : mode
    udpMode = configuration.udpPorts.isEmpty ? nil : mode
  }

  private mutating func readIgnoreFile() {
    guard let path = configuration.ignoreFile else { return }
    do throws(Errno) {
      let (networks, problems) = IgnoreFile.parse(
        try Files.read(path, limit: 16 << 20), path: path, dialect: configuration.dialect)
      ignored = networks
      diagnostics += problems
    } catch {
      // 1.2 went on without ("Blocking host anyway"), and so do we: the safe list still holds.
      diagnostics.append(
        Diagnostic(
          severity: .warning, file: path, line: 0,
          message: "cannot read the ignore file: \(error.reason); no address is ignored"))
    }
  }

  private mutating func checkPorts() {
    let path = configurationPath ?? "built-in settings"
    for (transport, mode) in [(TransportProtocol.tcp, tcpMode), (.udp, udpMode)] {
      guard let mode, mode != .advanced else { continue }
      if (transport == .tcp ? configuration.tcpPorts : configuration.udpPorts).isEmpty {
        diagnostics.append(
          Diagnostic(
            severity: .error, file: path, line: 0,
            message: "mode \(mode.classicName(transport)) needs \(transport.name)_PORTS, and there is none"))
      }
    }
    let response = configuration.response
    let hasDecoy = tcpMode == .advanced && configuration.advancedDecoy
    if response.tcp == .block || response.udp == .block, response.proof == .handshake, tcpMode != .connect, !hasDecoy,
      !response.doubts
    {
      diagnostics.append(
        Diagnostic(
          severity: .warning, file: path, line: 0,
          message: "nothing here lets a source prove that it is not forged, so NOBODY WILL BE BLOCKED: "
            + (response.tcp == .block
              ? "set DOUBT_TIME or ADVANCED_DECOY, or PROOF=\"none\""
              : "proof comes by TCP, so set BLOCK_TCP=\"1\" too, or PROOF=\"none\"")))
    }
    if tcpMode == nil, udpMode == nil, !hasErrors {
      diagnostics.append(
        Diagnostic(
          severity: .error, file: path, line: 0,
          message: "neither TCP_PORTS nor UDP_PORTS names a port: nothing would be watched"))
    }
  }

  /// What 1.2 did as root, and a sentry that is not root cannot do.
  private mutating func checkCommands(runBy user: String) {
    let keys = commandKeys + (writesHostsDeny ? ["KILL_HOSTS_DENY"] : [])
    guard !keys.isEmpty else { return }
    diagnostics.append(
      Diagnostic(
        severity: .warning, file: configurationPath ?? "built-in settings", line: 0,
        message:
          "\(keys.joined(separator: ", ")): the sentry runs as user \(user), not as root as 1.2 did, so that commands for firewalls and "
          + "hosts.deny fail: copy portsentry-classic.conf to /etc/systemd/system/portsentry.service.d/, then systemctl daemon-reload "
          + "and restart; or block with BLOCK_METHOD=\"nftables\", which needs no root"))
  }

  /// The ports watched in a mode, services or not.
  package func ports(_ transport: TransportProtocol) -> PortSet {
    guard let mode = transport == .tcp ? tcpMode : udpMode else { return PortSet() }
    if mode != .advanced { return transport == .tcp ? configuration.tcpPorts : configuration.udpPorts }
    let bound = transport == .tcp ? configuration.advancedPortsTCP : configuration.advancedPortsUDP
    guard bound > 0 else { return PortSet() }
    // 1.2 watched 0 up to N-1; whoever writes 65535 means the last port too.
    let ports = PortSet(ranges: [0...UInt16(clamping: bound >= 65_535 ? 65_535 : bound - 1)])
    return ports.subtracting(
      transport == .tcp ? configuration.advancedExcludeTCP : configuration.advancedExcludeUDP)
  }

  /// What is to be lied about in these modes, without the decoy's doors and without whom it spares; nil for nothing.
  func trap(_ options: RunOptions) -> NFTablesTrap? {
    var trap = NFTablesTrap()
    if configuration.advancedDecoy, tcpMode == .advanced { trap.decoy = ports(.tcp) }
    if configuration.response.doubts {
      trap.tcp = tcpMode == .connect ? PortSet() : ports(.tcp)
      trap.udp = udpMode == .connect ? PortSet() : ports(.udp)
      if !trap.tcp.isEmpty || !trap.udp.isEmpty { trap.doubt = configuration.response.doubtTime }
    }
    if tcpMode == .advanced {
      // What is closed to a stranger's first probe is closed to his last: no port changes its answer.
      trap.closed4 = configuration.advancedExcludeTCP
      trap.closed6 = configuration.advancedExcludeTCP
    }
    if case .named(let names) = options.interfaces { trap.interfaces = names }
    return trap.decoy.isEmpty && trap.doubt == nil ? nil : trap
  }

  /// Where the journal of these settings is.
  package var journalPath: String { "\(configuration.stateDirectory)/journal.db" }

  /// What the history and the files of events may take.
  var fileLimits: FileLimits { FileLimits(size: configuration.fileSize, perMinute: configuration.fileRate) }

  /// What is to be kept of what happens.
  var recorderSettings: Recorder.Settings {
    let recording = configuration.recording
    var settings = Recorder.Settings()
    settings.version = Version.text
    settings.fileLimits = fileLimits
    settings.eventsFile = recording.eventsFile
    settings.eveFile = recording.eveFile
    settings.metricsFile = recording.metricsFile
    if recording.keepsJournal, foreign.state == nil {
      var journal = JournalWriter.Settings(path: journalPath)
      journal.keep = recording.keep
      journal.size = recording.size
      if recording.consoleListen != nil { journal.readers = PageUser.current.account?.group }
      settings.journal = journal
    }
    return settings
  }

  /// What the sensor needs of all this.
  func sensorSettings(_ options: RunOptions) -> SensorSettings {
    var settings = SensorSettings()
    settings.interfaces = options.interfaces ?? .allButLoopback
    settings.banner = configuration.portBanner
    settings.detector.scanTrigger = configuration.scanTrigger
    settings.detector.countsModesApart = logDialect == .classic
    settings.detector.checksServices = options.checksServices
    settings.detector.ephemeralPorts = Plan.ephemeralPorts
    switch tcpMode {
    case .connect: settings.connectTCP = ports(.tcp)
    case .stealth, .advanced: settings.detector.tcp = Detector.Watch(mode: tcpMode!, ports: ports(.tcp))
    case nil: break
    }
    switch udpMode {
    case .connect: settings.connectUDP = ports(.udp)
    case .stealth, .advanced: settings.detector.udp = Detector.Watch(mode: udpMode!, ports: ports(.udp))
    case nil: break
    }
    setNativeRule(&settings)
    return settings
  }

  /// What the native rule judges: every port that is not excluded, of the protocols that have a mode.
  private func setNativeRule(_ settings: inout SensorSettings) {
    let all = PortSet(ranges: [0...65_535])
    if tcpMode != nil { settings.detector.nativeTCP = all.subtracting(configuration.advancedExcludeTCP) }
    if udpMode != nil {
      // What comes to a port for outgoing connections is nearly always a late answer to a program that has gone.
      let asking = PortSet(ranges: [settings.detector.ephemeralPorts])
      settings.detector.nativeUDP = all.subtracting(asking).subtracting(configuration.advancedExcludeUDP)
    }
    settings.detector.judgesOtherProtocols = true
    settings.detector.asksForConnections = true
    settings.detector.traps = settings.connectTCP ?? PortSet()
    settings.detector.threshold = configuration.ruleThreshold
    settings.detector.sourceCapacity = configuration.ruleSources
  }

  /// `net.ipv4.ip_local_port_range`, which rules IPv6 too.
  private static var ephemeralPorts: ClosedRange<UInt16> {
    let path = "/proc/sys/net/ipv4/ip_local_port_range"
    let words = ((try? Files.read(path, limit: 4096)) ?? []).split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0a }
      .compactMap { UInt16(String(decoding: $0, as: UTF8.self)) }
    guard words.count == 2, words[0] <= words[1] else { return 32768...60999 }
    return words[0]...words[1]
  }
}
