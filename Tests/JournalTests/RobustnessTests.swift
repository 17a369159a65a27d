import CLinux
import Database
import Detection
import Foundation
import Platform
import Testing
import TestSupport
import Wire

@testable import Journal

@Suite struct RobustnessTests {
  @Test func `A journal of the first version is brought up to date, with what is in it`() throws {
    try inFolder { folder in
      let path = folder + "/journal.db"
      do {
        let database = try Database(path, .readWrite)
        try database.execute(Schema.migrations[0])
        try database.pragma("application_id", Int(Schema.applicationID))
        try database.pragma("user_version", 1)
        try database.run(
          """
          INSERT INTO block(network, since, until, methods, port, transport, mode, reason, repeats)
            VALUES(x'0a000001', 1793577600000000000, NULL, 'nftables', 23, 6, 'atcp', 'of old', 0)
          """)
      }
      // A reader by itself changes nothing.
      #expect(throws: JournalError.self) { try JournalReader(path: path) }
      let book = try Book(folder)
      let old = try #require(try book.reader().blocks(covering: IPNetwork("10.0.0.1")!).first)
      #expect(old.record.reason == "of old" && old.record.witnesses.isEmpty)
      try book.write([block("10.0.0.2", since: at(1), until: nil)])
      #expect(try book.reader().blocks(since: .distantPast).count == 2)
    }
  }

  @Test func `A journal of a newer version is left alone`() throws {
    try inFolder { folder in
      _ = try Book(folder)
      let path = folder + "/journal.db"
      do {
        let database = try Database(path, .readWrite)
        try database.execute("PRAGMA user_version = 99; CREATE TABLE to_come(a)")
      }
      let before = try Data(contentsOf: URL(fileURLWithPath: path))
      for open in [{ _ = try Book(folder) }, { _ = try JournalReader(path: path) }] {
        let error = #expect(throws: JournalError.self) { try open() }
        guard case .newer(_, 99, Schema.version) = error else {
          Issue.record("\(String(describing: error))")
          continue
        }
        #expect("\(error!)".contains("newer version"))
      }
      #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before)
    }
  }

  @Test func `A database of another program is left alone`() throws {
    try inFolder { folder in
      let path = folder + "/journal.db"
      do { try Database(path, .readWrite).execute("CREATE TABLE theirs(a)") }
      let error = #expect(throws: JournalError.self) { _ = try Book(folder) }
      guard case .foreign = error else {
        Issue.record("\(String(describing: error))")
        return
      }
    }
  }

  @Test(arguments: ["not a database at all, but long enough to be looked at. ", "\0\0\0\0"])
  func `What is no database is damage`(_ text: String) throws {
    try inFolder { folder in
      let bytes = Data(String(repeating: text, count: 200).utf8)
      try bytes.write(to: URL(fileURLWithPath: folder + "/journal.db"))
      let error = #expect(throws: JournalError.self) { _ = try Book(folder) }
      #expect(error?.isDamage == true, "\(String(describing: error))")
    }
  }

  @Test func `There is no journal to read`() throws {
    try inFolder { folder in
      let error = #expect(throws: JournalError.self) { _ = try JournalReader(path: folder + "/none.db") }
      guard case .system(let system) = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(system.isMissing)
    }
  }

