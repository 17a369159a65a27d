import Detection
import Response
import TestSupport
import Testing
import Wire

func time(_ seconds: Int64) -> Timestamp { Timestamp(seconds: 1_700_000_000 + seconds) }

func verdict(weights: [Int16], threshold: Int32 = 4_595) -> Verdict {
  var verdict = Verdict(.scan, source: network("192.0.2.9"), first: time(0), last: time(9))
  verdict.tool = Tool(.nmap)
  verdict.evidence = weights.enumerated().map {
    Evidence(.unusedPort, .syn, port: UInt16($0.offset + 20), weight: $0.element)
  }
  verdict.score = weights.reduce(0) { $0 + Int32($1) }
  verdict.threshold = threshold
  return verdict
}

@Suite struct GroundsTests {
  static let origin = Grounds.ProofOfOrigin(.decoy, port: 594, at: time(3))

  static let samples: [(Grounds, line: String, words: String)] = [
    (
      Grounds(.touch(.syn, .tcp, port: 594, trigger: 1), origin),
      "classic syn TCP 594 1 origin decoy 594 1700000003000000000", "syn to TCP port 594; proven by decoy port 594"
    ),
    (Grounds(.touch(.udp, .udp, port: 69, trigger: 3), nil), "classic udp UDP 69 3", "udp to UDP port 69"),
    (
      Grounds(
        Grounds.Accusation(verdict(weights: [1386, 2000, -500, 1386, 1386])),
        Grounds.ProofOfOrigin(.listener, port: 1, at: time(0))),
      "native vertical nmap 5658 4595 unused-port,syn,20,1386 unused-port,syn,21,2000 unused-port,syn,22,-500 "
        + "unused-port,syn,23,1386 unused-port,syn,24,1386 origin listener 1 1700000000000000000",
      "vertical scan by nmap (syn); proven by listener port 1"
    ),
    (
      Grounds(.fleet(FleetCause(.quorum(2), [web, FleetCause.Witness(node: 9, name: "mx-2.a", at: time(9))])), nil),
      "fleet quorum 2 7:web1:1700000000 9:mx-2.a:1700000009", "2 hosts of the fleet saw it (web1, mx-2.a)"
    ),
    (
      Grounds(.fleet(FleetCause(.hearsay(weight: 2395, ownPorts: [594], threshold: 4595), [web])), origin),
      "fleet hearsay 2395 4595 594 7:web1:1700000000 origin decoy 594 1700000003000000000",
      "connections with port 594; 1 host of the fleet saw it (web1); proven by decoy port 594"
    ),
    (Grounds(.fleet(FleetCause(.order(operator: 9), [])), nil), "fleet order 9", "order of the fleet's operator 9"),
    (
      Grounds(.fleet(FleetCause(.crowdSec(scenario: "crowdsecurity/ssh-bf"), [.crowdSec(at: time(9))])), nil),
      "fleet crowdsec crowdsecurity/ssh-bf 0:CrowdSec:1700000009", "CrowdSec bans it (crowdsecurity/ssh-bf)"
    ),
    (
      Grounds(
        .fleet(FleetCause(.hearsay(weight: 2395, ownPorts: [594], threshold: 4595), [web, .crowdSec(at: time(9))])),
        origin),
      "fleet hearsay 2395 4595 594 7:web1:1700000000 0:CrowdSec:1700000009 origin decoy 594 1700000003000000000",
      "connections with port 594; 1 host of the fleet saw it (web1); CrowdSec bans it; proven by decoy port 594"
    ),
  ]

  private static let web = FleetCause.Witness(node: 7, name: "web1", at: time(0))

  @Test(arguments: [
    (FleetCause.Basis.quorum(1), true), (.quorum(2), false), (.order(operator: 1), true),
    (.hearsay(weight: 2395, ownPorts: [1], threshold: 4595), true),
    (.hearsay(weight: 2394, ownPorts: [1], threshold: 4595), false),
    (.hearsay(weight: 2200, ownPorts: [1, 2], threshold: 4595), true),
    (.hearsay(weight: 30_000, ownPorts: [1], threshold: 4595), false),
    (.hearsay(weight: 2395, ownPorts: [], threshold: 0), false),
  ])
  func `What the fleet says is counted anew`(_ basis: FleetCause.Basis, _ holds: Bool) {
    #expect(FleetCause(basis, [Self.web, Self.web]).holds == holds)
  }

  @Test(arguments: samples.indices)
  func `Grounds are written, read again and said`(_ index: Int) {
    let (grounds, line, words) = Self.samples[index]
    #expect(grounds.line == line)
    #expect(Grounds(line: line) == grounds)
    #expect("\(grounds)" == words)
  }

  @Test(arguments: [
    "", "classic", "classic syn TCP 594", "classic syn TCP 99999 1", "classic lie TCP 1 1", "native vertical nmap 1",
    "native vertical nmap 1 2 unused-port,syn,20", "native vertical nmap 1 2 unused-port,syn,20,99999",
    "classic syn TCP 594 1 origin", "classic syn TCP 594 1 origin decoy 594 1 more", "classic syn TCP 594 1 what",
    "sideways syn TCP 594 1", "fleet", "fleet quorum", "fleet quorum 0 7:a:1", "fleet quorum 3 7:a",
    "fleet quorum 3 7:\u{1b}:1",
    "fleet quorum 3 7:a:-1", "fleet hearsay 2396 4595 1", "fleet hearsay 2395 4595", "fleet hearsay 2395 4595 1,2,3,4",
    "fleet order x",
  ])
  func `What is not grounds is not read`(_ line: String) { #expect(Grounds(line: line) == nil) }

  @Test(
    arguments: [
      ([1386, 1386, 1386, 1386], true), ([1386, 1386, 1386], false), ([4595], true), ([4594], false),
      ([3000, 3000, -1500], false), ([], false),
    ] as [([Int16], Bool)])
  func `A verdict is counted anew from its evidence`(_ weights: [Int16], _ holds: Bool) {
    #expect(Grounds.Accusation(verdict(weights: weights)).holds == holds)
  }
}
