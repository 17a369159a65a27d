import Testing
import TestSupport
import Wire

@testable import GeoIP

@Suite struct GeoDatabaseTests {
  private static func example(_ bits: Int = 28, version: Int = 6) -> MaxMindWriter {
    var writer = MaxMindWriter()
    writer.recordBits = bits
    writer.ipVersion = version
    let germany = writer.write(MaxMindWriter.country("DE", "Germany"))
    let france = writer.write(MaxMindWriter.country("FR", "France"))
    // As real files do: most values are pointers to others.
    let again = writer.write(
      .map([
        ("registered_country", .pointer(0)),
        ("country", .map([("iso_code", .text("XK")), ("names", .map([("en", .text("Kosovo"))]))])),
      ]))
    writer.add(IPNetwork("198.51.100.0/24")!, value: germany)
    writer.add(IPNetwork("198.51.100.128/25")!, value: france)
    writer.add(IPNetwork("203.0.113.7")!, value: again)
    if version == 6 { writer.add(IPNetwork("2001:db8::/32")!, value: france) }
    return writer
  }

  @Test(arguments: [24, 28, 32], [4, 6])
  func `Addresses are found by the longest network`(_ bits: Int, _ version: Int) throws {
    let database = try GeoDatabase(Self.example(bits, version: version).file)
    #expect(database.type == "Test-Country")
    func country(_ text: String) -> String? { database.place(of: IPAddress(text)!)?.country }
    #expect(country("198.51.100.1") == "DE")
    #expect(country("198.51.100.127") == "DE")
    #expect(country("198.51.100.128") == "FR")
    #expect(country("203.0.113.7") == "XK")
    #expect(country("203.0.113.8") == nil)
    #expect(country("0.0.0.0") == nil && country("255.255.255.255") == nil)
    #expect(country("2001:db8:ffff::1") == (version == 6 ? "FR" : nil))
    #expect(country("2001:db9::1") == nil)
    #expect(database.place(of: IPAddress("198.51.100.1")!)?.countryName == "Germany")
  }

  @Test func `Networks and countries complete each other`() throws {
    var writer = MaxMindWriter()
    writer.type = "Test-ASN"
    writer.add(IPNetwork("198.51.100.0/22")!, value: writer.write(MaxMindWriter.system(64_500, "Example Net <b>")))
    let atlas = Atlas([try GeoDatabase(writer.file), try GeoDatabase(Self.example().file)])
    #expect(
      atlas.place(of: IPAddress("198.51.100.1")!)
        == Place(country: "DE", countryName: "Germany", systemNumber: 64_500, organisation: "Example Net <b>"))
    #expect(atlas.place(of: IPAddress("198.51.101.1")!)?.systemNumber == 64_500)
    #expect(atlas.place(of: IPAddress("10.0.0.1")!) == nil)
    #expect(Atlas().isEmpty)
  }

  @Test func `Long texts and many values`() throws {
    var writer = MaxMindWriter()
    let long = String(repeating: "x", count: 400)
    var values: [Int] = []
    for number in 0..<600 {
      values.append(writer.write(MaxMindWriter.system(UInt64(number), number == 599 ? long : "Net \(number)")))
    }
    for number in 0..<600 { writer.add(IPNetwork("10.\(number >> 8).\(number & 255).0/24")!, value: values[number]) }
    let database = try GeoDatabase(writer.file)
    for number in [0, 1, 255, 256, 598] {
      #expect(database.place(of: IPAddress("10.\(number >> 8).\(number & 255).9")!)?.organisation == "Net \(number)")
    }
    #expect(database.place(of: IPAddress("10.2.87.1")!)?.organisation == long)
  }

  @Test func `What is no database is refused with a word`() {
    for bytes in [[], [0xab], Array("MaxMind.com".utf8), Array(repeating: 0, count: 300_000)] as [[UInt8]] {
      #expect(throws: GeoDatabase.Fault.notADatabase) { try GeoDatabase(bytes) }
    }
  }

  @Test func `A file cut off anywhere is refused, or gives nothing wrong`() throws {
    let whole = Self.example().file
    for length in 0..<whole.count {
      // Cut in the middle: the mark and the metadata are at the end.
      let cut = Array(whole[..<(length / 2)]) + Array(whole[(whole.count - (length - length / 2))...])
      guard let database = try? GeoDatabase(cut) else { continue }
      _ = database.place(of: IPAddress("198.51.100.1")!)
      _ = database.place(of: IPAddress("2001:db8::1")!)
    }
    #expect(throws: GeoDatabase.Fault.self) { try GeoDatabase(Array(whole.suffix(220))) }
  }

  @Test func `Any change of any byte does no harm`() throws {
    let whole = Self.example().file
    var random = SeededGenerator(seed: 5)
    for _ in 0..<3_000 {
      var bytes = whole
      for _ in 0...(random.next() % 6) {
        bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
      }
      guard let database = try? GeoDatabase(bytes) else { continue }
      for text in ["198.51.100.1", "198.51.100.200", "203.0.113.7", "2001:db8::1"] {
        _ = database.place(of: IPAddress(text)!)
      }
    }
  }

  @Test func `A chain of maps within maps comes to an end`() throws {
    var writer = MaxMindWriter()
    var value = MaxMindWriter.Value.text("deep")
    for _ in 0..<200 { value = .map([("country", value)]) }
    let deep = writer.write(value)
    let wide = writer.write(
      .map((0..<5_000).map { ("k\($0)", .text("v")) } + [("country", .map([("iso_code", .text("DE"))]))]))
    writer.add(IPNetwork("10.0.0.1")!, value: deep)
    writer.add(IPNetwork("10.0.0.2")!, value: wide)
    let database = try GeoDatabase(writer.file)
    #expect(database.place(of: IPAddress("10.0.0.1")!) == nil)
    #expect(database.place(of: IPAddress("10.0.0.2")!) == nil)
  }
}
