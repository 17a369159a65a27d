import CLinux
import Configuration
import Confinement
import Notify
import Platform
import Response
import Wire

/// What the sentry keeps of its rights while it watches. What a configuration needs decides it; the rest is given up before the first
/// thread, for good: a configuration that needs more takes a restart. Pure but for `enter`.
struct Rights: Equatable, Sendable {
  /// nil: all that it has.
  var capabilities: Capabilities?
  /// Whether programs that it executes may get rights that it has not (set-user-ID).
  var mayGain = true
  /// nil: all files that its user may use.
  var files: Landlock?
  /// nil: all.
  var calls: SystemCalls?
  /// What is kept that most sentries give up, and what for.
  var reasons: [String] = []

  /// What there is on this host that decides with the configuration.
  struct Host: Sendable {
    var user: uid_t = geteuid()
    /// Before it, CAP_SYS_ADMIN was what bpf(2) asked for.
    var hasBPF = Capabilities.hasBPF
    var page = PageUser.current
    /// Of a program that needs others to be loaded (ld.so), these too are executed.
    var isDynamic = CLinux_is_dynamic() != 0
    var program = ConsoleProcess.program
    /// Whether cgroup2 is mounted; where it is not, the gate and `PortYield` mount it for themselves, which takes root's rights.
    var hasControlGroups = String(decoding: (try? Files.read("/proc/self/mounts")) ?? [], as: UTF8.self)
      .containsBytes(" cgroup2 ")
    /// Whether there is a folder.
    var exists: @Sendable (String) -> Bool = { Files.stamp($0) != nil }
  }

  /// All of them.
  static let all = Rights()

  init() {}

  init(_ plan: Plan, on host: Host = Host()) {
    let notify = plan.configuration.recording.notify.target
    let others = plan.commandKeys + (notify.map(Self.isOfOthers) == true ? ["NOTIFY"] : [])
    guard others.isEmpty else {
      reasons.append(
        "keeps all rights that it was started with, because programs of the configuration inherit them (\(others.joined(separator: ", ")))"
      )
      return
    }
    guard host.hasControlGroups || host.user != 0 else {
      reasons.append(
        "keeps all rights that it was started with, because cgroup2 is not mounted, and eBPF programs need it")
      return
    }
    mayGain = false
    capabilities = Self.capabilities(plan, host)
    calls = .sentry
    files = Self.files(plan, host)
    if plan.writesHostsDeny { reasons.append("may write in the folder of hosts.deny, which is replaced in one step") }
    if !host.hasBPF { reasons.append("keeps CAP_SYS_ADMIN, which bpf(2) asks for on this kernel (CAP_BPF is of 5.8)") }
  }

  /// A program of the administrator's, or the mail system, which changes users and writes where it likes. The others are sent by curl.
  private static func isOfOthers(_ target: NotifyTarget) -> Bool {
    switch target {
    case .command, .mail: true
    case .ntfy, .slack, .discord, .webhook, .matrix, .telegram: false
    }
  }

  private static func capabilities(_ plan: Plan, _ host: Host) -> Capabilities {
    var kept: Capabilities = [.netRaw, .netAdmin, .bindService, .bpf]
    if !host.hasBPF { kept.insert(.administer) }
    guard host.user == 0 else { return kept }
    // What a sentry under systemd has left belongs to its user.
    kept.insert(.overrideFiles)
    // The page gets another user, who may read the journal and ask, and is ended by us.
    if host.page.account != nil { kept.formUnion([.setUser, .setGroup, .chown, .kill]) }
    return kept
  }

