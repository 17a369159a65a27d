import CLinux
import CrowdSec
import Platform
import Response
import Wire

/// What is exchanged with CrowdSec's local API (CROWDSEC_MACHINE, CROWDSEC_KEY): two lanes, each with one question at a time, asked by a confined
/// curl beside the sentry. For the sentry's poll loop: no call waits. Times are monotonic nanoseconds.
final class CrowdSecClient {
  /// A question that is asked.
  private struct Asking {
    let call: APICall
    let child: ChildProcess
    var deadline: Int64
    var isTerminated = false
  }

  /// Decisions that are looked at in one turn of the loop: some milliseconds.
  private static let turn = 1_024
  private static let second: Int64 = 1_000_000_000
  /// Scans told of in a minute; each source once in an hour.
  static let mostScansAMinute = 60

  private(set) var settings: CrowdSecSettings
  private let confiner: String?
  private var alerts: AlertLane?
  private var decisions: DecisionLane?
  private var asking: (alerts: Asking?, decisions: Asking?)
  private var outages = (alerts: Outage(), decisions: Outage(), files: Outage())
  /// Bans that are to be followed, and how many in a minute (BLOCK_RATE; 0: all).
  private var toFollow = FollowQueue()
  var bansAMinute = 0
  private var rereadAt: Int64?
  private var told = Lately()
  private var minute: (begin: Int64, scans: Int) = (0, 0)
  /// What is to be said in the log.
  private var news: [News] = []
  /// What was said last of a lane that fails: of both for one reason it is said once.
  private var fault: String?
  /// Scans that were not told of, because there were too many.
  private(set) var scansLeftOut: UInt64 = 0

  /// - Parameter confiner: our own program, which becomes curl with few rights; nil in tests.
  init(_ settings: CrowdSecSettings, confiner: String?) {
    self.settings = settings
    self.confiner = confiner
    setUp(at: Clock.monotonic)
  }

  /// Reads the files of the secrets; what is wrong with one is said once, and it is read again after a minute.
  private func setUp(at now: Int64) {
    rereadAt = nil
    do {
      var login: MachineLogin?
      if let path = settings.machineFile {
        login = MachineLogin(try NotifyPrograms.secretFile(path))
        if login == nil { throw APIFault("\(SafeText.line(path)) has no lines `login:` and `password:`") }
      }
      let url = settings.url ?? login?.url ?? CrowdSecSettings.defaultURL
      if alerts == nil, let login { alerts = AlertLane(login, url: url) }
      if decisions == nil, let path = settings.keyFile {
        decisions = DecisionLane(key: try NotifyPrograms.secret(path), url: url)
      }
      if outages.files.ends() { news.append(News("CrowdSec: its files are read again")) }
    } catch {
      note(Self.words(error), isNews: outages.files.begins())
      rereadAt = now + 60 * Self.second
    }
  }

  private static func words(_ error: any Error) -> String { (error as? APIFault)?.text ?? "\(error)" }

  var statistics: (waiting: Int, told: UInt64, lost: UInt64, decisions: Int, refused: UInt64, isFailing: Bool) {
    (
      alerts?.waitingCount ?? 0, alerts?.told ?? 0, alerts?.lost ?? 0, decisions?.book.count ?? 0,
      decisions?.book.refused ?? 0, outages.alerts.isOn || outages.decisions.isOn || outages.files.isOn
    )
  }

  /// Networks that it bans, as far as is known.
  var banned: Set<IPNetwork> { Set(decisions?.book.networks.map { $0 } ?? []) }
  /// Whether all decisions are known that there are.
  var isWhole: Bool { decisions?.isWhole ?? false }

  // MARK: What is followed

  func follow(_ network: IPNetwork) { toFollow.add(network) }

  func followNoMore(_ network: IPNetwork) { toFollow.remove(network) }

  /// Bans whose turn it is, as they are known now.
  func takeBans(at now: Int64) -> [(network: IPNetwork, until: Timestamp, scenario: String)] {
    toFollow.take(limit: bansAMinute, most: Self.turn, at: now).compactMap { network in
      decisions?.book.ban(on: network).map { (network, $0.until, $0.scenario) }
    }
  }

  // MARK: What is told

  func tell(_ entry: AlertLane.Entry) { alerts?.add(entry) }

  var isTold: Bool { alerts != nil }

  /// Whether a scan may be told of: of each source once an hour, and not of all in a flood.
  func mayTell(of source: IPAddress, at now: Int64) -> Bool {
    guard isTold else { return false }
    told.trim()
    guard !told.holds(source, at: now) else { return false }
    if now - minute.begin >= 60 * Self.second { minute = (now, 0) }
    guard minute.scans < Self.mostScansAMinute else {
      scansLeftOut += 1
      return false
    }
    minute.scans += 1
    told.note(source, for: 3600 * Self.second, at: now)
    return true
  }

  // MARK: The loop

