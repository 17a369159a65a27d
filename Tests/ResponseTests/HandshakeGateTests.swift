import CLinux
import Platform
import Response
import TestSupport
import Testing
import Wire

@Suite("The gate before a block", .serialized, .enabled(if: NetworkNamespace.isPossible, "\(NetworkNamespace.skipped)"))
struct HandshakeGateTests {
  /// A listener on loopback.
  private struct Listener: ~Copyable {
    let file: FileDescriptor
    let port: UInt16
  }

  private func listener() throws -> Listener {
    let file = try FileDescriptor.socket(AF_INET, CLinux_SOCK_STREAM, 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    try check("bind") { unsafe CLinux_bind(file.raw, &address, length) }
    try check("listen") { listen(file.raw, 8) }
    try check("getsockname") { unsafe CLinux_getsockname(file.raw, &address, &length) }
    return Listener(file: file, port: UInt16(bigEndian: address.sin_port))
  }

  /// Whether a connection from `source` is complete in time.
  private func connects(to port: UInt16, from source: UInt32 = 0x7f00_0003, milliseconds: Int32) throws -> Bool {
    let file = try FileDescriptor.socket(AF_INET, CLinux_SOCK_STREAM | CLinux_SOCK_NONBLOCK, 0)
    var own = sockaddr_in()
    own.sin_family = sa_family_t(AF_INET)
    own.sin_addr.s_addr = source.bigEndian
    var other = own
    other.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    other.sin_port = port.bigEndian
    let length = socklen_t(MemoryLayout<sockaddr_in>.size)
    try check("bind") { unsafe CLinux_bind(file.raw, &own, length) }
    if unsafe CLinux_connect(file.raw, &other, length) == 0 { return true }
    var waiting = pollfd(fd: file.raw, events: Int16(POLLOUT), revents: 0)
    return unsafe poll(&waiting, 1, milliseconds) == 1 && waiting.revents & Int16(POLLERR) == 0
  }

  private func expect(
    _ isReached: Bool, _ port: UInt16, from source: UInt32 = 0x7f00_0003, _ comment: Comment? = nil
  ) throws {
    let connected = try connects(to: port, from: source, milliseconds: isReached ? 10_000 : 250)
    #expect(connected == isReached, comment)
  }

  @Test("whoever completes a handshake with a decoy reaches nothing more, until he is let go")
  func closes() throws {
    try inNamespace {
      let decoy = try listener()
      let service = try listener()
      var gate = try HandshakeGate.open(listeners: [decoy.file.raw])
      let peer = IPAddress("127.0.0.3")!
      try expect(true, decoy.port)
      let held1 = gate.holds(peer)
      #expect(!held1, "a contact of somebody who is not wanted")
      let attached1 = gate.isAttached
      #expect(!attached1, "nobody is wanted: no packet pays")
      try gate.catchesAll(true)
      try expect(true, service.port)
      let held2 = gate.holds(peer)
      #expect(!held2, "a service is no decoy")
      try expect(true, decoy.port)
      let held3 = gate.holds(peer)
      #expect(held3)
      try expect(false, service.port)
      try expect(true, service.port, from: 0x7f00_0002, "only this peer")
      try gate.release(peer)
      let held4 = gate.holds(peer)
      #expect(!held4)
      try gate.catchesAll(false)
      let attached2 = gate.isAttached
      #expect(!attached2)
      try expect(true, service.port)
    }
  }

  @Test("where one contact is no verdict, only the wanted are caught, and for two seconds at most")
  func wanted() throws {
    try inNamespace {
      let decoy = try listener()
      let service = try listener()
      var gate = try HandshakeGate.open(listeners: [decoy.file.raw])
      let peer = IPAddress("127.0.0.3")!
      try gate.want(peer)
      try expect(true, decoy.port)
      let held5 = gate.holds(peer)
      #expect(held5)
      try expect(false, service.port)
      usleep(2_000_000)
      try expect(true, service.port, "nobody was there to release it")
      let attached1 = gate.isAttached
      try gate.release(peer)
      try gate.rest()
      let attached2 = gate.isAttached
      #expect(attached1 && !attached2)
    }
  }

  @Test("the gate is open as soon as it is gone")
  func ends() throws {
    try inNamespace {
      let decoy = try listener()
      let service = try listener()
      do {
        var gate = try HandshakeGate.open(listeners: [decoy.file.raw])
        try gate.catchesAll(true)
        try expect(true, decoy.port)
        try expect(false, service.port)
        _ = consume gate
      }
      // A child that another test starts at this moment may hold its descriptors until it has become another program.
      var isOpen = false
      for _ in 0..<4 where !isOpen { isOpen = try connects(to: service.port, milliseconds: 250) }
      #expect(isOpen)
    }
  }

  @Test("other namespaces of the host are left alone where the kernel can tell")
  func isScoped() throws {
    try inNamespace {
      let decoy = try listener()
      var gate = try HandshakeGate.open(listeners: [decoy.file.raw])
      try gate.catchesAll(true)
      try expect(true, decoy.port)
      let held6 = gate.holds(IPAddress("127.0.0.3")!)
      #expect(held6)
      try inNamespace {
        let service = try listener()
        try expect(gate.isScoped, service.port)
      }
    }
  }
}
