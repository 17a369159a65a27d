import Database
import Detection
import Wire

/// A source with its probes in the window asked for.
package struct SourceLine: Sendable, Equatable {
  package var source: Source
  package var probes: UInt64

  package init(source: Source, probes: UInt64) {
    self.source = source
    self.probes = probes
  }
}

/// What lists of sources are sorted by, the most, newest or earliest first.
package enum SourceOrder: String, Sendable, CaseIterable {
  case probes, last, first, ports

  func isBefore(_ a: SourceLine, _ b: SourceLine) -> Bool {
    switch self {
    case .probes: (b.probes, a.source.network) < (a.probes, b.source.network)
    case .last: (b.source.last, a.source.network) < (a.source.last, b.source.network)
    case .first: (a.source.first, a.source.network) < (b.source.first, b.source.network)
    case .ports: (b.source.ports, b.probes, a.source.network) < (a.source.ports, a.probes, b.source.network)
    }
  }
}

/// Which sources a list is about.
package struct SourceFilter: Sendable, Equatable {
  package var network: IPNetwork?
  package var verdict: Verdict.Class?
  package var tool: Tool?
  /// Only those that touched this port; of how many probes is then what is counted. Hours whose detail is gone do not count.
  package var port: PortChoice?
  package var isProven: Bool?
  /// Those in the ignore file, too.
  package var withIgnored = false

  package init() {}

  package func accepts(_ source: Source) -> Bool {
    (network.map { $0.contains(source.network) } ?? true) && (verdict.map { source.verdict == $0 } ?? true)
      && (tool.map { source.tool == $0 } ?? true)
      && (isProven.map { (source.origin == .proven) == $0 } ?? true) && (withIgnored || !source.isIgnored)
  }
}

/// A port that is looked for, of any protocol unless one is named.
package struct PortChoice: Sendable, Equatable {
  package let port: UInt16
  package let family: PortName.Family?

  /// Reads `23` or `53/udp`.
  package init?(_ text: String) {
    let parts = text.splitBytes("/", omittingEmptySubsequences: false)
    guard parts.count <= 2, parts[0].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(parts[0]) else {
      return nil
    }
    self.port = port
    guard parts.count == 2 else {
      family = nil
      return
    }
    guard let family = PortName.Family.allCases.first(where: { "\($0)".isSameBytes(as: parts[1]) }) else { return nil }
    self.family = family
  }

  func includes(_ technique: Technique) -> Bool { family.map { PortName(technique, port).family == $0 } ?? true }
}

package struct PortLine: Sendable, Equatable {
  package var port: PortName
  package var probes: UInt64
  /// Distinct sources: in the whole window, or (`SourceCount.perDay`) on a day in the mean; nil where that was not counted.
  package var sources: UInt64?
  package var techniques: TechniqueSet

  package init(port: PortName, probes: UInt64, sources: UInt64? = nil, techniques: TechniqueSet = []) {
    self.port = port
    self.probes = probes
    self.sources = sources
    self.techniques = techniques
  }
}

/// What the number of sources of a port means.
package enum SourceCount: Sendable { case inWindow, perDay }

package struct NetworkLine: Sendable, Equatable {
  /// A /24 or /48.
  package var network: IPNetwork
  package var sources: UInt64
  package var probes: UInt64

  package init(network: IPNetwork, sources: UInt64, probes: UInt64) {
    self.network = network
    self.sources = sources
    self.probes = probes
  }
}

package struct CountryLine: Sendable, Equatable {
  /// As the database calls it.
  package var country: String
  package var sources: UInt64
  package var probes: UInt64

  package init(country: String, sources: UInt64, probes: UInt64) {
    self.country = country
    self.sources = sources
    self.probes = probes
  }
}

package struct ToolLine: Sendable, Equatable {
  package var tool: Tool
  package var sources: UInt64
  package var scans: UInt64
  package var probes: UInt64

  package init(tool: Tool, sources: UInt64, scans: UInt64, probes: UInt64) {
    self.tool = tool
    self.sources = sources
    self.scans = scans
    self.probes = probes
  }
}

extension IPAddress {
  /// The network a site or a customer has as a rule: /24, or /48.
  package var usualNetwork: IPNetwork { IPNetwork(self, length: isV4 ? 24 : 48) ?? IPNetwork(self) }
}

