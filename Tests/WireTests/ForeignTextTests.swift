import TestSupport
import Testing
import Wire

/// What joins a separator into one `Character`: a combining mark, a zero-width joiner, a variation selector, a keycap, Hangul.
private let joiners = ["\u{0301}", "\u{07fd}", "\u{200d}", "\u{fe0f}", "\u{20e3}", "\u{0338}"]

@Suite struct ForeignTextTests {
  @Test(arguments: joiners, ["/", ":", "=", ";", "\"", ",", " ", "\t", ".", "[", "\r\n"])
  func `A separator with a mark on it is still one`(_ joiner: String, _ separator: String) {
    let text = "a\(separator)\(joiner)b"
    #expect(text.splitBytes(separator) == ["a", Substring("\(joiner)b")])
    #expect(text.containsBytes(separator))
    #expect("\(separator)\(joiner)".startsWithBytes(separator))
    #expect(!"\(separator)\(joiner)".endsWithBytes(separator) && "\(joiner)\(separator)".endsWithBytes(separator))
    #expect(text.replacingBytes(separator, with: "<>") == "a<>\(joiner)b")
    let first = separator.unicodeScalars.first!
    #expect(text.firstByte(first).map { text[..<$0] } == "a" && text.lastByte(first).map { text[..<$0] } == "a")
  }

  @Test func `Equivalent is not the same`() {
    for (one, other) in [("\u{37e}", ";"), ("\u{212a}", "K"), ("\u{1fef}", "`"), ("\u{e9}", "e\u{301}")] {
      #expect(one == other && !one.isSameBytes(as: other))
      #expect("a\(one)b".splitBytes(";").count == (one.isSameBytes(as: ";") ? 2 : 1))
    }
    #expect("\u{212a}ELVIN".asciiLowercased.isSameBytes(as: "\u{212a}elvin"))
  }

  @Test func `Lines and parts`() {
    #expect("a\r\nb\n\nc\rd".byteLines == ["a", "b", "c", "d"])
    #expect(",a,,b,".splitBytes(",", omittingEmptySubsequences: false) == ["", "a", "", "b", ""])
    #expect(",a,,b,".splitBytes(",") == ["a", "b"])
    #expect("a=b=c".splitBytes("=", maxSplits: 1) == ["a", "b=c"])
    #expect("".splitBytes(",").isEmpty && "".splitBytes(",", omittingEmptySubsequences: false) == [""])
    #expect(!"".containsBytes("x") && !"x".containsBytes(""))
    #expect("aaa".replacingBytes("aa", with: "b") == "ba")
  }

  @Test(arguments: joiners) func `A network with a mark in it is none`(_ joiner: String) {
    for text in ["10.0.0.0/\(joiner)8", "10.0.0.0\(joiner)/8", "10.0.0.0/8\(joiner)", "2001:\(joiner)db8::/32"] {
      #expect(IPNetwork(text) == nil)
    }
  }

  @Test func `A text and a part of a text are searched alike`() {
    var generator = SeededGenerator(seed: 7)
    for _ in 0..<2000 {
      let text = String(
        (0..<Int.random(in: 0...12, using: &generator)).map { _ in "ab é".randomElement(using: &generator)! })
      let part = String(
        (0..<Int.random(in: 1...3, using: &generator)).map { _ in "ab é".randomElement(using: &generator)! })
      #expect(text.containsBytes(part) == text[...].containsBytes(part), "\(text) \(part)")
    }
  }
}
