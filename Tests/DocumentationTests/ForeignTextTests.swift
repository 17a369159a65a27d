import Foundation
import Testing

/// Text of strangers is bytes (Sources/Wire/ForeignText.swift): what looks at it by `Character` is kept out of the sources.
@Suite struct ForeignTextInSourcesTests {
  private static let sources = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Sources")

  /// Operations of `String` that compare or part grapheme clusters, or take equivalent texts for the same.
  private static let byCharacter =
    #"hasPrefix|hasSuffix|split\(separator: "|firstIndex\(of: "|lastIndex\(of: "|\.contains\("|isNewline|isWhitespace|\.lowercased\(|\.uppercased\(|"#
    + #"\.(first|last) [=!]= "|\$0 [=!]= ["']|\bCharacter\b|\.replacing\(|components\(separated|trimmingCharacters|\.firstRange\(|localizedStandard|caseInsensitive"#

  /// A file, what the line holds, and why it may.
  private static let allowed: [(file: String, part: String, reason: String)] = [
    ("Wire/ForeignText.swift", "", "says why"),
    ("Host/SocketTable.swift", "firstIndex(of: \"LPORT\")", "an array of words of the kernel's"),
    ("Journal/JournalCheck.swift", "$0 != \"ok\"", "SQLite's whole word"),
    ("Platform/LocalTime.swift", "$0 == \"T\"", "our own time stamp"),
    ("Report/Text/Zone.swift", "$0 == \"T\"", "our own time stamp"),
    ("Daemon/ReplayRun.swift", "kept.lastIndex", "our own list of ports"),
    ("Report/PortNames.swift", "kept.lastIndex", "our own list of ports"),
    ("Report/Text/ReportText.swift", "transport.name.lowercased()", "our own name"),
    ("Report/Lines/ECSLines.swift", "protocolName.lowercased()", "our own name"),
    ("Report/Lines/ECSLines.swift", "transport.name.lowercased()", "our own name"),
    ("Report/Text/Columns.swift", "line.last == \" \"", "blanks that we have added"),
    ("Report/Export/Export.swift", "$0 == \"\\\"\"", "ASCII: SafeText has been over it"),
    ("Response/Responders/CommandTemplate+Native.swift", "words.contains(", "an array of words"),
    ("Response/Responders/CommandTemplate+Native.swift", "split.words.split(", "an array of words"),
    ("Response/Responders/CommandTemplate.swift", "words.contains(", "an array of words"),
    ("Response/Responders/CommandTemplate.swift", "split.words.split(", "an array of words"),
    ("Response/Responders/CommandTemplate.swift", "rest.first == ", "an array of words"),
    ("Watch/Key.swift", "haracter(", "one ASCII byte"),
    ("portsentry/Commands/Run.swift", "\"ALL_NLO\"", "whole words, compared with ASCII"),
  ]

  @Test func `No source looks at text by Character`() throws {
    let files = try #require(FileManager.default.enumerator(at: Self.sources, includingPropertiesForKeys: nil))
    // Foundation's: of 27,000 lines the other takes half a minute unoptimized.
    let byCharacter = try NSRegularExpression(pattern: Self.byCharacter)
    var used = Set<Int>()
    var scanned = 0
    for case let url as URL in files where url.pathExtension == "swift" {
      scanned += 1
      let name = url.path.replacingOccurrences(of: Self.sources.path + "/", with: "")
      for (number, line) in try String(contentsOf: url, encoding: .utf8).split(
        separator: "\n", omittingEmptySubsequences: false
      ).enumerated()
      where byCharacter.firstMatch(in: String(line), range: NSRange(location: 0, length: line.utf16.count)) != nil {
        if line.drop(while: { $0 == " " }).hasPrefix("//") { continue }
        let entry = Self.allowed.firstIndex { $0.file == name && ($0.part.isEmpty || line.contains($0.part)) }
        if let entry { used.insert(entry) }
        #expect(
          entry != nil,
          "Sources/\(name):\(number + 1) looks at text by Character; use the operations of Sources/Wire/ForeignText.swift, or say in \(#fileID) why it may: \(line)"
        )
      }
    }
    #expect(scanned > 100)
    for index in Self.allowed.indices where !used.contains(index) && !Self.allowed[index].part.isEmpty {
      Issue.record("nothing needs the exception for \(Self.allowed[index].part) in \(Self.allowed[index].file)")
    }
  }
}
