import Testing
import TestSupport
import Wire

@testable import CrowdSec

@Suite struct JSONReaderTests {
  private func reader(_ text: String) -> JSONReader { JSONReader(Array(text.utf8)) }

  @Test(
    "Strings",
    arguments: [
      (#""""#, ""), (#""a b""#, "a b"), (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"), (#""\u00e9""#, "é"),
      (#""\ud83d\ude00""#, "\u{1F600}"), (#""\ud83d""#, "\u{fffd}"), (#""\ud83dx""#, "\u{fffd}x"),
      (#""\ude00""#, "\u{fffd}"), (#"  "x""#, "x"), (#""\ud83d\u0041""#, "A"),
    ])
  func strings(json: String, text: String) throws {
    var reader = reader(json)
    #expect(try reader.string() == text)
  }

  @Test(
    "What is no string",
    arguments: ["", "\"", "\"a", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"a\nb\"", "1", "null"])
  func noStrings(json: String) {
    var reader = reader(json)
    #expect(throws: JSONReader.Fault.self) { try reader.string() }
  }

  @Test(
    "Numbers",
    arguments: [
      ("0", 0), ("-7", -7), ("9223372036854775807", .max), ("9223372036854775808", nil), ("1.5", nil), ("1e3", nil),
    ] as [(String, Int64?)])
  func numbers(json: String, number: Int64?) throws {
    var reader = reader(json)
    #expect(try reader.number() == number)
  }

  @Test func `Whatever stands there is passed, and no more than that`() throws {
    let values = [
      "null", "true", "false", "-1.5e+3", #""a\"]}""#, "[]", "{}", "[1, [2, {\"a\": [null]}], \"]\"]",
      #"{"a": {"b": [1, 2, {"c": "}"}]}, "d": 5}"#,
    ]
    for value in values {
      var reader = reader("[\(value), \"next\"]")
      var found: [String] = []
      var index = 0
      try reader.array { (reader) throws(JSONReader.Fault) in
        if index == 0 { try reader.skip() } else { found.append(try reader.string()) }
        index += 1
      }
      #expect(found == ["next"], "\(value)")
    }
  }

  @Test func `Depth has a bound, and a long string is cut`() throws {
    var deep = reader(String(repeating: "[", count: 100_000))
    #expect(throws: JSONReader.Fault.tooDeep) { try deep.skip() }
    var long = reader("\"" + String(repeating: "a", count: 100_000) + "\"")
    #expect(try long.string().utf8.count == JSONReader.mostText)
  }

  @Test func `Whatever bytes come, it ends`() {
    var random = SeededGenerator(seed: 20_261_129)
    let good = Array(
      #"{"deleted":null,"new":[{"duration":"59m59.8s","id":1,"origin":"cscli","scenario":"a/b","scope":"Ip","type":"ban","value":"45.1.2.3","simulated":false}]}"#
        .utf8)
    for _ in 0..<20_000 {
      var bytes = good
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        let place = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...8, using: &random)))
        default: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 8)], at: place)
        }
        if bytes.isEmpty { bytes = good }
      }
      var stream = DecisionStream(bytes)
      var book = DecisionBook()
      var steps = 0
      while !stream.isOver, steps < 1_000 {
        steps += 1
        guard let item = try? stream.next() else { if (try? stream.next()) == nil { break } else { continue } }
        _ = book.take(item, at: Timestamp(seconds: 1_700_000_000))
      }
      #expect(steps < 1_000 && book.count <= 3)
    }
  }
}
