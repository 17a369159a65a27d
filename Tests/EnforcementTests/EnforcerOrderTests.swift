import CLinux
import Confinement
import Platform
import Response
import TestSupport
import Testing
import Wire

@testable import Enforcement

/// One of each kind.
let sampleOrders: [EnforcerOrder] = [
  .ban(EnforcerOrder.Ban(IPNetwork("203.0.113.9")!, .scan, [.sets, .blackhole], remaining: .seconds(60))),
  .ban(EnforcerOrder.Ban(IPNetwork("2001:db8::/64")!, .order, .unreachable, remaining: nil)),
  .whole(
    [EnforcerOrder.Ban(IPNetwork("203.0.113.0/24")!, .fleet, .sets, remaining: .milliseconds(1))], after: 64,
    isLast: true),
  .whole([], after: 0, isLast: true),
  .mend(Permit.Digest(count: 3, sum: .max), needsTable: true), .mend(nil, needsTable: false),
  .lift([IPNetwork("203.0.113.9")!, IPNetwork("2001:db8::1")!], after: 0, isLast: false),
  .removeRoute(IPNetwork("203.0.113.0/24")!), .watch, .removeTable,
  .trapPorts(.closed6, PortSet(ranges: [0...7, 1_000...65_535])),
  .trapSpared([IPNetwork("0.0.0.0/0")!, IPNetwork("::/0")!]), .trapNames(isBridges: true, ["br0", "fünf"]),
  .trap(sampleHead), .trap(EnforcerOrder.TrapHead()), .noTrap, .doubtsLost, .doubt(IPAddress("203.0.113.9")!),
  .endDoubts([IPAddress("::1")!]), .inputChains, .reread, .seal, .health,
]

private var sampleHead: EnforcerOrder.TrapHead {
  var head = EnforcerOrder.TrapHead()
  (head.v4, head.doubt, head.mayMeetCookies) = (NFTablesTrap.Door(tcp: 1, udp: 65_535), 30_000_000_000, false)
  return head
}

private let state = ProcessState(
  pid: 12, parent: 1, name: "portsentry-enforcer", user: 990, effectiveUser: 990, capabilities: .netAdmin,
  noNewPrivileges: true, systemCallFilter: 2)

@Suite struct EnforcerOrderTests {
  @Test("An order is read as it was written, and fills its datagram", arguments: sampleOrders)
  func orders(_ order: EnforcerOrder) {
    let bytes = order.bytes
    #expect(EnforcerOrder(bytes[...]) == order)
    #expect(bytes.count <= EnforcerOrder.largest)
    #expect(EnforcerOrder(bytes.dropLast()) == nil && EnforcerOrder((bytes + [0])[...]) == nil)
  }

  static let everyReply: [EnforcerReply] = [
    .done(true), .refused("it is the default gateway"), .failed(.missing("table")), .failed(.notPermitted("x")),
    .failed(.unsupported("x")), .failed(.readOnly(path: "/x")), .failed(.worldWritable(path: "/x")),
    .failed(.unacceptable("x")), .failed(.contended("x")), .failed(.failed(Errno(EPERM, "send", "netlink"))),
    .mended(7, refused: 1, because: "why"), .differs, .number(.max), .remaining(nil), .remaining(5),
    .chains(["ip filter INPUT", "inet fw in"]), .hello(pid: 77, isAgain: true), .ended("signal 9"), .touched,
  ]

  @Test("A reply is read as it was written", arguments: everyReply)
  func replies(_ reply: EnforcerReply) {
    #expect(EnforcerReply(reply.bytes[...]) == reply)
    #expect(EnforcerReply(reply.bytes.dropLast()) == nil)
    #expect(reply.bytes.count <= EnforcerReply.largest)
  }

  @Test func `What is too long is cut between characters, and there are only as many as fit`() {
    guard case .refused(let why) = EnforcerReply(EnforcerReply.refused(String(repeating: "ü", count: 500)).bytes[...])
    else {
      Issue.record("unreadable")
      return
    }
    #expect(why == String(repeating: "ü", count: 119))
    let many = EnforcerReply.chains((0..<100).map { "ip t\($0) c" })
    guard case .chains(let chains) = EnforcerReply(many.bytes[...]) else {
      Issue.record("unreadable")
      return
    }
    #expect(chains.count == EnforcerReply.mostChains && chains.first == "ip t0 c")
    guard
      case .health(let states, true) = EnforcerReply(EnforcerReply.health([state, state], landlock: true).bytes[...])
    else {
      Issue.record("unreadable")
      return
    }
    // The kernel's names have 15 bytes.
    #expect(states.count == 2 && states[0].name == "portsentry-enfo" && states[1].capabilities == .netAdmin)
  }

  @Test(
    "What is not written so is no order", arguments: ["kind", "bits", "ways", "claim", "time", "flag", "rest", "name"])
  func wrong(_ what: String) {
    var ban = sampleOrders[0].bytes
    var names = EnforcerOrder.trapNames(isBridges: false, ["br0"]).bytes
    var lift = EnforcerOrder.lift([IPNetwork("203.0.113.0/24")!], after: 0, isLast: true).bytes
    switch what {
    case "kind": ban[0] = 200
    case "claim": ban[18] = 9
    case "ways": ban[19] = 8
    case "time": ban[20] = 0x80
    case "bits": lift[22] = 1
    case "flag": lift[5] = 2
    case "rest": lift[lift.count - 1] = 1
    default: names[4] = 0
    }
    let changed = [ban, names, lift].filter { bytes in
      ![
        sampleOrders[0].bytes, EnforcerOrder.trapNames(isBridges: false, ["br0"]).bytes,
        EnforcerOrder.lift([IPNetwork("203.0.113.0/24")!], after: 0, isLast: true).bytes,
      ].contains(bytes)
    }
    #expect(changed.count == 1 && EnforcerOrder(changed[0][...]) == nil)
  }

  @Test func `Numbers go in network byte order, and what is read ends with the datagram`() {
    var writer = MessageWriter(9, size: 8)
    writer.put(UInt32(0x0102_0304))
    writer.put(true)
    #expect(writer.bytes == [9, 1, 2, 3, 4, 1, 0, 0])
    var reader = MessageReader(writer.bytes.dropFirst())
    #expect(reader.number(UInt32.self) == 0x0102_0304 && reader.flag() == true && reader.isRestZero)
    #expect(reader.number(UInt32.self) == nil && reader.address() == nil && reader.name(3) == nil)
    #expect(reader.number(UInt16.self) == 0 && reader.flag() == nil)
  }

  @Test func `Whatever is read is what would be written`() {
    var random = SeededGenerator(seed: 9)
    var read = 0
    for round in 0..<20_000 {
      var bytes = sampleOrders[round % sampleOrders.count].bytes
      if bytes.count > 2_000, round % 50 != 0 { continue }
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      if let order = EnforcerOrder(bytes[...]) {
        read += 1
        #expect(order.bytes == bytes)
      }
      _ = EnforcerReply(bytes[...]).map { #expect($0.bytes == bytes) }
    }
    #expect(read > 1_000)
  }
}
