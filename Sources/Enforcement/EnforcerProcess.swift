import CLinux
import Configuration
import Confinement
import Platform
import Response
import Wire

/// The enforcer's processes: one that enforces, and above it one that starts it anew when it ends. Our program is executed as them before
/// the sentry gives its rights up; neither has a thread. Who is confined like the sentry could not start another: its child would have no
/// more rights than itself.
package enum EnforcerProcess {
  /// What our program is called then; what follows are `EnforcerSettings.words`. Its end of the pair is descriptor 0.
  package static let role = "portsentry-enforcer"

  /// Exit statuses, by which the one above knows what to do.
  enum Exit {
    /// The sentry is gone.
    static let done: Int32 = 0
    /// What came was no order: nothing more is taken from that sentry.
    static let wrongOrder: Int32 = 76
  }

  /// - Returns: the exit status.
  package static func run(_ words: [String]) -> Int32 {
    guard let settings = EnforcerSettings(words: words) else { return 64 }
    CLinux_ignore_signal(SIGPIPE)
    // Whoever orders waits; the work is done in far less than a turn.
    _ = CLinux_short_turns()
    var configuration = settings.configuration() ?? .embedded
    let hasLandlock = confine(settings.files(configuration))
    // Known from before the fork: where /proc hides processes, the one above is hidden from the one below.
    let keeper = try? ProcessState.read(getpid())
    var isAgain = false
    var pause: UInt32 = 0
    while true {
      let began = Clock.monotonic
      let pid = CLinux_fork()
      if pid == 0 {
        _ = CLinux_end_with_parent()
        var worker = EnforcerWorker(settings, configuration, keeper, hasLandlock: hasLandlock, isAgain: isAgain)
        return worker.run()
      }
      let ending = pid > 0 ? wait(for: pid) : "\(Errno.last("fork"))"
      guard let ending else { return Exit.done }
      tell(.ended(ending))
      if ending.isSameBytes(as: wrongOrder) { return Exit.wrongOrder }
      if Clock.monotonic - began > 60_000_000_000 { pause = 0 }
      sleep(pause)
      pause = min(max(1, 2 * pause), 60)
      isAgain = true
      configuration = settings.configuration() ?? configuration
    }
  }

  static let wrongOrder = "what it was sent is no order"

  /// - Returns: how it ended, in words; nil where the sentry is gone.
  private static func wait(for pid: pid_t) -> String? {
    var status: Int32 = 0
    while unsafe waitpid(pid, &status, 0) == -1, CLinux_errno() == EINTR {}
    guard CLinux_exited(status) != 0 else { return "signal \(CLinux_term_signal(status))" }
    switch CLinux_exit_status(status) {
    case Exit.done: return nil
    case Exit.wrongOrder: return wrongOrder
    case let code: return "exit status \(code)"
    }
  }

  private static func tell(_ news: EnforcerReply) {
    let bytes = EnforcerSerial.bytes(EnforcerSerial.news) + news.bytes
    _ = unsafe bytes.withUnsafeBytes {
      unsafe send(0, $0.baseAddress, $0.count, Int32(CLinux_MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
    }
  }

  /// CAP_NET_ADMIN, files to be read, and the calls of its work. What cannot be given up is said, and blocks go on.
  ///
  /// - Returns: whether it has Landlock.
  static func confine(_ files: Landlock) -> Bool {
    var hasLandlock = false
    func attempt(_ body: () throws(Errno) -> Void) {
      do throws(Errno) { try body() } catch { Console.error("\(error)") }
    }
    attempt { () throws(Errno) in try Capabilities.keepOnly([.netAdmin], inherited: false) }
    attempt { () throws(Errno) in try Confinement.noNewPrivileges() }
    // Nobody of the same user looks into its memory, where the kernel has no Landlock that keeps them from it.
    attempt { () throws(Errno) in try check("prctl", "PR_SET_DUMPABLE") { CLinux_prctl(PR_SET_DUMPABLE, 0, 0) } }
    attempt { () throws(Errno) in hasLandlock = try files.restrict() }
    attempt { () throws(Errno) in _ = try SystemCalls.enforcer.restrict() }
    return hasLandlock
  }
}

/// The process that enforces: one poll loop, for as long as the sentry holds its end.
struct EnforcerWorker: ~Copyable {
  private let settings: EnforcerSettings
  private let desk: EnforcerDesk
  private var wardens: Wardens
  private let keeper: ProcessState?
  private let hasLandlock: Bool
  private let isAgain: Bool
  private var buffer = [UInt8](repeating: 0, count: EnforcerSerial.size + EnforcerOrder.largest + 1)

  init(
    _ settings: EnforcerSettings, _ configuration: Configuration, _ keeper: ProcessState?, hasLandlock: Bool,
    isAgain: Bool
  ) {
    self.settings = settings
    self.keeper = keeper
    self.hasLandlock = hasLandlock
    self.isAgain = isAgain
    desk = EnforcerDesk(
      Permit(EnforcerSettings.limits(configuration)), KernelRuleset(isTrapKnown: !isAgain), isSealed: isAgain)
    wardens = Wardens(ignoreFile: configuration.ignoreFile)
  }

  /// - Returns: the exit status.
  mutating func run() -> Int32 {
    wardens.refreshSafe(&desk.permit, at: Clock.monotonic)
    wardens.refreshIgnored(&desk.permit, at: Clock.monotonic)
    if isAgain { try? desk.recall(at: Clock.monotonic) }
    guard say(.hello(pid: getpid(), isAgain: isAgain)) else { return EnforcerProcess.Exit.done }
    while true {
      let now = Clock.monotonic
      let descriptors = [0, desk.rules.monitorDescriptor, wardens.descriptor].compactMap(\.self)
      let wait = Int32(clamping: max(0, (wardens.due - now + 999_999) / 1_000_000))
      let ready = Poll.readable(descriptors, milliseconds: wait)
      let then = Clock.monotonic
      // Who has become safe is so before the next block.
      if let fd = wardens.descriptor, ready.contains(fd) { wardens.hear(at: then) }
      wardens.refreshSafe(&desk.permit, at: then)
      if let fd = desk.rules.monitorDescriptor, ready.contains(fd), desk.rules.wasTouched() {
        guard say(.touched) else { return EnforcerProcess.Exit.done }
      }
      if ready.contains(0), let status = serve() { return status }
    }
  }

  /// Takes what is there, at most 64 orders.
  ///
  /// - Returns: the exit status, at the end.
  private mutating func serve() -> Int32? {
    for _ in 0..<64 {
      let count = unsafe buffer.withUnsafeMutableBytes {
        unsafe recv(0, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
      }
      if count == 0 { return EnforcerProcess.Exit.done }
      if count < 0 { return [EAGAIN, EINTR].contains(CLinux_errno()) ? nil : EnforcerProcess.Exit.done }
      guard let serial = EnforcerSerial.read(buffer[..<count]),
        let order = EnforcerOrder(buffer[EnforcerSerial.size..<count])
      else { return EnforcerProcess.Exit.wrongOrder }
      let now = Clock.monotonic
      wardens.refreshIgnored(&desk.permit, at: now)
      if order == .health {
        guard say(.health(states, landlock: hasLandlock), serial) else { return EnforcerProcess.Exit.done }
        continue
      }
      if order == .reread { reread() }
      switch desk.answer(order, at: now) {
      case .reply(let reply): guard say(reply, serial) else { return EnforcerProcess.Exit.done }
      case .silence: break
      case .end: return EnforcerProcess.Exit.wrongOrder
      }
    }
    return nil
  }

  private mutating func reread() {
    guard let configuration = settings.configuration() else { return }
    desk.permit.limits = EnforcerSettings.limits(configuration)
    if configuration.ignoreFile == nil { desk.permit.ignored = IPNetworkSet() }
    wardens = Wardens(ignoreFile: configuration.ignoreFile)
    wardens.refreshIgnored(&desk.permit, at: Clock.monotonic)
  }

  private var states: [ProcessState] { [try? ProcessState.read(getpid()), keeper].compactMap(\.self) }

  /// A sentry waits for an answer, and reads news when it comes to it: where there is no room for news, there is some that says the same.
  ///
  /// - Returns: false where the sentry is gone.
  private func say(_ reply: EnforcerReply, _ serial: UInt32 = EnforcerSerial.news) -> Bool {
    let bytes = EnforcerSerial.bytes(serial) + reply.bytes
    let flags = Int32(CLinux_MSG_NOSIGNAL) | (reply == .touched ? Int32(MSG_DONTWAIT) : 0)
    let count = unsafe bytes.withUnsafeBytes { unsafe send(0, $0.baseAddress, $0.count, flags) }
    return count == bytes.count || CLinux_errno() == EAGAIN
  }
}
