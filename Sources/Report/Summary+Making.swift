import Database
import Detection
import GeoIP
import Journal
import Platform
import Wire

extension Summary {
  /// How many lines lists have.
  private static let portLines = 20
  private static let lines = 12
  private static let extremes = 5

  /// Counts a window of the journal.
  package static func make(
    _ reader: JournalReader, _ window: Window, now: Timestamp, zone: Zone, host: String, version: String, atlas: Atlas
  ) throws(DatabaseError) -> Summary {
    var summary = Summary(window: window, now: now, zone: zone, host: host, version: version)
    try reader.snapshot { () throws(DatabaseError) in
      try summary.countHours(reader)
      try summary.countPorts(reader)
      try summary.countSources(reader, atlas)
      try summary.countScans(reader)
      try summary.countBlocks(reader)
      try summary.countSight(reader)
      summary.losses = try reader.losses(window)
    }
    return summary
  }

  /// The place of a moment in `days`.
  private func index(_ time: Timestamp) -> Int? {
    guard let first = days.first?.day else { return nil }
    let index = Int(zone.day(time) - first)
    return days.indices.contains(index) ? index : nil
  }

  private mutating func countHours(_ reader: JournalReader) throws(DatabaseError) {
    let hours = try reader.hours(window)
    since = hours.first?.start
    let first = zone.day(max(window.start, since ?? window.start))
    let last = zone.day(min(now, Timestamp(nanoseconds: window.end.nanoseconds - 1)))
    guard first <= last else { return }
    let begin = max(window.start, since ?? window.start)
    days = (first...last).map { day in
      let start = zone.start(ofDay: day)
      var result = Day(day: day, start: max(begin, start))
      result.isWhole = start >= begin && zone.start(ofDay: day + 1) <= min(now, window.end)
      return result
    }
    makeColumns(begin)
    var times = [Double](repeating: 0, count: 24)
    for hour in hours {
      probes += hour.probes
      ignored += hour.ignored
      newcomers += hour.newcomers
      let ofDay = zone.parts(hour.start).hour
      hoursOfDay[ofDay] += Double(hour.sources)
      times[ofDay] += 1
      guard let index = index(hour.start) else { continue }
      days[index].probes += hour.probes
      days[index].newcomers += hour.newcomers
    }
    for hour in 0..<24 where times[hour] > 0 { hoursOfDay[hour] /= times[hour] }
  }

  /// As many hours a column as give some hundred columns, beginning at midnight here.
  private mutating func makeColumns(_ begin: Timestamp) {
    let end = min(now, window.end)
    let hours = Int64((end - begin).components.seconds / 3600)
    columnHours = hours <= 72 ? 1 : hours <= 14 * 24 ? 3 : hours <= 45 * 24 ? 6 : 24
    var start = zone.start(ofDay: zone.day(begin))
    while start < end {
      if start + .seconds(columnHours * 3600) > begin { columns.append(start) }
      start = start + .seconds(columnHours * 3600)
    }
  }

