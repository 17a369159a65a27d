import CLinux
import Platform
import Wire

extension SafeNetworks {
  /// Where other programs write down which servers they use: a file, or a folder with the end of its files' names.
  private static let serverFiles: [(path: String, suffix: String?, form: ServerFiles.Form)] = [
    ("/etc/chrony/chrony.conf", nil, .time), ("/etc/chrony.conf", nil, .time),
    ("/etc/chrony/conf.d", ".conf", .time), ("/etc/chrony/sources.d", ".sources", .time),
    ("/run/chrony-dhcp", ".sources", .time), ("/etc/ntp.conf", nil, .time), ("/etc/ntpsec/ntp.conf", nil, .time),
    ("/etc/openntpd/ntpd.conf", nil, .time), ("/etc/systemd/timesyncd.conf", nil, .timesyncd),
    ("/etc/systemd/timesyncd.conf.d", ".conf", .timesyncd), ("/run/systemd/timesyncd.conf.d", ".conf", .timesyncd),
    ("/run/systemd/netif/leases", "", .lease), ("/var/lib/NetworkManager", ".lease", .lease),
    ("/var/lib/NetworkManager", ".lease", .dhclient), ("/var/lib/dhcp", ".leases", .dhclient),
    ("/var/lib/dhclient", ".lease", .dhclient), ("/var/lib/dhclient", ".leases", .dhclient),
    ("/var/lib/dhcpcd", ".lease", .dhcpcd), ("/var/lib/dhcpcd5", ".lease", .dhcpcd),
  ]

  /// The time and DHCP servers that other programs of this host are configured with, or were given.
  ///
  /// - Parameter root: another root folder, for tests.
  /// - Returns: each server, and the file that names it. A file that cannot be read names none.
  package static func servers(root: String = "") -> [(server: ServerFiles.Server, file: String)] {
    serverFiles.flatMap { place -> [(server: ServerFiles.Server, file: String)] in
      let paths =
        place.suffix.map { suffix in
          Files.names(in: root + place.path).filter { $0.endsWithBytes(suffix) }.map { "\(place.path)/\($0)" }
        } ?? [place.path]
      return paths.flatMap { path in
        ServerFiles.servers(place.form, in: (try? Files.read(root + path, limit: 1 << 20)) ?? []).map { ($0, path) }
      }
    }
  }

  /// Looks up this host's addresses and broadcasts, its default gateways, and its resolvers.
  ///
  /// - Parameters:
  ///   - resolvConf: the resolver's file. When it names a local stub, `upstream` says whom the stub asks.
  ///   - reader: whom to ask; nil: a socket of its own.
  ///   - also: further networks with their reasons; what is found here goes before them.
  /// - Throws: the kernel's error, or that of a file that is there but cannot be read: a protection would be missing.
  package static func discover(
    resolvConf: String = "/etc/resolv.conf", upstream: String = "/run/systemd/resolve/resolv.conf",
    with reader: Owned<NetlinkSocket>? = nil, also: [(network: IPNetwork, reason: String)] = []
  ) throws(Errno) -> SafeNetworks {
    let reader = try NetlinkSocket.reader(reader)
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    var entries: [(network: IPNetwork, reason: String)] = []
    try addresses(&reader.value, &buffer, &entries)
    try routes(&reader.value, &buffer, &entries)
    let resolvers = try resolvers(inFile: resolvConf)
    entries += resolvers.filter { !$0.isLoopback }.map { (IPNetwork($0), "a resolver in \(resolvConf)") }
    if resolvers.contains(where: \.isLoopback) {
      entries += try Self.resolvers(inFile: upstream).map { (IPNetwork($0), "a resolver in \(upstream)") }
    }
    entries += also
    // Loopback is always safe, and :: and 0.0.0.0 as well.
    return SafeNetworks(entries.filter { $0.network.isHost ? $0.network.address.isPossiblePeer : true })
  }

  private static func resolvers(inFile path: String) throws(Errno) -> [IPAddress] {
    do throws(Errno) {
      return resolvers(in: String(decoding: try Files.read(path, limit: 1 << 20), as: UTF8.self))
    } catch {
      if [ENOENT, ENOTDIR].contains(error.code) { return [] }
      throw error
    }
  }

  private static func addresses(
    _ socket: inout NetlinkSocket, _ buffer: inout [UInt8], _ entries: inout [(network: IPNetwork, reason: String)]
  ) throws(Errno) {
    try socket.dump(Int(RTM_GETADDR), ifaddrmsg(), buffer: &buffer) { reply in
      guard reply.type == UInt16(RTM_NEWADDR) else { return }
      let parts = reply.attributes(after: MemoryLayout<ifaddrmsg>.size)
      // On a point-to-point link IFA_ADDRESS is the other side.
      if let own = (parts[IFA_LOCAL] ?? parts[IFA_ADDRESS]).flatMap({ IPAddress(bytes: $0) }) {
        entries.append((IPNetwork(own), "an address of this host"))
      }
      if let broadcast = parts[IFA_BROADCAST].flatMap({ IPAddress(bytes: $0) }) {
        entries.append((IPNetwork(broadcast), "a broadcast address of this host"))
      }
    }
  }

  private static func routes(
    _ socket: inout NetlinkSocket, _ buffer: inout [UInt8], _ entries: inout [(network: IPNetwork, reason: String)]
  ) throws(Errno) {
    try socket.dumpRoutes(rtmsg(), buffer: &buffer) { route, parts in
      let table = parts[RTA_TABLE]?.value(at: 0, as: UInt32.self) ?? UInt32(route.rtm_table)
      switch Int(route.rtm_type) {
      case Int(RTN_LOCAL), Int(RTN_ANYCAST):
        // Also what the host answers for without having it on an interface. Not a whole default route, by which
        // transparent proxies take in everything.
        guard table == RT_TABLE_LOCAL.rawValue, route.rtm_dst_len > 0, let own = route.destination(parts) else {
          return
        }
        entries.append((own, "an address of this host"))
      case Int(RTN_BROADCAST):
        if let network = route.destination(parts), network.isHost {
          entries.append((network, "a broadcast address of this host"))
        }
      case Int(RTN_UNICAST):
        // A VPN client writes its default route in two halves, 0.0.0.0/1 and 128.0.0.0/1.
        guard route.rtm_dst_len <= 1 else { return }
        for gateway in gateways(parts) { entries.append((IPNetwork(gateway), "the default gateway")) }
      default:
        return
      }
    }
  }

  /// The next hops of a route, one or several.
  private static func gateways(_ parts: [Int32: ArraySlice<UInt8>]) -> [IPAddress] {
    var result: [IPAddress] = []
    if let gateway = parts[RTA_GATEWAY].flatMap({ IPAddress(bytes: $0) }) { result.append(gateway) }
    // `via inet6 …` for an IPv4 route: the family in two bytes, then the address.
    if let gateway = parts[RTA_VIA].flatMap({ IPAddress(bytes: $0.dropFirst(2)) }) { result.append(gateway) }
    for hop in rtmsg.nextHops(parts) { result += gateways(NetlinkReply.attributes(in: hop.attributes)) }
    return result
  }
}

extension [Int32: ArraySlice<UInt8>] {
  subscript(_ type: Int) -> ArraySlice<UInt8>? { self[Int32(type)] }
}
