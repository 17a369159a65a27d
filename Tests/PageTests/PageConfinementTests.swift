import CLinux
import Confinement
import Detection
import Journal
import Platform
import TestSupport
import Testing
import Wire

@testable import Page

/// The page as it is once it has given its rights up. Each trial is a process of its own; its exit status says how far it came.
@Suite(.enabled(if: Landlock.version != nil && SystemCalls.isAvailable)) struct PageConfinementTests {
  private static func settings(_ folder: String) -> PageSettings {
    PageSettings(
      listen: .tcp(IPAddress("127.0.0.1")!, port: 8080), journalPath: folder + "/journal.db",
      controlSocket: folder + "/control", tokenPath: folder + "/token", configurationFiles: [folder + "/conf/file"],
      host: "host"
    ) { _ in .embedded(.advanced) }
  }

  private static func batch(_ port: UInt16) -> Batch {
    var batch = Batch()
    batch.add(
      .probe(
        Probe(
          time: Clock.now, source: IPAddress("203.0.113.7")!, sourcePort: 4_000, target: IPAddress("192.0.2.1")!,
          targetPort: port, transport: .tcp, mode: .advanced, technique: .syn)))
    return batch
  }

  @Test func `It reads the journal while a sentry writes, and writes nothing itself`() async throws {
    let folder = "/tmp/portsentry-page-\(getpid())"
    try Files.createFolder(folder)
    defer { shell("rm -rf -- '\(folder)'") }
    let writer = try JournalWriter(JournalWriter.Settings(path: folder + "/journal.db"))
    try writer.write(Self.batch(23), now: Clock.now)
    await #expect(processExitsWith: .exitCode(0)) { [folder = folder as String] in
      try PageConfinement.enter(Self.settings(folder), as: .same(because: ""))
      let reader = try JournalReader(path: folder + "/journal.db")
      guard try reader.glance(now: Clock.now).top.count == 1 else { exit(2) }
      guard reader.isReplaced == false else { exit(3) }
      guard (try? FileDescriptor.open(folder + "/journal.db", O_RDWR)) == nil else { exit(4) }
      guard (try? FileDescriptor.open(folder + "/journal.db-shm", O_RDWR)) == nil else { exit(5) }
      guard (try? Files.read("/etc/hostname")) == nil, (try? Files.read("/etc/shadow")) == nil else { exit(6) }
      let state = try ProcessState.read(getpid())
      // Capabilities are each thread's own, and a test's is not the first one of its process.
      guard try Capabilities.permitted().isEmpty else { exit(7) }
      guard state.noNewPrivileges, state.systemCallFilter == 2 else { exit(8) }
      exit(0)
    }
    _ = writer
  }

  @Test func `Without a sentry it reads what is there, and sees that one began to write`() async throws {
    let folder = "/tmp/portsentry-page-alone-\(getpid())"
    try Files.createFolder(folder)
    defer { shell("rm -rf -- '\(folder)'") }
    do { try JournalWriter(JournalWriter.Settings(path: folder + "/journal.db")).write(Self.batch(23), now: Clock.now) }
    await #expect(processExitsWith: .exitCode(0)) { [folder = folder as String] in
      var ends: (Int32, Int32) = (0, 0)
      guard unsafe withUnsafeMutableBytes(of: &ends, { unsafe CLinux_pipe($0.baseAddress!) }) == 0 else { exit(2) }
      let child = CLinux_fork()
      if child == 0 {
        // The sentry that comes later; it stays until we end.
        CLinux_end_with_parent()
        _ = try FileDescriptor.readOnce(ends.0, upTo: 1)
        let writer = try JournalWriter(JournalWriter.Settings(path: folder + "/journal.db"))
        for port in 1...1000 as ClosedRange<UInt16> {
          try writer.write(Self.batch(port), now: Clock.now)
          Clock.sleep(.milliseconds(20))
        }
        exit(0)
      }
      try PageConfinement.enter(Self.settings(folder), as: .same(because: ""))
      let before = try JournalReader(path: folder + "/journal.db")
      guard try before.glance(now: Clock.now).top.count == 1 else { exit(3) }
      _ = unsafe write(ends.1, "x", 1)
      var turns = 0
      while !before.isReplaced {
        turns += 1
        guard turns < 1500 else { exit(4) }
        Clock.sleep(.milliseconds(20))
      }
      let reader = try JournalReader(path: folder + "/journal.db")
      var seen = 0
      while seen < 3 {
        turns += 1
        guard turns < 1500 else { exit(5) }
        seen = Int(try reader.glance(now: Clock.now).hours.reduce(0) { $0 + $1.probes })
        Clock.sleep(.milliseconds(20))
      }
      guard !reader.isReplaced else { exit(6) }
      exit(0)
    }
  }

  @Test func `It opens no way to another host`() async {
    await #expect(processExitsWith: .signal(SIGSYS)) {
      try PageConfinement.enter(Self.settings("/nowhere"), as: .same(because: ""))
      guard (try? FileDescriptor.socket(AF_UNIX, CLinux_SOCK_STREAM, 0)) != nil else { exit(2) }
      _ = try? FileDescriptor.socket(AF_INET, CLinux_SOCK_STREAM, 0)
      exit(3)
    }
  }

  @Test(.enabled(if: geteuid() == 0)) func `It becomes another user where it may`() async {
    await #expect(processExitsWith: .exitCode(0)) {
      try PageConfinement.enter(
        Self.settings("/nowhere"), as: .another(Account(name: "other", user: 65_534, group: 65_534)))
      let state = try ProcessState.read(getpid())
      guard state.user == 65_534, state.effectiveUser == 65_534 else { exit(2) }
      guard try Capabilities.permitted().isEmpty else { exit(3) }
      exit(0)
    }
  }
}
