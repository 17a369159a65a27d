import Memory
import Wire

/// Numbers the services of this host as they are first left without a word, so that 32 bits count 32 of them exactly. Of more,
/// some share a bit, and such a sweep must touch a few more.
private struct ServiceNumbers: ~Copyable {
  private var numbers = Slab<UInt8>(count: 65_536)
  private var last: UInt8 = 0

  /// 0 is none yet: numbers begin with 1.
  mutating func number(of port: UInt16) -> UInt8 {
    if numbers[Int(port)] == 0 {
      last = last == 255 ? 1 : last + 1
      numbers[Int(port)] = last
    }
    return numbers[Int(port)]
  }
}

/// Sequential evidence without a clock: a threshold random walk (Jung, Paxson, Berger, Balakrishnan 2004) in the form of a
/// cumulative sum, over the distinct ports and addresses that a source touched, weighted by rarity.
///
/// A sum below zero starts anew at zero, so that a long honest past buys no immunity (Page 1954). Slowness does not
/// help, as nothing here fades with time; one client with a wrong port number is no scanner, as one touch is never enough.
struct NativeRule: ~Copyable {
  /// One packet that counts.
  struct Touch {
    var source: IPAddress
    var target: IPAddress
    var time: Timestamp
    var technique: Technique
    /// The technique that the flags alone say, which decides about the weight.
    var kind: PackedEvidence.Kind
    /// Port, protocol number or ICMP type.
    var port: UInt16
    var transport = TransportProtocol.tcp
    var sourcePort: UInt16 = 0
    var mark = ToolMark()
    /// Packets like it, itself included.
    var count: UInt32 = 1
    /// The source has shown that it receives what we send.
    var isProven = false
    /// We spoke to the source first, lately.
    var isFriend = false
    /// It used a service of the same family lately.
    var isNeighbour = false
    /// One of a flood, or an answer by its looks: it says nothing of its source.
    var isWeightless = false
  }

  private var sources: SourceTable
  var rarity = PortRarity()
  private var campaigns: CampaignTable
  private var portLog = PortLog()
  private var echoes: EchoTable
  private var services = ServiceNumbers()
  var threshold: Int32
  /// Sources that came for the first time in this second; when they are too many, nobody can tell by three ports.
  private var newcomers: (second: Int64, count: UInt32) = (0, 0)
  private var crowdedUntil: Int64 = .min
  private let ephemeral: ClosedRange<UInt16>
  /// Verdicts that were reached, or whose source has been proven, and that were not yet taken.
  var verdicts: [Verdict] = []
  var customers = CustomerNews()

  init(_ settings: Detector.Settings, key: (UInt64, UInt64)) {
    sources = SourceTable(capacity: settings.sourceCapacity, key: key)
    campaigns = CampaignTable(sources: settings.sourceCapacity, key: (key.1, key.0 ^ 0x6361_6d70))
    echoes = EchoTable(key: (key.0 ^ 0x6563_686f, key.1))
    threshold = settings.threshold
    ephemeral = settings.ephemeralPorts
    verdicts.reserveCapacity(64)
  }

  var evictions: UInt64 { sources.evictions }
  var sourceCount: Int { sources.count }

  /// Begins to fetch what is known of a source.
  func prefetch(_ source: IPAddress) { sources.prefetch(source) }

  // MARK: For and against

