import Wire

/// When what was seen is enough. Pure functions of sightings; the model in the tests says the same in the plainest way.
struct Quorum: Equatable {
  var nodes: Int
  var zones: Int

  /// The last second in which so many nodes in so many zones had seen it within 24 hours; nil where there is none.
  ///
  /// - Parameter sightings: of one address, of each node once.
  func complete(_ sightings: [Sighting], zone: (UInt16) -> UInt16) -> UInt32? {
    guard sightings.count >= nodes else { return nil }
    let sorted = Self.sorted(sightings)
    for (index, last) in sorted.enumerated() {
      if sorted.count - index < nodes { return nil }
      let within = sorted[index...].prefix { Int64(last.second) - Int64($0.second) <= FleetSettings.windowSeconds }
      if within.count >= nodes, zones <= 1 || Set(within.map { zone($0.slot) }).count >= zones { return last.second }
    }
    return nil
  }

  /// Which sightings of more than there is room for are kept: the latest of each of as many zones as are needed, then the latest.
  /// Whatever comes in whatever order, the same are kept.
  func kept(_ sightings: [Sighting], width: Int, zone: (UInt16) -> UInt16) -> [Sighting] {
    let sorted = Self.sorted(sightings)
    guard sorted.count > width else { return sorted }
    var seen: Set<UInt16> = []
    var kept = sorted.filter { seen.count < zones && seen.insert(zone($0.slot)).inserted }
    for sighting in sorted where kept.count < width && !kept.contains(sighting) { kept.append(sighting) }
    return Self.sorted(kept)
  }

  private static func sorted(_ sightings: [Sighting]) -> [Sighting] {
    sightings.sorted { ($0.second, $0.slot) > ($1.second, $1.slot) }
  }
}
