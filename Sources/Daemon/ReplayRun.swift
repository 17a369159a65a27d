import Capture
import Configuration
import Detection
import Platform
import Wire

/// Reads capture files: once to judge, and once before that where nobody has said whose they are.
package enum ReplayRun {
  package struct Settings: Sendable {
    package var detector = Detector.Settings()
    package var ignored = IPNetworkSet()
    /// Empty: found out from the files.
    package var local: [IPNetwork] = []

    /// The native rule alone, over all ports.
    package init() { judgeAll() }

    /// What a live sentry would watch by this plan.
    ///
    /// The ports for outgoing connections stay Linux's default: those of the host that captured are not known, and those
    /// of this one have nothing to do with it. Modes that listen with sockets are replayed as `stealth`.
    package init(_ plan: Plan) {
      var plan = plan
      if plan.tcpMode == .connect { plan.tcpMode = .stealth }
      if plan.udpMode == .connect { plan.udpMode = .stealth }
      let sensor = plan.sensorSettings(RunOptions())
      let ephemeral = detector.ephemeralPorts
      detector = sensor.detector
      detector.ephemeralPorts = ephemeral
      ignored = plan.ignored
      judgeAll()
    }

    private mutating func judgeAll() {
      detector.nativeTCP = PortSet(ranges: [0...65_535])
      detector.nativeUDP = PortSet(ranges: [0...65_535])
      detector.judgesOtherProtocols = true
      detector.believesAnswered = true
      detector.sourceCapacity = 1 << 20
      detector.flowCapacity = 1 << 16
    }
  }

  /// What is told while it runs.
  package enum Remark: Sendable {
    /// Part of `path` that was read, 0 to 1.
    case progress(path: String, step: String, part: Double)
    /// What is taken as local; nil evidence: it was given.
    case local([IPNetwork], CaptureSurvey.Evidence?)
    /// A file that is not as it should be: what was wrong, and how often.
    case damaged(path: String, [(reason: String, count: UInt64)])
  }

  /// Replays `paths` in their order.
  ///
  /// - Throws: when one of them cannot be opened or is no capture, before anything is judged.
  package static func run(
    _ settings: Settings, paths: [String], remark: (Remark) -> Void
  ) throws(CaptureFileError) -> Replay {
    for path in paths { _ = try CaptureFile(path: path) }
    let key = try key(paths)
    var local = settings.local
    if local.isEmpty {
      let inferred = try survey(paths, key: key, remark)
      local = inferred?.networks ?? []
      remark(.local(local, inferred?.evidence))
    } else {
      remark(.local(local, nil))
    }
    var exposure = Exposure()
    exposure.setLocal(local)
    var replay = Replay(settings.detector, exposure: exposure, ignored: settings.ignored, key: key)
    for path in paths {
      var file = try CaptureFile(path: path)
      feed(&file, to: &replay) { remark(.progress(path: path, step: "reading", part: $0)) }
      if file.isDamaged {
        remark(
          .damaged(path: path, CaptureFile.Damage.allCases.map { ($0.reason, file.count($0)) }.filter { $0.1 > 0 }))
      }
    }
    replay.finish()
    return replay
  }

  /// The key of all hashes, made of the times of the first thousand frames: the same capture comes to the same findings each
  /// time, and who sends packets does not know when they and others' will be captured to the microsecond.
  private static func key(_ paths: [String]) throws(CaptureFileError) -> (UInt64, UInt64) {
    // FNV-1a (Fowler, Noll, Vo) over whole numbers; `KeyedHash` does the rest.
    var key: (UInt64, UInt64) = (0xcbf2_9ce4_8422_2325, 0x8422_2325_cbf2_9ce4)
    for path in paths {
      var file = try CaptureFile(path: path)
      var (consumed, frames) = (0, 0)
      while frames < 1000, var run = file.nextRun(after: consumed) {
        while frames < 1000, run.next() {
          frames += 1
          let time = UInt64(bitPattern: run.frame.time.nanoseconds)
          key.0 = (key.0 ^ time) &* 0x100_0000_01b3
          key.1 = (key.1 ^ (time << 32 | time >> 32)) &* 0x100_0000_01b3
        }
        consumed = run.consumed
      }
    }
    return key
  }

  /// A function of its own, so that both stay where they are: a local variable is moved for every frame.
  @inline(never)
  private static func feed(_ file: inout CaptureFile, to replay: inout Replay, _ progress: (Double) -> Void) {
    var consumed = 0
    while true {
      progress(file.part)
      guard var run = file.nextRun(after: consumed) else { return }
      replay.observe(&run)
      consumed = run.consumed
    }
  }

  /// Frames of each file that are looked at to learn whose capture it is.
  private static let surveyed = 65_536

  private static func survey(
    _ paths: [String], key: (UInt64, UInt64), _ remark: (Remark) -> Void
  ) throws(CaptureFileError) -> (networks: [IPNetwork], evidence: CaptureSurvey.Evidence)? {
    var survey = CaptureSurvey(key: key)
    var decoder = FrameDecoder()
    var packet = Packet()
    for path in paths {
      var file = try CaptureFile(path: path)
      var (consumed, frames) = (0, 0)
      while frames < surveyed {
        remark(.progress(path: path, step: "looking whose it is", part: file.part))
        guard var run = file.nextRun(after: consumed) else { break }
        while run.next() {
          frames += 1
          let (bytes, frame) = (run.span, run.frame)
          guard let place = decoder.locate(bytes, linkType: frame.linkType, direction: frame.direction) else {
            continue
          }
          let datagram = bytes.extracting(place.offset..<bytes.byteCount)
          // Whatever was captured tells of the host, so checksums do not matter here.
          if decoder.decode(datagram, time: frame.time, isVouched: true, into: &packet) == .packet {
            survey.observe(packet, place.direction)
          }
        }
        consumed = run.consumed
      }
    }
    return survey.inferredLocal()
  }
}

