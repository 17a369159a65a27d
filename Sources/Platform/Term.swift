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
}
