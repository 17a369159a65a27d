import Wire

/// What one probe says of the program that made it: taken down when it comes, used when it counts.
struct ToolMark: BitwiseCopyable {
  var shape: UInt32 = 0
  var sequence: UInt32 = 0
  var sourcePort: UInt16 = 0
  var targetPort: UInt16 = 0
  var hopLimit: UInt8 = 0
  var family: UInt8 = 0
  var protocolNumber: UInt8 = 0
  /// A SYN that no system's own TCP makes: without any option, or with the marks of a scanner.
  var isRaw = false

  init() {}

  /// Bytes of options that a tool may send; an ordinary system's SYN has more.
  static let fewOptions = 4

  /// Whether a SYN can be raw at all: tools spare the options, or most of them.
  @inline(__always)
  static func mayBeRaw(_ packet: Packet) -> Bool { packet.tcpOptionsLength <= fewOptions || !packet.dontFragment }

  init(_ packet: Packet) {
    shape = ToolMarks.shape(of: packet)
    sequence = packet.sequence
    sourcePort = packet.sourcePort
    targetPort = packet.targetPort
    hopLimit = packet.hopLimit
    family = ToolMarks.family(of: packet).rawValue
    protocolNumber = packet.protocolNumber
    guard packet.protocolNumber == 6, packet.flags.contains(.syn) else { return }
    let family = Tool.Family(rawValue: family) ?? .unknown
    isRaw = packet.tcpOptionsLength == 0 || (family != .connect && family != .unnamed)
  }
}

/// What the headers of a source's probes say of the program that made them, in 24 bytes.
///
/// Each packet votes for a family; the majority is kept by the algorithm of Boyer and Moore (1981), so that a few packets of
/// another program (nmap's own kernel, a client on the same host) change nothing.
struct ToolMarks: BitwiseCopyable {
  /// The marks all packets had in common: see `shape(of:)`. 0 before the first.
  private(set) var shape: UInt32 = 0
  private var lastSequence: UInt32 = 0
  private var lastSourcePort: UInt16 = 0
  private var lastTargetPort: UInt16 = 0
  /// The identification of the last RST that the source sent.
  private var resetIdentification: UInt16 = 0
  /// Lower half: how often that had gone up by a little. Upper half: pairs of packets whose sequence numbers are as nmap
  /// makes them within a run. Both saturate.
  private var halves: UInt8 = 0
  private var family: UInt8 = 0
  private var balance: UInt8 = 0
  private(set) var packets: UInt8 = 0
  /// Packets whose marks were those of `shape`.
  private var alike: UInt8 = 0
  private var lowestHopLimit: UInt8 = 0
  /// The highest up to 59, and how often it changed there from one probe to the next; saturates.
  private var highestHopLimit: UInt8 = 0
  private var hopLimitChanges: UInt8 = 0
  private var lastHopLimit: UInt8 = 0
  /// Packets from port 20.
  private var fromFTP: UInt8 = 0

  /// For keeping over a restart: everything, in 24 bytes.
  var words: (UInt64, UInt64, UInt64) {
    (
      UInt64(shape) << 32 | UInt64(lastSequence),
      UInt64(lastSourcePort) << 48 | UInt64(lastTargetPort) << 32 | UInt64(resetIdentification) << 16
        | UInt64(halves) << 8 | UInt64(family),
      UInt64(balance) << 56 | UInt64(packets) << 48 | UInt64(alike) << 40 | UInt64(lowestHopLimit) << 32
        | UInt64(highestHopLimit) << 24 | UInt64(hopLimitChanges) << 16 | UInt64(lastHopLimit) << 8 | UInt64(fromFTP)
    )
  }

  init() {}