/// The words of `replay`.
package enum ReplayReport {
  /// A table with a line for each finding, handed out in pieces of some size.
  package static func table(_ findings: [Replay.Finding], _ write: (String) -> Void) {
    guard !findings.isEmpty else { return write("No scan, no flood, no backscatter.\n") }
    let rows = findings.map(row)
    let head = ["CLASS", "SOURCE", "ORIGIN", "TECHNIQUE", "KIND", "TOOL", "PROBES", "PORTS", "FIRST", "LASTED"]
    var widths = head.map(\.utf8.count)
    for row in rows {
      for (column, text) in row.enumerated() { widths[column] = max(widths[column], text.utf8.count) }
    }
    var text = ""
    for row in [head] + rows {
      for (column, cell) in row.enumerated() {
        text += column == row.count - 1 ? cell + "\n" : padded(cell, widths[column] + 2)
      }
      if text.utf8.count > 32_768 {
        write(text)
        text = ""
      }
    }
    write(text)
  }

  private static func row(_ finding: Replay.Finding) -> [String] {
    let verdict = finding.verdict
    let isScan = verdict.verdictClass == .scan
    return [
      className(verdict),
      finding.members.isEmpty
        ? verdict.sources > 1 ? "about \(verdict.sources) sources" : source(verdict.source)
        : "\(finding.members.count) in \(verdict.source)",
      isScan ? verdict.origin.name : "",
      technique(verdict),
      isScan ? (verdict.isSlow ? "slow " : "") + verdict.kind.name : "",
      isScan && verdict.tool != .unknown ? verdict.tool.name : "",
      String(verdict.probes),
      ports(finding),
      LocalTime.short(verdict.first),
      Term.short(verdict.last - verdict.first),
    ]
  }

  /// What the evidence is not enough for is no scan.
  private static func className(_ verdict: Verdict) -> String {
    verdict.verdictClass == .scan && verdict.score < verdict.threshold ? "suspect" : verdict.verdictClass.name
  }

  private static func source(_ network: IPNetwork) -> String {
    network.isHost ? "\(network.address)" : "\(network)"
  }

  /// The techniques of a verdict in one word or a few, the telling ones first.
  static func technique(_ verdict: Verdict) -> String {
    let techniques = verdict.techniques.techniques
    return techniques.map(\.name).joined(separator: ",")
  }

  /// One object a line. Times are seconds since 1970.
  package static func json(_ findings: [Replay.Finding], _ write: (String) -> Void) {
    var text = ""
    for finding in findings {
      text += object(finding).text + "\n"
      if text.utf8.count > 32_768 {
        write(text)
        text = ""
      }
    }
    if !text.isEmpty { write(text) }
  }

  private static func object(_ finding: Replay.Finding) -> JSON {
    let verdict = finding.verdict
    var members: [(String, JSON)] = [("class", .string(className(verdict)))]
    if finding.members.isEmpty {
      if verdict.sources > 1 {
        members.append(("estimated_sources", JSON(Int(verdict.sources))))
      } else {
        members.append(("source", .string(source(verdict.source))))
      }
    } else {
      members.append(("sources", .array(finding.members.map { .string("\($0)") })))
      members.append(("prefix", .string("\(verdict.source)")))
    }
    let isScan = verdict.verdictClass == .scan
    if isScan { members.append(("origin", .string(verdict.origin.name))) }
    let techniques = verdict.techniques.techniques
    if let main = mainTechnique(verdict) { members.append(("technique", .string(main.name))) }
    members.append(("techniques", .array(techniques.map { .string($0.name) })))
    if isScan {
      members.append(("kind", .string(verdict.kind.name)))
      members.append(("slow", .bool(verdict.isSlow)))
      members.append(("tool", .string(verdict.tool.name)))
      if verdict.mayBeZombie { members.append(("possible_zombie", true)) }
      if verdict.mayBeDecoy { members.append(("possible_decoy", true)) }
    } else {
      members.append(("port", JSON(Int(verdict.port))))
    }
    members.append(("first", .time(verdict.first)))
    members.append(("last", .time(verdict.last)))
    members.append(("probes", JSON(Int(verdict.probes))))
    members.append(("port_count", JSON(Int(verdict.ports))))
    members.append(("target_count", JSON(Int(verdict.targets))))
    var ports: [(String, JSON)] = []
    for (name, set) in [("tcp", finding.tcp), ("udp", finding.udp)] where !set.isEmpty {
      ports.append((name, .string(set.description)))
    }
    members.append(("ports", .members(ports)))
    if isScan {
      members.append(("score", .points(verdict.score)))
      members.append(("threshold", .points(verdict.threshold)))
      if let probes = finding.probesUntilVerdict { members.append(("probes_until_verdict", JSON(Int(probes)))) }
      members.append(
        (
          "evidence",
          .array(
            verdict.evidence.map {
              .object([
                "kind": .string($0.kind.name), "technique": .string($0.technique.name), "port": JSON(Int($0.port)),
                "weight": .points($0.weight),
              ])
            })
        ))
    }
    return .members(members)
  }

  /// The technique that says most of a scan.
  static func mainTechnique(_ verdict: Verdict) -> Technique? {
    let order: [Technique] = [
      .ftpBounce, .ipProtocol, .sctpInit, .sctpCookieEcho, .xmas, .null, .fin, .maimon, .oddFlags, .connect, .syn, .ack,
      .udp, .icmp, .osDetection, .versionProbe,
    ]
    return order.first { verdict.techniques.contains(TechniqueSet($0)) }
  }

  /// What became of all packets.
  package static func counts(_ replay: borrowing Replay, _ findings: [Replay.Finding]) -> String {
    var lines = ["packets     \(replay.frames)"]
    func add(_ name: String, _ reasons: [(reason: String, count: UInt64)]) {
      let sum = reasons.reduce(0) { $0 + $1.count }
      guard sum > 0 else { return }
      lines.append("\(padded(name, 10))  \(sum): " + reasons.map { "\($0.reason) \($0.count)" }.joined(separator: ", "))
    }
    add("undecoded", replay.undecoded)
    add("dismissed", replay.dismissed)
    lines.append("probes      \(replay.probes) of \(replay.sourceCount) sources")
    if replay.evictions > 0 { lines.append("forgotten   \(replay.evictions) sources, for lack of room") }
    let scans = findings.filter { className($0.verdict) == "scan" }.count
    lines.append("found       \(scans) scans, \(findings.count - scans) other")
    return lines.joined(separator: "\n")
  }

  private static let portsWidth = 44

  /// `1003: 1,3-4,6-7,...`; UDP ports after `udp`.
  static func ports(_ finding: Replay.Finding) -> String {
    let (tcp, udp) = (finding.tcp, finding.udp)
    let parts = [tcp.isEmpty ? "" : tcp.description, udp.isEmpty ? "" : "udp \(udp.description)"]
    let list = parts.filter { !$0.isEmpty }.joined(separator: " ")
    if list.isEmpty {
      return finding.verdict.verdictClass == .scan ? String(finding.verdict.ports) : String(finding.verdict.port)
    }
    let text = "\(tcp.count + udp.count): \(list)"
    guard text.utf8.count > portsWidth else { return text }
    // Cut after a whole range.
    let kept = text.prefix(portsWidth - 3)
    let end = kept.lastIndex(where: { $0 == "," || $0 == " " }) ?? kept.endIndex
    return kept[..<end] + ",..."
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.utf8.count))
  }
}
