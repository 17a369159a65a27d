import CLinux
import TestSupport
import Testing
import Wire

@testable import Response

/// What the sets should hold, address by address, for the 256 addresses of 10.0.0.0/24 and 2001:db8::/120.
private struct Model {
  var owner: [Int: (network: IPNetwork, seconds: Int)] = [:]

  private func addresses(_ network: IPNetwork) -> Range<Int> {
    let first = Int(network.address.low & 0xff)
    return first..<first + 1 << ((network.isV4 ? 32 : 128) - network.length)
  }

  mutating func remove(_ network: IPNetwork) { owner = owner.filter { $0.value.network != network } }

  mutating func add(_ network: IPNetwork, _ seconds: Int) {
    remove(network)
    for address in addresses(network) where (owner[address]?.seconds ?? 0) < seconds {
      owner[address] = (network, seconds)
    }
  }

  var networks: Set<IPNetwork> { Set(owner.values.map(\.network)) }
}

@Suite("Overlapping networks")
struct OverlappingNetworksTests {
  private static func random(_ base: IPAddress, _ generator: inout SystemRandomNumberGenerator) -> IPNetwork {
    let host = UInt64.random(in: 0...255, using: &generator)
    let bits = base.isV4 ? 32 : 128
    return IPNetwork(
      IPAddress(high: base.high, low: base.low | host), length: Int.random(in: bits - 8...bits - 1, using: &generator))!
  }

  @Test("each address is blocked as long as its longest block says", arguments: ["10.0.0.0", "2001:db8::"])
  func pure(_ base: String) {
    var generator = SystemRandomNumberGenerator()
    let base = IPAddress(base)!
    for _ in 0..<10 {
      var model = Model()
      var present: [BlockedInterval] = []
      for step in 0..<40 {
        let network = Self.random(base, &generator)
        let change: IntervalChange
        if step % 4 == 3, let known = model.networks.randomElement() {
          model.remove(known)
          change = .removing([known], from: present)
        } else {
          let seconds = Int.random(in: 1...9, using: &generator)
          model.add(network, seconds)
          change = .adding(
            [BlockedInterval(network, remaining: UInt64(seconds) * 1_000)], of: [network], to: present,
            isV4: base.isV4)
        }
        present = present.filter { !change.deleted.contains($0) } + change.added
        var held: [Int: (network: IPNetwork, seconds: Int)] = [:]
        var twice = false
        for interval in present {
          let owner =
            interval.owner ?? IPNetwork(first: interval.first, last: interval.last, isV4: base.isV4)!
          for key in interval.first...interval.last {
            twice = held.updateValue((owner, Int(interval.remaining! / 1_000)), forKey: Int(key & 0xff)) != nil || twice
          }
        }
        #expect(!twice, "the kernel takes no overlaps")
        let same =
          held.count == model.owner.count
          && held.allSatisfy { address, block in model.owner[address].map { $0 == block } ?? false }
        #expect(same)
      }
    }
  }

  @Test(
    "the kernel holds the same", .enabled(if: NetworkNamespace.isPossible, "\(NetworkNamespace.skipped)"),
    arguments: ["10.0.0.0", "2001:db8::"])
  func real(_ base: String) throws {
    try inNamespace {
      var generator = SystemRandomNumberGenerator()
      let base = IPAddress(base)!
      var tables = try NFTables()
      try tables.ensure()
      for _ in 0..<3 {
        var model = Model()
        // No two alike, and far apart.
        var times = Array(1...40).map { $0 * 1_000 }.shuffled()
        for step in 0..<30 {
          if step % 4 == 3, let known = model.networks.randomElement() {
            model.remove(known)
            try tables.remove([known])
          } else {
            let network = Self.random(base, &generator)
            let seconds = times.removeLast()
            model.add(network, seconds)
            try tables.add([(network, .seconds(seconds))])
          }
          #expect(try Set(tables.list().keys) == model.networks)
        }
        // The kernel's own answer for single addresses.
        let set = base.isV4 ? "banned4net" : "banned6net"
        for host in stride(from: 0, to: 256, by: 37) {
          let address = IPAddress(high: base.high, low: base.low | UInt64(host))
          let found = shell("nft get element inet portsentry \(set) '{ \(address) }'").status == 0
          #expect(found == (model.owner[host] != nil), "\(address)")
        }
        try tables.remove(Array(model.networks))
        #expect(try tables.list().isEmpty)
      }
    }
  }

