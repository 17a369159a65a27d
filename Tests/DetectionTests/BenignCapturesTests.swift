import Detection
import TestSupport
import Testing
import Wire

/// Recorded innocence: real clients, servers and accidents, seen by a host that watches every port.
@Suite struct BenignCapturesTests {
  /// What must accuse nobody, whatever the trigger.
  private static let silent = [
    "late-fin-ack", "dns-client-late-replies", "server-vanished", "target-outbound-client",
    "target-outbound-late-synack",
    "ftp-client-active", "ftp-server-active", "ftp-server-passive", "pmtu", "dns-server", "haproxy-checks",
    "http-500-connections", "ipv6-ordinary", "lan-broadcast", "lossy-path", "media-udp", "ntp", "ping",
    "quiet-lan", "rpc-dynamic-ports", "smtp", "ssh-scp", "ssh-bruteforce", "tftp", "offload-capture",
    "nat-office-many-services",
  ]

  @Test func accusations() throws {
    guard let manifest = SharedMaterial.read("captures/lab/manifest.csv") else {
      print("SKIPPED: no captures beside the checkout")
      return
    }
    let rows = table(ofCSV: String(decoding: manifest, as: UTF8.self)).filter { $0["label"] == "benign" }
    #expect(rows.count > 30)
    var report = "accusations of recorded innocence, all ports watched:\n"
    for row in rows {
      guard let file = row["file"], file.hasSuffix(".pcap"), let bytes = SharedMaterial.read("captures/lab/\(file)"),
        let capture = CaptureFrames(bytes), let scenario = row["scenario"]
      else { continue }
      let (probes, dismissed) = Self.replay(capture, row)
      let kinds = Dictionary(grouping: probes) { "\($0.technique.name) \($0.targetPort)" }
        .map { "\($0.key) (\($0.value.count))" }.sorted()
      report += "  \(probes.count)\t\(scenario)\t\(kinds.prefix(6).joined(separator: ", "))\t[\(dismissed)]\n"
      if Self.silent.contains(scenario) { #expect(probes.isEmpty, "\(scenario): \(kinds)") }
    }
    print(report)
  }

  private static func replay(_ capture: CaptureFrames, _ row: [String: String]) -> (probes: [Probe], dismissed: String)
  {
    let targets = row["target"]!.split(separator: " ").compactMap { IPAddress($0) }
    var settings = Detector.Settings()
    let all = PortSet(ranges: [0...65535])
    settings.tcp = Detector.Watch(mode: .advanced, ports: all)
    settings.udp = Detector.Watch(mode: .advanced, ports: all)
    var exposure = Exposure()
    exposure.setLocal(targets.map { IPNetwork($0) })
    for part in row["target_listening"]!.split(separator: ";") {
      let words = part.split(separator: " ")
      for port in words.dropFirst().flatMap(Self.ports) {
        exposure.serveEverywhere(words[0] == "udp" ? .udp : .tcp, port, v4: true, v6: true)
      }
    }
    var detector = Detector(settings, exposure: exposure, key: (1, 2))
    var decoder = PacketDecoder()
    let kernel = Kernel(capture, targets)
    var probes: [Probe] = []
    for frame in capture.frames where !frame.datagram.isEmpty {
      var (outcome, packet) = decoder.decode(frame.datagram, at: Timestamp(nanoseconds: frame.time), vouched: false)
      if outcome == .wrongHeaderChecksum {
        (outcome, packet) = decoder.decode(frame.datagram, at: Timestamp(nanoseconds: frame.time), vouched: true)
      }
      guard outcome == .packet else { continue }
      packet.isOutgoing = targets.contains(packet.source)
      // The kernel filter takes frames to this host only.
      if !packet.isOutgoing, frame.destinationIsGroup { continue }
      let isServed = kernel.serves(packet)
      if case .candidate = unsafe detector.consider(&packet, in: frame.datagram.span.bytes) {
        if isServed { detector.learnService(packet) } else { detector.makeProbe(of: &packet) }
      }
      detector.takeProbes { probes.append($0) }
    }
    var dismissed: [String] = []
    for reason in Detector.Dismissal.allCases where detector.dismissals(reason) > 0 {
      dismissed.append("\(reason) \(detector.dismissals(reason))")
    }
    return (probes, dismissed.joined(separator: ", "))
  }

  private static func ports(_ text: Substring) -> [UInt16] {
    let ends = text.split(separator: "-").compactMap { UInt16($0) }
    return ends.count == 2 ? Array(ends[0]...ends[1]) : ends
  }

  /// What the kernel would have answered at that moment about ports that open and close within a capture: a TCP port is
  /// served from its first SYN on, if a SYN/ACK follows, until the host answers for it with RST after its last SYN/ACK.
  private struct Kernel {
    private var answered: Set<[UInt64]> = []
    private var closed: [UInt16: Timestamp] = [:]

    init(_ capture: CaptureFrames, _ targets: [IPAddress]) {
      var decoder = PacketDecoder()
      for frame in capture.frames where !frame.datagram.isEmpty {
        let (outcome, packet) = decoder.decode(frame.datagram, at: Timestamp(nanoseconds: frame.time), vouched: true)
        guard outcome == .packet, packet.transport == .tcp, targets.contains(packet.source) else { continue }
        if packet.flags.isSuperset(of: [.syn, .ack]) {
          answered.insert(Self.key(packet.sourcePort, packet.target, packet.targetPort))
          closed[packet.sourcePort] = nil
        } else if packet.flags.contains(.rst), closed[packet.sourcePort] == nil {
          closed[packet.sourcePort] = packet.time
        }
      }
    }

    private static func key(_ port: UInt16, _ peer: IPAddress, _ peerPort: UInt16) -> [UInt64] {
      [UInt64(port), peer.high, peer.low, UInt64(peerPort)]
    }

    func serves(_ packet: Packet) -> Bool {
      guard !packet.isOutgoing, packet.transport == .tcp,
        answered.contains(Self.key(packet.targetPort, packet.source, packet.sourcePort))
      else { return false }
      return closed[packet.targetPort].map { packet.time < $0 } ?? true
    }
  }
}
