import Wire

/// When what was seen is enough. Pure functions of sightings; the model in the tests says the same in the plainest way.
struct Quorum: Equatable {
  var nodes: Int
  var zones: Int

  /// The last second in which so many nodes in so many zones had seen it within 24 hours; nil where there is none.
  ///
  /// - Parameter sightings: of one address; of a node also several.
  func complete(_ sightings: [Sighting], zone: (UInt16) -> UInt16) -> UInt32? {
    guard sightings.count >= nodes else { return nil }
    let sorted = Self.sorted(sightings)
    for (index, last) in sorted.enumerated() {
      if sorted.count - index < nodes { return nil }
      let within = Self.newest(sorted[index...].prefix { Self.isWithin($0, last.second) })
      if within.count >= nodes, zones <= 1 || Set(within.map { zone($0.slot) }).count >= zones { return last.second }
    }
    return nil
  }

  /// Which sightings of more than there is room for are kept, at least `2 * nodes - 1`. Those of the last complete quorum stay: a node of it
  /// that sees the source again must not undo it before another is complete. Then what is newer, and what may replace a witness.
  func kept(_ sightings: [Sighting], width: Int, zone: (UInt16) -> UInt16) -> [Sighting] {
    let sorted = Self.sorted(sightings)
    guard let second = complete(sorted, zone: zone) else { return chosen(Self.newest(sorted), width, zone) }
    let within = Self.newest(sorted.drop { $0.second > second }.prefix { Self.isWithin($0, second) })
    let quorum = chosen(within, nodes, zone)
    let newer = chosen(Self.newest(sorted.prefix { $0.second > second }), max(width - quorum.count, 0), zone)
    let spare = within.filter { !quorum.contains($0) }
    return Self.sorted(Array((quorum + newer + spare).prefix(width)))
  }

  /// The latest of each of as many zones as are needed, then the latest.
  private func chosen(_ sorted: [Sighting], _ most: Int, _ zone: (UInt16) -> UInt16) -> [Sighting] {
    guard sorted.count > most else { return sorted }
    var seen: Set<UInt16> = []
    var chosen = sorted.filter { seen.count < zones && seen.insert(zone($0.slot)).inserted }
    for sighting in sorted where chosen.count < most && !chosen.contains(sighting) { chosen.append(sighting) }
    return chosen
  }

  private static func isWithin(_ sighting: Sighting, _ last: UInt32) -> Bool {
    Int64(last) - Int64(sighting.second) <= FleetSettings.windowSeconds
  }

  /// The newest of each node.
  static func newest(_ sightings: some Sequence<Sighting>) -> [Sighting] {
    var result: [Sighting] = []
    for sighting in sorted(Array(sightings)) where !result.contains(where: { $0.slot == sighting.slot }) {
      result.append(sighting)
    }
    return result
  }

  private static func sorted(_ sightings: [Sighting]) -> [Sighting] {
    sightings.sorted { ($0.second, $0.slot) > ($1.second, $1.slot) }
  }
}
