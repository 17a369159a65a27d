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

  @Test func `It opens no way to another host`() async {
    await #expect(processExitsWith: .signal(SIGSYS)) {
      try PageConfinement.enter(Self.settings("/nowhere"), as: .same(because: ""))
      guard (try? FileDescriptor.socket(AF_UNIX, CLinux_SOCK_STREAM, 0)) != nil else { exit(2) }
      _ = try? FileDescriptor.socket(AF_INET, CLinux_SOCK_STREAM, 0)
      exit(3)
    }
  }
}
