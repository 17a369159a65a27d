import CLinux
import Detection
import Platform
import Wire

/// The kernel's own answer to "does anything serve this packet", by netlink (`sock_diag(7)`). No port is opened to
/// find out.
package struct SocketTable: ~Copyable {
  private var netlink: NetlinkSocket
  private var buffer = [UInt8](repeating: 0, count: 1 << 16)
  /// Look-ups the kernel refused; then a packet is taken as served, since accusing needs knowledge.
  package private(set) var failures: UInt64 = 0

  package init() throws(Errno) { netlink = try NetlinkSocket(NETLINK_SOCK_DIAG) }

  /// What the kernel has for a packet.
  private enum Found {
    case nothing
    /// A socket, in one of the states of `tcp(7)`.
    case socket(state: UInt8)
    /// It would not tell.
    case unknown
  }

  /// Whether the kernel would hand `packet` to a socket: a connection, a listener, or a bound UDP socket, on that
  /// address and interface.
  ///
  /// A segment without ACK is no connection's, so only listeners are asked for. Our own decoy would otherwise pass for a
  /// service: it has answered by now, and the connection it has half open is on the port that the segment names.
  package mutating func serves(_ packet: Packet) -> Bool {
    if case .nothing = find(
      packet.transport, packet.source, packet.sourcePort, packet.target, packet.targetPort, packet.interface,
      listenersOnly: packet.transport == .tcp && !packet.flags.contains(.ack))
    {
      return false
    }
    return true
  }

  /// The same for what a detector asks about: a SYN or a datagram.
  package mutating func serves(_ question: Detector.Question) -> Bool {
    if case .nothing = find(
      question.transport, question.source, question.sourcePort, question.target, question.targetPort,
      question.interface, listenersOnly: question.transport == .tcp)
    {
      return false
    }
    return true
  }

  /// Whether a TCP connection exists, or existed a moment ago; a handshake that nobody has completed is none. When the kernel
  /// does not tell, there is one.
  package mutating func hasConnection(
    from source: IPAddress, _ sourcePort: UInt16, to target: IPAddress, _ targetPort: UInt16
  ) -> Bool {
    switch find(.tcp, source, sourcePort, target, targetPort, 0) {
    case .nothing: false
    case .unknown: true
    // 12 is TCP_NEW_SYN_RECV, which the kernel shows to nobody but here.
    case .socket(let state): ![UInt8(TCP_LISTEN), UInt8(TCP_SYN_RECV), 12].contains(state)
    }
  }

  private mutating func find(
    _ transport: TransportProtocol, _ source: IPAddress, _ sourcePort: UInt16, _ target: IPAddress,
    _ targetPort: UInt16, _ interface: Int32, listenersOnly: Bool = false
  ) -> Found {
    let sequence = netlink.nextSequence()
    var request = inet_diag_req_v2()
    request.sdiag_family = UInt8(target.isV4 ? AF_INET : AF_INET6)
    request.sdiag_protocol = transport.rawValue
    request.idiag_states = .max
    request.id.idiag_if = UInt32(bitPattern: interface)
    request.id.idiag_cookie = (.max, .max)
    let local = (Self.words(target), targetPort.bigEndian)
    let remote = listenersOnly ? ((0, 0, 0, 0), 0) : (Self.words(source), sourcePort.bigEndian)
    // For UDP the kernel reads source and destination as the packet has them; for TCP as the socket has them.
    (request.id.idiag_src, request.id.idiag_sport) = transport == .tcp ? local : remote
    (request.id.idiag_dst, request.id.idiag_dport) = transport == .tcp ? remote : local
    var message = NetlinkMessage()
    message.begin(Self.SOCK_DIAG_BY_FAMILY, flags: NLM_F_REQUEST, sequence: sequence, fixed: request)
    message.end()
    do throws(Errno) {
      try netlink.send(message)
      var answer: Found?
      while answer == nil {
        _ = try netlink.receive(buffer: &buffer) { reply in
          guard reply.sequence == sequence else { return }
          if reply.type == UInt16(NLMSG_ERROR) {
            let code = -(reply.fixed(Int32.self) ?? 0)
            if code != ENOENT { failures += 1 }
            answer = code == ENOENT ? .nothing : .unknown
          } else {
            answer = reply.fixed(inet_diag_msg.self).map { .socket(state: $0.idiag_state) } ?? .unknown
          }
        }
      }
      return answer ?? .unknown
    } catch {
      failures += 1
      return .unknown
    }
  }

  private static let SOCK_DIAG_BY_FAMILY: UInt16 = 20

  private static func words(_ address: IPAddress) -> (UInt32, UInt32, UInt32, UInt32) {
    if address.isV4 { return (address.v4Bits.bigEndian, 0, 0, 0) }
    return (
      UInt32(truncatingIfNeeded: address.high >> 32).bigEndian, UInt32(truncatingIfNeeded: address.high).bigEndian,
      UInt32(truncatingIfNeeded: address.low >> 32).bigEndian, UInt32(truncatingIfNeeded: address.low).bigEndian
    )
  }

  private static func address(_ words: (UInt32, UInt32, UInt32, UInt32), _ family: UInt8) -> IPAddress {
    if family == UInt8(AF_INET) { return IPAddress(v4: UInt32(bigEndian: words.0)) }
    return IPAddress(
      high: UInt64(UInt32(bigEndian: words.0)) << 32 | UInt64(UInt32(bigEndian: words.1)),
      low: UInt64(UInt32(bigEndian: words.2)) << 32 | UInt64(UInt32(bigEndian: words.3)))
  }

  /// Where the kernel lists its SCTP endpoints, if it knows the protocol at all: the local port is in the column LPORT.
  private static let sctpEndpoints = "/proc/net/sctp/eps"

  /// Lists TCP listeners, all UDP sockets and SCTP endpoints into `exposure`.
  package mutating func readServices(into exposure: inout Exposure) throws(Errno) {
    exposure.removeServices()
    readSCTP(into: &exposure)
    for transport in TransportProtocol.allCases {
      for family in [AF_INET, AF_INET6] {
        let states: UInt32 = transport == .tcp ? 1 << UInt32(TCP_LISTEN) : .max
        var found: [(message: inet_diag_msg, v6Only: Bool)] = []
        try dump(family, transport, states: states) { message, attributes in
          found.append((message, attributes[Int32(INET_DIAG_SKV6ONLY)]?.first == 1))
        }
        for (message, v6Only) in found {
          let port = UInt16(bigEndian: message.id.idiag_sport)
          let address = Self.address(message.id.idiag_src, message.idiag_family)
          if address == .unspecifiedV4 {
            exposure.serveEverywhere(transport, port, v4: true, v6: false)
          } else if address == .unspecified {
            exposure.serveEverywhere(transport, port, v4: !v6Only, v6: true)
          } else {
            exposure.serve(Endpoint(transport, address, port))
          }
        }
      }
    }
  }

  private func readSCTP(into exposure: inout Exposure) {
    guard let bytes = try? Files.read(Self.sctpEndpoints, limit: 1 << 20) else { return }
    let lines = bytes.split(separator: 0x0a).map {
      $0.split(separator: 0x20).map { String(decoding: $0, as: UTF8.self) }
    }
    guard let column = lines.first?.firstIndex(of: "LPORT") else { return }
    for line in lines.dropFirst() where line.count > column {
      if let port = UInt16(line[column]) { exposure.learnSCTP(port) }
    }
  }

  /// Lists the TCP connections there are: local port and peer.
  package mutating func connections() throws(Errno) -> [(localPort: UInt16, peer: IPAddress)] {
    var result: [(localPort: UInt16, peer: IPAddress)] = []
    for family in [AF_INET, AF_INET6] {
      // All states but LISTEN and CLOSE.
      let states: UInt32 = ~(1 << UInt32(TCP_LISTEN) | 1 << UInt32(TCP_CLOSE))
      try dump(family, .tcp, states: states) { message, _ in
        result.append(
          (UInt16(bigEndian: message.id.idiag_sport), Self.address(message.id.idiag_dst, message.idiag_family)))
      }
    }
    return result
  }

  /// The peers of established connections in which both sides have said something.
  package struct Peers: Sendable, Equatable {
    /// Of ports that something here listens on: whom we serve at this moment.
    package var served: Set<IPAddress> = []
    /// Of other ports: whom we have asked ourselves, or whose listener has gone.
    package var asked: Set<IPAddress> = []

    package init() {}
  }

  /// Who is in conversation with this host over TCP. A scanner's connection says nothing, and a decoy's is transparent.
  ///
  /// - Parameter traps: ports whose listeners are ours, for scanners to find.
  package mutating func establishedPeers(except traps: PortSet) throws(Errno) -> Peers {
    var exposure = Exposure()
    try readServices(into: &exposure)
    let listening = exposure.servedAnywhere(.tcp)
    let services = listening.subtracting(traps)
    var result = Peers()
    for family in [AF_INET, AF_INET6] {
      try dump(family, .tcp, states: 1 << UInt32(TCP_ESTABLISHED), wanting: INET_DIAG_INFO) { message, attributes in
        // tcpi_bytes_acked and tcpi_bytes_received, 64 bits each at 120 of `tcp_info`; kernels before 4.1 have neither.
        let info = attributes[Int32(INET_DIAG_INFO)] ?? []
        guard info.value(at: 120, as: UInt64.self) ?? 1 > 0, info.value(at: 128, as: UInt64.self) ?? 1 > 0 else {
          return
        }
        let port = UInt16(bigEndian: message.id.idiag_sport)
        let peer = Self.address(message.id.idiag_dst, message.idiag_family)
        if services.contains(port) {
          result.served.insert(peer)
        } else if !listening.contains(port), let options = attributes[Int32(INET_DIAG_SOCKOPT)]?.first,
          options & Self.isTransparent == 0
        {
          result.asked.insert(peer)
        }
      }
    }
    return result
  }

  /// `transparent` in the first byte of `struct inet_diag_sockopt` (5.10; without it nobody counts as asked). It is a bit field.
  private static let isTransparent: UInt8 = UInt16(1).littleEndian == 1 ? 0x20 : 0x04

  /// Whom programs of this host ask over UDP, by connected sockets to these ports.
  package mutating func askedPeers(ports: Set<UInt16>) throws(Errno) -> [(peer: IPAddress, port: UInt16)] {
    var result: [(peer: IPAddress, port: UInt16)] = []
    for family in [AF_INET, AF_INET6] {
      try dump(family, .udp, states: 1 << UInt32(TCP_ESTABLISHED)) { message, _ in
        let port = UInt16(bigEndian: message.id.idiag_dport)
        if ports.contains(port) { result.append((Self.address(message.id.idiag_dst, message.idiag_family), port)) }
      }
    }
    return result
  }

  private mutating func dump(
    _ family: Int32, _ transport: TransportProtocol, states: UInt32, wanting extension: Int = 0,
    _ body: (inet_diag_msg, [Int32: ArraySlice<UInt8>]) -> Void
  ) throws(Errno) {
    var request = inet_diag_req_v2()
    request.sdiag_family = UInt8(family)
    request.sdiag_protocol = transport.rawValue
    if `extension` > 0 { request.idiag_ext = 1 << UInt8(`extension` - 1) }
    request.idiag_states = states
    request.id.idiag_cookie = (.max, .max)
    try netlink.dump(Int(Self.SOCK_DIAG_BY_FAMILY), request, buffer: &buffer) { reply in
      guard let found = reply.fixed(inet_diag_msg.self) else { return }
      body(found, reply.attributes(after: MemoryLayout<inet_diag_msg>.size))
    }
  }
}

