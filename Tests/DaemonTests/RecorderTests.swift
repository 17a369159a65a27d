import CLinux
import Database
import Detection
import EventLog
import Journal
import Platform
import Response
import Testing
import TestSupport
import Wire

@testable import Daemon

@Suite struct SteadyClockTests {
  private let hour: Int64 = 3_600_000_000_000

  private func time(_ seconds: Int64) -> Timestamp { Timestamp(seconds: 1_793_577_600 + seconds) }

  @Test func `A clock is believed after an hour without a jump`() {
    var clock = SteadyClock()
    #expect(!clock.isSteady(0))
    clock.look(time(0), 0)
    #expect(!clock.isSteady(hour - 1))
    #expect(clock.isSteady(hour))
    // Slewing is none.
    for minute in 1...Int64(120) { clock.look(time(minute * 60 + minute / 10), minute * 60_000_000_000) }
    #expect(clock.isSteady(2 * hour))
  }

  @Test(arguments: [86_400, -86_400, 120] as [Int64])
  func `A jump is waited out`(jump: Int64) {
    var clock = SteadyClock()
    clock.look(time(0), 0)
    clock.look(time(7200), 2 * hour)
    #expect(clock.isSteady(2 * hour))
    clock.look(time(7230 + jump), 2 * hour + 30_000_000_000)
    #expect(!clock.isSteady(2 * hour + 30_000_000_000))
    clock.look(time(7200 + 3630 + jump), 3 * hour + 30_000_000_000)
    #expect(clock.isSteady(3 * hour + 30_000_000_000))
  }
}

@Suite struct RecorderTests {
  private func settings(_ folder: String) -> Recorder.Settings {
    var settings = Recorder.Settings()
    settings.journal = JournalWriter.Settings(path: folder + "/journal.db")
    settings.version = "test"
    return settings
  }

  private func probe(_ number: Int) -> Event {
    .probe(
      Probe(
        time: Clock.now, source: IPAddress(v4: 0x0a00_0000 | UInt32(number)), sourcePort: 4_000,
        target: IPAddress("192.0.2.1")!, targetPort: 23, transport: .tcp, mode: .advanced, technique: .syn))
  }

  private func sum(_ folder: String) throws -> UInt64 {
    let reader = try JournalReader(path: folder + "/journal.db")
    return try reader.hours(Window(last: .seconds(7200), now: Clock.now)).reduce(0) { $0 + $1.probes }
  }

  /// Waits for a notice that `isIt`, ten seconds at most.
  private func notice(_ recorder: Recorder, _ isIt: (Recorder.Notice) -> Bool) -> Bool {
    for _ in 0..<1000 {
      if recorder.takeNotices().contains(where: isIt) { return true }
      Clock.sleep(.milliseconds(10))
    }
    return false
  }

  private func isFailure(_ notice: Recorder.Notice) -> Bool {
    if case .journalFailed = notice { true } else { false }
  }

  @Test func `What is kept is written within a second, and the rest at the end`() throws {
    try inFolder { folder in
      let recorder = try Recorder(settings(folder))
      for number in 0..<100 { recorder.keep(probe(number)) }
      let start = Clock.monotonic
      while (try? sum(folder)) != 100, Clock.monotonic - start < 10_000_000_000 { Clock.sleep(.milliseconds(20)) }
      #expect(try sum(folder) == 100)
      // Alone it takes half a second; others use this machine, too.
      #expect(Clock.monotonic - start < 5_000_000_000)
      for number in 0..<50 { recorder.keep(probe(number)) }
      recorder.finish()
      #expect(try sum(folder) == 150)
      #expect(recorder.statistics.lost == 0)
    }
  }

  @Test func `Handing over does not wait, and beyond the bound it is counted`() throws {
    try inFolder { folder in
      let recorder = try Recorder(settings(folder))
      var slowest: Int64 = 0
      let events = (0..<200_000).map { probe($0 % 5000) }
      for event in events {
        let start = Clock.monotonic
        recorder.keep(event)
        slowest = max(slowest, Clock.monotonic - start)
      }
      // A disk takes longer.
      #expect(slowest < 100_000_000)
      recorder.finish()
      #expect(try sum(folder) + recorder.statistics.lost == 200_000)
    }
  }

