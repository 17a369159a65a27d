import Wire

/// What is known of one source, in 120 bytes. All bytes zero is an empty one.
struct SourceRecord: BitwiseCopyable {
  /// How many reasons are kept: the heaviest. Six of the lightest for an unused TCP port are enough for a verdict.
  static let evidenceCapacity = 8

  var address = IPAddress.unspecified
  var first = Timestamp.distantPast
  var last = Timestamp.distantPast
  /// Distinct ports touched, by linear counting (Whang, Vander-Zanden, Taylor 1990): one bit for each of 64 hashes.
  var portSketch: UInt64 = 0
  /// Distinct addresses of ours, likewise in 32.
  var targetSketch: UInt32 = 0
  /// Services left without a word within `silentWindow`: a bit for each, by its number.
  var silentSketch: UInt32 = 0
  /// Packets that counted.
  var probes: UInt32 = 0
  /// The sum of the evidence in thousandths of a nat, `furtherWeight` included.
  var score: Int32 = 0
  var techniques: TechniqueSet = []
  /// Which of the ports log's places is this source's, plus one; 0 for none.
  var portLog: UInt16 = 0
  var marks = ToolMarks()
  private var origins: UInt8 = 0
  var flags = Flags()
  /// Lower half: how many reasons there are. Upper half: how often the test began anew.
  private var counts: UInt8 = 0
  /// A bit for each of eight hashes of served ports on which there was a conversation since the last touch: one counts once.
  var conversations: UInt8 = 0
  private var evidence = InlineArray<8, PackedEvidence>(repeating: PackedEvidence(bits: 0))

  struct Flags: OptionSet, BitwiseCopyable {
    var rawValue: UInt8 = 0
    /// A verdict was given.
    static let convicted = Flags(rawValue: 1)
    /// Its marks were counted as evidence.
    static let marked = Flags(rawValue: 2)
    /// Others sent the very same packets.
    static let echoed = Flags(rawValue: 4)
    /// Its first touch was counted for its group (`CampaignTable`).
    static let counted = Flags(rawValue: 8)
    /// It touched something that nothing serves; else it knows what is served.
    static let touchedUnused = Flags(rawValue: 16)
  }

  var evidenceCount: UInt8 {
    get { counts & 15 }
    set { counts = counts & 0xf0 | newValue & 15 }
  }

  /// How often the test may begin anew: whoever does as the honest do after each probe is forgiven so many, and no more.
  static let mostRestarts: UInt8 = 8

  var restarts: UInt8 { counts >> 4 }

  init() {}

  init(address: IPAddress, at time: Timestamp) {
    self.address = address
    first = time
    last = time
  }

  var origin: Origin {
    get { Origin(rawValue: origins) ?? .unproven }
    set { if newValue > origin { origins = newValue.rawValue } }
  }

  var isConvicted: Bool { flags.contains(.convicted) }

  /// What it would cost to forget this source: 0 to 255, used as its rank in the table.
  var rank: UInt8 {
    if origin == .proven, isConvicted { return 255 }
    if origin == .proven { return 220 }
    return UInt8(clamping: 1 &+ max(0, min(Int(score) / 64, 200)))
  }

  // MARK: Evidence

  /// The reasons kept, in the order in which they came.
  var reasons: [Evidence] { (0..<Int(evidenceCount)).map { evidence[$0].evidence } }

  /// Lends them without an array.
  func forEachReason(_ body: (Evidence) -> Void) {
    for index in 0..<Int(evidenceCount) { body(evidence[index].evidence) }
  }

  /// Whether a touch of this kind, port and address counts already.
  func has(_ kind: PackedEvidence.Kind, port: UInt16, tag: UInt8) -> Bool {
    let wanted = PackedEvidence(kind, port: port, tag: tag, weight: 0)
    for index in 0..<Int(evidenceCount) where evidence[index].isSame(wanted) { return true }
    return false
  }

  /// What reasons weigh that have no place of their own any more: unused TCP ports, each told from the others by `portSketch`.
  var furtherWeight: Int32 {
    var sum: Int32 = 0
    for index in 0..<Int(evidenceCount) { sum &+= Int32(evidence[index].weight) }
    return score &- sum
  }

  /// Adds a reason. When all places are taken, the lightest goes if the new one is heavier, else the new one. An unused TCP port
  /// goes on counting without a place: eight light ones and no more would be no verdict in every state of the rule.
  ///
  /// - Parameter isNewPort: whether no other touch had its place in the sketch of ports.
  /// - Returns: false when it is not kept, and must not count.
  mutating func add(_ new: PackedEvidence, isNewPort: Bool = false) -> Bool {
    if Int(evidenceCount) < Self.evidenceCapacity {
      evidence[Int(evidenceCount)] = new
      evidenceCount &+= 1
      return true
    }
    var lightest = 0
    for index in 1..<Self.evidenceCapacity where abs(evidence[index].weight) < abs(evidence[lightest].weight) {
      lightest = index
    }
    guard abs(evidence[lightest].weight) < abs(new.weight) else { return new.kind.isOpening && isNewPort }
    if !evidence[lightest].kind.isOpening { score &-= Int32(evidence[lightest].weight) }
    for index in lightest..<Self.evidenceCapacity &- 1 { evidence[index] = evidence[index &+ 1] }
    evidence[Self.evidenceCapacity &- 1] = new
    return true
  }

