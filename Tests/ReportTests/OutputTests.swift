import Detection
import EventLog
import Foundation
import Platform
import Response
import Testing
import TestSupport
import Wire

@testable import Journal
@testable import Report

private let now = Timestamp(seconds: 1_793_577_600, nanoseconds: 123_456_789)

/// One of each.
private let events: [Event] = {
  var probe = Probe(
    time: now, source: IPAddress("203.0.113.9")!, sourcePort: 4711, target: IPAddress("192.0.2.1")!, targetPort: 23,
    transport: .tcp, mode: .advanced, technique: .syn)
  var icmp = probe
  icmp.technique = .icmp
  icmp.targetPort = 8
  var v6 = probe
  v6.source = IPAddress("2001:db8::9")!
  v6.technique = .udp
  v6.transport = .udp
  var verdict = Verdict(.scan, source: IPNetwork("2001:db8:1::/64")!, first: now, last: now)
  verdict.evidence = [Evidence(.unusedPort, .syn, port: 23, weight: 1386)]
  verdict.origin = .proven
  return [
    .probe(probe), .probe(icmp), .probe(v6), .verdict(verdict), .proven(probe.source, .decoy, port: 80, at: now),
    .blocked(
      Block.Record(
        network: IPNetwork("203.0.113.9")!, since: now, until: now + .seconds(60), methods: [.nftables], port: 23,
        transport: .tcp, modeName: "atcp", reason: "\"quoted\" and \u{1b}[2J <b>"), repeats: 1),
    .refused(probe.source, because: "it is the default gateway", at: now),
    .released(IPNetwork("203.0.113.9")!, because: "expired", at: now), .lost(.ring, count: 7, at: now),
    .started(at: now),
    .stopped(at: now), .blind(at: now), .seeing(at: now), .named(probe.source, "<script>"),
  ]
}()

@Suite struct EventLinesTests {
  /// Fields of the Elastic Common Schema 8.11 that we use, by the official list, with their types.
  private static let ecs: [String: String] = [
    "@timestamp": "date", "ecs.version": "keyword", "message": "text", "event.kind": "keyword",
    "event.category": "keyword[]", "event.type": "keyword[]", "event.action": "keyword", "event.module": "keyword",
    "event.dataset": "keyword", "event.start": "date", "event.end": "date", "event.severity": "long",
    "event.reason": "keyword", "source.address": "keyword", "source.ip": "ip", "source.port": "long",
    "destination.address": "keyword", "destination.ip": "ip", "destination.port": "long",
    "network.transport": "keyword",
    "network.type": "keyword", "network.direction": "keyword", "observer.vendor": "keyword",
    "observer.product": "keyword", "observer.type": "keyword", "observer.version": "keyword", "rule.name": "keyword",
    "related.ip": "ip[]", "host.name": "keyword", "observer.hostname": "keyword", "process.name": "keyword",
    "process.pid": "long",
  ]
  /// What a rule in a SIEM asks for, by event.action; beside it `host.name`, which every event has.
  private static let required: [String: Set<String>] = [
    "probe": ["source.ip", "source.port", "destination.ip", "destination.port", "network.transport", "network.type"],
    "verdict": ["source.address", "destination.port", "network.transport", "network.type", "rule.name"],
    "origin-proven": ["source.ip", "destination.port", "network.transport", "network.type"],
    "blocked": ["source.address", "destination.port", "network.transport", "network.type", "event.reason"],
    "block-refused": ["source.ip", "network.type", "event.reason"],
    "released": ["source.address", "network.type", "event.reason"],
    "lost": ["process.name", "process.pid"], "started": ["process.name", "process.pid"],
    "stopped": ["process.name", "process.pid"], "blind": ["process.name"], "seeing": ["process.name"],
  ]
  /// The values that the schema allows for the fields that have such a list.
  private static let allowed: [String: Set<String>] = [
    "event.kind": ["alert", "asset", "enrichment", "event", "metric", "state", "pipeline_error", "signal"],
    "event.category": [
      "api", "authentication", "configuration", "database", "driver", "email", "file", "host", "iam",
      "intrusion_detection", "library", "malware", "network", "package", "process", "registry", "session", "threat",
      "vulnerability", "web",
    ],
    "event.type": [
      "access", "admin", "allowed", "change", "connection", "creation", "deletion", "denied", "end", "error", "group",
      "indicator", "info", "installation", "protocol", "start", "user",
    ],
  ]

