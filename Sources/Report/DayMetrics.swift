import Database
import Detection
import Journal
import Wire

extension JournalReader {
  /// What the journal adds to the metrics of a running sentry.
  package func dayMetrics(now: Timestamp) throws(DatabaseError) -> [Metric] {
    let window = Window(last: .seconds(86_400), now: now)
    return try snapshot { () throws(DatabaseError) in
      let (ports, _) = try topPorts(window, limit: 20)
      let tools = try topTools(window, limit: 12)
      let scans = try scans(since: window.start)
      return Metrics.journal(
        ports: ports,
        scans: Verdict.Class.allCases.map { kind in (kind.name, UInt64(scans.count { $0.verdictClass == kind })) },
        tools: tools, sources: UInt64(try probesBySource(window).count))
    }
  }
}