  private static func files(_ plan: Plan, _ host: Host) -> Landlock {
    let configuration = plan.configuration
    let recording = configuration.recording
    var files = [
      configuration.controlSocket, configuration.historyFile, configuration.blockedFile, recording.eventsFile,
      recording.eveFile, recording.metricsFile, plan.writesHostsDeny ? configuration.response.hostsDenyFile : nil,
    ].compactMap(\.self)
    if case .unix(let path) = recording.consoleListen { files.append(path) }
    // Files are replaced by renaming, and folders are made when they are needed.
    var folders = files.map { file in file.lastByte("/").map { String(file[..<$0]) } ?? "." }
    if let directory = plan.keptDirectory { folders.append(directory) }
    let written = Set(folders.map { existing($0, host) }).sorted()
    var programs = [host.program].compactMap(\.self)
    if host.isDynamic || recording.notify.target != nil || configuration.crowdSec.isOn {
      programs += ConfinedClient.programs
    }
    return Landlock(read: ["/"], write: written + ["/dev/null"], execute: programs)
  }

  /// A folder, or the one above it that is there.
  private static func existing(_ folder: String, _ host: Host) -> String {
    var path = folder
    while !path.isEmpty, !host.exists(path) {
      path = path.lastByte("/").map { String(path[..<$0]) } ?? ""
    }
    return path.isEmpty ? "/" : path
  }

  /// What of another configuration these are not enough for, in words.
  func lacks(_ wanted: Rights) -> [String] {
    var result: [String] = []
    if wanted.calls == nil, calls != nil {
      return ["the programs of the new configuration have no more rights than the sentry has now"]
    }
    guard let files, let more = wanted.files else { return result }
    for folder in more.write where !files.write.contains(where: { Self.holds($0, folder) }) {
      result.append("nothing can be written in \(folder)")
    }
    if !Set(more.execute).isSubset(of: files.execute) { result.append("messages cannot be sent") }
    return result
  }

  private static func holds(_ folder: String, _ path: String) -> Bool {
    folder == "/" || path == folder || path.startsWithBytes(folder + "/")
  }

  /// Gives up what is not kept. For a process without further threads.
  ///
  /// - Returns: what it is now, and what could not be given up.
  func enter() -> InForce {
    var result = InForce(rights: self)
    func attempt(_ body: () throws(Errno) -> Void) {
      do throws(Errno) { try body() } catch { result.faults.append("\(error)") }
    }
    if let capabilities {
      attempt { () throws(Errno) in try Capabilities.keepOnly(capabilities, inherited: true) }
    }
    guard !mayGain else { return result }
    attempt { () throws(Errno) in try Confinement.noNewPrivileges() }
    if let files { attempt { () throws(Errno) in result.hasLandlock = try files.restrict() } }
    if let calls { attempt { () throws(Errno) in _ = try calls.restrict() } }
    return result
  }

  /// What came of it.
  struct InForce: Sendable {
    /// All is open that is needed: what could open more of the like is given up, too.
    mutating func seal() {
      guard rights.calls != nil else { return }
      do throws(Errno) { _ = try SystemCalls.sealed.restrict() } catch { faults.append("\(error)") }
    }

    var rights = Rights.all
    var hasLandlock = false
    /// What could not be given up, in words.
    var faults: [String] = []
  }
}

extension Plan {
  /// Keys whose programs, which are the administrator's, a sentry with these settings may run.
  var commandKeys: [String] {
    let response = configuration.response
    let actions = [response.tcp, response.udp]
    var keys: [String] = []
    // 1.2's own route is made through netlink, which CAP_NET_ADMIN is enough for.
    if actions.contains(.block), response.methods.contains(.command), let template = response.killRoute,
      !CommandTemplate.isClassicReject(template)
    {
      keys.append("KILL_ROUTE")
    }
    if actions.contains(where: { $0 != .logOnly }), response.killRunCommand != nil { keys.append("KILL_RUN_CMD") }
    return keys
  }

  /// Whether a sentry with these settings writes lines of hosts.deny.
  var writesHostsDeny: Bool {
    let response = configuration.response
    return [response.tcp, response.udp].contains(.block) && response.methods.contains(.hostsDeny)
  }
}
