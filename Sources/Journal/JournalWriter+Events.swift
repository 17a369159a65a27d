import Database
import Detection
import Response
import Wire

/// One event, as it is written down.
extension JournalWriter {
  func write(_ event: Event) throws(DatabaseError) {
    let time = event.time
    switch event {
    case .probe: break
    case .verdict(let verdict): try write(verdict)
    case .proven(let address, let proof, let port, _):
      let source = try known(IPNetwork(address), at: time.wholeSeconds)
      try database.run(
        "UPDATE source SET origin = ?2, proof = ?3, proven = ?4 WHERE id = ?1 AND proof IS NULL", .int(source.id),
        Value(Origin.proven.rawValue), Value(proof.rawValue), .int(time.nanoseconds))
      guard database.changes > 0 else { return }
      try note(.proven, at: time, IPNetwork(address), number: Int64(port), text: proof.name)
    case .blocked(let record, let repeats): try write(record, repeats)
    case .refused(let address, let because, _):
      let subject = IPNetwork(address)
      // Said again within ten minutes it is no news.
      if try database.number(
        "SELECT 1 FROM note WHERE subject = ?1 AND kind = ?2 AND time > ?3 AND text = ?4 LIMIT 1", .blob(subject.key),
        Value(NoteKind.refused.rawValue), .int(time.nanoseconds - 600_000_000_000), .text(because)) != nil
      {
        return
      }
      try note(.refused, at: time, subject, text: because)
    case .released(let network, let because, _):
      let block = try database.number(
        "SELECT id FROM block WHERE network = ?1 AND ended IS NULL ORDER BY id DESC", .blob(network.key))
      try database.run(
        "UPDATE block SET ended = ?2, because = ?3 WHERE network = ?1 AND ended IS NULL", .blob(network.key),
        .int(time.nanoseconds), .text(because))
      try note(.released, at: time, network, reference: block, text: because)
    case .lost(let kind, let count, _):
      let hour = time.wholeSeconds.hour
      let isFirst =
        try database.number(
          "SELECT 1 FROM loss WHERE hour = ?1 AND kind = ?2", .int(hour), Value(kind.rawValue)) == nil
      try addLoss(kind, count, at: hour)
      if isFirst { try note(.lost, at: time, nil, number: Int64(clamping: count), text: kind.name) }
    case .started:
      // A run without an end was cut off; what it could not see ended with it, at the latest.
      try database.run(
        "UPDATE blind SET until = max(since, (SELECT max(seen) FROM run)) WHERE until IS NULL")
      try database.run("INSERT INTO run(started, seen) VALUES(?1, ?1)", .int(time.nanoseconds))
      runID = database.lastRow
      try note(.started, at: time, nil)
    case .stopped:
      try database.run("UPDATE blind SET until = ?1 WHERE until IS NULL", .int(time.nanoseconds))
      if let runID {
        try database.run("UPDATE run SET seen = ?2, is_over = 1 WHERE id = ?1", .int(runID), .int(time.nanoseconds))
      }
      runID = nil
      try note(.stopped, at: time, nil)
    case .blind:
      guard try database.number("SELECT 1 FROM blind WHERE until IS NULL") == nil else { return }
      try database.run("INSERT INTO blind(since) VALUES(?1)", .int(time.nanoseconds))
      try note(.blind, at: time, nil)
    case .seeing:
      try database.run("UPDATE blind SET until = ?1 WHERE until IS NULL", .int(time.nanoseconds))
      guard database.changes > 0 else { return }
      try note(.seeing, at: time, nil)
    case .named(let address, let name):
      try database.run("UPDATE source SET name = ?2 WHERE address = ?1", .blob(address.bytes), .text(name))
    }
  }

  /// Whether a verdict may begin a scan; all others have room.
  func hasRoom(_ event: Event) -> Bool {
    guard case .verdict(let verdict) = event else { return true }
    let hour = verdict.last.wholeSeconds.hour
    if scans.hour != hour { scans = (hour, 0) }
    return scans.count < (event.isByTheWay ? Self.scanRoom / 2 : Self.scanRoom)
  }

