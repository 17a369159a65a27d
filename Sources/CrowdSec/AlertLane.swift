import Notify
import Platform
import Wire

/// Tells the local API of our bans and scans, one question at a time: logs in as a machine, sends what waits, takes bans back that ended before
/// their time. Pure: time is passed in, and the owner asks.
package struct AlertLane: Sendable {
  /// What is told.
  package enum Entry: Sendable, Equatable {
    case alert(String)
    /// A ban that is over before its time.
    case release(IPNetwork)
  }

  enum Question: Sendable, Equatable {
    case login
    case push(Int)
    /// Which of our decisions are in force about it.
    case find(IPNetwork)
    case delete(Int64)
    case heartbeat
  }

  /// Entries that wait. At the end the oldest goes, and is counted.
  package static let capacity = 1_024
  /// Alerts of one question, and their bytes: a pipe holds 64 KiB.
  static let mostAlerts = 32
  static let mostBytes = 40_000
  private static let minute: Int64 = 60_000_000_000
  /// A token lasts an hour.
  private static let tokenTime: Int64 = 50 * minute

  private let url: String
  private let machine: MachineLogin
  private var waiting: [Entry] = []
  /// Ids of decisions that are to be deleted for the release at the head.
  private var deleting: [Int64] = []
  private var token: (text: String, until: Int64)?
  /// Whether the token at hand was taken once.
  private var tokenWorked = false
  private var asking: Question?
  private var backoff = Backoff()
  private var beatAt: Int64 = 0
  package private(set) var told: UInt64 = 0
  package private(set) var lost: UInt64 = 0

  package init(_ machine: MachineLogin, url: String) {
    self.machine = machine
    self.url = url
  }

  package var waitingCount: Int { waiting.count }

  package mutating func add(_ entry: Entry) {
    if waiting.count >= Self.capacity {
      // Those that are asked about stay at the head.
      let first = asking == nil && deleting.isEmpty ? 0 : min(Self.mostAlerts, waiting.count - 1)
      waiting.remove(at: first)
      lost += 1
    }
    waiting.append(entry)
  }

  /// When there is something to ask, if not now.
  package var due: Int64? {
    if asking != nil { return nil }
    return max(waiting.isEmpty ? beatAt : 0, backoff.until)
  }

  /// The next question; nil where there is none.
  package mutating func next(at now: Int64) -> APICall? {
    guard asking == nil, now >= backoff.until, !waiting.isEmpty || now >= beatAt else { return nil }
    let question = question(at: now)
    asking = question
    return call(question)
  }

  private func question(at now: Int64) -> Question {
    guard let token, token.until > now else { return .login }
    if let id = deleting.first { return .delete(id) }
    switch waiting.first {
    case .alert: return .push(batch)
    case .release(let network): return .find(network)
    case nil: return .heartbeat
    }
  }

  /// How many of the first are alerts, as far as they go into one question.
  private var batch: Int {
    var (count, bytes) = (0, 0)
    for case .alert(let text) in waiting.prefix(while: { if case .alert = $0 { true } else { false } }) {
      // Quotes are doubled on the way.
      bytes += text.utf8.count + text.utf8.count { $0 == 0x22 || $0 == 0x5c } + 1
      if count > 0, bytes > Self.mostBytes || count == Self.mostAlerts { break }
      count += 1
    }
    return count
  }

  private func call(_ question: Question) -> APICall {
    let secrets = [machine.password, token?.text ?? ""]
    let bearer = ["Authorization: Bearer \(token?.text ?? "")"]
    switch question {
    case .login:
      let body = JSON.object([
        "machine_id": .string(machine.login), "password": .string(machine.password), "scenarios": .array([]),
      ])
      return APICall("POST", url + "/v1/watchers/login", body: body.text, secrets: secrets)
    case .push(let count):
      let alerts = waiting.prefix(count).map { if case .alert(let text) = $0 { text } else { "" } }
      return APICall(
        "POST", url + "/v1/alerts", headers: bearer, body: "[\(alerts.joined(separator: ","))]", secrets: secrets)
    case .find(let network):
      let what = "\(network.isHost ? "ip" : "range")=\(NotifyRequest.percent("\(network)"))"
      return APICall(
        "GET", url + "/v1/alerts?\(what)&has_active_decision=true&limit=100", headers: bearer, secrets: secrets)
    case .delete(let id): return APICall("DELETE", url + "/v1/decisions/\(id)", headers: bearer, secrets: secrets)
    case .heartbeat: return APICall("GET", url + "/v1/heartbeat", headers: bearer, secrets: secrets)
    }
  }

  /// Takes the answer to the question at hand.
  package mutating func answered(_ answer: APIAnswer, at now: Int64) throws(APIFault) {
    guard let question = asking.take() else { return }
    do throws(APIFault) { try answered(answer, to: question, at: now) } catch {
      backoff.failed(at: now, atLeast: question == .login || token == nil ? 10 : 1)
      throw error
    }
    backoff.worked()
  }

  /// There was no answer.
  package mutating func failed(at now: Int64) {
    asking = nil
    backoff.failed(at: now)
  }

  private mutating func answered(_ answer: APIAnswer, to question: Question, at now: Int64) throws(APIFault) {
    if question == .login { return try logIn(answer, now) }
    // It has begun anew, or an hour was over by its clock.
    if answer.status == 401 {
      token = nil
      // One login after another would do no better.
      if !tokenWorked { throw APIFault("its local API does not take the token that it gave (\(answer.message))") }
      return
    }
    tokenWorked = true
    beatAt = now + Self.minute
    switch question {
    case .login, .heartbeat:
      if !answer.isGood { throw APIFault("its local API does not take a heartbeat (\(answer.message))") }
    case .push(let count):
      guard answer.isGood || (400...499).contains(answer.status) else {
        throw APIFault("its local API does not take alerts (\(answer.message))")
      }
      waiting.removeFirst(min(count, waiting.count))
      if answer.isGood {
        told += UInt64(count)
        return
      }
      // What it calls wrong now is wrong for ever.
      lost += UInt64(count)
      throw APIFault("its local API refuses alerts (\(answer.message)): they are given up")
    case .find(let network):
      guard answer.isGood else { throw APIFault("its local API does not list alerts (\(answer.message))") }
      deleting = try Self.decisions(answer.body, about: network, of: machine.login)
      if deleting.isEmpty { doneWithRelease() }
    case .delete:
      // Gone already is as good.
      guard answer.isGood || answer.status == 404 || answer.status == 500 else {
        throw APIFault("its local API does not delete a decision (\(answer.message))")
      }
      if !deleting.isEmpty { deleting.removeFirst() }
      if deleting.isEmpty { doneWithRelease() }
    }
  }

  private mutating func doneWithRelease() {
    if case .release? = waiting.first { waiting.removeFirst() }
  }

  private mutating func logIn(_ answer: APIAnswer, _ now: Int64) throws(APIFault) {
    guard answer.isGood else {
      throw APIFault(
        "its local API does not let in machine \(SafeText.line(machine.login, limit: 60)) (\(answer.message)): see `cscli machines list`"
      )
    }
    var reader = JSONReader(answer.body)
    var text: String?
    do throws(JSONReader.Fault) {
      try reader.object { (reader, name) throws(JSONReader.Fault) in
        if name.isSameBytes(as: "token") { text = try reader.text() } else { try reader.skip() }
      }
    } catch { throw APIFault("its local API answers a login with what is no JSON") }
    guard let text, !text.isEmpty, text.utf8.count < JSONReader.mostText,
      text.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
    else { throw APIFault("its local API gives no token") }
    token = (text, now + Self.tokenTime)
    tokenWorked = false
  }

  /// Ids of the decisions of our alerts about a network.
  static func decisions(
    _ body: [UInt8], about network: IPNetwork, of machine: String
  ) throws(APIFault) -> [Int64] {
    var reader = JSONReader(body)
    var ids: [Int64] = []
    do throws(JSONReader.Fault) {
      try reader.array { (reader) throws(JSONReader.Fault) in
        var (owner, scenario): (String?, String?) = (nil, nil)
        var found: [Int64] = []
        try reader.object { (reader, name) throws(JSONReader.Fault) in
          switch name {
          case "machine_id": owner = try reader.text()
          case "scenario": scenario = try reader.text()
          case "decisions":
            try reader.array { (reader) throws(JSONReader.Fault) in
              if let decision = try CrowdSecDecision(&reader), decision.network == network { found.append(decision.id) }
            }
          default: try reader.skip()
          }
        }
        // Never what others decided, even about the same address.
        if owner == machine, scenario == CrowdSecAlert.ban { ids += found.prefix(100) }
      }
    } catch { throw APIFault("its local API lists alerts in what is no JSON") }
    return Array(ids.prefix(1_000))
  }
}