  /// Forgets all reasons of a kind.
  ///
  /// - Returns: what they weighed.
  @discardableResult
  mutating func remove(_ kind: PackedEvidence.Kind) -> Int {
    var (kept, weight) = (0, 0)
    for index in 0..<Int(evidenceCount) {
      if evidence[index].kind == kind {
        weight += evidence[index].weight
      } else {
        evidence[kept] = evidence[index]
        kept &+= 1
      }
    }
    evidenceCount = UInt8(kept)
    score &-= Int32(weight)
    return weight
  }

  /// The test starts anew when all that was held against a source is outweighed: what it did before is forgotten.
  mutating func restart() {
    counts = min(restarts + 1, 15) << 4
    conversations = 0
    silentSketch = 0
    score = 0
    flags.remove(.marked)
  }

  // MARK: Over a restart

  /// How many bytes `encode` writes.
  static let encodedSize = 116

  func encode(into bytes: inout [UInt8]) {
    for word in [
      address.high, address.low, UInt64(bitPattern: first.nanoseconds), UInt64(bitPattern: last.nanoseconds),
    ] {
      bytes.append(word)
    }
    bytes.append(portSketch)
    bytes.append(UInt64(targetSketch) << 32 | UInt64(probes))
    let (a, b, c) = marks.words
    for word in [a, b, c] { bytes.append(word) }
    bytes.append(
      UInt64(techniques.rawValue) << 32 | UInt64(origins) << 24 | UInt64(flags.rawValue) << 16
        | UInt64(conversations) << 8 | UInt64(counts))
    for index in 0..<Self.evidenceCapacity { bytes.append(evidence[index].bits) }
    bytes.append(UInt32(bitPattern: max(furtherWeight, 0)))
  }

  /// - Returns: nil where the bytes are no record; the score is summed up anew.
  init?(_ bytes: RawSpan, at start: Int) {
    guard bytes.byteCount >= start + Self.encodedSize else { return nil }
    address = IPAddress(high: bytes.u64(at: start), low: bytes.u64(at: start + 8))
    first = Timestamp(nanoseconds: Int64(bitPattern: bytes.u64(at: start + 16)))
    last = Timestamp(nanoseconds: Int64(bitPattern: bytes.u64(at: start + 24)))
    portSketch = bytes.u64(at: start + 32)
    let numbers = bytes.u64(at: start + 40)
    (targetSketch, probes) = (UInt32(truncatingIfNeeded: numbers >> 32), UInt32(truncatingIfNeeded: numbers))
    marks = ToolMarks(words: (bytes.u64(at: start + 48), bytes.u64(at: start + 56), bytes.u64(at: start + 64)))
    let rest = bytes.u64(at: start + 72)
    techniques = TechniqueSet(rawValue: UInt16(truncatingIfNeeded: rest >> 32))
    guard let origin = Origin(rawValue: UInt8(truncatingIfNeeded: rest >> 24)) else { return nil }
    origins = origin.rawValue
    flags = Flags(rawValue: UInt8(truncatingIfNeeded: rest >> 16))
    conversations = UInt8(truncatingIfNeeded: rest >> 8)
    counts = UInt8(truncatingIfNeeded: rest)
    guard evidenceCount <= UInt8(Self.evidenceCapacity), first <= last else { return nil }
    // 64 places in the sketch, none of them heavier than this.
    score = Int32(min(bytes.u32(at: start + 112), 64 * 5_120))
    for index in 0..<Int(evidenceCount) {
      evidence[index] = PackedEvidence(bits: bytes.u32(at: start + 80 + 4 * index))
      // Only a conversation speaks for a source: a touch that did would leave less than nothing when it lost its place.
      guard evidence[index].weight >= 0 || evidence[index].kind == .conversation else { return nil }
      score &+= Int32(evidence[index].weight)
    }
  }

  // MARK: Sketches

  /// - Returns: whether no touch before had the same place in the sketch of ports.
  @discardableResult
  mutating func touch(port: UInt16, target: UInt32) -> Bool {
    let bit: UInt64 = 1 << UInt64(Self.mix(UInt32(port)) >> 26)
    let isNew = portSketch & bit == 0
    portSketch |= bit
    targetSketch |= 1 << (Self.mix(target) >> 27)
    return isNew
  }

  /// What the touches of one port by ordinary flags weigh so far: a SYN and a FIN to it are one question.
  func ordinaryWeight(port: UInt16, tag: UInt8) -> Int {
    var most = 0
    for index in 0..<Int(evidenceCount) where evidence[index].kind.isOrdinary && evidence[index].isAt(port, tag) {
      most += evidence[index].weight
    }
    return most
  }

