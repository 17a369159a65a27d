import CLinux
import Platform
import Response
import TestSupport
import Testing
import Wire

/// What `nft list ruleset` must say after `ensure()`, to the letter.
private let emptyRuleset = """
  table inet portsentry {
  \tset banned4 {
  \t\ttype ipv4_addr
  \t\tflags timeout
  \t}

  \tset banned6 {
  \t\ttype ipv6_addr
  \t\tflags timeout
  \t}

  \tset banned4net {
  \t\ttype ipv4_addr
  \t\tflags interval,timeout
  \t}

  \tset banned6net {
  \t\ttype ipv6_addr
  \t\tflags interval,timeout
  \t}

  \tchain banned {
  \t\ttcp flags != syn / syn,ack socket transparent 0 socket wildcard 0 accept
  \t\tmeta iifkind "bridge" fib daddr type != local accept
  \t\tdrop
  \t}

  \tchain prerouting {
  \t\ttype filter hook prerouting priority raw; policy accept;
  \t\tip saddr @banned4 iif != "lo" counter packets 0 bytes 0 goto banned
  \t\tip6 saddr @banned6 iif != "lo" counter packets 0 bytes 0 goto banned
  \t}
  }

  """

/// The same once a network was blocked.
private let withNetworks = emptyRuleset.replacing(
  "\t\tip6 saddr @banned6 iif != \"lo\" counter packets 0 bytes 0 goto banned\n",
  with: """
    \t\tip6 saddr @banned6 iif != "lo" counter packets 0 bytes 0 goto banned
    \t\tip saddr @banned4net iif != "lo" counter packets 0 bytes 0 goto banned
    \t\tip6 saddr @banned6net iif != "lo" counter packets 0 bytes 0 goto banned

    """)

extension String {
  fileprivate var lines: [Substring] { split(separator: "\n") }
}

func network(_ text: String) -> IPNetwork { IPNetwork(text)! }

@Suite("nftables", .enabled(if: NetworkNamespace.isPossible, "\(NetworkNamespace.skipped)"))
struct NFTablesTests {
  @Test("ensure() makes exactly the intended rules, and a second time changes nothing")
  func makesTheRules() throws {
    try inNamespace {
      var tables = try NFTables()
      #expect(try !tables.isIntact())
      #expect(try tables.ensure())
      #expect(shell("nft list ruleset").output == emptyRuleset)
      #expect(try tables.isIntact())
      #expect(try !tables.ensure())
      #expect(shell("nft list ruleset").output == emptyRuleset)
    }
  }

  @Test(
    "what others did to our table is mended, and blocks stay where they can",
    arguments: [
      ("nft flush chain inet portsentry prerouting", keeps: true),
      ("nft delete chain inet portsentry prerouting", keeps: true),
      ("nft add rule inet portsentry prerouting accept", keeps: true),
      ("nft insert rule inet portsentry prerouting ip saddr 192.0.2.1 accept", keeps: true),
      ("nft 'add table inet portsentry { flags dormant; }'", keeps: true),
      ("nft 'chain inet portsentry prerouting { policy drop; }'", keeps: true),
      (
        "nft flush chain inet portsentry prerouting; nft delete chain inet portsentry prerouting; "
          + "nft 'add chain inet portsentry prerouting { type filter hook input priority 0; }'", keeps: true
      ),
      ("nft flush chain inet portsentry prerouting; nft delete set inet portsentry banned4net", keeps: true),
      (
        "nft flush chain inet portsentry prerouting; nft delete set inet portsentry banned4net; "
          + "nft 'add set inet portsentry banned4net { type inet_service; }'", keeps: false
      ),
      ("nft delete table inet portsentry", keeps: false),
      ("nft flush ruleset", keeps: false),
    ])
  func mends(_ damage: String, keeps: Bool) throws {
    try inNamespace {
      var tables = try NFTables()
      try tables.ensure()
      try tables.add([(network("192.0.2.9"), nil)])
      let done = shell(damage)
      #expect(done.status == 0, "\(done.output)")
      #expect(try !tables.isIntact())
      #expect(try tables.ensure())
      #expect(try tables.isIntact())
      #expect(try !tables.ensure())
      #expect(try tables.list().keys.contains(network("192.0.2.9")) == keeps)
      try tables.remove([network("192.0.2.9")])
      #expect(shell("nft list ruleset").output.lines.sorted() == emptyRuleset.lines.sorted())
    }
  }