extension JournalReader {
  /// The first sources of an order.
  package func sources(
    _ window: Window, by order: SourceOrder, _ filter: SourceFilter = SourceFilter(), limit: Int
  ) throws(DatabaseError) -> [SourceLine] {
    let probes: [Int64: UInt64]
    if let port = filter.port {
      probes = try probesBySource(window, to: port)
    } else {
      probes = try probesBySource(window)
    }
    var lines: [SourceLine] = []
    try forEachSource(since: window.start) { source in
      guard filter.accepts(source), source.network.isHost, source.first < window.end else { return }
      let count = probes[source.id] ?? 0
      if filter.port != nil, count == 0 { return }
      // Of a source that found no room in the detail the sum over all time is known.
      guard count > 0 || source.probes == 0 || source.isIgnored else { return }
      lines.append(SourceLine(source: source, probes: count))
    }
    return lines.largest(limit, by: order.isBefore)
  }

  /// Probes of one port by source, as far as there is detail.
  private func probesBySource(_ window: Window, to port: PortChoice) throws(DatabaseError) -> [Int64: UInt64] {
    let statement = try database.statement(
      "SELECT source, technique, count FROM probe WHERE hour BETWEEN ?1 AND ?2 AND source > 0 AND port = ?3")
    statement.bind([.int(window.first), .int(window.last), .int(Int64(port.port))])
    var result: [Int64: UInt64] = [:]
    while try statement.step() {
      guard let technique = Technique(rawValue: UInt8(clamping: statement.int(1))), port.includes(technique) else {
        continue
      }
      result[statement.int(0), default: 0] += UInt64(clamping: statement.int(2))
    }
    return result
  }

  /// The first sources of an order among those that were active in a short window: looks at these only.
  package func activeSources(
    _ window: Window, by order: SourceOrder, _ filter: SourceFilter = SourceFilter(), limit: Int
  ) throws(DatabaseError) -> [SourceLine] {
    // In a flood the most active will do.
    let counts = try probesBySource(window).map { (id: $0.key, probes: $0.value) }.largest(5_000) {
      ($1.probes, $0.id) < ($0.probes, $1.id)
    }
    let found = try sources(counts.map(\.id))
    return counts.compactMap { count in
      found[count.id].flatMap { filter.accepts($0) ? SourceLine(source: $0, probes: count.probes) : nil }
    }.largest(limit, by: order.isBefore)
  }

  /// The ports of the most probes.
  package func topPorts(_ window: Window, limit: Int) throws(DatabaseError) -> (lines: [PortLine], count: SourceCount) {
    var totals = PortTotals()
    try ports(window) { _, key, count in totals.add(key, count.probes) }
    var lines = totals.top(limit)
    // Two days' detail is read in a moment; of longer windows the whole days have been counted already.
    let isShort = window.hours <= 48
    var sources: [PortName: UInt64] = [:]
    var days: [PortName: UInt64] = [:]
    if isShort {
      for (key, count) in try distinctSources(window) {
        sources[PortName(key.technique, key.port), default: 0] += count
      }
    } else {
      for (_, ports) in try portsByDay(window) {
        var day: [PortName: UInt64] = [:]
        for (key, count) in ports.counts where count.sources > 0 {
          day[PortName(key.technique, key.port), default: 0] += count.sources
        }
        for (name, count) in day {
          sources[name, default: 0] += count
          days[name, default: 0] += 1
        }
      }
      for (name, count) in days { sources[name]? /= max(count, 1) }
    }
    for index in lines.indices where lines[index].port.port != nil { lines[index].sources = sources[lines[index].port] }
    return (lines, isShort ? .inWindow : .perDay)
  }

  /// The networks of the most sources.
  package func topNetworks(_ window: Window, limit: Int) throws(DatabaseError) -> [NetworkLine] {
    let probes = try probesBySource(window)
    var sums: [IPNetwork: NetworkLine] = [:]
    try forEachSource(since: window.start) { source in
      guard !source.isIgnored, source.network.isHost, let count = probes[source.id] else { return }
      let network = source.network.address.usualNetwork
      sums[network, default: NetworkLine(network: network, sources: 0, probes: 0)].sources += 1
      sums[network]?.probes += count
    }
    return Array(sums.values).largest(limit) {
      ($1.sources, $1.probes, $0.network) < ($0.sources, $0.probes, $1.network)
    }
  }

