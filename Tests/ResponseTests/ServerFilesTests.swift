import CLinux
import Platform
import Response
import TestSupport
import Testing
import Wire

@Suite struct ServerFilesTests {
  private static let rows: [(ServerFiles.Form, String, [String])] = [
    (
      .time,
      "# server x\nserver 192.0.2.1 iburst\npool 2.debian.pool.ntp.org iburst\n  peer fe80::1%eth0\nSERVER ntp1\nlocal stratum 10",
      ["192.0.2.1", "2.debian.pool.ntp.org", "fe80::1%eth0", "ntp1"]
    ),
    (
      .time, "server -4 192.0.2.1\nserver -6 2001:db8::1\nserver\nservers pool.ntp.org\nrestrict default kod",
      ["192.0.2.1", "2001:db8::1", "pool.ntp.org"]
    ),
    (
      .timesyncd, "[Time]\n#NTP=x\nNTP=192.0.2.1 ntp1.example\nFallbackNTP=ntp2.example\nRootDistanceMaxSec=5\n",
      ["192.0.2.1", "ntp1.example", "ntp2.example"]
    ),
    (
      .lease,
      "# private\nADDRESS=192.0.2.9\nROUTER=192.0.2.1\nSERVER_ADDRESS=192.0.2.2\nDNS=192.0.2.3 192.0.2.4\nNTP=192.0.2.5\n",
      ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"]
    ),
    (
      .dhclient,
      "lease {\n  interface \"eth0\";\n  fixed-address 192.0.2.9;\n  option dhcp-server-identifier 192.0.2.2;\n  option routers 192.0.2.1;\n"
        + "  option domain-name-servers 192.0.2.3, 192.0.2.4;\n  option ntp-servers 192.0.2.5;\n}\n",
      ["192.0.2.2", "192.0.2.1", "192.0.2.3", "192.0.2.4", "192.0.2.5"]
    ),
    (.time, "", []), (.lease, "\u{0}\u{ff}=\n==\nDNS=\n", []), (.dhclient, "option routers\noption\n", []),
    (.dhcpcd, "too short", []),
  ]

  @Test(arguments: rows.indices)
  func `Servers are found in the files of others`(_ index: Int) {
    let (form, text, names) = Self.rows[index]
    #expect(ServerFiles.servers(form, in: Array(text.utf8)).map(\.name) == names)
  }

  /// A DHCP message with these options.
  private func message(_ options: [UInt8]) -> [UInt8] {
    [UInt8](repeating: 0, count: 236) + [99, 130, 83, 99] + options
  }

  @Test(
    arguments: [
      ([53, 1, 5, 54, 4, 192, 0, 2, 2, 255], ["192.0.2.2"]),
      ([0, 0, 3, 8, 192, 0, 2, 1, 192, 0, 2, 9, 255], ["192.0.2.1", "192.0.2.9"]),
      ([42, 4, 192, 0, 2, 5], ["192.0.2.5"]), ([42, 200, 192, 0, 2, 5], []), ([42, 3, 192, 0, 2, 255], []),
      ([255, 54, 4, 192, 0, 2, 2], []), ([54], []),
    ] as [([UInt8], [String])])
  func `dhcpcd's leases are messages as they came`(_ options: [UInt8], _ names: [String]) {
    #expect(ServerFiles.servers(.dhcpcd, in: message(options)).map(\.name) == names)
  }

  @Test func `One file names so many and no more`() {
    let text = (0..<1000).map { "server 192.0.2.\($0 % 250)\n" }.joined()
    #expect(ServerFiles.servers(.time, in: Array(text.utf8)).count == ServerFiles.limit)
  }

  @Test func `Files and folders are looked through`() throws {
    try inFolder { root in
      for folder in ["etc/chrony/sources.d", "var/lib/dhcp", "run/systemd/netif/leases"] {
        try Files.createFolder("\(root)/\(folder)")
      }
      try write("server 192.0.2.1\n", to: root + "/etc/chrony/chrony.conf")
      try write("server 192.0.2.2\n", to: root + "/etc/chrony/sources.d/a.sources")
      try write("server 192.0.2.3\n", to: root + "/etc/chrony/sources.d/a.bak")
      try write("option dhcp-server-identifier 192.0.2.4;\n", to: root + "/var/lib/dhcp/dhclient.eth0.leases")
      try write("SERVER_ADDRESS=192.0.2.5\n", to: root + "/run/systemd/netif/leases/2")
      let found = SafeNetworks.servers(root: root)
      #expect(found.map(\.server.name) == ["192.0.2.1", "192.0.2.2", "192.0.2.5", "192.0.2.4"])
      #expect(found[0].file == "/etc/chrony/chrony.conf" && found[0].server.role == "a time server")
      #expect(found[3].server.role == "the DHCP server")
    }
  }
}
