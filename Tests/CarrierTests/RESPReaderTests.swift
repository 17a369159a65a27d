import Carrier
import Testing

@Suite struct RESPReaderTests {
  private static func read(
    _ text: String, _ limits: RESPReader.Limits = RESPReader.Limits()
  ) throws -> [RESPValue] {
    var reader = RESPReader(limits)
    reader.feed(Array(text.utf8))
    var values: [RESPValue] = []
    while let value = try reader.next() { values.append(value) }
    return values
  }

  private static let samples: [(String, RESPValue)] = [
    ("+OK\r\n", .simple(Array("OK".utf8))), ("-ERR no\r\n", .error(Array("ERR no".utf8))), (":-12\r\n", .integer(-12)),
    ("$3\r\na\r\n\r\n", .bulk(Array("a\r\n".utf8))), ("$-1\r\n", .null), ("*-1\r\n", .null), ("*0\r\n", .array([])),
    ("$0\r\n\r\n", .bulk([])),
    (
      "*2\r\n*1\r\n:1\r\n*2\r\n$1\r\nx\r\n$-1\r\n",
      .array([.array([.integer(1)]), .array([.bulk(Array("x".utf8)), .null])])
    ),
  ]

  @Test func `Each kind of reply is read`() throws {
    for (text, value) in Self.samples { #expect(try Self.read(text) == [value], "\(text)") }
  }

  @Test func `Replies come in any pieces`() throws {
    let all = Array(Self.samples.map(\.0).joined().utf8)
    for size in 1...9 {
      var reader = RESPReader()
      var values: [RESPValue] = []
      var rest = all[...]
      while !rest.isEmpty {
        reader.feed(rest.prefix(size))
        rest = rest.dropFirst(size)
        while let value = try reader.next() { values.append(value) }
      }
      #expect(values == Self.samples.map(\.1))
      #expect(reader.waiting == 0)
    }
  }

  @Test func `What is no reply is a fault`() {
    let faults: [(String, RESPFault)] = [
      ("?\r\n", .type(UInt8(ascii: "?"))), (":x\r\n", .number), ("$-2\r\n", .number), ("*-2\r\n", .number),
      ("$\r\n", .number), (":\r\n", .number), ("$1\r\nab\r\n", .ending), ("\r\n", .ending), ("+a\n", .ending),
      (":99999999999999999999\r\n", .number),
    ]
    for (text, fault) in faults { #expect(throws: fault, "\(text)") { try Self.read(text) } }
  }

  @Test func `What a reply claims is bounded before it is kept`() {
    var limits = RESPReader.Limits()
    (limits.depth, limits.line, limits.string, limits.elements, limits.total) = (2, 10, 20, 5, 30)
    let faults: [(String, String)] = [
      ("*1\r\n*1\r\n*1\r\n", "lists within lists"), ("+12345678901", "bytes in one line"),
      ("$21\r\n", "bytes in one string"), ("*6\r\n", "elements"), ("*3\r\n*3\r\n", "elements"),
      ("*2\r\n$20\r\n12345678901234567890\r\n$11\r\n", "bytes"), ("*9999999\r\n", "elements"),
    ]
    for (text, what) in faults { #expect(throws: RESPFault.tooLong(what), "\(text)") { try Self.read(text, limits) } }
    // Each reply has all of it.
    #expect(
      (try? Self.read("*5\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n*5\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n", limits))?.count == 2)
  }

  @Test func `A claim reserves nothing`() throws {
    var reader = RESPReader()
    reader.feed(Array("*262144\r\n".utf8))
    #expect(try reader.next() == nil)
    reader.feed(Array("$4194304\r\n".utf8))
    #expect(try reader.next() == nil)
    #expect(reader.waiting == 0)
  }

  /// A lying engine: valid replies with bytes changed, cut, doubled. Whatever comes is a value or a fault.
  @Test func `A hundred thousand damaged replies neither crash nor grow it`() {
    let all = Array(Self.samples.map(\.0).joined().utf8)
    var random = Generator(state: 14)
    var values = 0
    var faults = 0
    for _ in 0..<100_000 {
      var bytes = all
      for _ in 0..<Int(random.next() % 4 + 1) {
        let at = Int(random.next() % UInt64(bytes.count))
        switch random.next() % 3 {
        case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
        case 1: bytes.remove(at: at)
        default: bytes.insert(contentsOf: bytes[at...].prefix(7), at: at)
        }
      }
      var reader = RESPReader()
      reader.feed(bytes)
      do {
        while try reader.next() != nil { values += 1 }
      } catch { faults += 1 }
      #expect(reader.waiting <= bytes.count)
    }
    #expect(values > 100_000 && faults > 10_000)
  }

  @Test func `A command is a list of strings`() throws {
    var bytes: [UInt8] = []
    RESPCommand.encode([Array("XADD".utf8), [0, 13, 10, 255]], into: &bytes)
    var reader = RESPReader()
    reader.feed(bytes)
    #expect(try reader.next() == .array([.bulk(Array("XADD".utf8)), .bulk([0, 13, 10, 255])]))
  }
}

/// Numbers that are the same at every run.
struct Generator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