  /// The countries of the most sources, by what `country` says.
  package func topCountries(
    _ window: Window, limit: Int, country: (IPAddress) -> String?
  ) throws(DatabaseError) -> [CountryLine] {
    let probes = try probesBySource(window)
    var sums: [String: CountryLine] = [:]
    try forEachSource(since: window.start) { source in
      guard !source.isIgnored, source.network.isHost, let count = probes[source.id],
        let code = country(source.network.address)
      else { return }
      sums[code, default: CountryLine(country: code, sources: 0, probes: 0)].sources += 1
      sums[code]?.probes += count
    }
    return Array(sums.values).largest(limit) {
      ($1.sources, $1.probes, $0.country) < ($0.sources, $0.probes, $1.country)
    }
  }

  /// The tools of the most sources; only verdicts name tools.
  package func topTools(_ window: Window, limit: Int) throws(DatabaseError) -> [ToolLine] {
    let rows = try database.rows(
      """
      SELECT tool, variant, count(DISTINCT source), count(*), sum(probes) FROM scan
        WHERE last >= ?1 AND first < ?2 AND class = 0 GROUP BY tool, variant
      """, .int(window.start.nanoseconds), .int(window.end.nanoseconds)
    ) {
      ToolLine(
        tool: Self.tool($0.int(0), $0.int(1)), sources: UInt64(clamping: $0.int(2)), scans: UInt64(clamping: $0.int(3)),
        probes: UInt64(clamping: $0.int(4)))
    }
    return rows.largest(limit) { ($1.sources, $1.probes, $0.tool.name) < ($0.sources, $0.probes, $1.tool.name) }
  }
}

extension Array {
  /// The first `count` of the sorted array, without sorting what nobody asks for.
  package func largest(_ count: Int, by isBefore: (Element, Element) -> Bool) -> [Element] {
    guard count < self.count else { return sorted(by: isBefore) }
    guard count > 0 else { return [] }
    var result: [Element] = []
    result.reserveCapacity(count + 1)
    for element in self {
      if result.count == count, !isBefore(element, result[count - 1]) { continue }
      var low = 0
      var high = result.count
      while low < high {
        let middle = (low + high) / 2
        if isBefore(element, result[middle]) { high = middle } else { low = middle + 1 }
      }
      result.insert(element, at: low)
      if result.count > count { result.removeLast() }
    }
    return result
  }
}

// MARK: One source

/// Everything the journal knows of an address.
package struct SourceStory: Sendable {
  package var address: IPAddress
  /// The address itself; nil when it was never seen.
  package var source: Source?
  /// Prefixes around it on which there is a verdict.
  package var networks: [Source]
  package var window: Window
  /// What is kept of it in the window.
  package var detail: [JournalReader.Detail] { didSet { ports = Self.uses(of: detail) } }
  /// The same by port.
  package private(set) var ports: [PortUse]
  package var scans: [Scan]
  package var blocks: [PastBlock]
  /// Proofs, refusals and so on, the newest first.
  package var notes: [Note]

  package init(
    address: IPAddress, source: Source?, networks: [Source] = [], window: Window, detail: [JournalReader.Detail] = [],
    scans: [Scan] = [], blocks: [PastBlock] = [], notes: [Note] = []
  ) {
    self.address = address
    self.source = source
    self.networks = networks
    self.window = window
    self.detail = detail
    ports = Self.uses(of: detail)
    self.scans = scans
    self.blocks = blocks
    self.notes = notes
  }

  package var isEmpty: Bool { source == nil && networks.isEmpty && blocks.isEmpty && notes.isEmpty }

  /// A port that it touched.
  package struct PortUse: Sendable {
    package var port: PortName
    package var probes: UInt64
    /// The first and the last hour since 1970.
    package var first: Int64
    package var last: Int64
    package var techniques: TechniqueSet
  }

  /// A scan of all ports has 65,536 of them: they are found by their number, without hashing.
  private static func uses(of detail: [JournalReader.Detail]) -> [PortUse] {
    var uses: [PortUse] = []
    var places = [[Int32]](repeating: [], count: PortName.Family.allCases.count)
    for one in detail {
      let port = PortName(one.technique, one.port)
      let family = Int(port.family.rawValue)
      if places[family].isEmpty { places[family] = [Int32](repeating: -1, count: 1 << 16) }
      let place = Int(places[family][Int(one.port)])
      if place < 0 {
        places[family][Int(one.port)] = Int32(uses.count)
        uses.append(
          PortUse(
            port: port, probes: one.probes, first: one.hour, last: one.hour, techniques: TechniqueSet(one.technique)))
      } else {
        uses[place].probes += one.probes
        uses[place].first = min(uses[place].first, one.hour)
        uses[place].last = max(uses[place].last, one.hour)
        uses[place].techniques.insert(TechniqueSet(one.technique))
      }
    }
    return uses
  }

  /// Probes by hour, from the first to the last; a day at least, so that a moment looks like one.
  package var byHour: (first: Int64, counts: [UInt64])? {
    guard let first = detail.map(\.hour).min(), let last = detail.map(\.hour).max() else { return nil }
    let start = min(first, last - 23)
    var counts = [UInt64](repeating: 0, count: Int(last - start) + 1)
    for one in detail { counts[Int(one.hour - start)] += one.probes }
    return (start, counts)
  }
}

