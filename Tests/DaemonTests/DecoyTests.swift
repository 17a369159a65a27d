import CLinux
import Platform
@testable import Response
import TestSupport
import Testing
import Wire

@testable import Daemon

/// The listeners behind all decoys, without the rules that lead to them: those are tried by the system tests.
@Suite(.enabled(if: NetworkNamespace.isPossible, "\(NetworkNamespace.skipped)"))
struct DecoyTests {
  private func withDecoy(_ body: (consuming Decoy, DecoyLink, borrowing BoundedQueue<Contact>.Consumer) throws -> Void)
    throws
  {
    try inNamespace {
      let queue = BoundedQueue<Contact>(capacity: 16)
      let link = try DecoyLink()
      try body(
        try Decoy.open(
          contacts: queue.makeProducer(), browsers: BoundedQueue<DecoyWord>(capacity: 8).makeProducer(), link: link,
          sentry: try SensorLink()), link, queue.makeConsumer()
      )
    }
  }

  /// Whether a connection to a port on loopback is taken.
  private func connects(_ port: UInt16, _ body: (Int32) -> Void = { _ in }) -> Bool {
    guard let file = try? FileDescriptor.socket(AF_INET, CLinux_SOCK_STREAM, 0) else { return false }
    var timeout = timeval(tv_sec: 20, tv_usec: 0)
    unsafe setsockopt(file.raw, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    guard unsafe CLinux_connect(file.raw, &address, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0 else {
      return false
    }
    body(file.raw)
    return true
  }

  private func isOpen(_ fd: Int32) -> Bool {
    var type: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    return unsafe getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0
  }

  @Test func `A group of listeners stands behind one port a family, and all of it goes with the decoy`() throws {
    try withDecoy { decoy, _, _ in
      let members = min(DecoyQueue.listeners(), DecoyQueue.few)
      let listeners = decoy.group.listeners
      #expect(listeners.count == 2 * members)
      let (v4, v6) = (decoy.v4, decoy.v6)
      let doors = [try #require(v4), try #require(v6)]
      #expect(doors.allSatisfy { $0.tcp != 0 && $0.udp != 0 })
      #expect(connects(doors[0].tcp))
      _ = consume decoy
      #expect(!connects(doors[0].tcp))
    }
  }

  @Test func `More listeners are added beside those in use, prepared before anything comes to them`() throws {
    try withDecoy { decoy, _, _ in
      var group: DecoyGroup = decoy.group
      let before = group.listeners
      var prepared: [Int32] = []
      try group.lengthen(to: before.count / 2 + 3) { fresh throws(Errno) in
        #expect(fresh.count == 3)
        prepared += fresh
      }
      #expect(group.isLong && group.listeners == before + prepared && prepared.count == 6)
      let door = decoy.v4
      let port = try #require(door).tcp
      for _ in 0..<20 { #expect(connects(port)) }
      group.close()
      #expect(prepared.allSatisfy { !isOpen($0) } && before.allSatisfy(isOpen))
      #expect(connects(port), "those of before are the decoy's")
    }
  }

  @Test func `A program of this host that finds the listener is no contact, and the thread ends when told`() throws {
    try withDecoy { decoy, link, contacts in
      let door = decoy.v4
      let port = try #require(door).tcp
      let handover = Handover(decoy)
      let thread = try Thread.start(name: "decoy") { handover.take()?.run() }
      var heard = -1
      let isTaken = connects(port) { fd in
        var byte: UInt8 = 0
        heard = unsafe recv(fd, &byte, 1, 0)
      }
      #expect(isTaken && heard == 0, "let go without a word")
      link.drop(IPNetwork("203.0.113.7")!)
      link.update { $0.isStopping = true }
      thread.join()
      #expect(link.shared.withLock { $0.statistics.completed } == 0)
      #expect(contacts.count == 0)
      #expect(!connects(port))
    }
  }

  @Test func `Of sources to let go not more than a thousand wait`() throws {
    let link = try DecoyLink()
    for number in 0..<1_100 as Range<UInt32> { link.drop(IPNetwork(IPAddress(v4: number))) }
    #expect(link.shared.withLock { $0.dropped.count } == 1_000)
  }
}

@Suite struct HandoverTests {
  @Test func `A value is handed over once`() throws {
    let handover = Handover(try FileDescriptor.open("/dev/null", O_RDONLY))
    var given = 0
    for _ in 0..<2 {
      if let file = handover.take() {
        given += 1
        _ = consume file
      }
    }
    #expect(given == 1)
  }
}
