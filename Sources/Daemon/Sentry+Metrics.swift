import Capture
import Detection
import Platform
import Report
import Wire

extension Sentry {
  /// What is counted, for Prometheus. Addresses are in none of it.
  func metrics() -> [Metric] {
    let s = link.shared.withLock { $0.statistics }
    let c = decisions.counters
    func reasons(_ values: [UInt64], _ name: (Int) -> String) -> [(String, UInt64)] {
      values.enumerated().map { (name($0.offset), $0.element) }
    }
    return [
      Metric("build_info", .gauge, "The version that runs.", [Metric.Sample([("version", version)], 1)]),
      Metric("start_time_seconds", .gauge, "When it was started.", UInt64(clamping: started.seconds)),
      Metric(
        "interfaces_up", .gauge, "Watched interfaces that are up; at 0 nothing is seen.", UInt64(s.interfaces.count)),
      Metric("packets_total", .counter, "Packets that passed the kernel's filter.", s.received),
      Metric(
        "packets_undecoded_total", .counter, "Packets that could not be read, by reason.",
        by: "reason",
        reasons(s.undecoded) { DecodeOutcome.allCases[$0].reason }.filter { $0.0 != DecodeOutcome.packet.reason }),
      Metric(
        "packets_dismissed_total", .counter, "Packets that accuse nobody, by reason.",
        by: "reason", reasons(s.dismissed) { Detector.Dismissal.allCases[$0].reason }),
      Metric("probes_total", .counter, "Touches of unused ports.", c.probes),
      Metric("alerts_total", .counter, "Probes that reached SCAN_TRIGGER.", c.alerts),
      Metric("probes_ignored_total", .counter, "Probes of sources in the ignore file.", c.ignored),
      Metric("rule_sources", .gauge, "Sources that the native rule remembers something against.", UInt64(s.sources)),
      Metric(
        "sampling_shift", .gauge, "One in 2^n of the sources is looked at, as there is too much; 0: all are.",
        by: "what",
        [("connections", UInt64(s.connectionShift)), ("others", UInt64(s.otherShift))]),
      Metric("sources_forgotten_total", .counter, "Sources forgotten to make room.", s.evictions),
      Metric("blocks", .gauge, "Blocks in force.", UInt64(decisions.table.count)),
      Metric("blocks_made_total", .counter, "Blocks made.", c.blocks),
      Metric("blocks_released_total", .counter, "Blocks that ended.", c.releases),
      Metric("blocks_refused_total", .counter, "Blocks that were refused.", c.refused),
      Metric("blocks_failed_total", .counter, "Responses that failed.", c.failed),
      Metric(
        "lost_total", .counter, "What was lost: packets, probes, lines, records.", by: "what",
        [
          ("ring", s.ringDropped), ("queue", intake.refused), ("history", scribe.historyLost),
          ("log", UInt64(scribe.lost)),
          ("journal", recorder?.statistics.lost ?? 0),
        ]),
      Metric("log_lines_total", .counter, "Log lines handed to the outputs.", scribe.written),
      Metric(
        "log_lines_waiting", .gauge, "Log lines that syslog or journald has not taken yet.", UInt64(scribe.waiting)),
      Metric("journal_bytes", .gauge, "Size of the journal in use.", UInt64(recorder?.statistics.bytes ?? 0)),
      Metric(
        "journal_failing", .gauge, "1 while the journal cannot be written.",
        recorder?.statistics.isFailing == true ? 1 : 0),
    ] + companions.metrics(protection) + fleetOriginMetrics
  }
}
