import CLinux
import Wire

/// The terminal's two ways out. Nothing here is coloured.
package enum Console {
  package static func print(_ text: String, terminator: String = "\n") { write(1, text + terminator) }
  package static func error(_ text: String, terminator: String = "\n") { write(2, text + terminator) }

  /// Whether standard error is a terminal.
  package static var errorIsTerminal: Bool { isatty(2) == 1 }

  /// How many columns standard output has where it is a terminal.
  package static var width: Int? {
    var size = winsize()
    guard unsafe CLinux_window_size(1, &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
  }

  /// Whether standard output shows colours: a terminal that can, and nobody who does not want them (no-color.org).
  package static var isColoured: Bool {
    func value(_ name: String) -> String { unsafe getenv(name).map { unsafe String(cString: $0) } ?? "" }
    return isatty(1) == 1 && value("NO_COLOR").isEmpty && !["", "dumb"].contains { value("TERM").isSameBytes(as: $0) }
  }

  /// Whether the environment asks for ASCII: a locale that is set and is not of UTF-8.
  package static var isPlain: Bool {
    for name in ["LC_ALL", "LC_CTYPE", "LANG"] {
      guard let value = unsafe getenv(name) else { continue }
      let text = unsafe String(cString: value).asciiLowercased
      if !text.isEmpty { return !text.containsBytes("utf-8") && !text.containsBytes("utf8") }
    }
    return false
  }

  private static func write(_ fd: Int32, _ text: String) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = unsafe bytes.withUnsafeBytes { unsafe CLinux.write(fd, $0.baseAddress, $0.count) }
      if count < 0, CLinux_errno() != EINTR { return }
      bytes = bytes.dropFirst(max(count, 0))
    }
  }
}

extension Errno {
  /// Nothing is there, or nobody answers.
  package var isMissing: Bool { code == ENOENT || code == ECONNREFUSED }
  /// It is there already.
  package var isThereAlready: Bool { code == EEXIST }
  /// The right is missing.
  package var isForbidden: Bool { code == EACCES || code == EPERM }
}

extension Files {
  /// The working directory; nil when it is gone.
  package static var currentFolder: String? {
    guard let path = unsafe getcwd(nil, 0) else { return nil }
    defer { unsafe free(path) }
    return unsafe String(cString: path)
  }
}

/// This host.
package enum Host {
  /// Its name, as the kernel has it.
  package static var name: String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard unsafe gethostname(&buffer, 255) == 0 else { return "this host" }
    let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return bytes.isEmpty ? "this host" : String(decoding: bytes, as: UTF8.self)
  }
}
