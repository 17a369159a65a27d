import Detection
import EventLog
import Foundation
import Response
import Testing
import Wire

@Suite struct BlockedFileTests {
  static let line = "1795335671 - 11/22/2026 08:21:11 Host: attacker.example/10.77.0.1 Port: 11 TCP Blocked"

  @Test func `A line of 1.2 is taken apart`() throws {
    let (entries, problem) = BlockedFile.decode(Array((Self.line + "\n").utf8))
    #expect(problem == nil)
    #expect(
      entries == [
        BlockedFile.Entry(
          try #require(IPAddress("10.77.0.1")), time: Timestamp(seconds: 1_795_335_671), port: 11, transport: .tcp,
          name: "attacker.example")
      ])
  }

  @Test(
    "Lines of 1.2",
    arguments: [
      ("the last line needs no line end", line, ["10.77.0.1"]),
      ("a carriage return is no part of the line", line + "\r\n", ["10.77.0.1"]),
      ("blank lines are nothing", "\n  \n" + line + "\n\n", ["10.77.0.1"]),
      (
        "a name with a slash cannot pose as the address",
        line.replacingOccurrences(of: "attacker.example", with: "x/10.0.0.9 Port: 1 TCP Blocked") + "\n", ["10.77.0.1"]
      ),
      (
        "an IPv6 address", line.replacingOccurrences(of: "attacker.example/10.77.0.1", with: "fd77::1/fd77::1"),
        ["fd77::1"]
      ),
      ("nothing", "", []),
    ])
  func linesRead(_ what: String, _ text: String, _ addresses: [String]) {
    let (entries, problem) = BlockedFile.decode(Array(text.utf8))
    #expect(entries.map(\.address.description) == addresses, "\(what)")
    #expect(problem == nil, "\(what)")
  }

  @Test(
    "Lines that are none of 1.2's",
    arguments: [
      line.replacingOccurrences(of: "10.77.0.1", with: "10.77.0.1x"),
      line.replacingOccurrences(of: "10.77.0.1", with: "10.77.0.256"),
      line.replacingOccurrences(of: "10.77.0.1", with: "10.77.0"),
      line.replacingOccurrences(of: " 11 ", with: " 65536 "),
      line.replacingOccurrences(of: " 11 ", with: " "),
      line.replacingOccurrences(of: "TCP", with: "XCP"),
      line.replacingOccurrences(of: "Blocked", with: "Block"),
      line.replacingOccurrences(of: "1795335671", with: "soon"),
      line.replacingOccurrences(of: " Host:", with: " Hast:"),
      "Blocked", " TCP Blocked", " Port: 1 TCP Blocked", "hello world", "9",
    ])
  func linesRefused(_ bad: String) {
    let (entries, problem) = BlockedFile.decode(Array("\(Self.line)\n\(bad)\n\(bad)\n\(Self.line)\n".utf8))
    #expect(entries.count == 2)
    #expect(problem == .badLines(2, first: 2))
  }

  @Test func `Addresses are read as everywhere else`() {
    var generator = SystemRandomNumberGenerator()
    var texts = [
      "::", "::1", "1::", "::ffff:1.2.3.4", "::1.2.3.4", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:1.2.3.4", "1::8", "FE80::A",
      "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::2::3", ":1::", "1:", ":", ":::", "1:::2", "12345::",
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7:1.2.3.4", "1.2.3.4::", "::1.2.3.4:5", "::1.2.3", "g::", "fe80::1%eth0", "1:2:3:4::5:6:7:8",
      "1.2.3.4", "1.2.3", "1.2.3.4.5", "1..2.3", "01.2.3.4", "0001.2.3.4", "1.2.3.256", ".1.2.3.4", "1.2.3.4.",
    ]
    for _ in 0..<5_000 {
      texts.append(
        String(
          (0..<Int.random(in: 2...12, using: &generator)).map { _ in "::::1fA0.".randomElement(using: &generator)! }))
    }
    for text in texts {
      let line = "1 - 11/22/2026 08:21:11 Host: x/\(text) Port: 11 TCP Blocked"
      let read = BlockedFile.decode(Array(line.utf8)).entries.first?.address
      if read != IPAddress(text) { Issue.record("\(text): \(read as Any), not \(IPAddress(text) as Any)") }
    }
  }

  static let v4: [UInt8] = [2, 0, 10, 77, 0, 1]
  static let v6: [UInt8] = [10, 0, 0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]

  @Test(
    "Records of 2.x",
    arguments: [
      ("both families", v4 + v6, ["10.77.0.1", "fd77::1"], nil),
      ("IPv6 first looks like a line end", v6 + v4, ["fd77::1", "10.77.0.1"], nil),
      ("cut in the address", v4 + v6.dropLast(), ["10.77.0.1"], .truncated(bytes: 17)),
      ("cut in the family", v4 + [2], ["10.77.0.1"], .truncated(bytes: 1)),
      ("text after a record", v4 + Array("hello".utf8), ["10.77.0.1"], .unknownFamily(25960, bytes: 5)),
      ("only a family", [2, 0], [], .truncated(bytes: 2)),
      ("a family of a big-endian host", [0, 2, 10, 77, 0, 1], [], .unknownFamily(512, bytes: 6)),
    ] as [(String, [UInt8], [String], BlockedFile.Problem?)])
  func records(_ what: String, _ bytes: [UInt8], _ addresses: [String], _ expected: BlockedFile.Problem?) {
    let (entries, problem) = BlockedFile.decode(bytes)
    #expect(entries.map(\.address.description) == addresses, "\(what)")
    #expect(problem == expected, "\(what)")
  }

  @Test(arguments: Dialect.allCases)
  func `What was written is read back`(_ dialect: Dialect) throws {
    let entries = try ["10.0.0.1", "255.1.2.3", "2001:db8::5", "::1", "fd77::a00:1"].map { text in
      let address = try #require(IPAddress(text))
      return dialect == .modern
        ? BlockedFile.Entry(address)
        : BlockedFile.Entry(address, time: Timestamp(seconds: 1_795_335_671), port: 65535, transport: .udp, name: "a.b")
    }
    let (read, problem) = BlockedFile.decode(BlockedFile.encode(entries, dialect))
    #expect(read == entries)
    #expect(problem == nil)
  }

  @Test func `No bytes make it trap`() {
    var generator = SystemRandomNumberGenerator()
    let seeds = [Array((Self.line + "\n").utf8), Self.v4 + Self.v6, Array("9 - ".utf8)]
    for round in 0..<20_000 {
      var bytes = seeds[round % seeds.count]
      for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
        let at = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<3, using: &generator) {
        case 0: bytes[at] = UInt8.random(in: 0...255, using: &generator)
        case 1: bytes.remove(at: at)
        default: bytes.removeLast(bytes.count - at)
        }
      }
      let (entries, _) = BlockedFile.decode(bytes)
      #expect(entries.count <= bytes.count / 6)
    }
  }

  @Test func `The file of each mode has its own name`() {
    #expect(BlockedFile.classicPath("/x/portsentry.blocked", .advanced, .udp) == "/x/portsentry.blocked.audp")
  }
}
