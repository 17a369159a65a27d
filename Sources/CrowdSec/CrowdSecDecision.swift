import Wire

/// A decision of the local API's, as far as it is of use here.
package struct CrowdSecDecision: Equatable, Sendable {
  package var id: Int64
  package var network: IPNetwork
  /// How much longer it lasts; negative of one that was deleted.
  package var duration: Duration
  /// What it was made for, as `crowdsecurity/ssh-bf`: only letters, digits, `/`, `.`, `_` and `-`.
  package var scenario: String
  /// The program that made it.
  package var origin: String

  /// `origin` of decisions that a PortSentry told of, this one or another. They are no news: hosts of ours tell each other by the fleet, with proof.
  package static let ownOrigin = "portsentry"
  /// No wider network is believed, as of the fleet's orders: any machine may ban 0.0.0.0/0 there.
  static let widest = (v4: 16, v6: 32)
  /// As long as anything may last: ten years.
  static let longest = Duration.seconds(315_360_000)

  package init(id: Int64, network: IPNetwork, duration: Duration, scenario: String, origin: String) {
    self.id = id
    self.network = network
    self.duration = duration
    self.scenario = scenario
    self.origin = origin
  }

  /// Reads one; nil for one about something else than addresses, or that is no ban, or not in force (simulated).
  package init?(_ reader: inout JSONReader) throws(JSONReader.Fault) {
    var (id, text): (Int64?, [String: String]) = (nil, [:])
    var isSimulated = false
    try reader.object { (reader, name) throws(JSONReader.Fault) in
      switch name {
      case "id": id = try reader.isNull() ? nil : try reader.id()
      case "value", "type", "duration", "scenario", "origin": text[name] = try reader.text()
      case "simulated":
        isSimulated = try reader.peek() == 0x74
        try reader.skip()
      default: try reader.skip()
      }
    }
    guard !isSimulated, let id, let value = text["value"], let network = IPNetwork(value),
      network.length >= (network.isV4 ? Self.widest.v4 : Self.widest.v6),
      text["type"]?.asciiLowercased == "ban", let duration = Self.duration(text["duration"] ?? "")
    else { return nil }
    self.init(
      id: id, network: network, duration: duration, scenario: Self.harmless(text["scenario"] ?? ""),
      origin: Self.harmless(text["origin"] ?? ""))
  }

  /// What has other characters is a stranger's, and gets `-` for each of them.
  static func harmless(_ text: String) -> String {
    String(
      decoding: text.utf8.prefix(80).map { byte -> UInt8 in
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d...0x2f, 0x5f: byte
        default: 0x2d
        }
      }, as: UTF8.self)
  }

  /// A length of time as Go writes it: `59m59.83s`, `1h0m0s`, `-7.787459ms`.
  static func duration(_ text: String) -> Duration? {
    var bytes = Array(text.utf8)[...]
    let isNegative = bytes.first == 0x2d
    if isNegative { bytes.removeFirst() }
    guard !bytes.isEmpty else { return nil }
    var sum = 0.0
    while !bytes.isEmpty {
      let digits = bytes.prefix { (0x30...0x39).contains($0) || $0 == 0x2e }
      bytes = bytes.dropFirst(digits.count)
      let unit = bytes.prefix { !(0x30...0x39).contains($0) }
      bytes = bytes.dropFirst(unit.count)
      guard let number = Double(String(decoding: digits, as: UTF8.self)), number.isFinite,
        let factor = units[String(decoding: unit, as: UTF8.self)]
      else { return nil }
      sum += number * factor
    }
    // Before it is a length of time: what is larger than those can be ends the program.
    let result = Duration.seconds(min(sum, Double(longest.components.seconds)))
    return isNegative ? .zero - result : result
  }

  private static let units: [String: Double] = [
    "h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "\u{b5}s": 1e-6, "\u{3bc}s": 1e-6, "ns": 1e-9,
  ]
}

/// The answer of `/v1/decisions/stream`, read a part at a time so that nobody waits for all of it.
package struct DecisionStream: Sendable {
  package enum Item: Equatable, Sendable {
    case new(CrowdSecDecision)
    case deleted(CrowdSecDecision)
  }

  private enum Place { case start, members, new, deleted, end }

  private var reader: JSONReader
  private var place = Place.start
  private var isFirst = true
  private var isFirstElement = true

  package init(_ body: [UInt8]) { reader = JSONReader(body) }

  package var isOver: Bool { place == .end }

  /// The next decision; nil for one that is of no use, and at the end.
  package mutating func next() throws(JSONReader.Fault) -> Item? {
    switch place {
    case .end: return nil
    case .start:
      try reader.expect(0x7b)
      place = .members
      return nil
    case .members:
      guard try reader.next(before: 0x7d, isFirst: &isFirst) else {
        place = .end
        return nil
      }
      let name = try reader.name()
      guard ["new", "deleted"].contains(name), try reader.peek() == 0x5b else {
        try reader.skip()
        return nil
      }
      try reader.expect(0x5b)
      (place, isFirstElement) = (name.isSameBytes(as: "new") ? .new : .deleted, true)
      return nil
    case .new, .deleted:
      guard try reader.next(before: 0x5d, isFirst: &isFirstElement) else {
        place = .members
        return nil
      }
      let isNew = place == .new
      return try CrowdSecDecision(&reader).map { isNew ? .new($0) : .deleted($0) }
    }
  }
}
