import Foundation
import Testing

/// SECURITY.md's table of who of a fleet can do what once taken over: each *cannot* has a test.
@Suite struct FleetTableTests {
  private static func tests() throws -> String {
    var all = ""
    for path in ["Tests/FleetTests", "Tests/System"] {
      for file in try FileManager.default.contentsOfDirectory(atPath: SourceTree.root.appendingPathComponent(path).path)
      where file.hasSuffix(".swift") || file.hasSuffix(".py") {
        all += try SourceTree.text("\(path)/\(file)")
      }
    }
    return all
  }

  @Test func `Each cannot names a test that there is`() throws {
    let text = try SourceTree.text("SECURITY.md")
    let table = text.components(separatedBy: "### In a fleet")[1].components(separatedBy: "\n## ")[0]
    let tests = try Self.tests()
    var rows = 0
    for line in table.split(separator: "\n") where line.hasPrefix("| ") {
      let cells = line.split(separator: "|", omittingEmptySubsequences: false).map {
        $0.trimmingCharacters(in: .whitespaces)
      }
      guard cells.count == 6, cells[3] != "cannot", !cells[3].isEmpty else { continue }
      rows += 1
      let names = cells[4].matches(of: /`([A-Za-z_.]+)`/).map { String($0.output.1) }
      #expect(!names.isEmpty, "\(cells[3])")
      for name in names {
        #expect(tests.contains("func \(name)(") || tests.contains("test(\"\(name)\")"), "\(name)")
      }
    }
    #expect(rows > 8)
  }
}
