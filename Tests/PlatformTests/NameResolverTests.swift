import CLinux
import Foundation
import Platform
import Synchronization
import Testing
import Wire

@Suite struct NameResolverTests {
  let host = IPAddress(v4: 0x0a4d_0001)
  let start = Timestamp(seconds: 1_000_000)

  /// Waits for the descriptor, up to five seconds for each of ten signals, until there are results.
  private func results(_ resolver: NameResolver, now: Timestamp) -> [NameResolver.Result] {
    for _ in 0..<10 {
      var watched = pollfd(fd: resolver.fd, events: Int16(POLLIN), revents: 0)
      _ = unsafe poll(&watched, 1, 5000)
      let results = resolver.results(now: now)
      if !results.isEmpty { return results }
    }
    return []
  }

  private func result(_ id: UInt64, _ address: IPAddress, _ name: String?) -> NameResolver.Result {
    NameResolver.Result(id: id, address: address, name: name)
  }

  @Test func `A name arrives later, and is remembered for its time`() throws {
    let calls = Atomic(0)
    let resolver = try NameResolver { _ in
      calls.add(1, ordering: .relaxed)
      return "attacker.example"
    }
    #expect(resolver.request(host, id: 7, now: start) == .pending)
    #expect(results(resolver, now: start) == [result(7, host, "attacker.example")])
    #expect(resolver.request(host, id: 8, now: start + .seconds(599)) == .known("attacker.example"))
    #expect(resolver.request(host, id: 9, now: start + .seconds(600)) == .pending)
    #expect(results(resolver, now: start + .seconds(600)).map(\.id) == [9])
    #expect(calls.load(ordering: .relaxed) == 2)
  }

  @Test(arguments: [nil, "a b", "x/y", "evil]", "\u{1b}[2J"])
  func `No name, or one that may not be shown, is remembered as none`(_ answer: String?) throws {
    let resolver = try NameResolver { _ in answer }
    #expect(resolver.request(host, id: 1, now: start) == .pending)
    #expect(results(resolver, now: start) == [result(1, host, nil)])
    #expect(resolver.request(host, id: 2, now: start) == .known(nil))
  }

  @Test func `A slow server is waited for no longer than the deadline, and a full queue not at all`() throws {
    let gate = DispatchSemaphore(value: 0)
    var settings = NameResolver.Settings()
    settings.queue = 2
    let resolver = try NameResolver(settings) { _ in
      gate.wait()
      return "late.example"
    }
    let (second, third) = (IPAddress(v4: 2), IPAddress(v4: 3))
    #expect(resolver.nextDeadline == nil)
    #expect(resolver.request(host, id: 1, now: start) == .pending)
    #expect(resolver.request(second, id: 2, now: start + .seconds(1)) == .pending)
    #expect(resolver.request(third, id: 3, now: start + .seconds(1)) == .known(nil))
    #expect(resolver.refused == 1)
    #expect(resolver.nextDeadline == start + .seconds(2))
    #expect(resolver.results(now: start + .seconds(1)).isEmpty)
    #expect(resolver.results(now: start + .seconds(2)) == [result(1, host, nil)])
    #expect(resolver.nextDeadline == start + .seconds(3))
    gate.signal()
    gate.signal()
    #expect(results(resolver, now: start + .seconds(2)).last == result(2, second, "late.example"))
  }

  @Test func `The memory is bounded, and the oldest name goes first`() throws {
    var settings = NameResolver.Settings()
    settings.cache = 3
    let resolver = try NameResolver(settings) { "h-\($0.v4Bits)" }
    for number in 1...5 as ClosedRange<UInt32> {
      #expect(resolver.request(IPAddress(v4: number), id: 0, now: start) == .pending)
      #expect(results(resolver, now: start).map(\.name) == ["h-\(number)"])
    }
    #expect(resolver.request(IPAddress(v4: 3), id: 0, now: start) == .known("h-3"))
    #expect(resolver.request(IPAddress(v4: 2), id: 0, now: start) == .pending)
  }

  @Test func `The system's resolver knows this host by a confirmed name`() {
    let hosts = (try? String(contentsOfFile: "/etc/hosts", encoding: .utf8)) ?? ""
    if hosts.contains("\n127.0.0.1") || hosts.hasPrefix("127.0.0.1") {
      #expect(NameResolver.confirmedName(IPAddress(v4: 0x7f00_0001)) != nil)
    } else {
      print("skipped: /etc/hosts does not name 127.0.0.1")
    }
    // TEST-NET-1 (RFC 5737) belongs to nobody.
    #expect(NameResolver.confirmedName(IPAddress(v4: 0xc000_0201)) == nil)
  }
}