  /// Counts a touch of something that nothing serves.
  mutating func charge(_ touch: Touch) {
    let index = sources.claim(touch.source, at: touch.time)
    if sources[index].probes == 0 { noteNewcomer(touch) }
    if touch.isProven { noteProof(index) }
    let tag = UInt8(truncatingIfNeeded: SourceRecord.mix(touch.target.v4Bits) >> 28)
    sources[index].probes &+= touch.count
    let hasReturned = touch.time.nanoseconds &- sources[index].last.nanoseconds >= Self.absence
    if touch.time > sources[index].last { sources[index].last = touch.time }
    sources[index].techniques.insert(TechniqueSet(touch.technique))
    if touch.mark.protocolNumber != 0 { sources[index].marks.note(touch.mark) }
    let isNewPort = sources[index].touch(port: touch.port, target: touch.target.v4Bits)
    if touch.kind != .halfOpen { sources[index].flags.insert(.touchedUnused) }
    if touch.kind == .syn, let other = echoes.echo(of: touch) {
      sources[index].flags.insert(.echoed)
      if let first = sources.find(other) { sources[first].flags.insert(.echoed) }
    }
    if sources[index].isConvicted {
      logPort(index, touch)
      let probes = sources[index].probes
      if hasReturned || probes & (probes &- 1) == 0 { verdicts.append(verdict(index, touch)) }
      return
    }
    guard !touch.isWeightless, !sources[index].has(touch.kind, port: touch.port, tag: tag) else { return }
    var weight = weight(touch, index)
    if touch.kind.isOrdinary { weight -= sources[index].ordinaryWeight(port: touch.port, tag: tag) }
    if weight > 0 {
      add(index, PackedEvidence(touch.kind, port: touch.port, tag: tag, weight: weight), isNewPort: isNewPort)
      sources[index].conversations = 0
      if touch.kind == .syn || touch.kind == .udp { rarity.note(touch.transport, touch.port, at: touch.time) }
    }
    if touch.mark.protocolNumber == 6, !sources[index].flags.contains(.marked), sources[index].marks.areUnmistakable {
      sources[index].flags.insert(.marked)
      add(index, PackedEvidence(.toolMarks, port: touch.port, tag: 0, weight: Weights.toolMarks))
    }
    if sources[index].score >= currentThreshold(index, touch.time) {
      convict(index, touch)
    } else if touch.kind == .syn, !sources[index].flags.contains(.counted) {
      group(index, touch, weight)
    }
    sources.rerank(index)
  }

  /// A verdict is said again each time the probes of its source have doubled, and when it comes back after this.
  private static let absence: Int64 = 60_000_000_000
  /// So many new sources in a second are invented, or a flood's: a bystander's name may come three times by chance.
  private static let crowd: UInt32 = 500

  private mutating func noteNewcomer(_ touch: Touch) {
    let second = touch.time.seconds
    if newcomers.second != second { newcomers = (second, 0) }
    newcomers.count += 1
    if newcomers.count >= Self.crowd {
      crowdedUntil = touch.time.nanoseconds + 10_000_000_000
      crowd = touch
    }
  }

  /// The newest of a crowd of new sources; taken by whoever tells of floods.
  var crowd: Touch?

  /// Whether a crowd of new sources is here.
  mutating func isCrowded(at time: Timestamp) -> Bool { time.nanoseconds <= crowdedUntil }

  /// Twice as much is asked for in a crowd: what draws its sources and ports by chance meets a source three times, not six. Who has
  /// proven to be where he says is none of them.
  private mutating func currentThreshold(_ index: Int, _ time: Timestamp) -> Int32 {
    isCrowded(at: time) && sources[index].origin < .proven ? threshold * 2 : threshold
  }

  private mutating func add(_ index: Int, _ evidence: PackedEvidence, isNewPort: Bool = false) {
    if sources[index].add(evidence, isNewPort: isNewPort) { sources[index].score &+= Int32(evidence.weight) }
  }

  /// Whether a touch of this port counts already, or could change nothing.
  func hasCounted(_ touch: Segment) -> Bool {
    guard let index = sources.find(touch.source) else { return false }
    let tag = UInt8(truncatingIfNeeded: SourceRecord.mix(touch.target.v4Bits) >> 28)
    return sources[index].isConvicted || sources[index].has(.syn, port: touch.targetPort, tag: tag)
      || sources[index].has(.connect, port: touch.targetPort, tag: tag)
  }

  /// Whether nothing but touches of ports near these families speaks against a source.
  func hasOnly(_ families: ServiceFamilies, _ source: IPAddress) -> Bool {
    guard let index = sources.find(source) else { return true }
    if sources[index].isConvicted || sources[index].furtherWeight > 0 { return false }
    var isSo = true
    sources[index].forEachReason { reason in
      if reason.kind != .conversation,
        reason.kind != .unusedPort || families.isDisjoint(with: ServiceFamilies(near: reason.port))
      {
        isSo = false
      }
    }
    return isSo
  }