  private mutating func countPorts(_ reader: JournalReader) throws(DatabaseError) {
    // The last seven days against what was before them, where there is enough before.
    let split = window.last - 7 * 24 + 1
    let from = max(window.first, (since?.wholeSeconds ?? 0) / 3600)
    let hoursBefore = split - from
    var totals = PortTotals()
    var recent = PortTotals()
    var byTechnique: [Technique: UInt64] = [:]
    try reader.ports(window) { hour, key, count in
      totals.add(key, count.probes)
      if hour >= split { recent.add(key, count.probes) }
      byTechnique[key.technique, default: 0] += count.probes
    }
    techniques = byTechnique.map { (technique: $0.key, probes: $0.value) }.sorted {
      ($1.probes, $0.technique.rawValue) < ($0.probes, $1.technique.rawValue)
    }
    let all = totals.lines
    portCount = all.count { $0.port.port != nil }
    var chosen = all.filter { $0.port.port != nil }.largest(Self.portLines) {
      ($1.probes, $0.port) < ($0.probes, $1.port)
    }
    let (counted, _) = try reader.topPorts(window, limit: Self.portLines + 4)
    let sources = Dictionary(counted.map { ($0.port, $0.sources) }, uniquingKeysWith: { first, _ in first })
    for index in chosen.indices { chosen[index].sources = sources[chosen[index].port] ?? nil }
    let rises = hoursBefore >= 7 * 24 ? rises(all, recent, hoursBefore: hoursBefore) : []
    if hoursBefore >= 7 * 24 {
      let total = all.reduce(0) { $0 + recent[$1.port] }
      pace = (Double(total) / 7, Double(probes - min(total, probes)) / Double(hoursBefore) * 24)
    }
    // Once more through the hours, for those few.
    var places: [PortName: Int] = [:]
    for line in chosen { places[line.port] = places.count }
    for rise in rises where places[rise.port] == nil { places[rise.port] = places.count }
    var byDay = [[UInt64]](repeating: [UInt64](repeating: 0, count: days.count), count: places.count)
    var overTime = [[UInt64]](repeating: [UInt64](repeating: 0, count: columns.count), count: places.count)
    var hour: Int64 = .min
    var (dayIndex, column): (Int?, Int?) = (nil, nil)
    let columnStart = columns.first?.seconds ?? 0
    try reader.ports(window) { at, key, count in
      guard let place = places[PortName(key.technique, key.port)] else { return }
      if at != hour {
        hour = at
        let start = Timestamp(seconds: at * 3600)
        dayIndex = index(start)
        let number = Int((start.seconds - columnStart) / (columnHours * 3600))
        column = columns.indices.contains(number) ? number : nil
      }
      if let dayIndex { byDay[place][dayIndex] += count.probes }
      if let column { overTime[place][column] += count.probes }
    }
    ports = chosen.map { line in
      let place = places[line.port] ?? 0
      return Port(line: line, byDay: byDay[place], overTime: overTime[place])
    }
    rising = rises.map { rise in
      var rise = rise
      rise.byDay = byDay[places[rise.port] ?? 0]
      return rise
    }
  }

  /// The ports that were asked for much more in the last seven days than before.
  private func rises(_ all: [PortLine], _ recent: PortTotals, hoursBefore: Int64) -> [Rise] {
    let weeks = Double(hoursBefore) / (7 * 24)
    var rises: [Rise] = []
    for line in all where line.port.port != nil {
      let now = recent[line.port]
      let before = Double(line.probes - now) / weeks
      // Enough to be seen, and at least three times as much as it was.
      guard now >= 50, Double(now) >= 3 * before, Double(now) / Double(max(probes, 1)) > 0.0002 else { continue }
      rises.append(Rise(port: line.port, recent: now, before: before, byDay: []))
    }
    return rises.largest(8) { ($1.recent, $0.port) < ($0.recent, $1.port) }
  }

