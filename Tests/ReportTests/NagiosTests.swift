import Foundation
import Report
import Testing

@Suite struct NagiosTests {
  private static func status(_ text: String) throws -> LiveStatus {
    try JSONDecoder().decode(LiveStatus.self, from: Data(text.utf8))
  }

  private static let well =
    #""interfaces":["eth0"],"tcp_mode":"atcp","udp_mode":"audp","probes":{"seen":70,"alerts":3},"origin":{"proven":2}"#

  private static let numbers = "blocks=1 blocks_made=4c probes=70c alerts=3c proven=2c"

  @Test(arguments: [
    ("", NagiosText.State.ok, "OK - watching (atcp, audp), 1 block in force"),
    (#","deception":{"state":"active","hidden":[]}"#, .ok, "OK - watching (atcp, audp), 1 block in force"),
    (
      #","deception":{"state":"active","hidden":["lan0|IPv4"]}"#, .warning,
      "WARNING - the firewall of this host hides the decoys (lan0/IPv4)"
    ),
    (#","journal":{"failing":true}"#, .warning, "WARNING - the journal cannot be written"),
    (
      #","deception":{"state":"failed","text":"NONE, no nft\n"},"journal":{"failing":true}"#, .critical,
      "CRITICAL - no decoys: NONE, no nft\\x0a; the journal cannot be written"
    ),
    (
      #","trial":{"ends":5,"is_over":true}"#, .warning,
      "WARNING - the trial is over and nothing is blocked: portsentry confirm"
    ),
  ])
  func `The state is that of the worst`(_ more: String, _ state: NagiosText.State, _ text: String) throws {
    let answer = NagiosText(
      try Self.status("{\(Self.well),\"blocks\":{\"in_force\":1,\"made\":4,\"enforced\":true}\(more)}"))
    #expect(answer.state == state)
    #expect(answer.line == "PORTSENTRY \(text) | \(Self.numbers) lost=0c;0")
  }

  @Test func `Losses warn`() throws {
    let answer = NagiosText(
      try Self.status(
        "{\(Self.well),\"blocks\":{\"in_force\":1,\"made\":4},\"dropped\":{\"ring_full\":1200,\"log\":1}}"))
    #expect(answer.state == .warning)
    #expect(
      answer.line
        == "PORTSENTRY WARNING - lost since the start: 1,200 packets in the kernel, 1 log lines | \(Self.numbers) lost=1201c;0"
    )
  }

  @Test func `What protects nobody is critical`() throws {
    for text in [#"{"interfaces":[]}"#, #"{"interfaces":["a"],"blocks":{"enforced":false}}"#] {
      #expect(NagiosText(try Self.status(text)).state == .critical)
    }
    #expect(NagiosText(noAnswer: "no sentry is running", isForbidden: false).state == .critical)
    #expect(
      NagiosText(noAnswer: "portsentry: no sentry is running", isForbidden: false).line
        == "PORTSENTRY CRITICAL - no sentry is running")
    #expect(NagiosText(noAnswer: "no\nright", isForbidden: true).line == "PORTSENTRY UNKNOWN - no\\x0aright")
    #expect(NagiosText(nil).state == .unknown)
  }
}
