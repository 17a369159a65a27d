import TestSupport
import Wire

/// One day of the Internet before one address, packet by packet, the same for the same seed: what a host on the Internet counted was
/// 167,000 probes of some thousands of sources, of which 93 were blocked.
///
/// Telescopes report (Durumeric 2014, Griffioen 2024, and a study of 2024): a hundredth of the sources sends most of the packets, half of
/// all comes from known scanners, ZMap's mark is on two fifths, Mirai's on a few hundredths; most sources send a packet or three and are
/// never seen again.
package struct Radiation: Sendable {
  /// What a packet looks like.
  package enum Kind: String, Sendable, CaseIterable {
    /// ZMap up to 4.0: identification 54321, no options.
    case zmap
    /// ZMap since 4.1: the options of a Windows.
    case zmapWindows
    case masscan
    /// The sequence number is our address.
    case mirai
    case nmap
    /// The SYN of an ordinary Linux.
    case linux
    case datagram
    /// A SYN/ACK that answers somebody who wrote our address on his packets.
    case backscatter
  }

  package struct Packet: Sendable {
    /// Since the day began.
    package var milliseconds: Int64
    package var source: IPAddress
    package var sourcePort: UInt16
    package var port: UInt16
    package var kind: Kind
    /// The source answers our SYN/ACK: it has proven its address.
    package var completes = false
  }

  package private(set) var packets: [Packet] = []
  package private(set) var sources = 0
  /// Sources that complete connections to several unused ports.
  package private(set) var connecting: [IPAddress] = []
  private var random: SeededGenerator

  private static let day: Int64 = 86_400_000
  private static let popular: [UInt16] = [
    23, 8080, 3389, 5900, 8443, 2323, 1433, 3306, 6379, 5555, 8888, 81, 21, 9200, 2375, 445, 110, 143, 5432, 8000, 8728,
    5038,
    10_000, 27_017, 9090, 1080, 3128, 8081, 2222, 5060,
  ]
  private static let datagrams: [UInt16] = [161, 1900, 123, 5060, 11_211, 389, 69, 111, 500, 5683]

  /// - Parameters:
  ///   - part: 1 for all of it; a tenth has a tenth of the packets, of the sources and of the blocks, within the same day.
  ///   - gateway: completes connections, too, and must not be blocked.
  package init(seed: UInt64 = 1, part: Double = 1, gateway: IPAddress? = nil) {
    random = SeededGenerator(seed: seed)
    let scaled = { (count: Int) in max(1, Int(Double(count) * part)) }
    for number in 0..<scaled(93) { connect(IPAddress(v4: 0x0a4e_0001 + UInt32(number) << 8)) }
    if let gateway { connect(gateway) }
    for _ in 0..<scaled(3000) { few(.mirai, upTo: 3, ports: [23, 23, 23, 23, 23, 2323]) }
    for _ in 0..<scaled(2600) {
      few([.linux, .zmap, .masscan, .zmapWindows][below(4)], upTo: 4, ports: [pick(Self.popular)])
    }
    for _ in 0..<scaled(500) { few([.linux, .masscan][below(2)], upTo: 8, ports: Self.popular) }
    for _ in 0..<scaled(500) { few(.datagram, upTo: 3, ports: [pick(Self.datagrams)]) }
    for _ in 0..<scaled(40) { backscatter() }
    for _ in 0..<scaled(5) { nmap() }
    research(scaled(60), until: scaled(167_000))
    packets.sort { ($0.milliseconds, $0.source, $0.port) < ($1.milliseconds, $1.source, $1.port) }
  }

  private mutating func below(_ bound: Int) -> Int { Int(random.next() % UInt64(max(bound, 1))) }
  private mutating func pick(_ ports: [UInt16]) -> UInt16 { ports[below(ports.count)] }
  private mutating func moment() -> Int64 { Int64(below(Int(Self.day) - 60_000)) }
  private mutating func ephemeral() -> UInt16 { UInt16(32_768 + below(28_000)) }

  /// Of 198.18.0.0/15, which nobody has.
  private mutating func stranger() -> IPAddress {
    sources += 1
    // An odd factor visits each of the 2^17 once.
    return IPAddress(v4: 0xc612_0000 | (UInt32(sources) &* 40_503) & 0x1_ffff)
  }

  private mutating func add(
    _ kind: Kind, _ source: IPAddress, _ port: UInt16, at milliseconds: Int64, from sourcePort: UInt16,
    completes: Bool = false
  ) {
    packets.append(
      Packet(
        milliseconds: milliseconds, source: source, sourcePort: sourcePort, port: port, kind: kind, completes: completes
      ))
  }

  /// A source with a packet or a few within some hours.
  private mutating func few(_ kind: Kind, upTo most: Int, ports: [UInt16]) {
    let source = stranger()
    let begin = moment()
    for _ in 0..<(1 + below(most)) {
      let later = Int64(below(3_600_000))
      add(kind, source, pick(ports), at: min(begin + later, Self.day - 1), from: ephemeral())
    }
  }

  /// Connects to eight to eleven ports of this host within a minute, as grabbers of banners do: enough for a verdict, however popular they are.
  private mutating func connect(_ source: IPAddress) {
    sources += 1
    connecting.append(source)
    let begin = moment()
    let ports = Self.popular.shuffled(using: &random).prefix(8 + below(4))
    for (number, port) in ports.enumerated() {
      let at = begin + Int64(number * 5000 + below(1000))
      add(.linux, source, port, at: at, from: ephemeral(), completes: true)
    }
  }

  private mutating func backscatter() {
    let source = stranger()
    let begin = moment()
    for number in 0..<20 { add(.backscatter, source, ephemeral(), at: begin + Int64(number * 500), from: 443) }
  }

  /// A thousand ports within a minute.
  private mutating func nmap() {
    let source = stranger()
    let begin = moment()
    let from = ephemeral()
    for number in 0..<1000 { add(.nmap, source, UInt16(1 + number), at: begin + Int64(number * 50), from: from) }
  }

  /// Those who look at all of the Internet, all ports, all day, with pauses: the first of them the most.
  private mutating func research(_ count: Int, until total: Int) {
    let rest = max(total - packets.count, count)
    let weights = (0..<count).map { 1 / Double($0 + 3) }
    let sum = weights.reduce(0, +)
    for weight in weights {
      let source = stranger()
      let kind: Kind = [.zmap, .zmapWindows, .masscan, .zmap, .linux][below(5)]
      let from = ephemeral()
      // It works for some hours, rests for some, and comes again.
      let shifts = (0..<(1 + below(4))).map { _ in (begin: moment(), length: 1_800_000 + below(14_400_000)) }
      for _ in 0..<max(1, Int(Double(rest) * weight / sum)) {
        let shift = shifts[below(shifts.count)]
        let port = below(3) == 0 ? pick(Self.popular) : UInt16(1024 + below(64_000))
        add(
          kind, source, port, at: min(shift.begin + Int64(below(shift.length)), Self.day - 1),
          from: kind == .masscan ? from : ephemeral())
      }
    }
  }
}