  var descriptors: [Int32] {
    (asking.alerts?.child.descriptors ?? []) + (asking.decisions?.child.descriptors ?? [])
  }

  var due: Int64? {
    [
      asking.alerts?.deadline ?? alerts?.due, asking.decisions?.deadline ?? decisions?.due, rereadAt,
      toFollow.due(limit: bansAMinute),
    ].compactMap(\.self).min()
  }

  /// Asks what is to be asked, and takes what was answered.
  ///
  /// - Returns: what is new about decisions, and what is to be said.
  func advance(at now: Int64, time: Timestamp) -> (changes: [DecisionBook.Change], news: [News]) {
    if let at = rereadAt, now >= at { setUp(at: now) }
    advanceAlerts(now)
    let changes = advanceDecisions(now, time)
    defer { news = [] }
    return (changes, news)
  }

  private func advanceAlerts(_ now: Int64) {
    if let end = end(of: &asking.alerts, now) {
      do throws(APIFault) {
        switch end {
        case .success(let answer): try alerts?.answered(answer, at: now)
        case .failure(let fault):
          alerts?.failed(at: now)
          throw fault
        }
        if outages.alerts.ends() { news.append(News("CrowdSec: its local API is told again")) }
      } catch {
        note(error.text, isNews: outages.alerts.begins())
      }
    }
    guard asking.alerts == nil, let call = alerts?.next(at: now) else { return }
    asking.alerts = start(call, now) { fault in
      alerts?.failed(at: now)
      note(fault, isNews: outages.alerts.begins())
    }
  }

  private func advanceDecisions(_ now: Int64, _ time: Timestamp) -> [DecisionBook.Change] {
    var changes: [DecisionBook.Change] = []
    do throws(APIFault) {
      if let end = end(of: &asking.decisions, now) {
        switch end {
        case .success(let answer): try decisions?.answered(answer, at: now)
        case .failure(let fault):
          decisions?.failed(at: now)
          throw fault
        }
      }
      let wasReading = decisions?.isReading == true
      changes = try decisions?.advance(most: Self.turn, at: time, monotonic: now) ?? []
      if wasReading, decisions?.isReading == false, outages.decisions.ends() {
        news.append(News("CrowdSec: its decisions are known again"))
      }
    } catch {
      note(error.text, isNews: outages.decisions.begins())
    }
    if asking.decisions == nil, let call = decisions?.next(at: now) {
      asking.decisions = start(call, now) { fault in
        decisions?.failed(at: now)
        note(fault, isNews: outages.decisions.begins())
      }
    }
    return changes
  }

  private func note(_ text: String, isNews: Bool) {
    let isOfOther = outages.alerts.isOn && outages.decisions.isOn && fault?.isSameBytes(as: text) == true
    if isNews, !isOfOther { news.append(News("CrowdSec: \(text); it is tried again", isError: true)) }
    fault = text
  }

  private func start(_ call: APICall, _ now: Int64, orElse failed: (String) -> Void) -> Asking? {
    guard let path = NotifyPrograms.find(ConfinedClient.name) else {
      failed("\(ConfinedClient.name) is not installed")
      return nil
    }
    let words = confiner == nil ? [ConfinedClient.name] : [ConfinedClient.role, path]
    do throws(Errno) {
      let child = try ChildProcess(
        confiner ?? path, words + call.arguments, input: call.input, keeping: APICall.mostAnswer)
      return Asking(call: call, child: child, deadline: now + Int64(APICall.limit + 5) * Self.second)
    } catch {
      failed("\(error)")
      return nil
    }
  }

  /// How a question ended; nil while it is asked, and where none is.
  private func end(of asking: inout Asking?, _ now: Int64) -> Result<APIAnswer, APIFault>? {
    guard var current = asking else { return nil }
    let exit = current.child.reap()
    current.child.readOutput()
    guard let exit else {
      if now >= current.deadline {
        if current.isTerminated { current.child.kill() } else { current.child.terminate() }
        (current.isTerminated, current.deadline) = (true, now + 2 * Self.second)
        asking = current
      }
      return nil
    }
    // More may be in the pipe than one call takes.
    while !current.child.outputEnded, current.child.kept.count < APICall.mostAnswer {
      let before = current.child.kept.count
      current.child.readOutput()
      if current.child.kept.count == before { break }
    }
    asking = nil
    let output = current.child.kept
    guard exit == .exited(0) else {
      let said = current.call.harmless(String(decoding: output.prefix(1_024), as: UTF8.self))
      return .failure(APIFault("its local API is not reached: \(said.isEmpty ? "\(exit)" : said)"))
    }
    guard output.count < APICall.mostAnswer else {
      return .failure(APIFault("its local API answers with more than \(APICall.mostAnswer >> 20) MB"))
    }
    guard let answer = APIAnswer(output: output) else {
      return .failure(APIFault("its local API answers with what is no HTTP"))
    }
    return .success(answer)
  }

  func stop() {
    asking.alerts?.child.terminate()
    asking.decisions?.child.terminate()
  }
}
