import CLinux
import Platform
import Response
import TestSupport
import Testing

/// Monotonic nanoseconds.
private func monotonic() -> UInt64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// A poll loop, until all is done or two minutes are over. `skew` is added to the time, so that limits need not be waited for.
private func finish(_ runner: inout CommandRunner, skew: UInt64 = 0) -> [CommandRunner.Result] {
  var results: [CommandRunner.Result] = []
  let end = monotonic() + 120_000_000_000
  while !runner.isIdle, monotonic() < end {
    var items = runner.pollDescriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    let now = monotonic() + skew
    let wait = runner.nextDeadline.map { $0 > now ? min(($0 - now) / 1_000_000 + 1, 1_000) : 0 } ?? 0
    _ = unsafe poll(&items, UInt(items.count), Int32(wait))
    results += runner.advance(now: monotonic() + skew)
  }
  return results
}

/// What the runner has to say with the time standing still: its children end when they get to it.
private func results(of runner: inout CommandRunner, at time: UInt64) -> [CommandRunner.Result] {
  let end = monotonic() + 120_000_000_000
  while monotonic() < end {
    let results = runner.advance(now: time)
    if !results.isEmpty { return results }
    _ = Poll.readable(runner.pollDescriptors, milliseconds: 100)
  }
  return []
}

@Suite("Command runner")
struct CommandRunnerTests {
  @Test("results are told as they are, in plain words")
  func outcomes() {
    var runner = CommandRunner()
    let rows: [(String, CommandRunner.Outcome, String)] = [
      ("true", .succeeded, "succeeded"),
      ("echo no; exit 3", .failed(status: 3, output: "no\n"), "failed with exit status 3: no"),
      (
        "printf '\\033[31mred\\a'; exit 1", .failed(status: 1, output: "\u{1b}[31mred\u{7}"),
        "failed with exit status 1: ?[31mred?"
      ),
      ("kill -6 $$", .signalled(6), "was ended by signal 6"),
      (
        "/nonexistent/route add", .notFound(status: 127, output: "sh: 1: /nonexistent/route: not found\n"),
        "was not found: install it, or give its full path: sh: 1: /nonexistent/route: not found"
      ),
      (
        "/dev/null", .notFound(status: 126, output: "sh: 1: /dev/null: Permission denied\n"),
        "may not be executed, or is no program: sh: 1: /dev/null: Permission denied"
      ),
    ]
    for (index, row) in rows.enumerated() {
      let accepted = runner.submit(id: UInt64(index), command: row.0, timeout: .seconds(10), now: monotonic())
      #expect(accepted)
    }
    let results = finish(&runner).sorted { $0.id < $1.id }
    #expect(results.map(\.id) == rows.indices.map { UInt64($0) })
    for (result, row) in zip(results, rows) {
      #expect(result.command == row.0)
      #expect(result.outcome == row.1)
      #expect(result.outcome.description == row.2)
      #expect(result.duration > .zero && result.duration < .seconds(10))
    }
    let (descriptors, deadline) = (runner.pollDescriptors, runner.nextDeadline)
    #expect(descriptors.isEmpty)
    #expect(deadline == nil)
  }

  @Test("at most 16 run, 1,024 wait in order, and more are refused and counted")
  func bounds() {
    var runner = CommandRunner()
    var accepted = 0
    for id in 0..<1_050 where runner.submit(id: UInt64(id), command: "sleep 60", timeout: .seconds(60), now: 0) {
      accepted += 1
    }
    #expect(accepted == 1_040)
    let counts = (runner.runningCount, runner.waitingCount, runner.refused, runner.pollDescriptors.count)
    #expect(counts == (16, 1_024, 10, 32))
    runner.stop(now: monotonic())
    let results = finish(&runner)
    #expect(Set(results.map(\.id)) == Set(0..<16))
    #expect(results.allSatisfy { $0.outcome == .timedOut })
  }

  @Test("waiting commands run once there is a place, each once")
  func queue() {
    var runner = CommandRunner()
    for id in 0..<60 {
      let accepted = runner.submit(id: UInt64(id), command: "exit \(id % 3)", timeout: .seconds(10), now: monotonic())
      #expect(accepted)
    }
    let results = finish(&runner).sorted { $0.id < $1.id }
    #expect(results.map(\.id) == (0..<60).map { UInt64($0) })
    #expect(results.allSatisfy { ($0.outcome == .succeeded) == ($0.id % 3 == 0) })
  }

  @Test("who does not end in time is asked to, and 2 s later made to; what it started too")
  func timeLimit() throws {
    try inFolder { folder in
      var runner = CommandRunner()
      let start = monotonic()
      let first = runner.submit(id: 1, command: "sleep 600", timeout: .seconds(5), now: start)
      let second = runner.submit(
        id: 2, command: "trap '' TERM; : > \(folder)/deaf; while :; do sleep 0.05; done", timeout: .seconds(5),
        now: start)
      #expect(first && second)
      while unsafe access("\(folder)/deaf", F_OK) != 0 { usleep(1000) }
      let none = runner.advance(now: start + 4_999_999_999)
      #expect(none.isEmpty)
      let limit = runner.nextDeadline
      #expect(limit == start + 5_000_000_000)
      _ = runner.advance(now: start + 5_000_000_000)
      let last = runner.nextDeadline
      #expect(last == start + 7_000_000_000)
      let gentle = results(of: &runner, at: start + 6_000_000_000)
      #expect(gentle.map(\.id) == [1])
      #expect(gentle.map(\.outcome) == [.timedOut])
      #expect(gentle.first?.duration == .seconds(6))
      _ = runner.advance(now: start + 7_000_000_000)
      let forced = results(of: &runner, at: start + 7_300_000_000)
      #expect(forced.map(\.id) == [2])
      #expect(forced.map(\.outcome) == [.timedOut])
      let isIdle = runner.isIdle
      #expect(isIdle)
    }
  }

  @Test("a background process with the pipe open does not hold up the result")
  func background() {
    var runner = CommandRunner()
    let accepted = runner.submit(id: 1, command: "sleep 600 & echo done", timeout: .seconds(300), now: monotonic())
    #expect(accepted)
    let start = monotonic()
    let results = finish(&runner)
    #expect(results.map(\.outcome) == [.succeeded])
    #expect(monotonic() - start < 120_000_000_000)
  }
}
