import Response
import Wire

extension ConfigurationFile {
  /// For which predecessor this file was written; nil when both would read it alike.
  ///
  /// An `ADVANCED_` key settles it, but for the one that is ours: only 1.2 had them. Otherwise forms that only one of the two accepts decide, unless
  /// there are forms of both. A misspelt key says nothing (1.2 overlooked it, 2.x refused it), and nor do our own.
  package var dialect: Dialect? {
    if entries.contains(where: { $0.name.startsWithBytes("ADVANCED_") && $0.key != .advancedDecoy }) { return .classic }
    let known = entries.filter { $0.key != nil }
    let onlyClassic = !junk.isEmpty || known.contains(where: \.isOnlyClassic)
    let onlyModern = known.contains(where: \.isOnlyModern)
    return switch (onlyClassic, onlyModern) {
    case (true, false): .classic
    case (false, true): .modern
    default: nil
    }
  }
}

extension ConfigurationFile.Entry {
  /// Whether 2.x refuses a file with this line in it while 1.2 goes on.
  fileprivate var isOnlyClassic: Bool {
    isIndented || !hasEqualsSign || hasTextBeforeQuote || quoting != .closed
  }

  /// Whether this line means something to 2.x that 1.2 would not have understood.
  fileprivate var isOnlyModern: Bool {
    if hasTabBeforeEquals { return true }
    guard key == .tcpPorts || key == .udpPorts else { return false }
    return PortList(value).hasRange
  }
}
