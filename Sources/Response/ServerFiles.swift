import Wire

/// Which servers other programs of this host use, read from their files. Pure: takes any bytes, and what it does not
/// understand it leaves out.
package enum ServerFiles {
  /// A form in which servers are written down.
  package enum Form: Sendable, CaseIterable {
    /// `server NAME …`, `pool NAME …`, `peer NAME …`, `servers NAME`: chrony.conf(5), ntp.conf(5), ntpd.conf(5).
    case time
    /// `NTP=NAME NAME`, `FallbackNTP=`: timesyncd.conf(5).
    case timesyncd
    /// `SERVER_ADDRESS=`, `ROUTER=`, `DNS=`, `NTP=`: leases of systemd-networkd and NetworkManager.
    case lease
    /// `option dhcp-server-identifier 192.0.2.1;` and the like: dhclient.leases(5).
    case dhclient
    /// The server's last message as it came: dhcpcd(8).
    case dhcpcd
  }

  /// A server: an address, or a name that has to be looked up, with what it is to us.
  package struct Server: Hashable, Sendable {
    package var name: String
    package var role: String

    package var address: IPAddress? { IPAddress(name) }
  }

  /// Of more servers in one file the rest is left out.
  package static let limit = 64

  package static func servers(_ form: Form, in bytes: [UInt8]) -> [Server] {
    let found: [Server]
    switch form {
    case .time: found = time(text(bytes))
    case .timesyncd: found = settings(text(bytes), ["NTP": "a time server", "FallbackNTP": "a time server"])
    case .lease: found = settings(text(bytes), leaseRoles)
    case .dhclient: found = dhclient(text(bytes))
    case .dhcpcd: found = message(bytes)
    }
    var seen: Set<Server> = []
    return found.filter { !$0.name.isEmpty && $0.name.utf8.count <= 253 && seen.insert($0).inserted }.prefix(limit).map(
      \.self)
  }

  private static let leaseRoles = [
    "SERVER_ADDRESS": "the DHCP server", "ROUTER": "a router of the DHCP server's",
    "DNS": "a resolver of the DHCP server's",
    "NTP": "a time server of the DHCP server's",
  ]

  private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

  private static func lines(_ text: String) -> [[Substring]] {
    text.byteLines.map { $0.splitBytes(" \t") }
  }

  private static func time(_ text: String) -> [Server] {
    lines(text).compactMap { words in
      guard words.count >= 2, ["server", "servers", "pool", "peer"].contains(words[0].asciiLowercased) else {
        return nil
      }
      // ntp.conf takes -4 and -6 before the name.
      let name = words[1] == "-4" || words[1] == "-6" ? words.dropFirst(2).first : words[1]
      return name.map { Server(name: String($0), role: "a time server") }
    }
  }

  private static func settings(_ text: String, _ roles: [String: String]) -> [Server] {
    text.byteLines.flatMap { line -> [Server] in
      guard let equals = line.firstByte("="), let role = roles[String(line[..<equals])] else { return [] }
      return line[line.utf8.index(after: equals)...].splitBytes(" ").map { Server(name: String($0), role: role) }
    }
  }

  private static func dhclient(_ text: String) -> [Server] {
    let roles = [
      "dhcp-server-identifier": "the DHCP server", "routers": "a router of the DHCP server's",
      "domain-name-servers": "a resolver of the DHCP server's", "ntp-servers": "a time server of the DHCP server's",
      "dhcp6.name-servers": "a resolver of the DHCP server's",
    ]
    return lines(text).flatMap { words -> [Server] in
      guard words.count >= 3, words[0] == "option", let role = roles[String(words[1])] else { return [] }
      return words[2...].joined().splitBytes(",;").map {
        Server(name: String($0), role: role)
      }
    }
  }

  /// A DHCP message (RFC 2131 section 2, RFC 2132): 236 bytes of fields, the magic cookie, options.
  private static func message(_ bytes: [UInt8]) -> [Server] {
    guard bytes.count > 240, bytes[236..<240].elementsEqual([99, 130, 83, 99]) else { return [] }
    let roles: [UInt8: String] = [
      3: "a router of the DHCP server's", 6: "a resolver of the DHCP server's",
      42: "a time server of the DHCP server's",
      54: "the DHCP server",
    ]
    var rest = bytes[240...]
    var found: [Server] = []
    while let option = rest.popFirst(), option != 255 {
      if option == 0 { continue }
      guard let length = rest.popFirst(), rest.count >= Int(length) else { break }
      let value = rest.prefix(Int(length))
      rest = rest.dropFirst(Int(length))
      guard let role = roles[option] else { continue }
      var addresses = value
      while addresses.count >= 4, let address = IPAddress(bytes: addresses.prefix(4)) {
        found.append(Server(name: "\(address)", role: role))
        addresses = addresses.dropFirst(4)
      }
    }
    return found
  }
}