  private mutating func countSources(_ reader: JournalReader, _ atlas: Atlas) throws(DatabaseError) {
    let counts = try reader.probesBySource(window)
    var byReach: [Reach: (sources: Int, probes: UInt64)] = [:]
    var byOrigin: [Origin: Int] = [:]
    var byNetwork: [IPNetwork: NetworkLine] = [:]
    var byCountry: [String: Country] = [:]
    var bySystem: [UInt32: System] = [:]
    var lines: [SourceLine] = []
    var best: UInt64 = 0
    var seen = 0
    try reader.forEachSource(since: window.start) { source in
      guard !source.isIgnored, source.network.isHost, let count = counts[source.id] else { return }
      seen += 1
      byReach[Self.reach(source), default: (0, 0)].sources += 1
      byReach[Self.reach(source)]?.probes += count
      byOrigin[source.origin, default: 0] += 1
      let address = source.network.address
      let network = address.usualNetwork
      byNetwork[network, default: NetworkLine(network: network, sources: 0, probes: 0)].sources += 1
      byNetwork[network]?.probes += count
      if !atlas.isEmpty, let place = atlas.place(of: address) {
        if let code = place.country {
          byCountry[code, default: Country(code: code, name: place.countryName ?? code, sources: 0, probes: 0)]
            .sources += 1
          byCountry[code]?.probes += count
        }
        if let number = place.systemNumber {
          bySystem[number, default: System(number: number, name: place.organisation ?? "", sources: 0, probes: 0)]
            .sources += 1
          bySystem[number]?.probes += count
        }
      }
      // Kept short on the way, so that not all are sorted.
      if count >= best {
        lines.append(SourceLine(source: source, probes: count))
        if lines.count >= 4 * Self.lines {
          lines = lines.largest(Self.lines) { ($1.probes, $0.source.network) < ($0.probes, $1.source.network) }
          best = lines.last?.probes ?? 0
        }
      }
    }
    sources = seen
    reach = Reach.allCases.map { ($0, byReach[$0]?.sources ?? 0, byReach[$0]?.probes ?? 0) }
    origins = Origin.allCases.map { ($0, byOrigin[$0] ?? 0) }
    top = lines.largest(Self.lines) { ($1.probes, $0.source.network) < ($0.probes, $1.source.network) }
    networks = Array(byNetwork.values).largest(Self.lines) {
      ($1.sources, $1.probes, $0.network) < ($0.sources, $0.probes, $1.network)
    }
    countries = Array(byCountry.values).largest(Self.lines) {
      ($1.sources, $1.probes, $0.code) < ($0.sources, $0.probes, $1.code)
    }
    systems = Array(bySystem.values).largest(Self.lines) {
      ($1.sources, $1.probes, $0.number) < ($0.sources, $0.probes, $1.number)
    }
    for line in top { places[line.source.network.address] = atlas.place(of: line.source.network.address) }
    for line in networks { places[line.network.address] = atlas.place(of: line.network.address) }
  }

  static func reach(_ source: Source) -> Reach {
    if source.ports <= 3 { return .passing }
    if source.tool.family == .nmap { return .aimed }
    let isWide = [.zmap, .masscan].contains(source.tool.family)
    if isWide || (source.ports >= 16 && source.last - source.first > .seconds(7 * 86_400)) { return .mapping }
    return source.ports >= 16 ? .aimed : .closer
  }

  private mutating func countScans(_ reader: JournalReader) throws(DatabaseError) {
    tools = try reader.topTools(window, limit: Self.lines)
    var byKind: [ScanKind: Int] = [:]
    var byPort: [PortName: Int] = [:]
    for scan in try reader.scans(since: window.start) where scan.first < window.end {
      scans[scan.verdictClass, default: 0] += 1
      switch scan.verdictClass {
      case .scan:
        byKind[scan.kind, default: 0] += 1
        if let index = index(scan.first) { days[index].scans += 1 }
        Self.keep(scan, in: &longest) { $0.duration > $1.duration }
        Self.keep(scan, in: &broadest) { ($0.ports, $0.targets) > ($1.ports, $1.targets) }
        if scan.isSlow, scan.probes > 1 { Self.keep(scan, in: &slowest) { Self.gap($0) > Self.gap($1) } }
      case .backscatter:
        victimCount += 1
        victimsByDay[zone.day(scan.first), default: 0] += 1
        byPort[PortName(scan.transport == .udp ? PortName.Family.udp : .tcp, scan.port), default: 0] += 1
        Self.keep(scan, in: &victims) { $0.probes > $1.probes }
      case .flood, .anomaly: break
      }
    }
    kinds = ScanKind.allCases.compactMap { kind in byKind[kind].map { (kind, $0) } }.sorted { $0.count > $1.count }
    victimPorts = byPort.map { (port: $0.key, victims: $0.value) }.largest(6) {
      ($1.victims, $0.port) < ($0.victims, $1.port)
    }
  }

