import Foundation
import Response
import Testing
import Wire

@testable import Configuration

/// Configuration files from the wild, with what the predecessors made of each.
enum Collection {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../../shared/configs").standardizedFileURL

  static func bytes(_ name: String) -> [UInt8]? {
    (try? Data(contentsOf: folder.appendingPathComponent(name))).map(Array.init)
  }

  static func names(_ directory: String, suffix: String = "") -> [String] {
    let path = folder.appendingPathComponent(directory).path
    return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).filter { $0.hasSuffix(suffix) }.sorted()
  }
}

@Suite struct RealFilesTests {
  @Test func printAll() throws {
    for name in Collection.names("", suffix: ".conf") {
      let bytes = try #require(Collection.bytes(name))
      let (c, d) = Configuration.parse(bytes, path: name)
      print(name, c.dialect, c.tcpPorts.count, c.response.methods, c.response.killRoute ?? "-")
      for line in d { print("   ", line) }
    }
  }
}
