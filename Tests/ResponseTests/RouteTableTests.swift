import Response
import TestSupport
import Testing
import Wire

@Suite("Routes", .enabled(if: NetworkNamespace.isPossible, "\(NetworkNamespace.skipped)"))
struct RouteTableTests {
  @Test("hosts and networks of both families are added once, listed, and removed")
  func addsAndRemoves() throws {
    try inNamespace {
      var routes = try RouteTable()
      shell("ip route add blackhole 203.0.113.1; ip route add blackhole 203.0.113.2 proto static")
      let foreign = shell("ip route; ip -6 route").output
      let all = ["192.0.2.9", "198.51.100.0/24", "2001:db8::9", "2001:db8:1::/48"].map(network)
      for target in all {
        try routes.add(target)
        try routes.add(target, .unreachable)
      }
      #expect(try routes.list() == Set(all))
      let text = shell("ip route; ip -6 route").output
      for part in [
        "blackhole 192.0.2.9 proto 115", "blackhole 198.51.100.0/24 proto 115",
        "blackhole 2001:db8::9 dev lo proto 115 metric 1 ", "blackhole 2001:db8:1::/48 dev lo proto 115 metric 1 ",
      ] {
        #expect(text.contains(part), "\(text)")
      }
      for target in all {
        try routes.remove(target)
        try routes.remove(target)
      }
      #expect(try routes.list().isEmpty)
      #expect(shell("ip route; ip -6 route").output == foreign)
    }
  }

  @Test("the reject route is what route(8) makes, and wins over an ordinary one")
  func rejects() throws {
    try inNamespace {
      shell(
        "ip link add ps0 type veth peer name ps1; ip link set ps1 up; ip addr add 192.0.2.1/24 dev ps0; ip addr add 2001:db8::1/64 nodad dev ps0"
      )
      shell("ip link set ps0 up; ip -6 route add 2001:db8::9/128 dev ps0")
      var routes = try RouteTable()
      try routes.add(network("192.0.2.9"), .unreachable)
      try routes.add(network("2001:db8::9"), .unreachable)
      #expect(shell("ip route get 192.0.2.9").output.contains("No route to host"))
      #expect(shell("ip route get 2001:db8::9").output.contains("No route to host"))
      #expect(shell("ip route get 192.0.2.8").status == 0)
      #expect(shell("ip route").output.contains("unreachable 192.0.2.9 proto 115"))
    }
  }

  @Test("a route of somebody else's is neither claimed nor removed")
  func foreign() throws {
    try inNamespace {
      shell("ip route add blackhole 192.0.2.9")
      var routes = try RouteTable()
      #expect { try routes.add(network("192.0.2.9")) } throws: { error in
        "\(error)" == "a route to 192.0.2.9 is there already and is not ours: remove it, or block by nftables"
      }
      try routes.remove(network("192.0.2.9"))
      #expect(shell("ip route").output.contains("blackhole 192.0.2.9"))
      #expect(try routes.list().isEmpty)
    }
  }
}
