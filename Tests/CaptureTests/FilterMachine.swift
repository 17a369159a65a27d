import CLinux

/// A frame as the kernel shows it to a filter on a `SOCK_DGRAM` packet socket.
struct FilterFrame {
  var datagram: [UInt8]
  var isV6 = false
  var type = UInt32(PACKET_HOST)
  var interface: UInt32 = 2
  /// The VLAN tag that was taken off, priority and all.
  var vlan: UInt32?
  /// What the socket that sent it says (SO_MARK).
  var mark: UInt32 = 0
}

/// Runs classic BPF programs as the kernel's documentation (`filter.rst`) describes them.
enum FilterMachine {
  /// How much of the frame is wanted; 0 drops it. Nil for a program the kernel would refuse, and for one that reads beyond itself.
  static func run(_ program: [sock_filter], _ frame: FilterFrame) -> UInt32? {
    var a: UInt32 = 0
    var x: UInt32 = 0
    var position = 0
    while position < program.count {
      let instruction = program[position]
      position += 1
      let k = instruction.k
      switch instruction.code {
      case 0x20, 0x28, 0x30, 0x40, 0x48, 0x50:
        let indexed = instruction.code & 0xe0 == 0x40
        let size = [0x00: 4, 0x08: 2, 0x10: 1][Int(instruction.code & 0x18)]!
        guard let value = load(k, indexed ? x : 0, size, frame) else { return 0 }
        a = value
      case 0xb1:
        guard Int(k) < frame.datagram.count else { return 0 }
        x = UInt32(frame.datagram[Int(k)] & 15) * 4
      case 0x54: a &= k
      case 0x1c: a = a &- x
      case 0x24: a = a &* k
      case 0x74:
        guard k < 32 else { return nil }
        a >>= k
      case 0x04: a = a &+ k
      case 0x87: a = x
      case 0x06: return k
      case 0x16: return a
      case 0x05: position += Int(k)
      case 0x15: position += Int(a == k ? instruction.jt : instruction.jf)
      case 0x25: position += Int(a > k ? instruction.jt : instruction.jf)
      case 0x35: position += Int(a >= k ? instruction.jt : instruction.jf)
      case 0x45: position += Int(a & k != 0 ? instruction.jt : instruction.jf)
      default: return nil
      }
    }
    return nil
  }

  private static func load(_ k: UInt32, _ x: UInt32, _ size: Int, _ frame: FilterFrame) -> UInt32? {
    let ancillary = UInt32(bitPattern: SKF_AD_OFF)
    if x == 0, k >= ancillary {
      switch Int32(k - ancillary) {
      case SKF_AD_PROTOCOL: return UInt32(frame.isV6 ? ETH_P_IPV6 : ETH_P_IP)
      case SKF_AD_PKTTYPE: return frame.type
      case SKF_AD_IFINDEX: return frame.interface
      case SKF_AD_VLAN_TAG: return frame.vlan ?? 0
      case SKF_AD_MARK: return frame.mark
      case SKF_AD_VLAN_TAG_PRESENT: return frame.vlan == nil ? 0 : 1
      default: return nil
      }
    }
    let start = Int(k) + Int(x)
    guard start + size <= frame.datagram.count else { return nil }
    return frame.datagram[start..<start + size].reduce(0) { $0 << 8 | UInt32($1) }
  }

  /// What the kernel checks before it takes a program: jumps forward and inside, an end at the end, its size.
  static func isAcceptable(_ program: [sock_filter]) -> Bool {
    guard (1...4096).contains(program.count), program.last!.code == 0x06 else { return false }
    return program.indices.allSatisfy { index in
      let instruction = program[index]
      switch instruction.code {
      case 0x05: return index + 1 + Int(instruction.k) < program.count
      case 0x15, 0x25, 0x35, 0x45: return index + 1 + Int(max(instruction.jt, instruction.jf)) < program.count
      default: return true
      }
    }
  }
}
