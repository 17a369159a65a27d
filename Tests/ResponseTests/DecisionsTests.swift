import Detection
import Response
import Testing
import Wire

@Suite("Decisions, row by row") struct DecisionsTests {
  /// What is set, what has happened, what happens last; and below it what is done then, in order.
  struct Row: Sendable, CustomTestStringConvertible {
    let settings: [Substring]
    let before: [Substring]
    let last: Substring
    let done: [Substring]
    let testDescription: String

    init(_ situation: Substring, _ done: Substring) {
      let parts = situation.split(separator: "|", omittingEmptySubsequences: false).map(Self.trimmed)
      settings = parts[0].split(separator: ",").map(Self.trimmed)
      before = parts[1].split(separator: ";").map(Self.trimmed)
      last = parts[2]
      self.done = done.split(separator: ";").map(Self.trimmed)
      testDescription = String(situation)
    }

    private static func trimmed(_ text: Substring) -> Substring {
      var text = text.drop { $0 == " " }
      while text.last == " " { text.removeLast() }
      return text
    }
  }

  static let rows: [Row] = {
    var lines: [Substring] = []
    for line in (decisionRows + "\n" + fleetRows).split(separator: "\n") where !line.hasPrefix("#") {
      // What does not fit goes on in the next line.
      if line.hasPrefix(" ") { lines[lines.count - 1] += line.dropFirst() } else { lines.append(line) }
    }
    return stride(from: 0, to: lines.count - 1, by: 2).map { Row(lines[$0], lines[$0 + 1].dropFirst()) }
  }()

  @Test func `There are at least two hundred of them, none twice`() {
    #expect(Self.rows.count >= 200)
    #expect(Set(Self.rows.map(\.testDescription)).count == Self.rows.count)
  }

  @Test(arguments: rows) func `What is done`(_ row: Row) {
    var stage = Self.stage(row.settings)
    for sentence in row.before { stage.play(sentence) }
    stage.play(row.last)
    #expect(stage.told.joined(separator: "; ") == row.done.joined(separator: "; "))
  }

  private static func stage(_ words: [Substring]) -> Stage {
    var settings = Decisions.Settings()
    settings.tcpMode = .stealth
    settings.udpMode = .stealth
    settings.watched = PortSet(ranges: [1...1024])
    var policy = ResponsePolicy.Settings()
    (policy.tcp, policy.udp, policy.methods) = (.block, .block, [])
    var trial: Duration?
    for word in words {
      let number = word.split(separator: " ").last.flatMap { Int($0) } ?? 0
      switch word.split(separator: " ").first {
      case "native": policy.rule = .native
      case "classic": policy.rule = .classic
      case "no": policy.proof = .none
      case "trigger": settings.scanTrigger = number
      case "1.2": settings.dialect = .classic
      case "2.x": settings.dialect = .modern
      case "-L": settings.actsOnOwnAddress = true
      case "max": policy.maximum = number
      case "rate": policy.perMinute = number
      case "60": policy.duration = .seconds(60)
      case "for": policy.duration = nil
      case "hosts.deny": policy.methods.append(.hostsDeny)
      case "nftables": policy.methods.append(.nftables)
      case "route": policy.methods.append(.route)
      case "command":
        policy.methods.append(.command)
        policy.killRoute = "/bin/true $TARGET$"
      case "run":
        policy.killRunCommand = "/bin/true"
        if word == "run first" { policy.runCommandFirst = true }
      case "block": (policy.tcp, policy.udp) = (BlockAction(rawValue: number)!, BlockAction(rawValue: number)!)
      case "tcp": policy.tcp = .logOnly
      case "udp": policy.udp = .logOnly
      case "fleet": policy.fleetMaximum = number
      case "threshold": settings.verdictThreshold = Int32(number)
      case "prefix": policy.widestPrefix = number
      case "trial": trial = .seconds(600)
      default: Issue.record("no setting \(word)")
      }
    }
    if policy.methods.isEmpty { policy.methods = [.nftables] }
    return Stage(settings, ResponsePolicy(policy), trial: trial)
  }
}