  @Test func `Files for other programs get their lines`() throws {
    try inFolder { folder in
      var settings = settings(folder)
      settings.journal = nil
      settings.eventsFile = folder + "/events.json"
      settings.eveFile = folder + "/eve.json"
      settings.metricsFile = folder + "/metrics.prom"
      settings.fileLimits = FileLimits()
      let recorder = try Recorder(settings)
      for number in 0..<5000 { recorder.keep(probe(number)) }
      recorder.publish(metrics: "portsentry_up 1\n")
      recorder.finish()
      let events = String(decoding: try Files.read(folder + "/events.json"), as: UTF8.self).split(separator: "\n")
      #expect((2001...5000).contains(events.count))
      #expect(events.contains { $0.contains("\"probes-not-listed\"") })
      let eve = String(decoding: try Files.read(folder + "/eve.json"), as: UTF8.self).split(separator: "\n")
      #expect(eve.allSatisfy { $0.contains("\"event_type\":\"alert\"") })
      #expect(String(decoding: try Files.read(folder + "/metrics.prom"), as: UTF8.self) == "portsentry_up 1\n")
    }
  }

  @Test func `A journal that cannot be made is said once; when it can, what waited is written`() throws {
    try inFolder { folder in
      // A file is where the folder should be: no rights help against that.
      try write("", to: folder + "/state")
      let recorder = try Recorder(settings(folder + "/state"))
      recorder.keep(probe(1))
      #expect(notice(recorder, isFailure))
      recorder.keep(probe(2))
      Clock.sleep(.seconds(1))
      #expect(recorder.takeNotices().isEmpty)
      #expect(recorder.statistics.isFailing)
      unsafe unlink(folder + "/state")
      try Files.createFolder(folder + "/state")
      #expect(notice(recorder) { if case .journalRecovered(lost: 0) = $0 { true } else { false } })
      recorder.finish()
      #expect(try sum(folder + "/state") == 2)
    }
  }

  @Test func `A journal of a newer version is left alone, and what comes is counted`() throws {
    try inFolder { folder in
      _ = try JournalWriter(JournalWriter.Settings(path: folder + "/journal.db"))
      #expect(
        shell(
          "python3 -c 'import sqlite3; sqlite3.connect(\"\(folder)/journal.db\").execute(\"PRAGMA user_version = 99\")'"
        ).status == 0)
      let before = try Files.read(folder + "/journal.db")
      let recorder = try Recorder(settings(folder))
      recorder.keep(probe(1))
      #expect(notice(recorder) { if case .journalFailed(.newer) = $0 { true } else { false } })
      recorder.keep(probe(2))
      recorder.finish()
      #expect(recorder.statistics.lost == 2)
      #expect(try Files.read(folder + "/journal.db") == before)
    }
  }

  @Test func `A damaged journal is put aside, and a new one begun`() throws {
    try inFolder { folder in
      try write(String(repeating: "no database at all ", count: 1000), to: folder + "/journal.db")
      let recorder = try Recorder(settings(folder))
      recorder.keep(probe(1))
      #expect(notice(recorder) { if case .journalReplaced(kept: .some) = $0 { true } else { false } })
      recorder.finish()
      #expect(try sum(folder) == 1)
      #expect(Files.stamp(folder + "/journal.db.damaged") != nil)
    }
  }

  @Test func `A journal that was taken away is begun anew`() throws {
    try inFolder { folder in
      let recorder = try Recorder(settings(folder))
      recorder.keep(probe(1))
      while Files.stamp(folder + "/journal.db") == nil { Clock.sleep(.milliseconds(20)) }
      Clock.sleep(.milliseconds(600))
      for suffix in ["", "-wal", "-shm"] { unsafe unlink(folder + "/journal.db" + suffix) }
      for number in 0..<80 {
        recorder.keep(probe(number))
        Clock.sleep(.milliseconds(100))
        if Files.stamp(folder + "/journal.db") != nil { break }
      }
      recorder.keep(probe(7))
      recorder.finish()
      #expect(try sum(folder) >= 1)
    }
  }
}

@Suite struct ConsoleProcessTests {
  @Test func `What ends is started again, less and less often, and said once`() throws {
    let console = ConsoleProcess(program: "/bin/false", arguments: [])
    var now: Int64 = 0
    var starts = 0
    var ends = 0
    let limit = Clock.monotonic + 30_000_000_000
    // An hour of the sentry's time.
    while now < 3_600_000_000_000, Clock.monotonic < limit {
      switch console.advance(now: now) {
      case .started: starts += 1
      case .ended: ends += 1
      case nil: break
      }
      if let due = console.due { now = max(now, due) } else { Clock.sleep(.milliseconds(1)); now += 1_000_000 }
    }
    #expect(starts == 1)
    #expect(ends == 1)
    #expect(now >= 3_600_000_000_000)
  }
}
