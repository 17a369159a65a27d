import Configuration
import Platform
import Wire

/// Files in folders to which another user than root and the sentry's own can write.
extension Plan {
  /// What in such a folder is not used, and why.
  package struct Foreign: Sendable {
    /// Nothing in STATE_DIR is read back: no planted block, page token or journal takes force.
    package var state: FolderTrust.Fault?
    /// No blocks are taken over from BLOCKED_FILE, nor lifted by it.
    package var blockedFile: FolderTrust.Fault?
  }

  /// Where state is kept; nil where anybody else can write to it.
  var keptDirectory: String? { foreign.state == nil ? configuration.stateDirectory : nil }

  /// Makes the folders that are the sentry's own. What cannot be made is said where it is needed.
  func makeFolders() {
    if let directory = keptDirectory { try? Files.createFolder(directory) }
    if let slash = configuration.controlSocket.lastByte("/") {
      try? Files.createFolder(String(configuration.controlSocket[..<slash]))
    }
  }

  /// Looks at the folders of all files, and warns.
  mutating func checkFolders(_ trust: FolderTrust = .sentry) {
    let recording = configuration.recording
    foreign.state = trust.fault(ofFolder: configuration.stateDirectory, for: .readBack)
    foreign.blockedFile = configuration.blockedFile.flatMap { trust.fault(ofFile: $0, for: .readBack) }
    warn(
      .stateDirectory, foreign.state,
      "nothing in it is read or written: no block survives a restart, and there is no journal and no page; "
        + "\(Configuration.defaultStateDirectory) is safe")
    warn(.blockedFile, foreign.blockedFile, "no block is taken over from it, nor lifted by it")
    warn(
      .ignoreFile, configuration.ignoreFile.flatMap { trust.fault(ofFile: $0, for: .readBack) },
      "whoever can put a file there decides whom nothing is done to")
    for (key, path) in [
      (ConfigurationKey.historyFile, configuration.historyFile), (.eventsFile, recording.eventsFile),
      (.eveFile, recording.eveFile), (.metricsFile, recording.metricsFile),
    ] {
      warn(
        key, path.flatMap { trust.fault(ofFile: $0, for: .written) },
        "another file may be put in its place, or a link by which we write elsewhere")
    }
    warn(
      .controlSocket, trust.fault(ofFile: configuration.controlSocket, for: .written),
      "somebody else may answer in place of the sentry")
  }

  private mutating func warn(_ key: ConfigurationKey, _ fault: FolderTrust.Fault?, _ consequence: String) {
    guard let fault else { return }
    diagnostics.append(
      Diagnostic(
        severity: .warning, file: configurationPath ?? "built-in settings", line: 0,
        message: "\(key.rawValue): \(fault): \(consequence)"))
  }
}
