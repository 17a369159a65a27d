import CLinux
import Confinement
import Platform
import TestSupport
import Testing

@testable import Daemon

/// What a client of the network has when it begins. Each trial is a process of its own; the script's exit status is the verdict.
@Suite(.enabled(if: Landlock.version != nil && SystemCalls.isAvailable)) struct ConfinedClientTests {
  @Test func `It reads certificates and names, and nothing of ours; it writes nothing and has no capability`() async {
    await #expect(processExitsWith: .exitCode(0)) {
      // Whether others could read it does not matter: it is not among what a client is given.
      let secret = "/tmp/portsentry-client-\(getpid())"
      try Files.replace(secret, with: [1], mode: 0o644)
      let script = """
        cat /etc/hosts > /dev/null || exit 2
        cat \(secret) 2> /dev/null && exit 3
        cat /etc/shadow 2> /dev/null && exit 4
        (echo x > \(secret).new) 2> /dev/null && exit 5
        rm -f \(secret) 2> /dev/null && exit 6
        grep -q '^CapEff:.0000000000000000$' /proc/self/status || exit 7
        grep -q '^NoNewPrivs:.1$' /proc/self/status || exit 8
        grep -q '^Seccomp:.2$' /proc/self/status || exit 9
        exit 0
        """
      _ = ConfinedClient.become(["/bin/sh", "-c", script])
      exit(10)
    }
    shell("rm -f /tmp/portsentry-client-*")
  }

  @Test func `Without a program there is none`() {
    #expect(ConfinedClient.become([]).code == EINVAL)
  }
}
