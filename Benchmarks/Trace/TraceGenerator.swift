/// Makes a capture of ordinary traffic with the Internet's background radiation in it: a web server's connections, its own
/// questions, and 2 % of probes, backscatter and a few scans. The same seed makes the same bytes.
struct TraceGenerator {
  struct Settings {
    var packets = 5_000_000
    /// Distinct outside addresses, half of them clients.
    var sources = 200_000
    /// Percent of packets that are background radiation.
    var radiation = 2
    var seed: UInt64 = 1
  }

  private struct Flow {
    var client: UInt32
    var clientPort: UInt16
    var port: UInt16
    /// The local host is the client.
    var isOutbound: Bool
    var step: UInt16
    var length: UInt16
    var clientSequence: UInt32
    var serverSequence: UInt32
    var hopLimit: UInt8
  }

  private let settings: Settings
  private var random: UInt64
  private var flows: [Flow] = []
  private var microseconds: UInt64 = 1_790_000_000_000_000
  private var identification: UInt16 = 0
  private(set) var output: [UInt8] = []

  private static let us: UInt32 = 0xc000_020a  // 192.0.2.10
  private static let active = 4096
  /// What is captured of a frame.
  private static let snapLength = 96

  init(_ settings: Settings) {
    self.settings = settings
    random = settings.seed &* 0x9e37_79b9_7f4a_7c15 | 1
    output.reserveCapacity(1 << 20)
    for _ in 0..<Self.active { flows.append(newFlow()) }
  }

  private mutating func next() -> UInt64 {
    random ^= random << 13
    random ^= random >> 7
    random ^= random << 17
    return random &* 0x2545_f491_4f6c_dd1d
  }

  private mutating func number(_ below: Int) -> Int { Int(next() >> 33) % below }

  /// An outside address by its number: scattered over 1.0.0.0 to 223.255.255.255.
  private func address(_ index: Int) -> UInt32 {
    let mixed = (UInt64(index) &* 0x9e37_79b9 &+ settings.seed) & 0xffff_ffff
    return 0x0100_0000 &+ UInt32(mixed) % 0xdf00_0000
  }

  private mutating func newFlow() -> Flow {
    // Few clients make most of the connections.
    let most = settings.sources / 2
    let a = number(most)
    let b = number(most)
    let isOutbound = number(100) < 12
    let ports: [UInt16] = [443, 443, 443, 443, 443, 80, 80, 25, 22, 993]
    return Flow(
      client: address(min(a, b)), clientPort: UInt16(32_768 + number(28_000)), port: ports[number(ports.count)],
      isOutbound: isOutbound, step: 0, length: UInt16(8 + number(60)),
      clientSequence: UInt32(truncatingIfNeeded: next()),
      serverSequence: UInt32(truncatingIfNeeded: next()), hopLimit: UInt8(40 + number(80)))
  }

  /// The file header.
  mutating func begin() {
    output += [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, UInt8(Self.snapLength), 0, 0, 0, 1, 0, 0, 0]
  }

  /// Appends one packet.
  mutating func step() {
    microseconds += UInt64(1 + number(20))
    if number(100) < settings.radiation { radiate() } else { proceed() }
  }

  mutating func removeOutput() { output.removeAll(keepingCapacity: true) }

  // MARK: Ordinary traffic

