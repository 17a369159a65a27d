import CLinux
import Platform
import Wire

/// Sends a test packet to the decoys as if a stranger had sent it, and tells whether it arrived.
///
/// One eBPF program receives a frame on an interface of ours (`bpf_clone_redirect` with BPF_F_INGRESS), which then takes the way
/// of every received frame: XDP, netdev chains, the bridge, all hooks. The other hangs on the decoys' listeners, takes the
/// packet there and keeps it: nothing answers it, so nothing leaves this host.
///
/// Takes CAP_BPF and CAP_NET_ADMIN. The programs are gone with our process.
package struct DecoyTest: ~Copyable {
  /// Packets that are waited for at a time.
  private static let capacity = 256

  /// Sequence numbers that are waited for; 1 when the packet was there.
  private let arrivals: BPFMap
  private let entrance: FileDescriptor
  private let exit: FileDescriptor

  /// Loads both programs.
  ///
  /// - Parameter listeners: the decoys'.
  /// - Throws: the kernel's reason.
  package static func open(listeners: [Int32]) throws(Errno) -> DecoyTest {
    let arrivals = try BPFMap(BPF_MAP_TYPE_LRU_HASH, key: 4, value: 4, entries: capacity, name: "test packets")
    let entrance = try BPF.load(BPF_PROG_TYPE_SCHED_CLS, BPF_CGROUP_INET_INGRESS, receiver, name: "entrance")
    let exit = try BPF.load(
      BPF_PROG_TYPE_SOCKET_FILTER, BPF_CGROUP_INET_INGRESS, keeper(arrivals.descriptor), name: "exit")
    let test = DecoyTest(arrivals: arrivals, entrance: entrance, exit: exit)
    try test.watch(listeners)
    return test
  }

  /// Further listeners.
  package func watch(_ listeners: [Int32]) throws(Errno) {
    let program = exit.raw
    for listener in listeners {
      try check("setsockopt", "SO_ATTACH_BPF") {
        unsafe withUnsafePointer(to: program) { unsafe setsockopt(listener, SOL_SOCKET, SO_ATTACH_BPF, $0, 4) }
      }
    }
  }

  private init(arrivals: consuming BPFMap, entrance: consuming FileDescriptor, exit: consuming FileDescriptor) {
    self.arrivals = arrivals
    self.entrance = entrance
    self.exit = exit
  }

  /// Receives a packet.
  ///
  /// - Parameters:
  ///   - interface: the index of the one on which it comes in.
  ///   - mark: its mark, by which others know that it is a test.
  package func send(_ packet: TestPacket, on interface: Int32, mark: UInt32) throws(Errno) {
    try arrivals.set(packet.number.bigEndian.hostBytes, Int32(0).hostBytes)
    // struct __sk_buff: mark at 8, cb[0] at 48.
    var context = [UInt8](repeating: 0, count: 52)
    context.replaceSubrange(8..<12, with: mark.hostBytes)
    context.replaceSubrange(48..<52, with: interface.hostBytes)
    let code = try BPF.run(entrance, on: packet.frame, context)
    if code < 0 { throw Errno(-code, "bpf", "test packet") }
  }

  /// Whether a packet came to a decoy.
  package func hasArrived(_ packet: TestPacket) -> Bool {
    arrivals.value(packet.number.bigEndian.hostBytes) == Int32(1).hostBytes
  }

  /// Nothing is waited for any more.
  package func forget(_ packet: TestPacket) { try? arrivals.remove(packet.number.bigEndian.hostBytes) }

  /// Receives the packet that it is given, on the interface in `cb[0]` (at 48 of `struct __sk_buff`).
  private static var receiver: BPFProgram {
    var code = BPFProgram()
    code.load(.word, .r2, .r1, 48)
    code.move(.r3, Int32(BPF_F_INGRESS))
    code.call(.cloneRedirect)
    code.exit()
    return code
  }

  /// Keeps what is waited for, by its sequence number. At a listener a packet begins with its TCP header.
  private static func keeper(_ arrivals: Int32) -> BPFProgram {
    let key: Int16 = -4
    var code = BPFProgram()
    let pass = code.label()
    code.move(.r2, 4)
    code.move(.r3, .stack)
    code.add(.r3, Int32(key))
    code.move(.r4, 4)
    code.call(.loadPacketBytes)
    code.jump(.unequal, .r0, 0, to: pass)
    code.move(.r2, .stack)
    code.add(.r2, Int32(key))
    code.loadMap(.r1, arrivals)
    code.call(.mapLookup)
    code.jump(.equal, .r0, 0, to: pass)
    code.store(.word, .r0, 0, value: 1)
    code.move(.r0, 0)
    code.exit()
    code.place(pass)
    code.move(.r0, .max)
    code.exit()
    return code
  }
}

/// A SYN as an ordinary system sends it, in an Ethernet frame.
package struct TestPacket: Sendable, Equatable {
  package var source: IPAddress
  package var target: IPAddress
  package var sourcePort: UInt16
  package var targetPort: UInt16
  /// Its sequence number, by which it is known.
  package var number: UInt32
  /// The hardware address it is sent to, 6 bytes.
  package var hardware: [UInt8]

  package init(
    from source: IPAddress, _ sourcePort: UInt16, to target: IPAddress, _ targetPort: UInt16, number: UInt32,
    hardware: [UInt8]
  ) {
    self.source = source
    self.target = target
    self.sourcePort = sourcePort
    self.targetPort = targetPort
    self.number = number
    self.hardware = hardware
  }

  /// Locally administered, nobody's.
  private static let sender: [UInt8] = [0x02, 0x70, 0x73, 0x00, 0x00, 0x01]

  package var frame: [UInt8] {
    func big(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)] }
    func big(_ value: UInt32) -> [UInt8] {
      big(UInt16(value >> 16)) + big(UInt16(truncatingIfNeeded: value))
    }
    // MSS 1460, SACK permitted, timestamps, window scale 7: as Linux sends it.
    let options: [UInt8] = [2, 4, 5, 0xb4, 4, 2, 8, 10] + big(number &* 3) + big(UInt32(0)) + [1, 3, 3, 7]
    let length = UInt16(20 + options.count)
    func segment(_ checksum: UInt16) -> [UInt8] {
      big(sourcePort) + big(targetPort) + big(number) + big(UInt32(0)) + [UInt8(length / 4) << 4, 0x02]
        + big(UInt16(64_240)) + big(checksum) + big(UInt16(0)) + options
    }
    let pseudo = source.bytes + target.bytes + big(UInt32(length)) + big(UInt32(6))
    let tcp = segment(Self.checksum(pseudo + segment(0)))
    let link = hardware + Self.sender
    guard source.isV4 else {
      return link + big(UInt16(0x86dd)) + big(UInt32(0x6000_0000)) + big(length) + [6, 60] + source.bytes + target.bytes
        + tcp
    }
    func header(_ checksum: UInt16) -> [UInt8] {
      [0x45, 0] + big(20 + length) + big(UInt16(truncatingIfNeeded: number)) + big(UInt16(0x4000)) + [60, 6]
        + big(checksum) + source.bytes + target.bytes
    }
    return link + big(UInt16(0x0800)) + header(Self.checksum(header(0))) + tcp
  }

  private static func checksum(_ bytes: [UInt8]) -> UInt16 {
    var sum = InternetChecksum()
    unsafe sum.add(bytes.span.bytes)
    return ~sum.folded
  }
}
