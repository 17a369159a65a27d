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

/// What `nft list chain` must say of each, to the letter. The rules and their reasons are at the top of `NFTablesTrap`.
private let chains: [(name: String, text: String)] = [
  (
    "trap",
    """
    type filter hook prerouting priority dstnat + 10; policy accept;
    tcp flags & ack == ack ip saddr != @doubt4 meta nfproto != @flooded accept
    tcp flags & ack == ack ip6 saddr & ffff:ffff:ffff:ffff:: != @doubt6 meta nfproto != @flooded accept
    iif "lo" accept
    meta l4proto tcp goto trap_tcp
    meta l4proto udp goto trap_udp
    """
  ),
  (
    "trap_tcp",
    """
    socket transparent <= 1 jump served
    ip saddr @spared4 accept
    ip6 saddr @spared6 accept
    fib daddr type != local accept
    meta nfproto ipv4 tcp dport @closed4 accept
    meta nfproto ipv6 tcp dport @closed6 accept
    tcp dport @trap tcp flags ! rst,ack goto touch
    meta nfproto ipv4 tcp dport @decoy meta l4proto tcp tproxy ip to 127.0.0.1:40001 accept
    ip saddr @doubt4 meta l4proto tcp tproxy ip to 127.0.0.1:40001 accept
    meta nfproto ipv4 meta nfproto @flooded meta l4proto tcp tproxy ip to 127.0.0.1:40001 accept
    meta nfproto ipv6 tcp dport @decoy meta l4proto tcp tproxy ip6 to [::1]:40003 accept
    ip6 saddr & ffff:ffff:ffff:ffff:: == @doubt6 meta l4proto tcp tproxy ip6 to [::1]:40003 accept
    meta nfproto ipv6 meta nfproto @flooded meta l4proto tcp tproxy ip6 to [::1]:40003 accept
    """
  ),
  (
    "trap_udp",
    """
    socket wildcard <= 1 accept
    ip saddr @spared4 accept
    ip6 saddr @spared6 accept
    fib daddr type != local accept
    udp dport @trapudp jump doubt
    ip saddr @doubt4 meta l4proto udp tproxy ip to 127.0.0.1:40002 drop
    meta nfproto ipv4 meta nfproto @flooded meta l4proto udp tproxy ip to 127.0.0.1:40002 drop
    ip6 saddr & ffff:ffff:ffff:ffff:: == @doubt6 meta l4proto udp tproxy ip6 to [::1]:40004 drop
    meta nfproto ipv6 meta nfproto @flooded meta l4proto udp tproxy ip6 to [::1]:40004 drop
    """
  ),
  (
    "served",
    """
    socket transparent 0 accept
    socket wildcard <= 1 accept
    """
  ),
  (
    "touch",
    """
    jump doubt
    meta nfproto ipv4 meta l4proto tcp tproxy ip to 127.0.0.1:40001 accept
    meta nfproto ipv6 meta l4proto tcp tproxy ip6 to [::1]:40003 accept
    """
  ),
  (
    "doubt",
    """
    meta nfproto @flooded counter packets 0 bytes 0 return
    update @doubt4 { ip saddr timeout 30s } return
    update @doubt6 { ip6 saddr & ffff:ffff:ffff:ffff:: timeout 30s } return
    counter packets 0 bytes 0 update @flooded { meta nfproto timeout 30s }
    """
  ),
]

@Suite("nftables, the trap", .enabled(if: NetworkNamespace.isPossible, "\(NetworkNamespace.skipped)"))
struct NFTablesTrapTests {
  @Test("where br_netfilter is in force a chain of the lowest priority steers again, and goes when it is not")
  func bridges() throws {
    try inNamespace {
      var tables = try NFTables()
      var wanted = trap()
      try tables.set(wanted)
      let before = shell("nft list ruleset").output
      #expect(!before.contains("bridged"))
      wanted.bridges = ["br0", "br1"]
      try tables.set(wanted)
      #expect(try tables.isIntact())
      let text = shell("nft list chain inet portsentry bridged").output
      #expect(text.contains("priority -2147483648") || text.contains("priority raw - 2147483348"), "\(text)")
      #expect(text.contains("iifname \"br0\" meta l4proto tcp goto trap_again"), "\(text)")
      #expect(text.contains("iifname \"br1\" meta l4proto tcp goto trap_again"), "\(text)")
      let again = shell("nft list chain inet portsentry trap_again").output
      #expect(again.contains("tcp dport @trap meta l4proto tcp tproxy ip to 127.0.0.1:40001 accept"), "\(again)")
      #expect(again.contains("@doubt6 meta l4proto tcp tproxy ip6 to [::1]:40003 accept"), "\(again)")
      #expect(!again.contains("touch") && !again.contains("update"), "doubts are raised once")
      wanted.bridges = []
      try tables.set(wanted)
      #expect(try tables.isIntact())
      #expect(shell("nft list ruleset").output == before)
    }
  }

  @Test("where no decoy answers with cookies a segment with ACK leaves by the first rule, without a look-up")
  func noCookies() throws {
    try inNamespace {
      var tables = try NFTables()
      var wanted = trap()
      try tables.set(wanted)
      wanted.mayMeetCookies = false
      try tables.set(wanted)
      #expect(try tables.isIntact())
      let rules = shell("nft list chain inet portsentry trap").output.split(separator: "\n")
        .map { $0.drop { $0 == "\t" } }
      #expect(rules.dropFirst(3).prefix(2) == ["tcp flags & ack == ack accept", "iif \"lo\" accept"])
      wanted.mayMeetCookies = true
      try tables.set(wanted)
      #expect(shell("nft list chain inet portsentry trap").output.contains("ip saddr != @doubt4"))
    }
  }

  @Test("set() makes the rules, to the letter", arguments: chains)
  func toTheLetter(_ chain: (name: String, text: String)) throws {
    try inNamespace {
      var tables = try NFTables()
      try tables.set(trap())
      let rules = shell("nft list chain inet portsentry \(chain.name)").output.split(separator: "\n")
        .map { $0.drop { $0 == "\t" } }
      // The table's line, the chain's, and the brackets that close them.
      #expect(Array(rules.dropFirst(2).dropLast(2)) == chain.text.split(separator: "\n"))
    }
  }

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
      #expect(shell("nft list ruleset").output.contains("203.0.113.9"))
      try tables.set(nil)
      #expect(shell("nft list ruleset").output == before)
      #expect(try tables.isIntact())
    }
  }
  @Test("doubts that we raised ourselves are ended, others stay")
  func endsDoubts() throws {
    try inNamespace {
      var tables = try NFTables()
      try tables.set(trap())
      let elements = "add element inet portsentry doubt4 { 203.0.113.5 timeout 30s, 203.0.113.6 timeout 30s }; "
      #expect(shell("nft '\(elements)add element inet portsentry doubt6 { 2001:db8:1:2:: timeout 30s }'").status == 0)
      let addresses = ["203.0.113.5", "2001:db8:1:2::77", "203.0.113.77"].map { network($0).address }
      let before = try addresses.map { try tables.doubt(of: $0) != nil }
      #expect(before == [true, true, false])
      try tables.endDoubts(of: addresses)
      let after = try addresses.map { try tables.doubt(of: $0) != nil }
      #expect(after == [false, false, false])
      let other = try tables.doubt(of: network("203.0.113.6").address)
      #expect(other != nil)
    }
  }
}
