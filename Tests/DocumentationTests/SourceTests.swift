import Testing

/// What keeps the code readable, and each file of the trunk in some test.
@Suite struct SourceTests {
  private static let files = Result {
    try (SourceTree.swiftFiles("Sources") + SourceTree.swiftFiles("Tests/TestSupport")).map { try SourceTree.File($0) }
  }

  /// Longer than 60 lines, and why. To be taken out once it no longer holds.
  private static let longFunctions: [String: String] = [
    "Sources/Daemon/Sentry+Status.swift statusJSON": "the schema of `status --json`, in its order",
    "Sources/Journal/JournalWriter+Events.swift write": "a few lines an event",
    "Sources/Report/Lines/ECSLines.swift object": "the schema of a line of EVENTS_FILE, in its order",
    "Sources/Report/ReportJSON.swift value": "the schema of `report --json`, in its order",
  ]

  /// More than 25 stored properties, and why.
  private static let wideTypes: [String: String] = [
    "Sources/Configuration/Configuration.swift Configuration": "a property a key",
    "Sources/Report/LiveStatus.swift LiveStatus": "a property a word of `status --json`",
    "Sources/Report/Summary.swift Summary": "all that a report shows, in the order of its parts",
    "Sources/Wire/Packet.swift Packet": "a field a field of the headers",
  ]

  @Test func `No file has more than 500 lines`() throws {
    for file in try Self.files.get() where file.lines.count > 501 {
      Issue.record("\(file.path) has \(file.lines.count - 1) lines")
    }
  }

  @Test func `No function has more than 60 lines`() throws {
    var excused = Set(Self.longFunctions.keys)
    var functions = 0
    for file in try Self.files.get() {
      for function in file.declarations(["func", "init"]) {
        functions += 1
        let length = file.length(of: function)
        guard length > 60 else { continue }
        let name = "\(file.path) \(function.keyword == "init" ? "init" : function.name)"
        if Self.longFunctions[name] == nil { Issue.record("\(name) has \(length) lines") }
        excused.remove(name)
      }
    }
    #expect(functions > 2_000)
    #expect(excused.isEmpty, "needs no excuse")
  }

  @Test func `No type stores more than 25 properties`() throws {
    var excused = Set(Self.wideTypes.keys)
    var properties = 0
    for file in try Self.files.get() {
      for type in file.declarations(["struct", "class", "actor"]) {
        let count = file.storedProperties(of: type)
        properties += count
        guard count > 25 else { continue }
        let name = "\(file.path) \(type.name)"
        if Self.wideTypes[name] == nil { Issue.record("\(name) stores \(count)") }
        excused.remove(name)
      }
    }
    #expect(properties > 1_500)
    #expect(excused.isEmpty, "needs no excuse")
  }

  /// Files that the system tests of the fleet alone try. To be taken out once a unit test names them.
  private static let withoutUnitTest: Set<String> = [
    "Sources/Daemon/FleetCarrier.swift", "Sources/Daemon/FleetStore.swift", "Sources/Daemon/Notary.swift",
    "Sources/Daemon/NotaryThread.swift", "Sources/Daemon/Sentry+Fleet.swift",
  ]

  /// The targets that a root process runs, or that decide for it.
  private static let trunk = ["Control", "Daemon", "Enforcement"]

  /// A file is named where a test has one of its types in it, or, where it only extends one, one of its members.
  @Test func `Every file of the trunk is named by a unit test`() throws {
    var words: Set<Substring> = []
    for path in SourceTree.swiftFiles("Tests") where path.split(separator: "/")[1].hasSuffix("Tests") {
      if path.hasPrefix("Tests/DocumentationTests/") { continue }
      words.formUnion(
        try SourceTree.text(path).split { !$0.isLetter && !$0.isNumber && $0 != "_" }.map { Substring($0) })
    }
    let files = try Self.files.get().filter { file in Self.trunk.contains { file.path.hasPrefix("Sources/\($0)/") } }
    #expect(files.count > 40)
    for file in files {
      let types = file.declarations(["struct", "class", "enum", "protocol", "actor"]).filter { $0.indent == 0 }
      let members = file.declarations(["func", "var", "let"]).filter {
        $0.indent == 2 && $0.modifiers.isDisjoint(with: ["private", "fileprivate"])
      }
      let names = types.isEmpty ? members : types
      if Self.withoutUnitTest.contains(file.path) {
        #expect(!names.contains(where: { words.contains($0.name) }), "\(file.path) needs no excuse")
        continue
      }
      if !names.contains(where: { words.contains($0.name) }) {
        Issue.record("\(file.path): none of \(names.map(\.name)) in a test")
      }
    }
  }
}
