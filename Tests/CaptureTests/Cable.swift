import CLinux
import Platform
import TestSupport
import Testing
import Wire

@testable import Capture

/// Two joined interfaces in a network namespace: `va`, where another host would be, and `vb`, which has addresses.
enum Cable {
  static func make() {
    shell(
      """
      ip link add va type veth peer name vb; ip addr add 192.0.2.10/24 dev vb; ip addr add 2001:db8::10/64 dev vb nodad
      ip link set va up; ip link set vb up
      """)
  }

  /// Puts a frame on the wire at `va`, as if another host had sent it to `vb`, or to all.
  static func inject(_ datagram: [UInt8], tag: [UInt8] = [], toGroup: Bool = false) throws {
    let socket = try FileDescriptor.socket(AF_PACKET, CLinux_SOCK_RAW, 0)
    var address = sockaddr_ll()
    address.sll_family = UInt16(AF_PACKET)
    address.sll_ifindex = Int32(bitPattern: unsafe if_nametoindex("va"))
    // Not /sys, which shows the namespace it was mounted in.
    let words = shell("ip -o link show dev vb").output.split(separator: " ")
    let index = try #require(words.firstIndex(of: "link/ether"))
    let mac = words[index + 1].split(separator: ":").compactMap { UInt8($0, radix: 16) }
    let type: [UInt8] = datagram[0] >> 4 == 4 ? [8, 0] : [0x86, 0xdd]
    let frame = (toGroup ? [UInt8](repeating: 0xff, count: 6) : mac) + [2, 0, 0, 0, 0, 9] + tag + type + datagram
    let raw = socket.raw
    let sent = unsafe frame.withUnsafeBytes {
      unsafe CLinux_sendto(raw, $0.baseAddress, $0.count, 0, &address, socklen_t(MemoryLayout<sockaddr_ll>.size))
    }
    try #require(sent == frame.count)
  }

  /// A packet as the sensor takes it; nil for what is none of TCP or UDP.
  static func packet(
    _ bytes: RawSpan, _ frame: PacketRing.Frame, _ decoder: inout PacketDecoder
  ) -> Packet? {
    var packet = Packet()
    packet.time = frame.time
    packet.interface = frame.interface
    packet.isOutgoing = frame.isOutgoing
    guard decoder.decode(bytes, checksumVouched: frame.checksumVouched, into: &packet) == .packet else { return nil }
    if frame.mayBeUnfinished { packet.believeUnfinished(in: bytes) }
    packet.verify(in: bytes)
    return packet
  }
}
