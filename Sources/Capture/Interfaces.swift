import CLinux
import Platform
import Wire

/// A network interface as the kernel lists it.
package struct Interface: Sendable, Equatable {
  package let index: Int32
  package let name: String
  package let isUp: Bool
  package let isLoopback: Bool
  /// The index of the bridge, bond or team it is a port of; 0 for none. Its packets are seen once more there.
  package let master: Int32
  /// Whether its frames begin with an Ethernet header, as those of tunnels do not.
  package let hasEthernetHeader: Bool
}

/// The kernel's list of interfaces and of what is local, and news of changes (`rtnetlink(7)`).
package struct Interfaces: ~Copyable {
  private var netlink: NetlinkSocket
  private let monitor: NetlinkSocket
  private var buffer = [UInt8](repeating: 0, count: 1 << 16)

  package init() throws(Errno) {
    let netlink = try NetlinkSocket(NETLINK_ROUTE)
    // Ask for one table only, where the kernel can (4.20 and later).
    try? netlink.file.setOption(NetlinkSocket.SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
    monitor = try NetlinkSocket(
      NETLINK_ROUTE,
      groups: [
        Int32(RTNLGRP_LINK.rawValue), Int32(RTNLGRP_IPV4_IFADDR.rawValue), Int32(RTNLGRP_IPV6_IFADDR.rawValue),
      ])
    self.netlink = netlink
  }

  /// Readable when links or addresses have changed.
  package var descriptor: Int32 { monitor.file.raw }

  /// Takes all notices; true when there were any, or when some were lost.
  package mutating func drain() -> Bool {
    var changed = false
    while true {
      do throws(Errno) {
        guard try monitor.receive(wait: false, buffer: &buffer, { _ in }) else { return changed }
        changed = true
      } catch {
        if error.code != ENOBUFS { return changed }
        changed = true
      }
    }
  }

  package mutating func list() throws(Errno) -> [Interface] {
    var result: [Interface] = []
    try netlink.dump(Int(RTM_GETLINK), ifinfomsg(), buffer: &buffer) { reply in
      guard let info = reply.fixed(ifinfomsg.self) else { return }
      let attributes = reply.attributes(after: MemoryLayout<ifinfomsg>.size)
      let name = attributes[Int32(IFLA_IFNAME)].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      let master = attributes[Int32(IFLA_MASTER)]?.value(at: 0, as: Int32.self) ?? 0
      // IFLA_INFO_SLAVE_KIND says whose port it is; a VRF shows packets on its members only.
      let link = attributes[Int32(IFLA_LINKINFO)].map(NetlinkReply.attributes(in:)) ?? [:]
      let kind = link[Int32(IFLA_INFO_SLAVE_KIND)].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      result.append(
        Interface(
          index: info.ifi_index, name: name ?? "", isUp: info.ifi_flags & UInt32(IFF_UP) != 0,
          isLoopback: info.ifi_flags & UInt32(IFF_LOOPBACK) != 0, master: kind == "vrf" ? 0 : master,
          hasEthernetHeader: info.ifi_type == UInt16(ARPHRD_ETHER) || info.ifi_type == UInt16(ARPHRD_LOOPBACK)))
    }
    return result
  }

  /// Every address and network the kernel takes as its own: the unicast entries of its local routing table.
  package mutating func localNetworks() throws(Errno) -> [IPNetwork] {
    var result: [IPNetwork] = []
    for family in [AF_INET, AF_INET6] {
      var request = rtmsg()
      request.rtm_family = UInt8(family)
      request.rtm_table = UInt8(RT_TABLE_LOCAL.rawValue)
      try netlink.dump(Int(RTM_GETROUTE), request, buffer: &buffer) { reply in
        guard let route = reply.fixed(rtmsg.self), route.rtm_type == UInt8(RTN_LOCAL),
          route.rtm_table == UInt8(RT_TABLE_LOCAL.rawValue), Int32(route.rtm_family) == family
        else { return }
        let attributes = reply.attributes(after: MemoryLayout<rtmsg>.size)
        guard let destination = attributes[Int32(RTA_DST.rawValue)].flatMap({ IPAddress(bytes: $0) }),
          let network = IPNetwork(destination, length: Int(route.rtm_dst_len))
        else { return }
        result.append(network)
      }
    }
    return result
  }
}
