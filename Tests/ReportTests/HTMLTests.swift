import Testing

@testable import Report

@Suite struct HTMLTests {
  /// What owners of reverse zones might put into a name.
  static let hostile = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onmouseover='x", "&lt;", "a/b", "line\nbreak",
    "\u{1b}[2J\u{1b}]0;title\u{7}", "\u{202e}gnp.exe", "\u{0}\u{85}\u{2028}", "=cmd|'/c calc'!A1", "\\x00\\u0000",
    "é\u{1F600}", "]]>-->",
  ]

  @Test(arguments: hostile)
  func `What is put in is text, whatever it is`(_ text: String) {
    let html: HTML = "<p title=\"\(text)\">\(text)</p>"
    let inside = html.text.dropFirst("<p title=\"".count).dropLast("</p>".count)
    let parts = inside.components(separatedBy: "\">")
    #expect(parts.count == 2)
    for part in parts {
      #expect(part.utf8.allSatisfy { (0x20...0x7e).contains($0) })
      for character in "<>\"'" { #expect(!part.contains(character), "\(part)") }
    }
  }

  @Test func `Pieces keep what they are`() {
    let piece: HTML = "<b>\(3)</b>"
    let whole: HTML = "<i>\(piece)\([piece, piece])</i>\(1.5)\("<")"
    #expect(whole.text == "<i><b>3</b><b>3</b><b>3</b></i>1.5&lt;")
  }

  @Test(
    arguments: [
      (0, "0"), (1, "1"), (1.5, "1.5"), (1.25, "1.25"), (1.05, "1.05"), (-2.5, "-2.5"), (.infinity, "0"), (.nan, "0"),
    ] as [(Double, String)])
  func `Coordinates`(_ number: Double, _ text: String) { #expect(HTML.coordinate(number) == text) }

  @Test func `Steps of a heat map`() {
    #expect(Drawing.heatStep(0, of: 1000) == 0)
    #expect(Drawing.heatStep(1, of: 1000) >= 1)
    #expect(Drawing.heatStep(1000, of: 1000) == Drawing.heatSteps)
    #expect(Drawing.heatStep(1, of: 1) == Drawing.heatSteps)
    for step in 2...Drawing.heatSteps {
      #expect(Drawing.heatFloor(step, of: 100_000) > Drawing.heatFloor(step - 1, of: 100_000))
    }
  }
}

extension StringProtocol {
  func components(separatedBy separator: String) -> [String] {
    var parts: [String] = []
    var rest = self[...]
    while let range = rest.firstRange(of: separator) {
      parts.append(String(rest[..<range.lowerBound]))
      rest = rest[range.upperBound...]
    }
    return parts + [String(rest)]
  }
}
