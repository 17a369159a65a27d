import CLinux
import Platform
import Wire

/// The ways by which strangers come to this host, as far as test packets need to know.
package struct DecoyWay: Sendable, Equatable {
  package let way: DecoySight.Way
  /// The interface on which a packet comes in: of a bridge a port.
  package let entrance: Int32
  package let isBridged: Bool
  /// The hardware address it is sent to.
  package let hardware: [UInt8]
  /// An address of ours there.
  package let address: IPAddress
  /// Where its sender is; nil for anywhere on the Internet.
  package let neighbours: IPNetwork?

  /// More are not tested.
  private static let most = 8

  private struct Link {
    var name: String
    var isUp: Bool
    var isLoopback: Bool
    var bridge: Int32
    var hardware: [UInt8]
  }

  /// Finds them: the interfaces of the default routes; where a family has none, every interface with an address of it.
  ///
  /// - Parameter reader: whom to ask; nil: a socket of its own.
  package static func discover(with reader: Owned<NetlinkSocket>? = nil) throws(Errno) -> [DecoyWay] {
    let reader = try NetlinkSocket.reader(reader)
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    let links = try links(&reader.value, &buffer)
    var outward: (v4: Set<Int32>, v6: Set<Int32>) = ([], [])
    try reader.value.dumpRoutes(rtmsg(), buffer: &buffer) { route, parts in
      // A VPN client writes its default route in two halves.
      guard Int(route.rtm_type) == Int(RTN_UNICAST), route.rtm_dst_len <= 1 else { return }
      let interfaces = Self.interfaces(parts)
      if Int32(route.rtm_family) == AF_INET {
        outward.v4.formUnion(interfaces)
      } else {
        outward.v6.formUnion(interfaces)
      }
    }
    var result: [DecoyWay] = []
    for (index, address) in try addresses(&reader.value, &buffer) {
      guard let link = links[index], link.isUp, !link.isLoopback else { continue }
      let isV4 = address.host.isV4
      let routes = isV4 ? outward.v4 : outward.v6
      if !routes.isEmpty, !routes.contains(index) { continue }
      let way = DecoySight.Way(link.name, isV4: isV4)
      if result.count >= most || result.contains(where: { $0.way == way }) { continue }
      let port = links.filter { $0.value.bridge == index && $0.value.isUp }.keys.min()
      result.append(
        DecoyWay(
          way: way, entrance: port ?? index, isBridged: port != nil, hardware: link.hardware, address: address.host,
          neighbours: routes.isEmpty ? address.network : nil))
    }
    return result
  }

  /// The bridges whose packets br_netfilter shows to rules before their time.
  package static func filteredBridges(with reader: Owned<NetlinkSocket>? = nil) -> [String] {
    let settings = ["iptables", "ip6tables"].map { "/proc/sys/net/bridge/bridge-nf-call-\($0)" }
    guard settings.contains(where: { (try? Files.read($0, limit: 16))?.first == UInt8(ascii: "1") }) else { return [] }
    do throws(Errno) {
      let reader = try NetlinkSocket.reader(reader)
      var buffer = [UInt8](repeating: 0, count: 1 << 16)
      let links = try links(&reader.value, &buffer)
      // More than 64 would be as many rules for each packet.
      return Array(Set(links.values.map(\.bridge)).compactMap { links[$0]?.name }.sorted().prefix(64))
    } catch {
      return []
    }
  }

  private static func interfaces(_ parts: [Int32: ArraySlice<UInt8>]) -> Set<Int32> {
    var result = Set(rtmsg.nextHops(parts).map(\.interface))
    if let index = parts[Int32(RTA_OIF.rawValue)]?.value(at: 0, as: Int32.self) { result.insert(index) }
    return result
  }

  private static func links(
    _ socket: inout NetlinkSocket, _ buffer: inout [UInt8]
  ) throws(Errno) -> [Int32: Link] {
    var result: [Int32: Link] = [:]
    try socket.dump(Int(RTM_GETLINK), ifinfomsg(), buffer: &buffer) { reply in
      guard reply.type == UInt16(RTM_NEWLINK), let info = reply.fixed(ifinfomsg.self) else { return }
      let parts = reply.attributes(after: MemoryLayout<ifinfomsg>.size)
      let details = parts[Int32(IFLA_LINKINFO)].map(NetlinkReply.attributes(in:)) ?? [:]
      let isBridgePort = details[Int32(IFLA_INFO_SLAVE_KIND)]?.text == "bridge"
      let hardware = parts[Int32(IFLA_ADDRESS)].map(Array.init) ?? []
      result[info.ifi_index] = Link(
        name: parts[Int32(IFLA_IFNAME)]?.text ?? "", isUp: info.ifi_flags & UInt32(IFF_UP) != 0,
        isLoopback: info.ifi_flags & UInt32(IFF_LOOPBACK) != 0,
        bridge: isBridgePort ? parts[Int32(IFLA_MASTER)]?.value(at: 0, as: Int32.self) ?? 0 : 0,
        // A tunnel has none, and takes the header off again.
        hardware: hardware.count == 6 ? hardware : [UInt8](repeating: 0, count: 6))
    }
    return result
  }

  private static func addresses(
    _ socket: inout NetlinkSocket, _ buffer: inout [UInt8]
  ) throws(Errno) -> [(index: Int32, address: (host: IPAddress, network: IPNetwork))] {
    var result: [(index: Int32, address: (host: IPAddress, network: IPNetwork))] = []
    try socket.dump(Int(RTM_GETADDR), ifaddrmsg(), buffer: &buffer) { reply in
      guard reply.type == UInt16(RTM_NEWADDR), let info = reply.fixed(ifaddrmsg.self),
        Int(info.ifa_scope) == Int(RT_SCOPE_UNIVERSE.rawValue)
      else { return }
      let parts = reply.attributes(after: MemoryLayout<ifaddrmsg>.size)
      // On a point-to-point link IFA_ADDRESS is the other side.
      guard let own = (parts[IFA_LOCAL] ?? parts[IFA_ADDRESS]).flatMap({ IPAddress(bytes: $0) }),
        let other = parts[IFA_ADDRESS].flatMap({ IPAddress(bytes: $0) }),
        let network = IPNetwork(other, length: Int(info.ifa_prefixlen))
      else { return }
      result.append((Int32(info.ifa_index), (own, network)))
    }
    return result
  }
}