  private static func leaves(_ object: [String: Any], _ prefix: String = "") -> [(String, Any)] {
    object.flatMap { key, value -> [(String, Any)] in
      (value as? [String: Any]).map { leaves($0, prefix + key + ".") } ?? [(prefix + key, value)]
    }
  }

  @Test func `Every line of ECS has fields of ECS only`() throws {
    let lines = ECSLines(version: "3.0.0", host: "gate", process: 77)
    var count = 0
    for event in events {
      guard let json = lines.object(event) else { continue }
      count += 1
      let object = try #require(try JSONSerialization.jsonObject(with: Data(json.text.utf8)) as? [String: Any])
      for required in ["@timestamp", "message"] { #expect(object[required] != nil) }
      let names = Set(Self.leaves(object).map(\.0))
      let action = try #require((object["event"] as? [String: Any])?["action"] as? String)
      var wanted = try #require(Self.required[action], "\(action)").union(["host.name", "observer.hostname"])
      // Pings and IP protocols have no ports, and a block of a whole network no address.
      if json.text.contains("\"technique\":\"icmp\"") { wanted.subtract(["source.port", "destination.port"]) }
      #expect(names.isSuperset(of: wanted), "\(action) lacks \(wanted.subtracting(names)): \(json.text)")
      for (name, value) in Self.leaves(object) where !name.hasPrefix("portsentry.") {
        let type = try #require(Self.ecs[name], "\(name) is no field of ECS")
        let values = type.hasSuffix("[]") ? try #require(value as? [Any]) : [value]
        for value in values {
          switch type.replacing("[]", with: "") {
          case "long": #expect(value is NSNumber)
          case "ip": #expect(IPAddress(value as? String ?? "") != nil, "\(name): \(value)")
          case "date": #expect((value as? String)?.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil)
          default:
            let text = try #require(value as? String)
            if let allowed = Self.allowed[name] { #expect(allowed.contains(text), "\(name): \(text)") }
          }
        }
      }
    }
    // A name is no event.
    #expect(count == events.count - 1)
  }

  /// What Suricata's schema (etc/schema.json) has of an alert; it allows nothing else.
  @Test func `Every line of EVE is an alert of EVE`() throws {
    let top: Set<String> = [
      "timestamp", "event_type", "src_ip", "src_port", "dest_ip", "dest_port", "proto", "icmp_type", "alert",
    ]
    let alert: [String: Any.Type] = [
      "action": String.self, "category": String.self, "gid": Int.self, "rev": Int.self, "severity": Int.self,
      "signature": String.self, "signature_id": Int.self,
    ]
    let lines = events.compactMap { EVELines.object($0) }
    #expect(lines.count == 5)
    var ids: Set<Int> = []
    for line in lines {
      let object = try #require(try JSONSerialization.jsonObject(with: Data(line.text.utf8)) as? [String: Any])
      #expect(Set(object.keys).isSubset(of: top), "\(object.keys)")
      #expect(object["event_type"] as? String == "alert")
      #expect(
        (object["timestamp"] as? String)?.wholeMatch(of: /\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d+[+\-]\d+/) != nil)
      for number in ["src_port", "dest_port", "icmp_type"] { #expect(object[number] == nil || object[number] is Int) }
      let inner = try #require(object["alert"] as? [String: Any])
      #expect(Set(inner.keys) == Set(alert.keys))
      for (name, type) in alert { #expect(type == Int.self ? inner[name] is Int : inner[name] is String, "\(name)") }
      ids.insert(inner["signature_id"] as? Int ?? 0)
    }
    #expect(ids.count == 5 && ids.min()! >= 1_000_000)
    #expect(lines[0].text.contains("2026-11-02T00:00:00.123456+0000"))
  }

  @Test func `Nothing in a line is obeyed by a terminal`() {
    for event in events {
      for line in [
        ECSLines(version: "\u{1b}", host: "\u{1b}", process: 1).object(event)?.text, EVELines.object(event)?.text,
      ] {
        #expect(line?.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f } ?? true)
      }
    }
  }

  @Test func `Files get their lines`() throws {
    try inFolder { folder in
      var file = LineFile(path: folder + "/events.json")
      let ecs = ECSLines(version: "x", host: "gate", process: 1)
      for event in events { ecs.append(event, to: &file) }
      ecs.append(unlisted: 12, at: now, to: &file)
      #expect(file.flush() == nil)
      let lines = try #require(text(of: folder + "/events.json")).split(separator: "\n")
      #expect(lines.count == events.count)
      #expect(lines.last?.contains("\"count\":12") == true)
    }
  }
}

@Suite struct ExportTests {
  private func source(
    _ address: String, name: String? = nil, origin: Origin = .proven, verdict: Verdict.Class? = .scan,
    target: String = "198.51.100.77", sourcePort: UInt16? = 4711
  ) -> SourceLine {
    SourceLine(
      source: Source(
        id: 1, network: IPNetwork(address)!, first: now, last: now + .seconds(10), probes: 12,
        techniques: [TechniqueSet(.syn)],
        ports: 4, target: IPAddress(target), origin: origin, verdict: verdict, tool: Tool(.nmap), name: name,
        sourcePort: sourcePort), probes: 12)
  }

  @Test(arguments: HTMLTests.hostile)
  func `A name is one cell, and no formula`(_ name: String) {
    let row = Export(now: now).csv(source("8.8.8.8", name: name))
    #expect(row.hasSuffix("\r\n") && row.dropLast(1).utf8.allSatisfy { (0x20...0x7e).contains($0) || $0 == 0x0d })
    let last = row.dropLast(1).components(separatedBy: "198.51.100.77,")[1]
    let inner = last.hasPrefix("\"") ? String(last.dropFirst()) : String(last)
    for character in "=+-@" { #expect(inner.first != character) }
    // Quotes within are doubled, so that the cell ends where it should.
    if last.hasPrefix("\"") {
      #expect(last.hasSuffix("\"") && last.dropFirst().dropLast().replacing("\"\"", with: "").contains("\"") == false)
    } else {
      #expect(!last.contains(",") && !last.contains("\""))
    }
  }

  @Test func `Private and special sources are left out`() {
    let export = Export(now: now)
    let addresses = [
      "10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "192.0.2.1", "198.51.100.1",
      "203.0.113.1", "198.18.0.1", "224.0.0.1", "240.1.2.3", "255.255.255.255", "0.1.2.3", "::1", "fe80::1", "fc00::1",
      "fd12::1",
      "ff02::1", "2001:db8::1", "2001::1", "2002:a00:1::", "3fff::1", "64:ff9b::1", "192.88.99.1",
    ]
    for address in addresses {
      for format in Export.Format.allCases { #expect(!export.accepts(source(address).source, format), "\(address)") }
    }
    for address in [
      "8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2a00::1", "2001:4860:4860::8888", "192.169.0.1",
    ] {
      for format in Export.Format.allCases { #expect(export.accepts(source(address).source, format), "\(address)") }
    }
    var open = export
    open.withPrivate = true
    #expect(open.accepts(source("10.1.2.3").source, .csv))
  }

  @Test func `Only who was proven is accused, unless that is asked for`() {
    var export = Export(now: now)
    for format in Export.Format.allCases {
      #expect(export.accepts(source("8.8.8.8", origin: .unproven).source, format) == !format.accuses)
      #expect(export.accepts(source("8.8.8.8", verdict: nil).source, format) == !format.accuses)
    }
    export.withUnproven = true
    #expect(export.accepts(source("8.8.8.8", origin: .alive).source, .abuseipdb))
    #expect(!export.accepts(source("8.8.8.8", origin: .alive, verdict: .backscatter).source, .abuseipdb))
  }

  @Test func `Our own address is kept, masked or omitted`() {
    var export = Export(now: now)
    let detail = JournalReader.Detail(hour: 498_216, technique: .syn, port: 23, probes: 3)
    #expect(export.csv(source("8.8.8.8")).contains("198.51.100.77"))
    export.own = .mask
    #expect(export.csv(source("8.8.8.8")).contains(",10.51.100.77,"))
    #expect(export.json(source("8.8.8.8", target: "2a00:1:2::99")).contains("\"target\":\"2001:db8::99\""))
    export.own = .omit
    for text in [
      export.csv(source("8.8.8.8")), export.json(source("8.8.8.8")), export.abuseIPDB(source("8.8.8.8")),
      export.stix(source("8.8.8.8")),
    ] {
      #expect(!text.contains("51.100.77"), "\(text)")
    }
    // DShield wants a target: masked it is.
    #expect(export.dshield(source("8.8.8.8").source, detail)?.contains("\t10.51.100.77\t") == true)
  }

  @Test func `DShield's line`() {
    var export = Export(now: now)
    export.account = "12345"
    let line = export.dshield(
      source("8.8.8.8").source, JournalReader.Detail(hour: 498_216, technique: .xmas, port: 23, probes: 3))
    #expect(line == "2026-11-02 00:00:00 +00:00\t12345\t3\t8.8.8.8\t4711\t198.51.100.77\t23\tTCP\tFPU\n")
  }

  @Test func `CrowdSec's line`() {
    #expect(Export.crowdsecHead == "duration,origin,reason,scope,type,value\n")
    #expect(
      Export(now: now).crowdsec(source("2a00::1"), for: .seconds(7200))
        == "7200s,portsentry,portsentry/port-scan,Ip,ban,2a00::1\n")
    // Nobody is banned by others for what may be forged.
    #expect(!Export(now: now).accepts(source("8.8.8.8", origin: .unproven).source, .crowdsec))
  }

  @Test func `AbuseIPDB's line`() {
    #expect(
      Export(now: now).abuseIPDB(source("8.8.8.8"))
        == "8.8.8.8,14,2026-11-02T00:00:10.123Z,\"Port scan: 12 probes of 4 ports (syn), tool nmap,"
        + " source address proven by a completed connection\"\r\n")
  }

  @Test func `XARF has all that it needs, or is not made`() throws {
    var export = Export(now: now)
    let use = (technique: Technique.syn, port: UInt16(23))
    #expect(export.xarf(source("8.8.8.8"), use, id: (1, 2)) == nil)
    export.reporter = Export.Reporter(organisation: "Example", contact: "abuse@example.com", domain: "example.com")
    #expect(export.xarf(source("8.8.8.8", sourcePort: nil), use, id: (1, 2)) == nil)
    #expect(export.xarf(source("8.8.8.8"), nil, id: (1, 2)) == nil)
    let text = try #require(export.xarf(source("8.8.8.8"), use, id: (1, 2)))
    let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    #expect(
      object["source_identifier"] as? String == "8.8.8.8" && object["destination_ip"] as? String == "198.51.100.77")
    #expect(object["report_id"] as? String == "00000000-0000-4001-8000-000000000002")
  }

  @Test func `STIX names what is the same the same`() throws {
    let export = Export(now: now)
    let text =
      export.stixHead(id: (1, 2)) + export.stix(source("8.8.8.8")) + export.stix(source("2a00::1")) + Export.stixTail
    let bundle = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    let objects = try #require(bundle["objects"] as? [[String: Any]])
    #expect(
      objects.map { $0["type"] as? String } == [
        "identity", "ipv4-addr", "observed-data", "indicator", "ipv6-addr", "observed-data", "indicator",
      ])
    // As the stix2 package of OASIS makes it.
    #expect(objects[1]["id"] as? String == "ipv4-addr--2f689bf9-0ff2-545f-aa61-e495eb8cecc7")
    #expect(export.stix(source("8.8.8.8")) == export.stix(source("8.8.8.8")))
  }

  @Test func `SHA-1, base64, UUIDs`() {
    func hex(_ text: String) -> String { UUID5.hex(UUID5.sha1(Array(text.utf8))) }
    // FIPS 180-4's examples.
    #expect(hex("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d")
    #expect(hex("") == "da39a3ee5e6b4b0d3255bfef95601890afd80709")
    #expect(
      hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") == "84983e441c3bd26ebaae4aa1f95129e5e54670f1")
    #expect(hex(String(repeating: "a", count: 1_000)) == "291e9a6c66994949b57ba5e650361e98fc36b1ba")
    // RFC 9562 appendix A.4.
    let dns: [UInt8] = [0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8]
    #expect(UUID5.text("www.example.com", in: dns) == "2ed6657d-e927-568b-95e1-2665a8aea6a2")
    // RFC 4648 section 10.
    for (text, coded) in [
      ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
      ("foobar", "Zm9vYmFy"),
    ] {
      #expect(Base64.text(Array(text.utf8)) == coded)
    }
  }
}

@Suite struct MetricsTests {
  @Test func `Text for Prometheus`() {
    let text = Metrics.text([
      Metric("probes_total", .counter, "Probes.", 12),
      Metric("lost_total", .counter, "Lost.", by: "what", [("ring", 1), ("a\"b\\c\nd\u{1b}", 2)]),
      Metric("nothing", .gauge, "Nothing.", []),
    ])
    #expect(
      text == """
        # HELP portsentry_probes_total Probes.
        # TYPE portsentry_probes_total counter
        portsentry_probes_total 12
        # HELP portsentry_lost_total Lost.
        # TYPE portsentry_lost_total counter
        portsentry_lost_total{what="ring"} 1
        portsentry_lost_total{what="a\\"b\\\\c\\nd?"} 2

        """)
  }
}
