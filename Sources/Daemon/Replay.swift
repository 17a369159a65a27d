import Capture
import Detection
import Wire

/// Frames of a capture in, verdicts out: the decoder and the detector of the live sentry, with the packets' own time. Pure: files
/// are read by whoever calls.
///
/// Here and not in `Detection`, because it joins what only `Daemon` may join: frame decoder, detector, ignore file.
package struct Replay: ~Copyable {
  /// What was found of one source, or of several that act as one.
  package struct Finding: Sendable {
    package var verdict: Verdict
    /// The members of a campaign; empty for a single source.
    package var members: [IPAddress] = []
    package var tcp = PortRanges()
    package var udp = PortRanges()
    /// How many of its packets had counted when a source came to its verdict; nil where that is not known.
    package var probesUntilVerdict: UInt32?
  }

  /// Of so many sources it is taken down; of later ones it is not known.
  private static let soonnessCapacity = 65_536

  private var soonness: [IPAddress: UInt32] = [:]
  private var detector: Detector
  private var decoder = FrameDecoder()
  private var packet = Packet()
  private let ignored: IPNetworkSet
  package private(set) var frames: UInt64 = 0
  /// Touches of what nothing serves, and those of them that the classic modes watch.
  package private(set) var probes: UInt64 = 0
  package private(set) var alerts: UInt64 = 0
  /// Frames that held no packet to judge, by reason.
  package var undecoded: [(reason: String, count: UInt64)] { decoder.undecoded }

  package init(_ settings: Detector.Settings, exposure: Exposure, ignored: IPNetworkSet, key: (UInt64, UInt64)) {
    detector = Detector(settings, exposure: exposure, key: key)
    self.ignored = ignored
  }

  /// Why packets accused nobody. A packet between two local addresses is both sent and received.
  package var dismissed: [(reason: String, count: UInt64)] {
    Detector.Dismissal.allCases.map { ($0.reason, detector.dismissals($0)) }.filter { $0.1 > 0 }
  }

  /// What is served, as far as the capture has shown it.
  package var exposure: Exposure { detector.exposure }
  /// Sources that something speaks against, and those that were forgotten for lack of room.
  package var sourceCount: Int { detector.sourceCount }
  package var evictions: UInt64 { detector.evictions }

  /// Takes all frames of a run.
  package mutating func observe(_ run: inout FrameRun) {
    while detector.skim(&run) { judge(run.span, run.frame) }
    frames &+= run.frames
  }

  /// Takes one frame.
  package mutating func observe(_ bytes: RawSpan, _ frame: FrameRecord) {
    var run = FrameRun(one: bytes, frame: frame)
    observe(&run)
  }

  private mutating func judge(_ frame: RawSpan, _ record: FrameRecord) {
    guard let place = decoder.locate(frame, linkType: record.linkType, direction: record.direction) else { return }
    let bytes = frame.extracting(place.offset..<frame.byteCount)
    var outcome = decoder.decode(bytes, time: record.time, isVouched: place.direction == .outgoing, into: &packet)
    if outcome == .wrongHeaderChecksum, detector.isLocal(packet.source) {
      outcome = decoder.decodeOwn(bytes, into: &packet)
    }
    guard outcome.isDecoded else { return }
    if detector.observe(&packet, outcome, place.direction, in: bytes) { take() }
  }

  /// The capture is at its end: what still waits for an answer gets none.
  package mutating func finish() {
    detector.finish()
    take()
  }

  private mutating func take() {
    detector.takeProbes { probe in
      probes &+= 1
      if probe.isWatched { alerts &+= 1 }
    }
    // They are told at the end, as they stand then; only how soon it was is taken down.
    detector.takeVerdicts { verdict in
      guard verdict.verdictClass == .scan, verdict.source.isHost, soonness.count < Self.soonnessCapacity,
        soonness[verdict.source.address] == nil
      else { return }
      soonness[verdict.source.address] = verdict.probes
    }
  }

  /// What has to hold at any moment; for tests and fuzzing.
  package func checkInvariants() { detector.checkInvariants() }

  /// Everything that was found, the earliest first. Sources in the ignore file are left out.
  ///
  /// - Parameter suspects: also sources that something speaks against and that have not come to a verdict.
  package mutating func findings(suspects: Bool = false) -> [Finding] {
    var result: [Finding] = []
    let ignored = ignored
    detector.forEachScan(suspects: suspects) { verdict, tcp, udp in
      guard !ignored.contains(verdict.source.address) else { return }
      var finding = Finding(verdict: verdict, tcp: tcp, udp: udp)
      finding.probesUntilVerdict = soonness[verdict.source.address]
      result.append(finding)
    }
    // One scan may be held together by several bonds: the largest tells of it.
    var told: Set<IPAddress> = []
    for (verdict, members, ports) in detector.campaigns().sorted(by: { $0.members.count > $1.members.count }) {
      let members = members.filter { !ignored.contains($0) }
      guard members.count > 1, members.contains(where: { !told.contains($0) }) else { continue }
      told.formUnion(members)
      result.append(Finding(verdict: verdict, members: members, tcp: PortRanges(ports)))
    }
    for verdict in detector.otherVerdicts() where !ignored.contains(verdict.source.address) {
      result.append(Finding(verdict: verdict))
    }
    result.sort {
      ($0.verdict.first, $0.verdict.source, $0.verdict.verdictClass.rawValue)
        < ($1.verdict.first, $1.verdict.source, $1.verdict.verdictClass.rawValue)
    }
    return result
  }
}
