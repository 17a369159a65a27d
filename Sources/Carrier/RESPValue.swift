import Platform

/// One reply of an engine that speaks RESP2. Strings are bytes: they are a stranger's.
package indirect enum RESPValue: Equatable, Sendable {
  case simple([UInt8])
  /// The engine refuses; its words.
  case error([UInt8])
  case integer(Int64)
  case bulk([UInt8])
  /// A string or a list that is not there.
  case null
  case array([RESPValue])

  /// The bytes of a string; nil for anything else.
  package var bytes: [UInt8]? {
    switch self {
    case .simple(let bytes), .bulk(let bytes): bytes
    default: nil
    }
  }

  /// The elements of a list; none for anything else.
  package var elements: [RESPValue] { if case .array(let elements) = self { elements } else { [] } }

  /// What an engine refuses with, fit to be shown; nil for any other reply.
  package var refusal: String? {
    guard case .error(let words) = self else { return nil }
    return SafeText.line(bytes: words, limit: 200)
  }
}

/// A command as it goes over the wire: a list of strings.
package enum RESPCommand {
  package static func encode(_ words: [[UInt8]], into output: inout [UInt8]) {
    output += Array("*\(words.count)\r\n".utf8)
    for word in words {
      output += Array("$\(word.count)\r\n".utf8)
      output += word
      output += [0x0d, 0x0a]
    }
  }
}