  func write(_ verdict: Verdict) throws(DatabaseError) {
    let hasRoom = hasRoom(.verdict(verdict))
    guard
      let source = hasRoom
        ? try known(verdict.source, at: verdict.first.wholeSeconds) : try find(verdict.source)
    else {
      refused += 1
      return
    }
    let values = Self.values(of: verdict, source.id)
    let id: Int64
    if let scan = try scanGoingOn(verdict, source.id) {
      id = scan.id
      // Counted from the same beginning the verdict's number holds; counted anew it comes on top.
      let probes =
        scan.first == verdict.first.nanoseconds
        ? max(scan.probes, Int64(verdict.probes)) : scan.probes + Int64(verdict.probes)
      let statement = try database.statement(
        """
        UPDATE scan SET origin = max(origin, ?3), techniques = techniques | ?4, kind = ?5, is_slow = ?6,
          tool = CASE ?7 WHEN 0 THEN tool ELSE ?7 END, variant = CASE ?7 WHEN 0 THEN variant ELSE ?8 END,
          first = min(first, ?9), last = max(last, ?10), probes = ?21, ports = max(ports, ?12), sources = ?19, doubts = ?20,
          targets = max(targets, ?13), score = ?14, threshold = ?15, port = ?16, transport = ?17,
          evidence = CASE length(?18) WHEN 0 THEN evidence ELSE ?18 END WHERE id = ?22 AND source = ?1 AND class = ?2
        """)
      // ?11 has no place here.
      statement.bind(values + [.int(probes), .int(id)])
      try statement.run()
    } else if !hasRoom {
      refused += 1
      return
    } else {
      scans.count += 1
      let statement = try database.statement(
        """
        INSERT INTO scan(source, class, origin, techniques, kind, is_slow, tool, variant, first, last, probes, ports,
          targets, score, threshold, port, transport, evidence, sources, doubts)
          VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)
        """)
      statement.bind(values)
      try statement.run()
      id = database.lastRow
      try note(
        .verdict, at: verdict.last, verdict.source, reference: id, isByTheWay: Event.verdict(verdict).isByTheWay)
    }
    try database.run(
      """
      UPDATE source SET origin = max(origin, ?2), class = ?3, tool = CASE ?4 WHEN 0 THEN tool ELSE ?4 END,
        variant = CASE ?4 WHEN 0 THEN variant ELSE ?5 END, scan = ?6, last = max(last, ?7) WHERE id = ?1
      """, .int(source.id), Value(verdict.origin.rawValue), Value(verdict.verdictClass.rawValue),
      Value(verdict.tool.family.rawValue), Value(verdict.tool.variant), .int(id), .int(verdict.last.wholeSeconds))
    if verdict.source.isHost {
      let pause = Scan.pause(isSlow: verdict.isSlow)
      remember(
        verdict.source.address, Known(id: source.id, scan: (id, verdict.last.wholeSeconds + pause, pause)))
    }
  }

  /// In the order of the statements' parameters, from ?1.
  private static func values(of verdict: Verdict, _ source: Int64) -> [Value] {
    [
      .int(source), Value(verdict.verdictClass.rawValue), Value(verdict.origin.rawValue),
      Value(verdict.techniques.rawValue), Value(verdict.kind.rawValue), .int(verdict.isSlow ? 1 : 0),
      Value(verdict.tool.family.rawValue), Value(verdict.tool.variant), .int(verdict.first.nanoseconds),
      .int(verdict.last.nanoseconds), Value(verdict.probes), Value(verdict.ports), Value(verdict.targets),
      Value(verdict.score), Value(verdict.threshold), Value(verdict.port), Value(verdict.transport.rawValue),
      .blob(verdict.packedEvidence), Value(verdict.sources),
      .int((verdict.mayBeZombie ? 1 : 0) | (verdict.mayBeDecoy ? 2 : 0)),
    ]
  }

  /// The scan that a verdict says more about: of the same source and class, and not over before the verdict's packets.
  func scanGoingOn(
    _ verdict: Verdict, _ source: Int64
  ) throws(DatabaseError) -> (id: Int64, first: Int64, probes: Int64)? {
    let statement = try database.statement(
      "SELECT id, first, last, probes, is_slow FROM scan WHERE source = ?1 AND class = ?2 ORDER BY id DESC LIMIT 1")
    statement.bind([.int(source), Value(verdict.verdictClass.rawValue)])
    defer { statement.reset() }
    guard try statement.step() else { return nil }
    let (first, last) = (statement.int(1), statement.int(2))
    let pause = Scan.pause(isSlow: verdict.isSlow || statement.int(4) != 0) * 1_000_000_000
    guard first == verdict.first.nanoseconds || verdict.first.nanoseconds &- last <= pause else { return nil }
    return (statement.int(0), first, statement.int(3))
  }

  func write(_ record: Block.Record, _ repeats: Int) throws(DatabaseError) {
    let key = record.network.key
    if try database.number(
      "SELECT 1 FROM block WHERE network = ?1 AND since = ?2", .blob(key), .int(record.since.nanoseconds)) != nil
    {
      return
    }
    try database.run(
      "UPDATE block SET ended = ?2, because = 'replaced' WHERE network = ?1 AND ended IS NULL", .blob(key),
      .int(record.since.nanoseconds))
    try database.run(
      """
      INSERT INTO block(network, since, until, methods, port, transport, mode, reason, repeats, grounds)
        VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
      """, .blob(key), .int(record.since.nanoseconds), Value(record.until?.nanoseconds),
      .text(record.methods.map(\.rawValue).joined(separator: ",")), Value(record.port),
      Value(record.transport.rawValue), .text(record.modeName), .text(record.fullReason), Value(repeats),
      record.fleetCause == nil ? .null : .text(record.evidence))
    try note(.blocked, at: record.since, record.network, reference: database.lastRow)
  }

  func note(
    _ kind: NoteKind, at time: Timestamp, _ subject: IPNetwork?, reference: Int64? = nil, number: Int64? = nil,
    text: String? = nil, isByTheWay: Bool = false
  ) throws(DatabaseError) {
    let hour = time.wholeSeconds.hour
    if notes.hour != hour { notes = (hour, 0) }
    guard notes.count < (isByTheWay ? Self.noteRoom / 2 : Self.noteRoom) else {
      refused += 1
      return
    }
    notes.count += 1
    try database.run(
      "INSERT INTO note(time, kind, subject, reference, number, text) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
      .int(time.nanoseconds), Value(kind.rawValue), subject.map { .blob($0.key) } ?? .null, Value(reference),
      Value(number), Value(text))
  }

  func addLoss(_ kind: Event.Loss, _ count: UInt64, at hour: Int64) throws(DatabaseError) {
    try database.run(
      "INSERT INTO loss(hour, kind, count) VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET count = count + ?3", .int(hour),
      Value(kind.rawValue), Value(count))
  }
}