  private mutating func weight(_ touch: Touch, _ index: Int) -> Int {
    switch touch.kind {
    case .connect, .syn:
      if touch.isNeighbour { return Weights.neighbour }
      // An FTP server that we spoke to opens the data connection.
      if touch.isFriend, touch.sourcePort == 20, touch.port >= 1024 { return 0 }
      let weight = rarity.weight(.tcp, touch.port, base: Weights.unusedTCP, least: Weights.leastUnused)
      return touch.isFriend ? weight / 2 : weight
    case .fin, .null, .xmas, .oddFlags: return Weights.oddFlags
    case .ack, .maimon: return Weights.strayAck
    case .udp:
      let isHigh = touch.port >= ephemeral.lowerBound
      let base =
        !isHigh ? Weights.unusedUDP : touch.sourcePort < 1024 ? Weights.answeredUDP : Weights.ephemeralUDP
      let weight = rarity.weight(.udp, touch.port, base: base, least: min(base, Weights.leastUnused))
      return touch.isFriend ? weight / 4 : weight
    case .sctp: return Weights.sctp
    case .halfOpen: return Weights.halfOpen
    case .ipProtocol:
      return Weights.isUsual(UInt8(truncatingIfNeeded: touch.port)) ? Weights.usualProtocol : Weights.unusedProtocol
    case .icmp:
      if touch.port != 8 && touch.port != 128 { return Weights.unusualICMP }
      // Pinging one host is no search for hosts.
      return sources[index].targetSketch.nonzeroBitCount > 1 ? Weights.hostProbe : 0
    case .silentTouch, .conversation, .toolMarks: return 0
    }
  }

  /// A conversation with a service: speaks for the source, once for each service since its last touch.
  mutating func credit(_ source: IPAddress, port: UInt16, at time: Timestamp) {
    customers.note(source, at: time)
    guard let index = sources.find(source) else { return }
    if sources[index].isConvicted {
      sources[index].techniques.insert(TechniqueSet(.versionProbe))
      return
    }
    let bit = UInt8(1) << UInt8(truncatingIfNeeded: SourceRecord.mix(UInt32(port)) >> 29)
    // Two at most after each touch: a scanner talks to what it finds, too.
    guard sources[index].conversations & bit == 0, sources[index].conversations.nonzeroBitCount < 2,
      sources[index].score > 0, sources[index].restarts < SourceRecord.mostRestarts
    else { return }
    sources[index].conversations |= bit
    if Int(sources[index].score) + Weights.conversation <= 0 {
      sources[index].restart()
    } else {
      // One reason for all, so that they crowd out none of the others.
      let before = sources[index].remove(.conversation)
      add(index, PackedEvidence(.conversation, port: port, tag: 0, weight: before + Weights.conversation))
    }
    sources.rerank(index)
  }

  /// A service was touched and left without a word.
  ///
  /// - Parameters:
  ///   - end: the packet with which it was left.
  ///   - began: when it was touched.
  mutating func noteSilence(_ end: Segment, began: Timestamp, isProven: Bool) {
    let (source, port) = (end.source, end.targetPort)
    let index = sources.claim(source, at: began)
    if isProven { noteProof(index) }
    if sources[index].isConvicted {
      sources[index].techniques.insert(TechniqueSet(.connect))
      return
    }
    if sources[index].silentSketch != 0,
      began.nanoseconds &- sources[index].last.nanoseconds > Weights.silentWindow
    {
      sources[index].silentSketch = 0
      sources[index].remove(.silentTouch)
    }
    if began > sources[index].last { sources[index].last = began }
    let bit = UInt32(1) << (services.number(of: port) & 31)
    guard sources[index].silentSketch & bit == 0 else { return }
    sources[index].silentSketch |= bit
    sources[index].probes &+= 1
    sources[index].touch(port: port, target: end.target.v4Bits)
    let touched = sources[index].silentSketch.nonzeroBitCount
    guard touched >= Weights.silentServices else { return }
    sources[index].techniques.insert(TechniqueSet(.connect))
    sources[index].remove(.silentTouch)
    add(
      index,
      PackedEvidence(.silentTouch, port: UInt16(touched), tag: 0, weight: Weights.silentTouch * touched))
    if sources[index].score >= threshold {
      convict(
        index,
        Touch(
          source: source, target: end.target, time: end.time, technique: .connect, kind: .silentTouch, port: port))
    }
    sources.rerank(index)
  }

  /// The source acknowledged a number of ours that only a receiver can know.
  mutating func prove(_ source: IPAddress) {
    if let index = sources.find(source) { noteProof(index) }
  }

