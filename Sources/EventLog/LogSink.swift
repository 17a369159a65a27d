import Platform
import Wire

/// Where log lines go (`-l` of 2.x, repeatable): standard output and error, the system log, systemd's journal. Never blocks.
package struct LogSink: ~Copyable, Sendable {
  package enum Output: String, Sendable, CaseIterable {
    /// Standard output; errors go to standard error.
    case stdout
    case syslog
    /// With fields beside the text; the system log where there is no journal.
    case journald
  }

  private let outputs: Set<Output>
  private var output: LineOutput
  private var errors: LineOutput
  private var syslog: Syslog
  private var journald: Journald
  /// The least that is written.
  package var level: Severity

  /// - Parameters:
  ///   - outputs: repeated ones count once.
  ///   - level: `.notice` as a rule, `.info` for `-v`, `.debug` for `-d`.
  ///   - syslog: another socket in tests; likewise `journald`.
  ///   - outputFD: standard output, or another descriptor in tests; likewise `errorFD`.
  package init(
    _ outputs: [Output], level: Severity = .notice, syslog: consuming Syslog = Syslog(),
    journald: consuming Journald? = nil, outputFD: Int32 = 1, errorFD: Int32 = 2
  ) {
    self.level = level
    let isThere = journald != nil || Journald.isThere
    self.outputs = Set(outputs.map { $0 == .journald && !isThere ? .syslog : $0 })
    self.journald = journald ?? Journald()
    self.syslog = syslog
    output = LineOutput(fd: outputFD)
    errors = LineOutput(fd: errorFD)
  }

  package mutating func write(_ line: LogLine, at time: Timestamp) {
    guard line.severity >= level else { return }
    written += UInt64(outputs.count)
    if outputs.contains(.stdout) {
      if line.severity == .error { errors.write(line.text) } else { output.write(line.text) }
    }
    if outputs.contains(.syslog) { syslog.send(line.text, line.severity, at: time) }
    if outputs.contains(.journald) { journald.send(line.text, line.severity, line.fields?.list ?? []) }
  }

  package mutating func write(_ lines: [LogLine], at time: Timestamp) {
    for line in lines { write(line, at: time) }
  }

  /// Tries again what a slow reader has kept waiting. Call it a few times a second while `isWaiting`, and at the end.
  package mutating func flush(at time: Timestamp) {
    output.flush()
    errors.flush()
    if syslog.isWaiting { syslog.flush(at: time) }
    if journald.isWaiting { journald.flush() }
  }

  package var isWaiting: Bool { output.isWaiting || errors.isWaiting || syslog.isWaiting || journald.isWaiting }

  /// Lines handed to outputs since the start; a line to two outputs counts twice.
  package private(set) var written: UInt64 = 0
  /// Lines since the start that an output did not take and that are not tried again.
  package var lost: Int { output.lostInAll + errors.lostInAll + syslog.lostInAll + journald.lostInAll }
  /// Lines for syslog or journald that wait to be tried again.
  package var waiting: Int { syslog.waiting + journald.waiting }
}
