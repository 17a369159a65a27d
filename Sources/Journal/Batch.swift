import Detection
import Wire

/// What happened within half a second or so, added up: what is written in one transaction.
package struct Batch: Sendable {
  /// What is counted one by one.
  struct Key: Hashable, Sendable {
    var source: IPAddress
    var hour: Int64
    var port: UInt16
    var technique: Technique
  }

  /// What is kept of a source besides.
  struct Source: Sendable {
    var first: Int64
    var last: Int64
    var probes: UInt64 = 0
    var techniques: TechniqueSet = []
    var ports = PortBits()
    var target: IPAddress
    var sourcePort: UInt16 = 0
    var isIgnored = false

    mutating func add(_ probe: Probe, _ seconds: Int64) {
      first = min(first, seconds)
      last = max(last, seconds)
      target = probe.target
      sourcePort = probe.sourcePort
      isIgnored = probe.isIgnored
      guard !isIgnored else { return }
      probes += 1
      techniques.insert(TechniqueSet(probe.technique))
      ports.insert(probe.technique, probe.targetPort)
    }
  }

  /// Distinct combinations of source, port, technique and hour, and events: beyond these a batch takes no more, and what
  /// it does not take is counted. Batches grow to it only while nothing can be written, or in a flood.
  package static let capacity = 32_768
  static let eventCapacity = 8_192

  private(set) var probes: [Key: UInt64] = [:]
  private(set) var sources: [IPAddress: Source] = [:]
  /// Probes of sources in the ignore file, by hour: they are nobody's background radiation.
  private(set) var ignored: [Int64: UInt64] = [:]
  /// Everything but probes, in order.
  private(set) var events: [Event] = []
  /// Probes and events that found no room.
  package private(set) var lost: UInt64 = 0

  package init() {}

  /// How many probes and events are in it.
  package var records: UInt64 { probes.values.reduce(UInt64(events.count)) { $0 + $1 } }

  package var isEmpty: Bool { probes.isEmpty && events.isEmpty && ignored.isEmpty && lost == 0 }

  package mutating func add(_ event: Event) {
    guard case .probe(let probe) = event else {
      let room = event.isByTheWay ? Self.eventCapacity / 2 : Self.eventCapacity
      if events.count < room { events.append(event) } else { lost += 1 }
      return
    }
    let seconds = probe.time.wholeSeconds
    let hour = seconds.hour
    if probe.isIgnored {
      ignored[hour, default: 0] += 1
    } else {
      let key = Key(source: probe.source, hour: hour, port: probe.targetPort, technique: probe.technique)
      if probes.count < Self.capacity {
        probes[key, default: 0] += 1
      } else if let place = probes.index(forKey: key) {
        probes.values[place] += 1
      } else {
        lost += 1
        return
      }
    }
    guard sources.count < Self.capacity || sources[probe.source] != nil else { return }
    sources[probe.source, default: Source(first: seconds, last: seconds, target: probe.target)].add(probe, seconds)
  }

  /// Says that so many more were lost on the way here.
  package mutating func addLost(_ count: UInt64) { lost += count }
}

extension Timestamp {
  /// Seconds since 1970, rounded down.
  package var wholeSeconds: Int64 {
    nanoseconds >= 0 ? nanoseconds / 1_000_000_000 : -((999_999_999 - nanoseconds) / 1_000_000_000)
  }
}

extension Int64 {
  /// The hour since 1970 of seconds since 1970.
  package var hour: Int64 { self >= 0 ? self / 3600 : -((3599 - self) / 3600) }
  /// The day since 1970 of an hour since 1970.
  package var dayOfHour: Int64 { self >= 0 ? self / 24 : -((23 - self) / 24) }
}