  @Test func `Only its owner can read it, and what lies beside it`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      try book.write([probe("10.0.0.1", 1, at: at(0))])
      for suffix in ["", "-wal", "-shm"] {
        let attributes = try FileManager.default.attributesOfItem(atPath: folder + "/journal.db" + suffix)
        #expect((attributes[.posixPermissions] as? Int) == 0o600, "\(suffix)")
      }
    }
  }

  /// A disk that is full, as SQLite meets it.
  @Test func `What cannot be written is written later, all of it`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      try book.write([probe("10.0.0.1", 1, at: at(0))])
      // No page more.
      let pages = try #require(try book.writer.database.number("PRAGMA page_count"))
      try book.writer.database.pragma("max_page_count", Int(pages))
      var batch = Batch()
      for number in 0..<2_000 { batch.add(probe("10.1.\(number >> 8).\(number & 255)", UInt16(number), at: at(0.1))) }
      batch.add(block("10.1.0.1", since: at(0.1), until: nil))
      let error = #expect(throws: DatabaseError.self) { try book.writer.write(batch, now: at(0.1)) }
      #expect(error?.kind == .full)
      #expect(try book.reader().hours(Window(from: at(0), to: at(1))).map(\.probes) == [1])
      try book.writer.database.pragma("max_page_count", 100_000)
      try book.writer.write(batch, now: at(0.2))
      let reader = try book.reader()
      #expect(try reader.hours(Window(from: at(0), to: at(1))).map(\.probes) == [2_001])
      #expect(try reader.blocks(since: .distantPast).count == 1)
      #expect(try JournalCheck.run(reader).problems == [])
    }
  }

  @Test func `A backup is one file, and can be read`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      try book.write([probe("10.0.0.1", 1, at: at(0))])
      let copy = folder + "/copy.db"
      try book.reader().backup(to: copy)
      try book.write([probe("10.0.0.1", 1, at: at(0.1))])
      #expect(Files.stamp(copy + "-wal") == nil)
      let reader = try JournalReader(path: copy)
      #expect(try reader.hours(Window(from: at(0), to: at(1))).map(\.probes) == [1])
    }
  }

  @Test func `Compacting gives space back and changes nothing`() throws {
    try inFolder { folder in
      let book = try Book(folder, keep: .seconds(86_400))
      for hour in 0..<48 {
        try book.write((0..<2_000).map { probe("10.\(hour).0.\($0 & 255)", UInt16($0), at: at(Double(hour) + 0.5)) })
      }
      try book.maintain(at(48))
      let before = try book.reader().hours(Window(from: at(0), to: at(48)))
      let size = try #require(Files.stamp(book.path)?.size)
      try JournalCheck.compact(book.path)
      #expect(try #require(Files.stamp(book.path)?.size) < size)
      #expect(try book.reader().hours(Window(from: at(0), to: at(48))) == before)
      // Who was writing goes on.
      try book.write([probe("10.0.0.1", 1, at: at(48.5))])
    }
  }

  @Test func `The check finds a sum that is wrong`() throws {
    try inFolder { folder in
      let book = try Book(folder)
      try book.write([probe("10.0.0.1", 1, at: at(0)), probe("10.0.0.1", 1, at: at(1.5))])
      try book.writer.database.execute("UPDATE hour SET probes = probes + 1 WHERE hour = (SELECT min(hour) FROM hour)")
      let problems = try JournalCheck.run(book.reader()).problems
      #expect(problems.count == 1 && problems[0].contains("its sum is 2, its detail 1"))
    }
  }

  // MARK: Power cuts

  /// What the disk may hold when the power goes while batch number `cut` is being written: all that was there before it, of
  /// the file beside the database any beginning of what the batch added, and of the database, where a checkpoint was under
  /// way, any mixture of old and new pages. Opened again, there must be exactly the batches before, or these and the batch.
  @Test(arguments: [20, 100])
  func `After a power cut there is every batch but the last, and no wrong number`(_ rounds: Int) throws {
    // The longer form is for `make bench-journal`.
    guard rounds == 20 || ProcessInfo.processInfo.environment["PORTSENTRY_BENCH"] != nil else { return }
    var random = SeededGenerator(seed: UInt64(rounds))
    var checkpoints = 0
    var lastBatches = 0
    for round in 0..<rounds {
      try inFolder { folder in
        let path = folder + "/journal.db"
        var settings = JournalWriter.Settings(path: path)
        settings.size = 64 << 20
        let writer = try JournalWriter(settings)
        // Checkpoints are to happen often.
        try writer.database.pragma("wal_autocheckpoint", 20 + Int(random.next() % 60))
        try writer.write(batch([.started(at: at(0))]), now: at(0))
        let cut = 1 + Int(random.next() % 30)
        var sources = 0
        var before = try Disk(path)
        var sent = [0]
        for number in 0...cut {
          before = try Disk(path)
          let count = 1 + Int(random.next() % 300)
          let time = at(Double(number) / 7200)
          try writer.write(
            batch((sources..<(sources + count)).map { probe("10.0.\($0 >> 8).\($0 & 255)", UInt16($0), at: time) }),
            now: time)
          sources += count
          sent.append(sources)
        }
        let after = try Disk(path)
        if after.database != before.database { checkpoints += 1 }
        let torn = Disk.torn(before, after, &random)
        let place = folder + "/torn"
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        try torn.write(place + "/journal.db")
        let again = try Book(place)
        let reader = try again.reader()
        let hours = try reader.hours(Window(from: at(0), to: at(1)))
        let probes = hours.reduce(0) { $0 + Int($1.probes) }
        #expect(probes == sent[cut] || probes == sent[cut + 1], "round \(round): \(probes), of \(sent)")
        if probes == sent[cut + 1] { lastBatches += 1 }
        #expect(hours.reduce(0) { $0 + Int($1.sources) } == probes)
        #expect(try JournalCheck.run(reader).problems == [], "round \(round)")
        // And it goes on.
        try again.write([.started(at: at(1)), probe("192.0.2.99", 1, at: at(1.1))])
      }
    }
    // The cuts were of all kinds.
    #expect(checkpoints > rounds / 10 && lastBatches > 0 && lastBatches < rounds)
  }

  private func batch(_ events: [Event]) -> Batch {
    var batch = Batch()
    for event in events { batch.add(event) }
    return batch
  }

  /// The bytes of database and log, as they lie on the disk.
  private struct Disk {
    static let page = 4096
    var database: [UInt8]
    var log: [UInt8]

    init(_ path: String) throws {
      database = try Files.read(path)
      log = (try? Files.read(path + "-wal")) ?? []
    }

    static func torn(_ before: Disk, _ after: Disk, _ random: inout SeededGenerator) -> Disk {
      var torn = after
      let isSameLog = after.log.count >= before.log.count && after.log.prefix(32).elementsEqual(before.log.prefix(32))
      if isSameLog {
        // The log grew: any beginning of what was added.
        let kept = before.log.count + Int(random.next() % UInt64(after.log.count - before.log.count + 1))
        torn.log = Array(after.log[..<kept])
        // A checkpoint reads the log and is over only when the database is on the disk: until then its pages may be anything.
        if after.database != before.database {
          torn.log = after.log
          torn.database = before.database
          for start in stride(from: 0, to: after.database.count, by: page) where random.next() % 2 == 0 {
            let end = min(start + page, after.database.count)
            if torn.database.count < end { torn.database += Array(repeating: 0, count: end - torn.database.count) }
            torn.database.replaceSubrange(start..<end, with: after.database[start..<end])
          }
        }
      } else {
        // The log was begun anew, which only happens once the database is on the disk: any beginning of the new one.
        torn.log = Array(after.log.prefix(Int(random.next() % UInt64(after.log.count + 1))))
      }
      return torn
    }

    func write(_ path: String) throws {
      try Data(database).write(to: URL(fileURLWithPath: path))
      try Data(log).write(to: URL(fileURLWithPath: path + "-wal"))
    }
  }

  /// A file that is cut off anywhere: it opens, or it is called damaged, and never tells a wrong number.
  @Test(arguments: [20, 100])
  func `A database that is cut off is found out`(_ rounds: Int) throws {
    guard rounds == 20 || ProcessInfo.processInfo.environment["PORTSENTRY_BENCH"] != nil else { return }
    var random = SeededGenerator(seed: 77)
    try inFolder { folder in
      do {
        let book = try Book(folder)
        try book.write([.started(at: at(0))])
        for hour in 0..<20 {
          try book.write(
            (0..<400).map { probe("10.\(hour).\($0 >> 8).\($0 & 255)", UInt16($0), at: at(Double(hour) + 0.5)) })
        }
        try book.maintain(at(20))
        // All of it in the one file, and no word of an end.
        _ = try book.writer.database.rows("PRAGMA wal_checkpoint(TRUNCATE)") { _ in () }
      }
      let whole = try Files.read(folder + "/journal.db")
      for round in 0..<rounds {
        let place = folder + "/cut\(round)"
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        let length = Int(random.next() % UInt64(whole.count))
        try Data(whole[..<length]).write(to: URL(fileURLWithPath: place + "/journal.db"))
        do {
          let book = try Book(place)
          // Nothing at all is an empty journal; everything else is damage.
          #expect(length == 0, "\(length) of \(whole.count) bytes were taken for a journal")
          #expect(try book.reader().hours(Window(from: at(0), to: at(30))).isEmpty)
        } catch let error as JournalError {
          #expect(error.isDamage, "\(length) of \(whole.count): \(error)")
        }
        try FileManager.default.removeItem(atPath: place)
      }
    }
  }
}