  private static let synOptions: [UInt8] = [2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7]
  private static let timestamps: [UInt8] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]

  private mutating func proceed() {
    let place = number(flows.count)
    var flow = flows[place]
    let fromClient: Bool
    var flags: UInt8 = 0x10
    var payload = 0
    var options = Self.timestamps
    switch flow.step {
    case 0:
      (fromClient, flags, options) = (true, 2, Self.synOptions)
    case 1:
      (fromClient, flags, options) = (false, 0x12, Self.synOptions)
    case 2: fromClient = true
    case 3: (fromClient, flags, payload) = (true, 0x18, 200 + number(400))
    case flow.length - 3: (fromClient, flags) = (true, 0x11)
    case flow.length - 2: (fromClient, flags) = (false, 0x11)
    case flow.length - 1: fromClient = true
    default:
      fromClient = flow.step % 3 == 0
      if !fromClient { (flags, payload) = (0x18, 1400) }
    }
    // Half of the clients send no timestamps.
    if flow.client & 1 == 0, flags & 2 == 0 { options = [] }
    let isOurs = fromClient == flow.isOutbound
    let (sequence, acknowledgment) =
      fromClient ? (flow.clientSequence, flow.serverSequence) : (flow.serverSequence, flow.clientSequence)
    tcp(
      isOurs ? Self.us : flow.client, fromClient ? flow.clientPort : flow.port, isOurs ? flow.client : Self.us,
      fromClient ? flow.port : flow.clientPort, flags, sequence, flags == 2 ? 0 : acknowledgment, 64_240, options,
      payload,
      isOurs ? 64 : flow.hopLimit, fragment: 0x4000)
    let moved = UInt32(payload) &+ (flags & 3 != 0 ? 1 : 0)
    if fromClient { flow.clientSequence &+= moved } else { flow.serverSequence &+= moved }
    flow.step += 1
    flows[place] = flow.step >= flow.length ? newFlow() : flow
  }

  // MARK: Background radiation

  private static let popular: [UInt16] = [
    23, 22, 445, 80, 443, 8080, 3389, 5900, 8443, 2323, 1433, 3306, 6379, 5555, 8888, 81, 25, 21, 9200, 2375,
  ]

  private mutating func radiate() {
    let half = settings.sources / 2
    let source = address(half + number(settings.sources - half))
    let port = number(100) < 60 ? Self.popular[number(Self.popular.count)] : UInt16(number(65_536))
    let sequence = UInt32(truncatingIfNeeded: next())
    switch number(100) {
    case ..<35:  // ZMap up to 4.0
      identification = 54_321
      tcp(source, UInt16(32_768 + number(28_000)), Self.us, port, 2, sequence, 0, 65_535, [], 0, 240, fragment: 0)
    case ..<55:  // masscan
      identification = UInt16(truncatingIfNeeded: Self.us ^ UInt32(port) ^ sequence)
      tcp(source, 61_000, Self.us, port, 2, sequence, 0, 1024, [], 0, 241, fragment: 0)
    case ..<60:  // Mirai
      tcp(source, 40_000, Self.us, number(10) == 0 ? 2323 : 23, 2, Self.us, 0, 14_600, [], 0, 48, fragment: 0)
    case ..<80:  // ordinary kernels
      tcp(
        source, UInt16(32_768 + number(28_000)), Self.us, port, 2, sequence, 0, 64_240, Self.synOptions, 0, 50,
        fragment: 0x4000)
    case ..<90: udp(source, 40_000, Self.us, [53, 123, 161, 1900, 5060, 11211][number(6)], 20 + number(40))
    default:  // backscatter
      tcp(
        source, 80, Self.us, UInt16(1024 + number(60_000)), number(2) == 0 ? 0x12 : 0x14, sequence, 1, 8192, [], 0, 55,
        fragment: 0)
    }
  }

  // MARK: Bytes

  private mutating func record(_ length: Int) {
    let captured = min(length, Self.snapLength)
    let seconds = UInt32(microseconds / 1_000_000)
    let fraction = UInt32(microseconds % 1_000_000)
    for value in [seconds, fraction, UInt32(captured), UInt32(length)] {
      output += [UInt8(value & 255), UInt8(value >> 8 & 255), UInt8(value >> 16 & 255), UInt8(value >> 24)]
    }
    output += [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]
  }

  private mutating func ip(
    _ number: UInt8, _ source: UInt32, _ target: UInt32, _ length: Int, _ hopLimit: UInt8, _ fragment: UInt16
  ) {
    identification &+= 1
    var header: [UInt8] = [0x45, 0, UInt8(length >> 8), UInt8(length & 255)]
    header +=
      Self.big(identification) + Self.big(fragment) + [hopLimit, number, 0, 0] + Self.big(source) + Self.big(target)
    let sum = Self.checksum(header, 0)
    header[10] = UInt8(sum >> 8)
    header[11] = UInt8(sum & 255)
    output += header
  }

  private mutating func tcp(
    _ source: UInt32, _ sourcePort: UInt16, _ target: UInt32, _ port: UInt16, _ flags: UInt8, _ sequence: UInt32,
    _ acknowledgment: UInt32, _ window: UInt16, _ options: [UInt8], _ payload: Int, _ hopLimit: UInt8, fragment: UInt16
  ) {
    let length = 40 + options.count + payload
    // The identification is counted up when it is written.
    identification &-= 1
    record(14 + length)
    ip(6, source, target, length, hopLimit, fragment)
    var segment = Self.big(sourcePort) + Self.big(port) + Self.big(sequence) + Self.big(acknowledgment)
    segment += [UInt8(5 + options.count / 4) << 4, flags] + Self.big(window) + [0, 0, 0, 0] + options
    let room = max(0, Self.snapLength - 34 - segment.count)
    // Payloads are zeros, which add nothing to the sum.
    let sum = Self.checksum(
      segment + Self.big(source) + Self.big(target), 6 + UInt32(20 + options.count + payload))
    segment[16] = UInt8(sum >> 8)
    segment[17] = UInt8(sum & 255)
    output += segment
    for _ in 0..<min(room, payload) { output.append(0) }
  }

  private mutating func udp(_ source: UInt32, _ sourcePort: UInt16, _ target: UInt32, _ port: UInt16, _ payload: Int) {
    record(42 + payload)
    ip(17, source, target, 28 + payload, 50, 0)
    output += Self.big(sourcePort) + Self.big(port) + Self.big(UInt16(8 + payload)) + [0, 0]
    for _ in 0..<min(payload, Self.snapLength - 42) { output.append(0) }
  }

  private static func big(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
  private static func big(_ value: UInt32) -> [UInt8] { big(UInt16(value >> 16)) + big(UInt16(value & 0xffff)) }

  private static func checksum(_ bytes: [UInt8], _ more: UInt32) -> UInt16 {
    var sum = more
    for index in stride(from: 0, to: bytes.count, by: 2) { sum += UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1]) }
    while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
    return ~UInt16(sum)
  }
}
