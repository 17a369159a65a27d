import Detection
import EventLog
import Testing
import Wire

@Suite struct VerdictLineTests {
  private static func verdict(_ verdictClass: Verdict.Class, _ change: (inout Verdict) -> Void) -> String {
    let start = Timestamp(seconds: 1_700_000_000)
    var verdict = Verdict(verdictClass, source: IPNetwork("203.0.113.7")!, first: start, last: start + .seconds(90))
    verdict.techniques = TechniqueSet(.syn)
    change(&verdict)
    return LogLine.verdict(verdict).text
  }

  @Test func `A scanner, with what he did, by which evidence`() {
    let text = Self.verdict(.scan) {
      $0.tool = Tool(.nmap)
      ($0.probes, $0.ports, $0.targets, $0.score, $0.threshold) = (3, 3, 1, 7600, 4595)
      $0.origin = .proven
    }
    #expect(
      text
        == "Verdict: 203.0.113.7 is a scanner: vertical scan (syn) with nmap, 3 ports in 90s; evidence 7.6 of 4.6 needed after 3 probes, origin proven"
    )
  }

  @Test func `A slow one over several addresses, with what speaks against it being he`() {
    let text = Self.verdict(.scan) {
      ($0.probes, $0.ports, $0.targets, $0.score, $0.threshold) = (1, 1, 20, 4600, 4595)
      $0.kind = .horizontal
      $0.isSlow = true
      $0.mayBeZombie = true
      $0.mayBeDecoy = true
      $0.last = $0.first + .seconds(3 * 86_400)
    }
    #expect(text.contains("is a scanner: slow horizontal scan (syn), 1 port of about 20 addresses in 72h; "))
    #expect(text.contains("after 1 probe, origin unproven"))
    #expect(text.hasSuffix("(idle scan); perhaps its name is only a decoy (others sent the same)"))
  }

  @Test func `Many as one`() {
    let text = Self.verdict(.scan) {
      $0.source = IPNetwork("198.51.100.0/24")!
      $0.kind = .distributed
      ($0.sources, $0.ports, $0.probes, $0.score, $0.threshold) = (40, 40, 40, 88_000, 6892)
    }
    #expect(text.hasPrefix("Verdict: 40 sources in 198.51.100.0/24 act as one: a distributed scan (syn), 40 ports"))
  }

  @Test func `Floods and echoes accuse nobody`() {
    let flood = Self.verdict(.flood) { ($0.probes, $0.port, $0.sources) = (60_000, 443, 4200) }
    #expect(
      flood
        == "Verdict: Flood: 60000 packets (syn) to TCP port 443 from about 4200 sources in 90s; their sources are not held to be scanners"
    )
    let echo = Self.verdict(.backscatter) { $0.port = 80 }
    #expect(echo.contains("Backscatter: 203.0.113.7 answers what others sent in our name; port 80 of it"))
    #expect(echo.hasSuffix("it is no scanner"))
    #expect(Self.verdict(.anomaly) { $0.probes = 30 }.hasSuffix("(30 so far); it is no scanner"))
    #expect(LogLine.moreVerdicts(12).text == "Verdict: 12 more within this minute are not written here")
  }
}
