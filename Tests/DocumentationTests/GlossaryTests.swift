import Foundation
import Testing

/// One word, one meaning: docs/glossary.md, and what the code makes of it.
@Suite struct GlossaryTests {
  private static let kinds: Set<Substring> = [
    "struct", "class", "enum", "protocol", "actor", "func", "case", "let", "var",
  ]
  private static let files = Result { try SourceTree.swiftFiles("Sources").map { try SourceTree.File($0) } }

  @Test func `Every name of the glossary exists`() throws {
    let names = Set(try Self.files.get().flatMap { $0.declarations(Self.kinds).map { String($0.name) } })
    var rows = 0
    for line in try SourceTree.text("docs/glossary.md").split(separator: "\n") where line.hasPrefix("| ") {
      let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      guard cells.count == 3, cells[2] != "in the code" else { continue }
      rows += 1
      for match in line.matches(of: /`([A-Za-z]+)`/) where cells[2].contains(match.output.0) {
        #expect(names.contains(String(match.output.1)), "\(match.output.1), for \(cells[0])")
      }
      #expect(cells[2].contains("`"), "\(cells[0]) has no name")
    }
    #expect(rows > 50)
  }

  @Test func `No word stands twice`() throws {
    var sections: [Substring: Set<String>] = [:]
    var section: Substring = ""
    for line in try SourceTree.text("docs/glossary.md").split(separator: "\n") {
      if line.hasPrefix("## ") { section = line }
      guard line.hasPrefix("| "), let word = line.split(separator: "|").first else { continue }
      for word in word.split(separator: ",").map({ $0.trimmingCharacters(in: .whitespaces) }) where word != "word" {
        #expect(sections[section, default: []].insert(word).inserted, "\(word) in \(section)")
      }
    }
    #expect(sections.count == 5)
  }

  /// Files in which a function may have a name that stands for one thing only.
  private static let owners: [(name: String, files: Set<String>)] = [
    ("accuse", ["Sources/Response/Suspects.swift"]),
    // MaxMind's own word for the two halves of a node.
    ("record", ["Sources/GeoIP/GeoDatabase.swift"]),
  ]

  @Test(arguments: owners)
  func `A verb belongs to whom the glossary gives it`(_ name: String, _ owners: Set<String>) throws {
    let found = try Self.files.get().filter { file in file.declarations(["func"]).contains { $0.name == name } }
    #expect(Set(found.map(\.path)) == owners)
  }

  /// The fleet has words of its own: its ledger takes records in, and a `Proof` there is a signed one. To be taken out once it has ours.
  private static func isOfFleet(_ path: String) -> Bool {
    ["/Fleet/", "/Carrier/", "Notary", "+Fleet"].contains { path.contains($0) }
  }

  /// What takes gives something back, lends it to whom it is given, or says whose it takes.
  @Test func `What takes hands over`() throws {
    var count = 0
    for file in try Self.files.get() where !Self.isOfFleet(file.path) {
      for function in file.declarations(["func"])
      where function.indent <= 2 && function.name.hasPrefix("take")
        && function.name.dropFirst(4).first?.isUppercase != false
      {
        count += 1
        let signature = file.signature(of: function)
        #expect(
          signature.contains("->") || signature.contains("()") || signature.contains("(of "),
          "\(file.path): \(signature) takes something in")
      }
    }
    #expect(count > 15)
  }

  /// Subcommands are called after what they do; the parser makes their names of it.
  private static let subcommands: Set<Substring> = ["Block", "Replay", "Why"]

  @Test func `No two targets have a type of one name`() throws {
    var owners: [Substring: Set<Substring>] = [:]
    for file in try Self.files.get() {
      let target = file.path.split(separator: "/")[1]
      for type in file.declarations(["struct", "class", "enum", "protocol", "actor"])
      where type.indent == 0 && target != "Fleet" && !(target == "portsentry" && Self.subcommands.contains(type.name)) {
        owners[type.name, default: []].insert(target)
      }
    }
    #expect(owners.count > 300)
    for (name, targets) in owners where targets.count > 1 { Issue.record("\(name) in \(targets.sorted())") }
  }
}
