import CLinux
import Detection
import Journal
import Notify
import Platform
import Response
import TestSupport
import Testing
import Wire

@testable import Daemon

@Suite struct NotifyClientTests {
  private static let second: Int64 = 1_000_000_000

  private static func client(_ target: String, perHour: Int = 12) throws -> NotifyClient {
    var settings = NotifySettings()
    settings.target = try NotifyTarget(target)
    settings.perHour = perHour
    return NotifyClient(settings)
  }

  private static func block(_ address: String, at time: Timestamp = Timestamp(seconds: 5)) -> Event {
    .blocked(
      Block.Record(
        network: IPNetwork(address)!, since: time, until: time + .seconds(7200), methods: [.nftables], port: 23,
        transport: .tcp, modeName: "atcp", reason: "syn to TCP port 23"), repeats: 1)
  }

  /// Advances until the client rests, with time standing still.
  private static func settle(_ client: NotifyClient, now: Int64) -> [NotifyClient.News] {
    var news: [NotifyClient.News] = []
    let limit = ContinuousClock.now + .seconds(120)
    while ContinuousClock.now < limit {
      if let one = client.advance(now: now, time: Timestamp(seconds: 9)) { news.append(one) }
      if client.descriptors.isEmpty, client.due.map({ $0 > now }) ?? true { break }
      _ = Poll.readable(client.descriptors, milliseconds: 1000)
    }
    return news
  }

  @Test func `A command gets each message on its standard input`() throws {
    try inFolder { folder in
      let program = "\(folder)/tell"
      try Files.replace(
        program, with: Array("#!/bin/sh\ncat >> \(folder)/got; echo $1 >> \(folder)/got\n".utf8), mode: 0o755)
      let client = try Self.client("command \(program) $(id);x")
      client.add(Self.block("198.51.100.7"), now: 0)
      client.add(Self.block("198.51.100.8"), now: 0)
      #expect(Self.settle(client, now: 0) == [])
      #expect(client.sent == 2)
      let lines = String(decoding: try Files.read("\(folder)/got"), as: UTF8.self).split(separator: "\n")
      #expect(lines.count == 4)
      #expect(
        lines[0].hasPrefix("{\"version\":1,\"event\":\"block\",\"time\":5,\"host\":")
          && lines[0].contains("\"text\":\"Blocked 198.51.100.7 for 2h (blocked 1 time before): syn to TCP port 23\""),
        "\(lines[0])")
      #expect(lines[1] == "$(id);x")
    }
  }

  @Test func `What fails is tried three times, said once, and counted`() throws {
    let client = try Self.client("command /bin/false")
    client.add(Self.block("198.51.100.7"), now: 0)
    #expect(Self.settle(client, now: 0) == [.failed("/bin/false ended with status 1")])
    #expect(client.due == 10 * Self.second)
    #expect(Self.settle(client, now: 10 * Self.second) == [])
    #expect(client.due == 30 * Self.second)
    #expect(Self.settle(client, now: 30 * Self.second) == [])
    #expect(client.failed == 1)
    var settings = client.queue.settings
    settings.target = .command(["/bin/true"])
    client.update(settings)
    client.add(Self.block("198.51.100.8"), now: 31 * Self.second)
    #expect(Self.settle(client, now: 31 * Self.second) == [.worksAgain])
    #expect(client.sent == 1)
  }

  @Test(arguments: [
    ("command /nonexistent/tell", "No such file or directory"),
    ("slack /nonexistent/url", "cannot read /nonexistent/url"),
  ])
  func `What cannot be started is said`(_ target: String, _ words: String) throws {
    let client = try Self.client(target)
    client.add(Self.block("198.51.100.7"), now: 0)
    let news = Self.settle(client, now: 0)
    #expect(news.count == 1)
    #expect("\(news)".contains(words), "\(news)")
  }

  @Test func `A client that hangs is ended`() throws {
    let client = try Self.client("command /bin/sleep 1000")
    client.add(Self.block("198.51.100.7"), now: 0)
    #expect(client.advance(now: 0, time: Timestamp(seconds: 0)) == nil)
    #expect(client.due == 25 * Self.second)
    #expect(client.advance(now: 24 * Self.second, time: Timestamp(seconds: 0)) == nil)
    #expect(client.due == 25 * Self.second)
    #expect(client.advance(now: 25 * Self.second, time: Timestamp(seconds: 0)) == nil)
    // Its output may be closed before its end is known: one look is not enough.
    var news: NotifyClient.News?
    let limit = ContinuousClock.now + .seconds(120)
    while news == nil, ContinuousClock.now < limit {
      _ = Poll.readable(client.descriptors, milliseconds: 1000)
      news = client.advance(now: 26 * Self.second, time: Timestamp(seconds: 0))
    }
    #expect(news == .failed("/bin/sleep did not end in time and was stopped"))
  }

  @Test(arguments: [(0o600, true), (0o640, true), (0o644, false), (0o660, false), (0o602, false)])
  func `A secret's file is for the sentry alone`(_ mode: Int, _ isTaken: Bool) throws {
    try inFolder { folder in
      try Files.replace("\(folder)/f", with: Array("tok\nmore\n".utf8), mode: mode_t(mode))
      let text = try? NotifyPrograms.secret("\(folder)/f")
      #expect(text == (isTaken ? "tok" : nil))
    }
  }

  @Test(arguments: ["", "\n", "a b\n", "a\u{1b}\n", "\"\u{e9}\n"])
  func `A file without a usable line is refused`(_ text: String) throws {
    try inFolder { folder in
      try Files.replace("\(folder)/f", with: Array(text.utf8))
      #expect(throws: NotifyFailure.empty("\(folder)/f")) { try NotifyPrograms.secret("\(folder)/f") }
    }
  }

  @Test func `What becomes worse is told, what stays or mends is not`() {
    var watch = ProtectionWatch()
    let time = Timestamp(seconds: 1)
    var protection = Protection()
    #expect(watch.changes(to: protection, at: time) == [])
    protection.hiding = ["lan0 IPv4"]
    #expect(watch.changes(to: protection, at: time).map(\.kind) == [.hiddenDecoys])
    #expect(watch.changes(to: protection, at: time) == [])
    protection.decoyFault = "no nft"
    protection.blocksInDoubt = true
    protection.isJournalFailing = true
    protection.lostLines = 3
    let notices = watch.changes(to: protection, at: time)
    #expect(notices.map(\.kind) == [.loss, .loss, .loss, .loss])
    #expect(notices.last?.text == "Lost: 3 lines of log or history")
    #expect(watch.changes(to: Protection(), at: time) == [])
  }

  @Test func `Only some events are told`() {
    let time = Timestamp(seconds: 1)
    #expect(Notice(.started(at: time)) == nil)
    #expect(Notice(.lost(.sources, count: 5, at: time)) == nil)
    #expect(Notice(.lost(.ring, count: 5, at: time))?.text == "Lost: 5 packets, in the kernel")
    #expect(Notice(.blind(at: time))?.kind == .loss)
    var verdict = Verdict(.scan, source: IPNetwork("198.51.100.7")!, first: time, last: time)
    verdict.ports = 12
    #expect(
      Notice(.verdict(verdict))?.text == "198.51.100.7 is a scanner: vertical scan, 12 ports; address not verified")
    verdict.verdictClass = .flood
    #expect(Notice(.verdict(verdict))?.kind == .flood)
    verdict.verdictClass = .backscatter
    #expect(Notice(.verdict(verdict)) == nil)
  }
}
