import CLinux
import Response
import TestSupport
import Testing
import Wire

/// Wall and processor time of this thread, in nanoseconds.
private func times() -> (wall: UInt64, processor: UInt64) {
  var wall = timespec()
  var processor = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC, &wall)
  unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &processor)
  func nanoseconds(_ time: timespec) -> UInt64 { UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec) }
  return (nanoseconds(wall), nanoseconds(processor))
}

private let isWanted = unsafe getenv("PORTSENTRY_BENCH") != nil

/// Measured with `PORTSENTRY_BENCH=1 swift test -c release --filter NFTablesBenchmarks`.
@Suite(
  "nftables, measured",
  .enabled(
    if: NetworkNamespace.isPossible && isWanted,
    "SKIPPED: set PORTSENTRY_BENCH, as root"))
struct NFTablesBenchmarks {
  @Test("single adds, 100,000 adds, list, replace, remove")
  func measure() throws {
    try inNamespace {
      var tables = try NFTables()
      try tables.ensure()
      func time(_ name: String, _ body: () throws -> Void) rethrows {
        let start = times()
        try body()
        let end = times()
        print(
          "\(name): \(Double(end.wall - start.wall) / 1e6) ms, processor \(Double(end.processor - start.processor) / 1e6) ms"
        )
      }
      func singles(_ name: String, _ address: (Int) -> IPNetwork) throws {
        var walls: [UInt64] = []
        var processors: [UInt64] = []
        for index in 0..<1_000 {
          let block = address(index)
          let start = times()
          try tables.add([(block, .seconds(3_600))])
          let end = times()
          walls.append(end.wall - start.wall)
          processors.append(end.processor - start.processor)
        }
        walls.sort()
        processors.sort()
        print("\(name): median \(walls[500]) ns, 99% \(walls[990]) ns, processor \(processors[500]) ns")
      }
      try singles("one host, empty set") { IPNetwork(IPAddress(v4: 0x0b00_0000 + UInt32($0))) }
      let many = (0..<100_000).map {
        (IPNetwork(IPAddress(v4: 0x0a00_0000 + UInt32($0) * 7)), Duration?.some(.seconds(3_600)))
      }
      try time("100,000 hosts") { try tables.add(many) }
      try singles("one host, 100,000 there") { IPNetwork(IPAddress(v4: 0x0c00_0000 + UInt32($0))) }
      try singles("the same again (new time)") { IPNetwork(IPAddress(v4: 0x0c00_0000 + UInt32($0))) }
      var count = 0
      try time("list 102,000") { count = try tables.list().count }
      #expect(count == 102_000)
      try time("100,000 hosts again (new times)") { try tables.add(many) }
      try time("remove 100,000") { try tables.remove(many.map(\.0)) }
      let many6 = (0..<100_000).map {
        (IPNetwork(IPAddress(high: 0x2001_0db8 << 32, low: UInt64($0))), Duration?.some(.seconds(3_600)))
      }
      try time("100,000 IPv6 hosts") { try tables.add(many6) }
      try time("list 102,000") { count = try tables.list().count }
      #expect(count == 102_000)
      let nets = (0..<10_000).map {
        (
          IPNetwork(IPAddress(high: 0x2001_0db9 << 32 + UInt64($0) * 2, low: 0), length: 64)!,
          Duration?.some(.seconds(3_600))
        )
      }
      try time("10,000 networks /64") { try tables.add(nets) }
      try singles("one network, 10,000 there") {
        IPNetwork(IPAddress(high: 0x2001_0dba << 32 + UInt64($0) * 2, low: 0), length: 64)!
      }
      try singles("one network inside another") {
        IPNetwork(IPAddress(high: 0x2001_0db9 << 32 + UInt64($0) * 2, low: UInt64($0) << 48), length: 80)!
      }
      try time("ensure() when all is well") { try tables.ensure() }
    }
  }
}
