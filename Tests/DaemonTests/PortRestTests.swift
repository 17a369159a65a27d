import Testing
import Wire

@testable import Daemon

@Suite("Ports at rest")
struct PortRestTests {
  private let second: Int64 = 1_000_000_000
  private let none = PortSet()
  private func set(_ ports: UInt16...) -> PortSet { PortSet(ports) }

  @Test("a port rests as long as it was served, five minutes at least and a day at most")
  func times() {
    for (served, rest): (Int64, Int64) in [(1, 300), (299, 300), (3600, 3600), (1_000_000, 86_400)] {
      var ports = PortRest()
      var changed = ports.update(served: set(80), everywhere4: set(80), everywhere6: none, at: 0)
      #expect(changed)
      #expect(ports.ports(v4: true, at: 0) == set(80))
      #expect(ports.ports(v4: false, at: 0) == none)
      let end = served * second
      changed = ports.update(served: set(80), everywhere4: set(80), everywhere6: none, at: end - 1)
      #expect(!changed)
      changed = ports.update(served: none, everywhere4: none, everywhere6: none, at: end)
      #expect(changed)
      for v4 in [true, false] {
        #expect(ports.ports(v4: v4, at: end + rest * second - 1) == set(80))
        #expect(ports.ports(v4: v4, at: end + rest * second) == none)
      }
      changed = ports.update(served: none, everywhere4: none, everywhere6: none, at: end + rest * second - 1)
      #expect(!changed)
      changed = ports.update(served: none, everywhere4: none, everywhere6: none, at: end + rest * second)
      #expect(changed)
    }
  }

  @Test("a service on one address leaves the port of the others alone until it ends; one that comes back ends the rest")
  func oneAddress() {
    var ports = PortRest()
    _ = ports.update(served: set(25), everywhere4: none, everywhere6: none, at: 0)
    #expect(ports.ports(v4: true, at: 0) == none)
    _ = ports.update(served: none, everywhere4: none, everywhere6: none, at: second)
    #expect(ports.ports(v4: true, at: second) == set(25))
    _ = ports.update(served: set(25), everywhere4: none, everywhere6: none, at: 2 * second)
    #expect(ports.ports(v4: true, at: 2 * second) == none)
  }
}
