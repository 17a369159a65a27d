import CLinux
import Platform
import Response
import TestSupport
import Testing
import Wire

private func trap() -> NFTablesTrap {
  var trap = NFTablesTrap()
  trap.v4 = NFTablesTrap.Door(tcp: 40001, udp: 40002)
  trap.v6 = NFTablesTrap.Door(tcp: 40003, udp: 40004)
  trap.decoy = PortSet(ranges: [0...1023])
  trap.doubt = .seconds(30)
  trap.tcp = PortSet(ranges: [0...112, 114...1023])
  trap.udp = PortSet([69, 65535] as [UInt16])
  trap.spared = IPNetworkSet(
    ["192.0.2.1", "192.0.2.0/31", "192.0.2.2", "198.51.100.0/24", "2001:db8::/32"].map(network))
  return trap
}

/// What `nft list ruleset` must say of the chains, to the letter.
private let chains = """
  \tchain trap {
  \t\ttype filter hook prerouting priority dstnat + 10; policy accept;
  \t\tiif "lo" accept
  \t\tmeta l4proto tcp goto trap_tcp
  \t\tmeta l4proto udp goto trap_udp
  \t}

  \tchain stray {
  \t\tip saddr @doubt4 socket transparent 1 accept
  \t\tip saddr @doubt4 fib daddr type local tproxy ip to 127.0.0.1:40001 drop
  \t\tip6 saddr & ffff:ffff:ffff:ffff:: == @doubt6 socket transparent 1 accept
  \t\tip6 saddr & ffff:ffff:ffff:ffff:: == @doubt6 fib daddr type local tproxy ip6 to [::1]:40003 drop
  \t}

  \tchain trap_udp {
  \t\tsocket wildcard <= 1 accept
  \t\tip saddr @spared4 accept
  \t\tip6 saddr @spared6 accept
  \t\tfib daddr type != local accept
  \t}
  """

@Suite("nftables, the trap", .enabled(if: NetworkNamespace.isPossible, "\(NetworkNamespace.skipped)"))
struct NFTablesTrapTests {
  @Test("set() makes the trap and takes it away, and the bans stay")
  func comesAndGoes() throws {
    try inNamespace {
      var tables = try NFTables()
      try tables.ensure()
      try tables.add([(network("203.0.113.9"), nil)])
      let before = shell("nft list ruleset").output
      try tables.set(trap())
      #expect(try tables.isIntact())
      #expect(try !tables.ensure())
      let text = shell("nft list ruleset").output
      print(text)
      #expect(text.contains("203.0.113.9"))
      try tables.set(nil)
      #expect(shell("nft list ruleset").output == before)
      #expect(try tables.isIntact())
    }
  }
}
