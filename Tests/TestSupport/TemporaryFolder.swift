import CLinux
import Platform

/// Runs `body` with the path of a fresh folder, which is removed afterwards with all that is in it.
package func inFolder<Value>(_ body: (String) throws -> Value) throws -> Value {
  let base = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
  var template = Array("\(base)/portsentry-test-XXXXXX".utf8CString)
  guard unsafe mkdtemp(&template) != nil else { throw Errno.last("mkdtemp", base) }
  let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  defer { shell("rm -rf -- '\(path)'") }
  return try body(path)
}

/// Writes a text file, 0644.
package func write(_ text: String, to path: String) throws {
  try Files.replace(path, with: Array(text.utf8), mode: 0o644)
}

/// The text of a file; nil when there is none.
package func text(of path: String) -> String? {
  do { return String(decoding: try Files.read(path), as: UTF8.self) } catch { return nil }
}