  private mutating func noteProof(_ index: Int) {
    guard sources[index].origin < .proven else { return }
    sources[index].origin = .proven
    sources.rerank(index)
    // What was known of it before may now be acted upon.
    if sources[index].isConvicted {
      verdicts.append(verdict(index, nil))
    } else if sources[index].score >= threshold {
      // A crowd's doubt stood between it and a verdict.
      convict(index, nil)
    }
  }

  /// A RST from a source: its own kernel speaks, not the tool.
  ///
  /// - Returns: whether SYNs came in its name before: then something here (a decoy) has answered one, and the RST is about that.
  mutating func noteReset(_ source: IPAddress, identification: UInt16) -> Bool {
    guard let index = sources.find(source) else { return false }
    sources[index].marks.noteReset(identification)
    return sources[index].techniques.contains(TechniqueSet(.syn))
  }

  // MARK: Verdicts

  private mutating func convict(_ index: Int, _ touch: Touch?) {
    sources[index].flags.insert(.convicted)
    sources[index].portLog = portLog.open(for: sources[index].address)
    let (place, address) = (sources[index].portLog, sources[index].address)
    sources[index].forEachReason { reason in
      switch reason.kind {
      case .unusedPort, .oddFlags, .strayAck, .halfOpen:
        portLog.insert(reason.technique == .udp ? .udp : .tcp, reason.port, place, of: address)
      default: break
      }
    }
    if let touch { logPort(index, touch) }
    verdicts.append(verdict(index, touch))
  }

  private mutating func logPort(_ index: Int, _ touch: Touch) {
    switch touch.kind {
    case .ipProtocol, .icmp, .sctp, .silentTouch: break
    default: portLog.insert(touch.transport, touch.port, sources[index].portLog, of: sources[index].address)
    }
  }

  private mutating func verdict(_ index: Int, _ touch: Touch?) -> Verdict {
    let record = sources[index]
    var verdict = Verdict(
      .scan, source: IPNetwork(record.address), first: record.first, last: record.last)
    verdict.origin = record.origin
    verdict.tool = record.marks.tool
    verdict.techniques = record.techniques
    if verdict.tool.family == .connect, verdict.techniques.contains(TechniqueSet(.syn)) {
      verdict.techniques.remove(TechniqueSet(.syn))
      verdict.techniques.insert(TechniqueSet(record.marks.areFromFTP ? .ftpBounce : .connect))
    }
    verdict.probes = record.probes
    verdict.ports = portLog.count(record.portLog, of: record.address) ?? record.portEstimate
    if verdict.ports == 0 { verdict.ports = record.portEstimate }
    verdict.targets = record.targetEstimate
    verdict.kind = Self.kind(record, ports: verdict.ports)
    let span = record.last.nanoseconds &- record.first.nanoseconds
    verdict.isSlow = span / Int64(max(verdict.ports, verdict.targets, 2) - 1) >= Verdict.slowGap
    verdict.score = record.score
    verdict.threshold = threshold
    record.forEachReason { verdict.add($0) }
    if record.furtherWeight > 0 {
      verdict.add(Evidence(.furtherPorts, .syn, port: 0, weight: Int16(clamping: record.furtherWeight)))
    }
    verdict.mayBeZombie = record.marks.mayBeZombie
    verdict.mayBeDecoy = record.flags.contains(.echoed)
    if let touch {
      verdict.port = touch.port
      verdict.transport = touch.transport
    } else if let last = record.reasons.last {
      verdict.port = last.port
      verdict.transport = last.technique == .udp ? .udp : .tcp
    }
    return verdict
  }

  private static func kind(_ record: SourceRecord, ports: UInt32) -> ScanKind {
    if !record.flags.contains(.touchedUnused) { return .services }
    let targets = record.targetEstimate
    if targets <= 2 { return .vertical }
    if ports <= 2 { return .horizontal }
    if ports <= 10 { return .strobe }
    return UInt64(record.probes) * 2 >= UInt64(ports) * UInt64(targets) ? .block : .vertical
  }

  /// The ports a convicted source touched; nil where they are not known any more.
  private func ports(of record: SourceRecord) -> (tcp: PortRanges, udp: PortRanges)? {
    guard let tcp = portLog.ports(.tcp, record.portLog, of: record.address),
      let udp = portLog.ports(.udp, record.portLog, of: record.address)
    else { return nil }
    return (tcp, udp)
  }