  /// The mean time from one probe to the next.
  package static func gap(_ scan: Scan) -> Duration { scan.duration / max(Int(scan.probes) - 1, 1) }

  private static func keep(_ scan: Scan, in list: inout [Scan], _ isBefore: (Scan, Scan) -> Bool) {
    if list.count == extremes, let last = list.last, !isBefore(scan, last) { return }
    list.append(scan)
    list.sort(by: isBefore)
    if list.count > extremes { list.removeLast() }
  }

  private mutating func countBlocks(_ reader: JournalReader) throws(DatabaseError) {
    var byHost: [String: Int] = [:]
    for block in try reader.blocks(since: window.start) where block.record.since < window.end {
      if block.record.since >= window.start { blocks.made += 1 }
      if block.ended == nil { blocks.inForce += 1 } else { blocks.ended += 1 }
      if block.wentOn { blocks.wentOn += 1 }
      if block.cameBack { blocks.cameBack += 1 }
      if block.repeats > 0 { blocks.repeated += 1 }
      if let index = index(block.record.since) { days[index].blocks += 1 }
      if blocks.newest.count < Self.lines { blocks.newest.append(block) }
      let hosts = block.record.witnesses.filter { !$0.isCrowdSec }
      guard !hosts.isEmpty else { continue }
      blocks.fleet += 1
      if blocks.fleetNewest.count < Self.lines { blocks.fleetNewest.append(block) }
      for host in Set(hosts.map(\.shownName)) { byHost[host, default: 0] += 1 }
    }
    blocks.byHost = byHost.map { (host: $0.key, blocks: $0.value) }.largest(Self.lines) {
      ($1.blocks, $0.host) < ($0.blocks, $1.host)
    }
  }

  private mutating func countSight(_ reader: JournalReader) throws(DatabaseError) {
    let runs = try reader.runs(since: window.start, now: now)
    let end = min(now, window.end)
    guard let first = runs.first else { return }
    var spans: [Sight.Span] = []
    func add(_ state: Sight.State, _ from: Timestamp, _ to: Timestamp) {
      let from = max(from, window.start)
      let to = min(to, end)
      if from < to { spans.append(Sight.Span(state: state, start: from, end: to)) }
    }
    // Before the first start that is known there was nothing to be blind.
    var at = max(first.start, window.start)
    for run in runs {
      let runEnd = run.end ?? now
      // A restart takes a moment; a clock set back makes runs overlap.
      if run.start > at { add(.off, at, run.start) }
      let from = max(run.start, at)
      if from < runEnd { add(.watched, from, runEnd) }
      at = max(at, runEnd)
    }
    if at < end { add(.off, at, end) }
    let blind = try reader.blindSpans(since: window.start)
    sight.spans = blind.reduce(spans) { Self.cut($0, $1.start, $1.end ?? end) }
    let known = spans.first?.start ?? end
    for index in days.indices {
      let to = index + 1 < days.count ? days[index + 1].start : end
      let from = max(days[index].start, known)
      guard from < to else { continue }
      let watched = sight.spans.filter { $0.state == .watched }.reduce(Duration.zero) { sum, span in
        sum + max(.zero, min(span.end, to) - max(span.start, from))
      }
      days[index].watched = min(1, Double(watched.wholeNanoseconds) / Double((to - from).wholeNanoseconds))
    }
  }

  /// Takes a blind time out of those watched.
  private static func cut(_ spans: [Sight.Span], _ from: Timestamp, _ to: Timestamp) -> [Sight.Span] {
    spans.flatMap { span -> [Sight.Span] in
      guard span.state == .watched, from < span.end, to > span.start else { return [span] }
      let (start, end) = (max(from, span.start), min(to, span.end))
      return [
        Sight.Span(state: .watched, start: span.start, end: start), Sight.Span(state: .blind, start: start, end: end),
        Sight.Span(state: .watched, start: end, end: span.end),
      ].filter { $0.start < $0.end }
    }
  }
}
