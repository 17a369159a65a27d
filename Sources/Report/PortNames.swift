import Journal
import Wire

/// What the ports that scanners ask for are used for, in words that need no specialist. Ours, not IANA's: a port number
/// says what somebody hopes to find, not what runs there.
package enum PortNames {
  /// A word for tables; nil for ports that have none.
  package static func short(_ port: PortName) -> String? { table[port]?.0 }
  /// What it is.
  package static func long(_ port: PortName) -> String? { table[port]?.1 }

  /// Ports as ranges, by protocol: `1-1024,3389/tcp 161/udp`; what is beyond `limit` characters is cut off.
  package static func ranges(_ ports: some Sequence<PortName>, limit: Int = 200) -> String {
    var sets = [PortSet](repeating: PortSet(), count: PortName.Family.allCases.count)
    for port in ports { if let number = port.port { sets[Int(port.family.rawValue)].insert(number) } }
    let text = PortName.Family.allCases.compactMap { family in
      let set = sets[Int(family.rawValue)]
      if set.isEmpty { return nil }
      return family == .icmp ? "icmp types \(set)" : family == .ip ? "protocols \(set)" : "\(set)/\(family)"
    }.joined(separator: " ")
    guard text.count > limit else { return text }
    let kept = text.prefix(limit)
    return kept[..<(kept.lastIndex { $0 == "," || $0 == " " } ?? kept.endIndex)] + ",..."
  }

  /// The ports worth a line each: those of the most probes, of equals those that have a name, then the lowest.
  package static func notable(_ uses: [SourceStory.PortUse], _ limit: Int) -> [SourceStory.PortUse] {
    uses.largest(limit) { a, b in
      (b.probes, short(a.port) == nil ? 1 : 0, a.port) < (a.probes, short(b.port) == nil ? 1 : 0, b.port)
    }
  }

  private static let table: [PortName: (String, String)] = {
    var table: [PortName: (String, String)] = [:]
    for (port, short, long) in tcpNames { table[PortName(PortName.Family.tcp, port)] = (short, long) }
    for (port, short, long) in udpNames { table[PortName(PortName.Family.udp, port)] = (short, long) }
    for (type, short, long) in icmpNames { table[PortName(PortName.Family.icmp, type)] = (short, long) }
    return table
  }()

  private static let tcpNames: [(UInt16, String, String)] = [
    (21, "FTP", "file transfer"),
    (22, "SSH", "remote shell"),
    (23, "Telnet", "remote shell without encryption: old routers, cameras, printers"),
    (25, "SMTP", "mail"),
    (53, "DNS", "name service"),
    (79, "finger", "who is logged in"),
    (80, "HTTP", "web"),
    (81, "HTTP", "web, cameras"),
    (88, "Kerberos", "Windows logon"),
    (110, "POP3", "reading mail"),
    (111, "portmap", "which Unix services there are"),
    (113, "ident", "who owns a connection"),
    (119, "NNTP", "news"),
    (123, "NTP", "time"),
    (135, "RPC", "Windows services"),
    (139, "NetBIOS", "Windows file sharing"),
    (143, "IMAP", "reading mail"),
    (179, "BGP", "routing between networks"),
    (389, "LDAP", "directory"),
    (443, "HTTPS", "web"),
    (445, "SMB", "Windows file sharing"),
    (465, "SMTPS", "mail"),
    (502, "Modbus", "industrial control"),
    (512, "exec", "remote shell of the eighties"),
    (513, "login", "remote shell of the eighties"),
    (514, "shell", "remote shell of the eighties"),
    (515, "LPD", "printers"),
    (548, "AFP", "Apple file sharing"),
    (554, "RTSP", "cameras"),
    (587, "SMTP", "mail"),
    (623, "IPMI", "management of servers"),
    (631, "IPP", "printers"),
    (873, "rsync", "copying of files"),
    (993, "IMAPS", "reading mail"),
    (995, "POP3S", "reading mail"),
    (1080, "SOCKS", "open proxies"),
    (1194, "OpenVPN", "private networks"),
    (1433, "MS SQL", "database"),
    (1521, "Oracle", "database"),
    (1723, "PPTP", "private networks"),
    (1883, "MQTT", "messages of devices"),
    (2000, "SCCP", "telephones, MikroTik"),
    (2049, "NFS", "Unix file sharing"),
    (2181, "ZooKeeper", "cluster management"),
    (2222, "SSH", "remote shell"),
    (2323, "Telnet", "remote shell without encryption"),
    (2375, "Docker", "containers without a password"),
    (2376, "Docker", "containers"),
    (3000, "HTTP", "web, Grafana"),
    (3128, "Squid", "open proxies"),
    (3306, "MySQL", "database"),
    (3389, "RDP", "Windows remote desktop"),
    (4444, "back door", "where intruders listen"),
    (4899, "Radmin", "remote desktop"),
    (5000, "UPnP", "devices at home"),
    (5038, "Asterisk", "telephone exchange"),
    (5060, "SIP", "telephony"),
    (5432, "PostgreSQL", "database"),
    (5555, "ADB", "Android devices with their debugger open"),
    (5601, "Kibana", "search and logs"),
    (5672, "AMQP", "message queue"),
    (5900, "VNC", "remote desktop"),
    (5901, "VNC", "remote desktop"),
    (5985, "WinRM", "management of Windows"),
    (5986, "WinRM", "management of Windows"),
    (6000, "X11", "remote desktop of Unix"),
    (6379, "Redis", "cache without a password"),
    (6443, "Kubernetes", "containers"),
    (6667, "IRC", "chat, and control of bots"),
    (7001, "WebLogic", "application server"),
    (7547, "TR-069", "management of home routers"),
    (8000, "HTTP", "web"),
    (8008, "HTTP", "web"),
    (8080, "HTTP", "web, proxies"),
    (8081, "HTTP", "web"),
    (8088, "HTTP", "web"),
    (8089, "Splunk", "logs"),
    (8123, "HTTP", "home automation"),
    (8291, "WinBox", "management of MikroTik routers"),
    (8443, "HTTPS", "web"),
    (8545, "Ethereum", "wallets"),
    (8728, "RouterOS", "management of MikroTik routers"),
    (8888, "HTTP", "web, notebooks"),
    (9000, "HTTP", "web"),
    (9090, "HTTP", "web, Prometheus"),
    (9100, "JetDirect", "printers"),
    (9200, "Elasticsearch", "search engine without a password"),
    (10000, "Webmin", "management of servers"),
    (10250, "kubelet", "containers"),
    (11211, "memcached", "cache without a password"),
    (12345, "NetBus", "a back door of the nineties"),
    (25565, "Minecraft", "games"),
    (27017, "MongoDB", "database without a password"),
    (31337, "Back Orifice", "a back door of the nineties"),
    (37215, "Huawei HG532", "a hole in home routers"),
    (49152, "UPnP", "devices at home"),
    (52869, "UPnP", "a hole in home routers"),
    (60001, "HTTP", "a hole in cameras"),
  ]

  private static let udpNames: [(UInt16, String, String)] = [
    (7, "echo", "a reflector"),
    (17, "qotd", "a reflector"),
    (19, "chargen", "a reflector"),
    (53, "DNS", "name service, a reflector"),
    (67, "DHCP", "addresses for hosts"),
    (69, "TFTP", "files for devices"),
    (111, "portmap", "which Unix services there are"),
    (123, "NTP", "time, a reflector"),
    (137, "NetBIOS", "names of Windows"),
    (161, "SNMP", "management of devices"),
    (177, "XDMCP", "remote desktop of Unix"),
    (389, "CLDAP", "directory, a reflector"),
    (443, "QUIC", "web"),
    (500, "IKE", "private networks"),
    (513, "who", "who is logged in"),
    (520, "RIP", "routing"),
    (623, "IPMI", "management of servers"),
    (1194, "OpenVPN", "private networks"),
    (1434, "MS SQL", "database"),
    (1701, "L2TP", "private networks"),
    (1900, "SSDP", "devices at home, a reflector"),
    (3283, "ARD", "Apple remote desktop, a reflector"),
    (3478, "STUN", "telephony through routers"),
    (3702, "WS-Discovery", "devices, a reflector"),
    (4500, "IPsec", "private networks"),
    (5060, "SIP", "telephony"),
    (5353, "mDNS", "devices at home"),
    (5683, "CoAP", "devices"),
    (10001, "Ubiquiti", "access points"),
    (11211, "memcached", "cache, a reflector"),
    (27015, "Source", "games"),
    (30120, "FiveM", "games"),
    (31337, "Back Orifice", "a back door of the nineties"),
    (37810, "DVR", "video recorders, a reflector"),
    (47808, "BACnet", "building automation"),
    (53413, "Netis", "a back door in home routers"),
  ]

  private static let icmpNames: [(UInt16, String, String)] = [
    (8, "echo", "ping: is there anybody?"), (13, "timestamp", "what time is it there?"),
    (17, "mask", "which network is it?"),
  ]
}
