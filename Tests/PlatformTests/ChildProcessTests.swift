import CLinux
import Platform
import TestSupport
import Testing
import Wire

@Suite("Child processes")
struct ChildProcessTests {
  private func finish(_ child: ChildProcess, seconds: Int = 10) -> ChildProcess.Exit? {
    child.wait(until: Clock.monotonic + Int64(seconds) * 1_000_000_000)
  }

  @Test func `Who waits gets the end, or his own time back`() throws {
    let slow = try ChildProcess(shell: "exec sleep 600")
    let begin = Clock.monotonic
    #expect(slow.wait(until: begin + 50_000_000) == nil)
    #expect((50_000_000..<20_000_000_000).contains(Clock.monotonic - begin))
    slow.kill()
    #expect(finish(slow) == .signalled(SIGKILL))
    let quick = try ChildProcess(shell: "yes | head -c 200000; exit 3")
    #expect(finish(quick) == .exited(3), "what it writes is read, or it would wait for us")
  }

  @Test func `a command gets the bytes that were written`() throws {
    let command =
      Array("printf %s '".utf8) + [0xe9, 0xff, 0xc3, 0xa9, 0xee, 0xbf, 0xa9] + Array("' | od -An -tx1".utf8)
    let child = try ChildProcess(shell: String(preservingBytes: command))
    #expect(finish(child) == .exited(0))
    #expect(child.outputText == " e9 ff c3 a9 ee bf a9\n")
  }

  @Test func `a program gets what is written for it, and an end`() throws {
    let bytes = (0..<65_536).map { UInt8(truncatingIfNeeded: $0) }
    let child = try ChildProcess("/usr/bin/md5sum", ["md5sum"], input: bytes)
    #expect(finish(child) == .exited(0))
    #expect(child.outputText == "8f1445bafe2c2095044af7789462f475  -\n")
    #expect(throws: Errno.self) { try ChildProcess("/bin/cat", ["cat"], input: bytes + bytes) }
    let empty = try ChildProcess("/bin/cat", ["cat"], input: [])
    #expect(finish(empty) == .exited(0))
  }

  @Test(
    "how a command ends",
    arguments: [
      ("exit 0", .exited(0)), ("exit 3", .exited(3)), ("kill -9 $$", .signalled(9)),
      ("nonexistent-command", .exited(127)),
      ("/dev/null", .exited(126)), ("false", .exited(1)), ("((", .exited(2)),
    ] as [(String, ChildProcess.Exit)])
  func ends(_ command: String, _ expected: ChildProcess.Exit) throws {
    let child = try ChildProcess(shell: command)
    #expect(finish(child) == expected)
    #expect(child.reap() == expected)
  }

  @Test("both outputs are read, in order")
  func output() throws {
    let child = try ChildProcess(shell: "echo one; echo two >&2; echo three")
    #expect(finish(child) == .exited(0))
    #expect(child.outputText == "one\ntwo\nthree\n")
  }

  @Test("of much output the first 4 KiB are kept and the command is not held up")
  func muchOutput() throws {
    let child = try ChildProcess(shell: "head -c 3000000 /dev/zero | tr '\\0' x; exit 7")
    #expect(finish(child) == .exited(7))
    #expect(child.outputText == String(repeating: "x", count: 4_096))
  }

  @Test("a command inherits nothing of ours")
  func inheritsNothing() throws {
    // What a careless program leaves lying about: an inheritable descriptor, blocked and ignored signals, a umask.
    let leak = unsafe CLinux_open("/dev/null", O_RDONLY, 0)
    let leak2 = CLinux_fcntl_int(leak, F_DUPFD, 50)
    defer {
      close(leak)
      close(leak2)
    }
    CLinux_ignore_signal(SIGPIPE)
    CLinux_ignore_signal(SIGHUP)
    defer { CLinux_default_signal(SIGHUP) }
    var blocked = sigset_t()
    unsafe sigemptyset(&blocked)
    unsafe sigaddset(&blocked, SIGUSR1)
    unsafe pthread_sigmask(SIG_BLOCK, &blocked, nil)
    defer { unsafe pthread_sigmask(SIG_UNBLOCK, &blocked, nil) }
    unsafe setenv("PORTSENTRY_SECRET", "x", 1)
    let child = try ChildProcess(
      shell: """
        cd /proc/self/fd; echo *; cd /; umask; env | sort | cut -d= -f1 | tr '\\n' ' '; echo
        grep -E '^Sig(Blk|Ign)' /proc/self/status; readlink /proc/$$/fd/0 /proc/$$/cwd
        test "$(ps -o sid= -p $$ | tr -d ' ')" = $$ && echo session
        """)
    #expect(finish(child) == .exited(0))
    let text = child.outputText
    #expect(text.hasPrefix("0 1 2\n") || text.hasPrefix("0 1 2 3\n"), "\(text)")  // 3: the shell reading the folder
    #expect(text.contains("\n0022\nHOME LANG OLDPWD PATH PWD \n"), "\(text)")
    #expect(!text.contains("SECRET"))
    #expect(text.contains("SigBlk:\t0000000000000000\n"), "\(text)")
    // glibc's posix_spawn leaves its own two, 32 and 33, ignored.
    #expect(text.contains("SigIgn:\t0000000180000000\n") || text.contains("SigIgn:\t0000000000000000\n"), "\(text)")
    #expect(text.hasSuffix("/dev/null\n/\nsession\n"), "\(text)")
  }

  @Test("who stays behind in the background with the pipe open does not hold us up")
  func daemonised() throws {
    let child = try ChildProcess(shell: "(sleep 60; echo late) & echo early")
    let start = ContinuousClock.now
    #expect(finish(child) == .exited(0))
    #expect(ContinuousClock.now - start < .seconds(55))
    #expect(child.outputText == "early\n")
    #expect(!child.outputEnded)
  }

  @Test("the whole group is ended, gently or not")
  func ended() throws {
    let gentle = try ChildProcess(shell: "sleep 60 & sleep 60")
    gentle.terminate()
    #expect(finish(gentle) == .signalled(SIGTERM))
    let stubborn = try ChildProcess(shell: "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    while stubborn.outputText.isEmpty { stubborn.readOutput() }
    stubborn.terminate()
    usleep(200_000)
    #expect(stubborn.reap() == nil)
    stubborn.kill()
    #expect(finish(stubborn) == .signalled(SIGKILL))
  }

  @Test(arguments: ["sleep 600", "exit 3", "trap '' TERM; sleep 600 & sleep 600"])
  func `Whoever lets go of a child leaves none behind`(_ command: String) throws {
    var child: ChildProcess? = try ChildProcess(shell: command)
    let pid = try #require(child).pid
    child = nil
    #expect(CLinux.kill(pid, 0) == -1 && CLinux_errno() == ESRCH)
  }
}