extension JournalReader {
  package func story(of address: IPAddress, _ window: Window) throws(DatabaseError) -> SourceStory {
    let found = try sources(at: address)
    let source = found.first { $0.network.isHost }
    var story = SourceStory(
      address: address, source: source, networks: found.filter { !$0.network.isHost }, window: window,
      blocks: try blocks(covering: IPNetwork(address)), notes: try notes(on: IPNetwork(address)))
    for one in found { story.scans += try scans(of: one) }
    if let source { story.detail = try detail(of: source, window) }
    return story
  }
}

extension JournalReader {
  /// The ports of the most probes in a window, with their probes in each of its hours.
  package func portsByHour(
    _ window: Window, limit: Int
  ) throws(DatabaseError) -> [(port: PortName, byHour: [UInt64])] {
    var totals = PortTotals()
    try ports(window) { _, key, count in totals.add(key, count.probes) }
    // One place more, for those not counted one by one.
    let top = totals.top(limit + 1).filter { $0.port.port != nil }.prefix(limit)
    var places: [PortName: Int] = [:]
    for line in top { places[line.port] = places.count }
    var byHour = [[UInt64]](repeating: [UInt64](repeating: 0, count: window.hours), count: places.count)
    try ports(window) { hour, key, count in
      guard let place = places[PortName(key.technique, key.port)] else { return }
      byHour[place][Int(hour - window.first)] += count.probes
    }
    return top.map { ($0.port, byHour[places[$0.port] ?? 0]) }
  }

  /// The newest notes, the newest first.
  package func newestNotes(_ limit: Int) throws(DatabaseError) -> [Note] {
    try notes(try database.rows("SELECT id FROM note ORDER BY id DESC LIMIT ?1", Value(limit)) { $0.int(0) })
  }
}

// MARK: At a glance

/// What `status`, the page and `watch` show of the journal.
package struct Glance: Sendable {
  /// The last 24 hours, the one under way last; hours without anything included.
  package var hours: [Hour]
  package var newest: [Note]
  package var top: [SourceLine]
  package var used: Int
  package var lastWritten: Timestamp?
  /// From when on there is detail, and from when on counts.
  package var detailSince: Timestamp?
  package var countsSince: Timestamp?
}

extension JournalReader {
  package func glance(now: Timestamp, sources limit: Int = 5, notes: Int = 6) throws(DatabaseError) -> Glance {
    let day = Window(last: .seconds(86_400), now: now)
    let known = Dictionary(uniqueKeysWithValues: try hours(day).map { ($0.hour, $0) })
    // The hour under way and the one before it: what is going on.
    let recent = Window(first: day.last - 1, last: day.last)
    let (counts, detail) = try beginnings()
    return Glance(
      hours: (day.first...day.last).map { known[$0] ?? Hour(hour: $0) }, newest: try newestNotes(notes),
      top: try activeSources(recent, by: .probes, limit: limit),
      used: try size().used, lastWritten: try lastWritten(), detailSince: detail.map { Timestamp(seconds: $0 * 3600) },
      countsSince: counts.map { Timestamp(seconds: $0 * 3600) })
  }
}