/// Says when a listener or an unconnected UDP socket has gone, so that its port is watched again at once.
///
/// The kernel announces every socket it destroys; a filter on our end keeps those of connections away.
package struct SocketMonitor: ~Copyable {
  private let netlink: NetlinkSocket
  private var buffer = [UInt8](repeating: 0, count: 1 << 14)

  /// - Throws: `EPERM` or `ENOENT` where the kernel or our rights do not allow it; then poll.
  package init() throws(Errno) {
    // SKNLGRP_INET_TCP_DESTROY, _UDP_, INET6_TCP_, INET6_UDP_ (linux/sock_diag.h).
    let netlink = try NetlinkSocket(NETLINK_SOCK_DIAG, groups: [1, 2, 3, 4])
    // idiag_dport, two bytes at 16 (header) + 4 (family, state, timer, retrans) + 2 (sport), is 0 for a socket without peer.
    try netlink.file.attach([
      sock_filter(code: 0x28, jt: 0, jf: 0, k: 22),
      sock_filter(code: 0x15, jt: 0, jf: 1, k: 0),
      sock_filter(code: 0x06, jt: 0, jf: 0, k: 0xffff),
      sock_filter(code: 0x06, jt: 0, jf: 0, k: 0),
    ])
    self.netlink = netlink
  }

  package var descriptor: Int32 { netlink.file.raw }

  /// Takes all notices.
  ///
  /// - Parameter matters: whether anybody cares that a socket on this local port has gone. Clients on ports of the moment
  ///   come and go by the thousand.
  /// - Returns: true when one matters, or when some were lost.
  package mutating func drain(_ matters: (UInt16) -> Bool) -> Bool {
    var changed = false
    while true {
      do throws(Errno) {
        let more = try netlink.receive(wait: false, buffer: &buffer) { reply in
          guard !changed, let socket = reply.fixed(inet_diag_msg.self) else { return }
          changed = matters(UInt16(bigEndian: socket.id.idiag_sport))
        }
        if !more { return changed }
      } catch {
        if error.code != ENOBUFS { return changed }
        changed = true
      }
    }
  }
}
