import Platform
import Testing

@Suite struct SafeTextTests {
  @Test(
    "Text for a line",
    arguments: [
      ("plain text stays", "attackalert: \"x\" [1] \\ ~", "attackalert: \"x\" [1] \\ ~"),
      ("a line end", "a\nadminalert: forged", "a\\x0aadminalert: forged"),
      ("a carriage return", "a\rb", "a\\x0db"),
      ("a terminal's escape", "\u{1b}[2J", "\\x1b[2J"),
      ("a zero byte, a bell and DEL", "\u{0}\u{7}\u{7f}", "\\x00\\x07\\x7f"),
      ("C1's CSI", "\u{9b}31m", "\\xc2\\x9b31m"),
      ("a right-to-left override", "a\u{202e}b", "a\\xe2\\x80\\xaeb"),
      ("a zero-width space", "a\u{200b}b", "a\\xe2\\x80\\x8bb"),
      ("a letter that is not ASCII", "\u{e9}", "\\xc3\\xa9"),
      ("nothing", "", ""),
    ])
  func line(_ what: String, _ text: String, _ safe: String) {
    #expect(SafeText.line(text) == safe, "\(what)")
    #expect(SafeText.line(safe) == safe, "\(what), twice")
  }

  @Test func `Bytes need not be UTF-8`() {
    #expect(SafeText.line(bytes: [0x61, 0xff, 0xc3]) == "a\\xff\\xc3")
  }

  @Test(arguments: [0, 1, 3, 4, 7, 10, 11, 12, 100])
  func `A long text is cut to its limit`(_ limit: Int) {
    for text in ["abcdefghijklmnop", "\n\n\n\n\n\n\n", "ab\ncd\nef\ngh"] {
      let safe = SafeText.line(text, limit: limit)
      #expect(safe.utf8.count <= limit)
      #expect(limit < 3 || safe.hasSuffix("...") || limit == 100)
    }
    #expect(SafeText.line("abcdefghijk", limit: 11) == "abcdefghijk")
    #expect(SafeText.line("abcdefghijkl", limit: 11) == "abcdefgh...")
  }

  @Test(
    "Names that may be shown",
    arguments: [
      "a", "host.example", "Host-1.example.", "_dmarc.example", "1.0.0.127.in-addr.arpa",
      String(repeating: "a", count: 253),
    ])
  func good(_ name: String) {
    #expect(SafeText.hostName(name) == name)
  }

  @Test(
    "Names that may not",
    arguments: [
      "", ".", "...", "a b", "a/b", "10.0.0.1/10.0.0.1 Port: 1 TCP Blocked", "a\nb", "a\u{0}b", "a]b", "(a)", "a\"b",
      "a$b",
      "$(reboot)", "`id`", "a;b", "a:b", "a\\b", "a%b", "\u{1b}[31m", "\u{202e}moc", "b\u{fc}cher.example",
      "\u{430}pple.example", "e\u{301}", "a\u{200d}", String(repeating: "a", count: 254),
    ])
  func hostile(_ name: String) {
    #expect(SafeText.hostName(name) == nil)
  }
}
