import Detection
import Response
import Wire

/// The scans that the log tells of, for people: one line when a source becomes a scanner, one when its scan has ended.
/// Pure: time is passed in.
///
/// Bounded in memory (`capacity` open scans, `rememberedCapacity` ended ones) and in words (`Budget`). What is over the
/// budget is counted, and the count is written once an hour, so that lines + counted = scanners.
package struct ScanLog: Sendable {
  /// The most scans followed at once; at it the one that is quiet the longest ends before its time.
  package static let capacity = 512
  /// The most ended scans remembered; at it the oldest is forgotten, and may be said anew within the day.
  package static let rememberedCapacity = 16_384
  /// A scan has ended when nothing came for this long; for a slow one, four times its mean gap, at most `longestQuiet`.
  static let quiet: Int64 = 60_000_000_000
  static let longestQuiet: Int64 = 3_600_000_000_000
  /// A source that comes back within this time is not said anew, unless it touches many more ports than were said.
  static let silence: Int64 = 86_400_000_000_000
  static let hour: Int64 = 3_600_000_000_000

  private struct Scan {
    let verdict: Verdict
    var last: Timestamp
    var tcp = PortTally()
    var udp = PortTally()
    var probes: UInt64
    var isSaid: Bool
    var isUnverified = false
    /// Ports that an earlier line of this source has said.
    var portsSaid = 0

    /// Those that the detector knew of at the verdict may be more than its evidence names.
    var ports: Int { max(tcp.count + udp.count, Int(verdict.ports)) }

    var end: Timestamp {
      let gap = probes > 1 ? (last - verdict.first).wholeNanoseconds / Int64(clamping: probes - 1) : 0
      return last + .nanoseconds(max(ScanLog.quiet, min(4 * gap, ScanLog.longestQuiet)))
    }
  }

  private var open: [IPNetwork: Scan] = [:]
  private var ended: [IPNetwork: (at: Timestamp, ports: Int)] = [:]
  private var budget: Budget
  private var unsaid = 0
  private var nextSummary: Timestamp?

  /// - Parameter budget: lines at most.
  package init(budget: Budget = Budget()) { self.budget = budget }

  /// Scans under way.
  package var count: Int { open.count }

  /// Takes a verdict, of any class.
  ///
  /// - Returns: the line to write; nil when it was said lately, or is only counted.
  package mutating func add(_ verdict: Verdict, at now: Timestamp) -> LogLine? {
    guard verdict.verdictClass == .scan else { return other(verdict, now) }
    if var scan = open[verdict.source] {
      scan.last = max(scan.last, verdict.last)
      open[verdict.source] = scan
      return nil
    }
    var scan = Scan(verdict: verdict, last: verdict.last, probes: UInt64(verdict.probes), isSaid: false)
    for reason in verdict.evidence where reason.kind == .unusedPort || reason.kind == .silentTouch {
      if reason.technique == .udp { scan.udp.insert(reason.port) } else { scan.tcp.insert(reason.port) }
    }
    if let before = ended[verdict.source], (now - before.at).wholeNanoseconds < Self.silence {
      scan.portsSaid = before.ports
      follow(scan)
      return nil
    }
    // Two lines are set aside: whoever is said to have begun is said to have ended.
    scan.isSaid = budget.spend(2, at: now)
    if !scan.isSaid { countUnsaid(now) }
    follow(scan)
    return scan.isSaid ? .scanBegan(verdict) : nil
  }

  /// Counts a probe to the scan of its source.
  package mutating func count(_ probe: Probe) {
    guard !open.isEmpty else { return }
    var key = IPNetwork(probe.source)
    if open[key] == nil, !probe.source.isV4, let room = IPNetwork(probe.source, length: 64) { key = room }
    guard let index = open.index(forKey: key) else { return }
    open.values[index].probes += 1
    open.values[index].last = max(open.values[index].last, probe.time)
    if probe.technique == .udp {
      open.values[index].udp.insert(probe.targetPort)
    } else {
      open.values[index].tcp.insert(probe.targetPort)
    }
  }

  /// Notes that a source is not blocked for want of proof.
  ///
  /// - Returns: false when no scan of it is followed, so that somebody else has to say it.
  package mutating func noteUnverified(_ source: IPAddress) -> Bool {
    guard let index = open.index(forKey: IPNetwork(source)) else { return false }
    open.values[index].isUnverified = true
    return true
  }

  /// Scans that have ended by now, and the hourly count of those that have no line. Call it about once a second.
  ///
  /// - Parameter isLast: the sentry stops: all that are open end.
  package mutating func due(at now: Timestamp, isLast: Bool = false) -> [LogLine] {
    var lines: [LogLine] = []
    for (source, scan) in open where isLast || scan.end <= now {
      open[source] = nil
      if let line = close(scan, now) { lines.append(line) }
    }
    if unsaid > 0, isLast || nextSummary.map({ $0 <= now }) ?? false {
      lines.append(.furtherScanners(unsaid))
      (unsaid, nextSummary) = (0, nil)
    }
    return lines
  }

  private mutating func follow(_ scan: Scan) {
    // Many sources that act as one are said once: their probes come from addresses of their own.
    guard scan.verdict.kind != .distributed else { return remember(scan, scan.last) }
    if open.count >= Self.capacity, let oldest = open.min(by: { $0.value.last < $1.value.last }) {
      open[oldest.key] = nil
      if oldest.value.isSaid { held.append(.scanEnded(summary(oldest.value))) }
      remember(oldest.value, scan.last)
    }
    open[scan.verdict.source] = scan
  }

  /// Ends that came while nobody asked; at most one for each verdict.
  private var held: [LogLine] = []

  /// Lines that `take` could not return beside its own.
  package mutating func takeHeld() -> [LogLine] {
    defer { held = [] }
    return held
  }

  private mutating func close(_ scan: Scan, _ now: Timestamp) -> LogLine? {
    remember(scan, now)
    if scan.isSaid { return .scanEnded(summary(scan)) }
    // A known scanner that has come back: worth a line when it did far more than was said of it.
    guard scan.portsSaid > 0, scan.ports >= max(100, scan.portsSaid * 10) else { return nil }
    guard budget.spend(1, at: now) else {
      countUnsaid(now)
      return nil
    }
    return .scanEnded(summary(scan))
  }

  private mutating func remember(_ scan: Scan, _ now: Timestamp) {
    if ended.count >= Self.rememberedCapacity {
      // A quarter at once: looking for the oldest one by one would cost as much each time.
      let times = ended.values.map(\.at).sorted()
      let bound = times[times.count / 4]
      ended = ended.filter { $0.value.at > bound }
    }
    ended[scan.verdict.source] = (now, max(scan.ports, scan.portsSaid))
  }

  private func summary(_ scan: Scan) -> LogLine.EndedScan {
    LogLine.EndedScan(
      source: scan.verdict.source, ports: scan.ports, probes: scan.probes, length: scan.last - scan.verdict.first,
      isUnverified: scan.isUnverified)
  }

  /// Floods and backscatter, each source once a day.
  private mutating func other(_ verdict: Verdict, _ now: Timestamp) -> LogLine? {
    if let before = ended[verdict.source], (now - before.at).wholeNanoseconds < Self.silence { return nil }
    ended[verdict.source] = (now, 0)
    guard budget.spend(1, at: now) else {
      countUnsaid(now)
      return nil
    }
    return .verdict(verdict, in: .native)
  }

  private mutating func countUnsaid(_ now: Timestamp) {
    unsaid += 1
    if nextSummary == nil { nextSummary = now + .nanoseconds(Self.hour) }
  }

  /// How many lines may be written: so many at once, and one more in each interval.
  package struct Budget: Sendable {
    let capacity: Int
    /// Nanoseconds for one line.
    let interval: Int64
    private var left: Int
    private var filled: Timestamp?

    /// By default 120 at once and 900 a day: with the blocks of a usual day on the Internet, its ends and an hourly count, a
    /// log of some 1,200 lines a day.
    package init(capacity: Int = 120, perDay: Int = 900) {
      self.capacity = capacity
      interval = ScanLog.silence / Int64(perDay)
      left = capacity
    }

    mutating func spend(_ count: Int, at now: Timestamp) -> Bool {
      guard let since = filled, since <= now else {
        // The first, or a clock that was set back.
        filled = now
        return spend(count)
      }
      let more = (now - since).wholeNanoseconds / interval
      if more > 0 {
        left = min(capacity, left + Int(clamping: more))
        filled = since + .nanoseconds(more * interval)
      }
      return spend(count)
    }

    private mutating func spend(_ count: Int) -> Bool {
      guard left >= count else { return false }
      left -= count
      return true
    }
  }
}

/// Distinct ports: a short list, then one bit a port (8 KiB).
struct PortTally: Sendable {
  private static let listCapacity = 32
  private var few: [UInt16] = []
  private var bits: [UInt64] = []
  private(set) var count = 0

  mutating func insert(_ port: UInt16) {
    if bits.isEmpty {
      if few.contains(port) { return }
      if few.count < Self.listCapacity {
        few.append(port)
        count += 1
        return
      }
      bits = [UInt64](repeating: 0, count: 1024)
      for known in few { bits[Int(known >> 6)] |= 1 << UInt64(known & 63) }
      few = []
    }
    let bit: UInt64 = 1 << UInt64(port & 63)
    if bits[Int(port >> 6)] & bit == 0 {
      bits[Int(port >> 6)] |= bit
      count += 1
    }
  }
}
