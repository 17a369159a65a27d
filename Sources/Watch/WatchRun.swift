import CLinux
import Daemon
import Database
import Detection
import FoundationEssentials
import GeoIP
import Journal
import Platform
import Report
import Wire

/// `portsentry watch`: asks, draws, obeys keys, once a second and at each key.
package final class WatchRun {
  package struct Settings: Sendable {
    package var journalPath: String
    package var controlSocket: String
    package var zone: Zone
    package var host: String
    package var isPlain: Bool
    package var atlas: Atlas

    package init(
      journalPath: String, controlSocket: String, zone: Zone, host: String, isPlain: Bool, atlas: Atlas = Atlas()
    ) {
      self.journalPath = journalPath
      self.controlSocket = controlSocket
      self.zone = zone
      self.host = host
      self.isPlain = isPlain
      self.atlas = atlas
    }
  }

  private let settings: Settings
  private var state = WatchState()
  private var reader: JournalReader?
  private var edition: Int64 = -1
  private var hour: Int64 = -1
  private var nextBlocks: Int64 = 0

  private init(_ settings: Settings) { self.settings = settings }

  /// Runs until `q`, TERM, INT or HUP.
  ///
  /// - Returns: the exit status.
  package static func run(_ settings: Settings) throws(Errno) -> Int32 {
    let signals = try openSignals()
    let terminal = try RawTerminal()
    let status = WatchRun(settings).loop(signals.raw, terminal)
    terminal.restore()
    return status
  }

  private static func openSignals() throws(Errno) -> FileDescriptor {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for number in [SIGTERM, SIGINT, SIGHUP, SIGWINCH, SIGTSTP, SIGCONT] { unsafe sigaddset(&set, number) }
    unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    return FileDescriptor(
      owning: try check("signalfd") { unsafe signalfd(-1, &set, Int32(CLinux_SFD_NONBLOCK | CLinux_SFD_CLOEXEC)) })
  }

  private func loop(_ signals: Int32, _ terminal: RawTerminal) -> Int32 {
    var nextBeat: Int64 = 0
    while true {
      let now = Clock.monotonic
      if now >= nextBeat {
        nextBeat = now + 1_000_000_000
        if !state.isPaused { beat() }
        draw()
      }
      let ready = Poll.readable(
        [0, signals], milliseconds: Int32(clamping: max(1, (nextBeat - Clock.monotonic) / 1_000_000)))
      if ready.contains(signals), let status = obeySignals(signals, terminal) { return status }
      guard ready.contains(0) else { continue }
      let bytes = (try? FileDescriptor.readOnce(0, upTo: 256)) ?? []
      // The terminal is gone.
      if bytes.isEmpty { return 1 }
      for key in Key.decode(bytes) where press(key) { return 0 }
      draw()
    }
  }

  private func obeySignals(_ fd: Int32, _ terminal: RawTerminal) -> Int32? {
    var info = signalfd_siginfo()
    while unsafe read(fd, &info, MemoryLayout<signalfd_siginfo>.size) == MemoryLayout<signalfd_siginfo>.size {
      switch Int32(bitPattern: info.ssi_signo) {
      case SIGWINCH: draw()
      case SIGTSTP:
        // As every full-screen program: the terminal is given back while we sleep.
        terminal.restore()
        raise(SIGSTOP)
        terminal.enter()
        draw()
      case SIGCONT: draw()
      case SIGINT: return 0
      case let number: return 128 + number
      }
    }
    return nil
  }

  private func screen() -> WatchScreen {
    let (columns, rows) = RawTerminal.size
    return WatchScreen(columns: columns, rows: rows, isPlain: settings.isPlain, zone: settings.zone)
  }

  private func draw() { RawTerminal.show(screen().draw(state, now: Clock.now, host: settings.host)) }

  /// - Returns: whether that is the end.
  private func press(_ key: Key) -> Bool {
    switch state.press(key, page: screen().page) {
    case .nothing: break
    case .quit: return true
    case .look:
      edition = -1
      look()
    case .show(let address): show(address)
    case .act(let action): act(action)
    }
    return false
  }

  // MARK: Asking

  private func ask(_ message: ControlMessage) -> ControlReply? {
    try? ControlClient.ask(settings.controlSocket, message, patience: 3)
  }

  private func decode<Value: Decodable>(_ message: ControlMessage) -> Value? {
    guard let reply = ask(message), reply.exitCode == 0 else { return nil }
    return try? JSONDecoder().decode(Value.self, from: Data(reply.text.utf8))
  }

  private func beat() {
    state.pulse = decode(.pulse)
    let now = Clock.monotonic
    state.rate.add(state.pulse?.seen, at: now / 1_000_000_000)
    if now >= nextBlocks { takeBlocks() }
    look()
  }

  /// A list of a hundred thousand is not asked for every second.
  private func takeBlocks() {
    nextBlocks = Clock.monotonic + 5_000_000_000
    let blocks: [LiveBlock] = decode(.blocked) ?? []
    state.blocked = blocks.compactMap { IPNetwork($0.network) }
  }

  /// Looks into the journal where anything has changed.
  private func look() {
    do throws(JournalError) {
      let reader = try open()
      do throws(DatabaseError) { try look(reader) } catch { throw .database(error) }
      state.problem = nil
    } catch {
      reader = nil
      state.problem = "the journal cannot be read: \(error)"
    }
  }

  private func open() throws(JournalError) -> JournalReader {
    if let reader, !reader.isReplaced { return reader }
    let opened = try JournalReader(path: settings.journalPath)
    reader = opened
    edition = -1
    return opened
  }

  private func look(_ reader: JournalReader) throws(DatabaseError) {
    let now = Clock.now
    let day = Window(last: .seconds(86_400), now: now)
    let current = try reader.edition()
    guard current != edition || day.last != hour else { return }
    (edition, hour) = (current, day.last)
    try reader.snapshot { () throws(DatabaseError) in
      let known = Dictionary(uniqueKeysWithValues: try reader.hours(day).map { ($0.hour, $0) })
      state.hours = (day.first...day.last).map { known[$0] ?? Hour(hour: $0) }
      state.sources = try reader.activeSources(
        Window(first: day.last - 1, last: day.last), by: state.order, limit: 500)
      state.notes = try reader.newestNotes(60)
      state.ports = try reader.portsByHour(day, limit: 12)
    }
  }

  private func show(_ address: IPAddress) {
    guard let reader else { return }
    let now = Clock.now
    do throws(DatabaseError) {
      let story = try reader.snapshot { () throws(DatabaseError) in
        try reader.story(of: address, Window(last: .seconds(3650 * 86_400), now: now))
      }
      var around = ShowText.Surroundings()
      around.live = decode(.status(json: true))
      let blocks: [LiveBlock] = decode(.blocked) ?? []
      around.block = blocks.first { IPNetwork($0.network)?.contains(address) == true }
      let why: LiveWhy? = decode(.why(target: "\(address)", json: true))
      around.why = why?.known
      around.place = settings.atlas.place(of: address)
      let text = ShowText.render(story, around, now: now, settings.zone, isPlain: settings.isPlain)
      state.mode = .detail(
        address, lines: text.splitBytes("\n", omittingEmptySubsequences: false).map(String.init), top: 0)
    } catch {
      state.message = "the journal cannot be read: \(error)"
    }
  }

  private func act(_ action: WatchState.Action) {
    let message: ControlMessage =
      switch action {
      case .block(let network): .block(target: "\(network)", seconds: nil, reason: "by operator, in watch")
      case .unblock(let network): .unblock(target: "\(network)")
      }
    let reply = ask(message)
    state.message = reply?.text.byteLines.first.map(String.init) ?? "no sentry answers: nothing was done"
    takeBlocks()
  }
}
