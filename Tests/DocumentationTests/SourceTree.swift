import Foundation

/// The repository, as text.
enum SourceTree {
  static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  static func text(_ path: String) throws -> String {
    try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
  }

  /// The Swift files below a folder, by their path from the root.
  static func swiftFiles(_ folder: String) -> [String] {
    let base = root.appendingPathComponent(folder).path
    return (FileManager.default.enumerator(atPath: base)?.compactMap { $0 as? String } ?? [])
      .filter { $0.hasSuffix(".swift") }.map { "\(folder)/\($0)" }.sorted()
  }

  /// A file of our own, with what it declares; told by the layout that `swift format` gives it.
  struct File {
    let path: String
    let lines: [Substring]
    private let all: [Declaration]

    init(_ path: String) throws {
      self.path = path
      lines = try SourceTree.text(path).split(separator: "\n", omittingEmptySubsequences: false)
      all = lines.enumerated().flatMap { Self.declarations(on: $0.element, $0.offset) }
    }

    private static let modifiers = Set([
      "public", "package", "private", "fileprivate", "internal", "static", "mutating", "consuming", "borrowing",
      "final", "override", "nonisolated", "indirect", "convenience", "weak", "unowned", "lazy", "unsafe",
    ])

    /// One declaration: `struct BlockTable`, `func take`, `case probe`.
    struct Declaration {
      let keyword: Substring
      let name: Substring
      let modifiers: Set<Substring>
      /// The line, from 0, and how far it is indented.
      let line: Int
      let indent: Int
      /// After the name.
      let rest: Substring
    }

    /// - Parameter keywords: which kinds.
    func declarations(_ keywords: Set<Substring>) -> [Declaration] { all.filter { keywords.contains($0.keyword) } }

    private static let keywords: Set<Substring> = [
      "struct", "class", "enum", "protocol", "actor", "func", "init", "case", "let", "var",
    ]

    private static func declarations(on line: Substring, _ number: Int) -> [Declaration] {
      let indent = line.utf8.prefix { $0 == 0x20 }.count
      var words = line.split(separator: " ", maxSplits: 12)[...]
      var found: Set<Substring> = []
      while let word = words.first, word.hasPrefix("@") || modifiers.contains(String(word.prefix { $0 != "(" })) {
        found.insert(word)
        words = words.dropFirst()
      }
      guard let keyword = words.first.map({ $0.prefix { $0 != "(" && $0 != "?" } }), keywords.contains(keyword),
        words.count > 1 || keyword == "init"
      else { return [] }
      let rest = words.dropFirst().joined(separator: " ")
      // `let a, b: Int`, `case a, b(Int)`
      let names = keyword == "case" || keyword == "let" || keyword == "var" ? names(rest) : [rest[...]]
      return names.map { text in
        let name = text.prefix { $0.isLetter || $0.isNumber || $0 == "_" }
        return Declaration(
          keyword: keyword, name: name, modifiers: found, line: number, indent: indent, rest: text.dropFirst(name.count)
        )
      }
    }

    private static func names(_ text: String) -> [Substring] {
      if text.hasPrefix("(") {
        return text.dropFirst().prefix { $0 != ")" }.split(separator: ",").map { $0.drop { $0 == " " } }
      }
      let head = text.prefix { $0 != ":" && $0 != "=" && $0 != "(" && $0 != "{" }
      let all = head.split(separator: ",").map { $0.drop { $0 == " " } }
      // The last one has the type behind it.
      guard let last = all.last,
        let place = text.range(of: last, options: .backwards, range: head.startIndex..<head.endIndex)
      else { return [] }
      return all.dropLast() + [text[place.lowerBound...]]
    }

    /// A function's first lines, up to its brace.
    func signature(of declaration: Declaration) -> String {
      var text = ""
      for line in lines[declaration.line...].prefix(8) {
        text += line
        if line.hasSuffix("{") || line.hasSuffix("}") { break }
      }
      return text
    }

    /// How many lines a declaration has, to the brace that ends it.
    func length(of declaration: Declaration) -> Int {
      let end = String(repeating: " ", count: declaration.indent) + "}"
      guard !lines[declaration.line].hasSuffix("}") else { return 1 }
      let last = lines[declaration.line...].dropFirst().firstIndex { $0.hasPrefix(end) } ?? declaration.line
      return last - declaration.line + 1
    }

    /// The properties that a type stores.
    func storedProperties(of type: Declaration) -> Int {
      let body = type.line..<(type.line + length(of: type))
      return declarations(["let", "var"]).filter {
        body.contains($0.line) && $0.indent == type.indent + 2 && !$0.modifiers.contains("static")
          && !Self.isComputed(lines[$0.line])
      }.count
    }

    private static func isComputed(_ line: Substring) -> Bool {
      guard let brace = line.firstIndex(of: "{") else { return false }
      return !line[..<brace].contains("=") && !line.hasPrefix("let ")
    }
  }
}
