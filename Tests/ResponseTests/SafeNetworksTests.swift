import Platform
import Response
import TestSupport
import Testing
import Wire

@Suite("Safe networks")
struct SafeNetworksTests {
  private let safe = SafeNetworks([
    (network("192.0.2.1"), "the default gateway"), (network("198.51.100.0/24"), "an address of this host"),
    (network("192.0.2.1"), "a resolver"),
  ])

  @Test(
    "what is protected, and why",
    arguments: [
      ("192.0.2.1", "the default gateway"), ("192.0.2.2", nil),
      ("192.0.2.0/24", "a network that contains 192.0.2.1 (the default gateway)"),
      ("198.51.100.77", "an address of this host"),
      ("198.51.0.0/16", "a network that contains 198.51.100.0/24 (an address of this host)"),
      ("127.0.0.1", "loopback"),
      ("127.9.9.9", "loopback"), ("::1", "loopback"), ("0.0.0.0", "the unspecified address"),
      ("0.1.2.3", "the unspecified address"), ("::", "the unspecified address"), ("224.0.0.1", "a multicast address"),
      ("239.255.255.255", "a multicast address"), ("ff02::1", "a multicast address"),
      ("255.255.255.255", "the broadcast address"),
      ("0.0.0.0/0", "a network that contains 127.0.0.0/8 (loopback)"),
      ("::/0", "a network that contains ::1 (loopback)"), ("240.0.0.1", nil), ("::2", nil), ("2001:db8::1", nil),
      ("::ffff:127.0.0.1", "loopback"), ("223.255.255.255", nil), ("128.0.0.0", nil),
    ] as [(String, String?)])
  func reasons(_ text: String, _ reason: String?) {
    #expect(safe.reason(protecting: network(text)) == reason)
  }

  @Test(
    "name servers in a resolv.conf",
    arguments: [
      ("nameserver 192.0.2.53\n", ["192.0.2.53"]), ("nameserver\t2001:DB8::53  # x", ["2001:db8::53"]),
      ("nameserver fe80::1%eth0\nnameserver 192.0.2.1\r\n", ["fe80::1", "192.0.2.1"]),
      ("# nameserver 192.0.2.1\n;nameserver 192.0.2.2\nsearch nameserver 1.2.3.4\nnameserver\nnameserver x\n", []),
      ("", []),
    ])
  func resolvers(_ text: String, _ expected: [String]) {
    #expect(SafeNetworks.resolvers(in: text).map(\.description) == expected)
  }

  @Test(
    "the host's own addresses, gateways and resolvers are found",
    .enabled(if: NetworkNamespace.isPossible, "\(NetworkNamespace.skipped)"))
  func discovers() throws {
    try inFolder { folder in
      try write("nameserver 127.0.0.53\nnameserver 192.0.2.53\n", to: folder + "/resolv")
      try write("nameserver 192.0.2.54\n", to: folder + "/upstream")
      try inNamespace { try discover(folder) }
    }
  }

  private func discover(_ folder: String) throws {
    let setUp = shell(
      """
      ip link add ps0 type veth peer name ps1 && ip link set ps0 up && ip link set ps1 up &&
      ip addr add 10.9.0.1/24 broadcast + dev ps0 && ip addr add 2001:db8:9::1/64 dev ps0 nodad &&
      ip addr add 10.9.1.1 peer 10.9.1.2 dev ps0 && ip route add local 10.9.7.0/24 dev lo &&
      ip route add default nexthop via 10.9.0.254 nexthop via 10.9.0.253 &&
      ip route add default via 10.9.0.252 table 77 && ip route add 10.50.0.0/16 via 10.9.0.99 &&
      ip route add 0.0.0.0/1 via 10.9.0.251 && ip route add 172.16.0.0/12 via inet6 fe80::7 dev ps0 &&
      ip -6 route add default via fe80::8 dev ps0 metric 5 && ip -6 route append default via 2001:db8:9::fe metric 5
      """)
    #expect(setUp.status == 0, "\(setUp.output)")
    let found = try SafeNetworks.discover(resolvConf: folder + "/resolv", upstream: folder + "/upstream")
    let rows: [(String, String?)] = [
      ("10.9.0.1", "an address of this host"), ("2001:db8:9::1", "an address of this host"),
      ("10.9.1.1", "an address of this host"), ("10.9.7.9", "an address of this host"), ("10.9.1.2", nil),
      ("10.9.0.255", "a broadcast address of this host"), ("10.9.0.254", "the default gateway"),
      ("10.9.0.253", "the default gateway"), ("10.9.0.252", "the default gateway"),
      ("10.9.0.251", "the default gateway"),
      ("fe80::8", "the default gateway"), ("2001:db8:9::fe", "the default gateway"), ("10.9.0.99", nil),
      ("fe80::7", nil),
      ("192.0.2.53", "a resolver in \(folder)/resolv"), ("192.0.2.54", "a resolver in \(folder)/upstream"),
      ("10.9.0.2", nil), ("192.0.2.55", nil), ("127.0.0.53", "loopback"),
    ]
    for (text, reason) in rows { #expect(found.reason(protecting: network(text)) == reason, "\(text)") }
    let none = try SafeNetworks.discover(resolvConf: folder + "/none", upstream: folder + "/upstream")
    #expect(none.reason(protecting: network("192.0.2.54")) == nil)
    #expect(throws: Errno.self) { try SafeNetworks.discover(resolvConf: folder) }
  }
}
