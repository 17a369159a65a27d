import CLinux
import Platform
import Wire

/// Shuts sources out by a route to nowhere: our answers do not reach them. Their packets still reach us, unless the
/// kernel checks the way back (`rp_filter`), so nftables is better. The routes have no expiry of their own.
///
/// Owned by one thread. Only routes that bear our protocol number are ever listed or removed.
package struct RouteTable: ~Copyable {
  /// What becomes of our packets to a blocked source.
  package enum Kind: Sendable {
    /// They vanish.
    case blackhole
    /// Local programs get "no route to host": what `route add -host X reject` does.
    case unreachable

    fileprivate var type: UInt8 { UInt8(self == .blackhole ? RTN_BLACKHOLE : RTN_UNREACHABLE) }
  }

  /// Who made the route (`rtm_protocol`; `ip route` shows `proto 115`). 115 is `s`, and in no list of
  /// iproute2's rt_protos or of FRR, BIRD, OVN, systemd.
  package static let `protocol`: UInt8 = 115

  /// Smaller wins. IPv4's best is 0. IPv6 reads 0 as 1024, so the best there is 1; the kernel's own have 256.
  private static func metric(_ network: IPNetwork) -> UInt32 { network.isV4 ? 0 : 1 }

  private var socket: NetlinkSocket
  private var buffer = [UInt8](repeating: 0, count: 1 << 16)

  /// Opens the socket; touches no route.
  package init() throws(ResponderError) {
    do throws(Errno) { socket = try NetlinkSocket(NETLINK_ROUTE, changes: true) } catch { throw .failed(error) }
    // From Linux 4.20 on the kernel itself leaves out of a dump what is not ours: a router may hold a million routes.
    try? socket.file.setOption(NetlinkSocket.SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
    try? socket.file.setOption(NetlinkSocket.SOL_NETLINK, NETLINK_CAP_ACK, 1)
  }

  /// Adds the route; one of ours that is there is fine, whatever its kind.
  ///
  /// - Throws: `.unacceptable` when a route that is not ours has this very prefix and the best metric; `.notPermitted`.
  package mutating func add(_ network: IPNetwork, _ kind: Kind = .blackhole) throws(ResponderError) {
    do throws(Errno) {
      try change(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, network, type: kind.type, scope: RT_SCOPE_UNIVERSE)
    } catch {
      guard error.code == EEXIST else { throw typed(error) }
      if try !list().contains(network) {
        throw .unacceptable("a route to \(network) is there already and is not ours: remove it, or block by nftables")
      }
    }
  }

  /// Removes our route; one that is not there is fine.
  package mutating func remove(_ network: IPNetwork) throws(ResponderError) {
    do throws(Errno) {
      try change(RTM_DELROUTE, 0, network, type: UInt8(RTN_UNSPEC), scope: RT_SCOPE_NOWHERE)
    } catch {
      if ![ESRCH, ENOENT].contains(error.code) { throw typed(error) }
    }
  }

  /// The networks to which we made a route.
  package mutating func list() throws(ResponderError) -> Set<IPNetwork> {
    var result: Set<IPNetwork> = []
    for family in [AF_INET, AF_INET6] {
      var request = rtmsg()
      request.rtm_family = UInt8(family)
      request.rtm_protocol = Self.protocol
      do throws(Errno) {
        try dump(request) { route, parts in
          guard route.rtm_protocol == Self.protocol,
            [UInt8(RTN_BLACKHOLE), UInt8(RTN_UNREACHABLE)].contains(route.rtm_type)
          else { return }
          if let network = route.destination(parts) { result.insert(network) }
        }
      } catch {
        // IPv6 may be switched off.
        if ![EAFNOSUPPORT, EOPNOTSUPP].contains(error.code) { throw typed(error) }
      }
    }
    return result
  }

  private mutating func change(
    _ kind: Int, _ flags: Int32, _ network: IPNetwork, type: UInt8, scope: rt_scope_t
  ) throws(Errno) {
    var route = rtmsg()
    route.rtm_family = UInt8(network.isV4 ? AF_INET : AF_INET6)
    route.rtm_dst_len = UInt8(network.length)
    route.rtm_table = UInt8(RT_TABLE_MAIN.rawValue)
    route.rtm_protocol = Self.protocol
    route.rtm_scope = UInt8(scope.rawValue)
    route.rtm_type = type
    let sequence = socket.nextSequence()
    var message = NetlinkMessage()
    message.begin(UInt16(kind), flags: NLM_F_REQUEST | NLM_F_ACK | flags, sequence: sequence, fixed: route)
    message.put(RTA_DST, bytes: network.address.bytes)
    message.put(RTA_PRIORITY, Self.metric(network))
    message.end()
    do throws(Errno) {
      try socket.request(message, sequence: sequence, buffer: &buffer) { _ in }
    } catch {
      throw Errno(error.code, "route", network.description)
    }
  }

  /// Lends each route that the kernel tells for `request`.
  private mutating func dump(
    _ request: rtmsg, _ body: (rtmsg, [Int32: ArraySlice<UInt8>]) -> Void
  ) throws(Errno) {
    try socket.dumpRoutes(request, buffer: &buffer, body)
  }

  private func typed(_ error: Errno) -> ResponderError {
    [EPERM, EACCES].contains(error.code) ? .notPermitted("the routing table") : .failed(error)
  }
}

extension NetlinkSocket {
  /// Lends each route that the kernel tells for `request`.
  mutating func dumpRoutes(
    _ request: rtmsg, buffer: inout [UInt8], _ body: (rtmsg, [Int32: ArraySlice<UInt8>]) -> Void
  ) throws(Errno) {
    try dump(Int(RTM_GETROUTE), request, buffer: &buffer) { reply in
      guard reply.type == UInt16(RTM_NEWROUTE), let route = reply.fixed(rtmsg.self) else { return }
      body(route, reply.attributes(after: MemoryLayout<rtmsg>.size))
    }
  }
}

extension rtmsg {
  /// The next hops of a route that has several.
  static func nextHops(_ parts: [Int32: ArraySlice<UInt8>]) -> [(interface: Int32, attributes: ArraySlice<UInt8>)] {
    var result: [(interface: Int32, attributes: ArraySlice<UInt8>)] = []
    var hops = parts[RTA_MULTIPATH] ?? []
    while let hop = hops.value(at: 0, as: rtnexthop.self), hop.rtnh_len >= 8, Int(hop.rtnh_len) <= hops.count {
      result.append((hop.rtnh_ifindex, hops.prefix(Int(hop.rtnh_len)).dropFirst(8)))
      hops = hops.dropFirst((Int(hop.rtnh_len) + 3) & ~3)
    }
    return result
  }

  /// The network a route leads to; a default route has no address in it.
  func destination(_ parts: [Int32: ArraySlice<UInt8>]) -> IPNetwork? {
    let none = Int32(rtm_family) == AF_INET ? IPAddress.unspecifiedV4 : .unspecified
    guard let address = parts[RTA_DST].map({ IPAddress(bytes: $0) }) ?? none else { return nil }
    return IPNetwork(address, length: Int(rtm_dst_len))
  }
}
