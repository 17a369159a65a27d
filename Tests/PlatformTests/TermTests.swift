import Platform
import Testing

@Suite struct TermTests {
  @Test(arguments: [
    ("90", 90), ("90s", 90), ("30m", 1800), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600),
    ("4000000000", 4_000_000_000),
  ])
  func `Is read`(text: String, seconds: Int) { #expect(Term.seconds(text) == Int64(seconds)) }

  @Test func `Nothing is a time only where none is one`() {
    #expect(Term.seconds("0", least: 0) == 0 && Term.seconds("0s", least: 0) == 0 && Term.seconds("", least: 0) == nil)
    #expect(Term.seconds("0") == nil && Term.seconds("0h") == nil)
  }

  @Test(arguments: ["", "s", "0", "0s", "-1s", "+1s", "1.5h", "1y", "1 s", "4000000001", "9999999999999999999w", "١s"])
  func `Or is none`(text: String) { #expect(Term.seconds(text) == nil) }

  @Test(arguments: [
    (0, "0s"), (45, "45s"), (61, "1m 1s"), (720, "12m"), (18_180, "5h 3m"), (273_600, "3d 4h"), (-5, "0s"),
  ])
  func `Is said`(seconds: Int, text: String) { #expect(Term.text(.seconds(seconds)) == text) }

  @Test(arguments: [(0, "0.0s"), (240, "0.2s"), (9_990, "9.9s"), (10_000, "10s"), (61_000, "1m 1s")])
  func `Is said in tenths`(milliseconds: Int, text: String) {
    #expect(Term.short(.milliseconds(milliseconds)) == text)
  }
}
