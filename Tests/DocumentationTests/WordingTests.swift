import Configuration
import Foundation
import Testing

/// What people read: the standard word for each thing, and settings that work.
@Suite struct WordingTests {
  /// Words that a reader has to guess at, and what stands in their place.
  private static let coined: [(word: String, instead: String)] = [
    (#"that nothing serves|no service serves"#, "unused"),
    (#"\b(?:lies|lied|lie) to\b|\bthe lies\b"#, "shows decoys"),
    (#"\bshuts? (?:\w+ )?out\b|\bshutting out\b"#, "blocks"),
    (#"\b(?:its|and|their) kin\b|-like kin\b"#, "similar, derivatives"),
    (#"\bto be had\b"#, "available"),
    (#"\bsaid aloud\b"#, "logged"),
    (#"\bmakes room\b"#, "is deleted first"),
    (#"\bNothing fades\b"#, "never expires"),
    (#"\bis where it says\b"#, "verified"),
    (#"\bby hand neither\b|\bits own word\b"#, "the plain sentence"),
    (#"\bA key of our own\b"#, "New in 3.0"),
  ]

  private static let texts = [
    "README.md", "SECURITY.md", "docs/detection.md", "docs/guide.md", "docs/migration.md", "docs/recipes.md",
    "docs/integrations.md", "man/portsentry.8",
    "man/portsentry.conf.5", "etc/portsentry.conf", "etc/portsentry-classic.conf", "etc/portsentry.default",
    "etc/portsentry.ignore", "etc/portsentry.service", "packaging/control.in", "packaging/postinst", "scripts/run.sh",
  ]

  @Test(arguments: texts)
  func `The standard word stands, not a coined one`(_ path: String) throws {
    // A line's end is no end of a thought.
    let text = try SourceTree.text(path).split(whereSeparator: \.isWhitespace).joined(separator: " ")
    for (word, instead) in Self.coined {
      for match in text.matches(of: try Regex(word)) {
        let place = text[..<match.range.upperBound].suffix(60)
        Issue.record("\(path): ...\(place): \(instead)")
      }
    }
  }

  /// Each subject of the recipes that were promised.
  @Test func `There is a recipe for each kind of host`() throws {
    let recipes = try SourceTree.text("docs/recipes.md")
    for host in ["Web server", "Mail server", "Docker", "Bastion", "Home router", "Tripwire", "Telescope"] {
      #expect(recipes.contains("\n## \(host)"), "\(host)")
    }
  }

  /// The lines of a recipe in the installed file, in place of its own.
  @Test func `Every recipe is read without a complaint`() throws {
    let blocks = try SourceTree.text("docs/recipes.md").components(separatedBy: "```")
    let recipes = blocks.filter { $0.hasPrefix("conf\n") }.map { $0.dropFirst(5) }
    #expect(recipes.count == 7)
    let installed = try SourceTree.text("etc/portsentry.conf").split(separator: "\n")
    func key(_ line: Substring) -> Substring? { line.hasPrefix("#") ? nil : line.split(separator: "=").first }
    for recipe in recipes {
      let lines = recipe.split(separator: "\n")
      let keys = Set(lines.compactMap(key))
      #expect(keys.count == lines.count, "\(recipe)")
      let file = (installed.filter { line in key(line).map { !keys.contains($0) } ?? true } + lines)
      let (_, problems) = Configuration.parse(Array((file.joined(separator: "\n") + "\n").utf8), path: "recipe")
      #expect(problems.isEmpty, "\(recipe): \(problems)")
    }
  }
}
