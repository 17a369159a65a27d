/// Lengths of time as people say them.
package enum Term {
  /// `0.2s` below ten seconds, else as `text`.
  package static func short(_ duration: Duration) -> String {
    let seconds = duration.components.seconds
    let tenths = max(0, seconds < 10 ? Int(duration / .milliseconds(100)) : 100)
    return tenths < 100 ? "\(tenths / 10).\(tenths % 10)s" : text(duration)
  }

  /// `45s`, `12m`, `5h 3m`, `3d 4h`.
  package static func text(_ duration: Duration) -> String {
    let seconds = max(0, duration.components.seconds)
    switch seconds {
    case ..<60: return "\(seconds)s"
    case ..<3600: return "\(seconds / 60)m" + (seconds < 600 && seconds % 60 > 0 ? " \(seconds % 60)s" : "")
    case ..<86_400: return "\(seconds / 3600)h" + (seconds / 60 % 60 > 0 ? " \(seconds / 60 % 60)m" : "")
    default: return "\(seconds / 86_400)d" + (seconds / 3600 % 24 > 0 ? " \(seconds / 3600 % 24)h" : "")
    }
  }

  /// `90`, `90s`, `30m`, `24h`, `7d`, `2w` in seconds; nil for anything else, for none, and for more than a century.
  package static func seconds(_ text: String) -> Int64? { seconds(text, least: 1) }

  /// - Parameter least: less is nil, too.
  package static func seconds(_ text: String, least: Int64) -> Int64? {
    let units: [UInt8: Int64] = [0x73: 1, 0x6d: 60, 0x68: 3600, 0x64: 86_400, 0x77: 604_800]  // s, m, h, d, w
    guard let last = text.utf8.last else { return nil }
    let (digits, unit) = units[last].map { (Substring(text.utf8.dropLast()), $0) } ?? (text[...], 1)
    guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int64(digits), number >= least,
      number <= 4_000_000_000 / unit
    else { return nil }
    return number * unit
  }
}
