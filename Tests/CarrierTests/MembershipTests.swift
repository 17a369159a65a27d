import Carrier
import Fleet
import Foundation
import Platform
import Signing
import Testing
import TestSupport
import Wire

@Suite struct MembershipTests {
  private static let now = Timestamp(seconds: 1_700_000_000)

  @Test func `A fleet is made once, and its nodes have numbers of their own`() throws {
    try inFolder { folder in
      let fleet = FleetFolder(folder + "/fleet")
      #expect(throws: FleetFolder.Fault.self) {
        _ = try fleet.enrol("web1", zone: 1, addresses: [], now: Self.now)
      }
      try fleet.make(engine: EngineAddress("10.0.0.5:6379")!, plain: [IPNetwork("10.0.0.0/8")!], now: Self.now)
      #expect(throws: FleetFolder.Fault.self) {
        try fleet.make(engine: EngineAddress("/run/r.sock")!, plain: [], now: Self.now)
      }
      let first = try fleet.enrol("web1", zone: 1, addresses: [IPNetwork("192.0.2.0/24")!], now: Self.now)
      let second = try fleet.enrol("web2", zone: 2, addresses: [], now: Self.now)
      #expect([first.number, second.number] == [1, 2])
      #expect(throws: FleetFolder.Fault.self) { _ = try fleet.enrol("web1", zone: 1, addresses: [], now: Self.now) }
      #expect(throws: FleetFolder.Fault.self) { _ = try fleet.enrol("a b", zone: 1, addresses: [], now: Self.now) }
      #expect(try fleet.members().map(\.name) == ["web1", "web2"])

      let member = try Membership.read(fleet.nodePath("web1"))
      let certificate = try #require(member.certificate)
      #expect(certificate.body.name == "web1" && certificate.body.addresses == [IPNetwork("192.0.2.0/24")!])
      #expect(certificate.isSigned(in: member.fleet, OpenSSLVerifier()))
      #expect(try Membership(text: member.text).text == member.text)
      #expect(try fleet.operators().certificate?.body.role == .operator_)
      #expect(try Membership.read(fleet.coordinatorPath).seed == nil)

      // Nobody's secret stands in what is said to the engine.
      let commands = try String(contentsOfFile: fleet.enginePath, encoding: .utf8)
      #expect(!commands.contains(member.password) && !commands.contains(Hexadecimal.text(member.seed!)))
      #expect(commands.split(separator: "\n").count(where: { $0.hasPrefix("ACL SETUSER") }) == 4)
      #expect(commands.split(separator: "\n").count(where: { $0.hasPrefix("HSET") }) == 3)
    }
  }

  @Test func `A file that others can read, or whose parts do not fit, is none`() throws {
    try inFolder { folder in
      let fleet = FleetFolder(folder + "/fleet")
      try fleet.make(engine: EngineAddress("/run/r.sock")!, plain: [], now: Self.now)
      _ = try fleet.enrol("web1", zone: 1, addresses: [], now: Self.now)
      _ = try fleet.enrol("web2", zone: 1, addresses: [], now: Self.now)
      let path = fleet.nodePath("web1")
      unsafe chmod(path, 0o644)
      #expect(throws: Membership.Fault.readable(path)) { _ = try Membership.read(path) }
      unsafe chmod(path, 0o600)
      let text = try Membership.read(path).text
      let other = try Membership.read(fleet.nodePath("web2"))
      func changed(_ name: String, to value: String) -> String {
        text.split(separator: "\n").map { $0.hasPrefix("\(name) ") ? "\(name) \(value)" : String($0) }
          .joined(separator: "\n")
      }
      #expect(throws: Membership.Fault.mismatch) {
        _ = try Membership(text: changed("key", to: Hexadecimal.text(other.seed!)))
      }
      #expect(throws: Membership.Fault.word("fleet")) { _ = try Membership(text: changed("fleet", to: "00")) }
      #expect(throws: Membership.Fault.word("engine")) { _ = try Membership(text: changed("engine", to: "redis:1")) }
      #expect(throws: Membership.Fault.missing("fleet")) { _ = try Membership(text: "engine /x\n") }
      #expect(throws: Membership.Fault.unencrypted(EngineAddress("192.0.2.1:6379")!)) {
        _ = try Membership(text: changed("engine", to: "192.0.2.1:6379"))
      }
    }
  }
}
