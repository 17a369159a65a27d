import Testing
import TestSupport

@testable import Watch

@Suite struct KeyTests {
  @Test(arguments: [
    ("q", [Key.character("q")]),
    ("\r", [.enter]),
    ("\n", [.enter]),
    ("\u{7f}\u{8}", [.backspace, .backspace]),
    ("\u{3}", [.character("q")]),
    ("\u{1b}", [.escape]),
    ("\u{1b}[A\u{1b}[B", [.up, .down]),
    // In the mode in which cursor keys are those of an application.
    ("\u{1b}OA\u{1b}OB", [.up, .down]),
    ("\u{1b}[5~\u{1b}[6~", [.pageUp, .pageDown]),
    ("\u{1b}[15~", [.other]),
    // With Shift.
    ("\u{1b}[1;2A", [.up]),
    ("\u{1b}[", [.other]),
    ("jk", [.character("j"), .character("k")]),
    // A paste in another script is one thing that means nothing.
    ("żółw", [.other, .character("w")]),
  ])
  func `Bytes become keys`(text: String, keys: [Key]) { #expect(Key.decode(Array(text.utf8)) == keys) }

  @Test func `Any bytes are taken apart, and end`() {
    var random = SeededGenerator(seed: 5)
    for _ in 0..<2000 {
      let bytes = random.bytes(Int.random(in: 0..<64, using: &random))
      #expect(Key.decode(bytes).count <= bytes.count)
    }
  }
}