  var portEstimate: UInt32 { Self.estimate(UInt32(portSketch.nonzeroBitCount), of: 64) }
  var targetEstimate: UInt32 { Self.estimate(UInt32(targetSketch.nonzeroBitCount), of: 32) }

  static func mix(_ value: UInt32) -> UInt32 {
    // Murmur's finaliser: no secret, as a collision costs a count of one.
    var x = value
    x = (x ^ x >> 16) &* 0x85eb_ca6b
    x = (x ^ x >> 13) &* 0xc2b2_ae35
    return x ^ x >> 16
  }

  /// -m ln(1 - n/m), to the nearest number. A full sketch says "at least".
  private static func estimate(_ bits: UInt32, of size: UInt32) -> UInt32 {
    var result = 0.0
    // m (1/m + 1/(m-1) + ...) is what it takes on average to set that many bits: the same to a fraction, without logarithms.
    for index in 0..<min(bits, size) { result += Double(size) / Double(size - index) }
    return UInt32(result + 0.5)
  }
}

/// One reason in 32 bits: port, kind, a hash of the address touched, weight.
struct PackedEvidence: BitwiseCopyable {
  /// `Evidence.Kind` and `Technique` in one number.
  enum Kind: UInt8, CaseIterable {
    case connect
    case syn
    case fin
    case null
    case xmas
    case oddFlags
    case ack
    case maimon
    case udp
    case sctp
    case ipProtocol
    case icmp
    case halfOpen
    case silentTouch
    case conversation
    case toolMarks

    init(_ technique: Technique) {
      self =
        switch technique {
        case .connect: .connect
        case .syn, .ftpBounce: .syn
        case .fin: .fin
        case .null: .null
        case .xmas: .xmas
        case .oddFlags, .osDetection: .oddFlags
        case .ack: .ack
        case .maimon: .maimon
        case .udp: .udp
        case .sctpInit, .sctpCookieEcho: .sctp
        case .ipProtocol: .ipProtocol
        case .icmp: .icmp
        case .versionProbe: .conversation
        }
    }

    /// A TCP connection that was asked for.
    var isOpening: Bool { self == .connect || self == .syn }
    /// Flags that an ordinary connection has at its beginning or end.
    var isOrdinary: Bool { isOpening || self == .fin || self == .ack || self == .maimon }

    var parts: (kind: Evidence.Kind, technique: Technique) {
      switch self {
      case .connect: (.unusedPort, .connect)
      case .syn: (.unusedPort, .syn)
      case .fin: (.oddFlags, .fin)
      case .null: (.oddFlags, .null)
      case .xmas: (.oddFlags, .xmas)
      case .oddFlags: (.oddFlags, .oddFlags)
      case .ack: (.strayAck, .ack)
      case .maimon: (.strayAck, .maimon)
      case .udp: (.unusedPort, .udp)
      case .sctp: (.unusedPort, .sctpInit)
      case .halfOpen: (.halfOpen, .syn)
      case .ipProtocol: (.unusedProtocol, .ipProtocol)
      case .icmp: (.hostProbe, .icmp)
      case .silentTouch: (.silentTouch, .connect)
      case .conversation: (.conversation, .connect)
      case .toolMarks: (.toolMarks, .syn)
      }
    }
  }

  /// Whether both are about the same port and address.
  func isAt(_ port: UInt16, _ tag: UInt8) -> Bool {
    UInt16(truncatingIfNeeded: bits >> 16) == port && UInt8(truncatingIfNeeded: bits >> 8) & 15 == tag & 15
  }

  /// Weights are kept in steps of this many thousandths of a nat.
  static let step = 40
  let bits: UInt32

  init(bits: UInt32) { self.bits = bits }

  /// - Parameter weight: in thousandths of a nat, kept to the nearest step, between -5,120 and 5,080.
  init(_ kind: Kind, port: UInt16, tag: UInt8, weight: Int) {
    let steps = Int8(clamping: (weight + (weight < 0 ? -Self.step / 2 : Self.step / 2)) / Self.step)
    bits =
      UInt32(port) << 16 | UInt32(kind.rawValue) << 12 | UInt32(tag & 15) << 8 | UInt32(UInt8(bitPattern: steps))
  }

  var kind: Kind { Kind(rawValue: UInt8(truncatingIfNeeded: bits >> 12) & 15)! }
  var weight: Int { Int(Int8(bitPattern: UInt8(truncatingIfNeeded: bits))) * Self.step }

  /// Whether both are of the same kind, port and address.
  func isSame(_ other: PackedEvidence) -> Bool { (bits ^ other.bits) & 0xffff_ff00 == 0 }

  var evidence: Evidence {
    let (kind, technique) = self.kind.parts
    return Evidence(kind, technique, port: UInt16(truncatingIfNeeded: bits >> 16), weight: Int16(weight))
  }
}
