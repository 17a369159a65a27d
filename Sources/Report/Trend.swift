import Database
import Journal
import Wire

/// How far back a page looks.
package enum Period: String, Sendable, CaseIterable {
  case day = "24h"
  case week = "7d"
  case month = "30d"

  package var hours: Int64 {
    switch self {
    case .day: 24
    case .week: 7 * 24
    case .month: 30 * 24
    }
  }

  /// How many hours a column of a chart is.
  package var columnHours: Int64 {
    switch self {
    case .day: 1
    case .week: 3
    case .month: 12
    }
  }

  /// How far before it that lies which it is compared with: a week, so that weekdays meet; a month with the one before.
  package var shift: Int64 { max(hours, 7 * 24) }

  package var words: String {
    switch self {
    case .day: "24 hours"
    case .week: "7 days"
    case .month: "30 days"
    }
  }

  package var ghostWords: String {
    switch self {
    case .day: "the same hours a week before"
    case .week: "the week before"
    case .month: "the 30 days before"
    }
  }

  package func window(now: Timestamp) -> Window { Window(last: .seconds(hours * 3600), now: now) }
}

/// Numbers over a span of time, with those of the span it is compared with.
package struct Trend: Sendable, Equatable {
  package struct Column: Sendable, Equatable {
    /// Hours since 1970; the last column may be under way.
    package var first: Int64
    package var last: Int64
    package var count: UInt64 = 0
    /// What it was then; nil where nothing is known of that time.
    package var ghost: UInt64?
  }

  package var period: Period
  package var columns: [Column]

  package var sum: UInt64 { columns.reduce(0) { $0 + $1.count } }
  /// nil unless all of it is known.
  package var ghostSum: UInt64? {
    columns.reduce(UInt64?.some(0)) { sum, column in sum.flatMap { sum in column.ghost.map { sum + $0 } } }
  }
  package var most: UInt64 { max(columns.map(\.count).max() ?? 0, columns.compactMap(\.ghost).max() ?? 0) }

  /// - Parameters:
  ///   - counts: by hour since 1970, of the span and of the one before.
  ///   - since: the first hour of which anything is known; nil: none.
  package init(_ period: Period, now: Timestamp, since: Int64?, counts: (Int64) -> UInt64) {
    self.period = period
    let window = period.window(now: now)
    columns = stride(from: window.first, through: window.last, by: Int(period.columnHours)).map { first in
      let last = min(first + period.columnHours - 1, window.last)
      var column = Column(first: first, last: last)
      for hour in first...last { column.count += counts(hour) }
      if let since, first - period.shift >= since {
        column.ghost = (first...last).reduce(0) { $0 + counts($1 - period.shift) }
      }
      return column
    }
  }
}

extension JournalReader {
  /// Probes over a period.
  package func trend(_ period: Period, now: Timestamp) throws(DatabaseError) -> Trend {
    let window = period.window(now: now)
    let known = try hours(window) + hours(Window(first: window.first - period.shift, last: window.last - period.shift))
    let counts = Dictionary(known.map { ($0.hour, $0.probes) }, uniquingKeysWith: { first, _ in first })
    return Trend(period, now: now, since: try beginnings().counts) { counts[$0] ?? 0 }
  }

  /// Probes of one port over a period.
  package func trend(of port: PortName, _ period: Period, now: Timestamp) throws(DatabaseError) -> Trend {
    let window = period.window(now: now)
    var counts: [Int64: UInt64] = [:]
    for window in [window, Window(first: window.first - period.shift, last: window.last - period.shift)] {
      try ports(window) { hour, key, count in
        if PortName(key.technique, key.port) == port { counts[hour, default: 0] += count.probes }
      }
    }
    return Trend(period, now: now, since: try beginnings().counts) { counts[$0] ?? 0 }
  }

  /// Ports that were asked for in the last 24 hours much more often than on a day of the week before; none where there is no such week.
  package func risen(now: Timestamp, limit: Int) throws(DatabaseError) -> [Rise] {
    let day = Period.day.window(now: now)
    let before = Window(first: day.first - 7 * 24, last: day.first - 1)
    guard let since = try beginnings().counts, since <= before.first else { return [] }
    var (recent, usual) = (PortTotals(), PortTotals())
    try ports(day) { _, key, count in recent.add(key, count.probes) }
    try ports(before) { _, key, count in usual.add(key, count.probes) }
    return recent.lines.compactMap { line -> Rise? in
      let mean = Double(usual[line.port]) / 7
      guard line.port.port != nil, line.probes >= 30, Double(line.probes) >= 3 * mean else { return nil }
      return Rise(port: line.port, recent: line.probes, usual: mean)
    }.largest(limit) { ($1.recent, $0.port) < ($0.recent, $1.port) }
  }
}

/// A port that rose.
package struct Rise: Sendable, Equatable {
  package var port: PortName
  /// Probes of the last 24 hours.
  package var recent: UInt64
  /// Probes of a day before them, in the mean.
  package var usual: Double

  package var words: String {
    let was = usual < 0.5 ? "almost none before" : "usually \(Units.count(Int(usual.rounded()))) a day"
    return "\(Units.plural(recent, "probe")) in 24 hours, \(was)"
  }
}

/// Blocks of today beside what is usual.
package struct BlockPace: Sendable, Equatable {
  package var today = 0
  /// The mean of the same hours on the seven days before; nil before there are two of them.
  package var usual: Double?

  /// - Parameters:
  ///   - byHour: blocks made, by hours since 1970.
  ///   - since: the first hour of which anything is known.
  package init(_ byHour: [Int64: Int], now: Timestamp, since: Int64?, _ zone: Zone) {
    let midnight = zone.start(ofDay: zone.day(now)).seconds / 3600
    let hour = now.seconds / 3600
    func count(_ days: Int64) -> Int {
      (midnight...max(hour, midnight)).reduce(0) { $0 + (byHour[$1 - days * 24] ?? 0) }
    }
    today = count(0)
    let days = (1...7).filter { day in since.map { $0 <= midnight - day * 24 } ?? false }
    if days.count >= 2 { usual = Double(days.reduce(0) { $0 + count($1) }) / Double(days.count) }
  }

  package var usualWords: String? {
    usual.map { "usually \($0 > 0 && $0 < 10 ? Units.tenths($0) : Units.count(Int($0.rounded()))) by this hour" }
  }
}
