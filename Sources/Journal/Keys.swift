import Detection
import Wire

extension IPNetwork {
  /// How a network is written down: 4 or 16 bytes for one address, one byte more with the prefix length otherwise.
  var key: [UInt8] { isHost ? address.bytes : address.bytes + [UInt8(length)] }

  /// Reads what `key` gave.
  init?(key: [UInt8]) {
    switch key.count {
    case 4, 16:
      guard let address = IPAddress(bytes: key) else { return nil }
      self.init(address)
    case 5, 17:
      guard let address = IPAddress(bytes: key.dropLast()), let length = key.last else { return nil }
      self.init(address, length: Int(length))
    default: return nil
    }
  }
}

extension Verdict {
  /// Six bytes for each reason: kind, technique, port, weight, the last two with the high byte first.
  var packedEvidence: [UInt8] {
    evidence.flatMap { reason -> [UInt8] in
      let weight = UInt16(bitPattern: reason.weight)
      return [
        reason.kind.rawValue, reason.technique.rawValue, UInt8(reason.port >> 8), UInt8(reason.port & 255),
        UInt8(weight >> 8), UInt8(weight & 255),
      ]
    }
  }
}

extension Evidence {
  /// Reads what `Verdict.packedEvidence` gave; what this version does not know is left out.
  static func unpack(_ bytes: [UInt8]) -> [Evidence] {
    stride(from: 0, to: bytes.count - 5, by: 6).compactMap { at in
      guard let kind = Kind(rawValue: bytes[at]), let technique = Technique(rawValue: bytes[at + 1]) else { return nil }
      return Evidence(
        kind, technique, port: UInt16(bytes[at + 2]) << 8 | UInt16(bytes[at + 3]),
        weight: Int16(bitPattern: UInt16(bytes[at + 4]) << 8 | UInt16(bytes[at + 5])))
    }
  }
}

extension Event {
  /// When it happened; for a name, which has no time, the beginning of time.
  package var time: Timestamp {
    switch self {
    case .probe(let probe): probe.time
    case .verdict(let verdict): verdict.last
    case .proven(_, _, _, let at), .refused(_, _, let at), .released(_, _, let at), .lost(_, _, let at): at
    case .blocked(let record, _): record.since
    case .started(let at), .stopped(let at), .blind(let at), .seeing(let at): at
    case .named: .distantPast
    }
  }

  /// Whether it is about somebody who does nothing to us. When there is too much, these may have half of the room only, so that
  /// a flood does not hide who scans and what was done.
  package var isByTheWay: Bool {
    switch self {
    case .verdict(let verdict): verdict.verdictClass != .scan
    case .named: true
    default: false
    }
  }

  /// The source that has to be known for it, whatever the flood.
  var namedSource: IPNetwork? {
    switch self {
    case .verdict(let verdict): verdict.source
    case .proven(let address, _, _, _): IPNetwork(address)
    case .blocked(let record, _): record.network.isHost ? record.network : nil
    default: nil
    }
  }
}
