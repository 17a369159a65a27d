import Capture
import Configuration
import Detection
import Platform
import Wire

/// Reads capture files twice: to learn whose they are and what is served there, and to judge.
package struct ReplayRun: Sendable {
  package struct Settings: Sendable {
    package var detector = Detector.Settings()
    package var ignored = IPNetworkSet()
    /// Empty: found out from the files.
    package var local: [IPNetwork] = []

    /// Every port of both protocols.
    package init() {
      let all = Detector.Watch(mode: .advanced, ports: PortSet(ranges: [0...65_535]))
      detector.tcp = all
      detector.udp = all
    }

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
    }
  }

  /// What is told while it runs.
  package enum Note: Sendable {
    /// Part of `path` that was read, 0 to 1, in the first or the second pass.
    case progress(path: String, pass: Int, part: Double)
    /// What is taken as local; nil evidence: it was given.
    case local([IPNetwork], CaptureSurvey.Evidence?, served: Exposure)
    /// A file that is not as it should be: what was wrong, and how often.
    case damaged(path: String, [(reason: String, count: UInt64)])
  }

  /// Replays `paths` in their order.
  ///
  /// - Throws: when one of them cannot be opened or is no capture, before anything is judged.
  package static func run(
    _ settings: Settings, paths: [String], note: (Note) -> Void
  ) throws(CaptureFileError) -> Replay {
    for path in paths { _ = try CaptureFile(path: path) }
    let key = Clock.randomKey()
    var survey = CaptureSurvey(local: settings.local, key: key)
    var decoder = FrameDecoder()
    var packet = Packet()
    for path in paths {
      try read(path, pass: 1, note) { bytes, frame in
        // Whatever was captured tells of the host, so checksums do not matter here.
        guard
          let direction = decoder.decode(
            bytes, linkType: frame.linkType, direction: frame.direction, time: frame.time, isLocal: { _ in true },
            into: &packet)
        else { return }
        survey.observe(packet, direction)
      }
    }
    var local = settings.local
    var evidence: CaptureSurvey.Evidence?
    if local.isEmpty, let inferred = survey.inferredLocal() {
      local = inferred.addresses.map { IPNetwork($0) }
      evidence = inferred.evidence
    }
    let exposure = survey.exposure(of: local)
    note(.local(local, evidence, served: exposure))
    var replay = Replay(settings.detector, exposure: exposure, ignored: settings.ignored, key: key)
    for path in paths {
      try read(path, pass: 2, note) { bytes, frame in
        replay.observe(bytes, linkType: frame.linkType, direction: frame.direction, time: frame.time)
      }
    }
    return replay
  }

  private static func read(
    _ path: String, pass: Int, _ note: (Note) -> Void, _ body: (RawSpan, CaptureFile.Frame) -> Void
  ) throws(CaptureFileError) {
    var file = try CaptureFile(path: path)
    var frames: UInt64 = 0
    while file.next(body) {
      frames &+= 1
      if frames & 0xffff == 0 {
        note(.progress(path: path, pass: pass, part: Double(file.consumed) / Double(max(file.size, 1))))
      }
    }
    if pass == 2, file.isDamaged {
      note(.damaged(path: path, CaptureFile.Damage.allCases.map { ($0.reason, file.count($0)) }.filter { $0.1 > 0 }))
    }
  }
}

/// The words of `replay`.
package enum ReplayReport {
  /// A table with a line for each source, handed out in pieces of some size.
  package static func table(_ replay: Replay, _ write: (String) -> Void) {
    let rows = replay.sorted()
    guard !rows.isEmpty else { return }
    let addressWidth = max(6, rows.reduce(0) { max($0, $1.address.description.utf8.count) })
    let probeWidth = max(6, String(rows[0].source.probes).utf8.count)
    var text = padded("SOURCE", addressWidth) + "  " + padded("PROBES", probeWidth)
    text += "  " + padded("PORTS", portsWidth) + "  " + padded("TECHNIQUES", 12) + "  FIRST                LAST\n"
    for (address, source) in rows {
      text += padded(address.description, addressWidth) + "  " + padded(String(source.probes), probeWidth)
      text += "  " + padded(ports(source), portsWidth)
      text += "  " + padded(source.techniques.map(\.name).joined(separator: ","), 12)
      text += "  \(LocalTime.short(source.first))  \(LocalTime.short(source.last))\n"
      if text.utf8.count > 32_768 {
        write(text)
        text = ""
      }
    }
    write(text)
  }

  /// One object a line. `class` is `scan` where the source reached SCAN_TRIGGER, otherwise `probes`; `origin` is always
  /// `unproven`, as a capture cannot challenge anybody. Times are seconds since 1970.
  package static func json(_ replay: Replay, _ write: (String) -> Void) {
    var text = ""
    for (address, source) in replay.sorted() {
      var ports: [(String, JSON)] = []
      for (name, transport) in [("tcp", TransportProtocol.tcp), ("udp", .udp)] {
        let set = source.ports(transport)
        if !set.isEmpty { ports.append((name, .string(set.description))) }
      }
      let object: JSON = .object([
        "class": .string(source.isTriggered ? "scan" : "probes"),
        "source": .string(address.description),
        "origin": "unproven",
        "first": .time(source.first),
        "last": .time(source.last),
        "techniques": .array(source.techniques.map { .string($0.name) }),
        "ports": .members(ports),
        "hasMorePorts": .bool(source.hasMorePorts),
        "probes": JSON(source.probes),
      ])
      text += object.text + "\n"
      if text.utf8.count > 32_768 {
        write(text)
        text = ""
      }
    }
    if !text.isEmpty { write(text) }
  }

  /// What became of all packets.
  package static func counts(_ replay: Replay) -> String {
    var lines = ["packets     \(replay.frames)"]
    func add(_ name: String, _ reasons: [(reason: String, count: UInt64)]) {
      let sum = reasons.reduce(0) { $0 + $1.count }
      guard sum > 0 else { return }
      lines.append("\(padded(name, 10))  \(sum): " + reasons.map { "\($0.reason) \($0.count)" }.joined(separator: ", "))
    }
    add("undecoded", replay.undecoded)
    add("dismissed", replay.dismissed)
    lines.append("probes      \(replay.probes)")
    if replay.ignoredProbes > 0 { lines.append("ignored     \(replay.ignoredProbes): source in the ignore file") }
    lines.append("sources     \(replay.sources.count)")
    if replay.lostProbes > 0 {
      lines.append("not listed  \(replay.lostProbes) probes of sources beyond the first \(Replay.maximumSources)")
    }
    return lines.joined(separator: "\n")
  }

  private static let portsWidth = 44

  /// `1003: 1,3-4,6-7,...`; UDP ports after `udp`.
  static func ports(_ source: Replay.Source) -> String {
    let tcp = source.ports(.tcp)
    let udp = source.ports(.udp)
    let count = tcp.count + udp.count
    let parts = [tcp.isEmpty ? "" : tcp.description, udp.isEmpty ? "" : "udp \(udp.description)"]
    let list = parts.filter { !$0.isEmpty }.joined(separator: " ")
    let text = "\(count)\(source.hasMorePorts ? "+" : ""): \(list)"
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
