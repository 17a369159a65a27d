import Detection
import Journal
import Notify
@testable import Response
import Testing
import Wire

@testable import Daemon

/// Which events somebody is told of, and in what words.
@Suite struct NoticesTests {
  private let time = Timestamp(seconds: 1_700_000_000)

  private func verdict(_ verdictClass: Verdict.Class, _ change: (inout Verdict) -> Void = { _ in }) -> Verdict {
    var verdict = Verdict(verdictClass, source: IPNetwork("203.0.113.7")!, first: time, last: time)
    (verdict.ports, verdict.probes, verdict.port) = (12, 3_000, 443)
    change(&verdict)
    return verdict
  }

  @Test func `A block, with its length and how often it was`() throws {
    var settings = ResponsePolicy.Settings()
    settings.tcp = .block
    func block(_ duration: Duration?) throws -> Block.Record {
      try ResponsePolicy(settings).order(
        IPNetwork("203.0.113.7")!, duration: duration, reason: "by operator", inForce: BlockTable().budget, now: time
      ).record
    }
    let first = try #require(Notice(.blocked(try block(.seconds(86_400)), repeats: 0)))
    #expect(first.kind == .block && first.subject == "203.0.113.7" && first.key == nil)
    #expect(first.text == "Blocked 203.0.113.7 for 1d: by operator")
    let again = try #require(Notice(.blocked(try block(nil), repeats: 2)))
    #expect(again.text == "Blocked 203.0.113.7 until it is unblocked (blocked 2 times before): by operator")
  }

  @Test func `A scan is one message a source, a flood one a port; what nobody can mend is none`() throws {
    let scan = try #require(Notice(.verdict(verdict(.scan))))
    #expect(
      scan.kind == .scan && scan.key == "scan 203.0.113.7" && scan.text.hasSuffix("12 ports; address not verified"))
    let proven = try #require(Notice(.verdict(verdict(.scan) { $0.origin = .proven })))
    #expect(!proven.text.contains("not verified") && proven.key == scan.key)
    let flood = try #require(Notice(.verdict(verdict(.flood))))
    #expect(
      flood.kind == .flood && flood.key == "flood TCP 443" && flood.text == "Flood: 3,000 packets to TCP port 443")
    #expect(Notice(.verdict(verdict(.backscatter))) == nil)
    #expect(Notice(.verdict(verdict(.anomaly))) == nil)
    #expect(Notice(.lost(.sources, count: 5, at: time)) == nil, "they made room for others")
    #expect(Notice(.lost(.ring, count: 5, at: time))?.kind == .loss)
    #expect(Notice(.blind(at: time))?.text.contains("NOTHING IS SEEN") == true)
    #expect(Notice(.started(at: time)) == nil)
  }

  @Test func `Each protection that is lost is told once, when it is lost`() {
    var watch = ProtectionWatch()
    var now = Protection()
    func news(_ change: (inout Protection) -> Void) -> [String] {
      change(&now)
      return watch.changes(to: now, at: time).map { $0.key ?? $0.kind.rawValue }
    }
    #expect(news { _ in } == [])
    #expect(news { $0.hiding = ["lan0 IPv4"] } == ["hidden-decoys"])
    #expect(news { $0.hiding = ["lan0 IPv4"] } == [])
    #expect(news { $0.hiding = ["lan0 IPv4", "lan0 IPv6"] } == ["hidden-decoys"])
    #expect(news { $0.hiding = [] } == [], "what is better is no message")
    #expect(news { $0.decoyFault = "no right" } == ["decoys"])
    #expect(news { $0.decoyFault = "another" } == [])
    #expect(news { ($0.blocksInDoubt, $0.isJournalFailing) = (true, true) } == ["blocks", "journal"])
    #expect(news { $0.blocksInDoubt = false } == [])
    #expect(news { $0.blocksInDoubt = true } == ["blocks"])
    #expect(news { $0.lostLines = 7 } == ["lines"])
    now.lostLines = 9
    #expect(watch.changes(to: now, at: time).map(\.text) == ["Lost: 2 lines of log or history"])
  }

  @Test func `What protects is counted for Prometheus`() {
    var protection = Protection()
    let calm = Companions().metrics(protection)
    protection.hiding = ["lan0 IPv4", "lan0 IPv6"]
    protection.decoyFault = "no right"
    let lost = Companions().metrics(protection)
    #expect(calm.map { "\($0.name)" } == lost.map { "\($0.name)" })
    #expect(calm.first.map { "\($0.name)" } == "decoys_hidden")
    #expect(calm.first?.samples.map(\.value) == [0] && lost.first?.samples.map(\.value) == [2])
    #expect(lost[1].samples.map(\.value) == [1, 0])
  }
}