  @Test(
    "the ends of the address space", .enabled(if: NetworkNamespace.isPossible, "\(NetworkNamespace.skipped)"))
  func ends() throws {
    try inNamespace {
      var tables = try NFTables()
      try tables.ensure()
      let all = ["0.0.0.0/0", "0.0.0.0/8", "128.0.0.0/1", "255.255.255.254/31", "::/0", "8000::/1", "::/1", "ff00::/8"]
      for text in all {
        try tables.add([(network(text), .seconds(60))])
        #expect(try Set(tables.list().keys) == [network(text)])
        try tables.remove([network(text)])
        #expect(try tables.list().isEmpty)
      }
      try tables.add(all.map { (network($0), nil) })
      #expect(try tables.list().keys.contains(network("0.0.0.0/0")))
      try tables.remove(all.map(network))
      #expect(try tables.list().isEmpty)
    }
  }

  @Test(
    "a range that somebody else put in is listed as networks, and stays apart from ours",
    .enabled(if: NetworkNamespace.isPossible, "\(NetworkNamespace.skipped)"))
  func foreignRange() throws {
    try inNamespace {
      var tables = try NFTables()
      try tables.ensure()
      #expect(shell("nft add element inet portsentry banned4net '{ 10.0.0.5-10.0.0.9 }'").status == 0)
      #expect(
        try Set(tables.list().keys) == [network("10.0.0.5"), network("10.0.0.6/31"), network("10.0.0.8/31")])
      try tables.add([(network("10.0.0.8/29"), .seconds(60)), (network("10.0.0.0/24"), .seconds(30))])
      let text = shell("nft list set inet portsentry banned4net").output
      for part in [
        "10.0.0.5-10.0.0.9", "10.0.0.10-10.0.0.15 timeout", "comment \"10.0.0.8/29\"", "comment \"10.0.0.0/24\"",
      ] {
        #expect(text.contains(part), "\(text)")
      }
      try tables.remove([network("10.0.0.0/24"), network("10.0.0.8/29")])
      #expect(try tables.list().count == 3)
    }
  }
}

@Suite("nftables monitor", .enabled(if: NetworkNamespace.isPossible, "\(NetworkNamespace.skipped)"))
struct NFTablesMonitorTests {
  private func isReadable(_ descriptor: Int32) -> Bool {
    var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&item, 1, 0) == 1
  }

  @Test(
    "changes by others are noticed",
    arguments: [
      ("nft flush ruleset", true), ("nft flush chain inet portsentry prerouting", true),
      ("nft delete table inet portsentry", true), ("nft add element inet portsentry banned4 '{ 192.0.2.1 }'", true),
      ("nft flush set inet portsentry banned4", true), ("nft add rule inet portsentry prerouting accept", true),
      ("nft 'add set inet portsentry mine { type ipv4_addr; }'", true), ("nft add table inet other", false),
      ("nft add table ip portsentry", false), ("nft list ruleset", false),
    ])
  func notices(_ command: String, _ ours: Bool) throws {
    try inNamespace {
      var tables = try NFTables()
      var monitor = try NFTablesMonitor(ownPort: tables.port)
      try tables.ensure()
      try tables.add([(network("192.0.2.9"), .seconds(60)), (network("198.51.100.0/24"), nil)])
      // Our own doing is not news, and does not even wake us.
      #expect(!isReadable(monitor.descriptor))
      let own = monitor.drain()
      #expect(!own)
      #expect(!isReadable(monitor.descriptor))
      let done = shell(command)
      #expect(done.status == 0, "\(done.output)")
      let first = monitor.drain()
      let second = monitor.drain()
      #expect(first == ours)
      #expect(!second)
    }
  }
}