  @Test("nobody else's table is touched")
  func leavesOthersAlone() throws {
    try inNamespace {
      let foreign = """
        nft 'add table inet filter; add set inet filter banned4 { type ipv4_addr; flags timeout; }
        add chain inet filter prerouting { type filter hook prerouting priority -300; policy accept; }
        add rule inet filter prerouting ip saddr @banned4 drop
        add element inet filter banned4 { 198.51.100.7 }
        add table ip portsentry; add chain ip portsentry prerouting'
        """
      #expect(shell(foreign).status == 0)
      let before = shell("nft list ruleset").output
      var tables = try NFTables()
      try tables.ensure()
      try tables.add([(network("192.0.2.9"), .seconds(60)), (network("198.51.100.7"), nil)])
      try tables.remove([network("198.51.100.7")])
      shell("nft flush chain inet portsentry prerouting")
      try tables.ensure()
      try tables.deleteTable()
      #expect(shell("nft list ruleset").output == before)
      try tables.deleteTable()
    }
  }

  @Test("hosts and networks of both families go into their sets, with and without an end")
  func addsAndRemoves() throws {
    try inNamespace {
      var tables = try NFTables()
      try tables.ensure()
      let blocks: [(String, Duration?)] = [
        ("192.0.2.9", .seconds(3_600)), ("192.0.2.10", nil), ("2001:db8::9", .seconds(3_600)), ("2001:db8::a", nil),
        ("198.51.100.0/24", .seconds(3_600)), ("255.255.255.0/24", nil), ("2001:db8:1::/48", .seconds(3_600)),
        ("ff00::/8", nil),
      ]
      try tables.add(blocks.map { (network($0.0), $0.1) })
      let listed = try tables.list()
      #expect(Set(listed.keys) == Set(blocks.map { network($0.0) }))
      for (text, duration) in blocks {
        let remaining = try #require(listed[network(text)])
        if let duration {
          let rest = try #require(remaining)
          #expect(rest <= duration && rest > duration - .seconds(30), "\(text)")
        } else {
          #expect(remaining == nil, "\(text)")
        }
      }
      let text = shell("nft list ruleset").output
      for (address, _) in blocks { #expect(text.contains(address), "\(address)") }
      #expect(text.contains("192.0.2.9 timeout 1h expires"))
      #expect(text.contains("198.51.100.0/24 timeout 1h expires"))
      #expect(try tables.isIntact())
      try tables.remove(blocks.map { network($0.0) } + [network("203.0.113.1"), network("203.0.113.0/24")])
      #expect(try tables.list().isEmpty)
      #expect(shell("nft list ruleset").output == withNetworks)
    }
  }

  @Test("rules for networks come with the first of them, also of one that was blocked before we began")
  func networksHaveRules() throws {
    try inNamespace {
      var tables = try NFTables()
      try tables.ensure()
      try tables.add([(network("192.0.2.9"), nil)])
      #expect(!shell("nft list ruleset").output.contains("@banned4net"))
      try tables.add([(network("198.51.100.0/24"), nil)])
      #expect(shell("nft list ruleset").output.contains("ip saddr @banned4net iif != \"lo\" counter"))
      shell("nft flush chain inet portsentry prerouting")
      var others = try NFTables()
      try others.ensure()
      #expect(shell("nft list ruleset").output.contains("ip saddr @banned4net iif != \"lo\" counter"))
    }
  }

  @Test(
    "a block that is there gets the new time, longer, shorter, or none", arguments: ["192.0.2.9", "198.51.100.0/24"])
  func replacesTheTimeout(_ text: String) throws {
    try inNamespace {
      var tables = try NFTables()
      try tables.ensure()
      let block = network(text)
      for seconds: Int64? in [100, 1_000, 50, nil, 70, 70] {
        try tables.add([(block, seconds.map { .seconds($0) })])
        let remaining = try #require(try tables.list()[block])
        if let seconds {
          let rest = try #require(remaining)
          #expect(rest <= .seconds(seconds) && rest > .seconds(seconds - 30))
        } else {
          #expect(remaining == nil)
        }
      }
      // Twice in one call: the last one counts.
      try tables.add([(block, .seconds(100)), (block, .seconds(500))])
      #expect(try #require(try tables.list()[block])! > .seconds(400))
      try tables.remove([block, block])
      #expect(try tables.list().isEmpty)
    }
  }

  @Test("the kernel lifts a block when its time is over")
  func expires() throws {
    try inNamespace {
      var tables = try NFTables()
      try tables.ensure()
      try tables.add([(network("192.0.2.9"), .milliseconds(100)), (network("198.51.100.0/24"), .milliseconds(100))])
      // The kernel sweeps when it gets to it.
      for _ in 0..<600 where try !tables.list().isEmpty { usleep(100_000) }
      #expect(try tables.list().isEmpty)
      try tables.add([(network("192.0.2.9"), .seconds(9)), (network("198.51.100.0/24"), .seconds(9))])
      #expect(try tables.list().count == 2)
    }
  }

  @Test("a table that is gone is a typed error, and ensure() with a second try mends it")
  func missing() throws {
    try inNamespace {
      var tables = try NFTables()
      func addAgain(_ block: String) throws {
        #expect { try tables.add([(network(block), .seconds(60))]) } throws: { error in
          if case ResponderError.missing = error { true } else { false }
        }
      }
      try addAgain("192.0.2.9")
      try addAgain("198.51.100.0/24")
      for block in ["192.0.2.9", "198.51.100.0/24"] {
        #expect { try tables.remove([network(block)]) } throws: { error in
          if case ResponderError.missing = error { true } else { false }
        }
      }
      #expect { try tables.list() } throws: { error in
        if case ResponderError.missing = error { true } else { false }
      }
      try tables.ensure()
      try tables.add([(network("192.0.2.9"), .seconds(60))])
      #expect(try tables.list().count == 1)
    }
  }

  @Test("blocked packets are dropped and others pass, loopback always")
  func drops() throws {
    try inNamespace {
      var tables = try NFTables()
      try tables.ensure()
      // 10.9.0.2 and .3 on the other side; `seen` counts what got through.
      let peer = "portsentry-test-\(getpid())"
      defer { shell("ip netns del \(peer)") }
      let setUp = shell(
        """
        ip netns add \(peer) && ip link add ps0 type veth peer name ps1 netns \(peer) &&
        ip addr add 10.9.0.1/24 dev ps0 && ip link set ps0 up &&
        ip -n \(peer) addr add 10.9.0.2/24 dev ps1 && ip -n \(peer) addr add 10.9.0.3/24 dev ps1 &&
        ip -n \(peer) link set ps1 up &&
        nft 'table inet seen { chain in { type filter hook input priority 0; policy accept; ip saddr 10.9.0.2 counter; \
          ip saddr 10.9.0.3 counter; iif lo counter; }; }'
        """)
      #expect(setUp.status == 0, "\(setUp.output)")
      func send(from source: String) {
        shell("ip -n \(peer) route replace 10.9.0.1/32 dev ps1 src \(source)")
        shell("ip netns exec \(peer) bash -c 'echo hello > /dev/udp/10.9.0.1/9'")
      }
      try tables.add([(network("10.9.0.2"), nil), (network("127.0.0.0/8"), nil)])
      send(from: "10.9.0.2")
      send(from: "10.9.0.3")
      shell("bash -c 'echo hello > /dev/udp/127.0.0.1/9'")
      let seen = shell("nft list table inet seen").output
      #expect(seen.contains("10.9.0.2 counter packets 0"), "\(seen)")
      #expect(seen.contains("10.9.0.3 counter packets 1"), "\(seen)")
      #expect(!seen.contains("iif \"lo\" counter packets 0"), "\(seen)")
      let ours = shell("nft list table inet portsentry").output
      #expect(ours.contains("@banned4 iif != \"lo\" counter packets 1 bytes 34 goto banned"), "\(ours)")
      try tables.remove([network("10.9.0.2")])
      send(from: "10.9.0.2")
      #expect(shell("nft list table inet seen").output.contains("10.9.0.2 counter packets 1"))
    }
  }
}