  /// The ports a source touched, as far as they are known.
  func ports(of source: IPAddress) -> (tcp: PortRanges, udp: PortRanges) {
    guard let index = sources.find(source) else { return (PortRanges(), PortRanges()) }
    if let known = ports(of: sources[index]) { return known }
    var (tcp, udp) = (PortSet(), PortSet())
    for reason in sources[index].reasons where reason.kind == .unusedPort || reason.kind == .oddFlags {
      if reason.technique == .udp { udp.insert(reason.port) } else { tcp.insert(reason.port) }
    }
    return (PortRanges(tcp), PortRanges(udp))
  }

  func isConvicted(_ source: IPAddress) -> Bool { sources.find(source).map { sources[$0].isConvicted } ?? false }

  /// What is known of a source at this moment, whether or not it has come to a verdict.
  mutating func standing(of source: IPAddress) -> Verdict? {
    guard let index = sources.find(source) else { return nil }
    return verdict(index, nil)
  }

  /// Lends everything convicted, as it stands now; with `suspects` everything that something speaks against.
  mutating func forEachConviction(suspects: Bool, _ body: (Verdict, _ tcp: PortRanges, _ udp: PortRanges) -> Void) {
    var indexes: [Int] = []
    sources.forEach { index, record in
      if record.isConvicted || (suspects && record.score > 0) { indexes.append(index) }
    }
    for index in indexes {
      let ports = ports(of: sources[index].address)
      body(verdict(index, nil), ports.tcp, ports.udp)
    }
  }

  // MARK: Many as one

  private mutating func group(_ index: Int, _ touch: Touch, _ weight: Int) {
    sources[index].flags.insert(.counted)
    var member = CampaignTable.Member()
    member.source = touch.source
    member.time = touch.time
    member.shape = touch.mark.shape
    member.port = touch.port
    member.sourcePort = touch.sourcePort
    member.hopLimit = touch.mark.hopLimit
    member.family = touch.mark.family
    member.weight = Int16(weight)
    for campaign in campaigns.add(member, threshold: threshold) where !campaign.sources.isEmpty {
      verdicts.append(verdict(campaign))
    }
  }

  private func verdict(_ campaign: CampaignTable.Campaign) -> Verdict {
    var verdict = Verdict(.scan, source: campaign.prefix, first: campaign.first, last: campaign.last)
    verdict.kind = .distributed
    let proven = campaign.sources.count { source in
      sources.find(source).map { sources[$0].origin == .proven } ?? false
    }
    // The last one's SYN makes the verdict, before its handshake can be over.
    if proven + 1 >= campaign.sources.count { verdict.origin = .proven }
    verdict.techniques = TechniqueSet(campaign.family == .connect ? .connect : .syn)
    verdict.tool = campaign.family == .unnamed ? Tool(.unnamed, variant: campaign.shape) : Tool(campaign.family)
    verdict.probes = UInt32(campaign.sources.count)
    verdict.sources = UInt32(campaign.sources.count)
    verdict.ports = UInt32(campaign.ports.count)
    verdict.targets = 1
    verdict.score = campaign.weight
    verdict.threshold = threshold + threshold / 2
    verdict.evidence = campaign.ports.ports.prefix(Verdict.evidenceCapacity).map {
      Evidence(.unusedPort, .syn, port: $0, weight: Int16(clamping: campaign.weight / Int32(campaign.sources.count)))
    }
    return verdict
  }

  /// All campaigns as they stand, with their members.
  mutating func allCampaigns() -> [(verdict: Verdict, members: [IPAddress], ports: PortSet)] {
    campaigns.campaigns(threshold: threshold).map { (verdict($0), $0.sources, $0.ports) }
  }

  // MARK: Keeping over a restart

  /// The sources that are worth keeping: those it would cost most to forget.
  func kept(most: Int) -> [SourceRecord] {
    var result: [SourceRecord] = []
    for index in sources.dearest(most) where sources[index].score > 0 { result.append(sources[index]) }
    return result
  }

  mutating func restore(_ record: SourceRecord) {
    let index = sources.claim(record.address, at: record.first)
    sources[index] = record
    sources[index].portLog = 0
    sources.rerank(index)
  }

  func checkInvariants() { sources.checkInvariants() }
}
