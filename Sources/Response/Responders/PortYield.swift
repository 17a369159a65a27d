import CLinux
import Platform

/// Lets a service take a port at which the decoy has had a connection: `bind` of such a port is given SO_REUSEADDR, by a
/// small eBPF program that the kernel runs before it looks for conflicts (control group, bind).
///
/// The decoy's connections have SO_REUSEADDR from their listener, in every state down to TIME_WAIT. The kernel allows a bind
/// beside them where the other socket has it as well, which most services set and some do not. What listens is never
/// shared: two services at one port conflict as before. Only ports that had a contact, only TCP, only our own network
/// namespace. The programs are gone with our process.
///
/// Takes cgroup2, CAP_BPF, CAP_NET_ADMIN and a kernel from 6.1 on. Without it a service that does not set SO_REUSEADDR cannot bind
/// while somebody holds a connection to a decoy at that port, nor in the minute after.
package struct PortYield: ~Copyable, Sendable {
  /// Ports that had a contact; each port there is finds room.
  package static let capacity = 65_536

  private let ports: BPFMap
  /// Attached as long as they are open.
  private let v4: FileDescriptor
  private let v6: FileDescriptor

  /// Loads and attaches the programs.
  ///
  /// - Parameter socket: any socket of the network namespace that it is for.
  /// - Throws: the kernel's reason.
  package static func open(socket: Int32) throws(Errno) -> PortYield {
    let ports = try BPFMap(
      BPF_MAP_TYPE_HASH, key: 4, value: 4, entries: capacity, flags: UInt32(BPF_F_NO_PREALLOC), name: "ports")
    let root = try HandshakeGate.controlGroups()
    let code = program(ports.descriptor, namespace: try HandshakeGate.namespaceCookie(socket))
    func attached(_ place: bpf_attach_type) throws(Errno) -> FileDescriptor {
      try BPF.attach(try BPF.load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, place, code, name: "yield"), to: root, place)
    }
    return PortYield(
      ports: ports, v4: try attached(BPF_CGROUP_INET4_BIND), v6: try attached(BPF_CGROUP_INET6_BIND))
  }

  private init(ports: consuming BPFMap, v4: consuming FileDescriptor, v6: consuming FileDescriptor) {
    self.ports = ports
    self.v4 = v4
    self.v6 = v6
  }

  /// The decoy has a connection at this port.
  package func yield(_ port: UInt16) throws(Errno) {
    try ports.set(UInt32(port.bigEndian).hostBytes, Int32(1).hostBytes)
  }

  private static func program(_ ports: Int32, namespace: UInt64) -> BPFProgram {
    let key: Int16 = -4
    let one: Int16 = -8
    var code = BPFProgram()
    let end = code.label()
    code.move(.r6, .r1)
    // struct bpf_sock_addr: user_port (network order) at 24, protocol at 36.
    code.load(.word, .r1, .r6, 36)
    code.jump(.unequal, .r1, Int32(IPPROTO_TCP), to: end)
    code.load(.word, .r1, .r6, 24)
    code.jump(.equal, .r1, 0, to: end)
    code.store(.word, .stack, key, .r1)
    code.move(.r2, .stack)
    code.add(.r2, Int32(key))
    code.loadMap(.r1, ports)
    code.call(.mapLookup)
    code.jump(.equal, .r0, 0, to: end)
    code.move(.r1, .r6)
    code.call(.namespaceCookie)
    code.move(.r1, long: namespace)
    code.jump(.unequal, .r0, .r1, to: end)
    code.store(.word, .stack, one, value: 1)
    code.move(.r1, .r6)
    code.move(.r2, SOL_SOCKET)
    code.move(.r3, SO_REUSEADDR)
    code.move(.r4, .stack)
    code.add(.r4, Int32(one))
    code.move(.r5, 4)
    code.call(.setSocketOption)
    code.place(end)
    // Whatever came of it: the bind goes on.
    code.move(.r0, 1)
    code.exit()
    return code
  }
}
