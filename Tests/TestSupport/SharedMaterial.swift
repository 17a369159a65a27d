import Platform

/// Material that lies beside the checkout in `../shared` and is no part of it.
package enum SharedMaterial {
  /// Where it would be, found from this file's place.
  private static let folder = {
    let parts = #filePath.split(separator: "/").dropLast(4)
    return "/" + parts.joined(separator: "/") + "/shared"
  }()

  /// A file of it; nil where there is none.
  package static func read(_ path: String) -> [UInt8]? { try? Files.read("\(folder)/\(path)") }
}

/// The frames of a classic pcap file with Ethernet frames, as bytes from the network header on.
package struct CaptureFrames {
  package struct Frame {
    /// Nanoseconds since the epoch.
    package let time: Int64
    /// From the IP header on; empty for what is not IP.
    package let datagram: [UInt8]
    package let destinationIsGroup: Bool
  }

  package let frames: [Frame]

  /// Nil for any other file.
  package init?(_ bytes: [UInt8]) {
    func u32(_ offset: Int, little: Bool) -> UInt32 {
      let four = bytes[offset..<offset + 4]
      return (little ? Array(four.reversed()) : Array(four)).reduce(0) { $0 << 8 | UInt32($1) }
    }
    guard bytes.count >= 24 else { return nil }
    let little = bytes[0] == 0xd4 || bytes[0] == 0x4d
    let magic = u32(0, little: little)
    guard magic == 0xa1b2_c3d4 || magic == 0xa1b2_3c4d, u32(20, little: little) == 1 else { return nil }
    let scale: Int64 = magic == 0xa1b2_3c4d ? 1 : 1000
    var frames: [Frame] = []
    var offset = 24
    while offset + 16 <= bytes.count {
      let time = Int64(u32(offset, little: little)) * 1_000_000_000 + Int64(u32(offset + 4, little: little)) * scale
      let length = Int(u32(offset + 8, little: little))
      let start = offset + 16
      guard start + length <= bytes.count else { break }
      var header = start + 12
      let end = start + length
      var type = 0
      while header + 2 <= end {
        type = Int(bytes[header]) << 8 | Int(bytes[header + 1])
        header += 2
        guard type == 0x8100 || type == 0x88a8 else { break }
        header += 2
      }
      let isIP = type == 0x0800 || type == 0x86dd
      frames.append(
        Frame(
          time: time, datagram: isIP && header <= end ? Array(bytes[header..<end]) : [],
          destinationIsGroup: length > 0 && bytes[start] & 1 == 1))
      offset = end
    }
    self.frames = frames
  }
}

/// Rows of a comma-separated file with a heading, as fields by name; quotes as in RFC 4180.
package func table(ofCSV text: String) -> [[String: String]] {
  var rows: [[String]] = [[]]
  var field = ""
  var isQuoted = false
  var previousWasQuote = false
  for character in text {
    if isQuoted {
      if character == "\"" { isQuoted = false } else { field.append(character) }
      previousWasQuote = character == "\""
      continue
    }
    switch character {
    case "\"":
      if previousWasQuote { field.append("\"") }
      isQuoted = true
    case ",":
      rows[rows.count - 1].append(field)
      field = ""
    case _ where character.isNewline:
      rows[rows.count - 1].append(field)
      field = ""
      rows.append([])
    default: field.append(character)
    }
    previousWasQuote = false
  }
  let heading = rows.removeFirst()
  return rows.filter { $0.count == heading.count }.map { Dictionary(uniqueKeysWithValues: zip(heading, $0)) }
}