  /// Any bits are valid: what makes no sense names no tool.
  init(words: (UInt64, UInt64, UInt64)) {
    func byte(_ word: UInt64, _ shift: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: word >> shift) }
    shape = UInt32(truncatingIfNeeded: words.0 >> 32)
    lastSequence = UInt32(truncatingIfNeeded: words.0)
    lastSourcePort = UInt16(truncatingIfNeeded: words.1 >> 48)
    lastTargetPort = UInt16(truncatingIfNeeded: words.1 >> 32)
    resetIdentification = UInt16(truncatingIfNeeded: words.1 >> 16)
    (halves, family) = (byte(words.1, 8), byte(words.1, 0))
    (balance, packets, alike) = (byte(words.2, 56), byte(words.2, 48), byte(words.2, 40))
    (lowestHopLimit, highestHopLimit) = (byte(words.2, 32), byte(words.2, 24))
    (hopLimitChanges, lastHopLimit, fromFTP) = (byte(words.2, 16), byte(words.2, 8), byte(words.2, 0))
  }

  /// Takes one probe into account.
  mutating func note(_ mark: ToolMark) {
    packets = packets == .max ? .max : packets &+ 1
    let isTCP = mark.protocolNumber == 6
    if isTCP, mark.sourcePort == 20, fromFTP < .max { fromFTP &+= 1 }
    noteHopLimit(mark.hopLimit)
    if shape == 0 { shape = mark.shape }
    if shape == mark.shape, alike < .max { alike &+= 1 }
    var vote = Tool.Family(rawValue: mark.family) ?? .unknown
    if isTCP {
      if packets > 1, let pair = pairFamily(mark, alone: vote) { vote = pair }
      lastSequence = mark.sequence
      lastSourcePort = mark.sourcePort
      lastTargetPort = mark.targetPort
    }
    guard vote != .unknown else { return }
    if balance == 0 {
      family = vote.rawValue
      balance = 1
    } else if family == vote.rawValue {
      balance = balance == .max ? .max : balance &+ 1
    } else {
      balance &-= 1
    }
  }

  /// A kernel's own packets (64 less the hops, mostly) may be among those that a tool made: only changes at 59 and
  /// below count, where nmap draws.
  private mutating func noteHopLimit(_ value: UInt8) {
    if packets == 1 { lowestHopLimit = value }
    lowestHopLimit = min(lowestHopLimit, value)
    guard value <= 59 else { return }
    highestHopLimit = max(highestHopLimit, value)
    if value != lastHopLimit, lastHopLimit != 0, hopLimitChanges < .max { hopLimitChanges &+= 1 }
    lastHopLimit = value
  }

  /// A RST from the source's kernel: a host that numbers its packets one after the other can be an idle scan's zombie.
  mutating func noteReset(_ identification: UInt16) {
    let step = identification &- resetIdentification
    if resetIdentification != 0, (1...32).contains(step), halves & 15 < 15 { halves &+= 1 }
    resetIdentification = identification
  }

  /// What all is put together to.
  var tool: Tool {
    let family = Tool.Family(rawValue: family) ?? .unknown
    switch family {
    case .nmap where halves >> 4 == 0 && hopLimitChanges == 0 && lowestHopLimit <= 200:
      // Others borrowed the header. From a raw socket, whose IP part the kernel writes, it is naabu's; from one packet
      // nobody can tell.
      return packets >= 4 && (33...64).contains(lowestHopLimit) ? Tool(.naabu) : Tool(.unnamed, variant: shape)
    case .unknown, .unnamed:
      // nmap draws a new TTL between 37 and 59 for each packet that it makes itself, of any protocol.
      if hopLimitChanges >= 3, hopLimitChanges >= packets / 2, highestHopLimit >= lowestHopLimit &+ 5 {
        return Tool(.nmap)
      }
      return alike >= 2 && alike >= packets / 2 ? Tool(.unnamed, variant: shape) : .unknown
    default: return Tool(family)
    }
  }

  /// Whether most probes bear marks that no ordinary system makes.
  var areUnmistakable: Bool {
    switch Tool.Family(rawValue: family) ?? .unknown {
    case .nmap, .masscan, .zmap, .mirai, .unicornscan: balance >= max(1, packets / 2)
    default: false
    }
  }

  /// Connections that an FTP server was made to open.
  var areFromFTP: Bool { fromFTP >= 2 && fromFTP >= packets &- packets / 4 }

  /// The source's own numbering gives it away: it may be a zombie in whose name another scans.
  var mayBeZombie: Bool { halves & 15 >= 3 && Tool.Family(rawValue: family) == .nmap }

  // MARK: One packet

  /// The program that makes such packets, told from one alone. Tests and their sources: docs/detection.md.
  static func family(of packet: Packet) -> Tool.Family {
    switch packet.protocolNumber {
    case 6: tcpFamily(packet)
    case 17: udpFamily(packet)
    // nmap alone sends SCTP with a hop limit that no kernel gives it.
    case 132: !packet.source.isV4 && packet.hopLimit > 200 ? .nmap : .unknown
    default: .unknown
    }
  }

  private static func tcpFamily(_ packet: Packet) -> Tool.Family {
    let isV4 = packet.source.isV4
    if isOSDetection(packet) { return .nmap }
    if packet.flags.subtracting(.congestion) != .syn {
      // Flags of one's own choice: nmap's windows are 1 to 4 times 1024 (drawn before 5.20, since then 1024), hping3's 512.
      // nmap adds its MSS to whatever has a SYN.
      let options = packet.synOptions
      if packet.window == 1024, options.kinds == 0x12, options.maximumSegmentSize == 1460 { return .nmap }
      guard packet.tcpOptionsLength == 0 else { return .unknown }
      if packet.window == 512 { return .hping3 }
      return isNmapWindow(packet.window) && isNmapHopLimit(packet) ? .nmap : .unknown
    }
    if packet.tcpOptionsLength == 0 {
      if isV4, packet.sequence == packet.target.v4Bits { return .mirai }
      if isV4, packet.identification == 54_321, packet.window == 65_535 { return .zmap }
      if isV4, !packet.dontFragment, isMasscan(packet) { return .masscan }
      if packet.window == 512 { return .hping3 }
      if packet.window == 8192, packet.sequence == 0 { return .scapy }
      return packet.window == 1024 && isNmapHopLimit(packet) ? .nmap : .unnamed
    }
    let options = packet.synOptions
    // MSS alone.
    if options.kinds == 0x12 {
      if isV4, packet.window == 1025, !packet.dontFragment, isMasscan(packet) { return .masscan }
      if packet.window == 1024, !packet.dontFragment, options.maximumSegmentSize == 1460 { return .nmap }
    }
    if isNewZMap(packet) { return .zmap }
    return isOrdinary(packet) ? .connect : .unnamed
  }

  private static func udpFamily(_ packet: Packet) -> Tool.Family {
    guard packet.hopLimit > 200, !packet.dontFragment else { return .unknown }
    // They send with a TTL of 255, nmap over IPv6 only; ZMap until 4.0 numbers all its packets alike.
    return !packet.source.isV4 ? .nmap : packet.identification == 54_321 ? .zmap : .masscan
  }

  private static func isNmapWindow(_ window: UInt16) -> Bool { window & 1023 == 0 && (1...4).contains(window >> 10) }

  /// IPv4: drawn from 37 to 59. IPv6: 255, less the hops. `--ttl` may set any other.
  private static func isNmapHopLimit(_ packet: Packet) -> Bool {
    packet.source.isV4 ? packet.hopLimit <= 59 : packet.hopLimit > 200
  }

  /// ip.id == dst ^ dport ^ seq, of which the low 16 bits are kept (masscan templ-pkt.c).
  private static func isMasscan(_ packet: Packet) -> Bool {
    UInt32(packet.identification) == (packet.target.v4Bits ^ UInt32(packet.targetPort) ^ packet.sequence) & 0xffff
  }

  /// ZMap from 4.1 on (March 2024): its four sets of options, all without DF and with a TTL of 64, which no system that
  /// really has these options sends.
  private static func isNewZMap(_ packet: Packet) -> Bool {
    guard packet.source.isV4, packet.window == 65_535, !packet.dontFragment, packet.hopLimit <= 64 else { return false }
    let options = packet.synOptions
    guard options.maximumSegmentSize == 1460 else { return false }
    switch (options.kinds, options.windowScale) {
    case (0x141_1312, 8): return true  // 2-1-3-1-1-4, as Windows
    case (0x1_0481_1312, 6): return true  // 2-1-3-1-1-8-4-0, as BSD (what follows the end is not read)
    case (0x13_1842, 7): return true  // 2-4-8-1-3, as Linux
    case (0x12, 0): return true  // 2, the smallest
    default: return false
    }
  }

  /// The SYN of an ordinary system: MSS and at least one of window scale, SACK, timestamps.
  private static func isOrdinary(_ packet: Packet) -> Bool {
    let options = packet.synOptions
    guard options.maximumSegmentSize > 0, packet.tcpOptionsLength >= 8 else { return false }
    var kinds = options.kinds
    while kinds > 1 {
      if [3, 4, 8].contains(kinds & 15) { return true }
      kinds >>= 4
    }
    return false
  }

  /// nmap's packets that ask for the system: sequence probes, ECN, T2 to T7 (Nmap Network Scanning, "TCP/IP Fingerprinting
  /// Methods").
  static func isOSDetection(_ packet: Packet) -> Bool {
    guard packet.protocolNumber == 6, packet.tcpOptionsLength >= 12 else { return false }
    let flags = packet.flags
    if flags.contains(.syn), flags.subtracting(.congestion) == .syn {
      let options = packet.synOptions
      switch (packet.window, options.kinds, options.maximumSegmentSize, options.windowScale) {
      case (1, 0x1_4_8_2_1_3, 1460, 10), (63, 0x1_0_8_4_3_2, 1400, 0), (4, 0x1_2_1_3_1_1_8, 640, 5),
        (4, 0x1_0_3_8_4, 0, 10), (16, 0x1_0_3_8_4_2, 536, 10), (512, 0x1_8_4_2, 265, 0),
        (3, 0x1_1_1_4_2_1_3, 1460, 10), (31337, 0x1_4_8_2_1_3, 265, 10):
        return true
      default: return false
      }
    }
    guard packet.tcpOptionsLength == 20 else { return false }
    switch (packet.window, flags) {
    case (128, []), (256, [.syn, .fin, .urg, .psh]), (1024, .ack), (32768, .ack), (65535, .xmas): return true
    default: return false
    }
  }

  /// A number for the marks that a program does not change within a run: window, options, lengths, DF. Not 0.
  static func shape(of packet: Packet) -> UInt32 {
    var value = UInt32(packet.protocolNumber) << 24 | UInt32(packet.tcpOptionsLength) << 16
    if packet.protocolNumber == 6 {
      value ^= UInt32(packet.window)
      if packet.flags.contains(.syn) {
        let options = packet.synOptions
        value ^= SourceRecord.mix(UInt32(truncatingIfNeeded: options.kinds ^ options.kinds >> 32))
        value ^= SourceRecord.mix(UInt32(options.maximumSegmentSize) << 8 | UInt32(options.windowScale))
      }
      value ^= UInt32(packet.flags.rawValue & 0x3f) << 8
    }
    if packet.dontFragment { value ^= 0x8000_0000 }
    value = SourceRecord.mix(value)
    return value == 0 ? 1 : value
  }

  // MARK: Two packets

  /// What two probes of one source say together.
  private mutating func pairFamily(_ packet: ToolMark, alone: Tool.Family) -> Tool.Family? {
    let difference = packet.sequence ^ lastSequence
    // Equal, or both halves changed alike (nmap scan_engine_raw.cc); 2^-16 by chance. Some tools always send 0.
    if difference >> 16 == difference & 0xffff, packet.sequence != 0 {
      if halves >> 4 < 15 { halves &+= 16 }
      // Before 5.20 nmap drew its windows.
      if alone == .unnamed, packet.targetPort != lastTargetPort { return .nmap }
    }
    // s1 ^ s2 == ((sport1 << 16) + dport1) ^ ((sport2 << 16) + dport2), unicornscan's tcphash; 2^-32 by chance.
    let ends = UInt32(packet.sourcePort ^ lastSourcePort) << 16 | UInt32(packet.targetPort ^ lastTargetPort)
    if difference == ends, ends != 0, alone != .mirai, alone != .scapy { return .unicornscan }
    return nil
  }
}
