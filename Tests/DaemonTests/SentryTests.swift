import Detection
import EventLog
import Platform
import Response
import Testing
import Wire

@testable import Daemon

/// What a sentry says, writes and answers when something was decided.
@Suite struct SentryTests {
  private let scanner = "203.0.113.7"

  private func verdict() -> Verdict {
    var verdict = Verdict(.scan, source: IPNetwork(scanner)!, first: Clock.now, last: Clock.now)
    (verdict.score, verdict.threshold, verdict.port) = (5_544, 4_595, 23)
    for port in [21, 22, 23, 24] as [UInt16] {
      verdict.add(Evidence(.unusedPort, .syn, port: port, weight: 1_386))
    }
    return verdict
  }

  private var contact: Contact {
    Contact(
      time: Clock.now, source: IPAddress(scanner)!, sourcePort: 40_000, target: IPAddress("192.0.2.1")!, port: 23)
  }

  @Test(arguments: LogDialect.allCases)
  func `A proven scanner is shut out, said in each dialect, kept, explained, and let in again`(
    _ dialect: LogDialect
  ) throws {
    try withSentry(dialect) { sentry, lines in
      sentry.restoreBlocks()
      sentry.decide(.verdict(verdict()))
      #expect(sentry.decisions.table.count == 0)
      sentry.decide(.contact(contact))
      #expect(lines("hosts.deny") == ["ALL: \(scanner)"])
      #expect(lines("log").contains { $0.contains(scanner) && $0.contains("locked") })
      #expect(lines("blocks").contains { $0.hasPrefix("+\t\(scanner)\t") })
      #expect(lines("offenders").count == 2)
      #expect(sentry.answer(.blocked).text.contains("\"\(scanner)\""))
      let why = sentry.answer(.why(target: scanner, json: true)).text
      #expect(why.contains("\"holds\": true") || why.contains("\"holds\":true"))
      #expect(sentry.answer(.why(target: scanner, json: false)).text.contains("counted anew just now"))
      #expect(sentry.answer(.metrics).text.contains("portsentry_blocks_made_total 1"))
      #expect(sentry.answer(.unblock(target: scanner)).text == "\(scanner) is released\n")
      #expect(lines("hosts.deny") == [] && sentry.decisions.table.count == 0)
      #expect(lines("blocks").contains("-\t\(scanner)"))
    }
  }

  @Test func `Decoys that a firewall hides are told of, while there are decoys`() throws {
    try withSentry(.native) { sentry, _ in
      var visibility = DecoyVisibility()
      for _ in 0..<2 {
        visibility.sight.learn([
          DecoySight.Way("lan0", isV4: true): DecoySight.Round(sent: 4, reached: 0, loss: .late)
        ])
      }
      visibility.said = visibility.sight.obstacles
      sentry.visibility = visibility
      #expect(sentry.hiddenText == nil && sentry.protection.hiding == [])
      sentry.deception.state = .active
      #expect(sentry.hiddenText?.hasPrefix("HIDDEN by the firewall of this host on lan0 (IPv4)") == true)
      #expect(sentry.protection.hiding == ["lan0 IPv4"])
    }
  }

  @Test func `What was in force is so again for the next sentry`() throws {
    try withSentry(.native) { sentry, lines in
      sentry.restoreBlocks()
      #expect(sentry.answer(.block(target: scanner, seconds: 0, reason: "")).exitCode == 0)
      #expect(sentry.answer(.block(target: scanner, seconds: nil, reason: "")).text.contains("blocked already"))
      _ = lines("log")
      var next = Ledger(directory: sentry.plan.configuration.stateDirectory)
      let records = try next.blocks.load().records
      #expect(records[IPNetwork(scanner)!]?.until == nil && records.count == 1)
    }
  }

  @Test func `Orders that cannot be followed say why`() throws {
    try withSentry(.native) { sentry, _ in
      sentry.decide(.safe(SafeNetworks([(IPNetwork("192.0.2.1")!, "the default gateway")])))
      let refused = sentry.answer(.block(target: "192.0.2.1", seconds: nil, reason: ""))
      #expect(refused == ControlReply(exitCode: 1, "192.0.2.1 is not blocked: it is the default gateway\n"))
      #expect(sentry.answer(.block(target: "nonsense", seconds: nil, reason: "")).exitCode == 64)
      #expect(sentry.answer(.unblock(target: scanner)) == ControlReply(exitCode: 1, "\(scanner) is not blocked\n"))
      #expect(sentry.answer(.unblockAll).text == "0 released\n")
      #expect(sentry.answer(.confirm) == ControlReply(exitCode: 1, "there is no trial to confirm\n"))
    }
  }

  @Test func `Whoever is allowed is let in, and blocked no more`() throws {
    try withSentry(.native) { sentry, lines in
      sentry.decide(.verdict(verdict()))
      sentry.decide(.contact(contact))
      let reply = sentry.answer(.allow(target: scanner, seconds: nil))
      #expect(reply.exitCode == 0 && reply.text.contains("no longer blocked: \(scanner)"))
      #expect(lines("hosts.deny") == [])
      sentry.decide(.contact(contact))
      sentry.decide(.verdict(verdict()))
      #expect(sentry.decisions.table.count == 0 && lines("allowed").count == 2)
    }
  }

  @Test func `What cannot be written down is said, and the block is tried again`() throws {
    try withSentry(.native) { plan in
      plan.configuration.response.hostsDenyFile = "/proc/nowhere/hosts.deny"
    } _: { sentry, lines in
      sentry.decide(.verdict(verdict()))
      sentry.decide(.contact(contact))
      #expect(sentry.decisions.table.count == 0)
      #expect(lines("log").contains { $0.contains("/proc/nowhere/hosts.deny") })
      #expect(lines("log").contains { $0.contains("could not be blocked") })
      #expect(sentry.decisions.counters.failed == 1)
    }
  }
}
